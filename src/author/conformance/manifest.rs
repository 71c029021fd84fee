//! Is a manifest one that a plan can work with?

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use serde_json::Value;
use stagewright_protocol::{Manifest, Port};

use crate::{catalog::PREFIX, spec::units::unit_named};

/// What is wrong with it, and what could be better.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    pub faults: Vec<String>,
    pub remarks: Vec<String>,
}

/// Looks at everything that can be told without running the program.
pub(super) fn judge(manifest: &Manifest, program: &Path) -> Judgement {
    let mut found = Judgement::default();
    let file = program.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
    match file {
        Some(name) if name != manifest.name => {
            found.faults.push(format!("it calls itself `{}`; its file name says `{name}`", manifest.name));
        }
        None => {
            found.remarks.push(format!("the file has to be called {PREFIX}{} to be found", manifest.name))
        }
        Some(_) => {}
    }
    let version: Vec<_> = manifest.version.split(['-', '+']).next().unwrap_or_default().split('.').collect();
    if version.len() != 3 || !version.iter().all(|part| part.parse::<u32>().is_ok()) {
        found.faults.push(format!("the version `{}` is not three numbers such as `1.0.0`", manifest.version));
    }
    if manifest.cache_version == 0 {
        found.faults.push("the cache version is 0; it starts at 1".to_owned());
    }
    one_line("the summary", &manifest.summary, &mut found);
    for (name, port) in &manifest.inputs {
        one_port(&format!("input `{name}`"), port, &mut found);
    }
    for (name, port) in &manifest.outputs {
        one_port(&format!("output `{name}`"), port, &mut found);
        if port.artifact_type.contains('|') {
            found
                .faults
                .push(format!("output `{name}` has alternatives of types; what is written has one type"));
        }
    }
    places(&manifest.outputs, &mut found);
    params(&manifest.params, &mut found);
    found
}

fn one_line(what: &str, text: &str, found: &mut Judgement) {
    if text.trim().is_empty() {
        found.faults.push(format!("{what} is empty"));
    } else if text.contains('\n') {
        found.faults.push(format!("{what} has more than one line"));
    }
}

fn one_port(what: &str, port: &Port, found: &mut Judgement) {
    one_line(&format!("the summary of {what}"), &port.summary, found);
    let is_type = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_/.*".contains(c))
    };
    if !port.artifact_type.split('|').all(|name| is_type(name.trim())) {
        found.faults.push(format!(
            "the type `{}` of {what} is not one such as `model/onnx` or `file`",
            port.artifact_type
        ));
    }
}

/// Where outputs lie: inside the output folder and apart from each other.
fn places(outputs: &BTreeMap<String, Port>, found: &mut Judgement) {
    let mut taken: Vec<(&str, &Path)> = Vec::new();
    for (name, path) in outputs.iter().filter_map(|(name, port)| Some((name, Path::new(port.path.as_ref()?))))
    {
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || path.as_os_str().is_empty() {
            found.faults.push(format!(
                "output `{name}` lies at `{}`, which is not inside its folder",
                path.display()
            ));
        }
        if let Some((other, _)) = taken.iter().find(|(_, at)| at.starts_with(path) || path.starts_with(at)) {
            found.faults.push(format!("outputs `{other}` and `{name}` lie inside each other"));
        }
        taken.push((name, path));
    }
}

fn params(schema: &Value, found: &mut Judgement) {
    if let Err(error) = jsonschema::meta::validate(schema) {
        found.faults.push(format!("the schema of the params is no JSON Schema: {error}"));
        return;
    }
    if let Err(error) = jsonschema::validator_for(schema) {
        found.faults.push(format!("the schema of the params can't be used: {error}"));
        return;
    }
    if schema.get("type").is_none_or(|kind| kind != "object") {
        found.faults.push("the schema of the params has not the type `object`".to_owned());
    }
    let mut bare = Vec::new();
    walk(schema, "", &mut |path, part| {
        if let Some(target) = part.get("$ref").and_then(Value::as_str)
            && !target.starts_with('#')
        {
            found.faults.push(format!("`{path}` refers to `{target}`, which is not in the manifest"));
        }
        if let Some(unit) = part.get("x-unit") {
            let unit = unit.as_str().unwrap_or_default();
            if unit_named(unit).is_none() {
                found.faults.push(format!("`{unit}` of param `{path}` is not a unit"));
            }
        }
        if let Some(default) = part.get("default")
            && let Ok(validator) = jsonschema::validator_for(part)
            && let Some(error) = validator.iter_errors(default).next()
        {
            found.faults.push(format!("the default of param `{path}` does not fit its own schema: {error}"));
        }
        let told =
            part.get("description").is_some() || part.get("const").is_some() || part.get("$ref").is_some();
        if !told && part.is_object() {
            bare.push(format!("`{path}`"));
        }
    });
    if !bare.is_empty() {
        found.remarks.push(format!("params without a description: {}", bare.join(", ")));
    }
}

/// Every property at any depth, with its dotted name.
fn walk<'s>(schema: &'s Value, path: &str, visit: &mut dyn FnMut(&str, &'s Value)) {
    for (name, part) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        visit(&path, part);
        walk(part, &path, visit);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), visit);
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for branch in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            walk(branch, path, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_told_at_once() {
        let manifest: Manifest = serde_json::from_value(json!({
            "name": "mine", "version": "1", "cache-version": 0, "summary": "two\nlines",
            "inputs": { "data": { "type": "Data Set", "summary": "" } },
            "outputs": {
                "a": { "type": "file | dir", "summary": "a", "path": "out" },
                "b": { "type": "file", "summary": "b", "path": "out/b" },
                "c": { "type": "file", "summary": "c", "path": "../c" },
            },
            "params": { "type": "object", "properties": {
                "size": { "type": "integer", "minimum": 1, "default": 0, "x-unit": "parsecs", "description": "Size." },
                "far": { "$ref": "https://example.org/schema" },
                "deep": { "type": "object", "description": "Deep.", "properties": { "bare": { "type": "number" } } },
            } },
        }))
        .unwrap();
        // The reference can't be resolved, which ends the look at the params.
        let told = judge(&manifest, Path::new("/x/stagewright-stage-other"));
        assert!(
            told.faults.last().unwrap().starts_with("the schema of the params can't be used"),
            "{told:?}"
        );
        let mut manifest = manifest;
        manifest.params["properties"]["far"] = json!({ "type": "boolean" });
        let told = judge(&manifest, Path::new("/x/stagewright-stage-other"));
        insta::assert_snapshot!(told.faults.join("\n"), @r"
        it calls itself `mine`; its file name says `other`
        the version `1` is not three numbers such as `1.0.0`
        the cache version is 0; it starts at 1
        the summary has more than one line
        the summary of input `data` is empty
        the type `Data Set` of input `data` is not one such as `model/onnx` or `file`
        output `a` has alternatives of types; what is written has one type
        outputs `a` and `b` lie inside each other
        output `c` lies at `../c`, which is not inside its folder
        `parsecs` of param `size` is not a unit
        the default of param `size` does not fit its own schema: 0 is less than the minimum of 1
        ");
        insta::assert_snapshot!(told.remarks.join("\n"), @r"params without a description: `deep.bare`, `far`");
    }
}
