//! What a report says of a run.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use stagewright_protocol::Gate;

use super::{findings::Findings, lineage::LineageView};
use crate::{
    compare::{RunDiff, diff},
    digest::Digest,
    lineage::Decided,
    plan::StageId,
    record::{
        GitState, HostState, Isolation, MetricValue, Outcome, RunId, RunRecord, RunState, Setting,
        TargetVerdict, WaivedGate,
    },
    release::Release,
};

/// First field of a run's report in JSON.
pub(super) const FORMAT: &str = "stagewright/run-report@1";

/// Everything that a report says of one run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunReport {
    /// Version of this encoding.
    pub format: &'static str,
    /// When the report was made.
    pub made: Timestamp,
    /// The release that this is a report on; none for a report on a run.
    pub release: Option<ReleaseView>,
    /// The run as a whole.
    pub run: Run,
    /// Stages in the order of the plan.
    pub stages: Vec<StageView>,
    /// Verdicts on the pipeline's targets.
    pub targets: Vec<TargetVerdict>,
    /// Failed gates and targets that had a waiver when the run ended.
    pub waived: Vec<WaivedGate>,
    /// What people with trusted keys decided on its results and gates, up to now.
    pub decisions: Vec<Decided>,
    /// Curves, by stage and then by what they have in common.
    pub curves: Vec<Curves>,
    /// What stages found, out of the files they wrote.
    pub findings: Findings,
    /// Images that stages wrote.
    pub pictures: Vec<Picture>,
    /// Reports that stages wrote themselves.
    pub texts: Vec<Text>,
    /// Statements on the results, and whether they hold.
    pub lineage: LineageView,
}

/// A release, beside the run that it is of.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReleaseView {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The commit it is of.
    pub commit: String,
    /// Who made it, as git knows them.
    pub tagger: Option<String>,
    /// What they said.
    pub message: String,
    /// Tracked files differed from the commit when the pipeline ran.
    pub dirty: bool,
    /// Stages whose outputs are what is released.
    pub delivers: Vec<StageId>,
    /// The release before it, and what differs from that one; none for the first one.
    pub since: Option<(String, RunDiff)>,
}

impl ReleaseView {
    /// A release, compared with the one before it.
    pub fn new(release: &Release, before: Option<&Release>) -> Self {
        let Release { commit, tagger, message, manifest } = release;
        let since = before.map(|before| {
            (before.manifest.name.clone(), diff(&before.manifest.record(), &manifest.record()))
        });
        Self {
            name: manifest.name.clone(),
            created: manifest.created,
            commit: commit.clone(),
            tagger: tagger.clone(),
            message: message.clone(),
            dirty: manifest.dirty,
            delivers: manifest.delivers.clone(),
            since,
        }
    }
}

/// A run without its stages.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Run {
    /// Id of the run.
    pub run: RunId,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its file, relative to the project root.
    pub file: PathBuf,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Where it stands.
    pub state: RunState,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// Version of the orchestrator.
    pub stagewright: String,
    /// State of the git work tree.
    pub git: Option<GitState>,
    /// The machine.
    pub host: Option<HostState>,
    /// How far stages were kept apart from it.
    pub isolation: Option<Isolation>,
    /// Values that stood in for those of the pipeline.
    pub set: Vec<Setting>,
    /// Warnings of the plan.
    pub warnings: Vec<String>,
    /// Stages by how they ended.
    pub counts: BTreeMap<Outcome, u64>,
}

impl Run {
    /// In short what a record says.
    pub fn of(record: &RunRecord) -> Self {
        let mut counts = BTreeMap::new();
        for outcome in record.stages.iter().filter_map(|stage| stage.outcome) {
            *counts.entry(outcome).or_insert(0) += 1;
        }
        Self {
            run: record.run,
            pipeline: record.pipeline.clone(),
            file: record.file.clone(),
            started: record.started,
            ended: record.ended,
            state: record.state,
            duration_ms: record.duration_ms(),
            stagewright: record.stagewright.clone(),
            git: record.git.clone(),
            host: record.host.clone(),
            isolation: record.isolation.clone(),
            set: record.set.clone(),
            warnings: record.warnings.clone(),
            counts,
        }
    }
}

/// A stage of the run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageView {
    /// The stage.
    pub stage: StageId,
    /// How it ended; none while it has not.
    pub outcome: Option<Outcome>,
    /// Since when it runs, in a run that goes on.
    pub running_since: Option<Timestamp>,
    /// What it took the last time, in milliseconds, for one that runs.
    pub usual_ms: Option<u64>,
    /// Why it ran, was reused, skipped or blocked.
    pub reason: String,
    /// What it took in this run, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Run in which its result was made, where that is another one.
    pub made_in: Option<RunId>,
    /// What it took when its result was made, in milliseconds.
    pub made_in_ms: Option<u64>,
    /// Attempts made.
    pub attempts: u32,
    /// Program and its cache version.
    pub program: Option<String>,
    /// Params, seed, environment, platform: `with.optimizer.lr`, `seed`.
    pub params: BTreeMap<String, Value>,
    /// Metrics.
    pub metrics: BTreeMap<String, MetricValue>,
    /// Checks it made.
    pub gates: Vec<Gate>,
    /// Warnings it gave.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub failure: Option<FailureView>,
    /// Outputs.
    pub outputs: Vec<OutputView>,
    /// Stages it waits for, as positions in the list of stages.
    pub needs: Vec<usize>,
    /// Statement on its result, as a position in [`LineageView::statements`].
    pub statement: Option<usize>,
}

/// Why a stage failed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureView {
    /// What failed.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The last lines that the program said.
    pub tail: Vec<String>,
}

/// An output of a stage.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutputView {
    /// The port.
    pub port: String,
    /// Port type.
    #[serde(rename = "type")]
    pub artifact_type: String,
    /// File or folder name.
    pub file_name: String,
    /// Content.
    pub digest: Digest,
    /// Sum of its files' sizes in bytes.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
}

/// Curves that share a plot: `train.loss` and `validation.loss` of one stage.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Curves {
    /// The stage.
    pub stage: StageId,
    /// What they have in common: `loss`.
    pub name: String,
    /// Unit of the values.
    pub unit: Option<String>,
    /// The curves.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// An image that a stage wrote.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Picture {
    /// The stage.
    pub stage: StageId,
    /// The port.
    pub port: String,
    /// Content.
    pub digest: Digest,
    /// `image/png`, `image/jpeg` or `image/svg+xml`.
    pub media_type: &'static str,
    /// The image; none where it is too large for a page.
    #[serde(skip)]
    pub content: Option<Vec<u8>>,
}

/// A report that a stage wrote, as text.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Text {
    /// The stage.
    pub stage: StageId,
    /// The port.
    pub port: String,
    /// Content.
    pub digest: Digest,
    /// The text; cut where it is long.
    pub text: String,
}

/// Usual name of a run's page, `report-7f3e2a91b0c4.html`.
pub fn page_name(run: RunId) -> PathBuf {
    format!("report-{}.html", run.short()).into()
}
