//! The text of a lock file as fields by their way through it, and back.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::{Fault, What};

/// Version of the format.
///
/// 1: first release.
pub(super) const VERSION: u64 = 1;

/// Levels of maps beyond which no lock file goes.
const DEEPEST: usize = 8;

const HEADER: &str = "# What the stages of the pipelines beside this file last resolved to. `stagewright run` writes it;\n\
                      # commit it with them.\n";

/// Names on the way to a value, from the top.
pub(super) type Way = Vec<String>;

/// All of a lock file but its version.
pub(super) type Fields = BTreeMap<Way, Value>;

/// Reads a text.
pub(super) fn parse(text: &str) -> Result<Fields, Fault> {
    let mut fields = Fields::new();
    walk(text, |line, way, value| match fields.insert(way.to_owned(), value) {
        Some(_) => Err(Fault::wrong(line, "the field is there twice")),
        None => Ok(()),
    })?;
    let end = text.lines().count().max(1);
    match fields.remove(&["version".to_owned()][..]) {
        Some(Value::Number(version)) if version.as_u64() == Some(VERSION) => Ok(fields),
        Some(version) => Err(Fault::wrong(
            end,
            format!(
                "it is of version {version}, and this release reads version {VERSION}; use a later release"
            ),
        )),
        None => Err(Fault::wrong(end, format!("it does not say `version: {VERSION}`"))),
    }
}

/// Line of a field in a text that can be read, or of the first one in the map that it is missing from; from 1.
pub(super) fn line_of(text: &str, way: &[String]) -> Option<usize> {
    let (mut exact, mut near) = (None, None);
    let map = way.len().checked_sub(1).map(|length| &way[..length])?;
    let walked = walk(text, |line, found, _| {
        if found == way {
            exact = exact.or(Some(line));
        } else if found.starts_with(map) {
            near = near.or(Some(line));
        }
        Ok(())
    });
    walked.ok().and(exact.or(near))
}

fn walk(text: &str, mut each: impl FnMut(usize, &[String], Value) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut way: Way = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let wrong = |reason: &str| Fault::wrong(number, reason);
        if is_marker(line) {
            return Err(Fault { line: number, what: What::Conflict });
        }
        let body = line.trim_start_matches(' ');
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let indent = line.len() - body.len();
        let depth = indent / 2;
        if indent % 2 != 0 || depth > way.len() || depth >= DEEPEST {
            return Err(wrong("the line is indented by another depth than its map"));
        }
        way.truncate(depth);
        let (key, rest) =
            key(body).ok_or_else(|| wrong("a line is `name: value`, or `name:` above a map"))?;
        way.push(key);
        if rest.is_empty() {
            continue;
        }
        let value = serde_json::from_str(rest).map_err(|_| {
            wrong("a value is a number, `true`, `false`, `null`, a \"text\" or a list on one line")
        })?;
        each(number, &way, value)?;
        way.pop();
    }
    Ok(())
}

/// The first line of what git puts around two sides.
fn is_marker(line: &str) -> bool {
    ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].iter().any(|marker| line.starts_with(marker))
}

/// The name that a line begins with, and what stands behind its colon.
fn key(body: &str) -> Option<(String, &str)> {
    let (key, rest) = if body.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(body).into_iter::<String>();
        let key = values.next()?.ok()?;
        (key, body.get(values.byte_offset()..)?.strip_prefix(':')?)
    } else {
        let (key, rest) = body.split_once(':')?;
        (key.to_owned(), rest)
    };
    match rest.strip_prefix(' ') {
        Some(value) => Some((key, value.trim_end())),
        None => rest.is_empty().then_some((key, "")),
    }
}

/// The whole text of a lock file.
pub(super) fn render(fields: &Fields) -> String {
    let mut text = opening();
    let mut above: &[String] = &[];
    for (way, value) in fields {
        headings(above, way, &mut text);
        field(way, value, &mut text);
        above = &way[..way.len().saturating_sub(1)];
    }
    text
}

/// What stands before all fields.
pub(super) fn opening() -> String {
    format!("{HEADER}version: {VERSION}\n")
}

/// The names of the maps that a field lies in, as far as they do not stand there yet.
pub(super) fn headings(above: &[String], way: &[String], text: &mut String) {
    let maps = &way[..way.len().saturating_sub(1)];
    let known = above.iter().zip(maps).take_while(|(a, b)| a == b).count();
    for (depth, name) in maps.iter().enumerate().skip(known) {
        indent(depth, text);
        name_in(name, text);
        text.push_str(":\n");
    }
}

/// The line of a field.
pub(super) fn field(way: &[String], value: &Value, text: &mut String) {
    let Some((name, maps)) = way.split_last() else { return };
    indent(maps.len(), text);
    name_in(name, text);
    text.push_str(": ");
    text.push_str(&escaped(value.to_string()));
    text.push('\n');
}

fn indent(depth: usize, text: &mut String) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

fn name_in(name: &str, text: &mut String) {
    // What YAML takes for something else than a text.
    const TAKEN: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/@".contains(c))
        && !TAKEN.contains(&name.to_ascii_lowercase().as_str());
    if plain {
        text.push_str(name);
    } else {
        text.push_str(&escaped(Value::from(name).to_string()));
    }
}

/// What JSON leaves as it is, and YAML takes for the end of a line or refuses.
fn escaped(json: String) -> String {
    let odd = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if !json.contains(odd) {
        return json;
    }
    let mut text = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        match odd(c) {
            true => text.push_str(&format!("\\u{:04x}", c as u32)),
            false => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn way(parts: &[&str]) -> Way {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn what_is_no_lock_file_is_told_with_its_line() {
        let mut faults = String::new();
        for text in [
            "",
            "version: 2\n",
            "version: \"1\"\n",
            "version: 1\na:\n   b: 1\n",
            "version: 1\na:\n      b: 1\n",
            "version: 1\nb\n",
            "version: 1\nb: yes\n",
            "version: 1\nb: 1\nb: 2\n",
            "version: 1\n<<<<<<< ours\nb: 1\n=======\nb: 2\n>>>>>>> theirs\n",
            "version: 1\n\"b: 1\n",
        ] {
            let Fault { line, what } = parse(text).unwrap_err();
            faults.push_str(&format!("{line} {what:?}\n"));
        }
        insta::assert_snapshot!(faults);
    }

    #[test]
    fn an_empty_map_is_none() {
        assert_eq!(parse("version: 1\na:\n  b:\nc: 1\n").unwrap(), Fields::from([(way(&["c"]), json!(1))]));
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,3}",
            "[ -~]{0,6}",
            "\\PC{0,4}",
            Just("no".to_owned()),
            Just("\u{2028}\n\u{85}".to_owned())
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            prop::collection::vec(any::<i32>(), 0..3).prop_map(Value::from),
            Just(Value::Null),
        ]
    }

    proptest! {
        #[test]
        fn fields_come_back_and_yaml_reads_the_same(found in prop::collection::btree_map((name(), name(), name()), value(), 0..8)) {
            let fields: Fields = found.into_iter().map(|((a, b, c), value)| (vec!["x".to_owned(), a, b, c], value)).collect();
            let text = render(&fields);
            prop_assert_eq!(parse(&text), Ok(fields.clone()));
            let yaml: Value = serde_yaml::from_str(&text).unwrap();
            for (way, value) in &fields {
                let found = way.iter().try_fold(&yaml, |at, name| at.get(name));
                prop_assert_eq!(found, Some(value));
            }
        }

        #[test]
        fn parse_never_panics(text in "\\PC{0,20}|version: 1\n( {0,3}\"?[a:\"\\\\ ]{0,6}\n){0,5}") {
            let _ = parse(&text);
        }
    }
}
