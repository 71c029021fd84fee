//! What differs between two runs, stage by stage.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::change::{Change, changes};
use crate::{
    digest::{Digest, canonical_json},
    plan::StageId,
    record::{Material, MetricValue, Outcome, RunId, RunRecord, StageRecord},
};

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunDiff {
    /// The first run.
    pub from: RunId,
    /// The second run.
    pub to: RunId,
    /// Stages with a difference, in the order of the second run, then those that only the first one has.
    pub stages: Vec<StageDiff>,
    /// How many stages have none.
    pub same: usize,
}

/// What differs in one stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageDiff {
    /// The stage.
    pub stage: StageId,
    /// How it ended, where one run has no result of it and the other one has. Made or reused is no difference.
    pub outcome: Option<Change<Outcome>>,
    /// Params, seed, environment, program, platform: `with.optimizer.lr`, `seed`, `program`.
    pub params: Vec<Change<Value>>,
    /// What it read, by port: the digest, and how the stage sees it.
    pub inputs: Vec<Change<Value>>,
    /// Metrics.
    pub metrics: Vec<Change<MetricValue>>,
    /// Outputs, by port.
    pub artifacts: Vec<Change<OutputIdentity>>,
    /// One of the records is of a release that did not keep params, so that they can't be compared.
    pub params_unknown: bool,
}

/// What makes an output the same as another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutputIdentity {
    /// Its content.
    pub digest: Digest,
    /// Sum of its files' sizes in bytes.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
}

impl StageDiff {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        let Self { stage: _, outcome, params, inputs, metrics, artifacts, params_unknown } = self;
        outcome.is_none()
            && params.is_empty()
            && inputs.is_empty()
            && metrics.is_empty()
            && artifacts.is_empty()
            && !params_unknown
    }
}

/// Compares two runs.
pub fn diff(from: &RunRecord, to: &RunRecord) -> RunDiff {
    let of = |record: &RunRecord| -> BTreeMap<StageId, usize> {
        record.stages.iter().enumerate().map(|(at, stage)| (stage.stage.clone(), at)).collect()
    };
    let (before, after) = (of(from), of(to));
    let first = to.stages.iter().map(|stage| &stage.stage);
    let gone = from.stages.iter().map(|stage| &stage.stage).filter(|stage| !after.contains_key(stage));
    let ids: Vec<&StageId> = first.chain(gone).collect();
    let all = ids.len();
    let stages: Vec<StageDiff> = ids
        .into_iter()
        .map(|id| {
            let old = before.get(id).map(|at| &from.stages[*at]);
            let new = after.get(id).map(|at| &to.stages[*at]);
            stage(id, old, new)
        })
        .filter(|stage| !stage.is_empty())
        .collect();
    RunDiff { from: from.run, to: to.run, same: all - stages.len(), stages }
}

fn stage(id: &StageId, from: Option<&StageRecord>, to: Option<&StageRecord>) -> StageDiff {
    let material = |stage: Option<&StageRecord>, inputs: bool| -> Material {
        let fields = stage.into_iter().flat_map(|stage| &stage.material);
        fields
            .filter(|(field, _)| field.starts_with("inputs.") == inputs)
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    };
    let metrics = |stage: Option<&StageRecord>| {
        stage.map_or_else(BTreeMap::new, |stage| stage.measured.metrics.clone())
    };
    let outcome = |stage: Option<&StageRecord>| stage.and_then(|stage| stage.outcome);
    let (old, new) = (outcome(from), outcome(to));
    // What was made in one run and reused in the next is the same to whoever reads a result.
    let kind =
        |outcome: Option<Outcome>| outcome.map(|outcome| outcome.is_success().then_some(()).ok_or(outcome));
    let differs = kind(old) != kind(new);
    // With equal keys there is no difference that could be missed.
    let silent = |stage: Option<&StageRecord>| {
        stage.is_some_and(|stage| stage.key.is_some() && stage.material.is_empty())
    };
    let unknown = silent(from) || silent(to);
    let params_unknown = unknown && from.map(|stage| stage.key) != to.map(|stage| stage.key);
    let both = from.is_some() && to.is_some() && !unknown;
    let fields = |inputs| {
        let (from, to) = (material(from, inputs), material(to, inputs));
        // Of a stage that only one run has, that it has it is the difference.
        if both { changes(&from, &to, same_value) } else { Vec::new() }
    };
    StageDiff {
        stage: id.clone(),
        outcome: differs.then(|| Change { name: "outcome".to_owned(), from: old, to: new }),
        params: fields(false),
        inputs: fields(true),
        metrics: changes(&metrics(from), &metrics(to), same_metric),
        artifacts: changes(&outputs(from), &outputs(to), PartialEq::eq),
        params_unknown,
    }
}

fn outputs(stage: Option<&StageRecord>) -> BTreeMap<String, OutputIdentity> {
    let outputs = stage.into_iter().flat_map(|stage| &stage.outputs);
    let identity = |(port, output): (&String, &crate::record::StoredOutput)| {
        let artifact = output.artifact;
        let identity =
            OutputIdentity { digest: artifact.digest, bytes: artifact.bytes, files: artifact.files };
        (port.clone(), identity)
    };
    outputs.map(identity).collect()
}

/// `1` and `1.0` are the same, as in a key.
fn same_value(a: &Value, b: &Value) -> bool {
    match (canonical_json(a), canonical_json(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn same_metric(a: &MetricValue, b: &MetricValue) -> bool {
    a.unit == b.unit && (a.value == b.value || a.value.is_nan() && b.value.is_nan())
}
