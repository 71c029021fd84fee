//! GitHub's functions, comparisons and conversions, in so far as they need nothing but their arguments.
//!
//! Where GitHub's expressions turn one kind of value into another, so do these: null is 0 and the empty text, booleans are 1
//! and 0, a text is the number it spells, lists and maps are `Array` and `Object` as texts and no number.

use std::cmp::Ordering;

use serde_json::Value;

use crate::spec::{
    Diagnostic,
    expression::{Function, Operator},
    types::Span,
};

use super::evaluate::{Evaluated, shown};

/// Compares as GitHub does: texts without regard to case, values of different kinds as numbers. Lists and maps have no order;
/// they are equal when all that is in them is.
pub(super) fn compare(operator: Operator, left: &Value, right: &Value) -> bool {
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(fold(left).cmp(&fold(right))),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            let equal = left == right;
            return match operator {
                Operator::Equal => equal,
                Operator::NotEqual => !equal,
                _ => false,
            };
        }
        _ => number(left).partial_cmp(&number(right)),
    };
    match operator {
        Operator::Equal => ordering == Some(Ordering::Equal),
        Operator::NotEqual => ordering != Some(Ordering::Equal),
        Operator::Less => ordering.is_some_and(Ordering::is_lt),
        Operator::AtMost => ordering.is_some_and(Ordering::is_le),
        Operator::Greater => ordering.is_some_and(Ordering::is_gt),
        Operator::AtLeast => ordering.is_some_and(Ordering::is_ge),
        // These two take their operands unevaluated.
        Operator::And | Operator::Or => false,
    }
}

fn fold(text: &str) -> String {
    text.to_uppercase()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => spelled(text.trim()),
        Value::Array(_) | Value::Object(_) => f64::NAN,
    }
}

/// The number a text spells: decimal, `0x…`, `0o…`, `Infinity`; NaN if it spells none.
fn spelled(text: &str) -> f64 {
    let radix = |digits: &str, radix| u32::from_str_radix(digits, radix).map_or(f64::NAN, f64::from);
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if text.starts_with("0x") => radix(&text[2..], 16),
        _ if text.starts_with("0o") => radix(&text[2..], 8),
        // Rust would read `inf` and `nan` as well.
        _ if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => f64::NAN,
        _ => text.parse().unwrap_or(f64::NAN),
    }
}

/// A value as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Array(_) => "Array".to_owned(),
        Value::Object(_) => "Object".to_owned(),
        scalar => shown(scalar),
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Calls a function with arguments whose number was checked when the expression was read.
pub(super) fn call(function: Function, arguments: &[Value], span: &Span) -> Evaluated<Value> {
    let texts =
        |a: &Value, b: &Value| (is_scalar(a) && is_scalar(b)).then(|| (fold(&text(a)), fold(&text(b))));
    let wrong = |what: String| Diagnostic::error("plan::expression", what).at(span.clone(), "");
    Ok(match (function, arguments) {
        (Function::Contains, [Value::Array(items), wanted]) => {
            items.iter().any(|item| compare(Operator::Equal, item, wanted)).into()
        }
        (Function::Contains, [all, wanted]) => {
            texts(all, wanted).is_some_and(|(all, wanted)| all.contains(&wanted)).into()
        }
        (Function::StartsWith, [all, wanted]) => {
            texts(all, wanted).is_some_and(|(all, wanted)| all.starts_with(&wanted)).into()
        }
        (Function::EndsWith, [all, wanted]) => {
            texts(all, wanted).is_some_and(|(all, wanted)| all.ends_with(&wanted)).into()
        }
        (Function::Format, [pattern, values @ ..]) => format(&text(pattern), values).map_err(wrong)?.into(),
        (Function::Join, [list, rest @ ..]) => {
            let separator =
                rest.first().filter(|given| is_scalar(given)).map_or_else(|| ",".to_owned(), text);
            match list {
                Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(&separator).into(),
                Value::Object(_) => "".into(),
                scalar => text(scalar).into(),
            }
        }
        (Function::FromJson, [value]) => serde_json::from_str(&text(value)).map_err(|error| {
            wrong(format!("`fromJSON` got text that is no JSON: {error}")).maybe_hint(
                (!is_scalar(value)).then(|| "it is a value already, and needs no `fromJSON`".to_owned()),
            )
        })?,
        (Function::ToJson, [value]) => {
            serde_json::to_string_pretty(value).map_err(|error| wrong(format!("`toJSON`: {error}")))?.into()
        }
        // Those that ask the run or the file system are not called here.
        _ => return Err(wrong(format!("`{}` can't be called here", function.word()))),
    })
}

/// `{0}` is the first value; `{{` and `}}` are braces.
fn format(pattern: &str, values: &[Value]) -> Result<String, String> {
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
            .ok_or_else(|| format!("`format`: a `{mark}` stands alone"))?;
        let position: usize = rest[..end]
            .trim()
            .parse()
            .map_err(|_| format!("`format`: `{{{}}}` is no position", &rest[..end]))?;
        let value = values.get(position).ok_or_else(|| {
            format!("`format`: there is no value for `{{{position}}}`; {} are given", values.len())
        })?;
        out.push_str(&text(value));
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
        assert!(equal(json!("0x1F"), json!(31)));
        assert!(equal(json!("0o17"), json!(15)));
        assert!(equal(json!(" 2.5e1 "), json!(25)));
        assert!(equal(json!([1, "a"]), json!([1, "a"])));
        assert!(!equal(json!("abc"), json!(0)));
        for text in ["NaN", "inf", "nan", "infinity", "0x", "-0x1", "1e", "1_000"] {
            assert!(!equal(json!(text), json!(0)), "{text}");
            assert!(!compare(Operator::Less, &json!(0), &json!(text)), "{text}");
        }
        assert!(compare(Operator::Less, &json!(1), &json!("Infinity")));
        assert!(compare(Operator::NotEqual, &json!("x"), &json!(1)));
        assert!(!compare(Operator::Less, &json!("x"), &json!(1)));
        assert!(!compare(Operator::AtLeast, &json!("x"), &json!(1)));
        assert!(!compare(Operator::AtLeast, &json!([1]), &json!([1])));
        assert!(compare(Operator::Greater, &json!("12"), &json!(5)));
        assert!(compare(Operator::Less, &json!("12"), &json!("5")));
    }

    #[test]
    fn functions_are_githubs() {
        let give = |function, arguments: Value| call(function, arguments.as_array().unwrap(), &(0..1));
        assert_eq!(give(Function::Contains, json!([["a", 1], "A"])), Ok(json!(true)));
        assert_eq!(give(Function::Contains, json!([["a", 1], "1"])), Ok(json!(true)));
        assert_eq!(give(Function::Contains, json!(["Hello", "ELL"])), Ok(json!(true)));
        assert_eq!(give(Function::Contains, json!([{"a": 1}, "Object"])), Ok(json!(false)));
        assert_eq!(give(Function::StartsWith, json!(["refs/heads/x", "Refs/"])), Ok(json!(true)));
        assert_eq!(give(Function::StartsWith, json!([123, 12])), Ok(json!(true)));
        assert_eq!(give(Function::EndsWith, json!(["a.png", ".jpg"])), Ok(json!(false)));
        assert_eq!(give(Function::Format, json!(["{{{0}}} {1}", "a", 2.0])), Ok(json!("{a} 2")));
        assert_eq!(give(Function::Format, json!(["{0}{1}{2}", null, true, [1]])), Ok(json!("trueArray")));
        assert_eq!(give(Function::Join, json!([[1, "b", null], "-"])), Ok(json!("1-b-")));
        assert_eq!(give(Function::Join, json!([["a", "b"]])), Ok(json!("a,b")));
        assert_eq!(give(Function::Join, json!(["a", "-"])), Ok(json!("a")));
        assert_eq!(give(Function::FromJson, json!(["{\"a\": [1]}"])), Ok(json!({"a": [1]})));
        assert_eq!(give(Function::FromJson, json!([true])), Ok(json!(true)));
        assert_eq!(give(Function::ToJson, json!([{"a": 1}])), Ok(json!("{\n  \"a\": 1\n}")));
        assert_eq!(give(Function::ToJson, json!(["a"])), Ok(json!("\"a\"")));
        let said: Vec<_> = [
            give(Function::Format, json!(["{2}", 1])),
            give(Function::Format, json!(["{x}", 1])),
            give(Function::Format, json!(["a}", 1])),
            give(Function::FromJson, json!(["{"])),
            give(Function::FromJson, json!([{"a": 1}])),
        ]
        .map(|result| result.unwrap_err().message)
        .into();
        insta::assert_snapshot!(said.join("\n"), @r"
        `format`: there is no value for `{2}`; 1 are given
        `format`: `{x}` is no position
        `format`: a `}` stands alone
        `fromJSON` got text that is no JSON: EOF while parsing an object at line 1 column 1
        `fromJSON` got text that is no JSON: expected value at line 1 column 1
        ");
    }
}
