//! What people decide: that a result is approved, and that a gate which failed is waived for a while.
//!
//! A decision is a statement like any other, signed by one key, which is a person's, and a line of the ledger. An approval is about
//! bytes. A waiver is about the verdict that it was given for, and holds for that gate of that pipeline until the end of a day, while
//! what is found is no worse than what was seen. Whose decision it is, the signature says, and not the name in it. Only decisions by
//! trusted keys count.

use jiff::{Timestamp, civil::Date, tz::Offset};
use serde::{Deserialize, Serialize};

use super::{
    DECISION, Entry, Envelope, Kind, Ledger, Library, LineageError, Node, Redactor, Resource, RunPredicate,
    Signing, Standing, Statement, TestResult, TrustPolicy, Verdict,
};
use crate::{
    config::{Config, Sensitive},
    digest::Digest,
    plan::StageId,
    store::LocalStore,
};

/// Predicate of [`DECISION`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionPredicate {
    /// Name of the key that signs, as the trust policy calls it.
    pub by: String,
    /// When it was decided.
    pub finished_on: Timestamp,
    /// What.
    pub decision: Decision,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Decision {
    /// The subjects may be used for what they were made for.
    Approved {
        /// Why, in the words of who approves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A gate may fail.
    Waived {
        /// The gate.
        gate: Gate,
        /// Last day on which the waiver holds, in UTC.
        until: Date,
        /// Why, in the words of who waives.
        reason: String,
        /// What was found that made the waiver necessary.
        found: String,
        /// The same in numbers, where the gate has them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Seen>,
    },
}

/// A gate of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// The pipeline's file, or its name where it has none.
    pub pipeline: String,
    /// Stage that checks it; none for a target of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageId>,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.stage {
            Some(stage) => write!(formatter, "gate `{}` of stage `{stage}`", self.name),
            None => write!(formatter, "target `{}`", self.name),
        }
    }
}

/// A decision that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// Blob of the statement.
    pub statement: Digest,
    /// The trusted key that signed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub decision: Decision,
}

/// A waiver that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiver {
    /// Blob of the statement.
    pub statement: Digest,
    /// The gate.
    pub gate: Gate,
    /// The trusted key that signed it.
    pub by: String,
    /// Last day on which it holds, in UTC.
    pub until: Date,
    /// Why.
    pub reason: String,
    /// What was found when it was given, in words.
    pub found: String,
    /// The same in numbers, where the gate has them.
    pub seen: Option<Seen>,
}

impl Waiver {
    /// True until the end of its last day.
    fn lasts(&self, now: Timestamp) -> bool {
        Offset::UTC.to_datetime(now).date() <= self.until
    }

    /// Why it does not cover what was found; none where it does. Numbers are compared; a gate that has none must say the same again.
    fn exceeded_by(&self, verdict: &Verdict) -> Option<String> {
        match &self.seen {
            Some(seen) => seen.exceeded_by(verdict),
            None if self.found == verdict.reason => None,
            None => {
                Some(format!("it was given for \u{201c}{}\u{201d}, and this is something else", self.found))
            }
        }
    }
}

/// What a waiver means for a gate that failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling<'a> {
    /// The gate may fail as it does.
    Holds(&'a Waiver),
    /// It might have until the waiver's last day, which is over.
    Expired(&'a Waiver),
    /// It may fail, but not like this: why.
    Exceeded(&'a Waiver, String),
}

/// What a waiver was given for, in numbers: it covers no worse value, and no stricter limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The metric.
    pub metric: String,
    /// Its value, which missed the limit.
    pub value: f64,
    /// The limit. On which side of it the value lies says which way is worse.
    pub limit: f64,
}

impl Seen {
    /// Of a verdict that has numbers.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        Some(Self { metric: verdict.metric.clone()?, value: verdict.value?, limit: verdict.bound? })
    }

    /// True when more of the metric is worse.
    pub fn more_is_worse(&self) -> bool {
        self.value > self.limit
    }

    fn exceeded_by(&self, verdict: &Verdict) -> Option<String> {
        let Some(now) = Self::of(verdict) else {
            return Some(format!("it was given for a value of {}, and there is none now", self.value));
        };
        if now.metric != self.metric {
            return Some(format!("it was given for `{}`, and `{}` is asked now", self.metric, now.metric));
        }
        if now.more_is_worse() != self.more_is_worse() {
            return Some(format!("it was given against a limit of {} from the other side", self.limit));
        }
        let is_worse = |then: f64, now: f64| if self.more_is_worse() { now > then } else { now < then };
        if is_worse(self.value, now.value) {
            return Some(format!("it was given for {}, and {} is worse", self.value, now.value));
        }
        // A limit is stricter where more values miss it.
        if is_worse(now.limit, self.limit) {
            return Some(format!(
                "it was given against a limit of {}, and {} is stricter",
                self.limit, now.limit
            ));
        }
        None
    }
}

/// All waivers that count, whether they still hold or not.
#[derive(Debug, Clone, Default)]
pub struct Waivers(Vec<Waiver>);

impl Waivers {
    /// Those among the decisions.
    pub fn of(decided: impl IntoIterator<Item = Decided>) -> Self {
        let waiver = |one: Decided| match one.decision {
            Decision::Waived { gate, until, reason, found, seen } => {
                Some(Waiver { statement: one.statement, gate, by: one.by, until, reason, found, seen })
            }
            Decision::Approved { .. } => None,
        };
        Self(decided.into_iter().filter_map(waiver).collect())
    }

    /// Reads those of a project.
    pub fn load(
        config: &Config,
        store: &LocalStore,
        policy: Option<&TrustPolicy>,
    ) -> Result<Self, LineageError> {
        let ledger = Ledger::load(&config.state_dir)?;
        let library = Library::load_kind(&ledger, store, Kind::Decision);
        Ok(Self::of(decisions(&library, policy)))
    }

    /// What the waivers of a gate mean for the verdict that failed it; of several, the one that holds longest counts. None where the
    /// gate has none.
    pub fn judge(&self, gate: &Gate, verdict: &Verdict, now: Timestamp) -> Option<Ruling<'_>> {
        let mut all: Vec<&Waiver> = self.0.iter().filter(|waiver| waiver.gate == *gate).collect();
        all.sort_by_key(|waiver| std::cmp::Reverse(waiver.until));
        let lasting = || all.iter().copied().filter(|waiver| waiver.lasts(now));
        if let Some(waiver) = lasting().find(|waiver| waiver.exceeded_by(verdict).is_none()) {
            return Some(Ruling::Holds(waiver));
        }
        if let Some((waiver, why)) = lasting().find_map(|waiver| Some((waiver, waiver.exceeded_by(verdict)?)))
        {
            return Some(Ruling::Exceeded(waiver, why));
        }
        all.first().copied().map(Ruling::Expired)
    }
}

/// The decisions that count: those whose statement can be read and was signed by a trusted key.
pub fn decisions(library: &Library, policy: Option<&TrustPolicy>) -> Vec<Decided> {
    let nodes = library.nodes().iter().filter(|node| node.kind == Kind::Decision);
    nodes.filter_map(|node| decided(node, policy?)).collect()
}

/// The decisions that count about something.
pub fn decisions_about<'a>(
    library: &'a Library,
    policy: Option<&'a TrustPolicy>,
    sha256: &'a str,
) -> impl Iterator<Item = Decided> + 'a {
    let nodes = library.nodes().iter().filter(|node| node.kind == Kind::Decision);
    nodes.filter(move |node| node.is_about(sha256)).filter_map(move |node| decided(node, policy?))
}

fn decided(node: &Node, policy: &TrustPolicy) -> Option<Decided> {
    let told: DecisionPredicate = node.statement.read("a decision").ok()?;
    let standings = policy.judge(&node.envelope, Some(told.finished_on));
    let by = standings.into_iter().find_map(|standing| match standing {
        Standing::Trusted(name) => Some(name),
        _ => None,
    })?;
    Some(Decided { statement: node.digest, by, at: told.finished_on, decision: told.decision })
}

/// A gate that failed in a recorded run.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedGate {
    /// The gate.
    pub gate: Gate,
    /// What was found.
    pub found: String,
    /// The same in numbers, where the gate has them.
    pub seen: Option<Seen>,
    /// Blob of the statement that says so.
    pub verdicts: Digest,
}

/// The gate that a user means, by the name of a target, `stage:gate`, or the name of a gate that one stage has; as it failed in the
/// last recorded run that has it.
pub fn find_failed_gate(library: &Library, wanted: &str) -> Result<FailedGate, LineageError> {
    let (stage, name) = match wanted.rsplit_once(':') {
        Some((stage, name)) => (Some(stage), name),
        None => (None, wanted),
    };
    let mut known = Vec::new();
    for run in library.nodes().iter().rev().filter(|node| node.kind == Kind::Run) {
        let all = gates(library, run);
        let fits = |gate: &Gate| {
            gate.name == name && stage.is_none_or(|stage| gate.stage.as_ref().is_some_and(|of| of.0 == stage))
        };
        let meant: Vec<&(FailedGate, bool)> = all.iter().filter(|(found, _)| fits(&found.gate)).collect();
        let failed: Vec<&FailedGate> =
            meant.iter().filter(|(_, failed)| *failed).map(|(found, _)| found).collect();
        match (&failed[..], meant.is_empty()) {
            ([one], _) => return Ok((*one).clone()),
            ([], false) => return Err(LineageError::NotFailed { gate: wanted.to_owned() }),
            ([], true) => {
                known.extend(all.iter().filter(|(_, failed)| *failed).map(|(found, _)| written(&found.gate)))
            }
            (several, _) => {
                return Err(LineageError::Ambiguous {
                    what: format!("`{wanted}`"),
                    choices: several.iter().map(|found| written(&found.gate)).collect(),
                });
            }
        }
    }
    known.sort_unstable();
    known.dedup();
    Err(LineageError::NoGate { name: wanted.to_owned(), failed: known })
}

/// As a user writes a gate.
fn written(gate: &Gate) -> String {
    gate.stage.as_ref().map_or_else(|| gate.name.clone(), |stage| format!("{stage}:{}", gate.name))
}

/// The gates of a run, and whether they failed.
fn gates(library: &Library, run: &Node) -> Vec<(FailedGate, bool)> {
    let Ok(predicate) = run.statement.read::<RunPredicate>("a run") else { return Vec::new() };
    let pipeline = pipeline_of(&predicate);
    let of_stages = predicate
        .stages
        .iter()
        .flat_map(|stage| stage.statements.iter().map(move |one| (Some(&stage.stage), one)));
    let mut found = Vec::new();
    for (stage, digest) in of_stages.chain(predicate.verdicts.iter().map(|digest| (None, digest))) {
        let node = library.blob(&digest.hex()).filter(|node| node.kind == Kind::Test);
        let tests = node.and_then(|node| node.statement.read::<TestResult>("verdicts").ok());
        let (Some(node), Some(tests)) = (node, tests) else { continue };
        for verdict in tests.configuration.iter().filter_map(Resource::inline_value::<Verdict>) {
            let failed = tests.failed_tests.contains(&verdict.gate);
            let seen = Seen::of(&verdict);
            let gate = Gate { pipeline: pipeline.clone(), stage: stage.cloned(), name: verdict.gate };
            found.push((FailedGate { gate, found: verdict.reason, seen, verdicts: node.digest }, failed));
        }
    }
    found
}

/// What a pipeline is called in a waiver.
pub(super) fn pipeline_of(run: &RunPredicate) -> String {
    let file =
        run.sources.iter().find(|source| source.name == "pipeline").and_then(|source| source.note("path"));
    file.unwrap_or(&run.pipeline).to_owned()
}

/// A decision that is about to be signed.
pub struct Proposal {
    /// What it is about.
    pub subject: Vec<Resource>,
    /// What is decided.
    pub decision: Decision,
    /// When.
    pub at: Timestamp,
}

/// Signs a decision with one key, stores it, and writes it down. `all` are the keys that sign here; where they are enough for the
/// trust policy, they sign the ledger as well, so that the decision can't be taken out again unseen.
pub fn decide(
    config: &Config,
    store: &LocalStore,
    policy: &TrustPolicy,
    all: &Signing,
    key: &str,
    proposal: Proposal,
) -> Result<Decided, LineageError> {
    let one = all.clone().only(key)?;
    let by = one.names().first().map(|name| (*name).to_owned()).unwrap_or_default();
    let predicate =
        DecisionPredicate { by: by.clone(), finished_on: proposal.at, decision: proposal.decision };
    let statement = Statement::new(proposal.subject, DECISION, &predicate)?;
    let mut value = serde_json::to_value(&statement).map_err(LineageError::encode("a statement"))?;
    Redactor::new(&config.root, &Sensitive::read()).scrub(&mut value);
    let payload = serde_json::to_vec(&value).map_err(LineageError::encode("a statement"))?;
    let bytes = one.seal(super::IN_TOTO, &payload)?.encode()?;
    // What is stored is what counts, after everything secret was taken out.
    let envelope = Envelope::decode("the decision", &bytes)?;
    let said: DecisionPredicate =
        Statement::from_envelope("the decision", &envelope)?.read("the decision")?;
    let digest = store.put(&bytes)?;
    let subjects =
        statement.subject.iter().filter_map(|subject| subject.sha256().map(str::to_owned)).collect();
    let mut ledger = Ledger::load(&config.state_dir)?;
    ledger.append(&[Entry::new(&bytes, Kind::Decision, None, subjects)])?;
    if all.names().len() >= policy.threshold as usize {
        ledger.checkpoint(all)?;
    }
    Ok(Decided { statement: digest, by, at: said.finished_on, decision: said.decision })
}
