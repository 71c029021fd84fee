//! `inputs:` of a stage.

use super::{
    diagnostic::Diagnostic,
    fields::{self, Findings},
    stage::condition,
    tree::{Node, NodeData},
    types::{InputItem, InputSource, InputSpec, Name},
};

const KEYS: &[&str] = &["from", "path", "as", "role", "type", "if"];

const NOT_BUILT: &[(&str, &str)] = &[
    ("count", "the stage program's own params say how much of the data it takes"),
    ("stratified", "the stage program's own params say how it samples"),
    ("seed", "the stage's `seed` is the seed of its samples"),
];

/// Reads `inputs:`.
pub(super) fn read_all(node: &Node, what: &str, findings: &mut Findings) -> Vec<InputSpec> {
    fields::map(node, &format!("`inputs` of {what}"), findings)
        .iter()
        .map(|(port, node)| read(port, node, findings))
        .collect()
}

fn read(port: &Name, node: &Node, findings: &mut Findings) -> InputSpec {
    let what = format!("input `{}`", port.value);
    let (list, items) = match &node.data {
        NodeData::List(items) => {
            (true, items.iter().filter_map(|node| item(node, &what, findings)).collect())
        }
        NodeData::Null => {
            findings.push(
                Diagnostic::error("spec::empty-input", format!("{what} has no value"))
                    .at(port.span.clone(), "")
                    .hint("bind a path or \"${{ stages.<stage>.outputs.<port> }}\", or remove the key"),
            );
            (false, Vec::new())
        }
        _ => (false, item(node, &what, findings).into_iter().collect()),
    };
    InputSpec { port: port.clone(), span: node.span.clone(), list, items }
}

fn item(node: &Node, what: &str, findings: &mut Findings) -> Option<InputItem> {
    let entries = match &node.data {
        NodeData::Text { .. } => {
            return Some(InputItem {
                span: node.span.clone(),
                source: InputSource::Bare(fields::value(node, findings)),
                name: None,
                role: None,
                artifact_type: None,
                condition: None,
            });
        }
        NodeData::Map(entries) => entries,
        _ => {
            findings.push(fields::wrong(node, what, "a path, an expression, or a map with `from` or `path`"));
            return None;
        }
    };
    let (mut from, mut path, mut name, mut role, mut artifact_type, mut when) =
        (None, None, None, None, None, None);
    let mut broken = false;
    for (key, node) in entries {
        match key.as_str() {
            "from" => from = Some((key, fields::value(node, findings))),
            "path" => path = Some((key, fields::value(node, findings))),
            "as" => name = Some(fields::value(node, findings)),
            "role" => role = fields::text(node, "`role`", findings),
            "type" => artifact_type = fields::text(node, "`type`", findings),
            "if" => {
                when = condition(node, findings);
                broken |= when.is_none();
            }
            _ => findings.extend(fields::unknown_key(key, what, KEYS, NOT_BUILT)),
        }
    }
    let source = match (from, path) {
        (Some((_, value)), None) => InputSource::From(value),
        (None, Some((_, value))) => InputSource::Path(value),
        (Some((from, _)), Some((path, _))) => {
            findings.push(
                Diagnostic::error("spec::two-sources", format!("{what} has both `from` and `path`"))
                    .at(path.span.clone(), "")
                    .at(from.span.clone(), "")
                    .hint("`from` takes an output of a stage, `path` a file or folder"),
            );
            return None;
        }
        (None, None) => {
            findings.push(
                Diagnostic::error("spec::missing-key", format!("{what} has neither `from` nor `path`"))
                    .at(node.span.clone(), "")
                    .hint("`from` takes an output of a stage, `path` a file or folder"),
            );
            return None;
        }
    };
    // A condition that can't be read must not count as none.
    (!broken).then(|| InputItem {
        span: node.span.clone(),
        source,
        name,
        role,
        artifact_type,
        condition: when,
    })
}
