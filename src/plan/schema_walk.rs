//! Which parts of a JSON Schema speak about a value: through `$ref`, `allOf` and the branch of `oneOf` or `anyOf` that
//! the value takes.

use serde_json::Value;

use crate::spec::units::{Dimension, Quantity, unit_named};

/// Deepest nesting of schemas followed for one value.
const MAX_DEPTH: usize = 16;

/// The schemas that apply to a value, outermost first.
#[derive(Default)]
pub(super) struct Applying<'s> {
    pub schemas: Vec<&'s Value>,
    /// A `oneOf` or `anyOf` of which no branch could be chosen.
    pub undecided: bool,
}

impl<'s> Applying<'s> {
    /// Gathers them, starting with several schemas for the same value.
    pub fn new(root: &'s Value, starts: &[&'s Value], value: &Value) -> Self {
        let mut found = Self::default();
        for start in starts {
            found.add(root, start, value, 0);
        }
        found
    }

    fn add(&mut self, root: &'s Value, schema: &'s Value, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        self.schemas.push(schema);
        if let Some(target) = schema.get("$ref").and_then(|target| resolve(root, target)) {
            self.add(root, target, value, depth + 1);
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.add(root, part, value, depth + 1);
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(branches) = schema.get(word).and_then(Value::as_array) {
                match choose(root, branches, value) {
                    Some(index) => self.add(root, &branches[index], value, depth + 1),
                    None => self.undecided = true,
                }
            }
        }
    }

    /// First value of a keyword.
    pub fn keyword(&self, word: &str) -> Option<&'s Value> {
        self.schemas.iter().find_map(|schema| schema.get(word))
    }

    /// All schemas given to a property.
    pub fn property(&self, name: &str) -> Vec<&'s Value> {
        self.schemas.iter().filter_map(|schema| schema.get("properties")?.get(name)).collect()
    }

    /// Names of all properties.
    pub fn properties(&self) -> Vec<&'s str> {
        let mut names: Vec<&str> = Vec::new();
        for schema in &self.schemas {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { continue };
            for name in properties.keys() {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Whether keys beyond [`Self::properties`] are errors: everywhere but where the schema says what else may stand
    /// there. JSON Schema's own default is the other way round, and would let every misspelt param pass.
    pub fn closed(&self) -> bool {
        let says = |word: &str| {
            self.schemas.iter().any(|schema| schema.get(word).is_some_and(|rule| *rule != Value::Bool(false)))
        };
        !self.undecided
            && !says("additionalProperties")
            && !says("unevaluatedProperties")
            && !says("patternProperties")
            && self.schemas.iter().any(|schema| {
                schema.get("properties").is_some()
                    || schema.get("additionalProperties").is_some()
                    || schema.get("unevaluatedProperties").is_some()
            })
    }

    /// Whether some schema names exactly this value.
    pub fn names(&self, value: &Value) -> bool {
        self.schemas.iter().any(|schema| named_by(schema, value))
    }

    /// Whether only whole numbers are taken.
    pub fn integral(&self) -> bool {
        self.keyword("type").is_some_and(|kind| types(kind).any(|kind| kind == "integer"))
    }
}

fn resolve<'s>(root: &'s Value, target: &Value) -> Option<&'s Value> {
    root.pointer(target.as_str()?.strip_prefix('#')?)
}

fn named_by(schema: &Value, value: &Value) -> bool {
    schema.get("const") == Some(value)
        || schema.get("enum").and_then(Value::as_array).is_some_and(|options| options.contains(value))
}

fn types(kind: &Value) -> impl Iterator<Item = &str> {
    kind.as_str().into_iter().chain(kind.as_array().into_iter().flatten().filter_map(Value::as_str))
}

/// The branch a value takes: by a property with a constant (a tag), by the keys it must have, by its own constants, by
/// its type. None where that does not decide.
pub(super) fn choose(root: &Value, branches: &[Value], value: &Value) -> Option<usize> {
    let branches: Vec<&Value> = branches
        .iter()
        .map(|branch| branch.get("$ref").and_then(|target| resolve(root, target)).unwrap_or(branch))
        .collect();
    if let Value::Object(fields) = value {
        let tagged = |branch: &&Value| {
            let mut tags = tags(branch).peekable();
            tags.peek().is_some() && tags.all(|(name, tag)| fields.get(name) == Some(tag))
        };
        if let Some(index) = only(branches.iter().map(tagged)) {
            return Some(index);
        }
        // With tags in play a wrong tag is the user's mistake, not a hint at some other branch.
        if branches.iter().any(|branch| tags(branch).next().is_some()) {
            let objects = branches.iter().filter(|branch| takes(branch, value)).count();
            return if objects == 1 { branches.iter().position(|branch| takes(branch, value)) } else { None };
        }
        let keyed = |branch: &&Value| {
            takes(branch, value)
                && branch.get("required").and_then(Value::as_array).is_some_and(|required| {
                    required.iter().filter_map(Value::as_str).all(|name| fields.contains_key(name))
                })
        };
        if let Some(index) = only(branches.iter().map(keyed)) {
            return Some(index);
        }
    }
    if let Some(index) = branches.iter().position(|branch| named_by(branch, value)) {
        return Some(index);
    }
    only(branches.iter().map(|branch| takes(branch, value)))
}

/// Properties with a constant, which tell branches apart.
fn tags(branch: &Value) -> impl Iterator<Item = (&String, &Value)> {
    branch.get("properties").and_then(Value::as_object).into_iter().flatten().filter_map(|(name, schema)| {
        let single = schema.get("enum").and_then(Value::as_array).filter(|options| options.len() == 1);
        let tag = schema.get("const").or_else(|| single.and_then(|options| options.first()))?;
        Some((name, tag))
    })
}

/// Name of the property that tells the branches apart, with its constants.
pub(super) fn tag_of(branches: &[Value]) -> Option<(&str, Vec<&str>)> {
    let (name, _) = branches.iter().find_map(|branch| tags(branch).next())?;
    let values =
        branches.iter().filter_map(|branch| tags(branch).find(|(tag, _)| *tag == name)?.1.as_str()).collect();
    Some((name, values))
}

/// Whether a branch takes values of this type at all.
fn takes(branch: &Value, value: &Value) -> bool {
    if branch.get("const").is_some() || branch.get("enum").is_some() {
        return named_by(branch, value);
    }
    let Some(kind) = branch.get("type") else { return true };
    types(kind).any(|kind| match (kind, value) {
        ("null", Value::Null) | ("boolean", Value::Bool(_)) | ("array", Value::Array(_)) => true,
        ("object", Value::Object(_)) | ("string", Value::String(_)) | ("number", Value::Number(_)) => true,
        ("integer", Value::Number(number)) => number.as_f64().is_some_and(|number| number.fract() == 0.0),
        // `30m` for a number of seconds.
        ("integer" | "number", Value::String(text)) => unit(branch).is_some_and(|(_, dimension)| {
            Quantity::parse(text).is_ok_and(|found| found.dimension == dimension)
        }),
        _ => false,
    })
}

/// `x-unit` of a schema.
pub(super) fn unit(schema: &Value) -> Option<(&str, Dimension)> {
    let unit = schema.get("x-unit")?.as_str()?;
    unit_named(unit).map(|(dimension, _)| (unit, dimension))
}

fn only(fits: impl Iterator<Item = bool>) -> Option<usize> {
    let mut found = fits.enumerate().filter(|(_, fits)| *fits).map(|(index, _)| index);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}
