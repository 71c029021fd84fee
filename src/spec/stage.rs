//! One entry of `stages:` → [`StageSpec`].

use super::{
    command,
    diagnostic::Diagnostic,
    expression::{Expression, ExpressionKind, Text, reference, stage_reference, template},
    fields::{self, Findings},
    input,
    pipeline::region,
    settings,
    tree::{Node, NodeData},
    types::{Condition, MatrixSpec, Name, OutKind, Spanned, StageSpec, UsesSpec, Value, WorkSpec},
};
/// Keys of a stage in the order of the canonical form: what it does stands first.
pub(super) const KEYS: &[&str] = &[
    "uses",
    "cmd",
    "wdir",
    "if",
    "needs",
    "matrix",
    "strategy",
    "frozen",
    "always",
    "deps",
    "inputs",
    "with",
    "outs",
    "outputs",
    "metrics",
    "plots",
    "env",
    "secrets",
    "seed",
    "resources",
    "timeout-minutes",
    "silence-minutes",
    "retry",
    "cache",
    "continue-on-error",
    "runs-on",
];

/// Reads `stages:`.
pub(super) fn read_all(key: &Name, node: &Node, findings: &mut Findings) -> Vec<StageSpec> {
    let entries = fields::map(node, "`stages`", findings);
    if entries.is_empty() && matches!(node.data, NodeData::Null | NodeData::Map(_)) {
        findings.push(
            Diagnostic::error("spec::no-stages", "`stages` declares no stage")
                .at(key.span.clone(), "")
                .hint("declare one: `train: { uses: train }`"),
        );
    }
    entries.iter().map(|(name, node)| read(name, node, findings)).collect()
}

fn read(name: &Name, node: &Node, findings: &mut Findings) -> StageSpec {
    let before = findings.len();
    let mut stage = read_keys(name, node, findings);
    let region = region(name, node);
    stage.broken = findings[before..].iter().any(Diagnostic::is_error)
        || findings[..before].iter().any(|finding| finding.is_error_in(&region));
    stage
}

fn read_keys(name: &Name, node: &Node, findings: &mut Findings) -> StageSpec {
    let what = format!("stage `{}`", name.value);
    if !reference::is_stage_name(&name.value) {
        findings.push(reference::stage_name_error(&name.value, name.span.clone()));
    }
    let mut stage = StageSpec::new(
        name.clone(),
        WorkSpec::Uses(UsesSpec {
            program: Spanned::new(String::new(), name.span.clone()),
            cache_version: None,
        }),
    );
    let before = findings.len();
    let entries = fields::map(node, &what, findings);
    if findings.len() > before {
        return stage;
    }
    let mut work_key: Option<&Name> = None;
    let mut matrix_key: Option<&Name> = None;
    for (key, node) in entries {
        match key.as_str() {
            "uses" | "cmd" | "run" => {
                if let Some(other) = work_key {
                    findings.push(two_works(key, other, &what));
                    continue;
                }
                work_key = Some(key);
                stage.work = match key.as_str() {
                    "uses" => uses(node, findings).map_or(stage.work, WorkSpec::Uses),
                    _ => WorkSpec::Command(command::read(key, node, entries, findings)),
                };
            }
            // Read with the command.
            "wdir" => {}
            "deps" => stage.deps = command::deps(node, findings),
            "outs" => stage.outs.extend(command::outs(node, OutKind::Out, findings)),
            "metrics" => stage.outs.extend(command::outs(node, OutKind::Metrics, findings)),
            "plots" => stage.outs.extend(command::outs(node, OutKind::Plots, findings)),
            "frozen" => stage.frozen = fields::boolean(node, "`frozen`", findings).unwrap_or(false),
            "always" | "always_changed" => {
                stage.always = fields::boolean(node, &format!("`{}`", key.value), findings).unwrap_or(false);
            }
            "inputs" => stage.inputs = input::read_all(node, &what, findings),
            "with" => stage.with = with(node, &what, findings),
            "outputs" => {
                stage.outputs = fields::named_values(node, &format!("`outputs` of {what}"), findings)
            }
            "needs" => {
                stage.needs = fields::items(node)
                    .iter()
                    .filter_map(|item| stage_name(item, "an entry of `needs`", findings))
                    .collect();
            }
            "matrix" | "strategy" => {
                if let Some(other) = matrix_key {
                    findings.push(
                        Diagnostic::error("spec::two-matrices", format!("{what} has two matrices"))
                            .at(key.span.clone(), "a second one")
                            .at(other.span.clone(), "first here"),
                    );
                    continue;
                }
                matrix_key = Some(key);
                stage.matrix = if key.value == "matrix" {
                    Some(matrix(node, findings))
                } else {
                    strategy(node, findings)
                };
            }
            "if" => stage.condition = condition(node, findings),
            "env" => stage.env = fields::named_values(node, &format!("`env` of {what}"), findings),
            "secrets" => stage.secrets = secrets(node, &what, findings),
            "checkpoint" => findings.push(checkpoint(key, &what)),
            "seed" => stage.seed = Some(fields::value(node, findings)),
            "steps" | "jobs" | "on" => findings.push(
                Diagnostic::error(
                    "spec::workflow-key",
                    format!("`{}` is a key of a GitHub workflow, not of a stage", key.value),
                )
                .at(key.span.clone(), "")
                .hint("a stage runs one program, named by `uses`, or one command, given by `cmd`"),
            ),
            _ if settings::read_key(&mut stage.settings, key, node, findings) => {}
            _ => findings.extend(fields::unknown_key(key, &what, KEYS, &[])),
        }
    }
    match work_key {
        None => findings.push(
            Diagnostic::error("spec::missing-key", format!("{what} has neither `uses` nor `cmd`"))
                .at(name.span.clone(), "")
                .hint("name the stage program, `uses: train`, or give a command, `cmd: python train.py`"),
        ),
        Some(key) => command::misplaced(key, entries, &what, findings),
    }
    stage
}

fn two_works(key: &Name, other: &Name, what: &str) -> Diagnostic {
    let (code, same) =
        ("spec::two-works", matches!((key.as_str(), other.as_str()), ("cmd" | "run", "cmd" | "run")));
    let hint = if same { "they mean the same: write one list" } else { "make two stages of it" };
    Diagnostic::error(code, format!("{what} has both `{}` and `{}`", other.value, key.value))
        .at(key.span.clone(), "a second one")
        .at(other.span.clone(), "first here")
        .hint(hint)
}

fn uses(node: &Node, findings: &mut Findings) -> Option<UsesSpec> {
    let written = fields::text(node, "`uses`", findings)?;
    let Some((program, version)) = written.value.split_once('@') else {
        return Some(UsesSpec { program: written, cache_version: None });
    };
    let Ok(version) = version.parse() else {
        findings.push(
            Diagnostic::error("spec::uses", format!("`{version}` behind `@` is not a version"))
                .at(written.span, "")
                .hint(format!("write a whole number as in `{program}@1`, or leave it out")),
        );
        return None;
    };
    Some(UsesSpec {
        program: Spanned::new(program.to_owned(), written.span.clone()),
        cache_version: Some(Spanned::new(version, written.span)),
    })
}

/// Names alone: a map would have values in it, which belong nowhere into a pipeline.
fn secrets(node: &Node, what: &str, findings: &mut Findings) -> Vec<Name> {
    if matches!(node.data, NodeData::Map(_)) {
        findings.push(
            fields::wrong(node, &format!("`secrets` of {what}"), "a list of names")
                .hint("write the names alone: `secrets: [TOKEN]`; the values come from the environment of `stagewright run`"),
        );
        return Vec::new();
    }
    fields::items(node)
        .iter()
        .filter_map(|item| fields::text(item, "the name of a secret", findings))
        .collect()
}

/// A key that other tools have and that nothing here needs.
fn checkpoint(key: &Name, what: &str) -> Diagnostic {
    Diagnostic::error("spec::checkpoint", format!("{what} needs no `checkpoint`"))
        .at(key.span.clone(), "")
        .hint(
            "a program that can resume saves checkpoints by itself, and a stopped stage goes on from the last one; how often it \
             saves is a param of the program, see `stagewright stage describe`",
        )
}

fn with(node: &Node, what: &str, findings: &mut Findings) -> Option<Value> {
    match &node.data {
        NodeData::Null => None,
        NodeData::Map(_) => Some(fields::value(node, findings)),
        _ => {
            findings.push(fields::wrong(node, &format!("`with` of {what}"), "a map of params"));
            None
        }
    }
}

/// A stage named outside of an expression.
pub(super) fn stage_name(
    node: &Node,
    what: &str,
    findings: &mut Findings,
) -> Option<super::expression::StageReference> {
    let place = fields::place(node, what, findings)?;
    stage_reference(&place).map_err(|error| findings.push(error)).ok()
}

fn strategy(node: &Node, findings: &mut Findings) -> Option<MatrixSpec> {
    let mut found = None;
    for (key, node) in fields::map(node, "`strategy`", findings) {
        match key.as_str() {
            "matrix" => found = Some(matrix(node, findings)),
            _ => findings.extend(fields::unknown_key(
                key,
                "`strategy`",
                &["matrix"],
                &[
                    ("fail-fast", "a failed stage blocks only what depends on it"),
                    ("max-parallel", "`resources` bound what runs at once"),
                ],
            )),
        }
    }
    found
}

fn matrix(node: &Node, findings: &mut Findings) -> MatrixSpec {
    let mut found =
        MatrixSpec { span: node.span.clone(), axes: Vec::new(), include: Vec::new(), exclude: Vec::new() };
    fields::refuse_ambiguous_truth(node, findings);
    for (key, node) in fields::map(node, "`matrix`", findings) {
        match key.as_str() {
            "include" => {
                found.include = fields::items(node).iter().map(|item| fields::value(item, findings)).collect()
            }
            "exclude" => {
                found.exclude = fields::items(node).iter().map(|item| fields::value(item, findings)).collect()
            }
            _ => {
                if !reference::is_stage_name(&key.value) {
                    findings.push(
                        Diagnostic::error(
                            "spec::matrix",
                            format!("`{}` can't be the name of an axis", key.value),
                        )
                        .at(key.span.clone(), "")
                        .hint("a name starts with a letter and goes on with letters, digits, `-` and `_`"),
                    );
                }
                found.axes.push((key.clone(), fields::value(node, findings)));
            }
        }
    }
    found
}

/// Reads `if:`: a boolean, or one expression that is the whole text.
pub(super) fn condition(node: &Node, findings: &mut Findings) -> Option<Condition> {
    if let Some(error) = fields::ambiguous_truth(node) {
        findings.push(error);
        return None;
    }
    let (text, verbatim) = match &node.data {
        NodeData::Bool(value) => {
            let expression =
                Expression { span: node.span.clone(), kind: ExpressionKind::Literal((*value).into()) };
            return Some(Condition { span: node.span.clone(), text: value.to_string(), expression });
        }
        NodeData::Text { text, verbatim, plain: _ } => (text, *verbatim),
        _ => {
            findings.push(fields::wrong(node, "`if`", "an expression or a boolean"));
            return None;
        }
    };
    let place = Text { text, whole: node.span.clone(), verbatim };
    let before = findings.len();
    let found = template(&place, findings);
    if findings.len() > before {
        return None;
    }
    match found.as_ref().map(|template| template.whole()) {
        Some(Some(expression)) => Some(Condition {
            span: node.span.clone(),
            text: text.trim().to_owned(),
            expression: expression.clone(),
        }),
        Some(None) => {
            findings.push(
                Diagnostic::error(
                    "spec::condition",
                    "`if` mixes text and expressions, which would always be true",
                )
                .at(node.span.clone(), "")
                .hint(format!(
                    "write one expression: `if: ${{{{ {} }}}}`",
                    text.replace("${{", "")
                        .replace("}}", "")
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" ")
                )),
            );
            None
        }
        None => {
            findings.push(
                Diagnostic::error("spec::condition", "`if` is an expression")
                    .at(node.span.clone(), "this is text")
                    .hint(format!("write `if: ${{{{ {} }}}}`", text.trim())),
            );
            None
        }
    }
}
