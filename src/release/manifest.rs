//! What a release says of itself.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stagewright_protocol::Gate;

use super::ReleaseError;
use crate::{
    digest::Digest,
    plan::{ActionKey, ReleasedMetrics, StageId},
    record::{
        Isolation, Material, Measured, MetricValue, Outcome, RunId, RunOutcome, RunRecord, RunState,
        StageRecord, StoredOutput, TargetVerdict,
    },
};

/// Version of the manifest.
///
/// 1: first release.
pub const MANIFEST_VERSION: u32 = 1;

/// Line of a tag's message that announces the manifest, with its version.
const MARK: &str = "Stagewright-Release:";

/// Content of a release: results of one run, and how they fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Its name, which is that of the tag.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Version of the orchestrator that made it.
    pub stagewright: String,
    /// The run whose results it names.
    pub run: RunId,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its file, relative to the project root.
    pub file: String,
    /// Tracked files differed from the commit when the pipeline ran.
    #[serde(default)]
    pub dirty: bool,
    /// How far the stages of the run were kept apart from the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Stages whose outputs are what is released, in the order of the pipeline.
    pub delivers: Vec<StageId>,
    /// Every stage of the run that has a result.
    pub stages: BTreeMap<String, ReleasedStage>,
    /// Verdicts on the pipeline's targets.
    pub targets: Vec<TargetVerdict>,
    /// Blob of the statement on the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// Ids of the keys that signed the run's statements.
    #[serde(default)]
    pub signed_by: Vec<String>,
}

/// A stage's result in a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReleasedStage {
    /// Its action key.
    pub key: ActionKey,
    /// What the key was made of.
    #[serde(default)]
    pub material: Material,
    /// Run in which the result was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_in: Option<RunId>,
    /// Outputs by port.
    pub outputs: BTreeMap<String, StoredOutput>,
    /// Last value of each metric.
    pub metrics: BTreeMap<String, MetricValue>,
    /// Checks the stage made.
    pub gates: Vec<Gate>,
    /// Blobs of the statements on the result, the provenance first.
    #[serde(default)]
    pub statements: Vec<Digest>,
}

impl Manifest {
    /// The manifest of a run that has ended.
    pub fn of(name: &str, record: &RunRecord, delivers: Vec<StageId>, created: Timestamp) -> Self {
        let stages = record.stages.iter().filter_map(|stage| {
            let key = stage.key.filter(|_| stage.made_in.is_some())?;
            let released = ReleasedStage {
                key,
                material: stage.material.clone(),
                made_in: stage.made_in,
                outputs: stage.outputs.clone(),
                metrics: stage.measured.metrics.clone(),
                gates: stage.measured.gates.clone(),
                statements: stage.statements.clone(),
            };
            Some((stage.stage.0.clone(), released))
        });
        Self {
            name: name.to_owned(),
            created,
            stagewright: env!("CARGO_PKG_VERSION").to_owned(),
            run: record.run,
            pipeline: record.pipeline.clone(),
            file: record.file.display().to_string(),
            dirty: record.git.as_ref().is_some_and(|git| git.dirty),
            isolation: record.isolation.clone(),
            delivers,
            stages: stages.collect(),
            targets: record.targets.clone(),
            statement: record.statement,
            signed_by: record.signed_by.clone(),
        }
    }

    /// The stages whose outputs are released.
    pub fn delivered(&self) -> impl Iterator<Item = (&StageId, &ReleasedStage)> {
        self.delivers.iter().filter_map(|id| Some((id, self.stages.get(&id.0)?)))
    }

    /// Metrics by stage, for targets.
    pub fn metrics(&self) -> ReleasedMetrics {
        let of = |stage: &ReleasedStage| {
            stage.metrics.iter().map(|(name, metric)| (name.clone(), metric.value)).collect()
        };
        ReleasedMetrics {
            name: self.name.clone(),
            metrics: self.stages.iter().map(|(id, stage)| (id.clone(), of(stage))).collect(),
        }
    }

    /// The release as the run that it names, as far as the manifest tells of it.
    pub fn record(&self) -> RunRecord {
        let mut record = RunRecord::new(self.run);
        record.pipeline.clone_from(&self.pipeline);
        record.state = RunState::Ended(RunOutcome::Succeeded);
        record.file = PathBuf::from(&self.file);
        record.started = Some(self.created);
        record.isolation.clone_from(&self.isolation);
        record.targets.clone_from(&self.targets);
        record.statement = self.statement;
        record.signed_by.clone_from(&self.signed_by);
        record.stages = self
            .stages
            .iter()
            .map(|(id, stage)| StageRecord {
                outcome: Some(Outcome::Ran),
                key: Some(stage.key),
                material: stage.material.clone(),
                made_in: stage.made_in,
                outputs: stage.outputs.clone(),
                measured: Measured {
                    metrics: stage.metrics.clone(),
                    gates: stage.gates.clone(),
                    ..Measured::default()
                },
                statements: stage.statements.clone(),
                ..StageRecord::new(StageId(id.clone()))
            })
            .collect();
        record
    }

    /// The message of the tag: the user's words, then the manifest.
    pub(super) fn message(&self, words: &str) -> Result<String, ReleaseError> {
        let body = serde_json::to_string(self)
            .map_err(|error| ReleaseError::Format { name: self.name.clone(), reason: error.to_string() })?;
        let words = words.trim();
        let head = if words.is_empty() { self.name.clone() } else { words.to_owned() };
        Ok(format!("{head}\n\n{MARK} {MANIFEST_VERSION}\n{body}\n"))
    }

    /// The user's words and the manifest of a tag's message; none where the tag is no release.
    pub(super) fn read(name: &str, message: &str) -> Option<Result<(String, Self), ReleaseError>> {
        let at = message.lines().position(|line| line.starts_with(MARK))?;
        let mut lines = message.lines().skip(at);
        let version = lines.next().and_then(|line| line.strip_prefix(MARK)).unwrap_or_default().trim();
        let format = |reason: String| ReleaseError::Format { name: name.to_owned(), reason };
        let version: u32 = match version.parse() {
            Ok(version) => version,
            Err(_) => return Some(Err(format(format!("its version is `{version}`")))),
        };
        if version > MANIFEST_VERSION {
            return Some(Err(ReleaseError::Newer { name: name.to_owned(), version }));
        }
        let body: String = lines.collect::<Vec<_>>().join("\n");
        let words = message.lines().take(at).collect::<Vec<_>>().join("\n").trim().to_owned();
        Some(match serde_json::from_str::<Self>(&body) {
            Ok(manifest) if manifest.name == name => Ok((words, manifest)),
            Ok(manifest) => Err(format(format!("its manifest is that of `{}`", manifest.name))),
            Err(error) => Err(format(error.to_string())),
        })
    }
}
