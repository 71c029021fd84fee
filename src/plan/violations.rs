//! What a JSON Schema validator finds → words that say which value would fit.

use std::collections::BTreeSet;

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::Value;

use crate::spec::{
    Diagnostic,
    nearest::{list, suggestion},
    truth_word,
};

use super::{
    params::Subject,
    schema_walk::{choose, tag_of},
    values::described,
};

/// Where errors belong.
pub(super) struct Place<'a> {
    pub subject: &'a Subject<'a>,
    pub schema: &'a Value,
    /// Paths about which something was said already.
    pub reported: &'a BTreeSet<Vec<String>>,
}

/// Turns one error of the validator into diagnostics.
pub(super) fn report(place: &Place<'_>, error: &ValidationError<'_>, findings: &mut Vec<Diagnostic>) {
    let path = parts(error.instance_path().as_str());
    if place.reported.contains(&path) {
        return;
    }
    let value = error.instance().as_ref();
    let name = place.subject.name(&path);
    let shown = described(value);
    let (message, hint) = match error.kind() {
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
            return alternatives(place, error, context, findings);
        }
        // Unknown keys were reported with what they may have meant.
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => return,
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let message = if path.is_empty() {
                format!("stage `{}` needs the param `{key}`", place.subject.stage)
            } else {
                format!("{name} needs `{key}`")
            };
            (message, description(place, &path, Some(key)))
        }
        Kind::Type { kind: TypeKind::Single(kind) } if kind.to_string() == "null" => {
            (format!("{name} must be left out; here it is {shown}"), None)
        }
        Kind::Type { kind } => {
            (format!("{name} must be {}; here it is {shown}", type_name(kind)), truth_hint(kind, value))
        }
        Kind::Minimum { limit } => (format!("{name} is {shown}; it must be at least {limit}"), None),
        Kind::Maximum { limit } => (format!("{name} is {shown}; it may be at most {limit}"), None),
        Kind::ExclusiveMinimum { limit } => {
            (format!("{name} is {shown}; it must be more than {limit}"), None)
        }
        Kind::ExclusiveMaximum { limit } => {
            (format!("{name} is {shown}; it must be less than {limit}"), None)
        }
        Kind::MultipleOf { multiple_of } => {
            (format!("{name} is {shown}; it must be a multiple of {multiple_of}"), None)
        }
        Kind::MinItems { limit } => (format!("{name} must have at least {limit} items"), None),
        Kind::MaxItems { limit } | Kind::MinLength { limit } | Kind::MaxLength { limit } => {
            let (bound, unit) = match error.kind() {
                Kind::MaxItems { .. } => ("at most", "items"),
                Kind::MinLength { .. } => ("at least", "characters"),
                _ => ("at most", "characters"),
            };
            (format!("{name} must have {bound} {limit} {unit}"), None)
        }
        Kind::AdditionalItems { limit } => (format!("{name} may have at most {limit} items"), None),
        Kind::UniqueItems => (format!("{name} holds the same item twice"), None),
        Kind::Pattern { pattern } => (format!("{name} is {shown}; it must match `{pattern}`"), None),
        Kind::Enum { options } => {
            let options: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
            let options = options.iter().map(String::as_str);
            let hint = value.as_str().and_then(|text| suggestion(text, options.clone()));
            (
                format!("{name} is {shown}; it must be one of {}", list(options)),
                hint.filter(|hint| hint.starts_with("did")),
            )
        }
        Kind::Constant { expected_value } => {
            (format!("{name} is {shown}; it must be {}", described(expected_value)), None)
        }
        _ => (format!("{name}: {error}"), None),
    };
    let hint = hint.or_else(|| description(place, &path, None));
    let (message, hint) = match because(place, error) {
        Some((reason, says)) => (format!("{message}, because {reason}"), says.or(hint)),
        None => (message, hint),
    };
    findings
        .push(Diagnostic::error("plan::param", message).at(place.subject.span(&path), "").maybe_hint(hint));
}

/// Why a rule between several params applies: the condition of its `if`, or the key that asks for another one; with what the
/// schema itself says of it (`x-because`).
fn because(place: &Place<'_>, error: &ValidationError<'_>) -> Option<(String, Option<String>)> {
    let rule = error.schema_path().as_str();
    let (at, branch) = ["/then", "/else"]
        .iter()
        .filter_map(|branch| Some((rule.rfind(&format!("{branch}/"))?, *branch)))
        .max_by_key(|(at, _)| *at)
        .or_else(|| rule.rfind("/dependentRequired").map(|at| (at, "/dependentRequired")))?;
    let owner = place.schema.pointer(&rule[..at])?;
    let says = owner.get("x-because").and_then(Value::as_str).map(str::to_owned);
    if branch == "/dependentRequired" {
        let Kind::Required { property } = error.kind() else { return None };
        let given = error.instance().as_object()?;
        let asks = |(key, wanted): &(&String, &Value)| {
            given.contains_key(*key) && wanted.as_array().is_some_and(|wanted| wanted.contains(property))
        };
        let (key, _) = owner.get("dependentRequired")?.as_object()?.iter().find(asks)?;
        return Some((format!("`{key}` is given"), says));
    }
    let properties = owner.get("if")?.get("properties")?.as_object()?;
    let mut parts = Vec::new();
    for (name, rule) in properties {
        let words = match (rule.get("const"), rule.get("enum").and_then(Value::as_array)) {
            (Some(constant), _) => format!("`{}`", plain(constant)),
            (None, Some(options)) => {
                let options: Vec<String> = options.iter().map(plain).collect();
                format!("one of {}", list(options.iter().map(String::as_str)))
            }
            (None, None) => return Some((format!("of the value of `{name}`"), says)),
        };
        parts.push(format!("`{name}` is {}{words}", if branch == "/else" { "not " } else { "" }));
    }
    (!parts.is_empty()).then(|| (parts.join(if branch == "/else" { " or " } else { " and " }), says))
}

/// None of several forms fits: says what is wrong with the one that was meant, or which there are.
fn alternatives(
    place: &Place<'_>,
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
    findings: &mut Vec<Diagnostic>,
) {
    let path = parts(error.instance_path().as_str());
    let value = error.instance().as_ref();
    let name = place.subject.name(&path);
    let branches = place.schema.pointer(error.schema_path().as_str()).and_then(Value::as_array);
    let branches = branches.map_or(&[][..], Vec::as_slice);
    if let Some(chosen) = choose(place.schema, branches, value).and_then(|index| context.get(index)) {
        return chosen.iter().for_each(|error| report(place, error, findings));
    }
    let span = place.subject.span(&path);
    let said = match (tag_of(branches), value) {
        (Some((tag, known)), Value::Object(fields)) => match fields.get(tag) {
            None => Diagnostic::error("plan::param", format!("{name} needs `{tag}`"))
                .at(span, "")
                .hint(format!("it is one of {}", list(known))),
            Some(given) => {
                let mut tag_path = path.clone();
                tag_path.push(tag.to_owned());
                let text = plain(given);
                Diagnostic::error(
                    "plan::param",
                    format!("{} is {}, which is not known", place.subject.name(&tag_path), described(given)),
                )
                .at(place.subject.span(&tag_path), "")
                .maybe_hint(suggestion(&text, known))
            }
        },
        _ => {
            let mut forms: Vec<String> = Vec::new();
            for form in branches.iter().map(form) {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
            if let Some((tag, known)) = tag_of(branches) {
                forms.retain(|form| !form.starts_with("a map"));
                forms.push(format!("a map whose `{tag}` is one of {}", list(known)));
            }
            let error = Diagnostic::error("plan::param", format!("{name} can't be {}", described(value)))
                .at(span, "");
            let words = branches.iter().filter_map(|branch| branch.get("const")?.as_str());
            match value
                .as_str()
                .and_then(|text| suggestion(text, words))
                .filter(|hint| hint.starts_with("did"))
            {
                Some(near) => error.hint(near),
                None if forms.is_empty() => error,
                None => error.hint(format!("it is {}", forms.join(" or "))),
            }
        }
    };
    findings.push(said);
}

/// A branch in a few words.
fn form(branch: &Value) -> String {
    let text = |word: &str| branch.get(word).and_then(Value::as_str);
    if let Some(constant) = branch.get("const") {
        return format!("`{}`", plain(constant));
    }
    if let Some(options) = branch.get("enum").and_then(Value::as_array) {
        let options: Vec<String> = options.iter().map(plain).collect();
        return format!("one of {}", list(options.iter().map(String::as_str)));
    }
    match (text("type"), text("x-unit")) {
        (Some("object"), _) => match branch.get("required").and_then(Value::as_array) {
            Some(required) => format!("a map with {}", list(required.iter().filter_map(Value::as_str))),
            None => "a map".to_owned(),
        },
        (Some(kind), Some(unit)) => format!("{} in {unit}", with_article(kind)),
        (Some(kind), None) => with_article(kind).to_owned(),
        _ => text("title").unwrap_or("another form").to_owned(),
    }
}

/// `yes` where a boolean is wanted.
fn truth_hint(kind: &TypeKind, value: &Value) -> Option<String> {
    let truth = truth_word(value.as_str()?)?;
    type_name(kind).contains("true").then(|| format!("write `{truth}`; YAML 1.2 reads this word as text"))
}

fn type_name(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => with_article(&kind.to_string()).to_owned(),
        TypeKind::Multiple(kinds) => kinds
            .iter()
            .map(|kind| with_article(&kind.to_string()).to_owned())
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn with_article(kind: &str) -> &'static str {
    match kind {
        "null" => "nothing",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a map",
        _ => "something else",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// First sentence of what the manifest says of a param, with its default.
fn description(place: &Place<'_>, path: &[String], key: Option<&str>) -> Option<String> {
    let mut schema = place.schema;
    let mut last = None;
    for part in path.iter().map(String::as_str).chain(key) {
        schema = match schema.get("properties").and_then(|properties| properties.get(part)) {
            Some(found) => {
                last = Some(part);
                found
            }
            None => schema.get("items")?,
        };
    }
    let text = schema.get("description")?.as_str()?.lines().next()?.trim().trim_end_matches('.');
    let default = schema
        .get("default")
        .filter(|default| !default.is_object() && !default.is_array() && !default.is_null())
        .map(|default| format!(" (default {})", plain(default)))
        .unwrap_or_default();
    Some(format!("`{}`: {text}{default}", last?))
}

fn parts(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}
