//! What every page has: its head with the policy, its heading, its foot; the menu of a page that is served.

use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use stagewright_protocol::GateStatus;

use crate::{
    digest::Digest,
    record::{Outcome, RunOutcome, RunState},
    report::{
        data::StageView,
        figures::millis,
        site::{Part, Site},
    },
};

const STYLE: &str = include_str!("style.css");
const SITE_STYLE: &str = include_str!("site.css");
const SCRIPT: &str = include_str!("script.js");
const LIVE_SCRIPT: &str = include_str!("live.js");
/// Sign of the tab: a dot in the colour of links.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect x='1' y='5' width='6' height='6' rx='2' fill='%230969da'/%3E%3Crect x='9' y='1' width='6' height='6' rx='2' fill='%231a7f37'/%3E%3Crect x='9' y='9' width='6' height='6' rx='2' fill='%238250df'/%3E%3C/svg%3E";

/// A section that a page has, for the list at its top.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: Markup,
}

impl Section {
    /// Id of the element that [`Section::render`] makes.
    pub(super) fn part(&self) -> String {
        format!("part-{}", self.id)
    }

    /// The section as it stands in the page.
    pub(super) fn render(&self) -> Markup {
        html! {
            section id=(self.part()) aria-labelledby=(self.id) {
                h2 id=(self.id) tabindex="-1" { (self.title) }
                (self.body)
            }
        }
    }
}

/// The heading of a page.
pub(super) fn header(head: &Markup) -> Markup {
    html! { header id="page-head" { (head) } }
}

/// What a page may do. Style and script are named by their hashes, so that no other one counts; nothing is loaded from anywhere.
/// One that is served may send its forms and ask for changes where it came from.
pub fn policy(served: bool) -> String {
    let hash = |text: &str| format!("'sha256-{}'", Base64::encode_string(Digest::of(text.as_bytes()).hash()));
    let mut policy = format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action {}",
        if served { [hash(STYLE), hash(SITE_STYLE)].join(" ") } else { hash(STYLE) },
        if served { [hash(SCRIPT), hash(LIVE_SCRIPT)].join(" ") } else { hash(SCRIPT) },
        if served { "'self'" } else { "'none'" },
    );
    if served {
        policy.push_str("; connect-src 'self'");
    }
    policy
}

/// A whole page.
pub(super) fn page(
    title: &str,
    head: &Markup,
    sections: &[Section],
    made: Timestamp,
    site: Option<&Site>,
) -> String {
    let live = site.and_then(|site| site.live.as_deref());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(site.is_some()));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                @if site.is_some() { link rel="icon" href=(ICON); }
                title { (title) }
                style { (PreEscaped(STYLE)) }
                @if site.is_some() { style { (PreEscaped(SITE_STYLE)) } }
            }
            body data-live=[live] {
                a.skip href="#main" { "Skip to the content" }
                @if let Some(site) = site { (menu(site)) }
                (header(head))
                nav id="page-sections" aria-label="Sections" hidden[sections.len() < 2 && site.is_some()] {
                    ul {
                        @for section in sections {
                            li { a href={ "#" (section.id) } { (section.title) } }
                        }
                    }
                }
                main id="main" tabindex="-1" { @for section in sections { (section.render()) } }
                footer id="page-foot" {
                    @if site.is_some() {
                        "Served by stagewright " (env!("CARGO_PKG_VERSION")) " at " (time(made))
                        ", to this machine only. Nothing can be changed from here, and nothing is loaded from elsewhere."
                    } @else {
                        "Made by stagewright " (env!("CARGO_PKG_VERSION")) " at " (time(made))
                        ". This file needs no network and loads nothing."
                    }
                }
                script { (PreEscaped(SCRIPT)) }
                @if site.is_some() { script { (PreEscaped(LIVE_SCRIPT)) } }
            }
        }
    };
    page.into_string()
}

fn menu(site: &Site) -> Markup {
    html! {
        nav.site aria-label="Project" {
            strong { (site.project) }
            ul {
                @for (part, name, path) in Part::ALL {
                    li { a href=(site.to(path)) aria-current=[(part == site.part).then_some("true")] { (name) } }
                }
            }
            span id="pulse" role="status" {
                @if site.live.is_some() { "live" }
            }
        }
    }
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

/// Class, sign and word of where a stage stands.
pub(super) fn standing(stage: &StageView) -> (&'static str, &'static str, String) {
    if stage.running_since.is_some() {
        return ("running", "▶", "running".to_owned());
    }
    let (class, sign) = sign(stage.outcome);
    (class, sign, stage.outcome.map_or_else(|| "not ended".to_owned(), |outcome| outcome.to_string()))
}

/// Where a stage stands, as a coloured word.
pub(super) fn outcome(stage: &StageView) -> Markup {
    let (_, sign, word) = standing(stage);
    let class = match stage.outcome {
        Some(Outcome::Ran | Outcome::Cached) => "good",
        Some(Outcome::Failed) => "bad",
        Some(Outcome::Cancelled | Outcome::Blocked) => "warn",
        None if stage.running_since.is_some() => "now",
        Some(Outcome::Skipped) | None => "soft",
    };
    tag(class, &format!("{sign} {word}"))
}

/// What a stage took; of one that runs, for how long it has.
pub(super) fn took(stage: &StageView) -> Markup {
    html! {
        @if let Some(since) = stage.running_since {
            time datetime=(since) data-since=(since.as_millisecond()) { "…" }
            @if let Some(usual) = stage.usual_ms { " of usually " (millis(usual)) }
        } @else {
            (stage.duration_ms.map(millis).unwrap_or_default())
        }
    }
}

/// Verdict of a gate or target.
pub(super) fn verdict(status: GateStatus) -> Markup {
    match status {
        GateStatus::Passed => tag("good", "passed"),
        GateStatus::Failed => tag("bad", "failed"),
        GateStatus::NotApplicable => tag("warn", "not measured"),
    }
}
