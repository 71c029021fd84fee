//! What a stage has in common with one of DVC: `cmd`, `wdir`, `deps`, `outs`, `metrics`, `plots`.

use super::{
    diagnostic::Diagnostic,
    expression::{Text, template},
    fields::{self, Findings},
    tree::{Node, NodeData},
    types::{CommandSpec, Data, Dialect, Name, OutKind, OutSpec, Value},
};

/// Options of an out that mean something here.
const OPTIONS: &[&str] = &["cache", "persist", "desc", "type", "labels", "meta", "remote", "push"];

/// Options of a plot that say how it is drawn.
const PLOT_OPTIONS: &[&str] = &["template", "x", "y", "x_label", "y_label", "title", "header"];

/// Keys that only a stage program understands.
const OF_PROGRAMS: &[(&str, &str)] = &[
    ("inputs", "list what the command reads under `deps`"),
    (
        "with",
        "write the values into the command, as in `--epochs ${{ params.epochs }}`, or give them under `env`",
    ),
    ("outputs", "list what the command writes under `outs`"),
];

/// Reads `cmd:`; `entries` are those of the stage.
pub(super) fn read(
    key: &Name,
    node: &Node,
    entries: &[(Name, Node)],
    findings: &mut Findings,
) -> CommandSpec {
    let what = format!("`{}`", key.value);
    let mut lines = Vec::new();
    for item in fields::items(node) {
        match &item.data {
            NodeData::Text { text, .. } if !text.trim().is_empty() => lines.push(shell_text(item, findings)),
            NodeData::Text { .. } => findings.push(empty(&what, item.span.clone())),
            _ => findings.push(
                fields::wrong(item, &what, "a command for the shell, or a list of them")
                    .hint("quotes make any value text"),
            ),
        }
    }
    if fields::items(node).is_empty() {
        findings.push(empty(&what, key.span.clone()));
    }
    let folder = entries.iter().find(|(key, _)| key.value == "wdir");
    let folder = folder.map(|(_, node)| fields::value(node, findings));
    CommandSpec { span: node.span.clone(), lines, folder, dialect: Dialect::Native }
}

fn empty(what: &str, span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error("spec::empty-command", format!("{what} holds no command"))
        .at(span, "")
        .hint("write what the shell is to run: `cmd: python train.py`")
}

/// Keys beside the one that says what is executed, that do not go with it.
pub(super) fn misplaced(work: &Name, entries: &[(Name, Node)], what: &str, findings: &mut Findings) {
    for (key, _) in entries {
        let hint = match (work.as_str(), key.as_str()) {
            ("uses", "wdir") => {
                "a stage program has a private folder to work in; write the paths of `deps` and `outs` relative to the project's root"
            }
            ("uses", _) => continue,
            (_, key) => match OF_PROGRAMS.iter().find(|(name, _)| *name == key) {
                Some((_, hint)) => hint,
                None => continue,
            },
        };
        findings.push(
            Diagnostic::error(
                "spec::misplaced-key",
                format!("`{}` of {what} does not go with `{}`", key.value, work.value),
            )
            .at(key.span.clone(), "")
            .at(work.span.clone(), "this says what it runs")
            .hint(hint),
        );
    }
}

/// Reads `deps:`.
pub(super) fn deps(node: &Node, findings: &mut Findings) -> Vec<Value> {
    let mut found = Vec::new();
    for item in fields::items(node) {
        if matches!(item.data, NodeData::Text { .. }) {
            found.push(fields::value(item, findings));
        } else {
            findings.push(
                fields::wrong(item, "an entry of `deps`", "a path or an output of a stage")
                    .hint("write paths: `deps: [src/train.py, data]`"),
            );
        }
    }
    found
}

/// Reads `outs:`, `metrics:` or `plots:`: paths, each alone or with its options.
pub(super) fn outs(node: &Node, kind: OutKind, findings: &mut Findings) -> Vec<OutSpec> {
    let what = match kind {
        OutKind::Out => "`outs`",
        OutKind::Metrics => "`metrics`",
        OutKind::Plots => "`plots`",
    };
    let mut found = Vec::new();
    for item in fields::items(node) {
        match &item.data {
            NodeData::Text { .. } => {
                let path = fields::value(item, findings);
                found.push(OutSpec { path, kind, persist: false, cache: true });
            }
            NodeData::Map(entries) if !entries.is_empty() => {
                for (path, options) in entries {
                    let Options { persist, cache } = read_options(path, options, kind, findings);
                    found.push(OutSpec { path: key_value(path, findings), kind, persist, cache });
                }
            }
            _ => findings.push(
                fields::wrong(item, &format!("an entry of {what}"), "a path, alone or with its options")
                    .hint("write `- model.pkl` or `- model.pkl: { persist: true }`"),
            ),
        }
    }
    found
}

/// Options of an out that mean something here; `push` and `remote` are about DVC's own remotes, the others for people.
pub(crate) struct Options {
    pub persist: bool,
    pub cache: bool,
}

/// Reads the options of an out.
pub(crate) fn read_options(path: &Name, node: &Node, kind: OutKind, findings: &mut Findings) -> Options {
    let what = format!("the options of out `{}`", path.value);
    let mut found = Options { persist: false, cache: true };
    for (key, node) in fields::map(node, &what, findings) {
        match key.as_str() {
            "persist" => found.persist = fields::boolean(node, "`persist`", findings).unwrap_or(false),
            "cache" => found.cache = fields::boolean(node, "`cache`", findings).unwrap_or(true),
            "push" => drop(fields::boolean(node, "`push`", findings)),
            known if OPTIONS.contains(&known) => {}
            known if kind == OutKind::Plots && PLOT_OPTIONS.contains(&known) => {}
            _ => findings.extend(fields::unknown_key(key, &what, OPTIONS, &[])),
        }
    }
    found
}

/// A path that stands as a key.
fn key_value(key: &Name, findings: &mut Findings) -> Value {
    let place = Text { text: &key.value, whole: key.span.clone(), verbatim: None };
    let data = match template(&place, findings) {
        Some(template) => Data::Template(template),
        None => Data::Text(key.value.clone()),
    };
    Value { span: key.span.clone(), data }
}

/// A command's text. `${NAME}` is the shell's; `${a.b}` is no name of a variable of any shell, so it was meant for us.
fn shell_text(node: &Node, findings: &mut Findings) -> Value {
    let NodeData::Text { text, verbatim, .. } = &node.data else { return fields::value(node, findings) };
    let place = Text { text, whole: node.span.clone(), verbatim: *verbatim };
    let mut at = 0;
    while let Some(open) = text[at..].find("${").map(|found| at + found) {
        at = open + 2;
        let Some(close) = text[at..].find('}').map(|found| at + found) else { break };
        let name = &text[at..close];
        let dotted = name.contains('.') && !name.starts_with('.') && !name.ends_with('.');
        if dotted && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_')) {
            let first = name.split('.').next().unwrap_or_default();
            let rooted = super::expression::Context::from_word(first).is_some();
            let name = if rooted { name.to_owned() } else { format!("params.{name}") };
            findings.push(
                Diagnostic::error(
                    "spec::bare-dollar",
                    format!("`{}` is neither an expression nor a variable of the shell", &text[open..=close]),
                )
                .at(place.span(open, close + 1), "")
                .hint(format!("write `${{{{ {name} }}}}`")),
            );
        }
        at = close;
    }
    let data = match template(&place, findings) {
        Some(template) => Data::Template(template),
        None => Data::Text(text.clone()),
    };
    Value { span: node.span.clone(), data }
}
