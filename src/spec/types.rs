//! A pipeline as written: every value with the place it stands at.

use std::{ops::Range, time::Duration};

use super::{
    Sources,
    diagnostic::Diagnostic,
    expression::{Expression, StageReference, Template},
};

/// Byte range among all files of the pipeline; see [`Sources`].
pub type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A name as written: of a stage, port, key or variable.
pub type Name = Spanned<String>;

/// A value as written: YAML with expressions inside its texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(serde_json::Number),
    /// Text without expressions.
    Text(String),
    /// Text with at least one expression.
    Template(Template),
    /// A list.
    List(Vec<Value>),
    /// A map in the order written.
    Map(Vec<(Name, Value)>),
}

/// A whole pipeline: its file and all that it includes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PipelineSpec {
    /// The files it is written in.
    pub sources: Sources,
    /// `name:`; without it the file's name counts.
    pub name: Option<Name>,
    /// `params:`.
    pub params: ParamsSpec,
    /// `env:` of all stages.
    pub env: Vec<(Name, Value)>,
    /// `seed:` of all stages.
    pub seed: Option<Value>,
    /// `defaults:` for stages that do not say otherwise.
    pub defaults: Settings,
    /// `targets:`.
    pub targets: Vec<TargetSpec>,
    /// `search:`.
    pub search: Option<SearchSpec>,
    /// `stages:` in the order written.
    pub stages: Vec<StageSpec>,
    /// What is wrong with its form. There is no plan of a pipeline with errors, but what could be read is checked further.
    pub errors: Vec<Diagnostic>,
    /// Things worth telling that are no errors.
    pub warnings: Vec<Diagnostic>,
    /// Names that may be missing because what declares them could not be read.
    pub gaps: Gaps,
}

/// Kinds of names of which some may be missing: that one of them is not known is then no error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gaps {
    /// Stages.
    pub stages: bool,
    /// Params.
    pub params: bool,
    /// Environment variables.
    pub env: bool,
}

/// Where params come from; they are data, without expressions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParamsSpec {
    /// Maps in the pipeline's files, merged.
    pub inline: Vec<(Name, Value)>,
    /// Files named by `params:`. They override what is inline, a later one an earlier one, map by map.
    pub files: Vec<ParamsFile>,
}

/// A YAML, JSON or TOML file of params.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamsFile {
    /// Path relative to the project root, as written.
    pub name: Name,
    /// What it holds, a map; none where it could not be read.
    pub value: Option<Value>,
}

/// One declared stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSpec {
    /// Its key under `stages:`.
    pub name: Name,
    /// Something in it could not be read, so that what is here may not be what is meant.
    pub broken: bool,
    /// `uses:` or `cmd:`.
    pub work: WorkSpec,
    /// `inputs:` by port.
    pub inputs: Vec<InputSpec>,
    /// `deps:`, paths of the work tree and outputs of stages.
    pub deps: Vec<Value>,
    /// `outs:`, `metrics:` and `plots:`, paths of the work tree that it writes.
    pub outs: Vec<OutSpec>,
    /// `with:`, always a map.
    pub with: Option<Value>,
    /// `outputs:` by port: where the output is placed in the work tree.
    pub outputs: Vec<(Name, Value)>,
    /// `needs:`.
    pub needs: Vec<StageReference>,
    /// `matrix:` or `strategy.matrix:`.
    pub matrix: Option<MatrixSpec>,
    /// `if:`.
    pub condition: Option<Condition>,
    /// `env:`.
    pub env: Vec<(Name, Value)>,
    /// `secrets:`, names of variables.
    pub secrets: Vec<Name>,
    /// `seed:`.
    pub seed: Option<Value>,
    /// `frozen:`, it keeps its last result whatever changes.
    pub frozen: bool,
    /// `always:`, it runs in every run.
    pub always: bool,
    /// What a stage and `defaults:` have in common.
    pub settings: Settings,
}

/// What a stage executes.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkSpec {
    /// A stage program.
    Uses(UsesSpec),
    /// A command for the shell.
    Command(CommandSpec),
}

/// `cmd:` and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandSpec {
    /// Where the command stands.
    pub span: Span,
    /// Its lines; each is run by a shell of its own, the next one only if it succeeds.
    pub lines: Vec<Value>,
    /// `wdir:`, the folder that the command runs in and that paths of `deps` and `outs` are relative to.
    pub folder: Option<Value>,
    /// How the lines are run.
    pub dialect: Dialect,
}

/// How a command is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialect {
    /// By bash with `-e -o pipefail`, in a cleaned environment.
    Native,
    /// As DVC does: by the user's shell, in the user's environment; with what else the result depends on.
    Dvc(DvcSpec),
}

/// What a stage of a `dvc.yaml` says beyond lines, deps and outs.
#[derive(Debug, Clone, PartialEq)]
pub struct DvcSpec {
    /// `cmd:` as DVC notes it in its lock file: a text or a list of texts.
    pub command: serde_json::Value,
    /// Values of params it depends on, by file as named there, then by key as written; in the order of the lock file.
    pub params: Vec<(String, Vec<(String, Value)>)>,
}

/// One path that a stage writes.
#[derive(Debug, Clone, PartialEq)]
pub struct OutSpec {
    /// The path.
    pub path: Value,
    /// What it is to people.
    pub kind: OutKind,
    /// `persist:`, it is not removed before the command runs.
    pub persist: bool,
    /// `cache:`; false keeps it out of DVC's cache. What a stage makes is stored in any case, so that it can be brought back.
    pub cache: bool,
}

/// What an out is to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutKind {
    /// `outs:`.
    Out,
    /// `metrics:`, a file of numbers.
    Metrics,
    /// `plots:`, a file of points.
    Plots,
}

/// How a stage is run; every part may come from `defaults:`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// `resources:`.
    pub resources: ResourcesSpec,
    /// `timeout-minutes:`.
    pub timeout: Option<Duration>,
    /// `silence-minutes:`.
    pub silence: Option<Duration>,
    /// `retry:`.
    pub retry: Option<RetrySpec>,
    /// `cache:`.
    pub cache: Option<bool>,
    /// `continue-on-error:`.
    pub continue_on_error: Option<bool>,
    /// `runs-on:`, labels of a machine for the executors that choose one.
    pub runs_on: Vec<Name>,
}

/// `name` or `name@N`.
#[derive(Debug, Clone, PartialEq)]
pub struct UsesSpec {
    /// Name of the stage program.
    pub program: Name,
    /// Cache version it must have.
    pub cache_version: Option<Spanned<u32>>,
}

/// What is bound to one input port.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// The port.
    pub port: Name,
    /// Where the whole value stands.
    pub span: Span,
    /// Written as a list.
    pub list: bool,
    /// The artifacts.
    pub items: Vec<InputItem>,
}

/// One artifact for a port.
#[derive(Debug, Clone, PartialEq)]
pub struct InputItem {
    /// Where it stands.
    pub span: Span,
    /// Where it comes from.
    pub source: InputSource,
    /// `as:`.
    pub name: Option<Value>,
    /// `role:` of a dataset.
    pub role: Option<Name>,
    /// `type:` of a path.
    pub artifact_type: Option<Name>,
    /// `if:`.
    pub condition: Option<Condition>,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum InputSource {
    /// A bare value: a path, or an expression that gives an output or a path.
    Bare(Value),
    /// `path:`.
    Path(Value),
    /// `from:`, an output of a stage.
    From(Value),
}

/// `if:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Where it stands.
    pub span: Span,
    /// As written, for reasons shown to people.
    pub text: String,
    /// The expression; `true` and `false` are literals.
    pub expression: Expression,
}

/// `matrix:`.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSpec {
    /// Where it stands.
    pub span: Span,
    /// Axes in the order written.
    pub axes: Vec<(Name, Value)>,
    /// `include:`: combinations added, or keys added to combinations.
    pub include: Vec<Value>,
    /// `exclude:`: combinations left out.
    pub exclude: Vec<Value>,
}

/// `resources:`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourcesSpec {
    /// `cpus:`; 0 asks for all.
    pub cpus: Option<u32>,
    /// `memory:` in bytes.
    pub memory: Option<u64>,
    /// `gpus:`.
    pub gpus: Option<u32>,
    /// `exclusive:`.
    pub exclusive: Option<bool>,
    /// `output:`, in bytes.
    pub output: Option<u64>,
    /// `network:`.
    pub network: Option<bool>,
}

/// `retry:`.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySpec {
    /// Runs after the first.
    pub max: u32,
    /// Classes of failure; empty means all.
    pub on: Vec<RetryOn>,
    /// Pause before the first retry.
    pub backoff: Duration,
}

/// A class of failure as written under `retry.on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// `infra`.
    Infra,
    /// `oom`.
    OutOfMemory,
    /// `timeout`.
    Timeout,
    /// `exit-code`.
    ExitCode,
}

/// One gate.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSpec {
    /// Its key under `targets:`.
    pub name: Name,
    /// `on:`.
    pub stage: StageReference,
    /// `metric:`; without it the key is the metric.
    pub metric: Option<Name>,
    /// What the metric has to satisfy.
    pub bound: BoundSpec,
}

/// What a metric has to satisfy.
#[derive(Debug, Clone, PartialEq)]
pub enum BoundSpec {
    /// `max:`.
    AtMost(Value),
    /// `min:`.
    AtLeast(Value),
    /// `max-drop-vs:` with `value:`.
    MaxDrop(MetricReference, Value),
    /// `max-ratio-vs:` with `value:`.
    MaxRatio(MetricReference, Value),
}

/// `search:`.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpec {
    /// Where the key stands.
    pub span: Span,
    /// `over:`, by the place whose value is tried.
    pub over: Vec<(Name, RangeSpec)>,
    /// `trials:`, at least 1.
    pub trials: Option<Spanned<u32>>,
    /// `strategy:`.
    pub strategy: Option<Spanned<Strategy>>,
    /// `seed:`.
    pub seed: Option<Spanned<u32>>,
    /// `minimize:` and `maximize:`.
    pub goals: Vec<GoalSpec>,
    /// Something in it could not be read, so that what is here may not be what is meant.
    pub broken: bool,
}

/// Values to try for one place.
#[derive(Debug, Clone, PartialEq)]
pub enum RangeSpec {
    /// Some values without expressions, at least one.
    Choice(Vec<Value>),
    /// Numbers between two ends, which belong to it.
    Between {
        /// Where the ends stand.
        span: Span,
        /// How they lie.
        scale: Scale,
        /// Whole numbers alone.
        whole: bool,
        /// The smaller end, above 0 on a logarithmic scale.
        low: End,
        /// The larger end, with the same unit.
        high: End,
        /// From one value to the next, above 0.
        step: Option<f64>,
        /// How many values a grid takes, at least 2.
        points: Option<u32>,
    },
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// The number.
    pub value: f64,
    /// Its unit as written.
    pub unit: Option<String>,
}

/// How the numbers of a range lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences count the same.
    Linear,
    /// Equal ratios count the same.
    Log,
}

/// How a search chooses its trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Every combination.
    Grid,
    /// Combinations drawn at random.
    Random,
    /// Combinations near those that turned out well, by a tree-structured Parzen estimator.
    Tpe,
}

/// One metric to be made better.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalSpec {
    /// The metric; its stage is given.
    pub of: MetricReference,
    /// Large values are better, not small ones.
    pub maximize: bool,
}

/// `metric` of the same stage, `stage:metric`, or `stage` for its metric of the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricReference {
    /// Where it stands.
    pub span: Span,
    /// The stage before the colon.
    pub stage: Option<StageReference>,
    /// The whole text as a stage, where there is no colon and it can be one; a metric of that name goes first.
    pub alone: Option<StageReference>,
    /// The metric.
    pub metric: String,
}

impl Gaps {
    /// Anything may be missing.
    pub(super) const ALL: Self = Self { stages: true, params: true, env: true };
}

impl ParamsSpec {
    /// All params, a map.
    pub fn merged(&self) -> serde_json::Value {
        let inline =
            self.inline.iter().map(|(key, value)| (key.value.clone(), value.literal().unwrap_or_default()));
        let mut merged = serde_json::Value::Object(inline.collect());
        for value in self.files.iter().filter_map(|file| file.value.as_ref()?.literal()) {
            overlay(&mut merged, value);
        }
        merged
    }
}

/// Lays one map over another, key by key.
fn overlay(base: &mut serde_json::Value, over: serde_json::Value) {
    match (base, over) {
        (serde_json::Value::Object(base), serde_json::Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl StageSpec {
    /// The stage program it names, if it names one.
    pub fn uses(&self) -> Option<&UsesSpec> {
        match &self.work {
            WorkSpec::Uses(uses) => Some(uses),
            WorkSpec::Command(_) => None,
        }
    }

    /// The command it runs, if it runs one.
    pub fn command(&self) -> Option<&CommandSpec> {
        match &self.work {
            WorkSpec::Command(command) => Some(command),
            WorkSpec::Uses(_) => None,
        }
    }
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

impl Value {
    /// What it is called in messages.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::Template(_) => "an expression",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// Moves all places of plain data.
    pub(crate) fn shift(&mut self, by: usize) {
        let moved = |span: &Span| span.start + by..span.end + by;
        self.span = moved(&self.span);
        match &mut self.data {
            Data::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Data::Map(entries) => {
                for (key, value) in entries {
                    key.span = moved(&key.span);
                    value.shift(by);
                }
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Template(_) => {}
        }
    }

    /// Entry of a map.
    pub fn get(&self, key: &str) -> Option<(&Name, &Value)> {
        match &self.data {
            Data::Map(entries) => {
                entries.iter().find(|(name, _)| name.value == key).map(|(name, value)| (name, value))
            }
            _ => None,
        }
    }

    /// The value as JSON, if there is no expression in it.
    pub fn literal(&self) -> Option<serde_json::Value> {
        Some(match &self.data {
            Data::Null => serde_json::Value::Null,
            Data::Bool(value) => (*value).into(),
            Data::Number(number) => number.clone().into(),
            Data::Text(text) => text.as_str().into(),
            Data::Template(_) => return None,
            Data::List(items) => items.iter().map(Self::literal).collect::<Option<Vec<_>>>()?.into(),
            Data::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Some((key.value.clone(), value.literal()?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}
