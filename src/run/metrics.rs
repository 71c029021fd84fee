//! Numbers in the metrics files of a stage → its metrics.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use crate::{
    plan::{Action, OutKind},
    record::MetricValue,
};

/// Longest metrics file that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Metrics of one stage that are taken.
const MOST: usize = 10_000;

/// Reads the metrics files that an action wrote: a number at `a: { b: 1 }` is the metric `a.b`. Where several files have one of a
/// name, the later ones carry their path, as in `val.json:acc`. The second list says what could not be read.
pub(super) fn read(action: &Action, root: &Path) -> (BTreeMap<String, MetricValue>, Vec<String>) {
    let (mut metrics, mut notes) = (BTreeMap::new(), Vec::new());
    for out in action.outs.iter().filter(|out| out.kind == OutKind::Metrics) {
        let shown = out.path.display();
        match file(&root.join(&out.path)) {
            Ok(value) => {
                let mut found = Vec::new();
                numbers(&value, String::new(), &mut found);
                if found.is_empty() {
                    notes.push(format!("the metrics file {shown} holds no number"));
                }
                for (name, value) in found {
                    if metrics.len() >= MOST {
                        notes.push(format!("only the first {MOST} metrics of {shown} were taken"));
                        break;
                    }
                    let name = if metrics.contains_key(&name) { format!("{shown}:{name}") } else { name };
                    metrics.insert(name, MetricValue { value, unit: None });
                }
            }
            Err(why) => notes.push(format!("no metrics were taken from {shown}: {why}")),
        }
    }
    (metrics, notes)
}

fn file(path: &Path) -> Result<Value, String> {
    let meta = fs::metadata(path).map_err(|error| error.to_string())?;
    if meta.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if meta.len() > LONGEST {
        return Err(format!("it has {} bytes, and {LONGEST} are read at most", meta.len()));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| format!("it is not JSON: {error}")),
        Some("yaml" | "yml") => {
            serde_yaml::from_str(&text).map_err(|error| format!("it is not YAML: {error}"))
        }
        Some("toml") => toml::from_str::<toml::Table>(&text)
            .map_err(|error| format!("it is not TOML: {}", error.message()))
            .and_then(|table| serde_json::to_value(table).map_err(|error| error.to_string())),
        _ => Err("its name ends neither in .json nor in .yaml nor in .toml".to_owned()),
    }
}

fn numbers(value: &Value, name: String, found: &mut Vec<(String, f64)>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Number(number) => found.extend(number.as_f64().map(|number| (name, number))),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| numbers(value, below(key), found)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| numbers(value, below(&index.to_string()), found));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_number_has_a_name_and_every_trouble_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let said = [
            ("a.json", r#"{"acc": 0.5, "val": {"loss": 1, "note": "x"}, "curve": [1, 2]}"#),
            ("b.yaml", "acc: 0.7\nok: true\n"),
            ("c.toml", "[x]\ny = 3\n"),
            ("d.json", "7"),
            ("e.json", "{"),
            ("f.csv", "a,b"),
        ]
        .map(|(name, text)| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            match file(&path) {
                Ok(value) => {
                    let mut found = Vec::new();
                    numbers(&value, String::new(), &mut found);
                    format!("{name}: {found:?}")
                }
                Err(why) => format!("{name}: {why}"),
            }
        });
        insta::assert_snapshot!(said.join("\n"), @r#"
        a.json: [("acc", 0.5), ("curve.0", 1.0), ("curve.1", 2.0), ("val.loss", 1.0)]
        b.yaml: [("acc", 0.7)]
        c.toml: [("x.y", 3.0)]
        d.json: [("", 7.0)]
        e.json: it is not JSON: EOF while parsing an object at line 1 column 1
        f.csv: its name ends neither in .json nor in .yaml nor in .toml
        "#);
    }
}
