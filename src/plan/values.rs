//! Values as written → values as resolved.

use serde_json::Value;

use crate::spec::{
    Diagnostic,
    expression::{Expression, Piece, Template},
    types::{Data, Span, Value as Written},
};

use super::evaluate::{Operand, Scope, shown};

/// What a value is called in messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Resolves a value; all that is wrong with it is reported.
pub(super) fn resolve(written: &Written, scope: &Scope<'_>, findings: &mut Vec<Diagnostic>) -> Option<Value> {
    match &written.data {
        Data::Template(_) => match operand(written, scope, findings)?.json(&written.span) {
            Ok(value) => Some(value),
            Err(error) => {
                findings.push(error);
                None
            }
        },
        Data::List(items) => {
            // Not `collect` into an option, which would stop at the first error.
            let values: Vec<_> = items.iter().map(|item| resolve(item, scope, findings)).collect();
            values.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
        }
        Data::Map(entries) => {
            let values: Vec<_> = entries
                .iter()
                .map(|(key, value)| (key.value.clone(), resolve(value, scope, findings)))
                .collect();
            values
                .into_iter()
                .map(|(key, value)| Some((key, value?)))
                .collect::<Option<_>>()
                .map(Value::Object)
        }
        _ => written.literal(),
    }
}

/// Resolves a scalar that may also be an output of a stage.
pub(super) fn operand(
    written: &Written,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Operand> {
    let Data::Template(template) = &written.data else {
        return resolve(written, scope, findings).map(Operand::Json);
    };
    let before = findings.len();
    for piece in &template.pieces {
        if let Piece::Expression(expression) = piece {
            scope.check(expression, findings);
        }
    }
    if findings.len() > before {
        return None;
    }
    let found = match template.whole() {
        Some(expression) => scope.evaluate(expression),
        None => text(template, scope).map(|text| Operand::Json(text.into())),
    };
    found.map_err(|error| findings.push(error)).ok()
}

fn text(template: &Template, scope: &Scope<'_>) -> Result<String, Diagnostic> {
    let mut out = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Expression(expression) => out.push_str(&piece_text(expression, scope)?),
        }
    }
    Ok(out)
}

/// An expression inside of a text.
pub(super) fn piece_text(expression: &Expression, scope: &Scope<'_>) -> Result<String, Diagnostic> {
    let value = scope.evaluate(expression)?.json(&expression.span)?;
    if value.is_array() || value.is_object() {
        return Err(Diagnostic::error(
            "plan::expression",
            format!("{} can't stand inside a text", kind(&value)),
        )
        .at(expression.span.clone(), "")
        .hint("use `join(…)` or `toJSON(…)`"));
    }
    Ok(shown(&value))
}

/// Resolves a text; numbers and booleans become one.
pub(super) fn scalar_text(
    what: &str,
    written: &Written,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<String> {
    let value = resolve(written, scope, findings)?;
    if value.is_array() || value.is_object() || value.is_null() {
        findings.push(
            Diagnostic::error("plan::type", format!("{what} is text; here it is {}", kind(&value)))
                .at(written.span.clone(), ""),
        );
        return None;
    }
    Some(shown(&value))
}

/// Resolves a seed.
pub(super) fn seed(written: &Written, scope: &Scope<'_>, findings: &mut Vec<Diagnostic>) -> Option<u64> {
    let value = resolve(written, scope, findings)?;
    let seed = value.as_u64();
    if seed.is_none() {
        findings.push(
            Diagnostic::error(
                "plan::type",
                format!("`seed` is a whole number from 0; here it is {}", described(&value)),
            )
            .at(written.span.clone(), ""),
        );
    }
    seed
}

/// A value in a message: short scalars themselves, else their kind.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        Value::String(text) if text.len() > 40 => "text".to_owned(),
        scalar => format!("`{}`", shown(scalar)),
    }
}

/// Where the value at a JSON pointer stands, as far as it was written and not computed.
pub(super) fn locate(root: &Written, path: &[String]) -> Span {
    let mut value = root;
    for part in path {
        let next = match &value.data {
            Data::Map(_) => value.get(part).map(|(_, value)| value),
            Data::List(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    value.span.clone()
}
