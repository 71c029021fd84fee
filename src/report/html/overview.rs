//! The lists that a project's pages start from: its runs, its releases.

use std::collections::BTreeMap;

use maud::{Markup, html};
use stagewright_protocol::GateStatus;

use super::{
    Pieces,
    detail::plain,
    frame::{Section, header, page, state, tag, time, verdict},
    table::table,
};
use crate::{
    record::{Outcome, RunState},
    release::Release,
    report::{
        figures::{count, measured, millis},
        overview::{KeyMetric, ReleasesView, RunRow, RunsView},
        site::Site,
    },
};

/// The list of a project's runs.
pub fn runs_page(view: &RunsView, site: &Site) -> String {
    let sections = [Section { id: "runs", title: "Runs", body: list(view, site) }];
    page(&format!("{} · runs", site.project), &head(view, site), &sections, view.made, Some(site))
}

/// What of that list can change without a run more or less, piece by piece: the id of an element, and the element.
pub fn runs_pieces(view: &RunsView, site: &Site) -> Pieces {
    let rows = view.runs.iter().map(|row| (row_id(row), self::row(row, site).into_string()));
    let mut pieces = vec![("page-head".to_owned(), header(&head(view, site)).into_string())];
    pieces.extend(rows);
    let runs: Vec<String> = view.runs.iter().map(|row| row.run.run.to_string()).collect();
    Pieces { frame: format!("{} {}", view.broken.len(), runs.join(" ")), pieces }
}

fn head(view: &RunsView, site: &Site) -> Markup {
    let running = view.runs.iter().filter(|row| row.run.state == RunState::Running).count();
    html! {
        h1 { (site.project) @if running > 0 { (tag("warn", &format!("{running} running"))) } }
        p.soft {
            (count(view.all as u64, "run"))
            @if let Some(last) = view.runs.first().and_then(|row| row.run.started) { ", the last one started " (time(last)) }
        }
    }
}

fn list(view: &RunsView, site: &Site) -> Markup {
    html! {
        @if view.runs.is_empty() && view.broken.is_empty() {
            p { "No run yet. " code { "stagewright run" } " makes one, and it shows up here by itself." }
        } @else {
            form action=(site.to("compare")) method="get" {
                p.tools {
                    label { "Only runs that have " input.filter id="run-filter" type="search" placeholder="failed, train, lr=0.1 …" data-of="run-rows" hidden; }
                    button type="submit" { "Compare chosen runs" }
                }
                div.scroll tabindex="0" role="region" aria-label="Runs" {
                    table.list {
                        thead {
                            tr {
                                @for word in ["run", "started", "pipeline", "outcome", "stages", "took", "metrics", "commit"] { th scope="col" { (word) } }
                            }
                        }
                        tbody id="run-rows" { @for one in &view.runs { (row(one, site)) } }
                    }
                }
            }
            p.soft.none hidden { "No run has that." }
            @if let Some(older) = view.older { p { a href={ (site.to(".")) "?before=" (older) } { "Older runs" } } }
        }
        @if !view.broken.is_empty() {
            h3 { "Not readable" }
            ul { @for (run, why) in &view.broken { li { code { (run) } ": " (why) } } }
        }
    }
}

fn row_id(row: &RunRow) -> String {
    format!("run-{}", row.run.run)
}

fn row(row: &RunRow, site: &Site) -> Markup {
    let run = &row.run;
    let id = run.run.to_string();
    let running = run.state == RunState::Running;
    let ended: u64 = run.counts.values().sum();
    let commit = run.git.as_ref().and_then(|git| git.commit.as_deref()).unwrap_or_default();
    html! {
        tr id=(row_id(row)) data-name=(words(row)) {
            th scope="row" {
                label.choice { input type="checkbox" name="run" value=(id) aria-label={ "Choose run " (run.run.short()) }; }
                a href=(site.run(&id)) { code { (run.run.short()) } }
            }
            td { @if let Some(at) = run.started { (time(at)) } }
            td { (run.pipeline) @if !settings(row).is_empty() { div.soft { (settings(row)) } } }
            td { (state(run.state)) }
            td {
                @if running {
                    progress aria-label="Stages that have ended" max=(row.stages.max(1)) value=(ended) {}
                    (ended) " of " (row.stages)
                } @else { (counts(&run.counts)) }
            }
            td.n {
                @match run.started.filter(|_| running) {
                    Some(since) => time datetime=(since) data-since=(since.as_millisecond()) { "…" },
                    None => (millis(run.duration_ms)),
                }
            }
            td.metrics { @for metric in &row.metrics { (key_metric(metric)) } }
            td {
                code { (commit.get(..8).unwrap_or(commit)) }
                @if run.git.as_ref().is_some_and(|git| git.dirty) { span title="with changes that are not committed" { "+" } }
            }
        }
    }
}

fn key_metric(metric: &KeyMetric) -> Markup {
    let class = match metric.status {
        Some(GateStatus::Passed) => "good",
        Some(GateStatus::Failed) => "bad",
        Some(GateStatus::NotApplicable) | None => "plain",
    };
    html! {
        div {
            span.soft { (metric.name) } " "
            span class=(class) {
                (measured(metric.value.value, metric.value.unit.as_deref()))
                @if metric.status == Some(GateStatus::Failed) { " ✕" }
            }
        }
    }
}

/// `3 reused, 1 ran, 1 failed`.
fn counts(counts: &BTreeMap<Outcome, u64>) -> String {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Cached => "reused".to_owned(),
        other => other.to_string(),
    };
    counts.iter().map(|(outcome, count)| format!("{count} {}", word(outcome))).collect::<Vec<_>>().join(", ")
}

/// `lr=0.1`, with the run's place in its sweep.
fn settings(row: &RunRow) -> String {
    let mut words: Vec<String> =
        row.sweep.iter().map(|member| format!("{}/{}", member.trial, member.of)).collect();
    words.extend(row.run.set.iter().map(|set| format!("{}={}", set.key, plain(&set.value))));
    words.join(" ")
}

/// All that a filter can look for in a row.
fn words(row: &RunRow) -> String {
    let run = &row.run;
    let state = match run.state {
        RunState::Running => "running".to_owned(),
        RunState::Interrupted => "interrupted".to_owned(),
        RunState::Ended(outcome) => outcome.to_string(),
    };
    let git = run.git.iter().flat_map(|git| git.commit.iter().chain(&git.branch).cloned());
    let mut words =
        vec![run.run.to_string(), run.pipeline.clone(), state, settings(row), counts(&run.counts)];
    words.extend(git);
    words.extend(row.metrics.iter().map(|metric| metric.name.clone()));
    words.join(" ")
}

/// The list of a project's releases.
pub fn releases_page(view: &ReleasesView, site: &Site) -> String {
    let all = &view.releases.all;
    let rows: Vec<Vec<Markup>> = all.iter().rev().map(|release| release_row(release, site)).collect();
    let heading = ["release", "made", "pipeline", "run", "delivers", "targets", "commit", "by"];
    let body = html! {
        @if rows.is_empty() {
            p { "No release yet. " code { "stagewright release create NAME" } " makes one of a run that passed its gates." }
        } @else {
            (table("Releases", &heading, &[], &rows))
        }
        @if !view.releases.broken.is_empty() {
            h3 { "Not readable" }
            ul { @for error in &view.releases.broken { li { (error) } } }
        }
    };
    let head = html! { h1 { (site.project) } p.soft { (count(all.len() as u64, "release")) } };
    let sections = [Section { id: "releases", title: "Releases", body }];
    page(&format!("{} · releases", site.project), &head, &sections, view.made, Some(site))
}

fn release_row(release: &Release, site: &Site) -> Vec<Markup> {
    let manifest = &release.manifest;
    let run = manifest.run;
    vec![
        html! {
            a href=(site.release(&manifest.name)) { (manifest.name) }
            @if !release.message.is_empty() && release.message != manifest.name { div.soft { (release.message.lines().next().unwrap_or_default()) } }
        },
        time(manifest.created),
        html! { (manifest.pipeline) },
        html! { a href=(site.run(&run.to_string())) { code { (run.short()) } } },
        html! {
            @for (stage, released) in manifest.delivered() {
                div {
                    (stage)
                    @for output in released.outputs.values() {
                        " " a href=(site.lineage(&output.artifact.digest.hex())) { (output.file_name) }
                    }
                }
            }
        },
        html! { @for target in &manifest.targets { div { (target.target) " " (verdict(target.status)) } } },
        html! {
            code { (release.commit.get(..8).unwrap_or(&release.commit)) }
            @if manifest.dirty { " " (tag("warn", "with changes")) }
        },
        html! { (release.tagger.as_deref().unwrap_or_default()) },
    ]
}
