//! YAML as DVC writes it into a lock file: blocks, lists at the depth of their key, texts plain wherever they can be, and folded
//! at 80 columns.

use serde_yaml::{Mapping, Value as Yaml};

use super::interpolate::python_number;

/// Columns beyond which a text is folded at its next blank.
const WIDTH: usize = 80;

/// The whole file.
pub(super) fn document(map: &Mapping) -> String {
    let mut out = String::new();
    mapping(map, 0, false, &mut out);
    out
}

/// Entries of a map; the first one stands behind a `- ` where `inline`.
fn mapping(map: &Mapping, depth: usize, inline: bool, out: &mut String) {
    for (index, (key, value)) in map.iter().enumerate() {
        if !(inline && index == 0) {
            out.push_str(&" ".repeat(depth));
        }
        scalar(key, depth, out);
        out.push(':');
        match value {
            Yaml::Mapping(below) if !below.is_empty() => {
                out.push('\n');
                mapping(below, depth + 2, false, out);
            }
            Yaml::Sequence(items) if !items.is_empty() => {
                out.push('\n');
                sequence(items, depth, false, out);
            }
            Yaml::Null => out.push('\n'),
            value => {
                out.push(' ');
                scalar(value, depth, out);
                out.push('\n');
            }
        }
    }
}

fn sequence(items: &[Yaml], depth: usize, inline: bool, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if !(inline && index == 0) {
            out.push_str(&" ".repeat(depth));
        }
        out.push('-');
        match item {
            Yaml::Mapping(below) if !below.is_empty() => {
                out.push(' ');
                mapping(below, depth + 2, true, out);
            }
            Yaml::Sequence(below) if !below.is_empty() => {
                out.push(' ');
                sequence(below, depth + 2, true, out);
            }
            Yaml::Null => out.push('\n'),
            item => {
                out.push(' ');
                scalar(item, depth, out);
                out.push('\n');
            }
        }
    }
}

fn scalar(value: &Yaml, depth: usize, out: &mut String) {
    match value {
        Yaml::Null => {}
        Yaml::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Yaml::Number(number) => {
            let json = match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => Some(number.into()),
                (_, Some(number), _) => Some(number.into()),
                (_, _, float) => float.and_then(serde_json::Number::from_f64),
            };
            match json {
                Some(json) => out.push_str(&python_number(&json)),
                None => out.push_str(&number.to_string()),
            }
        }
        Yaml::String(text) => string(text, depth, out),
        Yaml::Sequence(_) => out.push_str("[]"),
        Yaml::Mapping(_) => out.push_str("{}"),
        Yaml::Tagged(tagged) => scalar(&tagged.value, depth, out),
    }
}

fn string(text: &str, depth: usize, out: &mut String) {
    let odd = |c: char| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if is_plain(text) && !text.contains(odd) {
        plain(text, depth, out);
    } else if text.contains(odd) || text.contains('\'') {
        double_quoted(text, out);
    } else {
        single_quoted(text, depth, out);
    }
}

/// Columns written of the last line.
fn column(out: &str) -> usize {
    out[out.rfind('\n').map_or(0, |at| at + 1)..].chars().count()
}

fn break_line(depth: usize, out: &mut String) {
    out.push('\n');
    out.push_str(&" ".repeat(depth + 2));
}

/// A word that does not fit goes to the next line, and leaves its blank at the end of this one.
fn plain(text: &str, depth: usize, out: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(' ').unwrap_or(rest.len());
        if column(out) + rest[..word].chars().count() > WIDTH && column(out) > depth + 2 {
            break_line(depth, out);
        }
        out.push_str(&rest[..word]);
        rest = &rest[word..];
        let blanks = rest.find(|c| c != ' ').unwrap_or(rest.len());
        if blanks == 1 && column(out) >= WIDTH {
            break_line(depth, out);
        } else {
            out.push_str(&rest[..blanks]);
        }
        rest = &rest[blanks..];
    }
}

/// A line that has grown too long ends at its next single blank.
fn single_quoted(text: &str, depth: usize, out: &mut String) {
    out.push('\'');
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(' ').unwrap_or(rest.len());
        out.push_str(&rest[..word]);
        let first = word == 0 && rest.len() == text.len();
        rest = &rest[word..];
        let blanks = rest.find(|c| c != ' ').unwrap_or(rest.len());
        if blanks == 1 && column(out) > WIDTH && !first && rest.len() > blanks {
            break_line(depth, out);
        } else {
            out.push_str(&rest[..blanks]);
        }
        rest = &rest[blanks..];
    }
    out.push('\'');
}

/// Reads back as this very text by YAML 1.2, in a block and as a key.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let edges = text.starts_with(' ') || text.ends_with(' ');
    let indicator = "#,[]{}&*!|>'\"%@`".contains(first)
        || matches!(first, '-' | '?' | ':') && text[1..].chars().next().is_none_or(|next| next == ' ');
    let inside = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let document = text.starts_with("---") || text.starts_with("...");
    !edges && !indicator && !inside && !document && is_text(text)
}

/// No other kind of value is written so.
fn is_text(text: &str) -> bool {
    let special = matches!(
        text.to_ascii_lowercase().as_str(),
        "" | "~" | "null" | "true" | "false" | "=" | "<<" | ".inf" | "-.inf" | "+.inf" | ".nan"
    );
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.chars().all(|c| c.is_ascii_hexdigit() || "+-._:eExXoTZtz ".contains(c))
        && text.contains(|c: char| c.is_ascii_digit())
        && (text.parse::<f64>().is_ok()
            || text.starts_with("0x")
            || text.starts_with("0o")
            || text.replace('_', "").parse::<f64>().is_ok()
            || is_date(text));
    !special && !numeric
}

/// `2024-01-31`, which YAML takes for a date.
fn is_date(text: &str) -> bool {
    let date = text.get(..10).unwrap_or_default();
    let mut parts = date.split('-');
    let number = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    number(parts.next(), 4) && number(parts.next(), 2) && number(parts.next(), 2)
}

fn double_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
