//! What a tree means, whatever its form: for comparing a file with its canonical form.

use super::{
    super::tree::{Node, NodeData},
    order::Kind,
};

/// A node without places, quotes and the order of the language's keys; aliases of words resolved.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    /// A text; whether it stands without quotes matters only where YAML 1.1 would read it otherwise.
    Text(String, bool),
    List(Vec<Meaning>),
    Map(Vec<(String, Meaning)>),
}

pub(super) fn meaning(root: &Node) -> Meaning {
    of(root, Kind::Pipeline)
}

fn of(node: &Node, kind: Kind) -> Meaning {
    match &node.data {
        NodeData::Null => Meaning::Null,
        NodeData::Bool(value) => Meaning::Bool(*value),
        NodeData::Number(number) => Meaning::Number(number.clone()),
        NodeData::Text { text, plain, .. } => {
            Meaning::Text(text.clone(), *plain && super::super::truth_word(text).is_some())
        }
        NodeData::List(items) => Meaning::List(items.iter().map(|item| of(item, kind)).collect()),
        NodeData::Map(entries) => {
            let mut entries: Vec<(String, Meaning)> = entries
                .iter()
                .map(|(key, value)| match matrix_of(kind, key.as_str(), value) {
                    Some(matrix) => ("matrix".to_owned(), of(matrix, Kind::Other)),
                    None => (kind.canonical(&key.value).to_owned(), of(value, kind.under(&key.value))),
                })
                .collect();
            // The sort is stable: the user's own keys keep their order.
            entries.sort_by_key(|(key, _)| kind.rank(key));
            Meaning::Map(entries)
        }
    }
}

/// The matrix of a `strategy` that holds nothing else.
fn matrix_of<'n>(kind: Kind, key: &str, value: &'n Node) -> Option<&'n Node> {
    match &value.data {
        NodeData::Map(entries) if kind == Kind::Stage && key == "strategy" => match &entries[..] {
            [(inner, matrix)] if inner.value == "matrix" => Some(matrix),
            _ => None,
        },
        _ => None,
    }
}
