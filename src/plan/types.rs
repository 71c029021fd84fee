//! A pipeline compiled: typed, checked, ordered. Nothing has run yet.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_protocol::Resources;

use super::{Condition, Overrides, RunText, Search};
use crate::{catalog::Program, spec::types::OutKind};

/// Id of one stage of a plan: `train`, or `train[seed=0]` for one combination of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageId(pub String);

impl fmt::Display for StageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A compiled pipeline.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `name:` of the pipeline.
    pub name: String,
    /// The pipeline file, relative to the project root.
    pub file: PathBuf,
    /// Actions in a topological order; ties in the order of the file.
    pub actions: Vec<Arc<Action>>,
    /// Gates on metrics.
    pub targets: Vec<Target>,
    /// What `stagewright search` is to try.
    pub search: Option<Search>,
    /// Values that stood in for those of the pipeline.
    pub overrides: Overrides,
    /// Things worth telling that do not stop the run, besides the warnings of the spec.
    pub warnings: Vec<String>,
}

/// One resolved execution of one stage.
#[derive(Debug, Clone)]
pub struct Action {
    /// Unique in the plan.
    pub id: StageId,
    /// Line of the stage in the pipeline file, from 1.
    pub line: usize,
    /// What carries it out.
    pub program: Program,
    /// Params with defaults filled in and units resolved.
    pub params: Value,
    /// What each input port is bound to.
    pub inputs: BTreeMap<String, Vec<Binding>>,
    /// Stages that must have ended well before, although nothing of theirs is read.
    pub needs: Vec<StageId>,
    /// Set when `if:` is false: the stage is skipped with this reason.
    pub skip: Option<String>,
    /// An `if:` that the run decides.
    pub condition: Option<Condition>,
    /// Where outputs are placed in the work tree, by port; relative to the project root.
    pub exports: BTreeMap<String, PathBuf>,
    /// Paths of the work tree that it writes itself.
    pub outs: Vec<Out>,
    /// Environment variables declared for the stage; part of the key.
    pub env: BTreeMap<String, String>,
    /// Environment variables that name the run; not part of the key.
    pub run_env: BTreeMap<String, RunText>,
    /// Names of secrets: the stage program finds their values in variables of these names. Not part of the key.
    pub secrets: Vec<String>,
    /// Params of the pipeline by the field that reads them (`with.epochs`), to name what changed.
    pub reads: BTreeMap<String, Vec<String>>,
    /// Seed given to the stage; part of the key.
    pub seed: u64,
    /// What the stage occupies while it runs; 0 cpus is all of them.
    pub resources: Resources,
    /// Ends a run that takes longer.
    pub timeout: Option<Duration>,
    /// What else bounds a run.
    pub limits: Limits,
    /// Labels of the machine it wants, for those who choose one; none is any. A stage with labels may ask for what the machine
    /// that compiles has not.
    pub runs_on: Vec<String>,
    /// When and how often a failed run is tried again.
    pub retry: Retry,
    /// False: never reuse a result (it is stored all the same).
    pub cache: bool,
    /// Keeps its last result, whatever changes.
    pub frozen: bool,
    /// A failure does not fail the run; dependents are blocked all the same.
    pub continue_on_error: bool,
}

/// A path of the work tree that a stage writes itself. Its output port is called like the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    /// Relative to the project root.
    pub path: PathBuf,
    /// What it is to people.
    pub kind: OutKind,
    /// It is not removed before the stage runs.
    pub persist: bool,
    /// DVC's cache gets it as well, where the pipeline is one of DVC.
    pub cache: bool,
}

impl Out {
    /// Its output port.
    pub fn port(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// One artifact bound to an input port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Name the stage sees: `as:`, else the producing stage's id or the path's file name.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Port type.
    pub artifact_type: String,
    /// Role of a dataset (`train`, `test`, `calibration`), where the pipeline gives one.
    pub role: Option<String>,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or folder of the work tree, relative to the project root.
    Path(PathBuf),
    /// An output of another stage.
    Output {
        /// The producer.
        stage: StageId,
        /// Its output port.
        port: String,
    },
    /// A file or folder of the work tree that other stages write, or parts of it.
    Placed {
        /// Relative to the project root.
        path: PathBuf,
        /// The stages that write it or in it.
        stages: Vec<StageId>,
        /// The output port of the one stage that writes exactly this.
        port: Option<String>,
    },
}

impl Source {
    /// Stages that have to end before it is there.
    pub fn stages(&self) -> &[StageId] {
        match self {
            Self::Path(_) => &[],
            Self::Output { stage, .. } => std::slice::from_ref(stage),
            Self::Placed { stages, .. } => stages,
        }
    }
}

/// Bounds of a run that its pipeline sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of main memory that the run may hold, all its processes together; none is no limit. What the manifest says it
    /// wants is an estimate, by which runs are placed and none is ended.
    pub memory: Option<u64>,
    /// Bytes that the run may have in its output, scratch and checkpoint folders; none is no limit.
    pub output: Option<u64>,
    /// Ends a run that says nothing for this long.
    pub silence: Option<Duration>,
}

/// When a failed run is tried again. A failed gate never is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retry {
    /// Runs after the first.
    pub max: u32,
    /// Classes of failure that are tried again; empty means all of them.
    pub on: Vec<FailureClass>,
    /// Pause before the first retry; doubles each time.
    pub backoff: Duration,
}

/// Why a run of a stage failed, as far as retrying cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The machine's fault (`infra` in the pipeline).
    Environment,
    /// Killed for memory.
    Memory,
    /// Took longer than allowed.
    Timeout,
    /// The program ended badly or answered with another error.
    ExitCode,
}

/// A gate on a metric, evaluated when its stage has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Key under `targets:`.
    pub name: String,
    /// Line in the pipeline file, from 1.
    pub line: usize,
    /// Stage that reports the metric.
    pub stage: StageId,
    /// The metric.
    pub metric: String,
    /// What it has to satisfy.
    pub bound: Bound,
}

/// What a target's metric has to satisfy. Values are in the metric's own unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// metric ≤ value.
    AtMost(f64),
    /// metric ≥ value.
    AtLeast(f64),
    /// metric ≥ other − value: the metric may fall by at most `value` below another one.
    DropAtMost {
        /// The other metric.
        against: Against,
        /// Allowed fall, ≥ 0.
        value: f64,
    },
    /// metric ≤ factor · other (ratio of two metrics, for latency and size).
    RatioAtMost {
        /// The other metric.
        against: Against,
        /// Allowed ratio.
        value: f64,
    },
}

/// What a target's metric is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Against {
    /// A metric of this run.
    Stage {
        /// Stage that reports it.
        stage: StageId,
        /// The metric.
        metric: String,
    },
    /// A metric that the same stage had in the last release.
    Release {
        /// Name of the release; none where there is none yet.
        release: Option<String>,
        /// The metric.
        metric: String,
        /// Its value there, if it had one.
        value: Option<f64>,
    },
}

/// The last release, as far as targets ask for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReleasedMetrics {
    /// Name of the release.
    pub name: String,
    /// Values of metrics by stage.
    pub metrics: BTreeMap<String, BTreeMap<String, f64>>,
}
