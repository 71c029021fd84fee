//! How good a trial is: its goals, and whether it keeps within the gates and targets.

use stagewright_protocol::GateStatus;

use crate::{plan::Goal, record::RunOutcome, run::RunSummary};

/// What a trial is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Every gate and target was met; the costs of the goals, less is better.
    Feasible(Vec<f64>),
    /// Some was not: by how much, from 0, larger is worse.
    Infeasible(f64),
    /// It gave no values for all the goals.
    Failed,
}

/// What a run is worth for these goals. Targets and gates are constraints: a run that missed one is no candidate, but how
/// far it missed them says in which direction to look.
pub fn standing(summary: &RunSummary, goals: &[Goal]) -> Standing {
    let cost = |goal: &Goal| {
        let stage = summary.stages.iter().find(|stage| stage.stage == goal.of.stage)?;
        let metric = stage.result.as_ref()?.measured.metrics.get(&goal.of.metric)?;
        metric.value.is_finite().then(|| goal.direction.cost(metric.value))
    };
    let costs: Option<Vec<f64>> = goals.iter().map(cost).collect();
    match (summary.outcome, costs) {
        (RunOutcome::Succeeded, Some(costs)) => Standing::Feasible(costs),
        (RunOutcome::GateFailed, Some(_)) => Standing::Infeasible(violation(summary)),
        _ => Standing::Failed,
    }
}

/// One for each constraint that was missed, and the part of its bound by which it was.
fn violation(summary: &RunSummary) -> f64 {
    let targets = summary.targets.iter().filter(|verdict| verdict.status == GateStatus::Failed);
    let missed: f64 = targets
        .map(|verdict| match (verdict.value, verdict.bound) {
            (Some(value), Some(bound)) => {
                1.0 + ((value - bound).abs() / bound.abs().max(f64::EPSILON)).min(1.0)
            }
            _ => 2.0,
        })
        .sum();
    let results = summary.stages.iter().filter_map(|stage| stage.result.as_ref());
    let gates =
        results.flat_map(|result| &result.measured.gates).filter(|gate| gate.status == GateStatus::Failed);
    missed + gates.count() as f64
}
