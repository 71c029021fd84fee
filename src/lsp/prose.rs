//! What people read: Markdown for params, ports, programs, functions.

use serde_json::Value;
use stagewright_protocol::{Manifest, Port};

use super::schema::View;
use crate::{plan, spec::expression::Function};

/// A key of a map: what it takes, what it means, where that comes from.
pub(super) fn key(name: &str, view: &View<'_>) -> String {
    let mut text = format!("**{name}**");
    let facts = facts(view);
    if !facts.is_empty() {
        let dash = if facts.starts_with('=') { "" } else { " —" };
        text.push_str(&format!("{dash} {facts}"));
    }
    if let Some(meaning) = view.description() {
        text.push_str(&format!("\n\n{meaning}"));
    }
    if let Some(source) = view.keyword("x-source").and_then(Value::as_str) {
        text.push_str(&format!("\n\nSource: {source}"));
    }
    text
}

/// Type, unit, range and default in a few words.
pub(super) fn facts(view: &View<'_>) -> String {
    // The first schema is the one of the key itself; unions say more in their branches.
    let told = view.schemas.iter().map(|schema| plan::param_facts(schema)).find(|facts| !facts.is_empty());
    told.unwrap_or_default()
}

/// A port of a program.
pub(super) fn port(name: &str, port: &Port, side: &str) -> String {
    let mut notes = vec![format!("{side}, `{}`", port.artifact_type)];
    if !port.required {
        notes.push("optional".to_owned());
    }
    if port.many {
        notes.push("takes a list".to_owned());
    }
    if port.refuses_test_data {
        notes.push("no test data".to_owned());
    }
    format!("**{name}** — {}\n\n{}", notes.join(", "), port.summary)
}

/// A stage program.
pub(super) fn program(manifest: &Manifest) -> String {
    let list = |ports: &std::collections::BTreeMap<String, Port>| {
        let names: Vec<String> =
            ports.iter().map(|(name, port)| format!("`{name}` ({})", port.artifact_type)).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    format!(
        "**{}** {} (cache version {})\n\n{}\n\nTakes {}; gives {}.",
        manifest.name,
        manifest.version,
        manifest.cache_version,
        manifest.summary,
        list(&manifest.inputs),
        list(&manifest.outputs)
    )
}

/// What a context of expressions holds.
pub(super) fn context(word: &str) -> Option<&'static str> {
    Some(match word {
        "params" => "Params of the pipeline. Reading one makes the stage depend on that key and no other.",
        "matrix" => "Values of this combination of the stage's matrix.",
        "stages" => {
            "Other stages: `stages.train.outputs.model`; `stages.train[seed=0]` is one of a matrix, `stages.train[*]` all."
        }
        "env" => "Environment variables that the pipeline or the stage declares.",
        "git" => "State of the repository: `commit`, `branch`, `dirty`.",
        "run" => "The run itself.",
        "host" => "Facts about this machine, also those that stage programs report.",
        _ => return None,
    })
}

/// How a function is called and what it gives.
pub(super) fn function(function: Function) -> (&'static str, &'static str) {
    match function {
        Function::Success => ("success()", "True when nothing that the stage depends on has failed."),
        Function::Failure => ("failure()", "True when something that the stage depends on has failed."),
        Function::Always => ("always()", "True whatever happened."),
        Function::Cancelled => ("cancelled()", "True when the run was cancelled."),
        Function::Contains => (
            "contains(search, item)",
            "Whether a text holds a text, or a list an item; case does not matter.",
        ),
        Function::StartsWith => {
            ("startsWith(text, prefix)", "Whether a text starts with another; case does not matter.")
        }
        Function::EndsWith => {
            ("endsWith(text, suffix)", "Whether a text ends with another; case does not matter.")
        }
        Function::Format => ("format('{0} {1}', a, b)", "Replaces `{0}`, `{1}`, … by the arguments."),
        Function::Join => (
            "join(list, separator)",
            "Items of a list in one text; the separator is `,` where none is given.",
        ),
        Function::FromJson => ("fromJSON(text)", "The value that a JSON text stands for."),
        Function::ToJson => ("toJSON(value)", "The JSON text of a value."),
        Function::HashFiles => ("hashFiles('glob', …)", "A digest of the files that match."),
    }
}

/// A value in backquotes, long ones shortened.
pub(super) fn value(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return format!("`{text}`");
    }
    format!("`{}…`", text.chars().take(LONGEST).collect::<String>())
}
