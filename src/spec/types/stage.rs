//! A stage as written.

use std::time::Duration;

use super::{Name, Span, Spanned, Value};
use crate::spec::expression::{Expression, StageReference};

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

impl StageSpec {
    /// A stage of which nothing but its work is written.
    pub fn new(name: Name, work: WorkSpec) -> Self {
        Self {
            name,
            broken: false,
            work,
            inputs: Vec::new(),
            deps: Vec::new(),
            outs: Vec::new(),
            with: None,
            outputs: Vec::new(),
            needs: Vec::new(),
            matrix: None,
            condition: None,
            env: Vec::new(),
            secrets: Vec::new(),
            seed: None,
            frozen: false,
            always: false,
            settings: Settings::default(),
        }
    }

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
