//! `if:` as written → decided, or a rule for the run with everything known filled in.

use serde_json::Value;

use crate::{
    plan::{
        evaluate::{Evaluated, Scope, follow_up, run_value, truthy},
        functions,
        instances::{Asked, Instance, Instances, Question},
        targets,
    },
    spec::{
        Diagnostic,
        expression::{Context, Expression, ExpressionKind, Function, Operator, Step},
        types::{self, Span},
    },
};

use super::{Condition, Rule, Subject, is_false};

/// What the plan makes of an `if:`.
pub(in crate::plan) enum Decided {
    Runs,
    /// With the reason.
    Skipped(String),
    /// By the run; the instances it asks, with the places that name them.
    Later(Condition, Vec<(usize, Span)>),
}

/// Decides a condition, or prepares it for the run.
pub(in crate::plan) fn decide(
    written: &types::Condition,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Decided> {
    let mut folding = Folding { scope, asked: Vec::new(), findings, failed: false };
    let rule = folding.fold(&written.expression);
    let (asked, failed) = (folding.asked, folding.failed);
    let rule = rule.filter(|_| !failed)?;
    let mut asks_status = false;
    written.expression.walk(&mut |part| {
        asks_status |= matches!(part.kind, ExpressionKind::Call(function, _) if function.is_status());
    });
    let known = scope.evidence(&written.expression);
    match rule {
        Rule::Value(value) if !truthy(&value) => Some(Decided::Skipped(is_false(&written.text, &known))),
        Rule::Value(_) if !asks_status => Some(Decided::Runs),
        rule => {
            // A branch that was not taken asks nothing.
            let mut asks = Vec::new();
            rule.walk(&mut |rule| {
                if let Rule::Result(subject) | Rule::Metric(subject, _) = rule {
                    for stage in &subject.stages {
                        if !asks.contains(stage) {
                            asks.push(stage.clone());
                        }
                    }
                }
            });
            let instances = scope.stages?;
            let mut edges = asked;
            edges.retain(|(index, _)| asks.contains(&instances.all[*index].id));
            let condition = Condition { text: written.text.clone(), asks_status, asks, known, rule };
            Some(Decided::Later(condition, edges))
        }
    }
}

struct Folding<'a, 's> {
    scope: &'a Scope<'s>,
    asked: Vec<(usize, Span)>,
    findings: &'a mut Vec<Diagnostic>,
    failed: bool,
}

impl Folding<'_, '_> {
    /// Both sides of everything are looked at, those that are not taken too.
    fn fold(&mut self, expression: &Expression) -> Option<Rule> {
        match self.attempt(expression) {
            Ok(rule) => rule,
            Err(error) => {
                self.failed = true;
                self.findings.push(error);
                None
            }
        }
    }

    fn attempt(&mut self, expression: &Expression) -> Evaluated<Option<Rule>> {
        let span = &expression.span;
        let value = |rule: &Option<Rule>| match rule {
            Some(Rule::Value(value)) => Some(value.clone()),
            _ => None,
        };
        Ok(match &expression.kind {
            ExpressionKind::Literal(value) => Some(Rule::Value(value.clone())),
            ExpressionKind::Reference(Context::Stages, steps) => self.stages(steps, span)?,
            ExpressionKind::Reference(Context::Run, steps) => match &steps[..] {
                [Step::Key(key)] if key.value == "id" => Some(Rule::RunId),
                _ => return Err(run_context(steps, span)),
            },
            ExpressionKind::Reference(..) => Some(Rule::Value(self.scope.evaluate(expression)?.json(span)?)),
            ExpressionKind::Not(inner) => self.fold(inner).map(|inner| match inner {
                Rule::Value(value) => Rule::Value((!truthy(&value)).into()),
                inner => Rule::Not(Box::new(inner)),
            }),
            ExpressionKind::Binary(operator @ (Operator::And | Operator::Or), left, right) => {
                let (left, right) = (self.fold(left), self.fold(right));
                let or = *operator == Operator::Or;
                match left.zip(right) {
                    Some((Rule::Value(left), right)) => {
                        Some(if truthy(&left) == or { Rule::Value(left) } else { right })
                    }
                    Some((left, right)) if or => Some(Rule::Either(Box::new(left), Box::new(right))),
                    Some((left, right)) => Some(Rule::Both(Box::new(left), Box::new(right))),
                    None => None,
                }
            }
            ExpressionKind::Binary(operator, left, right) => {
                let (left, right) = (self.fold(left), self.fold(right));
                match (value(&left), value(&right)) {
                    (Some(left), Some(right)) => {
                        Some(Rule::Value(functions::compare(*operator, &left, &right).into()))
                    }
                    _ => left
                        .zip(right)
                        .map(|(left, right)| Rule::Compare(*operator, Box::new(left), Box::new(right))),
                }
            }
            ExpressionKind::Call(Function::Always, _) => Some(Rule::Value(true.into())),
            ExpressionKind::Call(function, _) if function.is_status() => Some(Rule::Status(*function)),
            ExpressionKind::Call(function, arguments) => {
                let rules: Vec<_> = arguments.iter().map(|argument| self.fold(argument)).collect();
                let values: Option<Vec<Value>> = rules.iter().map(value).collect();
                match values {
                    Some(values) => Some(Rule::Value(self.scope.call(*function, &values, span)?)),
                    None if *function == Function::HashFiles => {
                        return Err(run_value("what `hashFiles()` looks for", span));
                    }
                    None => {
                        let rules = rules.into_iter().collect::<Option<Vec<_>>>();
                        rules.map(|rules| Rule::Call(*function, rules, span.clone()))
                    }
                }
            }
            ExpressionKind::Access(base, steps) => {
                let base = self.fold(base);
                if let Some(Rule::Value(found)) = &base {
                    return Ok(Some(Rule::Value(self.scope.walk(found, steps, "the value")?.clone())));
                }
                let steps: Vec<_> = steps
                    .iter()
                    .map(|step| match step {
                        Step::Key(key) => Some(Rule::Value(key.as_str().into())),
                        Step::Index(index) => self.fold(index),
                        Step::Select(_) => None,
                    })
                    .collect();
                let steps = steps.into_iter().collect::<Option<Vec<_>>>();
                base.zip(steps).map(|(base, steps)| Rule::Pick(Box::new(base), steps))
            }
        })
    }

    fn stages(&mut self, steps: &[Step], span: &Span) -> Evaluated<Option<Rule>> {
        let Some(instances) = self.scope.stages else { return Err(follow_up()) };
        let Question { instances: found, list, words, asked } = instances.asked(steps, span, self.scope)?;
        self.asked.extend(found.iter().map(|index| (*index, span.clone())));
        let stages = found.iter().map(|index| instances.all[*index].id.clone()).collect();
        let subject = Subject { stages, list, words };
        Ok(Some(match asked {
            Asked::Result => Rule::Result(subject),
            Asked::Metric(name) => Rule::Metric(subject, name),
        }))
    }
}

/// What `run` has, where a condition asks for something else.
fn run_context(steps: &[Step], span: &Span) -> Diagnostic {
    let hint = match steps {
        [Step::Key(key)] if key.value == "attempt" => {
            "a condition is decided before the first attempt; `run.attempt` is for `env`"
        }
        _ => "a condition can ask for `run.id`",
    };
    Diagnostic::error("plan::unknown-reference", "`run` has nothing of this name for a condition")
        .at(span.clone(), "")
        .hint(hint)
}

/// What is odd about a condition once its stage is bound: `failure()` with nothing to fail, metrics that no manifest lists.
pub(in crate::plan) fn check(
    condition: &Condition,
    instance: &Instance<'_>,
    depends: bool,
    instances: &Instances<'_>,
    findings: &mut Vec<Diagnostic>,
    warnings: &mut Vec<String>,
) {
    let name = &instance.spec.name.value;
    if let Some(function) = condition.needs_dependencies().filter(|_| !depends)
        && let Some(written) = &instance.spec.condition
    {
        findings.push(
            Diagnostic::error(
                "plan::condition",
                format!(
                    "`{}()` asks what stage `{name}` depends on, and it depends on nothing",
                    function.word()
                ),
            )
            .at(written.span.clone(), "would be decided before anything has run")
            .hint("name the stages it looks at: `needs: [<stage>]`"),
        );
    }
    for (stage, metric) in condition.metrics() {
        let asked = instances.all.iter().find(|instance| instance.id == *stage);
        let Some(program) = asked.and_then(|asked| asked.program) else { continue };
        if let Some(hint) = targets::unlisted(&program.manifest, metric) {
            warnings.push(format!(
                "`if` of stage `{name}`: the manifest of stage `{stage}` lists no metric `{metric}`; {hint}"
            ));
        }
    }
}
