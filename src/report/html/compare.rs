//! The page of several runs.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde_json::Value;

use super::{
    detail::plain,
    frame::{Section, page, state, tag, time},
    models,
    plot::{Axis, Bubble, bubbles, lines},
    table::table,
};
use crate::{
    compare::{Change, RunDiff, StageDiff},
    report::{
        compare::CompareReport,
        figures::{bytes, count, measured, millis, number},
        site::Site,
    },
};

/// The page of several runs; with surroundings, the one that is served.
pub fn compare_page(report: &CompareReport, site: Option<&Site>) -> String {
    let names: BTreeSet<&str> = report.runs.iter().map(|run| run.pipeline.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let title = format!("{names} · {}", count(report.runs.len() as u64, "run"));
    let mut sections = vec![
        Section { id: "runs", title: "Runs", body: runs(report, site) },
        Section { id: "table", title: "Params and metrics", body: values(report) },
    ];
    if !report.variants.is_empty() {
        sections.push(Section { id: "models", title: "Models", body: variants(report) });
    }
    if !report.curves.is_empty() {
        sections.push(Section { id: "curves", title: "Curves", body: curves(report) });
    }
    if !report.differences.is_empty() {
        sections.push(Section { id: "differences", title: "Differences", body: differences(report) });
    }
    let head = html! { h1 { (names) } p.soft { (count(report.runs.len() as u64, "run")) " side by side" } };
    page(&title, &head, &sections, report.made, site)
}

fn runs(report: &CompareReport, site: Option<&Site>) -> Markup {
    let rows = report.runs.iter().map(|run| {
        let counts: Vec<String> =
            run.counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let commit = run.git.as_ref().and_then(|git| git.commit.as_deref()).unwrap_or_default();
        vec![
            html! {
                @match site {
                    Some(site) => a href=(site.run(&run.run.to_string())) { code { (run.run.short()) } },
                    None => code { (run.run.short()) },
                }
            },
            html! { (run.pipeline) },
            state(run.state),
            html! { @if let Some(at) = run.started { (time(at)) } },
            html! { (millis(run.duration_ms)) },
            html! { (counts.join(", ")) },
            html! { code { (commit.get(..12).unwrap_or(commit)) } },
        ]
    });
    table(
        "Runs",
        &["run", "pipeline", "outcome", "started", "took", "stages", "commit"],
        &[4],
        &rows.collect::<Vec<_>>(),
    )
}

fn values(report: &CompareReport) -> Markup {
    let found = &report.table;
    let mut heading = vec!["run".to_owned()];
    let combined = found.rows.iter().any(|row| !row.combination.is_empty());
    if combined {
        heading.push("combination".to_owned());
    }
    let first = heading.len();
    heading.extend(found.columns.iter().map(|column| match &column.unit {
        Some(unit) => format!("{} in {unit}", column.name),
        None => column.name.clone(),
    }));
    let numeric: Vec<usize> = (first..heading.len())
        .filter(|at| {
            found.rows.iter().all(|row| row.values[at - first].as_ref().is_none_or(Value::is_number))
        })
        .collect();
    let rows = found.rows.iter().map(|row| {
        let mut cells =
            vec![html! { code { (row.run.short()) } @if row.front { " " (tag("good", "best")) } }];
        if combined {
            cells.push(html! { (row.combination) });
        }
        cells
            .extend(row.values.iter().map(|value| html! { (value.as_ref().map(shown).unwrap_or_default()) }));
        cells
    });
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    html! {
        (table("Params and metrics", &heading, &numeric, &rows.collect::<Vec<_>>()))
        @if !found.goals.is_empty() {
            p.soft {
                "Best: no other run is better in one of these and not worse in another: "
                (found.goals.iter().map(|goal| format!("{} {}", goal.direction, goal.of)).collect::<Vec<_>>().join(", "))
                "."
            }
        }
        @if found.more_metrics + found.more_params > 0 {
            p.soft { (found.more_params) " params that differ and " (found.more_metrics) " metrics are not in this table." }
        }
    }
}

fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(value) => number(value),
        None => plain(value),
    }
}

fn variants(report: &CompareReport) -> Markup {
    let name = |at: usize| report.runs.get(at).map(|run| run.run.short()).unwrap_or_default();
    let rows = report.variants.iter().map(|point| {
        let variant = &point.variant;
        vec![
            html! { code { (name(point.run)) } },
            html! { (variant.name) },
            html! { (variant.precision) },
            html! { (format!("{:.2}", variant.top1)) },
            html! { (number(variant.latency.p50)) },
            html! { (number(variant.latency.p99)) },
            html! { (number(variant.throughput)) },
            html! { (bytes(variant.size)) },
        ]
    });
    let points: Vec<Bubble> = report
        .variants
        .iter()
        .map(|point| {
            let found = models::point(&point.variant);
            let run = name(point.run);
            Bubble {
                name: format!("{} {run}", found.name),
                told: format!("run {run}, {}", found.told),
                ..found
            }
        })
        .collect();
    html! {
        (table(
            "Models",
            &["run", "model", "precision", "accuracy in %", "median in ms", "p99 in ms", "images/s", "file"],
            &[3, 4, 5, 6, 7],
            &rows.collect::<Vec<_>>(),
        ))
        (bubbles(
            "Accuracy, latency and size",
            &Axis { label: "median latency at batch 1 in ms", log: true },
            &Axis { label: "accuracy in %", log: false },
            &points,
            "The area of a circle is the size of the file; behind each name stands its run. The table above has the values.",
        ))
    }
}

fn curves(report: &CompareReport) -> Markup {
    html! {
        div.plots {
            @for set in &report.curves {
                @let label = set.unit.as_ref().map_or_else(|| set.metric.clone(), |unit| format!("{} in {unit}", set.metric));
                (lines(
                    &format!("{}: {}", set.stage, set.metric),
                    &Axis { label: "step", log: false },
                    &Axis { label: &label, log: false },
                    &set.series,
                ))
            }
        }
    }
}

fn differences(report: &CompareReport) -> Markup {
    html! {
        @for found in &report.differences {
            h3 { "From run " code { (found.from.short()) } " to run " code { (found.to.short()) } }
            (difference(found))
        }
    }
}

/// What differs between two runs.
pub(super) fn difference(found: &RunDiff) -> Markup {
    html! {
            @if found.stages.is_empty() { p { "No difference." } }
            @for stage in &found.stages {
                details.box open[found.stages.len() <= 3] {
                    summary { strong { (stage.stage) } span.soft { (differs(stage)) } }
                    (table("Differences", &["what", "from", "to"], &[], &changes(stage)))
                }
            }
            @if found.same > 0 { p.soft { (count(found.same as u64, "stage")) " without a difference." } }
    }
}

fn differs(stage: &StageDiff) -> String {
    let parts = [
        (stage.params.len(), "param"),
        (stage.inputs.len(), "input"),
        (stage.metrics.len(), "metric"),
        (stage.artifacts.len(), "output"),
    ];
    let words = parts.iter().filter(|(many, _)| *many > 0).map(|(many, word)| count(*many as u64, word));
    words.collect::<Vec<_>>().join(", ")
}

fn changes(stage: &StageDiff) -> Vec<Vec<Markup>> {
    fn row<T>(change: &Change<T>, prefix: &str, write: impl Fn(&T) -> String) -> Vec<Markup> {
        let side = |value: &Option<T>| value.as_ref().map_or_else(|| "–".to_owned(), &write);
        vec![
            html! { (prefix) (change.name) },
            html! { span.hash { (side(&change.from)) } },
            html! { span.hash { (side(&change.to)) } },
        ]
    }
    let mut rows = Vec::new();
    rows.extend(stage.outcome.iter().map(|change| row(change, "", ToString::to_string)));
    if stage.params_unknown {
        rows.push(vec![html! { "params" }, html! { "not recorded by the release that ran it" }, html! {}]);
    }
    rows.extend(stage.params.iter().map(|change| row(change, "", plain)));
    rows.extend(stage.inputs.iter().map(|change| row(change, "", plain)));
    let metric = |metric: &crate::record::MetricValue| measured(metric.value, metric.unit.as_deref());
    rows.extend(stage.metrics.iter().map(|change| row(change, "", metric)));
    let output = |output: &crate::compare::OutputIdentity| {
        format!("{}, {}", output.digest.short(), bytes(output.bytes))
    };
    rows.extend(stage.artifacts.iter().map(|change| row(change, "output ", output)));
    rows
}
