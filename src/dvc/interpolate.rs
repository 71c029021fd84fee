//! `${…}` in texts, as DVC reads it.

use std::ops::Range;

use crate::spec::{
    Diagnostic,
    fields::Findings,
    tree::{Node, NodeData},
    types::{Data, Name, Spanned, Value},
    verbatim,
};

use super::{context::Context, settings::Settings};

/// What may stand in for a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Single values.
    Scalars,
    /// In a command, a map too: it becomes arguments.
    Arguments,
    /// Whatever it is.
    Anything,
}

/// Resolves the templates in a node, in the keys of its maps too. None where something was wrong, which is reported.
pub(super) fn resolve(
    node: &Node,
    context: &Context,
    allowed: Allowed,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Value> {
    let data = match &node.data {
        NodeData::Text { text, verbatim, .. } => {
            let place = Place { node, verbatim: *verbatim };
            return match resolve_text(text, &place, context, allowed, settings) {
                Ok(data) => Some(Value { span: node.span.clone(), data }),
                Err(error) => {
                    findings.push(error);
                    None
                }
            };
        }
        NodeData::List(items) => {
            let all: Vec<_> =
                items.iter().map(|item| resolve(item, context, allowed, settings, findings)).collect();
            Data::List(all.into_iter().collect::<Option<_>>()?)
        }
        NodeData::Map(entries) => {
            let all: Vec<_> = entries
                .iter()
                .map(|(key, value)| {
                    let key = resolve_key(key, context, settings, findings);
                    Some((key?, resolve(value, context, allowed, settings, findings)?))
                })
                .collect();
            Data::Map(all.into_iter().collect::<Option<_>>()?)
        }
        _ => verbatim(node).data,
    };
    Some(Value { span: node.span.clone(), data })
}

/// Resolves a name that may be a template.
pub(super) fn resolve_key(
    key: &Name,
    context: &Context,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Name> {
    let node = Node {
        span: key.span.clone(),
        data: NodeData::Text { text: key.value.clone(), verbatim: None, plain: true },
    };
    let value = resolve(&node, context, Allowed::Scalars, settings, findings)?;
    Some(Spanned::new(text(&value)?, key.span.clone()))
}

struct Place<'a> {
    node: &'a Node,
    verbatim: Option<usize>,
}

impl Place<'_> {
    fn span(&self, range: &Range<usize>) -> Range<usize> {
        match self.verbatim {
            Some(offset) => offset + range.start..offset + range.end,
            None => self.node.span.clone(),
        }
    }
}

fn resolve_text(
    text: &str,
    place: &Place<'_>,
    context: &Context,
    allowed: Allowed,
    settings: &Settings,
) -> Result<Data, Diagnostic> {
    let found = templates(text);
    let select = |range: &Range<usize>| {
        let inner = &text[range.start + 2..range.end - 1];
        let wrong = |why: String| {
            let error = Diagnostic::error("dvc::template", format!("`{}`: {why}", &text[range.clone()]))
                .at(place.span(range), "");
            if inner.starts_with('{') {
                return error.hint(
                    "a dvc.yaml has no expressions; `${name}` stands for a value of params.yaml or `vars`",
                );
            }
            error.hint("a variable of the shell is written `$NAME`, or `\\${NAME}` where it needs braces")
        };
        let value = context.select(inner).map_err(wrong)?;
        let fits = match (&value.data, allowed) {
            (_, Allowed::Anything) | (Data::Map(_), Allowed::Arguments) => true,
            (Data::Map(_) | Data::List(_), _) => false,
            _ => true,
        };
        if !fits {
            return Err(wrong(format!("it is {}, and only a single value can stand here", value.kind())));
        }
        Ok(value)
    };
    if let [only] = &found[..]
        && *only == (0..text.len())
    {
        return select(only).map(|value| value.data.clone());
    }
    let mut out = String::new();
    let mut at = 0;
    for range in &found {
        out.push_str(&text[at..range.start]);
        let value = select(range)?;
        match arguments_or_text(value, settings) {
            Some(text) => out.push_str(&text),
            None => {
                return Err(Diagnostic::error(
                    "dvc::template",
                    format!("`{}` holds lists inside of lists, which are no arguments", &text[range.clone()]),
                )
                .at(place.span(range), ""));
            }
        }
        at = range.end;
    }
    out.push_str(&text[at..]);
    Ok(Data::Text(out.replace("\\${", "${")))
}

/// Ranges of `${…}` that are not escaped.
fn templates(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("${").map(|open| at + open) {
        if text[..open].ends_with('\\') {
            at = open + 2;
            continue;
        }
        // A template ends on its line.
        let inner = text[open + 2..].split('\n').next().unwrap_or_default();
        match inner.find('}') {
            Some(close) => {
                at = open + 2 + close + 1;
                found.push(open..at);
            }
            None => at = open + 2,
        }
    }
    found
}

/// A single value as Python prints it.
pub(super) fn text(value: &Value) -> Option<String> {
    Some(match &value.data {
        Data::Null => "None".to_owned(),
        Data::Bool(value) => value.to_string(),
        Data::Number(number) => python_number(number),
        Data::Text(text) => text.clone(),
        Data::Template(_) | Data::List(_) | Data::Map(_) => return None,
    })
}

/// A number as Python's `repr` prints it, which is what a lock file holds.
pub(super) fn python_number(number: &serde_json::Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&power) {
        let plain = format!("{float}");
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.abs())
}

fn arguments_or_text(value: &Value, settings: &Settings) -> Option<String> {
    let Data::Map(entries) = &value.data else { return text(value) };
    let mut words = Vec::new();
    arguments("", entries, settings, &mut words)?;
    Some(words.join(" "))
}

/// `--name value` of every entry, in order.
fn arguments(
    way: &str,
    entries: &[(Name, Value)],
    settings: &Settings,
    words: &mut Vec<String>,
) -> Option<()> {
    for (key, value) in entries {
        let name = if way.is_empty() { key.value.clone() } else { format!("{way}.{}", key.value) };
        match &value.data {
            Data::Map(below) => arguments(&name, below, settings, words)?,
            Data::Bool(true) => words.push(format!("--{name}")),
            Data::Bool(false) if settings.negates => words.push(format!("--no-{name}")),
            Data::Bool(false) => {}
            Data::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index == 0 || settings.repeats {
                        words.push(format!("--{name}"));
                    }
                    words.push(argument(item)?);
                }
            }
            _ => words.extend([format!("--{name}"), argument(value)?]),
        }
    }
    Some(())
}

fn argument(value: &Value) -> Option<String> {
    match &value.data {
        Data::Text(text) => Some(quote(text)),
        Data::Bool(true) => Some("True".to_owned()),
        Data::Bool(false) => Some("False".to_owned()),
        _ => text(value),
    }
}

/// A text as one word of the shell, as Python's `shlex` writes it: the lock file holds it so.
fn quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}
