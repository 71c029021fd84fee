//! What every page has: its head with the policy, its heading, its foot.

use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use stagewright_protocol::GateStatus;

use crate::{
    digest::Digest,
    record::{Outcome, RunOutcome, RunState},
};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A section that a page has, for the list at its top.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: Markup,
}

/// A whole page. Style and script are named by their hashes, so that no other one counts; nothing is loaded from anywhere.
pub(super) fn page(title: &str, head: &Markup, sections: &[Section], made: Timestamp) -> String {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT),
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header { (head) }
                nav aria-label="Sections" {
                    ul {
                        @for section in sections {
                            li { a href={ "#" (section.id) } { (section.title) } }
                        }
                    }
                }
                main id="main" tabindex="-1" {
                    @for section in sections {
                        section aria-labelledby=(section.id) {
                            h2 id=(section.id) tabindex="-1" { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer {
                    "Made by stagewright " (env!("CARGO_PKG_VERSION")) " at " (time(made))
                    ". This file needs no network and loads nothing."
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn hash(text: &str) -> String {
    Base64::encode_string(Digest::of(text.as_bytes()).hash())
}

/// A point in time, to the second.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (format!("{at:.0}").replace('T', " ").replace('Z', " UTC")) } }
}

/// A coloured word. The word says the same as the colour.
pub(super) fn tag(class: &str, word: &str) -> Markup {
    html! { span class={ "tag " (class) } { (word) } }
}

/// Where a run stands.
pub(super) fn state(state: RunState) -> Markup {
    match state {
        RunState::Running => tag("warn", "running"),
        RunState::Interrupted => tag("bad", "interrupted"),
        RunState::Ended(outcome) => {
            let class = match outcome {
                RunOutcome::Succeeded => "good",
                RunOutcome::GateFailed | RunOutcome::Failed => "bad",
                RunOutcome::Cancelled => "warn",
            };
            tag(class, &outcome.to_string())
        }
    }
}

/// Class and sign of an outcome; the sign tells them apart without colours.
pub(super) fn sign(outcome: Option<Outcome>) -> (&'static str, &'static str) {
    match outcome {
        Some(Outcome::Ran) => ("ran", "●"),
        Some(Outcome::Cached) => ("cached", "↻"),
        Some(Outcome::Skipped) => ("skipped", "○"),
        Some(Outcome::Failed) => ("failed", "✕"),
        Some(Outcome::Cancelled) => ("cancelled", "■"),
        Some(Outcome::Blocked) => ("blocked", "◆"),
        None => ("none", "…"),
    }
}

/// How a stage ended.
pub(super) fn outcome(outcome: Option<Outcome>) -> Markup {
    let word = outcome.map_or_else(|| "not ended".to_owned(), |outcome| outcome.to_string());
    let class = match outcome {
        Some(Outcome::Ran | Outcome::Cached) => "good",
        Some(Outcome::Failed) => "bad",
        Some(Outcome::Cancelled | Outcome::Blocked) => "warn",
        Some(Outcome::Skipped) | None => "soft",
    };
    tag(class, &format!("{} {word}", sign(outcome).1))
}

/// Verdict of a gate or target.
pub(super) fn verdict(status: GateStatus) -> Markup {
    match status {
        GateStatus::Passed => tag("good", "passed"),
        GateStatus::Failed => tag("bad", "failed"),
        GateStatus::NotApplicable => tag("warn", "not measured"),
    }
}
