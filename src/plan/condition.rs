//! An `if:` that only the run can decide: what is known before is filled in, the rest is asked when its stages have ended.
//!
//! The words are GitHub's. `success()` holds when every stage it depends on has a result and nothing that those depend on failed;
//! `failure()` when something failed that it depends on, directly or through others. A condition without a status function (`success()`, `failure()`, `always()`, `cancelled()`) is
//! asked once what the stage itself reads, needs and asks has a result: a stage that ran in spite of a failure, by its own
//! `if`, has dealt with it for those behind it. `stages.x.result` is `success`, `failure`, `cancelled` or `skipped`, a stage that
//! was blocked counting as skipped.

mod fold;

use std::{borrow::Cow, fmt};

use serde_json::Value;

use crate::spec::{
    expression::{Function, Operator},
    types::Span,
};

use super::{StageId, evaluate::truthy, functions};
pub(super) use fold::{Decided, check, decide};

/// How a stage ended, as conditions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageResult {
    /// It has a result, made or reused.
    Success,
    /// It failed.
    Failure,
    /// It was cancelled.
    Cancelled,
    /// It was skipped, blocked, or not asked for.
    Skipped,
}

/// What a condition asks of a run. None: that is not decided yet.
pub trait RunView {
    /// How a stage ended.
    fn result(&self, stage: &StageId) -> Option<StageResult>;
    /// A metric of a stage that has a result: none inside where it has none or reports no such metric. An error is for the
    /// person who wrote the condition.
    fn metric(&self, stage: &StageId, name: &str) -> Option<Result<Option<f64>, String>>;
    /// `success()`, `failure()` or `cancelled()` for the stage whose condition it is.
    fn status(&self, function: Function) -> Option<bool>;
    /// Id of the run.
    fn run(&self) -> Option<String>;
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It holds, by this evidence (which may be empty).
    Holds(String),
    /// It does not, by this evidence.
    Fails(String),
    /// Something it asks is not decided yet.
    Open,
    /// It can't be decided: what is wrong.
    Faulty(String),
}

/// A condition for the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// As written.
    pub text: String,
    /// There is a status function in it, so it is asked even if something the stage depends on has no result.
    pub asks_status: bool,
    /// Stages whose result or metrics it asks, without repetition.
    pub asks: Vec<StageId>,
    /// What of it was known before the run, in words.
    known: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Value(Value),
    Status(Function),
    Result(Subject),
    Metric(Subject, String),
    RunId,
    Not(Box<Rule>),
    Both(Box<Rule>, Box<Rule>),
    Either(Box<Rule>, Box<Rule>),
    Compare(Operator, Box<Rule>, Box<Rule>),
    Call(Function, Vec<Rule>, Span),
    Pick(Box<Rule>, Vec<Rule>),
}

/// One stage, or a list of the stages of a matrix.
#[derive(Debug, Clone, PartialEq)]
struct Subject {
    stages: Vec<StageId>,
    list: bool,
    /// As written, for evidence.
    words: String,
}

/// Reason of a stage whose condition does not hold.
fn is_false(text: &str, evidence: &str) -> String {
    if evidence.is_empty() {
        format!("`if: {text}`")
    } else {
        format!("`if: {text}` is false here: {evidence}")
    }
}

impl Rule {
    /// Calls `visit` with this rule and all inside it.
    fn walk<'r>(&'r self, visit: &mut dyn FnMut(&'r Self)) {
        visit(self);
        match self {
            Self::Value(_) | Self::Status(_) | Self::RunId | Self::Result(_) | Self::Metric(..) => {}
            Self::Not(inner) => inner.walk(visit),
            Self::Both(left, right) | Self::Either(left, right) | Self::Compare(_, left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
            Self::Call(_, rules, _) => rules.iter().for_each(|rule| rule.walk(visit)),
            Self::Pick(base, steps) => {
                base.walk(visit);
                steps.iter().for_each(|rule| rule.walk(visit));
            }
        }
    }
}

/// Why asking ended without a value.
enum Stop {
    Open,
    Faulty(String),
}

struct Asking<'a> {
    view: &'a dyn RunView,
    evidence: Vec<String>,
}

impl Asking<'_> {
    fn saw(&mut self, what: &str, value: &Value) {
        let value = if let Value::String(text) = value { format!("'{text}'") } else { value.to_string() };
        let line = format!("{what} = {value}");
        if !self.evidence.contains(&line) {
            self.evidence.push(line);
        }
    }

    fn of(
        &mut self,
        subject: &Subject,
        one: impl Fn(&dyn RunView, &StageId) -> Result<Value, Stop>,
    ) -> Result<Value, Stop> {
        let values: Vec<Value> =
            subject.stages.iter().map(|stage| one(self.view, stage)).collect::<Result<_, _>>()?;
        let value =
            if subject.list { Value::Array(values) } else { values.into_iter().next().unwrap_or_default() };
        self.saw(&subject.words, &value);
        Ok(value)
    }

    fn ask<'r>(&mut self, rule: &'r Rule) -> Result<Cow<'r, Value>, Stop> {
        Ok(Cow::Owned(match rule {
            Rule::Value(value) => return Ok(Cow::Borrowed(value)),
            Rule::Status(function) => {
                let value = self.view.status(*function).ok_or(Stop::Open)?.into();
                self.saw(&format!("{}()", function.word()), &value);
                value
            }
            Rule::Result(subject) => {
                self.of(subject, |view, stage| Ok(view.result(stage).ok_or(Stop::Open)?.to_string().into()))?
            }
            Rule::Metric(subject, name) => {
                self.of(subject, |view, stage| match view.metric(stage, name).ok_or(Stop::Open)? {
                    Ok(value) => Ok(value.map_or(Value::Null, Value::from)),
                    Err(why) => Err(Stop::Faulty(why)),
                })?
            }
            Rule::RunId => self.view.run().ok_or(Stop::Open)?.into(),
            Rule::Not(inner) => (!truthy(&*self.ask(inner)?)).into(),
            Rule::Both(left, right) => {
                let left = self.ask(left)?;
                return if truthy(&left) { self.ask(right) } else { Ok(left) };
            }
            Rule::Either(left, right) => {
                let left = self.ask(left)?;
                return if truthy(&left) { Ok(left) } else { self.ask(right) };
            }
            Rule::Compare(operator, left, right) => {
                let (left, right) = (self.ask(left)?, self.ask(right)?);
                functions::compare(*operator, &left, &right).into()
            }
            Rule::Call(function, rules, span) => {
                let values = rules
                    .iter()
                    .map(|rule| Ok(self.ask(rule)?.into_owned()))
                    .collect::<Result<Vec<_>, Stop>>()?;
                functions::call(*function, &values, span).map_err(|error| Stop::Faulty(error.message))?
            }
            Rule::Pick(base, steps) => {
                let mut value = self.ask(base)?.into_owned();
                for step in steps {
                    let key = self.ask(step)?;
                    value = pick(value, &key);
                }
                value
            }
        }))
    }
}

/// As GitHub does: what is not there is null.
fn pick(value: Value, key: &Value) -> Value {
    match (value, key) {
        (Value::Object(mut map), Value::String(key)) => map.remove(key).unwrap_or_default(),
        (Value::Array(items), Value::Number(index)) => index
            .as_u64()
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| items.into_iter().nth(index))
            .unwrap_or_default(),
        _ => Value::Null,
    }
}

impl Condition {
    /// Asks a run.
    pub fn ask(&self, view: &dyn RunView) -> Decision {
        let mut asking = Asking { view, evidence: Vec::new() };
        let value = match asking.ask(&self.rule) {
            Ok(value) => truthy(&value),
            Err(Stop::Open) => return Decision::Open,
            Err(Stop::Faulty(why)) => return Decision::Faulty(why),
        };
        let mut evidence = asking.evidence;
        if !self.known.is_empty() {
            evidence.insert(0, self.known.clone());
        }
        let evidence = evidence.join(", ");
        if value { Decision::Holds(evidence) } else { Decision::Fails(is_false(&self.text, &evidence)) }
    }

    /// A function that has nothing to go by where the stage depends on nothing.
    pub(super) fn needs_dependencies(&self) -> Option<Function> {
        let mut found = None;
        self.rule.walk(&mut |rule| {
            if let Rule::Status(function @ (Function::Failure | Function::Cancelled)) = rule {
                found.get_or_insert(*function);
            }
        });
        found
    }

    /// It asks for what all that the stage depends on has come to.
    pub fn asks_dependencies(&self) -> bool {
        let mut found = false;
        self.rule.walk(&mut |rule| found |= matches!(rule, Rule::Status(_)));
        found
    }

    /// Metrics it asks for, by stage.
    pub fn metrics(&self) -> Vec<(&StageId, &str)> {
        let mut found = Vec::new();
        self.rule.walk(&mut |rule| {
            if let Rule::Metric(subject, name) = rule {
                found.extend(subject.stages.iter().map(|stage| (stage, name.as_str())));
            }
        });
        found
    }
}

impl fmt::Display for StageResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        })
    }
}
