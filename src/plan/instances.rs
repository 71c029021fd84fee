//! The stages of a pipeline after its matrices are expanded, and how they are found by name.

use std::{collections::HashMap, ffi::OsStr, path::Path};

use serde_json::Value;
use stagewright_protocol::Manifest;

use crate::spec::{
    Diagnostic,
    expression::{Selector, StageReference, Step, WantedValue},
    nearest::{list, suggestion},
    types::{Name, PipelineSpec, Span, StageSpec},
};

use super::{
    Out, Program, StageId,
    command::{self, ANY},
    evaluate::{Evaluated, Scope, follow_up, run_value, shown},
    matrix::{self, Combination},
};

/// One combination of one declared stage.
pub(super) struct Instance<'a> {
    pub spec: &'a StageSpec,
    pub id: StageId,
    pub combination: Combination,
    /// None where the catalog has no such program; that was reported.
    pub program: Option<&'a Program>,
    /// Paths of the work tree that it writes itself, each with its place in the file.
    pub outs: &'a [(Out, Span)],
}

/// An output of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutputReference {
    /// Index of the instance.
    pub instance: usize,
    /// Output port; it exists where the producer's program is known.
    pub port: String,
}

/// All instances, in the order of the file.
pub(super) struct Instances<'a> {
    pub all: Vec<Instance<'a>>,
    stages: HashMap<&'a str, Declared>,
    names: Vec<&'a str>,
    /// Stages may be missing.
    gap: bool,
}

/// Instances of a declared stage.
struct Declared {
    instances: std::ops::Range<usize>,
    /// Keys that any combination has.
    keys: Vec<String>,
    matrix: bool,
    /// It could not be read, so nothing is said of how it is referred to.
    broken: bool,
}

impl<'a> Instances<'a> {
    /// Expands all stages.
    pub fn new(
        spec: &'a PipelineSpec,
        program: impl Fn(&'a StageSpec) -> Option<&'a Program>,
        scope: &Scope<'_>,
        findings: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut found = Self {
            all: Vec::new(),
            stages: HashMap::new(),
            names: spec.stages.iter().map(|s| s.name.as_str()).collect(),
            gap: spec.gaps.stages,
        };
        for spec in &spec.stages {
            let program = program(spec);
            let start = found.all.len();
            let mut keys: Vec<String> = Vec::new();
            let combinations = if spec.broken { Vec::new() } else { matrix::expand(spec, scope, findings) };
            for combination in combinations {
                for (key, _) in &combination {
                    if !keys.contains(key) {
                        keys.push(key.clone());
                    }
                }
                found.all.push(Instance {
                    spec,
                    id: matrix::id(spec, &combination),
                    combination,
                    program,
                    outs: &[],
                });
            }
            let declared = Declared {
                instances: start..found.all.len(),
                keys,
                matrix: spec.matrix.is_some(),
                broken: spec.broken,
            };
            found.stages.insert(spec.name.as_str(), declared);
        }
        found
    }

    /// There is a stage of this name.
    pub fn declares(&self, stage: &str) -> bool {
        self.stages.contains_key(stage)
    }

    /// Gives instances what they declare in the work tree.
    pub fn fill(&mut self, declared: &'a [Option<command::Declared>]) {
        for (instance, declared) in self.all.iter_mut().zip(declared) {
            let Some(declared) = declared else { continue };
            instance.outs = &declared.outs;
            instance.program = declared.program.as_ref();
        }
    }

    /// Keys of the matrix of a stage.
    pub fn keys(&self, stage: &str) -> &[String] {
        self.stages.get(stage).map_or(&[], |declared| &declared.keys)
    }

    /// `stages.<stage>[…].outputs.<port>` → the outputs meant.
    pub fn outputs(&self, steps: &[Step], span: &Span, scope: &Scope<'_>) -> Evaluated<Vec<OutputReference>> {
        let Named { stage, selector, rest } = named(steps, span)?;
        let instances = self.select(stage, selector, scope)?;
        let port = match rest {
            [Step::Key(section), Step::Key(port)] if section.value == "outputs" => port,
            [Step::Key(section), ..] if matches!(section.value.as_str(), "result" | "metrics") => {
                return Err(run_value(&format!("`stages.{}.{}`", stage.value, section.value), span));
            }
            [Step::Key(section), ..] if section.value != "outputs" => {
                return Err(Diagnostic::error(
                    "plan::unknown-reference",
                    format!("`stages.{}` has no `{}`", stage.value, section.value),
                )
                .at(section.span.clone(), "")
                .hint(sections(stage)));
            }
            _ => {
                return Err(incomplete(&format!("`stages.{}` needs an output behind it", stage.value), span)
                    .maybe_hint(self.ports_of(&instances)));
            }
        };
        let mut found = Vec::new();
        for instance in instances {
            let program = self.all[instance].program;
            let port_of = |program: &Program| port_named(&program.manifest, &port.value);
            if let Some(name) = program.map_or(Some(port.value.clone()), port_of) {
                found.push(OutputReference { instance, port: name });
            } else if let Some(program) = program {
                let known = program.manifest.outputs.keys().map(String::as_str);
                return Err(Diagnostic::error(
                    "plan::unknown-port",
                    format!(
                        "stage `{}` ({}) has no output `{}`",
                        stage.value, program.manifest.name, port.value
                    ),
                )
                .at(port.span.clone(), "")
                .maybe_hint(suggestion(&port.value, known)));
            }
        }
        Ok(found)
    }

    /// `stages.<stage>[…].result` or `….metrics.<name>` → the stages meant and what is asked of them.
    pub fn asked(&self, steps: &[Step], span: &Span, scope: &Scope<'_>) -> Evaluated<Question> {
        let Named { stage, selector, rest } = named(steps, span)?;
        let instances = self.select(stage, selector, scope)?;
        let list = matches!(selector, Some(Selector::All)) || instances.len() > 1;
        let name = match selector {
            Some(selector) => format!("{}{selector}", stage.value),
            None => stage.value.clone(),
        };
        let (asked, section) = match rest {
            [Step::Key(section)] if section.value == "result" => (Asked::Result, "result".to_owned()),
            // Names of metrics have dots in them: `stages.bench.metrics.int8.top1`.
            [Step::Key(section), keys @ ..] if section.value == "metrics" && !keys.is_empty() => {
                let keys: Option<Vec<&str>> = keys
                    .iter()
                    .map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None })
                    .collect();
                let metric = keys
                    .ok_or_else(|| {
                        Diagnostic::error("plan::unknown-reference", "the name of a metric is written out")
                            .at(span.clone(), "")
                            .hint(format!("write `stages.{name}.metrics.<name>`"))
                    })?
                    .join(".");
                (Asked::Metric(metric.clone()), format!("metrics.{metric}"))
            }
            [Step::Key(section), ..] if section.value == "outputs" => {
                return Err(Diagnostic::error(
                    "plan::output-value",
                    "an output has no value that a condition could ask for",
                )
                .at(span.clone(), "")
                .hint(format!("ask for `stages.{name}.result` or for one of its metrics")));
            }
            [Step::Key(section)] if section.value == "metrics" => {
                return Err(incomplete(&format!("`stages.{name}.metrics` needs the name of a metric"), span)
                    .hint(format!("write `stages.{name}.metrics.<name>`")));
            }
            [Step::Key(section), ..] => {
                return Err(Diagnostic::error(
                    "plan::unknown-reference",
                    format!("`stages.{}` has no `{}`", stage.value, section.value),
                )
                .at(section.span.clone(), "")
                .hint(sections(stage)));
            }
            _ => {
                return Err(incomplete(&format!("`stages.{}` needs a word behind it", stage.value), span)
                    .hint(sections(stage)));
            }
        };
        Ok(Question { instances, list, words: format!("stages.{name}.{section}"), asked })
    }

    /// A reference outside of an expression.
    pub fn referred(&self, reference: &StageReference, scope: &Scope<'_>) -> Evaluated<Vec<usize>> {
        self.select(&reference.stage, reference.selector.as_ref(), scope)
    }

    fn select(&self, stage: &Name, selector: Option<&Selector>, scope: &Scope<'_>) -> Evaluated<Vec<usize>> {
        let declared = self.stages.get(stage.as_str()).ok_or_else(|| {
            if self.gap {
                return follow_up();
            }
            Diagnostic::error("plan::unknown-stage", format!("there is no stage `{}`", stage.value))
                .at(stage.span.clone(), "")
                .maybe_hint(suggestion(&stage.value, self.names.iter().copied()))
        })?;
        // So is one whose matrix was refused.
        if declared.broken || declared.instances.is_empty() {
            return Err(follow_up());
        }
        let all = declared.instances.clone();
        let name = &stage.value;
        let wanted = match selector {
            None if declared.matrix => {
                let example = self.all[all].first().map_or_else(|| name.clone(), |first| first.id.0.clone());
                return Err(Diagnostic::error(
                    "plan::matrix-reference",
                    format!("`{name}` is a matrix of stages"),
                )
                .at(stage.span.clone(), "which of them?")
                .hint(format!("write `{name}[*]` for all, or for example `{example}`")));
            }
            None => return Ok(all.collect()),
            Some(_) if !declared.matrix => {
                return Err(Diagnostic::error(
                    "plan::matrix-reference",
                    format!("stage `{name}` has no matrix"),
                )
                .at(stage.span.clone(), "")
                .hint(format!("write `{name}` without brackets")));
            }
            Some(Selector::All) => return Ok(all.collect()),
            Some(Selector::Where(wanted)) => wanted,
        };
        let mut conditions = Vec::new();
        for (axis, value) in wanted {
            if !declared.keys.contains(&axis.value) {
                return Err(Diagnostic::error(
                    "plan::matrix-reference",
                    format!("the matrix of stage `{name}` has no `{}`", axis.value),
                )
                .at(axis.span.clone(), "")
                .maybe_hint(suggestion(&axis.value, declared.keys.iter().map(String::as_str))));
            }
            let text = match value {
                WantedValue::Text(text) => text.clone(),
                WantedValue::Matrix(key) => {
                    let own =
                        scope.matrix.and_then(|(own, _)| own.iter().find(|(name, _)| *name == key.value));
                    let (_, own) = own.ok_or_else(|| {
                        Diagnostic::error(
                            "plan::no-matrix",
                            format!("this stage's matrix has no `{}`", key.value),
                        )
                        .at(key.span.clone(), "")
                    })?;
                    shown(own)
                }
            };
            conditions.push((&axis.value, text));
        }
        let fits = |instance: &usize| {
            conditions.iter().all(|(axis, text)| {
                let has = |(key, value): &(String, Value)| key == *axis && same(value, text);
                self.all[*instance].combination.iter().any(has)
            })
        };
        let found: Vec<usize> = all.clone().filter(fits).collect();
        if found.is_empty() {
            let ids: Vec<_> = self.all[all].iter().map(|instance| instance.id.0.as_str()).collect();
            return Err(Diagnostic::error(
                "plan::matrix-reference",
                format!("the matrix of stage `{name}` has no such combination"),
            )
            .at(wanted.first().map_or(stage.span.clone(), |(axis, _)| axis.span.clone()), "")
            .hint(format!("there is {}", list(ids))));
        }
        Ok(found)
    }

    fn ports_of(&self, instances: &[usize]) -> Option<String> {
        let program = self.all[*instances.first()?].program?;
        Some(format!("it has {}", list(program.manifest.outputs.keys().map(String::as_str))))
    }
}

/// The port called so; what a stage writes in the work tree can also be called by its file name, with or without extension, where
/// only one has it.
fn port_named(manifest: &Manifest, name: &str) -> Option<String> {
    if manifest.outputs.contains_key(name) {
        return Some(name.to_owned());
    }
    let is = |part: Option<&OsStr>| part.is_some_and(|part| part == name);
    let fits = |port: &&String| is(Path::new(port).file_name()) || is(Path::new(port).file_stem());
    let mut fitting = manifest
        .outputs
        .iter()
        .filter(|(_, port)| port.artifact_type == ANY)
        .map(|(name, _)| name)
        .filter(fits);
    fitting.next().filter(|_| fitting.next().is_none()).cloned()
}

/// What a condition asks of stages.
pub(super) enum Asked {
    /// `result`.
    Result,
    /// A metric.
    Metric(String),
}

/// A question of a condition.
pub(super) struct Question {
    /// Indices of the instances it is put to.
    pub instances: Vec<usize>,
    /// Its value is a list, one item an instance.
    pub list: bool,
    /// As written.
    pub words: String,
    pub asked: Asked,
}

/// A reference with its parts told apart.
struct Named<'s> {
    stage: &'s Name,
    selector: Option<&'s Selector>,
    rest: &'s [Step],
}

fn named<'s>(steps: &'s [Step], span: &Span) -> Evaluated<Named<'s>> {
    match steps {
        [Step::Key(stage), Step::Select(selector), rest @ ..] => {
            Ok(Named { stage, selector: Some(selector), rest })
        }
        [Step::Key(stage), rest @ ..] => Ok(Named { stage, selector: None, rest }),
        _ => Err(incomplete("`stages` needs the name of a stage behind it", span)),
    }
}

fn sections(stage: &Name) -> String {
    let name = &stage.value;
    format!(
        "write `stages.{name}.outputs.<port>`; `if` can also ask for `stages.{name}.result` and `stages.{name}.metrics.<name>`"
    )
}

fn incomplete(message: &str, span: &Span) -> Diagnostic {
    Diagnostic::error("plan::unknown-reference", message)
        .at(span.clone(), "")
        .hint("write `stages.<stage>.outputs.<port>`")
}

/// A value of a combination against one written in brackets: `1e-3` is `0.001`.
fn same(value: &Value, text: &str) -> bool {
    shown(value) == text || value.as_f64().is_some_and(|number| text.parse() == Ok(number))
}
