//! The pages on lineage: one artifact with all that it came from and all that came of it, and where a search for one starts.

use maud::{Markup, html};

use super::{
    detail::run_name,
    frame::{Section, page, time},
    graph::{Box, draw},
    lineage::{block, decision},
    table::{facts, table},
};
use crate::report::{
    figures::count,
    lineage::StatementView,
    site::Site,
    trace::{Trace, TraceStart},
};

/// Statements from which on no graph is drawn, because nobody could read it.
const DRAWN: usize = 400;
/// Runs that are named one by one.
const RUNS: usize = 50;

/// The page of an artifact, or of all that a stage made.
pub fn trace_page(trace: &Trace, site: &Site) -> String {
    let name = name(trace);
    let head = html! {
        h1 { (name) }
        @if let Some(hash) = &trace.sha256 { p.soft { "sha256:" span.hash { (hash) } } }
    };
    let mut sections = vec![Section { id: "artifact", title: "Artifact", body: about(trace, site) }];
    if trace.statements.len() > 1 && trace.statements.len() <= DRAWN {
        sections.push(Section { id: "graph", title: "Graph", body: graph(trace) });
    }
    sections.push(Section { id: "statements", title: "Statements", body: statements(trace, site) });
    page(&format!("{name} · lineage"), &head, &sections, trace.made, Some(site))
}

/// What the artifact is called where it was made or, as data, where it was read.
fn name(trace: &Trace) -> String {
    let made = trace.made_by.and_then(|at| trace.statements.get(at));
    let named = made.zip(trace.sha256.as_ref()).and_then(|(made, hash)| {
        let output = made.outputs.iter().find(|output| output.hash == *hash)?;
        Some(format!("{} of {}", output.name, made.stage))
    });
    let read = || trace.read_as.first().map(|(_, path)| path.clone());
    named.or_else(read).or_else(|| made.map(|made| made.stage.clone())).unwrap_or_else(|| trace.asked.clone())
}

fn about(trace: &Trace, site: &Site) -> Markup {
    let mut rows = Vec::new();
    if let Some((at, made)) = trace.made_by.and_then(|at| Some((at, trace.statements.get(at)?))) {
        rows.push((
            "made by",
            html! {
                a href={ "#t" (at) } { (made.stage) }
                @if let Some(at) = made.finished { ", " (time(at)) }
            },
        ));
        rows.push(("in run", run_name(&made.run, Some(site).filter(|_| !made.run.is_empty()))));
        rows.push(("evidence", html! { span class=(trust(made)) { (made.signed.join(", ")) } }));
    }
    if !trace.read_as.is_empty() {
        rows.push((
            "read by",
            html! {
                @for (at, path) in &trace.read_as {
                    @if let Some(reader) = trace.statements.get(*at) {
                        div { a href={ "#t" (at) } { (reader.stage) } " as " code { (path) } }
                    }
                }
            },
        ));
    }
    rows.push((
        "releases",
        html! {
            @if trace.releases.is_empty() { span.soft { "none holds it, or anything made of it" } }
            @for (at, name) in trace.releases.iter().enumerate() { @if at > 0 { ", " } a href=(site.release(name)) { (name) } }
        },
    ));
    rows.push((
        "runs",
        html! {
            @if trace.runs.is_empty() { span.soft { "none that has ended" } }
            @for (at, run) in trace.runs.iter().take(RUNS).enumerate() {
                @if at > 0 { ", " } a href=(site.run(&run.to_string())) { code { (run.short()) } }
            }
            @if trace.runs.len() > RUNS { " and " (trace.runs.len() - RUNS) " more" }
        },
    ));
    let hash = trace.sha256.as_deref();
    html! {
        (facts(&rows))
        @for folder in &trace.untold {
            p.warn { "The listing of " code { (folder) } " is not in the store any more, so nobody can tell whether this was in it." }
        }
        @if !trace.decisions.is_empty() {
            h3 { "Decisions" }
            ul { @for decided in &trace.decisions { li { (decision(decided)) } } }
        }
        p.soft {
            "To verify what these statements say: "
            code { "stagewright lineage verify" @if let Some(hash) = hash { " " (hash.get(..12).unwrap_or(hash)) } }
        }
    }
}

fn trust(one: &StatementView) -> &'static str {
    if one.trusted { "good" } else { "warn" }
}

fn graph(trace: &Trace) -> Markup {
    let origins = |one: &StatementView| {
        let mut needs: Vec<usize> = one.inputs.iter().filter_map(|input| input.origin).collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    };
    let needs: Vec<Vec<usize>> = trace.statements.iter().map(origins).collect();
    let boxes: Vec<Box<'_>> = trace
        .statements
        .iter()
        .enumerate()
        .map(|(at, one)| {
            let (class, sign, word) = match trace.made_by {
                Some(made) if made == at => ("running", "▶", "made it"),
                _ if trace.above.contains(&at) => ("ran", "↑", "made from this"),
                _ => ("cached", "↓", "made of it"),
            };
            let run = one.run.rsplit('-').next().unwrap_or_default();
            let short = run.get(4..).unwrap_or(run);
            Box {
                name: &one.stage,
                class,
                sub: (sign, format!("{word} · {short}")),
                told: format!("{}: {word}, in run {}", one.stage, one.run),
                to: format!("t{at}"),
            }
        })
        .collect();
    html! {
        (draw("Graph of the statements; the blocks below say the same", &boxes, &needs))
        p.soft { "From what it was made on the left to what was made of it on the right. A box leads to its statement." }
    }
}

fn statements(trace: &Trace, site: &Site) -> Markup {
    html! {
        p.soft { "Each block is a statement: what a stage made, and from what. The links lead to what was read, and to what was made of it." }
        div id="statement-blocks" {
            @for (at, one) in trace.statements.iter().enumerate() { (block(&trace.statements, at, one, Some(site))) }
        }
    }
}

/// The page that a search in the lineage starts from.
pub fn trace_start_page(start: &TraceStart, site: &Site) -> String {
    let rows = start.statements.iter().map(|one| {
        vec![
            html! { a href=(site.lineage(&one.stage)) { (one.stage) } },
            html! { @if let Some(at) = one.finished { (time(at)) } },
            html! {
                @for output in one.outputs.iter().take(SHOWN) { div { a href=(site.lineage(&output.hash)) { (output.name) } } }
                @if one.outputs.len() + one.more_outputs > SHOWN { div.soft { "and " (one.outputs.len() + one.more_outputs - SHOWN) " more" } }
            },
            html! { span class=(trust(one)) { (one.signed.join(", ")) } },
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    let body = html! {
        form action=(site.to("lineage")) method="get" {
            p.tools {
                label { "A stage, or the SHA-256 of an artifact or of a file of the data, or its first 8 digits " input.field type="search" name="of" required; }
                button type="submit" { "Show" }
            }
        }
        @if rows.is_empty() {
            p { "No stage has made anything yet. " code { "stagewright run" } " does, and keeps a statement on each result." }
        } @else {
            h3 { "The last result of each stage" }
            (table("The last result of each stage", &["stage", "made", "outputs", "evidence"], &[], &rows))
            @if start.more > 0 { p.soft { "And " (count(start.more as u64, "stage")) " more." } }
        }
    };
    let head = html! {
        h1 { "Lineage" }
        p.soft { "Where an artifact came from, up to the data, and what was made of it, down to the releases." }
    };
    let sections = [Section { id: "search", title: "Search", body }];
    page(&format!("{} · lineage", site.project), &head, &sections, start.made, Some(site))
}

/// Outputs of a stage that a list names.
const SHOWN: usize = 4;
