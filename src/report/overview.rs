//! Lists of what a project has: its runs and its releases.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use stagewright_protocol::GateStatus;

use super::data::Run;
use crate::{
    record::{MetricValue, RunId, RunRecord, SweepMember},
    release::Releases,
};

/// Metrics of a run that a list shows.
const METRICS: usize = 4;

/// A run in a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRow {
    /// The run without its stages.
    pub run: Run,
    /// How many stages it has.
    pub stages: usize,
    /// The sweep or search that it is a part of.
    pub sweep: Option<SweepMember>,
    /// What it is judged by.
    pub metrics: Vec<KeyMetric>,
}

/// A metric that a run is judged by.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyMetric {
    /// Name of the target or the metric.
    pub name: String,
    /// Its value.
    pub value: MetricValue,
    /// Verdict of the target.
    pub status: Option<GateStatus>,
}

/// Runs of a project.
#[derive(Debug, Clone)]
pub struct RunsView {
    /// When the list was made.
    pub made: Timestamp,
    /// The runs, the newest first.
    pub runs: Vec<Arc<RunRow>>,
    /// Records that can't be read, with the reason.
    pub broken: Vec<(RunId, String)>,
    /// How many there are in all.
    pub all: usize,
    /// Newest of the runs that are older than those listed.
    pub older: Option<RunId>,
}

/// Releases of a project.
#[derive(Debug)]
pub struct ReleasesView {
    /// When the list was made.
    pub made: Timestamp,
    /// The releases.
    pub releases: Releases,
}

impl RunRow {
    /// What a list says of a run.
    pub fn of(record: &RunRecord) -> Self {
        Self {
            run: Run::of(record),
            stages: record.stages.len(),
            sweep: record.sweep.clone(),
            metrics: key_metrics(record),
        }
    }
}

/// What the targets of the pipeline are about; without any, the goals of the search; without any, what the last stage that
/// measured something says, except for points of curves.
fn key_metrics(record: &RunRecord) -> Vec<KeyMetric> {
    let value = |stage: &str, metric: &str| {
        let found = record.stages.iter().find(|one| one.stage.0 == stage)?;
        found.measured.metrics.get(metric).cloned()
    };
    let targets = record.targets.iter().filter_map(|target| {
        let known = value(&target.stage.0, &target.metric);
        let value = known.or(target.value.map(|value| MetricValue { value, unit: None }))?;
        Some(KeyMetric { name: target.target.clone(), value, status: Some(target.status) })
    });
    let mut metrics: Vec<KeyMetric> = targets.collect();
    if metrics.is_empty() {
        let goals = record.sweep.iter().flat_map(|member| &member.goals);
        metrics.extend(goals.filter_map(|goal| {
            let value = value(&goal.of.stage.0, &goal.of.metric)?;
            Some(KeyMetric { name: goal.of.metric.clone(), value, status: None })
        }));
    }
    if metrics.is_empty() {
        let plain = |stage: &crate::record::StageRecord| {
            let metrics = stage.measured.metrics.iter();
            let metrics = metrics.filter(|(name, _)| !stage.curves.contains_key(*name));
            metrics.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
        };
        let last = record.stages.iter().rev().map(plain).find(|found| !found.is_empty());
        let last = last.into_iter().flatten();
        metrics.extend(last.map(|(name, value)| KeyMetric { name, value, status: None }));
    }
    metrics.truncate(METRICS);
    metrics
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        plan::{Direction, Goal, StageId},
        record::{RunId, StageRecord, SweepId, TargetVerdict},
    };

    fn record() -> RunRecord {
        let mut record = RunRecord::new(RunId::now());
        for (name, metrics) in [("train", vec!["top1", "loss"]), ("bench", vec!["p99"]), ("pack", vec![])] {
            let mut stage = StageRecord::new(StageId(name.to_owned()));
            for metric in metrics {
                let value = MetricValue { value: 1.0, unit: Some("%".to_owned()) };
                stage.measured.metrics.insert(metric.to_owned(), value);
            }
            record.stages.push(stage);
        }
        record
    }

    fn names(record: &RunRecord) -> Vec<String> {
        key_metrics(record).into_iter().map(|metric| metric.name).collect()
    }

    #[test]
    fn a_run_is_judged_by_its_targets_else_its_goals_else_what_it_measured_last() {
        let mut record = record();
        assert_eq!(names(&record), ["p99"]);
        record.stages[1].measured.metrics.clear();
        record.stages[0].curves.insert("loss".to_owned(), vec![(1, 1.0)]);
        assert_eq!(names(&record), ["top1"], "a point of a curve says little");
        let of = "train:loss".parse().unwrap();
        let goals = vec![Goal { of, direction: Direction::Minimize }];
        record.sweep = Some(SweepMember { sweep: SweepId::now(), trial: 1, of: 2, goals });
        assert_eq!(names(&record), ["loss"]);
        record.targets.push(TargetVerdict {
            target: "accuracy".to_owned(),
            line: 3,
            stage: StageId("train".to_owned()),
            metric: "top1".to_owned(),
            value: Some(1.0),
            bound: None,
            status: GateStatus::Passed,
            reason: String::new(),
        });
        assert_eq!(names(&record), ["accuracy"]);
        assert_eq!(key_metrics(&record)[0].value.unit.as_deref(), Some("%"));
    }
}
