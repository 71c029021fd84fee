//! What an action's key was made of, as a record keeps it: field by field, so that two runs can be compared and a later
//! release can read it whatever its keys are made of.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::plan::{COMMAND, KeyInput, KeyMaterial};

/// Values by field, named as in the pipeline file: `with.optimizer.lr`, `inputs.data`, `env.OMP_NUM_THREADS`, `seed`.
///
/// An input's value is its digest; `inputs.data.as`, `.type` and `.role` say how the stage sees it. Maps, and lists that
/// hold maps or lists, are taken apart (`with.transforms.0.p`, as `--set` names it); a list of plain values is one value.
pub type Material = BTreeMap<String, Value>;

/// Takes the material of a key apart. The destructuring has no `..`: a new part of a key does not compile until it is
/// recorded here.
pub fn flatten(material: &KeyMaterial) -> Material {
    let KeyMaterial { version: _, program, cache_version, params, inputs, env, seed, platform, salt, outs } =
        material;
    let mut fields = Material::new();
    fields.insert("program".to_owned(), format!("{program}@{cache_version}").into());
    fields.insert("seed".to_owned(), (*seed).into());
    match params {
        // What a command is made of stands beside it in the stage, not under `with`.
        Value::Object(map) if program == COMMAND => {
            map.iter().for_each(|(key, part)| value(&mut fields, key.clone(), part));
        }
        params => value(&mut fields, "with".to_owned(), params),
    }
    for (name, text) in env {
        fields.insert(format!("env.{name}"), text.as_str().into());
    }
    for (name, text) in platform {
        fields.insert(format!("platform.{name}"), text.as_str().into());
    }
    if !outs.is_empty() {
        fields.insert("outs".to_owned(), outs.iter().map(String::as_str).collect());
    }
    if !salt.is_empty() {
        fields.insert("salt".to_owned(), salt.as_str().into());
    }
    for (port, bound) in inputs {
        for (index, KeyInput { name, artifact_type, role, digest }) in bound.iter().enumerate() {
            let field =
                if bound.len() > 1 { format!("inputs.{port}.{index}") } else { format!("inputs.{port}") };
            fields.insert(format!("{field}.as"), name.as_str().into());
            fields.insert(format!("{field}.type"), artifact_type.as_str().into());
            if let Some(role) = role {
                fields.insert(format!("{field}.role"), role.as_str().into());
            }
            fields.insert(field, digest.to_string().into());
        }
    }
    fields
}

/// Takes a value apart in the same way, below a field's name.
pub fn flatten_value(fields: &mut Material, field: &str, found: &Value) {
    value(fields, field.to_owned(), found);
}

fn value(fields: &mut Material, field: String, found: &Value) {
    match found {
        Value::Object(map) if !map.is_empty() => {
            for (key, part) in map {
                value(fields, format!("{field}.{key}"), part);
            }
        }
        // Params as a whole are always a map; an empty one says nothing.
        Value::Object(_) if field == "with" => {}
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, part) in items.iter().enumerate() {
                value(fields, format!("{field}.{index}"), part);
            }
        }
        plain => drop(fields.insert(field, plain.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digest::Digest;

    #[test]
    fn every_field_has_a_name_and_a_value() {
        let input = |name: &str, role: Option<&str>| KeyInput {
            name: name.to_owned(),
            artifact_type: "file".to_owned(),
            role: role.map(str::to_owned),
            digest: Digest::of(name.as_bytes()),
        };
        let material = KeyMaterial {
            version: 1,
            program: "train".to_owned(),
            cache_version: 3,
            params: json!({"optimizer": {"lr": 0.1}, "shape": [1, 2], "steps": [{"p": 1}, {"p": 2}], "x": {}}),
            inputs: BTreeMap::from([
                ("data".to_owned(), vec![input("images", Some("train"))]),
                ("models".to_owned(), vec![input("a", None), input("b", None)]),
            ]),
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            seed: 7,
            platform: BTreeMap::from([("gpu".to_owned(), "H100".to_owned())]),
            outs: Default::default(),
            salt: "s".to_owned(),
        };
        let lines: Vec<String> =
            flatten(&material).iter().map(|(field, value)| format!("{field} {value}")).collect();
        let text = lines.join("\n").replace(&Digest::of(b"images").to_string(), "<images>");
        let text = text.replace(&Digest::of(b"a").to_string(), "<a>");
        insta::assert_snapshot!(text.replace(&Digest::of(b"b").to_string(), "<b>"), @r#"
        env.A "1"
        inputs.data "<images>"
        inputs.data.as "images"
        inputs.data.role "train"
        inputs.data.type "file"
        inputs.models.0 "<a>"
        inputs.models.0.as "a"
        inputs.models.0.type "file"
        inputs.models.1 "<b>"
        inputs.models.1.as "b"
        inputs.models.1.type "file"
        platform.gpu "H100"
        program "train@3"
        salt "s"
        seed 7
        with.optimizer.lr 0.1
        with.shape [1,2]
        with.steps.0.p 1
        with.steps.1.p 2
        with.x {}
        "#);
    }
}
