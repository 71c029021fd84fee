//! A whole run → one statement that names every stage.

use std::{collections::BTreeMap, sync::PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::{Attestor, test::Verdict};
use crate::{
    digest::Digest,
    lineage::{Checkpoint, Kind, LineageError, RUN, Resource, statement::Written},
    plan::{ActionKey, StageId},
    record::{ActionResult, Failure, Outcome, RunId, RunOutcome, TargetVerdict, WaivedGate},
};

/// How one stage of a run ended.
pub struct RunEnd<'a> {
    /// The stage.
    pub stage: &'a StageId,
    /// How.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: &'a str,
    /// Its action key.
    pub key: Option<ActionKey>,
    /// Its result.
    pub result: Option<&'a ActionResult>,
    /// Why it failed.
    pub failure: Option<&'a Failure>,
}

/// Predicate of a run statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPredicate<S = Vec<RunStage>> {
    /// Id of the run.
    pub run: RunId,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Pipeline file and git commit.
    pub sources: Vec<Resource>,
    /// The orchestrator.
    pub builder: crate::lineage::Builder,
    /// When it started.
    pub started_on: Timestamp,
    /// When it ended.
    pub finished_on: Timestamp,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Every stage of the plan, in order.
    pub stages: S,
    /// Blobs of the statements on the pipeline's targets.
    pub verdicts: Vec<Digest>,
    /// Failed gates and targets that have a waiver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<WaivedGate>,
    /// The ledger before this statement.
    pub ledger: TreeHead,
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStage {
    /// The stage.
    pub stage: StageId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: String,
    /// Its action key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_key: Option<ActionKey>,
    /// Run in which its result was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_in: Option<RunId>,
    /// Blobs of its statements, the provenance first. Empty for a result of a release that made none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<Digest>,
    /// Digest of each output, by port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Digest>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Size and root of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeHead {
    /// Number of statements.
    pub size: u64,
    /// Root in hex.
    pub root: String,
}

/// Written one by one, so that there is only one at a time: a run may have thousands.
struct OneByOne<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for OneByOne<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

impl Attestor {
    /// Makes the statement of the whole run, and signs the ledger with it in it.
    pub fn run(
        &self,
        outcome: RunOutcome,
        ends: &[RunEnd<'_>],
        targets: &[TargetVerdict],
        waived: &[WaivedGate],
        finished: Timestamp,
    ) -> Result<Digest, LineageError> {
        let mut verdicts = Vec::new();
        if !targets.is_empty() {
            let all: Vec<Verdict> = targets.iter().map(Verdict::of_target).collect();
            let measured = ends.iter().filter(|end| targets.iter().any(|target| target.stage == *end.stage));
            let mut subject: Vec<Resource> = outputs(measured).collect();
            if subject.is_empty() {
                subject.push(self.stand_in());
            }
            let statement = self.verdicts(subject, None, &all)?;
            verdicts.push(self.publish(&statement, super::subjects(&statement), Kind::Test)?);
        }
        let ledger = {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            let head = Checkpoint::of(&book.ledger.leaves()?);
            TreeHead { size: head.size, root: hex::encode(head.root) }
        };
        let mut sources: Vec<Resource> = self.pipeline_resource().into_iter().collect();
        sources.extend(self.source_resource());
        let predicate = RunPredicate {
            run: self.facts.run,
            pipeline: self.facts.pipeline.clone(),
            sources,
            builder: self.builder(),
            started_on: self.facts.started,
            finished_on: finished,
            outcome,
            stages: OneByOne(ends.iter().map(|end| self.stage_of(end))),
            verdicts,
            waived: waived.to_vec(),
            ledger,
        };
        let outputs = outputs(ends.iter());
        let stand_in = if outputs.clone().next().is_none() { Some(self.stand_in()) } else { None };
        let subject = OneByOne(outputs.chain(stand_in));
        let digest = self.publish(&Written::new(subject, RUN, predicate), Vec::new(), Kind::Run)?;
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.ledger.checkpoint(&self.signing)?;
        Ok(digest)
    }

    /// A statement has to be about something; a run without an output is about its pipeline, or about its own name.
    fn stand_in(&self) -> Resource {
        let run = || Resource::new("run", &Digest::of(self.facts.run.to_string().as_bytes()));
        self.pipeline_resource().unwrap_or_else(run)
    }

    fn stage_of(&self, end: &RunEnd<'_>) -> RunStage {
        let result = end.result;
        RunStage {
            stage: end.stage.clone(),
            outcome: end.outcome,
            reason: self.redactor.text(end.reason),
            action_key: end.key,
            made_in: result.map(|result| result.run),
            statements: result.map_or_else(Vec::new, |result| result.attestations.clone()),
            outputs: result.map_or_else(BTreeMap::new, |result| {
                let digest = |(port, output): (&String, &crate::record::StoredOutput)| {
                    (port.clone(), output.artifact.digest)
                };
                result.outputs.iter().map(digest).collect()
            }),
            failure: end.failure.map(|failure| self.redactor.text(&failure.fault.message)),
        }
    }
}

/// Outputs of stages.
fn outputs<'a>(ends: impl Iterator<Item = &'a RunEnd<'a>> + Clone) -> impl Iterator<Item = Resource> + Clone {
    ends.flat_map(|end| {
        let outputs = end.result.into_iter().flat_map(|result| &result.outputs);
        outputs.map(|(port, output)| {
            Resource::artifact(format!("{}/{port}/{}", end.stage, output.file_name), &output.artifact)
        })
    })
}
