//! What happens in a run, one event a line.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_protocol::{Fault, GateStatus, Level};

use super::{Material, Measured, Reason, RunId, StoredOutput, SweepId};
use crate::{
    digest::Digest,
    plan::{ActionKey, FailureClass, Goal, StageId},
};

/// One event. Displays, records and reports see a run through these and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum RunEvent {
    /// First event of every run.
    RunStarted {
        /// When.
        at: Timestamp,
        /// Id of the run.
        run: RunId,
        /// Name of the pipeline.
        pipeline: String,
        /// Its file, relative to the project root.
        file: PathBuf,
        /// Every stage of the plan, in order.
        stages: Vec<StageId>,
        /// Stages that each stage has to wait for, for what it reads or for its order; stages that wait for none are left
        /// out. Empty in records of the first release.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        needs: BTreeMap<StageId, Vec<StageId>>,
        /// Version of the orchestrator.
        stagewright: String,
        /// State of the git work tree, if there is one.
        git: Option<GitState>,
        /// The machine.
        host: HostState,
        /// How far stages were kept apart from it; not in records of the first release.
        #[serde(default)]
        isolation: Option<Isolation>,
        /// Warnings of the plan.
        warnings: Vec<String>,
        /// Values that stood in for those of the pipeline.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        set: Vec<Setting>,
        /// The sweep or search that the run is a part of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sweep: Option<SweepMember>,
    },
    /// A stage's program is about to be started.
    StageStarted {
        /// When.
        at: Timestamp,
        /// The stage.
        stage: StageId,
        /// Its action key.
        key: ActionKey,
        /// 1 for the first attempt.
        attempt: u32,
        /// Why no stored result serves.
        reasons: Vec<Reason>,
        /// Threads granted.
        threads: u32,
        /// Bytes of memory granted; 0 is no limit.
        memory: u64,
        /// Log file, relative to the run's folder.
        log: PathBuf,
        /// How long it took the last time, in milliseconds.
        usual_ms: Option<u64>,
    },
    /// A stage could run and waits for something that another run of the project has.
    StageWaits {
        /// When.
        at: Timestamp,
        /// The stage.
        stage: StageId,
        /// For what.
        waits_for: String,
    },
    /// How far a stage has come. For displays only: not written to the record.
    StageProgress {
        /// When.
        at: Timestamp,
        /// The stage.
        stage: StageId,
        /// Units done.
        done: u64,
        /// Units in all; 0 when not known.
        total: u64,
        /// What is counted.
        unit: String,
        /// What is being done.
        message: String,
    },
    /// A metric, possibly one point of a curve.
    StageMetric {
        /// When.
        at: Timestamp,
        /// The stage.
        stage: StageId,
        /// Name of the metric.
        name: String,
        /// Value.
        value: f64,
        /// Unit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
        /// Step of a curve.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u64>,
    },
    /// A line a stage said. Its log has it too; only warnings are written to the record.
    StageLog {
        /// When.
        at: Timestamp,
        /// The stage.
        stage: StageId,
        /// How serious.
        level: Level,
        /// The line.
        message: String,
    },
    /// An attempt failed and another one follows.
    StageRetried {
        /// When.
        at: Timestamp,
        /// The stage.
        stage: StageId,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// Pause before the next attempt, in milliseconds.
        pause_ms: u64,
    },
    /// A stage has come to its end; everything this names is in the store.
    StageEnded {
        /// When.
        at: Timestamp,
        /// The stage.
        stage: StageId,
        /// How.
        outcome: Outcome,
        /// Why, in words: what changed, which stage blocks it, why it is skipped.
        reason: String,
        /// Its action key, where its inputs were known.
        key: Option<ActionKey>,
        /// What the key was made of, where it is known.
        #[serde(default, skip_serializing_if = "Material::is_empty")]
        material: Material,
        /// Run in which the result was made, for `ran` and `cached`.
        made_in: Option<RunId>,
        /// Outputs by port, for `ran` and `cached`.
        outputs: BTreeMap<String, StoredOutput>,
        /// Metrics, gates and warnings; a cached result replays those of the run that made it.
        measured: Measured,
        /// Why it failed or was cancelled.
        failure: Option<Failure>,
        /// What it took in this run, in milliseconds, all attempts and storing included.
        duration_ms: u64,
        /// Wall time of the run that made the result, in milliseconds, for `ran` and `cached`.
        made_in_ms: Option<u64>,
    },
    /// These hits are about to be carried out again.
    HitsChosen {
        /// When.
        at: Timestamp,
        /// Stages.
        stages: Vec<StageId>,
        /// Hits that they were drawn from.
        hits: u64,
        /// What drew them.
        seed: u64,
    },
    /// One of them was.
    HitVerified {
        /// When.
        at: Timestamp,
        /// What came of it.
        hit: VerifiedHit,
    },
    /// A gate of the pipeline was evaluated.
    TargetChecked {
        /// When.
        at: Timestamp,
        /// The verdict.
        verdict: TargetVerdict,
    },
    /// A gate that failed has a waiver.
    GateWaived {
        /// When.
        at: Timestamp,
        /// The waiver.
        waived: WaivedGate,
    },
    /// Statements on a stage's result or on the run were stored, or a reused result has some.
    Attested {
        /// When.
        at: Timestamp,
        /// The stage; none for the run.
        stage: Option<StageId>,
        /// Blobs of the statements.
        statements: Vec<Digest>,
        /// Ids of the keys that signed in this run; empty where nothing is signed.
        keys: Vec<String>,
    },
    /// Last event of a run that was not killed.
    RunEnded {
        /// When.
        at: Timestamp,
        /// How.
        outcome: RunOutcome,
        /// Wall time in milliseconds.
        duration_ms: u64,
        /// How many stages ended how, so that a list of runs need not read all of the log.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        counts: BTreeMap<Outcome, u64>,
    },
    /// All that has happened was told; the run waits for something. For displays only, which may gather what they show until
    /// then.
    CaughtUp,
    /// An event of a later release within the same format: ignored.
    #[serde(other)]
    Unknown,
}

impl RunEvent {
    /// False for events that only a display wants.
    pub fn is_recorded(&self) -> bool {
        match self {
            Self::StageProgress { .. } | Self::CaughtUp => false,
            Self::StageLog { level, .. } => *level == Level::Warning,
            _ => true,
        }
    }
}

/// A value given on the command line or by a search, in place of the pipeline's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    /// The place: `params.epochs`, `train.with.optimizer.lr`.
    pub key: String,
    /// The value.
    pub value: Value,
}

/// A run's part in a sweep or search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SweepMember {
    /// Id that all runs of the sweep share.
    pub sweep: SweepId,
    /// Number of this run, from 1.
    pub trial: u32,
    /// How many were planned.
    pub of: u32,
    /// What a search is after; none for a plain sweep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<Goal>,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its program ran and its outputs are stored.
    Ran,
    /// A stored result was reused.
    Cached,
    /// Its `if:` is false, a stage it needs was skipped, or it was not asked for.
    Skipped,
    /// It gave no result.
    Failed,
    /// It was stopped, or not started because the run was stopped.
    Cancelled,
    /// A stage it needs gave no result.
    Blocked,
}

impl Outcome {
    /// There is a result.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Ran | Self::Cached)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ran => "ran",
            Self::Cached => "cached",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Blocked => "blocked",
        })
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// Every wanted stage has a result and no gate failed.
    Succeeded,
    /// Every wanted stage has a result, but a gate or target failed.
    GateFailed,
    /// A stage failed.
    Failed,
    /// The user stopped it.
    Cancelled,
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Succeeded => "succeeded",
            Self::GateFailed => "gate failed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Why a stage gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// As far as retrying cares.
    pub class: FailureClass,
    /// Whose fault, what failed, and what to do.
    pub fault: Fault,
    /// The last lines of the program's stderr.
    #[serde(default)]
    pub tail: Vec<String>,
}

/// A metric's last value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetricValue {
    /// Value.
    pub value: f64,
    /// Unit such as `%` or `ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Verdict on one target of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetVerdict {
    /// Key under `targets:`.
    pub target: String,
    /// Line in the pipeline file.
    pub line: usize,
    /// Stage that reports the metric.
    pub stage: StageId,
    /// The metric.
    pub metric: String,
    /// Its value, if it was reported.
    pub value: Option<f64>,
    /// What it had to be compared with (after looking up the other stage's metric).
    pub bound: Option<f64>,
    /// Verdict; a missing metric is a failure.
    pub status: GateStatus,
    /// Value, bound and difference in words.
    pub reason: String,
}

/// A gate that failed, and that somebody with a trusted key waived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WaivedGate {
    /// Stage that checks it; none for a target of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageId>,
    /// The gate.
    pub gate: String,
    /// Name of the key that signed the waiver.
    pub by: String,
    /// Last day on which it holds, in UTC.
    pub until: Date,
    /// Why it was waived.
    pub reason: String,
    /// Blob of the waiver's statement.
    pub statement: Digest,
    /// The waiver held when the run ended; false for one that had expired, or does not cover what was found, which changes nothing.
    pub holds: bool,
    /// Why it does not cover what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exceeded: Option<String>,
}

/// A hit that was carried out again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerifiedHit {
    /// The stage.
    pub stage: StageId,
    /// Run that made the stored result.
    pub made_in: Option<RunId>,
    /// How the two compare.
    pub verdict: HitVerdict,
    /// What it took, in milliseconds.
    pub duration_ms: u64,
}

/// How a stored result compares with one made again. The stored one stays in any case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HitVerdict {
    /// The same bytes.
    Same,
    /// Metrics agree within this part of their value.
    Within {
        /// The largest relative difference allowed.
        tolerance: f64,
    },
    /// It ran and wrote the same ports; its stage promises no more.
    NotPromised,
    /// Not what the stage promises.
    Differs {
        /// Each difference in words.
        differences: Vec<String>,
    },
    /// It could not be carried out again.
    Failed {
        /// Why not.
        failure: Failure,
    },
}

impl HitVerdict {
    /// The stage held what it promises.
    pub fn is_sound(&self) -> bool {
        !matches!(self, Self::Differs { .. } | Self::Failed { .. })
    }
}

/// State of the git work tree when a run started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GitState {
    /// Commit id in hex; none before the first commit.
    pub commit: Option<String>,
    /// Branch; none when detached.
    pub branch: Option<String>,
    /// Tracked files differ from the commit.
    pub dirty: bool,
}

/// How far the stages of a run were kept apart from the rest of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Isolation {
    /// They could write to their own folders only.
    pub writes: bool,
    /// They could not use the network.
    pub network: bool,
    /// Why not, where one of these is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Stages that were given the network, because they or their programs ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networked: Vec<StageId>,
}

/// What of the machine matters to results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostState {
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Cores the process may use.
    pub cpus: u32,
    /// Bytes of main memory; 0 when not known.
    pub memory: u64,
    /// Number of GPUs.
    pub gpus: u32,
}
