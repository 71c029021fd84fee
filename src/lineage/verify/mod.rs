//! Is the evidence whole, true and signed by those who may?

mod bytes;
mod fault;
mod ledger;
mod proofs;

use std::{collections::BTreeSet, path::Path};

pub use fault::{Fault, FaultKind};
use jiff::Timestamp;

use super::{
    Blobs, Checkpoint, Decided, Decision, Envelope, Gate, Kind, Ledger, Library, Node, Resource, Ruling,
    RunPredicate, Standing, TestResult, TrustPolicy, Verdict, Waivers, bundle::LogProofs,
    decision::pipeline_of, decisions, decisions_about,
};
use crate::store::LocalStore;

/// What a verification looks at.
pub struct Case<'a> {
    /// Where the bytes of statements and artifacts are.
    pub blobs: &'a dyn Blobs,
    /// What no statement can be taken out of unseen.
    pub log: Log<'a>,
    /// The statements.
    pub library: &'a Library,
    /// Whose signatures count; without a policy nobody's.
    pub policy: Option<&'a TrustPolicy>,
    /// Data to compare with what the stages read; none leaves that out.
    pub sources: Option<WorkTree<'a>>,
    /// Bytes that are not there are a fault.
    pub bytes: bool,
}

/// What no statement can be taken out of unseen.
#[derive(Clone, Copy)]
pub enum Log<'a> {
    /// The ledger of a project, whole.
    Ledger(&'a Ledger),
    /// Proofs for some of its statements, as a bundle has them.
    Proofs(&'a LogProofs),
}

/// Data in a project.
#[derive(Clone, Copy)]
pub struct WorkTree<'a> {
    /// Root of the project.
    pub root: &'a Path,
    /// Knows which paths are hidden, and remembers what was hashed.
    pub store: &'a LocalStore,
}

impl Case<'_> {
    /// Where bytes are looked for, in words.
    fn place(&self) -> &'static str {
        match self.log {
            Log::Ledger(_) => "in the store",
            Log::Proofs(_) => "in the bundle",
        }
    }
}

/// What it found.
#[derive(Debug, Default)]
pub struct Verification {
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What could not be looked at, and is no fault.
    pub notes: Vec<String>,
    /// Statements whose signatures were checked.
    pub statements: usize,
    /// Files that were hashed.
    pub files: usize,
    /// Gates that were looked at.
    pub gates: usize,
}

impl Verification {
    fn fault(&mut self, kind: FaultKind, link: impl Into<String>, what: impl Into<String>) {
        let fault = Fault { kind, link: link.into(), what: what.into() };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// The gravest fault, which decides how a check ends.
    pub fn gravest(&self) -> Option<FaultKind> {
        self.faults.iter().map(|fault| fault.kind).min()
    }
}

/// Verifies what made `node` and everything that went into it: signatures, bytes, completeness, gates, and the last run that
/// has `sha256`, or any output of the stage, as a result; then the ledger as a whole.
pub fn verify_chain(case: &Case<'_>, node: &Node, sha256: Option<&str>) -> Verification {
    verify_chains(case, &[(node, sha256)])
}

/// As [`verify_chain`], of several results.
pub fn verify_chains(case: &Case<'_>, starts: &[(&Node, Option<&str>)]) -> Verification {
    let mut found = Verification::default();
    let (mut seen, mut seen_bytes, mut runs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (node, sha256) in starts {
        for link in case.library.ancestry_past(node, &mut seen) {
            signatures(case, link, &mut found);
            bytes::outputs(case, link, &mut seen_bytes, case.bytes, &mut found);
            bytes::sources(case, link, &mut found);
            complete(case, link, &mut found);
        }
        let subject = sha256.or_else(|| node.statement.subject.first().and_then(Resource::sha256));
        match subject.and_then(|hash| case.library.last_run(hash)) {
            Some(run) if !runs.insert(run.digest) => {}
            Some(run) => {
                signatures(case, run, &mut found);
                whole_run(case, run, true, &mut found);
            }
            None => {
                let what = "no finished run has its result: its run was stopped, or its statement is lost";
                match case.log {
                    Log::Ledger(_) => found.notes.push(format!("{}: {what}", name(node))),
                    // A bundle is made of finished runs, and without them its gates are not known.
                    Log::Proofs(_) => found.fault(FaultKind::Incomplete, name(node), what),
                }
            }
        }
        approvals(case, node, *sha256, &mut found);
    }
    ledger::verify(case, &mut found);
    found
}

/// Who approved what is verified. A decision by nobody who is trusted is told as well, and approves nothing.
fn approvals(case: &Case<'_>, node: &Node, sha256: Option<&str>, found: &mut Verification) {
    let subjects = node.statement.subject.iter().filter_map(Resource::sha256);
    let asked: BTreeSet<&str> = subjects.filter(|hash| sha256.is_none_or(|wanted| wanted == *hash)).collect();
    let nodes = case.library.nodes().iter().filter(|node| node.kind == Kind::Decision);
    for decision in nodes.filter(|node| asked.iter().any(|hash| node.is_about(hash))) {
        signatures(case, decision, found);
        let counts = asked.iter().flat_map(|hash| decisions_about(case.library, case.policy, hash));
        let counts = counts.filter(|one| one.statement == decision.digest).take(1);
        for Decided { by, at, decision, .. } in counts {
            if let Decision::Approved { reason } = decision {
                let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                found.notes.push(format!("{by} approved it at {at:.0}{why}"));
            }
        }
    }
}

/// Verifies a run: every statement that it names, what those were made from, and the ledger. With `bytes`, everything they name
/// is hashed again; gates that failed are the run's outcome and no fault here.
pub fn verify_run(case: &Case<'_>, run: &Node, bytes: bool) -> Verification {
    let mut found = Verification::default();
    let mut seen_bytes = BTreeSet::new();
    signatures(case, run, &mut found);
    whole_run(case, run, false, &mut found);
    let named = run.statement.read::<RunPredicate>(&name(run)).map(|predicate| predicate.stages);
    let digests = named.iter().flatten().flat_map(|stage| &stage.statements);
    let mut seen = BTreeSet::new();
    for node in digests.filter_map(|digest| case.library.blob(&digest.hex())) {
        for link in case.library.ancestry_past(node, &mut seen) {
            signatures(case, link, &mut found);
            if bytes {
                bytes::outputs(case, link, &mut seen_bytes, case.bytes, &mut found);
            }
            bytes::sources(case, link, &mut found);
            complete(case, link, &mut found);
        }
    }
    ledger::verify(case, &mut found);
    found
}

/// Verifies every statement of the project and the ledger. Bytes that were collected, and data that has changed since, are
/// no fault of old statements; gates are judged where an artifact is verified.
pub fn verify_all(case: &Case<'_>) -> Verification {
    let mut found = Verification::default();
    let mut seen_bytes = BTreeSet::new();
    for node in case.library.nodes() {
        signatures(case, node, &mut found);
        match node.kind {
            Kind::Stage => {
                bytes::outputs(case, node, &mut seen_bytes, false, &mut found);
                complete(case, node, &mut found);
            }
            Kind::Run => whole_run(case, node, false, &mut found),
            Kind::Test | Kind::Decision => {}
        }
    }
    ledger::verify(case, &mut found);
    found
}

/// Adds to a verification whether the ledger continues a checkpoint that was kept elsewhere.
pub fn verify_since(case: &Case<'_>, ledger: &Ledger, kept: &Envelope, found: &mut Verification) {
    judge(case, kept, ledger::time(case, ledger, kept), "the kept checkpoint", found);
    match Checkpoint::from_envelope("the kept checkpoint", kept) {
        Ok(checkpoint) => ledger::since(ledger, &checkpoint, found),
        Err(error) => found.fault(FaultKind::Malformed, "the kept checkpoint", error.to_string()),
    }
}

/// What a statement is called in findings.
pub(super) fn name(node: &Node) -> String {
    let short = node.digest.short();
    match (node.kind, node.stage()) {
        (Kind::Stage, Some(stage)) => format!("stage `{stage}` (statement {short})"),
        (Kind::Test, _) => format!("verdicts (statement {short})"),
        (Kind::Run, _) => {
            let run = node.statement.predicate.get("run").and_then(|run| run.as_str()).unwrap_or("?");
            format!("run {run} (statement {short})")
        }
        (Kind::Decision, _) => format!("decision (statement {short})"),
        _ => format!("statement {short}"),
    }
}

/// When a statement says to have been made. Verdicts have no time of their own; that of the statement that names them counts.
pub(super) fn made(library: &Library, node: &Node) -> Option<Timestamp> {
    let node = if node.kind == Kind::Test { library.namer(node)? } else { node };
    if let Some(provenance) = &node.provenance {
        return provenance.run_details.metadata.finished_on;
    }
    node.statement.predicate.get("finishedOn")?.as_str()?.parse().ok()
}

fn signatures(case: &Case<'_>, node: &Node, found: &mut Verification) {
    found.statements += 1;
    // A decision is one person's.
    let threshold =
        if node.kind == Kind::Decision { 1 } else { case.policy.map_or(1, |policy| policy.threshold) };
    judge_by(case, &node.envelope, made(case.library, node), threshold, &name(node), found);
}

/// Judges the signatures of an envelope: one that is wrong is a fault however many others are right.
pub(super) fn judge(
    case: &Case<'_>,
    envelope: &Envelope,
    made: Option<Timestamp>,
    link: &str,
    found: &mut Verification,
) {
    judge_by(case, envelope, made, case.policy.map_or(1, |policy| policy.threshold), link, found);
}

fn judge_by(
    case: &Case<'_>,
    envelope: &Envelope,
    made: Option<Timestamp>,
    threshold: u32,
    link: &str,
    found: &mut Verification,
) {
    if envelope.signatures().is_empty() {
        return found.fault(FaultKind::Unsigned, link, "it is not signed");
    }
    let Some(policy) = case.policy else {
        return found.fault(
            FaultKind::Untrusted,
            link,
            "there is no trust policy, so nobody's signature counts",
        );
    };
    let mut trusted = BTreeSet::new();
    let mut others = Vec::new();
    for standing in policy.judge(envelope, made) {
        match standing {
            Standing::Trusted(name) => drop(trusted.insert(name)),
            Standing::Wrong(name) => {
                found.fault(
                    FaultKind::Signature,
                    link,
                    format!("the signature of `{name}` is not over these bytes"),
                );
            }
            Standing::Revoked { name, reason } => others.push(format!("`{name}` is revoked ({reason})")),
            Standing::Unknown(id) => {
                others.push(format!("the key {} is not in the trust policy", id.get(..12).unwrap_or(&id)))
            }
        }
    }
    if (trusted.len() as u32) < threshold {
        let wants = if threshold > 1 {
            format!("{} of {threshold} trusted signatures", trusted.len())
        } else {
            "no trusted signature".to_owned()
        };
        let why = if others.is_empty() { String::new() } else { format!(": {}", others.join("; ")) };
        found.fault(FaultKind::Untrusted, link, format!("{wants}{why}"));
    }
}

/// Everything that a stage statement leads to must be there.
fn complete(case: &Case<'_>, node: &Node, found: &mut Verification) {
    for input in node.inputs() {
        let (Some(stage), Some(hash)) = (input.note("stage"), input.sha256()) else { continue };
        let made = case.library.origin(node, input).is_some_and(|origin| origin.is_about(hash));
        if !made {
            let what = format!("it read {} of stage `{stage}`, on which there is no statement", input.name);
            found.fault(FaultKind::Incomplete, name(node), what);
        }
    }
    let byproducts = node.provenance.iter().flat_map(|one| &one.run_details.byproducts);
    for gates in byproducts.filter(|one| one.name == "gates") {
        let verdicts = gates.sha256().and_then(|hash| case.library.blob(hash));
        if verdicts.is_none_or(|one| one.kind != Kind::Test) {
            found.fault(FaultKind::Incomplete, name(node), "the statement on its gates is not there");
        }
    }
}

/// Every statement that a run names must be there and about what the run says; with `gates`, all must have passed.
fn whole_run(case: &Case<'_>, run: &Node, gates: bool, found: &mut Verification) {
    let link = name(run);
    let predicate: RunPredicate = match run.statement.read(&link) {
        Ok(predicate) => predicate,
        Err(error) => return found.fault(FaultKind::Malformed, link, error.to_string()),
    };
    let waivers = Waivers::of(decisions(case.library, case.policy));
    let stages =
        predicate.stages.iter().flat_map(|stage| stage.statements.iter().map(move |one| (Some(stage), one)));
    for (stage, digest) in stages.chain(predicate.verdicts.iter().map(|digest| (None, digest))) {
        let of = stage.map_or_else(|| "its targets".to_owned(), |stage| format!("stage `{}`", stage.stage));
        let Some(node) = case.library.blob(&digest.hex()) else {
            found.fault(
                FaultKind::Incomplete,
                &link,
                format!("the statement {} on {of} is not there", digest.short()),
            );
            continue;
        };
        if let (Some(stage), Kind::Stage) = (stage, node.kind) {
            for (port, output) in stage.outputs.iter().filter(|(_, output)| !node.is_about(&output.hex())) {
                let what = format!("{of} has the output {port} {output}, which its statement does not name");
                found.fault(FaultKind::Incomplete, &link, what);
            }
        }
        if gates && node.kind == Kind::Test {
            signatures(case, node, found);
            let gate_of = |name: &str| Gate {
                pipeline: pipeline_of(&predicate),
                stage: stage.map(|stage| stage.stage.clone()),
                name: name.to_owned(),
            };
            verdicts(node, &of, &gate_of, &waivers, found);
        }
    }
}

fn verdicts(
    node: &Node,
    of: &str,
    gate_of: &dyn Fn(&str) -> Gate,
    waivers: &Waivers,
    found: &mut Verification,
) {
    let tests: TestResult = match node.statement.read(&name(node)) {
        Ok(tests) => tests,
        Err(error) => return found.fault(FaultKind::Malformed, name(node), error.to_string()),
    };
    found.gates += tests.passed_tests.len() + tests.failed_tests.len() + tests.warned_tests.len();
    for gate in &tests.failed_tests {
        let verdict = tests.configuration.iter().find(|one| one.name == *gate);
        let verdict = verdict.and_then(Resource::inline_value::<Verdict>);
        let reason = verdict.as_ref().map_or("no reason was kept", |verdict| verdict.reason.as_str());
        let what = format!("gate `{gate}` of {of} failed: {reason}");
        // Of a verdict that can't be read nobody knows how bad it is.
        match verdict.as_ref().and_then(|one| waivers.judge(&gate_of(gate), one, Timestamp::now())) {
            Some(Ruling::Holds(waiver)) => found
                .notes
                .push(format!("{what}; {} waived it until {}: {}", waiver.by, waiver.until, waiver.reason)),
            Some(Ruling::Expired(waiver)) => found.fault(
                FaultKind::Gate,
                name(node),
                format!("{what}; the waiver by {} expired on {}", waiver.by, waiver.until),
            ),
            Some(Ruling::Exceeded(waiver, why)) => found.fault(
                FaultKind::Gate,
                name(node),
                format!("{what}; the waiver by {} does not cover it: {why}", waiver.by),
            ),
            None => found.fault(FaultKind::Gate, name(node), what),
        }
    }
    for gate in &tests.warned_tests {
        found.notes.push(format!("gate `{gate}` of {of} could not be measured, so it did not pass"));
    }
}
