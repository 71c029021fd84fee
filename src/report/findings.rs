//! What stages found: the JSON files they wrote whose format is known here, as types.
//!
//! The formats are those of `docs/artifacts.md` and of the stages that ship with the project. A stage of somebody else that writes
//! the same format is shown the same way. A file that does not read as its format says is shown as any other output.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::StageId;

/// Everything found in a run.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Findings {
    /// Of datasets.
    pub data: Vec<(StageId, DataFindings)>,
    /// Norms of gradients, layer by layer.
    pub gradients: Vec<(StageId, GradientLayers)>,
    /// Of pruning.
    pub pruning: Vec<(StageId, Pruning)>,
    /// Of benchmarks.
    pub benchmarks: Vec<(StageId, Benchmark)>,
    /// Of deployment checklists.
    pub checklists: Vec<(StageId, Checklist)>,
}

/// `stagewright/stats@1`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataFindings {
    /// Samples in all.
    pub samples: u64,
    /// Size of their files in bytes.
    pub bytes: u64,
    /// Identity of the dataset, in hex.
    pub digest: String,
    /// Samples by split.
    pub splits: BTreeMap<String, u64>,
    /// Samples by class.
    pub classes: Vec<ClassCount>,
    /// Mean of each channel, on the scale from 0 to 1.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel.
    pub std: Vec<f64>,
    /// What was looked for, and how much of it there is.
    pub problems: Vec<Problem>,
}

/// A class of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// Samples by split.
    pub samples: BTreeMap<String, u64>,
}

/// Something that a dataset was searched for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Problem {
    /// What.
    pub what: String,
    /// Samples that have it.
    pub samples: u64,
    /// What counts as one.
    pub rule: String,
    /// Some of them.
    pub examples: Vec<String>,
}

/// Norms of gradients of each parameter, as `train` writes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GradientLayers {
    /// Names of the parameters.
    pub parameters: Vec<String>,
    /// Steps at which they were measured.
    pub steps: Vec<u64>,
    /// A row a parameter, with a norm a step.
    pub norms: Vec<Vec<f64>>,
}

/// What pruning changed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pruning {
    /// Before, pruned, fine-tuned.
    pub states: Vec<(String, State)>,
}

/// A network at one time of its pruning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// Parameters.
    pub parameters: f64,
    /// Multiplications and additions for one image.
    pub macs: f64,
    /// Share of weights that are 0, from 0 to 1.
    pub sparsity: f64,
    /// Bytes of the weights' file.
    pub file_size: f64,
    /// Validation accuracy in percent.
    pub top1: f64,
}

/// `stagewright/benchmark@1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Benchmark {
    /// Variant that ratios refer to.
    pub baseline: String,
    /// Images per run of the throughput measurement.
    pub batch: u64,
    /// Threads of each model.
    pub threads: u64,
    /// Test images that accuracy was measured on.
    pub accuracy_samples: u64,
    /// Class names.
    pub classes: Vec<String>,
    /// The models.
    pub variants: Vec<Variant>,
}

/// One model of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// `fp32`, `fp16`, `int8`.
    pub precision: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Share of test images classified right, in percent.
    pub top1: f64,
    /// Accuracy lost against the baseline in points of percent, with its 95 % interval.
    pub drop: [f64; 3],
    /// Share of test images for which it names the same class as the baseline, in percent.
    pub agreement: f64,
    /// Accuracy within each class in percent.
    pub per_class: Vec<Option<f64>>,
    /// Test images by right class and by the class that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Latency at batch 1 in milliseconds.
    pub latency: Latency,
    /// Images per second at the chosen batch.
    pub throughput: f64,
    /// Baseline's median latency divided by its own.
    pub speedup: f64,
    /// Latency figures agreed between rounds.
    pub stable: bool,
    /// Measured wall times at batch 1 in milliseconds: value that this share of runs, in percent, does not exceed.
    #[serde(default, skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<(f64, f64)>,
}

/// Percentiles of a latency in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 9 of 10 runs are not slower.
    pub p90: f64,
    /// 99 of 100 runs are not slower.
    pub p99: f64,
    /// The slowest run.
    pub max: f64,
    /// Runs measured.
    pub runs: u64,
}

/// `stagewright/checklist@1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checklist {
    /// Model that would be deployed.
    pub candidate: String,
    /// Model it was made from.
    pub baseline: String,
    /// The checks.
    #[serde(rename = "findings")]
    pub checks: Vec<Check>,
    /// Bytes of memory by count of what was done, by what was done: `inferences`, `sessions`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub memory: BTreeMap<String, Vec<(f64, f64)>>,
}

/// One check of a checklist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// What was checked.
    pub check: String,
    /// `passed`, `failed` or `not-applicable`.
    pub status: String,
    /// What was found, in a line.
    pub reason: String,
    /// What that rests on.
    pub evidence: Vec<Evidence>,
}

/// One fact behind a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evidence {
    /// What was measured.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What was wanted; empty where it is only told.
    pub bound: String,
    /// It is within bounds.
    pub holds: bool,
}

impl Findings {
    /// Takes in a JSON file that a stage wrote, if its format is known.
    pub(super) fn take(&mut self, stage: &StageId, value: &Value) {
        let format = value.get("format").and_then(Value::as_str);
        match format {
            Some("stagewright/stats@1") => {
                self.data.extend(stats(value).map(|found| (stage.clone(), found)));
            }
            Some("stagewright/benchmark@1") => {
                self.benchmarks.extend(read::<Benchmark>(value).map(|found| (stage.clone(), found)));
            }
            Some("stagewright/checklist@1") => {
                self.checklists.extend(read::<Checklist>(value).map(|found| (stage.clone(), found)));
            }
            _ => {
                self.gradients.extend(gradients(value).map(|found| (stage.clone(), found)));
                self.pruning.extend(pruning(value).map(|found| (stage.clone(), found)));
            }
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

/// The part of a dataset's statistics that is shown.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stats {
    dataset: Dataset,
    classes: Vec<ClassCount>,
    pixels: Pixels,
    files: Files,
    duplicates: Groups,
    near_duplicates: Groups,
    leakage: Leakage,
    quality: BTreeMap<String, Quality>,
}

#[derive(Deserialize)]
struct Dataset {
    digest: String,
    samples: u64,
    bytes: u64,
    splits: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Pixels {
    mean: Vec<f64>,
    std: Vec<f64>,
}

#[derive(Deserialize)]
struct Files {
    corrupt: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Groups {
    samples: u64,
    #[serde(default)]
    label_conflicts: Option<u64>,
}

#[derive(Deserialize)]
struct Leakage {
    exact: Groups,
    near: Groups,
}

#[derive(Deserialize)]
struct Quality {
    samples: u64,
    rule: String,
    ids: Vec<String>,
}

/// Samples named for each problem.
const EXAMPLES: usize = 5;

fn stats(value: &Value) -> Option<DataFindings> {
    let Stats { dataset, classes, pixels, files, duplicates, near_duplicates, leakage, quality } =
        read(value)?;
    let problem = |what: &str, samples: u64, rule: &str| Problem {
        what: what.to_owned(),
        samples,
        rule: rule.to_owned(),
        examples: Vec::new(),
    };
    let name = |file: &Value| {
        let id = file.get("id").or_else(|| file.get("path")).and_then(Value::as_str);
        id.or_else(|| file.as_str()).map(str::to_owned)
    };
    let mut problems = vec![
        Problem {
            examples: files.corrupt.iter().filter_map(name).take(EXAMPLES).collect(),
            ..problem("corrupt files", files.corrupt.len() as u64, "can't be decoded")
        },
        problem("exact duplicates", duplicates.samples, "equal pixels"),
        problem(
            "duplicates with different classes",
            duplicates.label_conflicts.unwrap_or(0),
            "equal pixels, other label",
        ),
        problem("near duplicates", near_duplicates.samples, "equal perceptual hash"),
        problem("leaking between splits", leakage.exact.samples, "equal pixels in two splits"),
        problem("nearly leaking between splits", leakage.near.samples, "near duplicates in two splits"),
    ];
    problems.extend(quality.into_iter().map(|(what, found)| Problem {
        what: what.replace('-', " "),
        samples: found.samples,
        rule: found.rule,
        examples: found.ids.into_iter().take(EXAMPLES).collect(),
    }));
    Some(DataFindings {
        samples: dataset.samples,
        bytes: dataset.bytes,
        digest: dataset.digest,
        splits: dataset.splits,
        classes,
        mean: pixels.mean,
        std: pixels.std,
        problems,
    })
}

#[derive(Deserialize)]
struct CurvesFile {
    gradients: GradientsFile,
}

#[derive(Deserialize)]
struct GradientsFile {
    parameters: Vec<String>,
    samples: Vec<GradientSample>,
}

#[derive(Deserialize)]
struct GradientSample {
    step: u64,
    norms: Vec<f64>,
}

fn gradients(value: &Value) -> Option<GradientLayers> {
    let GradientsFile { parameters, samples } = read::<CurvesFile>(value)?.gradients;
    let fits = samples.iter().all(|sample| sample.norms.len() == parameters.len());
    if !fits || samples.is_empty() || parameters.is_empty() {
        return None;
    }
    let norms = (0..parameters.len()).map(|at| samples.iter().map(|sample| sample.norms[at]).collect());
    Some(GradientLayers {
        norms: norms.collect(),
        steps: samples.iter().map(|sample| sample.step).collect(),
        parameters,
    })
}

/// In the order in which they come about.
const STATES: [&str; 3] = ["before", "pruned", "fine-tuned"];

fn pruning(value: &Value) -> Option<Pruning> {
    let all = value.get("states")?;
    let states = STATES.iter().filter_map(|name| Some(((*name).to_owned(), read::<State>(all.get(name)?)?)));
    let states: Vec<_> = states.collect();
    (!states.is_empty()).then_some(Pruning { states })
}

/// Shares at which a distribution is kept, in percent.
const SHARES: [f64; 21] = [
    0.0, 1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 93.0, 95.0, 97.0, 98.0,
    99.0, 99.9, 100.0,
];

/// The distribution of measured times, by nearest rank.
pub(super) fn distribution(mut times: Vec<f64>) -> Vec<(f64, f64)> {
    times.retain(|time| time.is_finite());
    if times.len() < 2 {
        return Vec::new();
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share / 100.0 * times.len() as f64).ceil() as usize;
        times[rank.clamp(1, times.len()) - 1]
    };
    SHARES.iter().map(|&share| (at(share), share)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn only_known_formats_that_read_are_taken() {
        let stage = StageId("s".to_owned());
        let mut found = Findings::default();
        for value in [
            json!(7),
            json!({"format": "stagewright/stats@2"}),
            json!({"format": "stagewright/stats@1", "dataset": {}}),
            json!({"format": "stagewright/benchmark@1", "variants": []}),
            json!({"gradients": {"parameters": ["a", "b"], "samples": [{"step": 1, "norms": [1.0]}]}}),
            json!({"states": {"before": {"parameters": 1}}}),
        ] {
            found.take(&stage, &value);
        }
        assert_eq!(serde_json::to_value(&found).unwrap(), serde_json::to_value(Findings::default()).unwrap());
        let samples = json!([{"step": 1, "norms": [1.0, 2.0]}, {"step": 5, "norms": [3.0, 4.0]}]);
        found.take(&stage, &json!({"gradients": {"parameters": ["a", "b"], "samples": samples}}));
        assert_eq!(found.gradients[0].1.norms, [[1.0, 3.0], [2.0, 4.0]]);
    }

    #[test]
    fn a_distribution_is_of_measured_values() {
        let kept = distribution((1..=200).rev().map(f64::from).collect());
        let at = |share: f64| kept.iter().find(|(_, known)| *known == share).unwrap().0;
        assert_eq!(
            [at(0.0), at(1.0), at(50.0), at(99.0), at(99.9), at(100.0)],
            [1.0, 2.0, 100.0, 198.0, 200.0, 200.0]
        );
        assert!(distribution(vec![f64::NAN, 1.0]).is_empty());
    }
}
