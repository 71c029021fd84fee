//! A report as Markdown, for a comment or a job summary.

use serde_json::Value;
use stagewright_protocol::GateStatus;

use super::{
    compare::CompareReport,
    data::{ReleaseView, RunReport},
    figures::{bytes, count, measured, millis, number},
};
use crate::record::{RunOutcome, RunState};

/// A run.
pub fn run_markdown(report: &RunReport) -> String {
    let run = &report.run;
    let counts: Vec<String> =
        run.counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let mut text = report.release.as_ref().map(release).unwrap_or_default();
    text += &format!(
        "# {}: {}\n\nRun `{}`, {}, {}.\n",
        escape(&run.pipeline),
        state(run.state),
        run.run,
        millis(run.duration_ms),
        counts.join(", "),
    );
    gates(report, &mut text);
    text.push_str("\n## Stages\n\n");
    let stages = report.stages.iter().map(|stage| {
        vec![
            stage.stage.0.clone(),
            stage.outcome.map_or_else(|| "not ended".to_owned(), |outcome| outcome.to_string()),
            stage.duration_ms.map(millis).unwrap_or_default(),
            stage.reason.clone(),
        ]
    });
    table(&mut text, &["stage", "outcome", "took", "why"], &[2], stages);
    for (stage, data) in &report.findings.data {
        text.push_str(&format!("\n## Data, as {} saw it\n\n", escape(&stage.0)));
        let found = data.problems.iter().map(|problem| {
            vec![problem.what.clone(), problem.samples.to_string(), problem.examples.join(", ")]
        });
        table(&mut text, &["looked for", "samples", "for example"], &[1], found);
    }
    for (stage, benchmark) in &report.findings.benchmarks {
        text.push_str(&format!("\n## Models, as {} measured them\n\n", escape(&stage.0)));
        let rows = benchmark.variants.iter().map(|variant| {
            vec![
                variant.name.clone(),
                variant.precision.clone(),
                format!("{:.2}", variant.top1),
                number(variant.latency.p50),
                number(variant.latency.p99),
                number(variant.throughput),
                bytes(variant.size),
            ]
        });
        let heading = ["model", "precision", "accuracy %", "median ms", "p99 ms", "images/s", "file"];
        table(&mut text, &heading, &[2, 3, 4, 5, 6], rows);
    }
    for (stage, checklist) in &report.findings.checklists {
        text.push_str(&format!("\n## Checklist of {}\n\n", escape(&stage.0)));
        let rows = checklist
            .checks
            .iter()
            .map(|check| vec![check.check.clone(), check.status.clone(), check.reason.clone()]);
        table(&mut text, &["check", "verdict", "what was found"], &[], rows);
    }
    let metrics: Vec<Vec<String>> = report
        .stages
        .iter()
        .flat_map(|stage| {
            stage.metrics.iter().map(|(name, metric)| {
                vec![stage.stage.0.clone(), name.clone(), measured(metric.value, metric.unit.as_deref())]
            })
        })
        .collect();
    if !metrics.is_empty() {
        text.push_str("\n## Metrics\n\n");
        table(&mut text, &["stage", "metric", "value"], &[2], metrics.into_iter());
    }
    verification(report, &mut text);
    text
}

fn release(release: &ReleaseView) -> String {
    let delivers: Vec<String> = release.delivers.iter().map(|stage| escape(&stage.0)).collect();
    let dirty = if release.dirty { ", with changes that were not committed" } else { "" };
    format!(
        "Release **{}** of commit `{}`{dirty}, delivers {}.\n\n",
        escape(&release.name),
        release.commit,
        delivers.join(", ")
    )
}

fn gates(report: &RunReport, text: &mut String) {
    let word = |status: GateStatus| match status {
        GateStatus::Passed => "passed".to_owned(),
        GateStatus::Failed => "**failed**".to_owned(),
        GateStatus::NotApplicable => "not measured".to_owned(),
    };
    let mut rows: Vec<[String; 4]> = report
        .targets
        .iter()
        .map(|target| {
            [escape(&target.target), "target".to_owned(), word(target.status), escape(&target.reason)]
        })
        .collect();
    for stage in &report.stages {
        rows.extend(stage.gates.iter().map(|gate| {
            [escape(&gate.name), escape(&stage.stage.0), word(gate.status), escape(&gate.reason)]
        }));
    }
    if rows.is_empty() {
        return;
    }
    text.push_str("\n## Gates and targets\n\n");
    raw_table(
        text,
        &["gate", "of", "verdict", "what was found"],
        &[],
        rows.into_iter().map(|row| row.to_vec()),
    );
    for waived in &report.waived {
        let word = match (waived.holds, &waived.exceeded) {
            (true, _) => "waived".to_owned(),
            (false, Some(why)) => format!("**waiver does not cover it** ({})", escape(why)),
            (false, None) => "**waiver expired**".to_owned(),
        };
        let of = waived.stage.as_ref().map(|stage| format!(" of {}", escape(&stage.0))).unwrap_or_default();
        text.push_str(&format!(
            "\n{word}: {}{of}, by {} until {}: {}\n",
            escape(&waived.gate),
            escape(&waived.by),
            waived.until,
            escape(&waived.reason)
        ));
    }
}

fn verification(report: &RunReport, text: &mut String) {
    let lineage = &report.lineage;
    let Some(statement) = &lineage.run_statement else { return };
    text.push_str("\n## Evidence\n\n");
    text.push_str(&format!(
        "Statement on the run: `{statement}`, {}.\n",
        escape(&lineage.run_signed.join(", "))
    ));
    match &lineage.verified {
        None => text.push_str("Nothing was verified when this was made.\n"),
        Some(found) => {
            let verdict = match found.faults.len() as u64 {
                0 => "the evidence holds".to_owned(),
                faults => format!("**{}**", count(faults, "fault")),
            };
            text.push_str(&format!(
                "{} and {} checked: {verdict}.\n",
                count(found.statements as u64, "statement"),
                count(found.files as u64, "file")
            ));
            for fault in &found.faults {
                text.push_str(&format!(
                    "- {} · {}: {}\n",
                    fault.kind,
                    escape(&fault.link),
                    escape(&fault.what)
                ));
            }
        }
    }
}

/// Several runs.
pub fn compare_markdown(report: &CompareReport) -> String {
    let mut text = format!("# {} side by side\n\n", count(report.runs.len() as u64, "run"));
    let runs = report.runs.iter().map(|run| {
        vec![run.run.short(), run.pipeline.clone(), state(run.state).to_owned(), millis(run.duration_ms)]
    });
    table(&mut text, &["run", "pipeline", "outcome", "took"], &[3], runs);
    text.push_str("\n## Params and metrics\n\n");
    let names: Vec<&str> = report.table.columns.iter().map(|column| column.name.as_str()).collect();
    let combined = report.table.rows.iter().any(|row| !row.combination.is_empty());
    let first: &[&str] = if combined { &["run", "combination"] } else { &["run"] };
    let heading: Vec<&str> = first.iter().copied().chain(names).collect();
    let shown = |value: &Option<Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.as_f64().map_or_else(|| other.to_string(), number),
    };
    let rows = report.table.rows.iter().map(|row| {
        let mut cells = vec![row.run.short() + if row.front { " (best)" } else { "" }];
        cells.extend(combined.then(|| row.combination.clone()));
        cells.extend(row.values.iter().map(shown));
        cells
    });
    let numeric: Vec<usize> = (first.len()..heading.len()).collect();
    table(&mut text, &heading, &numeric, rows);
    text
}

fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Interrupted => "interrupted",
        RunState::Ended(RunOutcome::Succeeded) => "succeeded",
        RunState::Ended(RunOutcome::GateFailed) => "gate failed",
        RunState::Ended(RunOutcome::Failed) => "failed",
        RunState::Ended(RunOutcome::Cancelled) => "cancelled",
    }
}

pub(super) fn table(
    text: &mut String,
    heading: &[&str],
    numeric: &[usize],
    rows: impl Iterator<Item = Vec<String>>,
) {
    let heading: Vec<String> = heading.iter().map(|word| escape(word)).collect();
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    raw_table(text, &heading, numeric, rows.map(|row| row.iter().map(|cell| escape(cell)).collect()));
}

/// A table of cells that are Markdown already.
fn raw_table(
    text: &mut String,
    heading: &[&str],
    numeric: &[usize],
    rows: impl Iterator<Item = Vec<String>>,
) {
    text.push_str(&format!("| {} |\n", heading.join(" | ")));
    let rules: Vec<&str> =
        (0..heading.len()).map(|at| if numeric.contains(&at) { "---:" } else { "---" }).collect();
    text.push_str(&format!("| {} |\n", rules.join(" | ")));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
}

/// A text that stays one: no markup, no HTML, no end of a cell.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_cell() {
        let mut text = String::new();
        let hostile = "a|b\n<script>alert(1)</script> [x](javascript:y) ![z](w) `c`";
        table(&mut text, &["x"], &[], std::iter::once(vec![hostile.to_owned()]));
        assert_eq!(
            text,
            "| x |\n| --- |\n| a\\|b &lt;script&gt;alert(1)&lt;/script&gt; \\[x\\](javascript:y) \\!\\[z\\](w) \\`c\\` |\n"
        );
    }
}
