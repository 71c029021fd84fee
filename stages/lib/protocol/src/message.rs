//! The messages on the wire.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Manifest;

/// First line of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "hello", rename_all = "kebab-case")]
pub struct Hello {
    /// Protocol versions the speaker can use.
    pub versions: Vec<u32>,
    /// Name and version of the speaker, for people.
    pub speaker: String,
}

/// What the host asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Request {
    /// Wants [`Response::Manifest`].
    Describe,
    /// Wants [`Response::Platform`]: what this machine is to this stage.
    Probe,
    /// Wants the stage carried out: events, then [`Response::Result`] or [`Response::Error`].
    Run(Box<RunRequest>),
    /// A request of a later version.
    #[serde(other)]
    Unknown,
}

/// One execution of a stage. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRequest {
    /// Stage id as shown to people, for example `train[seed=0]`.
    pub stage: String,
    /// Params with the schema's defaults filled in and units resolved.
    pub params: Value,
    /// Read-only inputs by port; a port that is not `many` has at most one.
    pub inputs: BTreeMap<String, Vec<NamedInput>>,
    /// Empty folder for the outputs.
    pub output_dir: PathBuf,
    /// Empty folder for anything else; removed afterwards.
    pub scratch_dir: PathBuf,
    /// Folder that outlives a stopped run of the same action, for checkpoints to resume from.
    pub checkpoint_dir: PathBuf,
    /// Seed of every random choice.
    pub seed: u64,
    /// What the stage may use.
    pub limits: Limits,
}

/// One bound input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NamedInput {
    /// Name given by `as:` in the pipeline, else the producing stage's id or the source's file name.
    pub name: String,
    /// File or folder to read.
    pub path: PathBuf,
    /// Port type of the artifact.
    #[serde(rename = "type")]
    pub artifact_type: String,
    /// Role of a dataset (`train`, `test`, `calibration`), where the pipeline gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Threads to compute with, at least 1.
    pub threads: u32,
    /// Bytes of main memory; 0 is no limit.
    pub memory: u64,
}

/// What the stage answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Response {
    /// Closes `describe`.
    Manifest {
        /// The description.
        manifest: Box<Manifest>,
    },
    /// Closes `probe`.
    Platform(Platform),
    /// Any number during a run.
    Event(Event),
    /// Closes a run that succeeded.
    Result(RunResult),
    /// Closes any request that failed.
    Error(Fault),
    /// A message of a later version: ignored.
    #[serde(other)]
    Unknown,
}

/// What this machine is to a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Platform {
    /// Properties that change the result (GPU model, TensorRT version); part of the action key.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Facts for `${{ host.<name> }}`, for example `tensorrt: "10.16.0"` or `tensorrt: false`.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
    /// What the stage would need and does not find here. The plan refuses to run the stage while this is not empty.
    #[serde(default)]
    pub missing: Vec<Fault>,
}

/// Something said during a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// How far the work has come.
    Progress {
        /// Units done so far.
        done: u64,
        /// Units in all; 0 when not known.
        total: u64,
        /// What is counted, for example `images`.
        unit: String,
        /// What is being done, for example `epoch 3/10`.
        message: String,
    },
    /// A number, possibly one point of a curve. The last value of a name is the stage's metric.
    Metric {
        /// Name such as `validation.top1`.
        name: String,
        /// Value; must be finite.
        value: f64,
        /// Unit such as `%`, `ms`, `MB`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
        /// Step of a curve (an epoch or batch number).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u64>,
    },
    /// A line for the log.
    Log {
        /// How serious.
        level: Level,
        /// One line of text.
        message: String,
    },
    /// An event of a later version: ignored.
    #[serde(other)]
    Unknown,
}

/// Seriousness of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For whoever debugs the stage.
    Debug,
    /// Ordinary.
    Info,
    /// Shown to the user at the end of the run.
    Warning,
}

/// Outcome of a run that succeeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunResult {
    /// Path of each written output by port, relative to the output folder.
    pub outputs: BTreeMap<String, PathBuf>,
    /// Checks the stage made; one `failed` fails the pipeline's run although the outputs are kept.
    #[serde(default)]
    pub gates: Vec<Gate>,
}

/// One check with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Gate {
    /// Name such as `memory-leak`.
    pub name: String,
    /// Verdict.
    pub status: GateStatus,
    /// What was measured against what, or why it does not apply.
    pub reason: String,
}

/// Verdict of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateStatus {
    /// Measured and within bounds.
    Passed,
    /// Measured and out of bounds.
    Failed,
    /// Could not be measured here; never counts as passed.
    NotApplicable,
}

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// Who can mend it.
    pub class: ErrorClass,
    /// What failed on which file and value, one or a few lines, no closing full stop.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Who can mend a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// Whoever wrote the pipeline or made the data.
    User,
    /// Whoever runs the machine: a missing library, a full disk, a GPU out of memory.
    Environment,
    /// The stage's author.
    Internal,
}
