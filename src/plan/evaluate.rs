//! Expressions → values, as far as they are known before anything runs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::spec::{
    Diagnostic,
    expression::{Context, Expression, ExpressionKind, Function, Operator, Step},
    nearest::suggestion,
    types::{Gaps, Span},
};

use super::{
    functions,
    instances::{Instances, OutputReference},
    matrix::Combination,
    values::kind,
};

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// A value.
    Json(Value),
    /// Outputs of stages, which have no value before the run.
    Outputs(Vec<OutputReference>),
}

/// What expressions at one place can see.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub params: &'a Value,
    pub host: &'a BTreeMap<String, Value>,
    pub git: &'a Value,
    pub env: &'a BTreeMap<String, String>,
    /// Digest of the files that match some patterns.
    pub hash_files: &'a dyn Fn(&[String]) -> Result<String, String>,
    /// Kinds of names that may be there although they are not known.
    pub gaps: Gaps,
    /// The combination, inside a stage; with the keys any combination of the stage has.
    pub matrix: Option<(&'a Combination, &'a [String])>,
    /// All stages, where outputs may be referred to.
    pub stages: Option<&'a Instances<'a>>,
}

/// Code of what is no finding of its own, but follows from one of form; never shown.
pub(super) const FOLLOW_UP: &str = "plan::follow-up";

/// Ends an evaluation that an error of form has the last word on.
pub(super) fn follow_up() -> Diagnostic {
    Diagnostic::error(FOLLOW_UP, "")
}

pub(super) type Evaluated<T> = Result<T, Diagnostic>;

/// A scalar as it stands in ids and inside texts: `1.0` is `1`.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// What counts as true: everything but `false`, `null`, 0 and the empty text.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

impl Operand {
    /// The value; an output has none yet.
    pub fn json(self, span: &Span) -> Evaluated<Value> {
        match self {
            Self::Json(value) => Ok(value),
            Self::Outputs(_) => {
                Err(Diagnostic::error("plan::output-value", "an output has no value before the run")
                    .at(span.clone(), "")
                    .hint("bind it to a port under `inputs`"))
            }
        }
    }

    fn truthy(&self) -> bool {
        match self {
            Self::Json(value) => truthy(value),
            Self::Outputs(_) => true,
        }
    }
}

/// For what is asked before the run, but known only in it.
pub(super) fn run_value(what: &str, span: &Span) -> Diagnostic {
    Diagnostic::error("plan::run-value", format!("{what} is known only during the run"))
        .at(span.clone(), "")
        .hint("the `if` of a stage can ask for it; everything else is fixed before anything runs")
}

impl Scope<'_> {
    /// Looks up every reference of an expression, those in branches that are not taken too.
    pub fn check(&self, expression: &Expression, findings: &mut Vec<Diagnostic>) {
        expression.walk(&mut |part| {
            if let ExpressionKind::Reference(..) = part.kind
                && let Err(error) = self.evaluate(part)
            {
                findings.push(error);
            }
        });
    }

    /// Evaluates an expression.
    pub fn evaluate(&self, expression: &Expression) -> Evaluated<Operand> {
        let span = &expression.span;
        Ok(Operand::Json(match &expression.kind {
            ExpressionKind::Literal(value) => value.clone(),
            ExpressionKind::Reference(context, steps) => return self.lookup(*context, steps, span),
            ExpressionKind::Access(base, steps) => {
                let value = self.evaluate(base)?.json(&base.span)?;
                self.walk(&value, steps, "the value")?.clone()
            }
            ExpressionKind::Not(inner) => (!self.evaluate(inner)?.truthy()).into(),
            ExpressionKind::Binary(operator @ (Operator::And | Operator::Or), left, right) => {
                let found = self.evaluate(left)?;
                let decided = found.truthy() == (*operator == Operator::Or);
                return if decided { Ok(found) } else { self.evaluate(right) };
            }
            ExpressionKind::Binary(operator, left, right) => {
                let left = self.evaluate(left)?.json(&left.span)?;
                let right = self.evaluate(right)?.json(&right.span)?;
                functions::compare(*operator, &left, &right).into()
            }
            ExpressionKind::Call(function, arguments) => {
                let values = arguments
                    .iter()
                    .map(|argument| self.evaluate(argument)?.json(&argument.span))
                    .collect::<Evaluated<Vec<_>>>()?;
                self.call(*function, &values, span)?
            }
        }))
    }

    /// Calls a function; of those that ask the run there is nothing to know yet.
    pub fn call(&self, function: Function, arguments: &[Value], span: &Span) -> Evaluated<Value> {
        if function.is_status() {
            return Err(run_value(&format!("`{}()`", function.word()), span));
        }
        if function == Function::HashFiles {
            let patterns: Vec<String> = arguments.iter().map(functions::text).collect();
            return (self.hash_files)(&patterns).map(Value::String).map_err(|reason| {
                Diagnostic::error("plan::hash-files", format!("`hashFiles`: {reason}")).at(span.clone(), "")
            });
        }
        functions::call(function, arguments, span)
    }

    fn lookup(&self, context: Context, steps: &[Step], span: &Span) -> Evaluated<Operand> {
        let value = match context {
            Context::Params => match self.walk(self.params, steps, "params") {
                Err(_) if self.gaps.params => return Err(follow_up()),
                found => found?.clone(),
            },
            Context::Git => self.walk(self.git, steps, "git")?.clone(),
            Context::Host => {
                let (key, rest) = self.first(steps, span, "host")?;
                let found = self.host.get(&key).ok_or_else(|| {
                    unknown("host", &key, span, self.host.keys().map(String::as_str)).maybe_hint(
                        self.host.is_empty().then(|| "no stage program reports facts here".to_owned()),
                    )
                })?;
                self.walk(found, rest, &format!("host.{key}"))?.clone()
            }
            Context::Env => {
                let (key, _) = self.first(steps, span, "env")?;
                let found = self.env.get(&key).ok_or_else(|| {
                    if self.gaps.env {
                        return follow_up();
                    }
                    unknown("env", &key, span, self.env.keys().map(String::as_str))
                        .maybe_hint(self.env.is_empty().then(|| "declare variables under `env:`".to_owned()))
                })?;
                found.as_str().into()
            }
            Context::Matrix => {
                let (key, rest) = self.first(steps, span, "matrix")?;
                let none = || {
                    Diagnostic::error("plan::no-matrix", "`matrix` is used where there is none")
                        .at(span.clone(), "")
                        .hint("give the stage a `matrix`")
                };
                let (combination, keys) =
                    self.matrix.filter(|(_, keys)| !keys.is_empty()).ok_or_else(none)?;
                match combination.iter().find(|(name, _)| *name == key) {
                    Some((_, found)) => self.walk(found, rest, &format!("matrix.{key}"))?.clone(),
                    // A key that `include` gives to other combinations only.
                    None if keys.contains(&key) => Value::Null,
                    None => return Err(unknown("matrix", &key, span, keys.iter().map(String::as_str))),
                }
            }
            Context::Stages => {
                let stages = self.stages.ok_or_else(|| {
                    Diagnostic::error(
                        "plan::output-value",
                        "outputs of stages can't be referred to outside of a stage",
                    )
                    .at(span.clone(), "")
                    .hint("bind them to ports under `inputs`")
                })?;
                return stages.outputs(steps, span, self).map(Operand::Outputs);
            }
            Context::Run => {
                let name = match steps {
                    [Step::Key(key), ..] => format!("`run.{}`", key.value),
                    _ => "`run`".to_owned(),
                };
                return Err(run_value(&name, span).hint(
                    "it would change the action key with every run; a variable under `env` can be \"${{ run.id }}\", and `if` can ask for it",
                ));
            }
            Context::Secrets => {
                return Err(Diagnostic::error("plan::secret", "a secret can't be read by an expression")
                    .at(span.clone(), "it would enter the action key, the logs and the lineage")
                    .hint(match steps {
                        [Step::Key(key)] => format!(
                            "write `secrets: [{0}]` in the stage; its program finds the value in the variable `{0}`",
                            key.value
                        ),
                        _ => "list names under `secrets` of the stage; its program finds the values in its environment".to_owned(),
                    }));
            }
        };
        Ok(Operand::Json(value))
    }

    /// The first key behind a context, and what follows.
    fn first<'s>(&self, steps: &'s [Step], span: &Span, context: &str) -> Evaluated<(String, &'s [Step])> {
        let key = match steps.first() {
            Some(Step::Key(key)) => Some(key.value.clone()),
            Some(Step::Index(index)) => self.evaluate(index)?.json(&index.span)?.as_str().map(str::to_owned),
            Some(Step::Select(_)) | None => None,
        };
        key.map(|key| (key, &steps[1..])).ok_or_else(|| {
            Diagnostic::error("plan::unknown-reference", format!("`{context}` needs a name behind it"))
                .at(span.clone(), "")
                .hint(format!("write `{context}.<name>`"))
        })
    }

    /// The way into a value; what is not there is an error.
    pub fn walk<'v>(&self, root: &'v Value, steps: &[Step], name: &str) -> Evaluated<&'v Value> {
        let mut value = root;
        let mut name = name.to_owned();
        for step in steps {
            let (key, span) = match step {
                Step::Key(key) => (Value::from(key.as_str()), &key.span),
                Step::Index(index) => (self.evaluate(index)?.json(&index.span)?, &index.span),
                Step::Select(_) => (Value::Null, &(0..0)),
            };
            let found = match (value, &key) {
                (Value::Object(map), Value::String(key)) => {
                    map.get(key).ok_or_else(|| unknown(&name, key, span, map.keys().map(String::as_str)))?
                }
                (Value::Array(items), Value::Number(index)) => {
                    let position = index.as_u64().and_then(|index| usize::try_from(index).ok());
                    position.and_then(|position| items.get(position)).ok_or_else(|| {
                        Diagnostic::error(
                            "plan::unknown-reference",
                            format!("`{name}` has {} items, none at {index}", items.len()),
                        )
                        .at(span.clone(), "")
                    })?
                }
                _ => {
                    return Err(Diagnostic::error(
                        "plan::unknown-reference",
                        format!("`{name}` is {}, which has no `{}`", kind(value), shown(&key)),
                    )
                    .at(span.clone(), ""));
                }
            };
            name = match &key {
                Value::String(key) => format!("{name}.{key}"),
                other => format!("{name}[{other}]"),
            };
            value = found;
        }
        Ok(value)
    }

    /// `host.tensorrt = false, params.fast = true`: what a condition was decided by.
    pub fn evidence(&self, expression: &Expression) -> String {
        let mut parts: Vec<String> = Vec::new();
        expression.walk(&mut |part| {
            if let ExpressionKind::Reference(context, steps) = &part.kind
                && let Ok(Operand::Json(value)) = self.evaluate(part)
            {
                let steps: String = steps
                    .iter()
                    .map(|step| match step {
                        Step::Key(key) => format!(".{}", key.value),
                        Step::Index(_) => "[…]".to_owned(),
                        Step::Select(selector) => selector.to_string(),
                    })
                    .collect();
                let value =
                    if let Value::String(text) = &value { format!("'{text}'") } else { value.to_string() };
                let evidence = format!("{}{steps} = {value}", context.word());
                if !parts.contains(&evidence) {
                    parts.push(evidence);
                }
            }
        });
        parts.join(", ")
    }
}

fn unknown<'k>(
    name: &str,
    key: &str,
    span: &Span,
    known: impl IntoIterator<Item = &'k str> + Clone,
) -> Diagnostic {
    Diagnostic::error("plan::unknown-reference", format!("`{name}` has no `{key}`"))
        .at(span.clone(), "")
        .maybe_hint(suggestion(key, known))
}
