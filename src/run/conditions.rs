//! Conditions that the run decides: what they ask, answered from the stages that have ended.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::Settled;
use crate::{
    plan::{Action, Plan, RunView, StageId, StageResult},
    record::Outcome,
    spec::expression::Function,
};

/// The stages as far as they have ended, seen by one stage's condition.
pub(super) struct View<'a> {
    pub(super) plan: &'a Plan,
    /// The stage whose condition it is.
    pub(super) action: &'a Action,
    pub(super) settled: &'a dyn Fn(&StageId) -> Option<&'a Settled>,
    /// The user stopped the run. None before the run.
    pub(super) cancelled: Option<bool>,
    /// Nothing new starts any more.
    pub(super) stopping: bool,
    /// None before the run.
    pub(super) run: Option<String>,
}

/// Producers of an action's inputs.
pub(super) fn sources(action: &Action) -> impl Iterator<Item = &StageId> {
    action.inputs.values().flatten().flat_map(|binding| binding.source.stages())
}

/// What an action depends on: producers of its inputs, `needs`, and what its condition asks.
pub(super) fn dependencies(action: &Action) -> impl Iterator<Item = &StageId> {
    sources(action).chain(&action.needs).chain(action.condition.iter().flat_map(|condition| &condition.asks))
}

fn result(settled: &Settled) -> StageResult {
    match settled {
        Settled::Result(_) => StageResult::Success,
        Settled::Skipped | Settled::Unwanted => StageResult::Skipped,
        Settled::NoResult(Outcome::Failed) => StageResult::Failure,
        Settled::NoResult(Outcome::Cancelled) => StageResult::Cancelled,
        // One that was blocked did not come to its turn.
        Settled::NoResult(_) => StageResult::Skipped,
    }
}

impl View<'_> {
    /// Every stage it depends on has a result, and nothing that those depend on failed or did not come to its turn. One that is
    /// no part of the run is nothing to wait for.
    fn success(&self) -> Option<bool> {
        let mut all = !self.stopping;
        for stage in dependencies(self.action) {
            let settled = (self.settled)(stage)?;
            all &= matches!(settled, Settled::Result(_) | Settled::Unwanted);
        }
        Some(all && self.all_before(|settled| !matches!(settled, Settled::NoResult(_)))?)
    }

    /// A stage it depends on, directly or through others, failed.
    fn failure(&self) -> Option<bool> {
        self.all_before(|settled| !matches!(settled, Settled::NoResult(Outcome::Failed))).map(|none| !none)
    }

    /// Whether something is true of all that it depends on, directly or through others; none as long as that is open.
    fn all_before(&self, holds: impl Fn(&Settled) -> bool) -> Option<bool> {
        let actions: BTreeMap<&StageId, &Action> =
            self.plan.actions.iter().map(|action| (&action.id, &**action)).collect();
        let mut seen = BTreeSet::new();
        let mut stack: Vec<&StageId> = dependencies(self.action).collect();
        let mut open = false;
        while let Some(stage) = stack.pop() {
            if !seen.insert(stage) {
                continue;
            }
            match (self.settled)(stage) {
                Some(settled) if !holds(settled) => return Some(false),
                Some(_) => {}
                None => open = true,
            }
            stack.extend(actions.get(stage).into_iter().flat_map(|action| dependencies(action)));
        }
        (!open).then_some(true)
    }
}

impl RunView for View<'_> {
    fn result(&self, stage: &StageId) -> Option<StageResult> {
        (self.settled)(stage).map(result)
    }

    fn metric(&self, stage: &StageId, name: &str) -> Option<Result<Option<f64>, String>> {
        let Settled::Result(result) = (self.settled)(stage)? else { return Some(Ok(None)) };
        Some(match result.measured.metrics.get(name) {
            Some(metric) => Ok(Some(metric.value)),
            None => {
                let known: Vec<&str> = result.measured.metrics.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "no metric".to_owned() } else { known.join(", ") };
                Err(format!(
                    "the `if` of `{}` asks for the metric {name} of `{stage}`, which reported {known}",
                    self.action.id
                ))
            }
        })
    }

    fn status(&self, function: Function) -> Option<bool> {
        match function {
            Function::Success => self.success(),
            Function::Failure => self.failure(),
            Function::Cancelled => self.cancelled,
            _ => Some(true),
        }
    }

    fn run(&self) -> Option<String> {
        self.run.clone()
    }
}

/// Stages that must end before a condition can be decided, as far as they have not.
pub(super) fn undecided(action: &Action, settled: impl Fn(&StageId) -> bool) -> Vec<StageId> {
    let Some(condition) = &action.condition else { return Vec::new() };
    let mut waits: Vec<StageId> = condition.asks.iter().filter(|stage| !settled(stage)).cloned().collect();
    if condition.asks_dependencies() {
        for stage in dependencies(action).filter(|stage| !settled(stage)) {
            if !waits.contains(stage) {
                waits.push(stage.clone());
            }
        }
    }
    waits
}
