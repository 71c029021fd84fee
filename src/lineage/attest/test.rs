//! Verdicts of gates → a `test-result` statement.

use serde::{Deserialize, Serialize};
use stagewright_protocol::{Gate, GateStatus};

use super::Attestor;
use crate::{
    lineage::{LineageError, Resource, Statement, TEST_RESULT, TestResult},
    plan::StageId,
    record::TargetVerdict,
};

/// One gate with its verdict, as a statement carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Name of the gate or target.
    pub gate: String,
    /// The verdict.
    pub status: GateStatus,
    /// What was measured against what, in words.
    pub reason: String,
    /// The metric, for a target of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Stage that measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageId>,
    /// Measured value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
}

impl Verdict {
    pub(super) fn of_gate(gate: &Gate) -> Self {
        let Gate { name, status, reason } = gate;
        Self {
            gate: name.clone(),
            status: *status,
            reason: reason.clone(),
            metric: None,
            stage: None,
            value: None,
            bound: None,
        }
    }

    pub(super) fn of_target(verdict: &TargetVerdict) -> Self {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self {
            gate: verdict.target.clone(),
            status: verdict.status,
            reason: verdict.reason.clone(),
            metric: Some(verdict.metric.clone()),
            stage: Some(verdict.stage.clone()),
            value: finite(verdict.value),
            bound: finite(verdict.bound),
        }
    }
}

impl Attestor {
    /// A gate's verdict as its statement tells it.
    pub fn verdict_of_gate(&self, gate: &Gate) -> Verdict {
        self.plain(Verdict::of_gate(gate))
    }

    /// A target's verdict as its statement tells it.
    pub fn verdict_of_target(&self, verdict: &TargetVerdict) -> Verdict {
        self.plain(Verdict::of_target(verdict))
    }

    fn plain(&self, verdict: Verdict) -> Verdict {
        Verdict { reason: self.redactor.text(&verdict.reason), ..verdict }
    }

    /// The statement on these verdicts; `stage` is the one that gave them, none for the pipeline's targets.
    pub(super) fn verdicts(
        &self,
        subject: Vec<Resource>,
        stage: Option<&StageId>,
        verdicts: &[Verdict],
    ) -> Result<Statement, LineageError> {
        let named = |status: GateStatus| -> Vec<String> {
            let those = verdicts.iter().filter(|verdict| verdict.status == status);
            those.map(|verdict| verdict.gate.clone()).collect()
        };
        let (passed, warned, failed) =
            (named(GateStatus::Passed), named(GateStatus::NotApplicable), named(GateStatus::Failed));
        let result = match (failed.is_empty(), warned.is_empty()) {
            (false, _) => "FAILED",
            (true, false) => "WARNED",
            (true, true) => "PASSED",
        };
        let mut configuration = Vec::new();
        for verdict in verdicts {
            let verdict = Verdict {
                stage: verdict.stage.clone().or_else(|| stage.cloned()),
                ..self.plain(verdict.clone())
            };
            configuration.push(self.inline(&verdict.gate, &verdict)?);
        }
        configuration.extend(self.pipeline_resource());
        let predicate = TestResult {
            result: result.to_owned(),
            configuration: super::stage::unique(configuration),
            passed_tests: passed,
            warned_tests: warned,
            failed_tests: failed,
        };
        Statement::new(subject, TEST_RESULT, &predicate)
    }
}
