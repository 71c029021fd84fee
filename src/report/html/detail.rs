//! One stage in full.

use maud::{Markup, html};
use serde_json::Value;

use super::{
    frame::{outcome, verdict},
    table::{facts, hash, table},
};
use crate::report::{
    data::{RunReport, StageView},
    figures::{bytes, count, measured, millis},
};

/// A block a stage, `#s0` and so on, closed until somebody comes to it.
pub(super) fn details(report: &RunReport) -> Markup {
    html! {
        div id="stage-blocks" {
            @for (at, stage) in report.stages.iter().enumerate() { (block(report, at, stage)) }
        }
    }
}

fn block(report: &RunReport, at: usize, stage: &StageView) -> Markup {
    html! {
        details.box id={ "s" (at) } data-name=(stage.stage.0) {
            summary { strong { (stage.stage.0) } (outcome(stage.outcome)) span.soft { (stage.reason) } }
            (facts(&about(report, stage)))
            @if let Some(failure) = &stage.failure {
                h3 { "Failure" }
                p.bad { (failure.message) }
                @if let Some(hint) = &failure.hint { p { "What to do: " (hint) } }
                @if !failure.tail.is_empty() { pre tabindex="0" { (failure.tail.join("\n")) } }
            }
            @for warning in &stage.warnings { p.warn { "Warning: " (warning) } }
            @if !stage.gates.is_empty() {
                h3 { "Gates" }
                (table("Gates", &["gate", "verdict", "what was found"], &[], &stage.gates.iter().map(|gate| vec![
                    html! { (gate.name) }, verdict(gate.status), html! { (gate.reason) },
                ]).collect::<Vec<_>>()))
            }
            @if !stage.metrics.is_empty() {
                h3 { "Metrics" }
                (table("Metrics", &["metric", "value"], &[1], &stage.metrics.iter().map(|(name, metric)| vec![
                    html! { (name) }, html! { (measured(metric.value, metric.unit.as_deref())) },
                ]).collect::<Vec<_>>()))
            }
            @if !stage.params.is_empty() {
                h3 { "Params" }
                (table("Params", &["param", "value"], &[], &stage.params.iter().map(|(name, value)| vec![
                    html! { code { (name) } }, html! { code { (plain(value)) } },
                ]).collect::<Vec<_>>()))
            }
            @if !stage.outputs.is_empty() {
                h3 { "Outputs" }
                (table("Outputs", &["port", "type", "size", "SHA-256"], &[2], &stage.outputs.iter().map(|output| vec![
                    html! { (output.port) },
                    html! { (output.artifact_type) },
                    html! { (bytes(output.bytes)) @if output.files != 1 { ", " (count(output.files, "file")) } },
                    hash(&output.digest.hex()),
                ]).collect::<Vec<_>>()))
            }
        }
    }
}

fn about<'a>(report: &RunReport, stage: &'a StageView) -> Vec<(&'a str, Markup)> {
    let mut rows = Vec::new();
    if let Some(program) = &stage.program {
        rows.push(("program", html! { code { (program) } }));
    }
    if let Some(took) = stage.duration_ms {
        rows.push((
            "took",
            html! { (millis(took)) @if stage.attempts > 1 { ", " (stage.attempts) " attempts" } },
        ));
    }
    if let Some(run) = stage.made_in {
        let took = stage.made_in_ms.map(|took| format!(", where it took {}", millis(took)));
        rows.push(("made in run", html! { code { (run) } (took.unwrap_or_default()) }));
    }
    if !stage.needs.is_empty() {
        rows.push(("after", links(report, &stage.needs)));
    }
    if let Some(statement) = stage.statement {
        rows.push(("lineage", html! { a href={ "#t" (statement) } { "statement on its result" } }));
    }
    rows
}

/// Links to the details of stages.
pub(super) fn links(report: &RunReport, stages: &[usize]) -> Markup {
    html! {
        @for (index, &at) in stages.iter().enumerate() {
            @if index > 0 { ", " }
            @if let Some(stage) = report.stages.get(at) { a href={ "#s" (at) } { (stage.stage.0) } }
        }
    }
}

/// A value as it stands in a pipeline file, text without its quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
