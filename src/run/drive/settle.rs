//! Ends of stages and of the run.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use jiff::Timestamp;
use stagewright_protocol::GateStatus;

use super::{Driver, NOT_SELECTED, millis};
use crate::{
    digest::Digest,
    lineage::{Gate, Ruling, RunEnd, Verdict},
    plan::{ActionKey, StageId},
    record::{
        ActionResult, Failure, Measured, Outcome, RunEvent, RunOutcome, VerifiedHit, WaivedGate, flatten,
    },
    run::{
        RunError, RunSummary, StageSummary,
        inputs::Settled,
        scheduler::{Ended, Node},
        select::Part,
        targets,
    },
};

/// What the run's statement says of a stage.
fn end(summary: &StageSummary) -> RunEnd<'_> {
    let StageSummary { stage, outcome, reason, key, result, failure, duration: _ } = summary;
    let (outcome, key, result) = (*outcome, *key, result.as_deref());
    RunEnd { stage, outcome, reason, key, result, failure: failure.as_ref() }
}

/// How a stage ended.
struct Ending {
    outcome: Outcome,
    reason: String,
    key: Option<ActionKey>,
    result: Option<Arc<ActionResult>>,
    failure: Option<Failure>,
    settled: Settled,
}

impl Ending {
    fn without_result(outcome: Outcome, reason: String, key: Option<ActionKey>) -> Self {
        Self { outcome, reason, key, result: None, failure: None, settled: Settled::NoResult(outcome) }
    }
}

impl Driver<'_> {
    pub(super) fn succeed(
        &mut self,
        node: Node,
        outcome: Outcome,
        key: ActionKey,
        reason: String,
        result: Arc<ActionResult>,
    ) -> Result<(), RunError> {
        self.remember(node, &result)?;
        self.attested(node, outcome, &result)?;
        let settled = Settled::Result(Arc::clone(&result));
        self.end(
            node,
            Ending { outcome, reason, key: Some(key), result: Some(result), failure: None, settled },
        )
    }

    /// Tells of the statements on a result; those of a reused one may have been made elsewhere.
    fn attested(&mut self, node: Node, outcome: Outcome, result: &ActionResult) -> Result<(), RunError> {
        if result.attestations.is_empty() {
            return Ok(());
        }
        if outcome == Outcome::Cached {
            self.shared.attestor.adopt(result)?;
        }
        Ok(self.recorder.note(&RunEvent::Attested {
            at: Timestamp::now(),
            stage: Some(self.actions[node].id.clone()),
            statements: result.attestations.clone(),
            keys: self.shared.attestor.key_ids(),
        })?)
    }

    pub(super) fn fail(
        &mut self,
        node: Node,
        key: Option<ActionKey>,
        reason: String,
        failure: Failure,
    ) -> Result<(), RunError> {
        let ending = Ending::without_result(Outcome::Failed, reason, key);
        self.end(node, Ending { failure: Some(failure), ..ending })?;
        if !self.keep_going && !self.actions[node].continue_on_error && self.stopping.is_none() {
            self.stop(format!("not started, because `{}` failed", self.actions[node].id))?;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, node: Node, reason: String, settled: Settled) -> Result<(), RunError> {
        self.end(node, Ending { settled, ..Ending::without_result(Outcome::Skipped, reason, None) })
    }

    pub(super) fn cancel(
        &mut self,
        node: Node,
        key: Option<ActionKey>,
        reason: String,
    ) -> Result<(), RunError> {
        self.end(node, Ending::without_result(Outcome::Cancelled, reason, key))
    }

    pub(super) fn end_without_result(
        &mut self,
        node: Node,
        outcome: Outcome,
        reason: String,
    ) -> Result<(), RunError> {
        self.end(node, Ending::without_result(outcome, reason, None))
    }

    /// Nothing new starts any more, but for what outlives it; what runs goes on to its end.
    pub(super) fn stop(&mut self, reason: String) -> Result<(), RunError> {
        self.stopping = Some(reason.clone());
        for node in self.scheduler.stop() {
            let key = self.queued.remove(&node).map(|miss| miss.key);
            // Those that wait for an equal stage which will never start.
            let waiting = key.and_then(|key| self.in_flight.remove(&key)).unwrap_or_default();
            let ending = self.not_begun(node, Outcome::Cancelled, reason.clone());
            self.end(node, Ending { key, ..ending })?;
            for node in waiting {
                if self.outlives(node) {
                    self.again.push(node);
                } else {
                    self.cancel(node, key, reason.clone())?;
                }
            }
        }
        Ok(())
    }

    /// Keeps in mind what the next run compares with.
    pub(super) fn remember(&mut self, node: Node, result: &ActionResult) -> Result<(), RunError> {
        Ok(self.history.note(&self.actions[node].id, result)?)
    }

    /// What becomes of a stage whose turn never came: one that would not have run anyway keeps its own reason.
    fn not_begun(&self, node: Node, outcome: Outcome, reason: String) -> Ending {
        let skipped = |reason: &str, settled| Ending {
            settled,
            ..Ending::without_result(Outcome::Skipped, reason.to_owned(), None)
        };
        match (self.parts[node], &self.actions[node].skip) {
            (Part::Unwanted, _) => skipped(NOT_SELECTED, Settled::Unwanted),
            (_, Some(reason)) => skipped(reason, Settled::Skipped),
            _ => Ending::without_result(outcome, reason, None),
        }
    }

    fn end(&mut self, node: Node, ending: Ending) -> Result<(), RunError> {
        if self.summaries[node].is_some() {
            return Ok(());
        }
        let id = self.actions[node].id.clone();
        let how =
            if matches!(ending.settled, Settled::NoResult(_)) { Ended::NoResult } else { Ended::Settled };
        let word = ending.outcome;
        self.note_end(node, ending)?;
        for blocked in self.scheduler.settle(node, how) {
            let reason = match word {
                Outcome::Cancelled => format!("`{id}` was cancelled"),
                _ => format!("`{id}` failed"),
            };
            // What a cancelled run did not come to was not blocked by anything.
            let outcome = if word == Outcome::Cancelled { Outcome::Cancelled } else { Outcome::Blocked };
            let ending = self.not_begun(blocked, outcome, reason);
            self.note_end(blocked, ending)?;
        }
        self.check_targets(false)
    }

    fn note_end(&mut self, node: Node, ending: Ending) -> Result<(), RunError> {
        let Ending { outcome, reason, key, result, failure, settled } = ending;
        let reason = self.with_evidence(node, reason);
        let duration = self.began[node].map(|began| began.elapsed()).unwrap_or_default();
        let id = self.actions[node].id.clone();
        let asked = self.materials.remove(&node).unwrap_or_default();
        self.recorder.note(&RunEvent::StageEnded {
            at: Timestamp::now(),
            stage: id.clone(),
            outcome,
            reason: reason.clone(),
            key,
            material: result.as_ref().map_or(asked, |result| flatten(&result.material)),
            made_in: result.as_ref().map(|result| result.run),
            outputs: result.as_ref().map_or_else(BTreeMap::new, |result| result.outputs.clone()),
            measured: result.as_ref().map_or_else(Measured::default, |result| result.measured.clone()),
            failure: failure.clone(),
            duration_ms: millis(duration),
            made_in_ms: result.as_ref().map(|result| result.duration_ms()),
        })?;
        self.summaries[node] =
            Some(StageSummary { stage: id.clone(), outcome, reason, key, result, failure, duration });
        self.settled.insert(id, settled);
        Ok(())
    }

    /// Judges the targets whose stages have all ended; at the end of the run, all that are left.
    fn check_targets(&mut self, all: bool) -> Result<(), RunError> {
        let plan = self.plan;
        for index in std::mem::take(&mut self.open_targets) {
            let unknown = Settled::Unwanted;
            let settled = |stage: &_| self.settled.get(stage).or(all.then_some(&unknown));
            match targets::check(&plan.targets[index], settled) {
                None => self.open_targets.push(index),
                Some(verdict) => {
                    self.recorder
                        .note(&RunEvent::TargetChecked { at: Timestamp::now(), verdict: verdict.clone() })?;
                    self.verdicts.push(verdict);
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        began: Instant,
        verified: Vec<VerifiedHit>,
    ) -> Result<RunSummary, RunError> {
        self.check_targets(true)?;
        if let Err(error) = self.shared.folders.finish() {
            // The next run tries again.
            tracing::warn!(%error, "the run's private folder could not be removed");
        }
        let at = Timestamp::now();
        let waived = self.waived(at);
        for waived in waived.iter().cloned() {
            self.recorder.note(&RunEvent::GateWaived { at, waived })?;
        }
        let outcome = self.outcome(&verified, &waived);
        match self.attest(outcome, &waived, at) {
            Ok(statement) => self.recorder.note(&RunEvent::Attested {
                at,
                stage: None,
                statements: vec![statement],
                keys: self.shared.attestor.key_ids(),
            })?,
            // What kept the stage's result from the store keeps this from it as well; the failure has been told.
            Err(error) if outcome == RunOutcome::Failed => {
                tracing::warn!(%error, "the failed run has no statement");
            }
            Err(error) => return Err(error),
        }
        let duration = began.elapsed();
        let mut counts = BTreeMap::new();
        for summary in self.summaries.iter().flatten() {
            *counts.entry(summary.outcome).or_insert(0) += 1;
        }
        self.recorder.note(&RunEvent::RunEnded {
            at: Timestamp::now(),
            outcome,
            duration_ms: millis(duration),
            counts,
        })?;
        let stages = self.summaries.into_iter().flatten().collect();
        Ok(RunSummary { run: self.shared.run, outcome, stages, targets: self.verdicts, verified, duration })
    }

    /// Makes the statement that names every stage.
    fn attest(&self, outcome: RunOutcome, waived: &[WaivedGate], at: Timestamp) -> Result<Digest, RunError> {
        let ends: Vec<RunEnd<'_>> = self.summaries.iter().flatten().map(end).collect();
        Ok(self.shared.attestor.run(outcome, &ends, &self.verdicts, waived, at)?)
    }

    /// The stages whose failure counts.
    fn counted(&self) -> impl Iterator<Item = &StageSummary> {
        let both = self.summaries.iter().zip(&self.actions);
        both.filter_map(|(summary, action)| summary.as_ref().filter(|_| !action.continue_on_error))
    }

    /// Gates and targets that failed and count: the stage that checks, and the verdict.
    fn failed_gates(&self) -> impl Iterator<Item = (Option<&StageId>, Verdict)> {
        let attestor = &self.shared.attestor;
        let gates = self.counted().flat_map(move |summary| {
            let gates = summary.result.as_ref().map_or(&[][..], |result| &result.measured.gates);
            let failed = gates.iter().filter(|gate| gate.status == GateStatus::Failed);
            failed.map(move |gate| (Some(&summary.stage), attestor.verdict_of_gate(gate)))
        });
        let targets = self.verdicts.iter().filter(|verdict| verdict.status == GateStatus::Failed);
        gates.chain(targets.map(move |verdict| (None, attestor.verdict_of_target(verdict))))
    }

    /// Those of them that have a waiver, also one that has expired or does not cover what was found.
    fn waived(&self, now: Timestamp) -> Vec<WaivedGate> {
        let pipeline = self.shared.attestor.pipeline_name();
        let waived = |(stage, verdict): (Option<&StageId>, Verdict)| {
            let gate = Gate { pipeline: pipeline.clone(), stage: stage.cloned(), name: verdict.gate.clone() };
            let (waiver, holds, exceeded) = match self.waivers.judge(&gate, &verdict, now)? {
                Ruling::Holds(waiver) => (waiver, true, None),
                Ruling::Expired(waiver) => (waiver, false, None),
                Ruling::Exceeded(waiver, why) => (waiver, false, Some(why)),
            };
            Some(WaivedGate {
                stage: gate.stage,
                gate: gate.name,
                by: waiver.by.clone(),
                until: waiver.until,
                reason: waiver.reason.clone(),
                statement: waiver.statement,
                holds,
                exceeded,
            })
        };
        self.failed_gates().filter_map(waived).collect()
    }

    fn outcome(&self, verified: &[VerifiedHit], waived: &[WaivedGate]) -> RunOutcome {
        let cancelled = self.shared.cancel.is_cancelled()
            && self.summaries.iter().flatten().any(|summary| summary.outcome == Outcome::Cancelled);
        let may_fail = |(stage, verdict): (Option<&StageId>, Verdict)| {
            waived.iter().any(|one| one.holds && one.stage.as_ref() == stage && one.gate == verdict.gate)
        };
        if cancelled {
            RunOutcome::Cancelled
        } else if self.counted().any(|summary| summary.outcome == Outcome::Failed)
            || verified.iter().any(|hit| !hit.verdict.is_sound())
        {
            RunOutcome::Failed
        } else if self.failed_gates().any(|gate| !may_fail(gate)) {
            RunOutcome::GateFailed
        } else {
            RunOutcome::Succeeded
        }
    }
}
