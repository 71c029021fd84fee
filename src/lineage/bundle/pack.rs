//! From a project to a bundle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    MemberName, archive,
    content::{
        Blobs, FORMAT, GUIDE, Index, IndexMember, IndexSubject, LogProofs, ProvenEntry, ProvenHead, encode,
        texts,
    },
};
use crate::{
    digest::Digest,
    lineage::{
        Checkpoint, Decision, Envelope, Kind, Ledger, Library, LineageError, Node, Resource, RunPredicate,
        Standing, TREE, TrustPolicy, decisions,
        export::Subject,
        merkle::{self, Hash},
        verify::made,
    },
    store::{ArtifactKind, LocalStore, StoreError},
};

/// What a bundle is packed from.
pub struct Evidence<'a> {
    /// The project's ledger.
    pub ledger: &'a Ledger,
    /// Its statements.
    pub library: &'a Library,
    /// Its store.
    pub store: &'a LocalStore,
    /// Its trust policy, which goes into the bundle with its public keys.
    pub policy: Option<&'a TrustPolicy>,
}

/// A bundle that is about to be written.
#[derive(Debug)]
pub struct Package {
    parts: BTreeMap<MemberName, (Digest, Part)>,
    /// Statements in it.
    pub statements: usize,
    /// Artifacts' files in it, and listings of folders.
    pub blobs: usize,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Gathers all that proves these results. Without `bytes`, the artifacts are named by their digests alone.
pub fn pack(from: &Evidence<'_>, subjects: &[Subject<'_>], bytes: bool) -> Result<Package, LineageError> {
    let wanted = wanted(from, subjects)?;
    let (log, extra) = log(from, &wanted)?;
    let mut package = Package { parts: BTreeMap::new(), statements: 0, blobs: 0 };
    for hash in wanted.iter().chain(&extra) {
        let Some(node) = from.library.blob(hash) else { continue };
        let path = from.store.blob_path(&node.digest);
        package.parts.insert(MemberName::Statement(hash.clone()), (node.digest, Part::File(path)));
    }
    package.statements = package.parts.len();
    for subject in subjects {
        for node in from.library.ancestry(subject.node) {
            package.blobs_of(from.store, node, bytes)?;
        }
    }
    package.blobs = package.parts.len() - package.statements;
    package.add(MemberName::Guide, GUIDE.as_bytes().to_vec());
    package.add(MemberName::Log, encode(&log, "the proofs of a bundle")?);
    if let Some(policy) = from.policy {
        let (text, keys) = policy.texts()?;
        package.add(MemberName::Policy, text.into_bytes());
        for (name, pem) in keys {
            package.add(MemberName::Key(name), pem.into_bytes());
        }
    }
    let subject = |one: &Subject<'_>| IndexSubject {
        statement: one.node.digest,
        sha256: one.sha256.map(str::to_owned),
    };
    let index = Index {
        format: FORMAT.to_owned(),
        subject: subjects.iter().map(subject).collect(),
        blobs: if bytes { Blobs::Included } else { Blobs::Named },
        members: package
            .parts
            .iter()
            .map(|(name, (digest, _))| IndexMember { name: name.to_string(), digest: *digest })
            .collect(),
    };
    package.add(MemberName::Index, index.encode()?);
    Ok(package)
}

impl Package {
    fn add(&mut self, name: MemberName, bytes: Vec<u8>) {
        self.parts.insert(name, (Digest::of(&bytes), Part::Bytes(bytes)));
    }

    fn blob(&mut self, store: &LocalStore, digest: Digest) -> Result<(), LineageError> {
        if !store.contains(&digest) {
            return Err(StoreError::Missing(digest).into());
        }
        let part = Part::File(store.blob_path(&digest));
        self.parts.insert(MemberName::Blob(digest.hex()), (digest, part));
        Ok(())
    }

    /// What a stage made, its log, and the listings of the folders that it read; `bytes` adds more than listings.
    fn blobs_of(&mut self, store: &LocalStore, node: &Node, bytes: bool) -> Result<(), LineageError> {
        for artifact in node.statement.subject.iter().filter_map(Resource::to_artifact) {
            let is_tree = artifact.kind == ArtifactKind::Tree;
            if bytes || (is_tree && store.contains(&artifact.digest)) {
                self.blob(store, artifact.digest)?;
            }
            if bytes && is_tree {
                for entry in store.tree(&artifact.digest)?.entries() {
                    self.blob(store, entry.digest)?;
                }
            }
        }
        // What was read and no stage has made lies in the work tree; the listing that was kept says which files those were.
        let read = node.inputs().filter(|input| input.media_type == TREE);
        for listing in read.filter_map(Resource::to_artifact).filter(|one| store.contains(&one.digest)) {
            self.blob(store, listing.digest)?;
        }
        let logs = node.provenance.iter().flat_map(|one| &one.run_details.byproducts);
        for hash in logs.filter(|one| bytes && one.name == "log").filter_map(Resource::sha256) {
            let named = format!("sha256:{hash}:0").parse::<Digest>().ok();
            let path = named.map(|named| store.blob_path(&named)).filter(|path| path.is_file());
            if let Some(path) = path {
                let digest = Digest::of_file(&path).map_err(LineageError::io("read", &path))?;
                self.blob(store, digest)?;
            }
        }
        Ok(())
    }

    /// Bytes of all members.
    pub fn bytes(&self) -> u64 {
        self.parts.values().map(|(digest, _)| digest.size()).sum()
    }

    /// Writes the archive. The same evidence gives the same bytes.
    pub fn write(&self, path: &Path, out: &mut dyn Write) -> Result<(), LineageError> {
        let failed = |error: io::Error| LineageError::io("write", path)(error);
        for (name, (digest, part)) in &self.parts {
            let written = match part {
                Part::Bytes(bytes) => archive::append(out, name, digest, &mut &bytes[..]),
                Part::File(from) => {
                    let mut file = File::open(from).map_err(LineageError::io("read", from))?;
                    archive::append(out, name, digest, &mut file)
                }
            };
            if let Err(found) = written.map_err(failed)? {
                let reason = format!("its content is {found}");
                return Err(StoreError::Damaged { digest: *digest, reason }.into());
            }
        }
        archive::finish(out).and_then(|()| out.flush()).map_err(failed)
    }
}

/// SHA-256 of every statement that the proof needs: the stages with their verdicts, the last run that has each result with all
/// statements that it names, decisions on any of these, and the waivers of the run's gates.
fn wanted(from: &Evidence<'_>, subjects: &[Subject<'_>]) -> Result<BTreeSet<String>, LineageError> {
    let library = from.library;
    let mut wanted = BTreeSet::new();
    let mut about = BTreeSet::new();
    let mut pipelines = BTreeSet::new();
    for subject in subjects {
        for node in library.ancestry(subject.node) {
            wanted.insert(node.digest.hex());
            let byproducts = node.provenance.iter().flat_map(|one| &one.run_details.byproducts);
            let gates = byproducts.filter(|one| one.name == "gates").filter_map(Resource::sha256);
            wanted.extend(gates.map(str::to_owned));
        }
        about.extend(subject.resources().filter_map(Resource::sha256).map(str::to_owned));
        // As verification does: the first of the subjects says which run.
        let hash =
            subject.sha256.or_else(|| subject.node.statement.subject.first().and_then(Resource::sha256));
        // Without it, nobody could tell whether the targets were met.
        let run = hash.and_then(|hash| library.last_run(hash)).ok_or(LineageError::NoCheckpoint)?;
        let told: RunPredicate = run.statement.read("the statement on the run")?;
        wanted.insert(run.digest.hex());
        wanted.extend(told.verdicts.iter().map(Digest::hex));
        wanted.extend(told.stages.iter().flat_map(|stage| &stage.statements).map(Digest::hex));
        wanted.extend(told.waived.iter().map(|waived| waived.statement.hex()));
        pipelines.insert(crate::lineage::decision::pipeline_of(&told));
    }
    about.extend(wanted.iter().cloned());
    // A waiver may be older than the verdict that it lets pass.
    let waivers: BTreeSet<String> = decisions(library, from.policy)
        .into_iter()
        .filter(|one| match &one.decision {
            Decision::Waived { gate, .. } => pipelines.contains(&gate.pipeline),
            Decision::Approved { .. } => false,
        })
        .map(|one| one.statement.hex())
        .collect();
    for node in library.nodes().iter().filter(|node| node.kind == Kind::Decision) {
        if waivers.contains(&node.digest.hex()) || about.iter().any(|hash| node.is_about(hash)) {
            wanted.insert(node.digest.hex());
        }
    }
    let missing = wanted.iter().find(|hash| library.blob(hash).is_none());
    match missing.map(|hash| library.broken.iter().find(|(digest, _)| digest.hex() == *hash)) {
        None => Ok(wanted),
        Some(Some((digest, _))) => Err(LineageError::Lost(*digest)),
        Some(None) => Err(LineageError::Unknown { what: "a statement that the run names".to_owned() }),
    }
}

/// The proofs that these statements stand in the ledger, and the statement that says when the checkpoint was made.
fn log(from: &Evidence<'_>, wanted: &BTreeSet<String>) -> Result<(LogProofs, Option<String>), LineageError> {
    let leaves = from.ledger.leaves()?;
    let mut places: BTreeMap<String, (usize, Digest)> = BTreeMap::new();
    for (at, entry) in from.ledger.entries().iter().enumerate() {
        places.entry(entry.statement.hex()).or_insert((at, entry.statement));
    }
    let place = |hash: &String| places.get(hash).copied();
    let is_decision =
        |hash: &&String| from.library.blob(hash).is_some_and(|node| node.kind == Kind::Decision);
    let after = |hashes: &mut dyn Iterator<Item = &String>| {
        hashes.filter_map(|hash| Some(place(hash)?.0 + 1)).max().unwrap_or(0)
    };
    let all = after(&mut wanted.iter());
    let made_by_runs = after(&mut wanted.iter().filter(|hash| !is_decision(hash)));
    let (envelope, checkpoint) = match checkpoint(from, &leaves, all)? {
        Some(found) => found,
        // A decision waits for the next run to be signed into the ledger, where one key alone does not reach the threshold.
        None => checkpoint(from, &leaves, made_by_runs)?.ok_or(LineageError::NoCheckpoint)?,
    };
    let size = usize::try_from(checkpoint.size).unwrap_or(usize::MAX).min(leaves.len());
    let covered = &leaves[..size];
    let last = size.checked_sub(1).and_then(|at| from.ledger.entries().get(at));
    let extra = last.map(|entry| entry.statement.hex()).filter(|hash| from.library.blob(hash).is_some());
    let mut entries: Vec<ProvenEntry> = wanted
        .iter()
        .chain(extra.iter().filter(|hash| !wanted.contains(*hash)))
        .filter_map(place)
        .map(|(at, statement)| ProvenEntry {
            statement,
            index: at as u64,
            proof: texts(&merkle::inclusion_proof(covered, at)),
            origin: from.ledger.entries().get(at).and_then(|entry| entry.origin.clone()),
        })
        .collect();
    entries.sort_by_key(|entry| entry.index);
    let mut sizes = BTreeSet::new();
    // What a run of another machine has seen was that one's ledger.
    let own = entries.iter().filter(|entry| entry.origin.is_none());
    let all = own.filter_map(|entry| from.library.blob(&entry.statement.hex()));
    for node in all.filter(|node| node.kind == Kind::Run) {
        sizes.insert(node.statement.read::<RunPredicate>("the statement on the run")?.ledger.size);
    }
    let head = |size: u64| ProvenHead {
        size,
        proof: texts(&merkle::consistency_proof(covered, usize::try_from(size).unwrap_or(usize::MAX))),
    };
    let heads = sizes.into_iter().map(head).collect();
    Ok((LogProofs { checkpoint: envelope, entries, heads }, extra))
}

/// The first checkpoint over at least so many statements that trusted keys have signed; if there is none, the last one over them. Not
/// always the last one, so that a bundle made again later is the same.
fn checkpoint(
    from: &Evidence<'_>,
    leaves: &[Hash],
    size: usize,
) -> Result<Option<(Envelope, Checkpoint)>, LineageError> {
    let mut last = None;
    for envelope in from.ledger.checkpoints()? {
        let checkpoint = Checkpoint::from_envelope("a checkpoint", &envelope)?;
        let there = usize::try_from(checkpoint.size).unwrap_or(usize::MAX);
        if there < size || there > leaves.len() || there == 0 {
            continue;
        }
        let at = from.ledger.entries().get(there - 1).map(|entry| entry.statement.hex());
        let time = at.and_then(|hash| made(from.library, from.library.blob(&hash)?));
        let trusted = from.policy.is_some_and(|policy| {
            let standings = policy.judge(&envelope, time);
            let names: BTreeSet<String> = standings
                .into_iter()
                .filter_map(|standing| match standing {
                    Standing::Trusted(name) => Some(name),
                    _ => None,
                })
                .collect();
            names.len() >= policy.threshold as usize
        });
        if trusted {
            return Ok(Some((envelope, checkpoint)));
        }
        last = Some((envelope, checkpoint));
    }
    Ok(last)
}
