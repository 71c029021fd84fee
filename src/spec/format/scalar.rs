//! How a scalar is written.

use saphyr_parser::ScalarStyle;

use super::{
    super::scalar::{Scalar, resolve, truth_word},
    read::Written,
};

/// A scalar on one line; block scalars are printed elsewhere.
pub(super) fn line(written: &Written, flow: bool, key: bool) -> String {
    let Written { style, value, source, .. } = written;
    match style {
        ScalarStyle::Plain if key || matches!(resolve(value), Scalar::Text) => {
            if plain(value, flow) {
                value.clone()
            } else {
                quoted(value)
            }
        }
        ScalarStyle::Plain => match resolve(value) {
            Scalar::Bool(truth) => truth.to_string(),
            Scalar::Null if value.is_empty() => String::new(),
            Scalar::Null => "null".to_owned(),
            // A number as it is written: `3e-3` says more than `0.003`.
            _ => source.clone(),
        },
        _ => {
            let text = matches!(resolve(value), Scalar::Text) && truth_word(value).is_none() && value != "<<";
            if text && plain(value, flow) { value.clone() } else { quoted(value) }
        }
    }
}

/// Whether a text can stand without quotes and is the same text then.
fn plain(text: &str, flow: bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else { return false };
    let indicator = ",[]{}#&*!|>'\"%@`".contains(first)
        || "-?:".contains(first)
            && bytes.get(1).is_none_or(|byte| *byte == b' ' || flow && b",[]{}".contains(byte));
    let inner = text.contains(": ") || text.contains(" #") || last == ':';
    let brackets = flow && (text.contains([',', '[', ']', '{', '}']) || text.contains(":,"));
    let odd = text
        .chars()
        .any(|c| c.is_control() || c == '\u{feff}' || c == '\u{2028}' || c == '\u{2029}' || c == '\u{85}');
    let marker = text.starts_with("---") || text.starts_with("...");
    !(indicator || inner || brackets || odd || marker || first.is_whitespace() || last.is_whitespace())
}

/// In double quotes, or in single ones where that saves escapes.
fn quoted(text: &str) -> String {
    let escapes =
        text.chars().any(|c| c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}'));
    if text.contains(['"', '\\']) && !escapes {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04X}", u32::from(character)))
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
