//! What a JSON Schema says of the value at a path.

use std::collections::BTreeMap;

use serde_json::Value;

use super::outline::Segment;

/// Deepest nesting of references and unions followed.
const MAX_DEPTH: usize = 16;

/// The schemas that speak about one value.
#[derive(Debug, Clone)]
pub(super) struct View<'s> {
    root: &'s Value,
    pub schemas: Vec<&'s Value>,
}

impl<'s> View<'s> {
    /// The whole document. `scalars` are the texts of the map it is, which choose among alternatives.
    pub fn new(root: &'s Value, scalars: &BTreeMap<String, String>) -> Self {
        let mut view = Self { root, schemas: Vec::new() };
        view.add(root, scalars, 0);
        view
    }

    fn add(&mut self, schema: &'s Value, scalars: &BTreeMap<String, String>, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        self.schemas.push(schema);
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        if let Some(target) = target.and_then(|target| self.root.pointer(target)) {
            self.add(target, scalars, depth + 1);
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            for branch in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
                if word == "allOf" || fits(branch, scalars) {
                    self.add(branch, scalars, depth + 1);
                }
            }
        }
    }

    /// What is said of an entry or item. `scalars` are the texts of that entry's own map.
    pub fn step(&self, segment: &Segment, scalars: &BTreeMap<String, String>) -> Self {
        let mut view = Self { root: self.root, schemas: Vec::new() };
        for schema in &self.schemas {
            let found = match segment {
                Segment::Key(name) => schema
                    .get("properties")
                    .and_then(|properties| properties.get(name))
                    .or_else(|| schema.get("additionalProperties").filter(|rule| rule.is_object())),
                Segment::Item(index) => schema
                    .get("prefixItems")
                    .and_then(|items| items.get(index))
                    .or_else(|| schema.get("items").filter(|rule| rule.is_object())),
            };
            if let Some(found) = found {
                view.add(found, scalars, 0);
            }
        }
        view
    }

    /// Names of the properties, each once, in the order of the schema.
    pub fn properties(&self) -> Vec<&'s str> {
        let mut names: Vec<&str> = Vec::new();
        for schema in &self.schemas {
            for name in schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, _)| name)
            {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// First value of a keyword.
    pub fn keyword(&self, word: &str) -> Option<&'s Value> {
        self.schemas.iter().find_map(|schema| schema.get(word))
    }

    /// What it means, in prose.
    pub fn description(&self) -> Option<&'s str> {
        self.keyword("description").and_then(Value::as_str)
    }

    /// Whether a map or list may stand here.
    pub fn is_nested(&self) -> bool {
        let nested = |kind: &Value| ["object", "array"].iter().any(|name| kind == name);
        let scalar = self.schemas.iter().filter_map(|schema| schema.get("type")).any(|kind| !nested(kind));
        !scalar && self.schemas.iter().filter_map(|schema| schema.get("type")).any(nested)
    }

    /// The values that are named, each with what it means.
    pub fn words(&self) -> Vec<(String, Option<&'s str>)> {
        let mut words: Vec<(String, Option<&str>)> = Vec::new();
        let mut add = |value: &Value, schema: &'s Value| {
            let word = match value {
                Value::String(text) => text.clone(),
                Value::Null => return,
                other => other.to_string(),
            };
            if !words.iter().any(|(known, _)| *known == word) {
                let meaning = schema.get("const").and(schema.get("description")).and_then(Value::as_str);
                words.push((word, meaning));
            }
        };
        for schema in &self.schemas {
            if let Some(only) = schema.get("const") {
                add(only, schema);
            }
            for value in schema.get("enum").and_then(Value::as_array).into_iter().flatten() {
                add(value, schema);
            }
            if schema.get("type").is_some_and(|kind| kind == "boolean") {
                add(&Value::Bool(true), schema);
                add(&Value::Bool(false), schema);
            }
        }
        words
    }
}

/// False where a constant of the branch contradicts what is written.
fn fits(branch: &Value, scalars: &BTreeMap<String, String>) -> bool {
    let properties = branch.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().all(|(name, schema)| {
        let only = schema.get("const").and_then(Value::as_str);
        match (only, scalars.get(name)) {
            (Some(only), Some(written)) => only == written,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tag_chooses_among_alternatives() {
        let schema = json!({ "properties": { "optimizer": { "oneOf": [
            { "properties": { "kind": { "const": "sgd", "description": "Plain." }, "momentum": { "type": "number" } } },
            { "properties": { "kind": { "const": "adamw" }, "betas": { "type": "array" } } },
        ] } } });
        let none = BTreeMap::new();
        let at = |scalars: &BTreeMap<String, String>| {
            let view = View::new(&schema, &none).step(&Segment::Key("optimizer".to_owned()), scalars);
            view.properties().join(" ")
        };
        assert_eq!(at(&none), "kind momentum betas");
        assert_eq!(at(&BTreeMap::from([("kind".to_owned(), "adamw".to_owned())])), "betas kind");
        let view = View::new(&schema, &none).step(&Segment::Key("optimizer".to_owned()), &none);
        let words = view.step(&Segment::Key("kind".to_owned()), &none).words();
        assert_eq!(words, [("sgd".to_owned(), Some("Plain.")), ("adamw".to_owned(), None)]);
    }
}
