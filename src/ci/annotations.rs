//! What came of a run, beside the lines of the pipeline that it is about.

use stagewright_protocol::GateStatus;
use uuid::Uuid;

use super::place::{Place, Places};
use crate::{
    record::{Outcome, RunRecord},
    spec::exchange::workflow_command,
};

/// GitHub shows ten annotations of a severity for a step; the tenth says how many more there are.
const SHOWN: usize = 9;

/// Lines of a log that a group shows; the last ones say what happened.
const LOG_LINES: usize = 1000;

/// Annotations of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    errors: Vec<Annotation>,
    warnings: Vec<Annotation>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Annotation {
    place: Option<Place>,
    title: String,
    message: String,
}

impl Annotations {
    /// What a run has to tell: stages that failed, gates and targets that were missed, warnings. Stages that were blocked say nothing
    /// that the failure before them does not.
    pub fn of(record: &RunRecord, places: &Places) -> Self {
        let mut found = Self::default();
        for stage in &record.stages {
            let place = places.stage(&stage.stage).cloned();
            let add = |list: &mut Vec<Annotation>, title: String, message: String| {
                list.push(Annotation { place: place.clone(), title, message });
            };
            if let (Some(Outcome::Failed), Some(failure)) = (stage.outcome, &stage.failure) {
                let mut message = failure.fault.message.clone();
                for line in &failure.tail {
                    message.push_str(&format!("\n│ {line}"));
                }
                if let Some(hint) = &failure.fault.hint {
                    message.push_str(&format!("\nhint: {hint}"));
                }
                add(&mut found.errors, format!("{} failed", stage.stage), message);
            }
            // A stage that this run is not about tells nothing new.
            if !stage.outcome.is_some_and(Outcome::is_success) {
                continue;
            }
            for gate in stage.measured.gates.iter().filter(|gate| gate.status == GateStatus::Failed) {
                add(&mut found.errors, format!("{}: gate {}", stage.stage, gate.name), gate.reason.clone());
            }
            for warning in &stage.measured.warnings {
                add(&mut found.warnings, stage.stage.to_string(), warning.clone());
            }
        }
        for target in record.targets.iter().filter(|target| target.status == GateStatus::Failed) {
            found.errors.push(Annotation {
                place: places.target(&target.target).cloned(),
                title: format!("target {}", target.target),
                message: target.reason.clone(),
            });
        }
        for warning in &record.warnings {
            found.warnings.push(Annotation {
                place: None,
                title: record.pipeline.clone(),
                message: warning.clone(),
            });
        }
        found
    }

    /// One workflow command a line, errors first.
    pub fn commands(&self) -> String {
        let mut out = String::new();
        for (word, list) in [("error", &self.errors), ("warning", &self.warnings)] {
            for annotation in list.iter().take(SHOWN) {
                let mut properties = Vec::new();
                if let Some(place) = &annotation.place {
                    properties.push(("file", place.file.clone()));
                    properties.push(("line", place.line.to_string()));
                }
                properties.push(("title", annotation.title.clone()));
                out.push_str(&workflow_command(word, &properties, &annotation.message));
            }
            if list.len() > SHOWN {
                let rest = format!("{} more {word}s; the job's summary has all of them", list.len() - SHOWN);
                out.push_str(&workflow_command(word, &[], &rest));
            }
        }
        out
    }
}

/// Keeps a value out of the job's log: each line of it, as the log is searched line by line.
pub fn mask(value: &str) -> String {
    let lines = value.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| workflow_command("add-mask", &[], line)).collect()
}

/// Text that can be unfolded in the job's log, its last lines if it is long. Nothing in it is taken for a command.
pub fn group(title: &str, text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines.len().saturating_sub(LOG_LINES);
    let mut out = workflow_command("group", &[], title);
    let token = stop_token();
    out.push_str(&workflow_command("stop-commands", &[], &token));
    if cut > 0 {
        out.push_str(&format!("({cut} lines before these are in the stage's log)\n"));
    }
    for line in &lines[cut..] {
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(&format!("::{token}::\n"));
    out.push_str(&workflow_command("endgroup", &[], ""));
    out
}

/// What ends a part of the log in which nothing is a command: nobody can guess it.
pub fn stop_token() -> String {
    format!("resume-{}", Uuid::now_v7().simple())
}
