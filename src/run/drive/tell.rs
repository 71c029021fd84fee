//! What the record is told of stages that are under way, and of the plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use stagewright_protocol::{Event, Level};

use super::{Driver, millis};
use crate::{
    plan::{ActionKey, Place, Plan, StageId},
    record::{RunEvent, Setting},
    run::{
        RunError,
        conditions::dependencies,
        local::{Said, log_path},
        scheduler::Node,
    },
};

impl Driver<'_> {
    pub(super) fn said(&mut self, node: Node, said: Said) -> Result<(), RunError> {
        let (at, stage) = (Timestamp::now(), self.actions[node].id.clone());
        let event = match said {
            Said::Started { attempt } => {
                let Some((key, reasons)) = self.reasons.get(&node) else { return Ok(()) };
                let (threads, memory) = self.granted.get(&node).copied().unwrap_or_default();
                RunEvent::StageStarted {
                    at,
                    key: *key,
                    attempt,
                    reasons: reasons.clone(),
                    threads,
                    memory,
                    log: log_path(&stage),
                    usual_ms: self.history.usual(&stage).map(millis),
                    stage,
                }
            }
            Said::Retried { attempt, failure, pause } => {
                RunEvent::StageRetried { at, stage, attempt, failure, pause_ms: millis(pause) }
            }
            Said::Waits(waits_for) => RunEvent::StageWaits { at, stage, waits_for },
            Said::Event(Event::Progress { done, total, unit, message }) => {
                RunEvent::StageProgress { at, stage, done, total, unit, message }
            }
            Said::Event(Event::Metric { name, value, unit, step }) => {
                RunEvent::StageMetric { at, stage, name, value, unit, step }
            }
            Said::Event(Event::Log { level, message }) => RunEvent::StageLog { at, stage, level, message },
            Said::Event(_) => return Ok(()),
        };
        Ok(self.recorder.note(&event)?)
    }

    pub(super) fn warn(&mut self, node: Node, notes: Vec<String>) -> Result<(), RunError> {
        for message in notes {
            let (at, stage) = (Timestamp::now(), self.actions[node].id.clone());
            self.recorder.note(&RunEvent::StageLog { at, stage, level: Level::Warning, message })?;
        }
        Ok(())
    }

    pub(super) fn why_cached(&self, node: Node, key: ActionKey) -> String {
        match self.history.key(&self.actions[node].id) {
            _ if self.actions[node].frozen => "frozen".to_owned(),
            Some(last) if last == key => "nothing changed".to_owned(),
            _ => "an equal action has run before".to_owned(),
        }
    }
}

/// What each stage has to wait for, each once.
pub(super) fn needs(plan: &Plan) -> BTreeMap<StageId, Vec<StageId>> {
    let needs = plan.actions.iter().map(|action| {
        let found: BTreeSet<&StageId> = dependencies(action).collect();
        (action.id.clone(), found.into_iter().cloned().collect::<Vec<_>>())
    });
    needs.filter(|(_, found)| !found.is_empty()).collect()
}

pub(super) fn setting((place, value): &(Place, Value)) -> Setting {
    Setting { key: place.to_string(), value: value.clone() }
}
