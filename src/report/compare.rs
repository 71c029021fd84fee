//! Several runs in one report.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    data::{Run, Series},
    findings::{Benchmark, Findings, Variant},
    gather::{curves, read_findings},
};
use crate::{
    compare::{Choice, CompareError, Comparison, RunDiff, compare, diff},
    plan::StageId,
    record::RunRecord,
    store::LocalStore,
};

/// Everything that a report says of several runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CompareReport {
    /// Version of this encoding.
    pub format: &'static str,
    /// When the report was made.
    pub made: Timestamp,
    /// The runs, in the order asked for.
    pub runs: Vec<Run>,
    /// Params and metrics.
    pub table: Comparison,
    /// What differs between the first run and each of the others.
    pub differences: Vec<RunDiff>,
    /// Models that the runs measured.
    pub variants: Vec<VariantPoint>,
    /// The same curve of each run.
    pub curves: Vec<CurveSet>,
}

/// A model that a run measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VariantPoint {
    /// Position of the run.
    pub run: usize,
    /// Stage that measured it.
    pub stage: StageId,
    /// The model.
    pub variant: Variant,
}

/// One curve as each run has it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CurveSet {
    /// The stage.
    pub stage: StageId,
    /// The metric.
    pub metric: String,
    /// Unit of its values.
    pub unit: Option<String>,
    /// A series a run, named by the run.
    pub series: Vec<Series>,
}

/// Puts runs side by side.
pub fn compare_runs(
    state_dir: &Path,
    store: &LocalStore,
    records: &[RunRecord],
    choice: &Choice,
    now: Timestamp,
) -> Result<CompareReport, CompareError> {
    let table = compare(records, choice)?;
    let mut variants = Vec::new();
    let mut sets: BTreeMap<(StageId, String, Option<String>), Vec<Series>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let Findings { benchmarks, .. } = read_findings(store, record);
        for (stage, Benchmark { variants: found, .. }) in benchmarks {
            let point = |variant| VariantPoint { run: at, stage: stage.clone(), variant };
            variants.extend(found.into_iter().map(point));
        }
        for curves in curves(state_dir, record) {
            for Series { name, points } in curves.series {
                let set = sets.entry((curves.stage.clone(), name, curves.unit.clone())).or_default();
                set.push(Series { name: record.run.short(), points });
            }
        }
    }
    let curves =
        sets.into_iter().map(|((stage, metric, unit), series)| CurveSet { stage, metric, unit, series });
    Ok(CompareReport {
        format: "stagewright/compare-report@1",
        made: now,
        runs: records.iter().map(Run::of).collect(),
        table,
        differences: records.iter().skip(1).map(|other| diff(&records[0], other)).collect(),
        variants,
        curves: curves.collect(),
    })
}
