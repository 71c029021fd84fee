//! The page of one run.

use base64ct::{Base64, Encoding};
use maud::{Markup, html};
use stagewright_protocol::GateStatus;

use super::{
    Pieces, compare,
    detail::{artifact, blocks, details, links, plain, run_name},
    frame::{Section, header, outcome, page, sign, state, tag, time, took, verdict},
    graph::{self, graph},
    lineage, models,
    table::{facts, hash, table},
};
use crate::{
    plan::StageId,
    record::RunState,
    report::{
        data::{Run, RunReport, StageView},
        figures::{bytes, count, millis},
        site::Site,
    },
};

/// Stages from which on a field filters them.
const MANY: usize = 20;
/// Running stages that a heading names.
const SHOWN: usize = 4;

/// The page of a run; with surroundings, the one that is served.
pub fn run_page(report: &RunReport, site: Option<&Site>) -> String {
    let run = &report.run;
    let title = match &report.release {
        Some(release) => format!("{} · release {}", run.pipeline, release.name),
        None => format!("{} · run {}", run.pipeline, run.run.short()),
    };
    page(&title, &head(report, site), &sections(report, site), report.made, site)
}

/// What of a run's page can change while the run goes on, piece by piece: the id of an element, and the element.
pub fn run_pieces(report: &RunReport, site: &Site) -> Pieces {
    let mut pieces = vec![("page-head".to_owned(), header(&head(report, Some(site))).into_string())];
    let sections = sections(report, Some(site));
    for section in &sections {
        let found = match section.id {
            // Redrawn whole, these would lose where the reader is in them.
            "graph" => {
                let rows = report.stages.iter().enumerate();
                let rows = rows.map(|(at, stage)| (format!("r{at}"), row(report, at, stage)));
                let mut found = vec![("graph-legend".to_owned(), legend(report))];
                found.extend(graph::pieces(&report.stages).into_iter().chain(rows));
                found
            }
            "details" => blocks(report, Some(site)),
            _ => vec![(section.part(), section.render())],
        };
        pieces.extend(found.into_iter().map(|(id, piece)| (id, piece.into_string())));
    }
    let sections: Vec<&str> = sections.iter().map(|section| section.id).collect();
    Pieces { frame: format!("{} {}", report.stages.len(), sections.join(" ")), pieces }
}

fn sections(report: &RunReport, site: Option<&Site>) -> Vec<Section> {
    let run = &report.run;
    let mut sections = vec![Section { id: "summary", title: "Summary", body: summary(report) }];
    let mut add = |id, title, shown: bool, body: &dyn Fn() -> Markup| {
        if shown {
            sections.push(Section { id, title, body: body() });
        }
    };
    let found = &report.findings;
    let since = report.release.as_ref().and_then(|release| release.since.as_ref());
    add("since", "Since the release before", since.is_some(), &|| {
        html! {
            @if let Some((name, found)) = since { h3 { "From " (name) } (compare::difference(found)) }
        }
    });
    add("graph", "Graph", !report.stages.is_empty(), &|| stages(report));
    add("data", "Data", !found.data.is_empty(), &|| {
        html! { @for (stage, data) in &found.data { (models::data(stage, data)) } }
    });
    add("pictures", "Pictures", !report.pictures.is_empty(), &|| pictures(report));
    add("training", "Training", !report.curves.is_empty() || !found.gradients.is_empty(), &|| {
        html! { (models::curves(&report.curves)) @for (stage, layers) in &found.gradients { (models::gradients(stage, layers)) } }
    });
    add("models", "Models", !found.benchmarks.is_empty() || !found.pruning.is_empty(), &|| {
        html! {
            @for (stage, benchmark) in &found.benchmarks { (models::benchmark(stage, benchmark)) }
            @for (stage, pruning) in &found.pruning { (models::pruning(stage, pruning)) }
        }
    });
    add("checklist", "Checklist", !found.checklists.is_empty(), &|| {
        html! { @for (stage, checklist) in &found.checklists { (models::checklist(stage, checklist)) } }
    });
    add("details", "Stages in detail", !report.stages.is_empty(), &|| details(report, site));
    let outputs = report.stages.iter().any(|stage| !stage.outputs.is_empty());
    add("artifacts", "Artifacts", outputs, &|| artifacts(report, site));
    // There is nothing to verify before the run has ended.
    add("verification", "Verification", run.state != RunState::Running, &|| {
        lineage::verification(report, site)
    });
    add("lineage", "Lineage", !report.lineage.statements.is_empty(), &|| {
        lineage::statements(&report.lineage, site)
    });
    add("texts", "Reports of stages", !report.texts.is_empty(), &|| texts(report));
    add("environment", "Environment", true, &|| environment(run));
    sections
}

fn head(report: &RunReport, site: Option<&Site>) -> Markup {
    let run = &report.run;
    html! {
        h1 {
            (run.pipeline)
            @match &report.release { Some(release) => { " " (release.name) }, None => (state(run.state)) }
        }
        @if let Some(release) = &report.release {
            p {
                "Released " (time(release.created)) @if let Some(tagger) = &release.tagger { " by " (tagger) }
                ", of commit " code { (release.commit) }
                @if release.dirty { " " (tag("warn", "with changes that were not committed")) }
            }
            @if !release.message.is_empty() { p { (release.message) } }
            p {
                "Delivers " @for (at, stage) in release.delivers.iter().enumerate() { @if at > 0 { ", " } strong { (stage) } }
            }
        }
        p.soft {
            "Run " (run_name(&run.run.to_string(), site.filter(|_| report.release.is_some())))
            @if let Some(started) = run.started {
                ", started " (time(started)) ", "
                @if run.state == RunState::Running { "going on for " time datetime=(started) data-since=(started.as_millisecond()) { "…" } }
                @else { "took " (millis(run.duration_ms)) }
            }
        }
        @if run.state == RunState::Running { (progress(report)) }
    }
}

/// How many stages have ended, and which ones run.
fn progress(report: &RunReport) -> Markup {
    let ended = report.stages.iter().filter(|stage| stage.outcome.is_some()).count();
    let running = report.stages.iter().enumerate().filter(|(_, stage)| stage.running_since.is_some());
    let running: Vec<usize> = running.map(|(at, _)| at).collect();
    html! {
        p.progress {
            progress aria-label="Stages that have ended" max=(report.stages.len().max(1)) value=(ended) {}
            (ended) " of " (count(report.stages.len() as u64, "stage")) " ended"
            @if !running.is_empty() {
                " · now " (links(report, running.get(..SHOWN).unwrap_or(&running)))
                @if running.len() > SHOWN { " and " (running.len() - SHOWN) " more" }
            }
        }
    }
}

fn summary(report: &RunReport) -> Markup {
    let run = &report.run;
    let gates = || report.stages.iter().flat_map(|stage| stage.gates.iter().map(move |gate| (stage, gate)));
    let all = gates().count() + report.targets.len();
    let is = |status: GateStatus| {
        gates().filter(|(_, gate)| gate.status == status).count()
            + report.targets.iter().filter(|target| target.status == status).count()
    };
    let counts: Vec<String> =
        run.counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let mut rows: Vec<Vec<Markup>> = report
        .targets
        .iter()
        .map(|target| {
            vec![
                html! { (target.target) },
                html! { "target" },
                verdict(target.status),
                html! { (target.reason) (waiver(report, None, &target.target)) },
            ]
        })
        .collect();
    rows.extend(gates().map(|(stage, gate)| {
        vec![
            html! { (gate.name) },
            html! { (stage.stage) },
            verdict(gate.status),
            html! { (gate.reason) (waiver(report, Some(&stage.stage), &gate.name)) },
        ]
    }));
    html! {
        ul.cards {
            li { b { (count(report.stages.len() as u64, "stage")) } (counts.join(", ")) }
            @if all > 0 {
                li {
                    b { (is(GateStatus::Passed)) " of " (all) " gates passed" }
                    (is(GateStatus::Failed)) " failed, " (is(GateStatus::NotApplicable)) " not measured"
                }
            }
            @if run.state != RunState::Running { li { b { (millis(run.duration_ms)) } "wall time" } }
            li { (evidence(report)) }
        }
        @for warning in &run.warnings { p.warn { "Warning: " (warning) } }
        @if !rows.is_empty() { (table("Gates and targets", &["gate", "of", "verdict", "what was found"], &[], &rows)) }
    }
}

/// Who let a gate fail, and until when.
fn waiver(report: &RunReport, stage: Option<&StageId>, gate: &str) -> Markup {
    let found = report.waived.iter().find(|waived| waived.stage.as_ref() == stage && waived.gate == gate);
    html! {
        @if let Some(waived) = found {
            br;
            @if waived.holds {
                (tag("warn", "waived"))
            } @else if waived.exceeded.is_some() {
                (tag("bad", "waiver does not cover it"))
            } @else {
                (tag("bad", "waiver expired"))
            }
            " by " (waived.by) " until " (waived.until) ": " (waived.reason)
            @if let Some(why) = &waived.exceeded { "; " (why) }
        }
    }
}

fn evidence(report: &RunReport) -> Markup {
    let lineage = &report.lineage;
    html! {
        b {
            @match &lineage.verified {
                _ if report.run.state == RunState::Running => "No statement yet",
                _ if lineage.run_statement.is_none() => "No statement",
                None => "Not verified",
                Some(found) if found.faults.is_empty() => "Evidence holds",
                Some(found) => { (count(found.faults.len() as u64, "fault")) " in the evidence" }
            }
        }
        @if report.run.state == RunState::Running { "on this run: it ends with one" }
        @else if lineage.run_statement.is_none() { "on this run: it did not end, or is of an early release" }
        @else { (lineage.run_signed.join(", ")) }
    }
}

fn stages(report: &RunReport) -> Markup {
    html! {
        (graph(&report.stages))
        (legend(report))
        @if report.stages.len() >= MANY {
            p { label { "Only stages whose name has " input.filter id="stage-filter" type="search" data-of="stage-rows" hidden; } }
        }
        div.scroll tabindex="0" role="region" aria-label="Stages" {
            table {
                thead { tr { th scope="col" { "stage" } th scope="col" { "outcome" } th.n scope="col" { "took" } th scope="col" { "why" } th scope="col" { "after" } } }
                tbody id="stage-rows" {
                    @for (at, stage) in report.stages.iter().enumerate() { (row(report, at, stage)) }
                }
            }
        }
    }
}

fn legend(report: &RunReport) -> Markup {
    html! {
        p.soft id="graph-legend" {
            @for outcome in report.run.counts.keys() { (sign(Some(*outcome)).1) " " (outcome) " \u{a0} " }
            @if report.stages.iter().any(|stage| stage.running_since.is_some()) { "▶ running \u{a0} " }
            "A box leads to the stage's details."
        }
    }
}

fn row(report: &RunReport, at: usize, stage: &StageView) -> Markup {
    html! {
        tr id={ "r" (at) } data-name=(stage.stage.0) {
            th scope="row" { a href={ "#s" (at) } { (stage.stage.0) } }
            td { (outcome(stage)) }
            td.n { (took(stage)) }
            td.wide { (stage.reason) }
            td { (links(report, &stage.needs)) }
        }
    }
}

fn pictures(report: &RunReport) -> Markup {
    html! {
        @for picture in &report.pictures {
            figure {
                figcaption { (picture.stage) ": " (picture.port) }
                @match &picture.content {
                    Some(content) => img.sheet alt={ "What " (picture.stage) " wrote as " (picture.port) } src={ "data:" (picture.media_type) ";base64," (Base64::encode_string(content)) };,
                    None => p.soft { "Too large for a page, or not in the store any more: " span.hash { (picture.digest) } },
                }
            }
        }
    }
}

fn artifacts(report: &RunReport, site: Option<&Site>) -> Markup {
    let rows = report.stages.iter().enumerate().flat_map(|(at, stage)| {
        stage.outputs.iter().map(move |output| {
            vec![
                html! { a href={ "#s" (at) } { (stage.stage.0) } },
                html! { (output.port) },
                html! { (output.artifact_type) },
                html! { (output.file_name) },
                html! { (bytes(output.bytes)) },
                html! {
                    @match (site, stage.statement) {
                        (None, Some(statement)) => a href={ "#t" (statement) } { (hash(&output.digest.hex())) },
                        _ => (artifact(&output.digest.hex(), site)),
                    }
                },
            ]
        })
    });
    table("Artifacts", &["stage", "port", "type", "name", "size", "SHA-256"], &[4], &rows.collect::<Vec<_>>())
}

fn texts(report: &RunReport) -> Markup {
    html! {
        @for text in &report.texts {
            details.box {
                summary { strong { (text.stage) } (text.port) " " (hash(&text.digest.hex())) }
                pre tabindex="0" { (text.text) }
            }
        }
    }
}

fn environment(run: &Run) -> Markup {
    let mut rows = vec![
        ("pipeline file", html! { code { (run.file.display()) } }),
        ("stagewright", html! { (run.stagewright) }),
    ];
    if let Some(git) = &run.git {
        let commit = git.commit.as_deref().unwrap_or("none yet");
        let branch = git.branch.as_ref().map(|branch| format!(" on {branch}")).unwrap_or_default();
        rows.push((
            "commit",
            html! { code { (commit) } (branch) @if git.dirty { " " (tag("warn", "with changes that are not committed")) } },
        ));
    }
    if let Some(host) = &run.host {
        let memory =
            if host.memory > 0 { format!(", {} of memory", bytes(host.memory)) } else { String::new() };
        let told = format!(
            "{} {}, {}{memory}, {}",
            host.os,
            host.arch,
            count(host.cpus.into(), "core"),
            count(host.gpus.into(), "GPU")
        );
        rows.push(("machine", html! { (told) }));
    }
    if let Some(isolation) = &run.isolation {
        let told = match (isolation.writes, isolation.network) {
            (true, true) => "stages could write to their own folders only and had no network",
            (true, false) => "stages could write to their own folders only",
            (false, true) => "stages had no network",
            (false, false) => "stages were not kept apart from the machine",
        };
        let why = isolation.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        rows.push(("isolation", html! { (told) (why) }));
    }
    for setting in &run.set {
        rows.push(("set", html! { code { (setting.key) " = " (plain(&setting.value)) } }));
    }
    facts(&rows)
}
