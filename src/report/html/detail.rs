//! One stage in full.

use maud::{Markup, html};
use serde_json::Value;

use super::{
    frame::{outcome, took, verdict},
    table::{facts, hash, table},
};
use crate::report::{
    data::{RunReport, StageView},
    figures::{bytes, count, measured, millis},
    site::Site,
};

/// A block a stage, `#s0` and so on, closed until somebody comes to it.
pub(super) fn details(report: &RunReport, site: Option<&Site>) -> Markup {
    html! { div id="stage-blocks" { @for (_, block) in blocks(report, site) { (block) } } }
}

/// The blocks one by one, each with its id.
pub(super) fn blocks(report: &RunReport, site: Option<&Site>) -> Vec<(String, Markup)> {
    let all = report.stages.iter().enumerate();
    all.map(|(at, stage)| (format!("s{at}"), block(report, at, stage, site))).collect()
}

fn block(report: &RunReport, at: usize, stage: &StageView, site: Option<&Site>) -> Markup {
    html! {
        details.box id={ "s" (at) } data-name=(stage.stage.0) {
            summary { strong { (stage.stage.0) } (outcome(stage)) span.soft { (stage.reason) } }
            (facts(&about(report, stage, site)))
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
                    artifact(&output.digest.hex(), site),
                ]).collect::<Vec<_>>()))
            }
        }
    }
}

fn about<'a>(report: &RunReport, stage: &'a StageView, site: Option<&Site>) -> Vec<(&'a str, Markup)> {
    let mut rows = Vec::new();
    if let Some(program) = &stage.program {
        rows.push(("program", html! { code { (program) } }));
    }
    if stage.running_since.is_some() {
        rows.push(("runs for", took(stage)));
    }
    if let Some(took) = stage.duration_ms {
        rows.push((
            "took",
            html! { (millis(took)) @if stage.attempts > 1 { ", " (stage.attempts) " attempts" } },
        ));
    }
    if let Some(run) = stage.made_in {
        let took = stage.made_in_ms.map(|took| format!(", where it took {}", millis(took)));
        rows.push(("made in run", html! { (run_name(&run.to_string(), site)) (took.unwrap_or_default()) }));
    }
    if !stage.needs.is_empty() {
        rows.push(("after", links(report, &stage.needs)));
    }
    if let Some(statement) = stage.statement {
        rows.push(("lineage", html! { a href={ "#t" (statement) } { "statement on its result" } }));
    }
    rows
}

/// The id of a run; where its page is at hand, a link to that.
pub(super) fn run_name(run: &str, site: Option<&Site>) -> Markup {
    html! {
        @match site { Some(site) => a href=(site.run(run)) { code { (run) } }, None => code { (run) } }
    }
}

/// First digits of an artifact's hash; where its page is at hand, a link to that.
pub(super) fn artifact(hex: &str, site: Option<&Site>) -> Markup {
    html! {
        @match site.filter(|_| !hex.is_empty()) {
            Some(site) => a href=(site.lineage(hex)) { (hash(hex)) },
            None => (hash(hex)),
        }
    }
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
