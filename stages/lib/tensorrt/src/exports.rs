//! The files that `trtexec` exports: output tensors and times.
//!
//! `--exportOutput` writes a list of `{ "name": …, "dimensions": "8x3", "values": [ … ] }`; `--exportTimes` a list of
//! `{ "startH2dMs": …, …, "h2dMs": …, "computeMs": …, "d2hMs": …, "latencyMs": … }`, one entry a run, in milliseconds (before
//! TensorRT 8 the transfers were `inMs` and `outMs`; up to 8.4 an entry has `endToEndMs` too).

use serde_json::Value;

/// An output tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its dimensions; empty where the file does not tell them.
    pub dims: Vec<usize>,
    /// Its values in order; NaN for whatever is not finite.
    pub values: Vec<f32>,
}

/// Reads the file of `--exportOutput`.
///
/// # Errors
/// It is not such a file, or the number of values is not that of the dimensions.
pub fn parse_output(text: &str) -> Result<Vec<Output>, String> {
    let value: Value = serde_json::from_str(&with_null(text)).map_err(|error| error.to_string())?;
    let list = value.as_array().ok_or("it is not a list of outputs")?;
    list.iter().map(output).collect()
}

fn output(value: &Value) -> Result<Output, String> {
    let name = value.get("name").and_then(Value::as_str).ok_or("an output has no `name`")?;
    let dims = dimensions(value.get("dimensions"))
        .ok_or_else(|| format!("the dimensions of `{name}` are {}", value["dimensions"]))?;
    let mut values = Vec::new();
    flatten(value.get("values").ok_or_else(|| format!("`{name}` has no `values`"))?, &mut values)
        .map_err(|odd| format!("`{name}` has the value {odd}"))?;
    let wanted: usize = dims.iter().product();
    if !dims.is_empty() && wanted != values.len() {
        return Err(format!("`{name}` has the dimensions {dims:?} and {} values", values.len()));
    }
    Ok(Output { name: name.to_owned(), dims, values })
}

/// `"8x3"` or `[8, 3]`.
fn dimensions(value: Option<&Value>) -> Option<Vec<usize>> {
    match value {
        None => Some(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => Some(Vec::new()),
        Some(Value::String(text)) => text.split('x').map(|dim| dim.trim().parse().ok()).collect(),
        Some(Value::Array(list)) => list.iter().map(|dim| usize::try_from(dim.as_u64()?).ok()).collect(),
        Some(_) => None,
    }
}

/// Numbers in order, whether or not they are nested by dimension.
fn flatten(value: &Value, into: &mut Vec<f32>) -> Result<(), String> {
    match value {
        Value::Array(list) => list.iter().try_for_each(|value| flatten(value, into)),
        Value::Null => {
            into.push(f32::NAN);
            Ok(())
        }
        Value::Number(number) => {
            into.push(number.as_f64().unwrap_or(f64::NAN) as f32);
            Ok(())
        }
        other => Err(other.to_string()),
    }
}

/// The text with `nan` and `inf`, which C++ streams print and JSON does not know, as `null`.
fn with_null(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut quoted = false;
    while let Some(next) = rest.chars().next() {
        let starts_word =
            !quoted && next.is_ascii_alphabetic() && !out.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        if !starts_word {
            let escaped = quoted && next == '\\' && rest.len() > 1;
            if next == '"' {
                quoted = !quoted;
            }
            let length = next.len_utf8()
                + if escaped { rest[1..].chars().next().map_or(0, char::len_utf8) } else { 0 };
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..length];
        let lower = word.to_ascii_lowercase();
        if lower == "nan" || lower == "inf" || lower == "infinity" {
            if out.ends_with(['-', '+']) {
                out.pop();
            }
            out.push_str("null");
        } else {
            out.push_str(word);
        }
        rest = &rest[length..];
    }
    out
}

/// Reads the file of `--exportTimes`: each run's time from its input in the machine's memory to its output there
/// (transfer, compute, transfer), in milliseconds.
///
/// # Errors
/// It is not such a file, it has no run, or a time is none.
pub fn parse_times(text: &str) -> Result<Vec<f64>, String> {
    let value: Value = serde_json::from_str(&with_null(text)).map_err(|error| error.to_string())?;
    let list = value.as_array().ok_or("it is not a list of runs")?;
    if list.is_empty() {
        return Err("it has no run".to_owned());
    }
    let time = |(index, run): (usize, &Value)| {
        let field = |names: &[&str]| names.iter().find_map(|name| run.get(*name)?.as_f64());
        let parts = || {
            let compute = field(&["computeMs"])?;
            Some(
                field(&["h2dMs", "inMs"]).unwrap_or(0.0)
                    + compute
                    + field(&["d2hMs", "outMs"]).unwrap_or(0.0),
            )
        };
        field(&["latencyMs"])
            .or_else(parts)
            .filter(|time| time.is_finite() && *time >= 0.0)
            .ok_or_else(|| format!("run {index} has no time: {run}"))
    };
    list.iter().enumerate().map(time).collect()
}
