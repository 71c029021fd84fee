//! Text → plain data, by the rules of pipeline files: no YAML 1.1 surprises, no expressions. Values of the command line and
//! params files.

use serde_json::Value as Json;

use super::{
    diagnostic::{Diagnostic, LineIndex},
    fields::{self, Findings},
    tree::{self, Node, NodeData},
    types::{Data, Spanned, Value},
};

/// Reads one value, for example one given on a command line. The places in the error are offsets into the text.
pub fn value(text: &str) -> Result<Json, Diagnostic> {
    let mut findings = Vec::new();
    let found = yaml(text, &mut findings);
    match findings.into_iter().find(Diagnostic::is_error) {
        Some(error) => Err(error),
        None => Ok(found.map_or(Json::Null, |value| value.literal().unwrap_or_default())),
    }
}

/// Reads a params file, which holds a map. Its name says what it is written in: `.toml`, `.json`, else YAML.
pub(super) fn params_file(name: &str, text: &str, findings: &mut Findings) -> Option<Value> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let before = findings.len();
    let found = match extension {
        "toml" => toml(text, findings),
        "json" => json(text, findings),
        _ => yaml(text, findings),
    };
    if findings[before..].iter().any(Diagnostic::is_error) {
        return None;
    }
    match found {
        None | Some(Value { data: Data::Null, .. }) => {
            Some(Value { span: 0..0, data: Data::Map(Vec::new()) })
        }
        Some(value @ Value { data: Data::Map(_), .. }) => Some(value),
        Some(other) => {
            findings.push(
                Diagnostic::error(
                    "spec::params-file",
                    format!("a params file holds a map; `{name}` holds {}", other.kind()),
                )
                .at(other.span.start..other.span.start + 1, ""),
            );
            None
        }
    }
}

/// Reads a file of plain data as other tools read it: a word is text whatever YAML 1.1 takes it for. None where it could not be
/// read.
pub(crate) fn data_file(name: &str, text: &str, findings: &mut Findings) -> Option<Value> {
    let before = findings.len();
    let found = match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "toml" => toml(text, findings),
        "json" if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() => None,
        _ => tree::parse(text, &LineIndex::new(text), findings).map(|node| verbatim(&node)),
    };
    if findings[before..].iter().any(Diagnostic::is_error) { None } else { found }
}

/// A node with its texts as they are.
pub(crate) fn verbatim(node: &Node) -> Value {
    let data = match &node.data {
        NodeData::Null => Data::Null,
        NodeData::Bool(value) => Data::Bool(*value),
        NodeData::Number(number) => Data::Number(number.clone()),
        NodeData::Text { text, .. } => Data::Text(text.clone()),
        NodeData::List(items) => Data::List(items.iter().map(verbatim).collect()),
        NodeData::Map(entries) => {
            Data::Map(entries.iter().map(|(key, node)| (key.clone(), verbatim(node))).collect())
        }
    };
    Value { span: node.span.clone(), data }
}

fn yaml(text: &str, findings: &mut Findings) -> Option<Value> {
    let node = tree::parse(text, &LineIndex::new(text), findings)?;
    fields::refuse_ambiguous_truth(&node, findings);
    Some(plain(&node, findings))
}

/// JSON is YAML but for some escapes inside of texts, so the reader that knows places is tried first.
fn json(text: &str, findings: &mut Findings) -> Option<Value> {
    let mut said = Vec::new();
    let found = yaml(text, &mut said);
    if said.iter().any(|finding| finding.code == "spec::syntax")
        && let Ok(value) = serde_json::from_str::<Json>(text)
    {
        return Some(without_places(value));
    }
    findings.append(&mut said);
    found
}

fn toml(text: &str, findings: &mut Findings) -> Option<Value> {
    if text.len() > tree::MAX_BYTES {
        findings.push(tree::too_large(text.len()));
        return None;
    }
    let table: toml::Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            findings.push(
                Diagnostic::error("spec::syntax", format!("this is not TOML: {}", error.message()))
                    .at(span.start..span.end.max(span.start + 1), "noticed here"),
            );
            return None;
        }
    };
    match from_toml(toml::Value::Table(table)) {
        Ok(value) => Some(without_places(value)),
        Err(number) => {
            findings.push(
                Diagnostic::error("spec::params-file", format!("`{number}` is not a finite number"))
                    .at(0..1, "in this file")
                    .hint("write a finite number, or quotes for the text"),
            );
            None
        }
    }
}

/// TOML as JSON; dates and times become their text. A number that is not finite has no place in JSON.
fn from_toml(value: toml::Value) -> Result<Json, f64> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number).map(Json::Number).ok_or(number)?,
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => Json::Array(items.into_iter().map(from_toml).collect::<Result<_, _>>()?),
        toml::Value::Table(table) => Json::Object(
            table.into_iter().map(|(key, value)| Ok((key, from_toml(value)?))).collect::<Result<_, f64>>()?,
        ),
    })
}

/// A node with its texts as they are; an expression among them is refused.
fn plain(node: &Node, findings: &mut Findings) -> Value {
    let data = match &node.data {
        NodeData::Null => Data::Null,
        NodeData::Bool(value) => Data::Bool(*value),
        NodeData::Number(number) => Data::Number(number.clone()),
        NodeData::Text { text, .. } => {
            if text.contains("${{") {
                findings.push(no_expression().at(node.span.clone(), ""));
            }
            Data::Text(text.clone())
        }
        NodeData::List(items) => Data::List(items.iter().map(|item| plain(item, findings)).collect()),
        NodeData::Map(entries) => {
            Data::Map(entries.iter().map(|(key, node)| (key.clone(), plain(node, findings))).collect())
        }
    };
    Value { span: node.span.clone(), data }
}

/// An expression where a value starts.
pub(super) fn no_expression() -> Diagnostic {
    Diagnostic::error("spec::no-expression", "a param can't be an expression")
        .hint("params are where values start; compute with them in the stages")
}

fn without_places(value: Json) -> Value {
    let data = match value {
        Json::Null => Data::Null,
        Json::Bool(value) => Data::Bool(value),
        Json::Number(number) => Data::Number(number),
        Json::String(text) => Data::Text(text),
        Json::Array(items) => Data::List(items.into_iter().map(without_places).collect()),
        Json::Object(entries) => Data::Map(
            entries
                .into_iter()
                .map(|(key, value)| (Spanned::new(key, 0..0), without_places(value)))
                .collect(),
        ),
    };
    Value { span: 0..0, data }
}
