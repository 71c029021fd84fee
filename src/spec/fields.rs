//! Reading the nodes of a tree as what the language expects at a place; what does not fit is reported and skipped.

use super::{
    diagnostic::Diagnostic,
    expression::{Text, bare_dollar, template},
    nearest::suggestion,
    scalar::truth_word,
    tree::{Node, NodeData},
    types::{Data, Name, Span, Spanned, Value},
    units::{Dimension, Quantity},
};

/// Where findings go.
pub(crate) type Findings = Vec<Diagnostic>;

/// Entries of a map; `what` is its name in messages. Nothing at all counts as an empty map.
pub(crate) fn map<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> &'a [(Name, Node)] {
    match &node.data {
        NodeData::Map(entries) => entries,
        NodeData::Null => &[],
        _ => {
            findings.push(wrong(node, what, "a map"));
            &[]
        }
    }
}

/// Items of a list; a single value counts as a list of one.
pub(crate) fn items(node: &Node) -> &[Node] {
    match &node.data {
        NodeData::List(items) => items,
        NodeData::Null => &[],
        _ => std::slice::from_ref(node),
    }
}

/// Text without expressions.
pub(crate) fn text(node: &Node, what: &str, findings: &mut Findings) -> Option<Name> {
    match &node.data {
        NodeData::Text { text, .. } if text.contains("${{") => {
            findings.push(
                Diagnostic::error("spec::no-expression", format!("{what} can't be an expression"))
                    .at(node.span.clone(), "")
                    .hint("write the value itself"),
            );
            None
        }
        NodeData::Text { text, .. } => Some(Spanned::new(text.clone(), node.span.clone())),
        _ => {
            findings.push(wrong(node, what, "text"));
            None
        }
    }
}

/// `true` or `false`.
pub(crate) fn boolean(node: &Node, what: &str, findings: &mut Findings) -> Option<bool> {
    match &node.data {
        NodeData::Bool(value) => Some(*value),
        NodeData::Text { text, plain: true, .. } if truth_word(text).is_some() => {
            findings.extend(ambiguous_truth(node));
            None
        }
        _ => {
            findings.push(wrong(node, what, "`true` or `false`"));
            None
        }
    }
}

/// Refuses a `no` or `on` without quotes, where nothing tells whether a boolean or a text is meant.
pub(crate) fn ambiguous_truth(node: &Node) -> Option<Diagnostic> {
    let NodeData::Text { text, plain: true, .. } = &node.data else { return None };
    let truth = truth_word(text)?;
    Some(
        Diagnostic::error(
            "spec::ambiguous",
            format!("`{text}` is a boolean to YAML 1.1 and text to YAML 1.2"),
        )
        .at(node.span.clone(), "")
        .hint(format!("write `{truth}`, or \"{text}\" in quotes for the text")),
    )
}

/// The same for all that is in a value which no schema describes.
pub(crate) fn refuse_ambiguous_truth(node: &Node, findings: &mut Findings) {
    match &node.data {
        NodeData::List(items) => items.iter().for_each(|item| refuse_ambiguous_truth(item, findings)),
        NodeData::Map(entries) => {
            entries.iter().for_each(|(_, value)| refuse_ambiguous_truth(value, findings));
        }
        _ => findings.extend(ambiguous_truth(node)),
    }
}

/// A whole number from 0.
pub(crate) fn whole(node: &Node, what: &str, findings: &mut Findings) -> Option<u32> {
    let found = match &node.data {
        NodeData::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        _ => None,
    };
    if found.is_none() {
        findings.push(wrong(node, what, "a whole number from 0"));
    }
    found
}

/// A quantity of a dimension; a bare number is refused with the choices.
pub(crate) fn quantity(
    node: &Node,
    what: &str,
    dimension: Dimension,
    findings: &mut Findings,
) -> Option<Quantity> {
    let error = match &node.data {
        NodeData::Text { text, .. } => match Quantity::parse(text) {
            Ok(found) if found.dimension == dimension => return Some(found),
            Ok(found) => Diagnostic::error(
                "spec::unit",
                format!("{what} is {}; `{text}` is {}", dimension.noun(), found.dimension.noun()),
            )
            .hint(format!("write a number with one of the units {}", dimension.choices())),
            Err(error) => {
                Diagnostic::error("spec::unit", format!("{what}: {error}")).hint(error.hint(dimension))
            }
        },
        NodeData::Number(number) => Diagnostic::error(
            "spec::unit",
            format!("{what} needs a unit: `{number}` alone is not {}", dimension.noun()),
        )
        .hint(format!("write a number with one of the units {}", dimension.choices())),
        _ => wrong(node, what, "a number with a unit"),
    };
    findings.push(if error.labels.is_empty() { error.at(node.span.clone(), "") } else { error });
    None
}

/// A value as the language keeps it, expressions parsed.
pub(crate) fn value(node: &Node, findings: &mut Findings) -> Value {
    let data = match &node.data {
        NodeData::Null => Data::Null,
        NodeData::Bool(value) => Data::Bool(*value),
        NodeData::Number(number) => Data::Number(number.clone()),
        NodeData::Text { text, verbatim, plain: _ } => {
            let place = Text { text, whole: node.span.clone(), verbatim: *verbatim };
            findings.extend(bare_dollar(&place));
            match template(&place, findings) {
                Some(template) => Data::Template(template),
                None => Data::Text(text.clone()),
            }
        }
        NodeData::List(items) => Data::List(items.iter().map(|item| value(item, findings)).collect()),
        NodeData::Map(entries) => {
            Data::Map(entries.iter().map(|(key, node)| (key.clone(), value(node, findings))).collect())
        }
    };
    Value { span: node.span.clone(), data }
}

/// Entries of a map with their values kept.
pub(crate) fn named_values(node: &Node, what: &str, findings: &mut Findings) -> Vec<(Name, Value)> {
    map(node, what, findings).iter().map(|(key, node)| (key.clone(), value(node, findings))).collect()
}

/// The text of a scalar with its place, for the parsers of references.
pub(super) fn place<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> Option<Text<'a>> {
    match &node.data {
        NodeData::Text { text, verbatim, plain: _ } => {
            Some(Text { text, whole: node.span.clone(), verbatim: *verbatim })
        }
        _ => {
            findings.push(wrong(node, what, "text"));
            None
        }
    }
}

/// What to say of a value of the wrong kind.
pub(crate) fn wrong(node: &Node, what: &str, wanted: &str) -> Diagnostic {
    Diagnostic::error("spec::type", format!("{what} is {wanted}; here it is {}", node.kind()))
        .at(node.span.clone(), "")
}

/// What to say of a key nobody knows: why it is not there yet, or what was probably meant.
pub(crate) fn unknown_key(
    key: &Name,
    what: &str,
    known: &[&str],
    not_built: &[(&str, &str)],
) -> Option<Diagnostic> {
    if key.value.starts_with("x-") {
        return None;
    }
    if let Some((_, meanwhile)) = not_built.iter().find(|(name, _)| *name == key.value) {
        return Some(
            Diagnostic::error(
                "spec::not-built",
                format!("`{}` of {what} is part of the language but not built yet", key.value),
            )
            .at(key.span.clone(), "")
            .hint(*meanwhile),
        );
    }
    Some(
        Diagnostic::error("spec::unknown-key", format!("unknown key `{}` in {what}", key.value))
            .at(key.span.clone(), "")
            .maybe_hint(suggestion(&key.value, known.iter().copied())),
    )
}

/// What to say where something is missing.
pub(crate) fn missing(span: Span, what: &str, key: &str) -> Diagnostic {
    Diagnostic::error("spec::missing-key", format!("{what} has no `{key}`")).at(span, "")
}
