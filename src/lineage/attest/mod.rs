//! From what happened to signed statements in the store and the ledger.

mod run;
mod stage;
mod test;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
pub use run::{RunEnd, RunPredicate, RunStage, TreeHead};
use serde::Serialize;
pub use stage::StageInput;
pub use test::Verdict;

use super::{
    Entry, Kind, Ledger, LineageError, Redactor, Resource, Signing, Statement, source::source_address,
};
use crate::{
    config::{Config, HostFact, Sensitive},
    digest::Digest,
    record::{ActionResult, GitState, HostState, RunId},
    store::LocalStore,
};

/// Meaning of a stage statement's parameters.
pub const BUILD_TYPE: &str = "https://stagewright.dev/build/stage/v1";
/// The orchestrator on somebody's own machine. Whoever has the machine has the key, so what it says reaches SLSA Build L1.
pub const LOCAL_BUILDER: &str = "https://stagewright.dev/builder/local/v1";

/// The facts that every statement of a run shares.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Id of the run.
    pub run: RunId,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its file, relative to the project root.
    pub file: PathBuf,
    /// State of the git work tree.
    pub git: Option<GitState>,
    /// The machine.
    pub host: HostState,
    /// When the run started.
    pub started: Timestamp,
}

/// Makes the statements of one run.
pub struct Attestor {
    facts: RunFacts,
    store: LocalStore,
    signing: Signing,
    redactor: Redactor,
    pipeline: Option<Digest>,
    source: Option<String>,
    orchestrator: Option<Digest>,
    host_facts: Vec<HostFact>,
    book: Mutex<Book>,
}

/// What is written down, by one thread at a time.
struct Book {
    ledger: Ledger,
    known: BTreeSet<Digest>,
}

impl Attestor {
    /// For a run in a project; the ledger is the project's.
    pub fn new(
        config: &Config,
        store: &LocalStore,
        ledger: Ledger,
        signing: Signing,
        facts: RunFacts,
    ) -> Self {
        let known = ledger.entries().iter().map(|entry| entry.statement).collect();
        let exe = std::env::current_exe().ok();
        Self {
            store: store.clone(),
            signing,
            redactor: Redactor::new(&config.root, &Sensitive::read()),
            // A pipeline that was compiled from elsewhere than a file has none.
            pipeline: Digest::of_file(&config.root.join(&facts.file)).ok(),
            source: source_address(&config.root),
            orchestrator: exe.and_then(|exe| Some(store.fingerprint(&exe).ok()?.digest)),
            host_facts: config.host_facts.clone(),
            book: Mutex::new(Book { ledger, known }),
            facts,
        }
    }

    /// Ids of the keys that sign; none for unsigned statements.
    pub fn key_ids(&self) -> Vec<String> {
        self.signing.ids().iter().map(ToString::to_string).collect()
    }

    /// What the pipeline is called in a waiver: its file, or its name where it has none.
    pub fn pipeline_name(&self) -> String {
        match self.pipeline {
            Some(_) => self.facts.file.display().to_string(),
            None => self.facts.pipeline.clone(),
        }
    }

    /// Writes down the statements of a reused result that were made elsewhere.
    pub fn adopt(&self, result: &ActionResult) -> Result<(), LineageError> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in &result.attestations {
            if book.known.contains(digest) || !self.store.contains(digest) {
                continue;
            }
            let bytes = self.store.read(digest)?;
            let statement = Statement::from_envelope(
                &digest.to_string(),
                &super::Envelope::decode(&digest.to_string(), &bytes)?,
            )?;
            let kind = if statement.predicate_type == super::TEST_RESULT { Kind::Test } else { Kind::Stage };
            let entry = Entry::new(&bytes, kind, Some(self.facts.run), subjects(&statement));
            book.ledger.append(&[entry])?;
            book.known.insert(*digest);
        }
        Ok(())
    }

    /// Redacts, signs, stores and writes down a statement. `subjects` are the hashes by which the ledger finds it.
    fn publish<T: Serialize>(
        &self,
        statement: &T,
        subjects: Vec<String>,
        kind: Kind,
    ) -> Result<Digest, LineageError> {
        let encode = LineageError::encode("a statement");
        let payload =
            serde_json::to_vec(statement).and_then(|json| self.redactor.scrub_text(json)).map_err(encode)?;
        let envelope = self.signing.seal(super::IN_TOTO, &payload)?;
        drop(payload);
        let bytes = envelope.encode()?;
        drop(envelope);
        let digest = self.store.put(&bytes)?;
        let entry = Entry::new(&bytes, kind, Some(self.facts.run), subjects);
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.ledger.append(&[entry])?;
        book.known.insert(digest);
        Ok(digest)
    }

    /// A short JSON text that a statement carries, redacted: what is encoded can't be looked through later.
    fn inline<T: Serialize>(&self, name: &str, value: &T) -> Result<Resource, LineageError> {
        let mut value = serde_json::to_value(value).map_err(LineageError::encode("a part of a statement"))?;
        self.redactor.scrub(&mut value);
        Resource::inline(name, &value)
    }

    /// Name and digest of the pipeline file.
    fn pipeline_resource(&self) -> Option<Resource> {
        let digest = self.pipeline.as_ref()?;
        Some(Resource::new("pipeline", digest).annotate("path", self.facts.file.display().to_string()))
    }

    /// The commit that the project was at.
    fn source_resource(&self) -> Option<Resource> {
        let git = self.facts.git.as_ref()?;
        let commit = git.commit.as_ref()?;
        let branch = git.branch.as_ref().map(|branch| format!("@refs/heads/{branch}")).unwrap_or_default();
        let uri = self.source.as_ref().map(|source| format!("git+{source}{branch}")).unwrap_or_default();
        let digest = BTreeMap::from([("gitCommit".to_owned(), commit.clone())]);
        let resource = Resource { name: "source".to_owned(), uri, digest, ..Resource::default() };
        // With changes that are not committed, the commit is not what ran.
        Some(resource.annotate("uncommitted-changes", git.dirty))
    }

    fn host(&self, host: &HostState) -> serde_json::Map<String, serde_json::Value> {
        let HostState { os, arch, cpus, memory, gpus } = host;
        let fact = |fact: &HostFact| match fact {
            HostFact::Os => ("os", os.as_str().into()),
            HostFact::Arch => ("arch", arch.as_str().into()),
            HostFact::Cpus => ("cpus", (*cpus).into()),
            HostFact::Memory => ("memory", (*memory).into()),
            HostFact::Gpus => ("gpus", (*gpus).into()),
        };
        self.host_facts.iter().map(fact).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn subjects(statement: &Statement) -> Vec<String> {
    let hashes = statement.subject.iter().filter_map(|subject| subject.sha256().map(str::to_owned));
    hashes.collect::<BTreeSet<_>>().into_iter().collect()
}
