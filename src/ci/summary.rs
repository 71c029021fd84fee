//! A run in Markdown, for a job's summary and a pull request's comment.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};
use stagewright_protocol::GateStatus;

use super::words::{change, duration, measured, plain};
use crate::{
    plan::StageId,
    record::{MetricValue, Outcome, RunId, RunOutcome, RunRecord, RunState, StageRecord},
};

/// Rows of a table; more are counted.
const ROWS: usize = 100;

/// Version of [`Base`].
const BASE_VERSION: u32 = 1;

/// The metrics of a branch's last run, kept beside the results so that others can compare theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Base {
    /// Version of this format.
    pub format: u32,
    /// The branch.
    pub branch: String,
    /// The run.
    pub run: RunId,
    /// The commit that it was of.
    pub commit: Option<String>,
    /// Metrics by stage.
    pub stages: BTreeMap<StageId, BTreeMap<String, MetricValue>>,
}

impl Base {
    /// What a run of a branch leaves for others. None where a stage of it has no result: that is nothing to compare with.
    pub fn of(record: &RunRecord, branch: &str) -> Option<Self> {
        let whole = record.stages.iter().all(|stage| {
            stage.outcome.is_some_and(|outcome| outcome.is_success() || outcome == Outcome::Skipped)
        });
        let stages = record
            .stages
            .iter()
            .filter(|stage| stage.outcome.is_some_and(Outcome::is_success))
            .map(|stage| (stage.stage.clone(), stage.measured.metrics.clone()))
            .collect();
        whole.then(|| Self {
            format: BASE_VERSION,
            branch: branch.to_owned(),
            run: record.run,
            commit: record.git.as_ref().and_then(|git| git.commit.clone()),
            stages,
        })
    }

    /// Reads what was left; none where a later release wrote it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|base: &Self| base.format == BASE_VERSION)
    }
}

/// What a summary tells of.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// The run.
    pub record: &'a RunRecord,
    /// What its metrics are compared with.
    pub base: Option<&'a Base>,
    /// Reports that stages wrote in Markdown: the stage, and the text.
    pub reports: &'a [(StageId, String)],
    /// Most bytes. What does not fit is left out, the reports first, and it is said.
    pub limit: usize,
}

/// Writes it down.
pub fn summary(summary: &Summary<'_>) -> String {
    let Summary { record, base, reports, limit } = *summary;
    let mut parts =
        vec![heading(record), failures(record), gates(record), stages(record), metrics(record, base)];
    parts.extend(reports.iter().map(|(stage, text)| report(stage, text)));
    parts.push(warnings(record));
    parts.retain(|part| !part.is_empty());
    const LEFT_OUT: &str = "\n*More does not fit here; the log and the record have all of it.*\n";
    let mut out = String::new();
    let mut left_out = false;
    for part in parts {
        if out.len() + part.len() + LEFT_OUT.len() < limit {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&part);
        } else {
            left_out = true;
        }
    }
    if left_out {
        out.push_str(LEFT_OUT);
    }
    out
}

fn heading(record: &RunRecord) -> String {
    let (sign, word) = match record.state {
        RunState::Ended(RunOutcome::Succeeded) => ("✅", "succeeded".to_owned()),
        RunState::Ended(RunOutcome::Cancelled) => ("⏹️", "was stopped".to_owned()),
        RunState::Ended(RunOutcome::GateFailed) => ("❌", "missed a gate or target".to_owned()),
        RunState::Ended(RunOutcome::Failed) => ("❌", "failed".to_owned()),
        RunState::Running => ("⏳", "is running".to_owned()),
        RunState::Interrupted => ("⏹️", "was interrupted".to_owned()),
    };
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for outcome in record.stages.iter().filter_map(|stage| stage.outcome) {
        *counts.entry(outcome).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let commit = record.git.as_ref().and_then(|git| git.commit.as_deref()).map(|commit| {
        format!(", commit `{}`", commit.chars().take(10).filter(char::is_ascii_hexdigit).collect::<String>())
    });
    format!(
        "### {sign} {} {word}\n\n{} in {}, run `{}`{}\n",
        plain(&record.pipeline),
        counts.join(", "),
        duration(record.duration_ms()),
        record.run.short(),
        commit.unwrap_or_default()
    )
}

fn failures(record: &RunRecord) -> String {
    let mut out = String::new();
    for stage in record.stages.iter().filter(|stage| stage.outcome == Some(Outcome::Failed)) {
        let Some(failure) = &stage.failure else { continue };
        let _ = writeln!(out, "> **{}** failed: {}", plain(&stage.stage.0), plain(&failure.fault.message));
        if let Some(hint) = &failure.fault.hint {
            let _ = writeln!(out, "> *{}*", plain(hint));
        }
        out.push_str(">\n");
        if !failure.tail.is_empty() {
            let _ = writeln!(out, "{}\n", fenced(&failure.tail.join("\n"), "> "));
        }
    }
    out
}

/// A block of text as it is; the fence is longer than any in the text.
fn fenced(text: &str, before: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let lines: Vec<String> = text.lines().map(|line| format!("{before}{line}")).collect();
    format!("{before}{fence}text\n{}\n{before}{fence}", lines.join("\n"))
}

fn gates(record: &RunRecord) -> String {
    let sign = |status: GateStatus| match status {
        GateStatus::Passed => "✅ passed",
        GateStatus::Failed => "❌ failed",
        GateStatus::NotApplicable => "➖ not applicable",
    };
    let targets = record.targets.iter().map(|target| {
        vec![
            format!("target {}", plain(&target.target)),
            sign(target.status).to_owned(),
            plain(&target.reason),
        ]
    });
    let gates = with_result(record).flat_map(|stage| {
        stage.measured.gates.iter().map(|gate| {
            let name = format!("{}: {}", plain(&stage.stage.0), plain(&gate.name));
            vec![name, sign(gate.status).to_owned(), plain(&gate.reason)]
        })
    });
    section(
        "Gates and targets",
        &["what", "verdict", "why"],
        &[false, false, false],
        targets.chain(gates).collect(),
    )
}

fn with_result(record: &RunRecord) -> impl Iterator<Item = &StageRecord> {
    record.stages.iter().filter(|stage| stage.outcome.is_some_and(Outcome::is_success))
}

fn stages(record: &RunRecord) -> String {
    let rows = record.stages.iter().map(|stage| {
        let outcome = stage.outcome.map_or_else(|| "not ended".to_owned(), |outcome| outcome.to_string());
        let took = match (stage.outcome, stage.made_in_ms) {
            (Some(Outcome::Cached), Some(saved)) => format!("saved {}", duration(saved)),
            (Some(Outcome::Ran | Outcome::Failed), _) => duration(stage.duration_ms.unwrap_or(0)),
            _ => String::new(),
        };
        vec![plain(&stage.stage.0), outcome, plain(&stage.reason), took]
    });
    section("Stages", &["stage", "outcome", "why", "time"], &[false, false, false, true], rows.collect())
}

fn metrics(record: &RunRecord, base: Option<&Base>) -> String {
    let mut rows = Vec::new();
    for stage in with_result(record) {
        let before = base.and_then(|base| base.stages.get(&stage.stage));
        for (name, is) in &stage.measured.metrics {
            let mut row = vec![plain(&stage.stage.0), plain(name), measured(is)];
            if base.is_some() {
                let was = before.and_then(|metrics| metrics.get(name));
                row.push(was.map(measured).unwrap_or_default());
                row.push(was.map(|was| change(was, is)).unwrap_or_default());
            }
            rows.push(row);
        }
    }
    let Some(base) = base else {
        return section("Metrics", &["stage", "metric", "value"], &[false, false, true], rows);
    };
    // With more than can be shown, what changed is what matters.
    if rows.len() > ROWS {
        rows.sort_by_key(|row| row.last().is_none_or(String::is_empty));
    }
    let branch = plain(&base.branch);
    let heading = ["stage", "metric", "value", &branch, "change"];
    section(&format!("Metrics, compared with {branch}"), &heading, &[false, false, true, true, true], rows)
}

fn section(title: &str, heading: &[&str], right: &[bool], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!("#### {title}\n\n");
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    out.push_str(&line(heading));
    let rules: Vec<&str> = right.iter().map(|right| if *right { "---:" } else { "---" }).collect();
    out.push_str(&line(&rules));
    for row in rows.iter().take(ROWS) {
        out.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    if rows.len() > ROWS {
        let _ = writeln!(out, "\n{} more are in the run's record.", rows.len() - ROWS);
    }
    out
}

/// A stage's own report can be unfolded. Its headings stay below those of the page.
fn report(stage: &StageId, text: &str) -> String {
    format!("<details><summary>{}</summary>\n\n{}\n\n</details>\n", plain(&stage.0), text.trim())
}

fn warnings(record: &RunRecord) -> String {
    let of_stages = with_result(record).flat_map(|stage| {
        stage.measured.warnings.iter().map(|text| format!("{}: {}", plain(&stage.stage.0), plain(text)))
    });
    let all: Vec<String> = record.warnings.iter().map(|text| plain(text)).chain(of_stages).collect();
    if all.is_empty() {
        return String::new();
    }
    let mut out = "#### Warnings\n\n".to_owned();
    for text in all.iter().take(ROWS) {
        let _ = writeln!(out, "- {text}");
    }
    out
}
