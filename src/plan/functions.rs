//! GitHub's functions and comparisons, in so far as they need nothing but their arguments.

use serde_json::Value;

use crate::spec::{
    Diagnostic,
    expression::{Function, Operator},
    types::Span,
};

use super::{
    evaluate::{Evaluated, not_built, shown},
    values::kind,
};

/// Compares as GitHub does: texts without regard to case, values of different kinds as numbers.
pub(super) fn compare(operator: Operator, left: &Value, right: &Value) -> bool {
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.to_lowercase().cmp(&right.to_lowercase())),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            (left == right).then_some(std::cmp::Ordering::Equal)
        }
        _ => number(left).partial_cmp(&number(right)),
    };
    match operator {
        Operator::Equal => ordering == Some(std::cmp::Ordering::Equal),
        Operator::NotEqual => ordering != Some(std::cmp::Ordering::Equal),
        Operator::Less => ordering.is_some_and(std::cmp::Ordering::is_lt),
        Operator::AtMost => ordering.is_some_and(std::cmp::Ordering::is_le),
        Operator::Greater => ordering.is_some_and(std::cmp::Ordering::is_gt),
        Operator::AtLeast => ordering.is_some_and(std::cmp::Ordering::is_ge),
        // These two take their operands unevaluated.
        Operator::And | Operator::Or => false,
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) if text.trim().is_empty() => 0.0,
        Value::String(text) => text.trim().parse().unwrap_or(f64::NAN),
        Value::Array(_) | Value::Object(_) => f64::NAN,
    }
}

/// Calls a function with arguments whose number was checked when the expression was read.
pub(super) fn call(function: Function, arguments: &[Value], span: &Span) -> Evaluated<Value> {
    let fold = |value: &Value| shown(value).to_lowercase();
    Ok(match (function, arguments) {
        (Function::Contains, [Value::Array(items), wanted]) => {
            items.iter().any(|item| compare(Operator::Equal, item, wanted)).into()
        }
        (Function::Contains, [text, wanted]) => fold(text).contains(&fold(wanted)).into(),
        (Function::StartsWith, [text, wanted]) => fold(text).starts_with(&fold(wanted)).into(),
        (Function::EndsWith, [text, wanted]) => fold(text).ends_with(&fold(wanted)).into(),
        (Function::Format, [pattern, values @ ..]) => format(&shown(pattern), values, span)?.into(),
        (Function::Join, [list, rest @ ..]) => {
            let separator = rest.first().map_or_else(|| ",".to_owned(), shown);
            match list {
                Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(&separator).into(),
                other => shown(other).into(),
            }
        }
        (Function::FromJson, [text]) => match text {
            Value::String(text) => serde_json::from_str(text).map_err(|error| {
                Diagnostic::error("plan::expression", format!("`fromJSON` got text that is no JSON: {error}"))
                    .at(span.clone(), "")
            })?,
            other => {
                return Err(Diagnostic::error(
                    "plan::expression",
                    format!("`fromJSON` takes text; it got {}", kind(other)),
                )
                .at(span.clone(), ""));
            }
        },
        (Function::ToJson, [value]) => value.to_string().into(),
        (Function::Success | Function::Failure | Function::Always | Function::Cancelled, _) => {
            return Err(not_built(
                &format!("`{}()`", function.word()),
                span,
                "a stage runs when all it depends on has succeeded",
            ));
        }
        (Function::HashFiles, _) => {
            return Err(not_built(
                "`hashFiles()`",
                span,
                "bind the files to a port; their digests are in the key",
            ));
        }
        _ => {
            return Err(Diagnostic::error(
                "plan::expression",
                format!("`{}` got too few arguments", function.word()),
            )
            .at(span.clone(), ""));
        }
    })
}

/// `{0}` is the first value; `{{` and `}}` are braces.
fn format(pattern: &str, values: &[Value], span: &Span) -> Evaluated<String> {
    let wrong = |what: String| {
        Diagnostic::error("plan::expression", format!("`format`: {what}")).at(span.clone(), "")
    };
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let mark = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(mark) {
            out.push_str(mark);
            rest = after;
            continue;
        }
        let end = rest
            .find('}')
            .filter(|_| mark == "{")
            .ok_or_else(|| wrong(format!("a `{mark}` stands alone")))?;
        let position: usize = rest[..end]
            .trim()
            .parse()
            .map_err(|_| wrong(format!("`{{{}}}` is no position", &rest[..end])))?;
        let value = values.get(position).ok_or_else(|| {
            wrong(format!("there is no value for `{{{position}}}`; {} are given", values.len()))
        })?;
        out.push_str(&shown(value));
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn comparisons_are_githubs() {
        let equal = |left: Value, right: Value| compare(Operator::Equal, &left, &right);
        assert!(equal(json!("FP32"), json!("fp32")));
        assert!(equal(json!(null), json!(0)));
        assert!(equal(json!(null), json!("")));
        assert!(equal(json!(true), json!("1")));
        assert!(equal(json!(1), json!(1.0)));
        assert!(!equal(json!("abc"), json!(0)));
        assert!(!equal(json!("NaN"), json!(0)));
        assert!(compare(Operator::NotEqual, &json!("x"), &json!(1)));
        assert!(!compare(Operator::Less, &json!("x"), &json!(1)));
        assert!(!compare(Operator::AtLeast, &json!("x"), &json!(1)));
        assert!(compare(Operator::Greater, &json!("12"), &json!(5)));
        assert!(compare(Operator::Less, &json!("12"), &json!("5")));
    }

    #[test]
    fn functions_are_githubs() {
        let give = |function, arguments: Value| call(function, arguments.as_array().unwrap(), &(0..1));
        assert_eq!(give(Function::Contains, json!([["a", 1], "A"])), Ok(json!(true)));
        assert_eq!(give(Function::Contains, json!(["Hello", "ELL"])), Ok(json!(true)));
        assert_eq!(give(Function::StartsWith, json!(["refs/heads/x", "Refs/"])), Ok(json!(true)));
        assert_eq!(give(Function::EndsWith, json!(["a.png", ".jpg"])), Ok(json!(false)));
        assert_eq!(give(Function::Format, json!(["{{{0}}} {1}", "a", 2.0])), Ok(json!("{a} 2")));
        assert_eq!(give(Function::Join, json!([[1, "b"], "-"])), Ok(json!("1-b")));
        assert_eq!(give(Function::FromJson, json!(["{\"a\": [1]}"])), Ok(json!({"a": [1]})));
        assert_eq!(give(Function::ToJson, json!([{"a": 1}])), Ok(json!("{\"a\":1}")));
        let said: Vec<_> = [
            give(Function::Format, json!(["{2}", 1])),
            give(Function::Format, json!(["{x}", 1])),
            give(Function::Format, json!(["a}", 1])),
            give(Function::FromJson, json!(["{"])),
            give(Function::FromJson, json!([1])),
            give(Function::Always, json!([])),
            give(Function::HashFiles, json!(["x"])),
        ]
        .map(|result| result.unwrap_err().message)
        .into();
        insta::assert_snapshot!(said.join("\n"), @r"
        `format`: there is no value for `{2}`; 1 are given
        `format`: `{x}` is no position
        `format`: a `}` stands alone
        `fromJSON` got text that is no JSON: EOF while parsing an object at line 1 column 1
        `fromJSON` takes text; it got a number
        `always()` is part of the language but not built yet
        `hashFiles()` is part of the language but not built yet
        ");
    }
}
