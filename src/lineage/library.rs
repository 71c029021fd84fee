//! All statements of a project at hand, and the ways from one to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use jiff::Timestamp;

use super::{Blobs, Envelope, Kind, Ledger, LineageError, Provenance, Resource, Statement};
use crate::{
    config::Config,
    digest::Digest,
    plan::StageId,
    record::{RunName, find_run, read_run},
    store::LocalStore,
};

/// Shortest beginning of a digest that names it.
const SHORTEST_PREFIX: usize = 8;

/// A statement that was read.
#[derive(Debug, Clone)]
pub struct Node {
    /// The envelope's blob.
    pub digest: Digest,
    /// What it is.
    pub kind: Kind,
    /// The envelope.
    pub envelope: Envelope,
    /// What it says.
    pub statement: Statement,
    /// What a stage statement says.
    pub provenance: Option<Provenance>,
}

impl Node {
    /// Without a kind, the statement's own type says what it is.
    fn read(digest: Digest, kind: Option<Kind>, blobs: &dyn Blobs) -> Result<Self, LineageError> {
        let what = format!("the statement {digest}");
        let envelope = Envelope::decode(&what, &blobs.read(&digest)?)?;
        let statement = Statement::from_envelope(&what, &envelope)?;
        let unknown = || LineageError::Statement {
            what: what.clone(),
            reason: format!("its predicate `{}` is not known", statement.predicate_type),
        };
        let kind = kind.or_else(|| Kind::of(&statement.predicate_type)).ok_or_else(unknown)?;
        let provenance = match kind {
            Kind::Stage => Some(statement.read(&what)?),
            Kind::Test | Kind::Run | Kind::Decision => None,
        };
        Ok(Self { digest, kind, envelope, statement, provenance })
    }

    /// Stage that a stage statement is about.
    pub fn stage(&self) -> Option<&str> {
        self.provenance.as_ref()?.build_definition.external_parameters.get("stage")?.as_str()
    }

    /// What a stage read, without program, pipeline file and commit.
    pub fn inputs(&self) -> impl Iterator<Item = &Resource> {
        let all = self.provenance.iter().flat_map(|one| &one.build_definition.resolved_dependencies);
        all.filter(|resource| resource.name.starts_with("input:"))
    }

    /// True when it is about these bytes.
    pub fn is_about(&self, sha256: &str) -> bool {
        self.statement.subject.iter().any(|subject| subject.sha256() == Some(sha256))
    }
}

/// The statements of a project in the order of its ledger.
#[derive(Debug)]
pub struct Library {
    nodes: Vec<Node>,
    by_blob: BTreeMap<String, usize>,
    /// Producers by the SHA-256 of what they made, the oldest first.
    producers: BTreeMap<String, Vec<usize>>,
    /// Readers by the SHA-256 of what they read.
    readers: BTreeMap<String, Vec<usize>>,
    /// Statements that the ledger names and that can't be read.
    pub broken: Vec<(Digest, LineageError)>,
}

impl Library {
    /// Reads every statement of the ledger.
    pub fn load(ledger: &Ledger, store: &LocalStore) -> Self {
        Self::load_some(ledger, store, |_| true)
    }

    /// Reads the statements of one kind.
    pub fn load_kind(ledger: &Ledger, store: &LocalStore, kind: Kind) -> Self {
        Self::load_some(ledger, store, |found| found == kind)
    }

    /// Reads these statements; each says itself what it is.
    pub(super) fn of(statements: impl IntoIterator<Item = Digest>, blobs: &dyn Blobs) -> Self {
        Self::read(statements.into_iter().map(|digest| (digest, None)), blobs)
    }

    fn load_some(ledger: &Ledger, store: &LocalStore, wanted: impl Fn(Kind) -> bool) -> Self {
        let entries = ledger.entries().iter().filter(|entry| wanted(entry.kind));
        Self::read(entries.map(|entry| (entry.statement, Some(entry.kind))), store)
    }

    fn read(statements: impl Iterator<Item = (Digest, Option<Kind>)>, blobs: &dyn Blobs) -> Self {
        let mut library = Self {
            nodes: Vec::new(),
            by_blob: BTreeMap::new(),
            producers: BTreeMap::new(),
            readers: BTreeMap::new(),
            broken: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for (digest, kind) in statements.filter(|(digest, _)| seen.insert(*digest)) {
            match Node::read(digest, kind, blobs) {
                Ok(node) => library.add(node),
                Err(error) => library.broken.push((digest, error)),
            }
        }
        library
    }

    fn add(&mut self, node: Node) {
        let index = self.nodes.len();
        self.by_blob.insert(node.digest.hex(), index);
        if node.kind == Kind::Stage {
            let hashes = |resources: &mut dyn Iterator<Item = &Resource>| -> BTreeSet<String> {
                resources.filter_map(|one| one.sha256().map(str::to_owned)).collect()
            };
            for hash in hashes(&mut node.statement.subject.iter()) {
                self.producers.entry(hash).or_default().push(index);
            }
            for hash in hashes(&mut node.inputs()) {
                self.readers.entry(hash).or_default().push(index);
            }
        }
        self.nodes.push(node);
    }

    /// All statements, in the order of the ledger.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The statement in a blob.
    pub fn blob(&self, sha256: &str) -> Option<&Node> {
        self.by_blob.get(sha256).map(|&index| &self.nodes[index])
    }

    /// The statement of a stage or run that names these verdicts.
    pub fn namer(&self, verdicts: &Node) -> Option<&Node> {
        let (hash, text) = (verdicts.digest.hex(), verdicts.digest.to_string());
        self.nodes.iter().find(|node| match &node.provenance {
            Some(one) => one.run_details.byproducts.iter().any(|product| product.sha256() == Some(&hash)),
            None => {
                let named = node.statement.predicate.get("verdicts").and_then(|named| named.as_array());
                node.kind == Kind::Run && named.is_some_and(|named| named.iter().any(|one| *one == text))
            }
        })
    }

    /// The last statement on a stage.
    pub fn stage(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().rev().find(|node| node.stage() == Some(name))
    }

    /// The last statement of the stage that made these bytes.
    pub fn maker(&self, sha256: &str) -> Option<&Node> {
        self.producers.get(sha256)?.last().map(|&index| &self.nodes[index])
    }

    /// The statement on what made an input, as it was when `reader` read it: the same stage where it is named, made before.
    pub fn origin(&self, reader: &Node, input: &Resource) -> Option<&Node> {
        let at = self.by_blob.get(&reader.digest.hex()).copied().unwrap_or(usize::MAX);
        let makers = self.producers.get(input.sha256()?)?;
        let named = |&&index: &&usize| {
            input.note("stage").is_none_or(|stage| self.nodes[index].stage() == Some(stage))
        };
        let before = makers.iter().rev().filter(named).find(|&&index| index < at);
        before
            .or_else(|| makers.iter().rfind(named))
            .or_else(|| makers.last())
            .map(|&index| &self.nodes[index])
    }

    /// Statements of stages that read something that `maker` made.
    pub fn uses(&self, maker: &Node) -> Vec<&Node> {
        let subjects = maker.statement.subject.iter().filter_map(Resource::sha256);
        let readers: BTreeSet<usize> =
            subjects.filter_map(|hash| self.readers.get(hash)).flatten().copied().collect();
        readers.into_iter().map(|index| &self.nodes[index]).collect()
    }

    /// Statements of stages that read exactly these bytes.
    pub fn readers(&self, sha256: &str) -> Vec<&Node> {
        self.readers.get(sha256).into_iter().flatten().map(|&index| &self.nodes[index]).collect()
    }

    /// The statements on a stage and on everything it was made from, itself first, each once.
    pub fn ancestry<'a>(&'a self, start: &'a Node) -> Vec<&'a Node> {
        self.closure(start, |node| node.inputs().filter_map(|input| self.origin(node, input)).collect())
    }

    /// The statements on a stage and on everything that was made from it, itself first, each once.
    pub fn descent<'a>(&'a self, start: &'a Node) -> Vec<&'a Node> {
        self.closure(start, |node| self.uses(node))
    }

    /// As [`Library::ancestry`], without the statements in `seen`, and takes those found into it.
    pub fn ancestry_past<'a>(&'a self, start: &'a Node, seen: &mut BTreeSet<Digest>) -> Vec<&'a Node> {
        let mut waiting = vec![start];
        let mut found = Vec::new();
        while let Some(node) = waiting.pop() {
            if seen.insert(node.digest) {
                waiting.extend(node.inputs().filter_map(|input| self.origin(node, input)));
                found.push(node);
            }
        }
        found
    }

    fn closure<'a>(&'a self, start: &'a Node, next: impl Fn(&'a Node) -> Vec<&'a Node>) -> Vec<&'a Node> {
        let mut seen = BTreeSet::from([start.digest]);
        let mut found = vec![start];
        let mut at = 0;
        while let Some(&node) = found.get(at) {
            at += 1;
            found.extend(next(node).into_iter().filter(|other| seen.insert(other.digest)));
        }
        found
    }

    /// The statement on the run in which these bytes are a result and that ended last: with runs of other machines in it, the order
    /// of the ledger is not that of time.
    pub fn last_run(&self, sha256: &str) -> Option<&Node> {
        let runs = self.nodes.iter().filter(|node| node.kind == Kind::Run && node.is_about(sha256));
        runs.max_by_key(|node| {
            let at = node.statement.predicate.get("finishedOn").and_then(|at| at.as_str());
            at.and_then(|at| at.parse::<Timestamp>().ok())
        })
    }

    /// What a user means: the id of a stage, a file or folder (whose content counts, wherever it lies), or a digest or its
    /// beginning. Gives the statement on what made it, and the SHA-256 asked for; none for a stage.
    pub fn find(
        &self,
        wanted: &str,
        folder: &Path,
        store: &LocalStore,
    ) -> Result<(&Node, Option<String>), LineageError> {
        if let Some(node) = self.stage(wanted) {
            return Ok((node, None));
        }
        let path = folder.join(wanted);
        let hash = match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => store.fingerprint(&path)?.digest.hex(),
            Ok(_) => Digest::of_file(&path).map_err(LineageError::io("read", &path))?.hex(),
            Err(_) => self.complete(wanted)?,
        };
        match self.maker(&hash) {
            Some(node) => Ok((node, Some(hash))),
            None => Err(LineageError::Unknown { what: format!("{wanted} (sha256:{hash})") }),
        }
    }

    /// As [`Library::find`]; `train@last~1` is what the stage `train` gave in the run before the last one.
    pub fn find_in(
        &self,
        wanted: &str,
        config: &Config,
        folder: &Path,
        store: &LocalStore,
    ) -> Result<(&Node, Option<String>), LineageError> {
        let named =
            wanted.rsplit_once('@').and_then(|(stage, run)| Some((stage, run.parse::<RunName>().ok()?)));
        let Some((stage, run)) = named.filter(|_| !folder.join(wanted).exists()) else {
            return self.find(wanted, folder, store);
        };
        let record = read_run(&config.state_dir, find_run(&config.state_dir, &run)?)?;
        let found = record.stage(&StageId(stage.to_owned()));
        let node = found.and_then(|found| found.statements.iter().find_map(|one| self.blob(&one.hex())));
        let unknown = || LineageError::Unknown { what: format!("stage `{stage}` in run {}", record.run) };
        Ok((node.filter(|node| node.kind == Kind::Stage).ok_or_else(unknown)?, None))
    }

    /// What a text names of all that is recorded, whatever files there are: the last statement on a stage of this id, or the
    /// SHA-256 that it is, or is the beginning of. A whole SHA-256 names itself, known or not.
    pub fn named(&self, wanted: &str) -> Result<(Option<&Node>, Option<String>), LineageError> {
        if let Some(node) = self.stage(wanted) {
            return Ok((Some(node), None));
        }
        let text = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        let hash = match self.complete(wanted) {
            Err(LineageError::Unknown { .. }) => match complete(&self.readers, wanted) {
                Err(LineageError::Unknown { .. }) if is_hash(text) => text.to_ascii_lowercase(),
                other => other?,
            },
            other => other?,
        };
        Ok((self.maker(&hash), Some(hash)))
    }

    /// The known SHA-256 that a text is the beginning of.
    fn complete(&self, wanted: &str) -> Result<String, LineageError> {
        complete(&self.producers, wanted)
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The one hash that a text is the beginning of.
fn complete(known: &BTreeMap<String, Vec<usize>>, wanted: &str) -> Result<String, LineageError> {
    let text = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let text = text.split(':').next().unwrap_or_default();
    let unknown = || LineageError::Unknown { what: format!("`{wanted}`") };
    if text.len() < SHORTEST_PREFIX || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let mut matching = known.range(text.to_owned()..).take_while(|(hash, _)| hash.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some((hash, _)), None) => Ok(hash.clone()),
        (Some((one, _)), Some((other, _))) => Err(LineageError::Ambiguous {
            what: format!("`{wanted}`"),
            choices: vec![one.clone(), other.clone()],
        }),
        _ => Err(unknown()),
    }
}

/// Reads the statements of a project.
pub fn open(config: &Config, store: &LocalStore) -> Result<(Ledger, Library), LineageError> {
    let ledger = Ledger::load(&config.state_dir)?;
    let library = Library::load(&ledger, store);
    Ok((ledger, library))
}
