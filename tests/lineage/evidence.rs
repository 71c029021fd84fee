//! A project that signs, and its statements read back.

use std::path::Path;

use jiff::Timestamp;
use stagewright::{
    digest::Digest,
    lineage::{
        Algorithm, Entry, Envelope, FOLDER, Kind, Ledger, PrivateKey, Provenance, Resource, RunPredicate,
        Signing, Standing, Statement, TestResult, TrustPolicy,
    },
    plan::Action,
    run::RunOptions,
};

use crate::project::{Project, Ran, options, plan};

pub struct Signed {
    pub project: Project,
    pub key: PrivateKey,
}

impl Signed {
    pub fn new(algorithm: Algorithm) -> Self {
        let (project, key) = (Project::new(), PrivateKey::generate(algorithm));
        let mut policy = TrustPolicy::new(&project.path(FOLDER));
        policy.trust("ada", key.public(), Timestamp::UNIX_EPOCH).unwrap();
        policy.save().unwrap();
        Self { project, key }
    }

    pub fn options(&self) -> RunOptions {
        RunOptions { signing: Signing::with_key("ada", self.key.clone()).unwrap(), ..options() }
    }

    pub fn run(&self, actions: Vec<Action>) -> Ran {
        self.project.run_with(plan(actions), &self.options()).unwrap()
    }

    pub fn evidence(&self) -> Vec<Evidence> {
        evidence(&self.project)
    }

    pub fn policy(&self) -> TrustPolicy {
        TrustPolicy::load(&self.project.path(FOLDER)).unwrap().unwrap()
    }

    /// What every signature of a statement is worth.
    pub fn standings(&self, evidence: &Evidence) -> Vec<Standing> {
        self.policy().judge(&evidence.envelope, None)
    }
}

pub struct Evidence {
    pub digest: Digest,
    pub entry: Entry,
    pub bytes: Vec<u8>,
    pub envelope: Envelope,
    pub statement: Statement,
}

impl Evidence {
    pub fn provenance(&self) -> Provenance {
        self.statement.read("the statement").unwrap()
    }

    pub fn run(&self) -> RunPredicate {
        self.statement.read("the statement").unwrap()
    }

    pub fn tests(&self) -> TestResult {
        self.statement.read("the statement").unwrap()
    }

    pub fn stage(&self) -> String {
        self.provenance().build_definition.external_parameters["stage"].as_str().unwrap().to_owned()
    }
}

/// Every statement of a project, in the order of the ledger.
pub fn evidence(project: &Project) -> Vec<Evidence> {
    let ledger = Ledger::load(&project.config.state_dir).unwrap();
    let read = |entry: &Entry| {
        let bytes = project.store.read(&entry.statement).unwrap();
        let envelope = Envelope::decode("it", &bytes).unwrap();
        let statement = Statement::from_envelope("it", &envelope).unwrap();
        Evidence { digest: entry.statement, entry: entry.clone(), bytes, envelope, statement }
    };
    ledger.entries().iter().map(read).collect()
}

pub fn of_kind(all: &[Evidence], kind: Kind) -> Vec<&Evidence> {
    all.iter().filter(|evidence| evidence.entry.kind == kind).collect()
}

/// Name and SHA-256 of each resource.
pub fn named(resources: &[Resource]) -> Vec<(String, String)> {
    resources
        .iter()
        .map(|resource| (resource.name.clone(), resource.sha256().unwrap_or_default().to_owned()))
        .collect()
}

pub fn sha256(path: &Path) -> String {
    Digest::of_file(path).unwrap().hex()
}
