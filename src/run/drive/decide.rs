//! Whether a stage whose turn has come runs: its `if:`, asked of the run as far as it has come.

use std::sync::Arc;

use super::Driver;
use crate::{
    plan::{Action, Decision},
    record::Outcome,
    run::{RunError, conditions::View, failure, inputs::Settled, scheduler::Node},
};

impl Driver<'_> {
    /// Asks the condition of a stage, if it has one for the run. False: the stage has ended.
    pub(super) fn decide(&mut self, node: Node, action: &Arc<Action>) -> Result<bool, RunError> {
        let Some(condition) = &action.condition else { return Ok(true) };
        let decision = condition.ask(&View {
            plan: self.plan,
            action,
            settled: &|stage| self.settled.get(stage),
            cancelled: Some(self.shared.cancel.is_cancelled()),
            stopping: self.stopping.is_some(),
            run: Some(self.shared.run.to_string()),
        });
        match decision {
            Decision::Holds(evidence) => {
                self.saw.insert(node, evidence);
                Ok(true)
            }
            Decision::Fails(reason) => {
                self.skip(node, reason, Settled::Skipped)?;
                Ok(false)
            }
            Decision::Faulty(why) => {
                let hint = "ask for a metric that it reports, or for its result";
                self.fail(node, None, String::new(), failure::user(why, Some(hint)))?;
                Ok(false)
            }
            // Everything it asks has ended, or its turn would not have come.
            Decision::Open => {
                let why = format!("the `if` of `{}` was asked before its time", action.id);
                self.fail(node, None, String::new(), failure::environment(why, None))?;
                Ok(false)
            }
        }
    }

    /// Its condition holds, but something it reads was not made.
    pub(super) fn block(&mut self, node: Node, reason: String) -> Result<(), RunError> {
        self.end_without_result(node, Outcome::Blocked, reason)
    }

    /// Its `if:` decides what becomes of it, whatever became of others.
    pub(super) fn outlives(&self, node: Node) -> bool {
        self.actions[node].condition.as_ref().is_some_and(|condition| condition.asks_status)
    }

    /// Why it ended so, with what its condition saw.
    pub(super) fn with_evidence(&self, node: Node, reason: String) -> String {
        match self.saw.get(&node).map(String::as_str) {
            None | Some("") => reason,
            Some(evidence) if reason.is_empty() => format!("if: {evidence}"),
            Some(evidence) => format!("{reason}; if: {evidence}"),
        }
    }
}
