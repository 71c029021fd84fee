//! Statements on a run's results, to be walked from one to the next, and what a verification says of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{
    digest::Digest,
    lineage::{
        Fault, Ledger, Library, Node, Resource, RunPredicate, Standing, TREE, TrustPolicy, Verification,
    },
};

/// Files of a folder that are named one by one.
const FILES_SHOWN: usize = 24;

/// What statements say of a run's results.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LineageView {
    /// The statement on the run itself.
    pub run_statement: Option<Digest>,
    /// Who signed it.
    pub run_signed: Vec<String>,
    /// Statements on the results and on all that they were made from, producers first.
    pub statements: Vec<StatementView>,
    /// Statements in the project's ledger.
    pub ledger_size: usize,
    /// What the verification found; none if it was not asked for, or where there is nothing to verify.
    pub verified: Option<Verified>,
}

/// One statement on one stage's result.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StatementView {
    /// Its blob.
    pub statement: Digest,
    /// The stage.
    pub stage: String,
    /// Run in which the stage ran.
    pub run: String,
    /// When its outputs were stored.
    pub finished: Option<Timestamp>,
    /// Who signed, in words.
    pub signed: Vec<String>,
    /// Every signature counts and there is one.
    pub trusted: bool,
    /// What it read.
    pub inputs: Vec<InputView>,
    /// Program, pipeline file and commit.
    pub made_with: Vec<SubjectView>,
    /// What it made.
    pub outputs: Vec<SubjectView>,
    /// Outputs that are not named here.
    pub more_outputs: usize,
    /// Statements on stages that read some of it, as positions in the list.
    pub used_by: Vec<usize>,
}

/// What a stage read.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InputView {
    /// Port and name.
    pub name: String,
    /// SHA-256 in hex.
    pub sha256: String,
    /// Place in the work tree.
    pub path: Option<String>,
    /// Files, of a folder.
    pub files: Option<u64>,
    /// Statement on what made it, as a position in the list.
    pub origin: Option<usize>,
}

/// Something with a hash.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubjectView {
    /// What it is called.
    pub name: String,
    /// The hash, or a commit.
    pub hash: String,
    /// A version, a branch, or that files were not committed.
    pub note: Option<String>,
}

/// What a verification found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verified {
    /// When.
    pub at: Timestamp,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What could not be looked at.
    pub notes: Vec<String>,
    /// Statements whose signatures were checked.
    pub statements: usize,
    /// Files that were hashed.
    pub files: usize,
}

impl Verified {
    pub(super) fn new(found: Verification, at: Timestamp) -> Self {
        let Verification { faults, notes, statements, files, .. } = found;
        Self { at, faults, notes, statements, files }
    }
}

impl LineageView {
    /// What a run's statement leads to.
    pub(super) fn of(library: &Library, ledger: &Ledger, policy: Option<&TrustPolicy>, run: &Node) -> Self {
        let named = run.statement.read::<RunPredicate>("the statement on the run");
        let digests =
            named.iter().flat_map(|predicate| &predicate.stages).flat_map(|stage| &stage.statements);
        let mut seen = BTreeSet::new();
        let mut nodes = Vec::new();
        for node in
            digests.filter_map(|digest| library.blob(&digest.hex())).filter(|node| node.stage().is_some())
        {
            nodes.extend(library.ancestry_past(node, &mut seen));
        }
        let statements = views(library, policy, nodes);
        let finished = named.ok().map(|predicate| predicate.finished_on);
        Self {
            run_statement: Some(run.digest),
            run_signed: signers(policy, run, finished).0,
            statements,
            ledger_size: ledger.entries().len(),
            verified: None,
        }
    }
}

/// Statements, each once, producers first, with the ways from one to the other.
pub(super) fn views<'a>(
    library: &'a Library,
    policy: Option<&TrustPolicy>,
    mut nodes: Vec<&'a Node>,
) -> Vec<StatementView> {
    // Of the ledger, in which what is read stands before what reads it.
    let order: BTreeMap<Digest, usize> =
        library.nodes().iter().enumerate().map(|(at, node)| (node.digest, at)).collect();
    nodes.sort_by_key(|node| order.get(&node.digest).copied());
    nodes.dedup_by_key(|node| node.digest);
    let at: BTreeMap<Digest, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.digest, index)).collect();
    let mut statements: Vec<StatementView> =
        nodes.iter().map(|node| statement(library, policy, node, &at)).collect();
    for reader in 0..statements.len() {
        let origins: BTreeSet<usize> =
            statements[reader].inputs.iter().filter_map(|input| input.origin).collect();
        origins.into_iter().for_each(|origin| statements[origin].used_by.push(reader));
    }
    statements
}

fn statement(
    library: &Library,
    policy: Option<&TrustPolicy>,
    node: &Node,
    at: &BTreeMap<Digest, usize>,
) -> StatementView {
    let details = node.provenance.as_ref().map(|one| &one.run_details);
    let finished = details.and_then(|one| one.metadata.finished_on);
    let (signed, trusted) = signers(policy, node, finished);
    let definition = node.provenance.as_ref().map(|one| &one.build_definition);
    let others = definition.iter().flat_map(|one| &one.resolved_dependencies);
    let inputs = node.inputs().map(|input| InputView {
        name: input.name.strip_prefix("input:").unwrap_or(&input.name).to_owned(),
        sha256: input.sha256().unwrap_or_default().to_owned(),
        path: input.note("path").map(str::to_owned),
        files: (input.media_type == TREE)
            .then(|| input.annotations.get("files").and_then(Value::as_u64))
            .flatten(),
        origin: library.origin(node, input).and_then(|origin| at.get(&origin.digest).copied()),
    });
    let subjects = &node.statement.subject;
    StatementView {
        statement: node.digest,
        stage: node.stage().unwrap_or_default().to_owned(),
        run: details
            .and_then(|one| one.metadata.invocation_id.split('/').next())
            .unwrap_or_default()
            .to_owned(),
        finished,
        signed,
        trusted,
        inputs: inputs.collect(),
        made_with: others.filter(|one| !one.name.starts_with("input:")).map(made_with).collect(),
        outputs: subjects.iter().take(FILES_SHOWN).map(subject).collect(),
        more_outputs: subjects.len().saturating_sub(FILES_SHOWN),
        used_by: Vec::new(),
    }
}

fn subject(one: &Resource) -> SubjectView {
    SubjectView { name: one.name.clone(), hash: one.sha256().unwrap_or_default().to_owned(), note: None }
}

fn made_with(one: &Resource) -> SubjectView {
    let commit = one.digest.get("gitCommit");
    let dirty = one.annotations.get("uncommitted-changes") == Some(&Value::Bool(true));
    let note = match (dirty, one.uri.is_empty()) {
        (true, _) => Some("with changes that were not committed".to_owned()),
        (false, false) => Some(one.uri.clone()),
        (false, true) => one.note("version").or_else(|| one.note("path")).map(str::to_owned),
    };
    let (name, hash) = match commit {
        Some(commit) => ("commit", commit.clone()),
        None => (one.name.as_str(), one.sha256().unwrap_or_default().to_owned()),
    };
    SubjectView { name: name.to_owned(), hash, note }
}

/// Who signed, in words; true when there is a signature and all of them count.
fn signers(policy: Option<&TrustPolicy>, node: &Node, made: Option<Timestamp>) -> (Vec<String>, bool) {
    if node.envelope.signatures().is_empty() {
        return (vec!["unsigned".to_owned()], false);
    }
    let Some(policy) = policy else {
        return (vec!["signed; this project has no trust policy".to_owned()], false);
    };
    let standings = policy.judge(&node.envelope, made);
    let trusted = standings.iter().all(|standing| matches!(standing, Standing::Trusted(_)));
    let words = standings.into_iter().map(|standing| match standing {
        Standing::Trusted(name) => format!("signed by {name}"),
        Standing::Revoked { name, reason } => format!("signed by {name}, which is revoked ({reason})"),
        Standing::Unknown(id) => format!("signed by an unknown key {}", id.get(..12).unwrap_or(&id)),
        Standing::Wrong(name) => format!("the signature of {name} is wrong"),
    });
    (words.collect(), trusted)
}
