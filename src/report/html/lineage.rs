//! Verification, and the statements to be walked by click.

use maud::{Markup, html};

use super::{
    detail::{artifact, run_name},
    frame::{tag, time},
    table::{facts, hash},
};
use crate::{
    lineage::{Decided, Decision},
    report::{
        data::RunReport,
        figures::count,
        lineage::{LineageView, StatementView, Verified},
        site::Site,
    },
};

/// What was verified and what came of it.
pub(super) fn verification(report: &RunReport, site: Option<&Site>) -> Markup {
    let lineage = &report.lineage;
    html! {
        @match &lineage.verified {
            None => p {
                (tag("warn", "not verified")) " Nothing was verified when this report was made."
                @if site.is_some() && lineage.run_statement.is_some() {
                    " " a href="?verify=yes#verification" { "Verify it now" } ", which reads every byte of the run's artifacts."
                }
            },
            Some(found) => (findings(found)),
        }
        @if let Some(statement) = &lineage.run_statement {
            (facts(&[
                ("statement on the run", html! { span.hash { "sha256:" (statement.hex()) } }),
                ("signatures", html! { (lineage.run_signed.join(", ")) }),
                ("ledger", html! { (count(lineage.ledger_size as u64, "statement")) }),
            ]))
        }
        @if !report.decisions.is_empty() {
            h3 { "Decisions" }
            ul { @for decided in &report.decisions { li { (decision(decided)) } } }
        }
        p.soft {
            "A page can claim anything. What counts is the answer of "
            code { "stagewright lineage verify" } " where the project is, or of any in-toto verifier over the exported statements."
        }
    }
}

pub(super) fn decision(decided: &Decided) -> Markup {
    html! {
        strong { (decided.by) } " "
        @match &decided.decision {
            Decision::Approved { reason } => {
                "approved a result" @if let Some(reason) = reason { ": " (reason) }
            },
            Decision::Waived { gate, until, reason, found, .. } => {
                "waived the " (gate) " until " (until) ": " (reason) " (found: " (found) ")"
            },
        }
        ", " (time(decided.at)) " " span.hash { "sha256:" (decided.statement.short()) }
    }
}

fn findings(found: &Verified) -> Markup {
    let looked = format!(
        "{} and {} checked",
        count(found.statements as u64, "statement"),
        count(found.files as u64, "file")
    );
    html! {
        p {
            @if found.faults.is_empty() { (tag("good", "the evidence holds")) } @else { (tag("bad", &count(found.faults.len() as u64, "fault"))) }
            " " (looked) " at " (time(found.at)) "."
        }
        @if !found.faults.is_empty() {
            ul {
                @for fault in &found.faults {
                    li { strong.bad { (fault.kind) } " · " (fault.link) ": " (fault.what) }
                }
            }
        }
        @for note in &found.notes { p.soft { "Note: " (note) } }
    }
}

/// A block a statement, `#t0` and so on.
pub(super) fn statements(lineage: &LineageView, site: Option<&Site>) -> Markup {
    html! {
        p.soft { "Each block is a signed statement: what a stage made, and from what. The links lead to what was read, and to what was made of it." }
        div id="statement-blocks" {
            @for (at, one) in lineage.statements.iter().enumerate() { (block(&lineage.statements, at, one, site)) }
        }
    }
}

pub(super) fn block(all: &[StatementView], at: usize, one: &StatementView, site: Option<&Site>) -> Markup {
    html! {
        details.box id={ "t" (at) } data-name=(one.stage) {
            summary {
                strong { (one.stage) }
                span class=(if one.trusted { "good" } else { "warn" }) { (one.signed.join(", ")) }
                @if let Some(at) = one.finished { span.soft { (time(at)) } }
            }
            (facts(&[
                ("statement", html! { span.hash { "sha256:" (one.statement.hex()) } }),
                ("run", run_name(&one.run, site.filter(|_| !one.run.is_empty()))),
            ]))
            @if !one.inputs.is_empty() {
                h3 { "Made from" }
                ul {
                    @for input in &one.inputs {
                        li {
                            (input.name) " "
                            @match input.origin.and_then(|origin| Some((origin, all.get(origin)?))) {
                                Some((at, origin)) => { "← " a href={ "#t" (at) } { (origin.stage) } },
                                None => @if let Some(path) = &input.path { "← " code { (path) } },
                            }
                            @if let Some(files) = input.files { ", " (count(files, "file")) }
                            " " (artifact(&input.sha256, site))
                        }
                    }
                }
            }
            @if !one.made_with.is_empty() {
                h3 { "Made with" }
                ul {
                    @for part in &one.made_with {
                        li { (part.name) " " (hash(&part.hash)) @if let Some(note) = &part.note { " (" (note) ")" } }
                    }
                }
            }
            h3 { "Made" }
            ul {
                @for output in &one.outputs { li { (output.name) " " (artifact(&output.hash, site)) } }
                @if one.more_outputs > 0 { li.soft { "and " (one.more_outputs) " more" } }
            }
            @if !one.used_by.is_empty() {
                h3 { "Used by" }
                ul {
                    @for &reader in &one.used_by {
                        @if let Some(statement) = all.get(reader) {
                            li { a href={ "#t" (reader) } { (statement.stage) } }
                        }
                    }
                }
            }
        }
    }
}
