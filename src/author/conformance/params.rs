//! Params that a program must refuse.

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use stagewright_protocol::Manifest;

/// Params of which one has a value of the wrong kind, with that param's name. None where the schema takes anything.
pub(super) fn wrong(manifest: &Manifest, right: &Value) -> Option<(String, Value)> {
    let validator = jsonschema::validator_for(&manifest.params).ok()?;
    let base = right.as_object().cloned().unwrap_or_default();
    let properties = manifest.params.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .find_map(|(name, _)| Some((name.clone(), refused(&validator, &base, name)?)))
}

fn refused(validator: &Validator, base: &Map<String, Value>, name: &str) -> Option<Value> {
    let candidates = [
        json!("no value of this kind"),
        json!({ "no": ["value", "of", "this", "kind"] }),
        json!(-0.5),
        json!([[]]),
    ];
    candidates.into_iter().find_map(|candidate| {
        let mut params = base.clone();
        params.insert(name.to_owned(), candidate);
        let params = Value::Object(params);
        // The param itself must be what is wrong, not another one that is missing.
        let blamed = validator
            .iter_errors(&params)
            .any(|error| error.instance_path().as_str().split('/').nth(1) == Some(name));
        blamed.then_some(params)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest(properties: Value) -> Manifest {
        serde_json::from_value(json!({
            "name": "x", "version": "1.0.0", "cache-version": 1, "summary": "x",
            "params": { "type": "object", "properties": properties },
        }))
        .unwrap()
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_found_for_every_kind() {
        let found = |schema: Value| {
            let (name, params) = wrong(&manifest(json!({ "a": schema })), &json!({ "b": 1 })).unwrap();
            assert_eq!((name.as_str(), &params["b"]), ("a", &json!(1)));
            params["a"].clone()
        };
        assert_eq!(found(json!({ "type": "integer" })), "no value of this kind");
        assert!(found(json!({ "type": "string" })).is_object());
        assert!(found(json!({ "type": ["string", "object"] })).is_number());
        assert_eq!(
            found(json!({ "oneOf": [{ "const": "auto" }, { "type": "number" }] })),
            "no value of this kind"
        );
    }

    #[test]
    fn what_takes_anything_has_no_wrong_value() {
        assert_eq!(wrong(&manifest(json!({ "a": true })), &json!({})), None);
        assert_eq!(wrong(&manifest(json!({})), &json!({})), None);
    }
}
