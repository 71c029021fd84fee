//! `with:` of a stage → its params: units resolved, defaults filled in, checked against the manifest's schema.

use std::collections::{BTreeSet, HashMap};

use jsonschema::Validator;
use serde_json::{Map, Number, Value};

use crate::spec::{
    Diagnostic,
    nearest::suggestion,
    types::{Span, Value as Written},
    units::{Dimension, Quantity, UnitError},
};

use super::{
    Program,
    schema_walk::{Applying, unit},
    values::{described, locate},
    violations::{self, Place},
};

/// Params as the program gets them when `with:` gives these: units resolved, defaults filled in, checked.
pub fn complete_params(program: &Program, params: Value) -> Result<Value, Vec<Diagnostic>> {
    let subject = Subject { stage: &program.manifest.name, stage_span: &(0..0), program, written: None };
    let mut findings = Vec::new();
    let params = Schemas::default().complete(&subject, params, &mut findings);
    params.ok_or(findings)
}

/// Makes ready what every schema is itself compared with, which takes milliseconds once a process. For speed alone: on another
/// core while the pipeline is read.
pub fn prepare_schemas() {
    // The answer is known.
    let _ = jsonschema::draft202012::meta::is_valid(&serde_json::json!({ "type": "object" }));
}

/// Compiled schemas by stage program.
#[derive(Default)]
pub(super) struct Schemas {
    compiled: HashMap<String, Result<Validator, String>>,
}

/// The stage whose params are looked at.
pub(super) struct Subject<'a> {
    pub stage: &'a str,
    pub stage_span: &'a Span,
    pub program: &'a Program,
    /// `with:` as written.
    pub written: Option<&'a Written>,
}

impl Schemas {
    /// Params with units and defaults; none if something is wrong, which is reported.
    pub fn complete(
        &mut self,
        subject: &Subject<'_>,
        params: Value,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        let manifest = &subject.program.manifest;
        let schema = &manifest.params;
        let compiled = self
            .compiled
            .entry(manifest.name.clone())
            .or_insert_with(|| jsonschema::validator_for(schema).map_err(|error| error.to_string()));
        let validator = match compiled {
            Ok(validator) => validator,
            Err(error) => {
                findings.push(
                    Diagnostic::error(
                        "plan::manifest",
                        format!("the params schema of `{}` is not valid: {error}", manifest.name),
                    )
                    .at(subject.stage_span.clone(), "")
                    .hint("this is a defect of the stage program"),
                );
                return None;
            }
        };
        let before = findings.len();
        let mut params = params;
        let mut walk = Completion { subject, schema, path: Vec::new(), reported: BTreeSet::new(), findings };
        walk.complete(&[schema], &mut params, true);
        let reported = walk.reported;
        let place = Place { subject, schema, reported: &reported };
        for error in validator.iter_errors(&params) {
            violations::report(&place, &error, findings);
        }
        (findings.len() == before).then_some(params)
    }
}

impl Subject<'_> {
    /// Where a param stands: itself, else the nearest thing around it that was written.
    pub fn span(&self, path: &[String]) -> Span {
        self.written.map_or_else(|| self.stage_span.clone(), |written| locate(written, path))
    }

    /// Where the key of a param stands.
    fn key_span(&self, path: &[String], key: &str) -> Span {
        let mut value = match self.written {
            Some(written) => written,
            None => return self.stage_span.clone(),
        };
        for part in path {
            let next = match part.parse::<usize>() {
                Ok(index) => match &value.data {
                    crate::spec::types::Data::List(items) => items.get(index),
                    _ => value.get(part).map(|(_, value)| value),
                },
                Err(_) => value.get(part).map(|(_, value)| value),
            };
            match next {
                Some(next) => value = next,
                None => return value.span.clone(),
            }
        }
        value.get(key).map_or_else(|| value.span.clone(), |(name, _)| name.span.clone())
    }

    /// `optimizer.lr` of stage `train`.
    pub fn name(&self, path: &[String]) -> String {
        if path.is_empty() {
            return format!("`with` of stage `{}`", self.stage);
        }
        format!("`{}` of stage `{}`", dotted(path), self.stage)
    }
}

/// `transforms[0].p`.
fn dotted(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
    }
    text
}

struct Completion<'a> {
    subject: &'a Subject<'a>,
    schema: &'a Value,
    path: Vec<String>,
    /// Paths about which something was said, so that the validator need not repeat it.
    reported: BTreeSet<Vec<String>>,
    findings: &'a mut Vec<Diagnostic>,
}

impl<'a> Completion<'a> {
    /// `written`: the value comes from the pipeline and not out of a default.
    fn complete(&mut self, schemas: &[&'a Value], value: &mut Value, written: bool) {
        let applying = Applying::new(self.schema, schemas, value);
        match value {
            Value::Object(fields) => self.object(&applying, fields, written),
            Value::Array(items) => {
                let prefix = applying.keyword("prefixItems").and_then(Value::as_array);
                let rest = applying.keyword("items");
                for (index, item) in items.iter_mut().enumerate() {
                    let Some(schema) = prefix.and_then(|prefix| prefix.get(index)).or(rest) else { continue };
                    self.path.push(index.to_string());
                    self.complete(&[schema], item, written);
                    self.path.pop();
                }
            }
            Value::String(_) | Value::Number(_) if written => self.scalar(&applying, value),
            _ => {}
        }
    }

    fn object(&mut self, applying: &Applying<'a>, fields: &mut Map<String, Value>, written: bool) {
        let known = applying.properties();
        if applying.closed() {
            for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
                self.findings.push(
                    Diagnostic::error(
                        "plan::unknown-param",
                        format!("{} has no param `{key}`", self.owner()),
                    )
                    .at(self.subject.key_span(&self.path, key), "")
                    .maybe_hint(
                        suggestion(key, known.iter().copied())
                            .or_else(|| Some("it takes no params".to_owned())),
                    ),
                );
                let mut path = self.path.clone();
                path.push(key.clone());
                self.reported.insert(path);
            }
        }
        for name in &known {
            let schemas = applying.property(name);
            self.path.push((*name).to_owned());
            match fields.get_mut(*name) {
                Some(value) => self.complete(&schemas, value, written),
                None => {
                    let default = schemas.iter().find_map(|schema| schema.get("default"));
                    if let Some(default) = default {
                        let mut value = default.clone();
                        self.complete(&schemas, &mut value, false);
                        fields.insert((*name).to_owned(), value);
                    }
                }
            }
            self.path.pop();
        }
        if let Some(additional) = applying.keyword("additionalProperties").filter(|rule| rule.is_object()) {
            for (key, value) in fields.iter_mut().filter(|(key, _)| !known.contains(&key.as_str())) {
                self.path.push(key.clone());
                self.complete(&[additional], value, written);
                self.path.pop();
            }
        }
    }

    fn owner(&self) -> String {
        if self.path.is_empty() {
            format!("stage `{}` ({})", self.subject.stage, self.subject.program.manifest.name)
        } else {
            self.subject.name(&self.path)
        }
    }

    /// Text with a unit → the number the schema wants; a bare number is refused where it could mean several things.
    fn scalar(&mut self, applying: &Applying<'a>, value: &mut Value) {
        let Some((unit, dimension)) = applying.schemas.iter().find_map(|schema| unit(schema)) else { return };
        if applying.names(value) {
            return;
        }
        let error = match &*value {
            Value::String(text) => match Quantity::parse(text) {
                Ok(quantity) => match quantity.in_unit(unit) {
                    Some(amount) => {
                        *value = number(amount, dimension == Dimension::Bytes || applying.integral());
                        return;
                    }
                    None => Diagnostic::error(
                        "plan::unit",
                        format!(
                            "{} is {}; `{text}` is {}",
                            self.subject.name(&self.path),
                            dimension.noun(),
                            quantity.dimension.noun()
                        ),
                    )
                    .hint(format!("write a number with one of the units {}", dimension.choices())),
                },
                Err(error) => {
                    // Text may be meant as such: the validator knows.
                    let takes_text = applying.keyword("type").is_some_and(|kind| {
                        kind == "string"
                            || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "string"))
                    });
                    if takes_text || applying.undecided && matches!(error, UnitError::NoNumber(_)) {
                        return;
                    }
                    Diagnostic::error("plan::unit", format!("{}: {error}", self.subject.name(&self.path)))
                        .hint(error.hint(dimension))
                }
            },
            Value::Number(bare)
                if matches!(dimension, Dimension::Time | Dimension::Bytes) && bare.as_f64() != Some(0.0) =>
            {
                Diagnostic::error(
                    "plan::unit",
                    format!(
                        "{} needs a unit: {} alone is not {}",
                        self.subject.name(&self.path),
                        described(value),
                        dimension.noun()
                    ),
                )
                .hint(format!("write a number with one of the units {}", dimension.choices()))
            }
            _ => return,
        };
        self.findings.push(error.at(self.subject.span(&self.path), ""));
        self.reported.insert(self.path.clone());
    }
}

/// A whole number where it is one; JSON tells `2` from `2.0` only by its type.
fn number(amount: f64, round: bool) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // Parts of a byte are a matter of the unit (`1.1GiB`), parts of anything else are the user's.
    let nearly = (amount - amount.round()).abs() < 0.5 && round && amount.abs() >= 1024.0;
    let amount = if nearly { amount.round() } else { amount };
    if amount.fract() == 0.0 && amount.abs() < EXACT {
        return Value::from(amount as i64);
    }
    Number::from_f64(amount).map_or(Value::Null, Value::Number)
}
