//! Lineage as a tree and as a diagram.

use std::collections::BTreeSet;

use console::style;
use jiff::{Timestamp, tz::Offset};
use serde_json::Value;
use stagewright::{
    digest::Digest,
    lineage::{Decided, Decision, Node, Resource},
};

use super::show::View;
use crate::cli::screen;

/// Most files of a folder that are shown one by one.
const SHOWN: usize = 8;

/// What a stage made, from what; then what was made from it.
pub fn draw(view: &View<'_>, node: &Node, hash: Option<&str>) -> String {
    let mut text = String::new();
    let asked = node.statement.subject.iter().filter(|one| hash.is_none() || one.sha256() == hash);
    let asked: Vec<&Resource> = asked.collect();
    for subject in asked.iter().take(SHOWN) {
        text.push_str(&format!("{}  {}\n", style(&subject.name).bold(), content(subject)));
    }
    if asked.len() > SHOWN {
        text.push_str(&format!("and {} more\n", asked.len() - SHOWN));
    }
    for decided in view.decisions(node, hash) {
        text.push_str(&(decision(&decided) + "\n"));
    }
    branch(view, node, "", true, &mut BTreeSet::new(), &mut text);
    let uses = view.library.uses(node);
    if !uses.is_empty() {
        text.push_str("\nused by\n");
        let mut seen = BTreeSet::from([node.digest]);
        for (index, user) in uses.iter().enumerate() {
            descend(view, user, "", index + 1 == uses.len(), &mut seen, &mut text);
        }
    }
    text
}

/// A decision in a line.
fn decision(decided: &Decided) -> String {
    let Decided { by, at, decision, .. } = decided;
    match decision {
        Decision::Approved { reason } => {
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{} by {by} at {at:.0}{why}", style("approved").green().bold())
        }
        Decision::Waived { gate, until, reason, found, .. } => {
            let word = if Offset::UTC.to_datetime(Timestamp::now()).date() > *until {
                style("waiver EXPIRED").red().bold()
            } else {
                style("waived").yellow().bold()
            };
            format!("{word}: {gate}, by {by} until {until}: {reason} (found: {found})")
        }
    }
}

/// What draws a line of a tree, and what goes on below it.
fn corner(last: bool) -> (&'static str, &'static str) {
    if last { ("└ ", "  ") } else { ("├ ", "│ ") }
}

/// Draws the line of a statement. What lies below it stands at the indentation returned; none where it was drawn before.
fn new_line(
    view: &View<'_>,
    node: &Node,
    indent: &str,
    last: bool,
    seen: &mut BTreeSet<Digest>,
    text: &mut String,
) -> Option<String> {
    let (corner, bar) = corner(last);
    text.push_str(&format!("{indent}{corner}{}\n", made_by(view, node)));
    seen.insert(node.digest).then(|| format!("{indent}{bar}"))
}

fn branch(
    view: &View<'_>,
    node: &Node,
    indent: &str,
    last: bool,
    seen: &mut BTreeSet<Digest>,
    text: &mut String,
) {
    let Some(indent) = new_line(view, node, indent, last, seen, text) else { return };
    let Some(provenance) = &node.provenance else { return };
    let definition = &provenance.build_definition;
    if let Some(params) =
        definition.external_parameters.get("params").filter(|one| **one != Value::Object(Default::default()))
    {
        text.push_str(&format!("{indent}│ params {}\n", shorten(&params.to_string())));
    }
    let dependencies: Vec<&Resource> = definition.resolved_dependencies.iter().collect();
    for (index, one) in dependencies.iter().enumerate() {
        let last = index + 1 == dependencies.len();
        let (corner, bar) = corner(last);
        text.push_str(&format!("{indent}{corner}{}\n", dependency(one)));
        if one.note("stage").is_some() {
            match view.library.origin(node, one) {
                Some(origin) => branch(view, origin, &format!("{indent}{bar}"), true, seen, text),
                None => text.push_str(&format!("{indent}{bar}└ {}\n", style("no statement on it").red())),
            }
        }
    }
}

fn descend(
    view: &View<'_>,
    node: &Node,
    indent: &str,
    last: bool,
    seen: &mut BTreeSet<Digest>,
    text: &mut String,
) {
    let Some(indent) = new_line(view, node, indent, last, seen, text) else { return };
    let uses = view.library.uses(node);
    for (index, user) in uses.iter().enumerate() {
        descend(view, user, &indent, index + 1 == uses.len(), seen, text);
    }
}

fn made_by(view: &View<'_>, node: &Node) -> String {
    let stage = style(node.stage().unwrap_or("?").to_owned()).cyan();
    let Some(provenance) = &node.provenance else { return stage.to_string() };
    let when = provenance.run_details.metadata.finished_on;
    let when = when.map_or_else(String::new, |at| format!("  {at:.0}"));
    let run = provenance.run_details.metadata.invocation_id.split('/').next().unwrap_or_default();
    format!("stage {stage}{when}  run {run}  {}", view.signed(node))
}

fn dependency(one: &Resource) -> String {
    let name = one.name.as_str();
    if let (Some(stage), Some(output)) = (one.note("stage"), one.note("output")) {
        return format!("{name} ← {output} of {stage}  {}", content(one));
    }
    if name == "source" {
        let dirty = one.annotations.get("uncommitted-changes") == Some(&Value::Bool(true));
        let commit = one.digest.get("gitCommit").map_or("?", |commit| commit.get(..12).unwrap_or(commit));
        let changed = if dirty { ", with uncommitted changes" } else { "" };
        let from = if one.uri.is_empty() { String::new() } else { format!("  {}", one.uri) };
        return format!("commit {commit}{changed}{from}");
    }
    if let Some(version) = one.note("version") {
        return format!("{name} {version}  {}", content(one));
    }
    match one.note("path") {
        Some(path) => format!("{name} ← {path}  {}", content(one)),
        None => format!("{name}  {}", content(one)),
    }
}

fn content(one: &Resource) -> String {
    let mut text = format!("sha256:{}", one.sha256().map_or("?", |hash| hash.get(..12).unwrap_or(hash)));
    if let Some(files) = one.annotations.get("files").and_then(Value::as_u64) {
        text.push_str(&format!("  {}", screen::count(files, "file")));
    }
    if let Some(bytes) = one.annotations.get("bytes").and_then(Value::as_u64) {
        text.push_str(&format!("  {}", screen::bytes(bytes)));
    }
    text
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 88;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).collect::<String>() + "…"
}

/// Everything above and below as a Mermaid flowchart.
pub fn mermaid(view: &View<'_>, node: &Node) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let mut all = view.library.ancestry(node);
    let above: BTreeSet<Digest> = all.iter().map(|node| node.digest).collect();
    all.extend(view.library.descent(node).into_iter().filter(|node| !above.contains(&node.digest)));
    let known: BTreeSet<Digest> = all.iter().map(|node| node.digest).collect();
    let mut sources = BTreeSet::new();
    for one in &all {
        let stage = label(one.stage().unwrap_or("?"));
        text.push_str(&format!("  s{}[\"{stage}\"]\n", one.digest.short()));
        for input in one.inputs() {
            let hash = input.sha256().map_or("", |hash| hash.get(..12).unwrap_or(hash));
            match view.library.origin(one, input).filter(|origin| known.contains(&origin.digest)) {
                Some(origin) => text.push_str(&format!(
                    "  s{} -->|\"{}\"| s{}\n",
                    origin.digest.short(),
                    label(input.note("output").unwrap_or(&input.name)),
                    one.digest.short()
                )),
                None => {
                    if sources.insert(hash.to_owned()) {
                        let path = label(input.note("path").unwrap_or(&input.name));
                        text.push_str(&format!("  d{hash}[(\"{path}\")]\n"));
                    }
                    text.push_str(&format!("  d{hash} --> s{}\n", one.digest.short()));
                }
            }
        }
    }
    text
}

/// A text in a label: Mermaid takes HTML, so nothing in it may be some.
fn label(text: &str) -> String {
    let entity = |c: char| match c {
        '"' | '<' | '>' | '&' | '#' | ';' | '`' => format!("#{};", c as u32),
        c if c.is_control() => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(entity).collect()
}
