//! What is measured, as `results.json` holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// First field of `results.json`.
pub const FORMAT: &str = "stagewright/benchmark@1";

/// Classes up to which results hold a confusion matrix.
pub const MOST_CONFUSED: usize = 100;

/// All results of one benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Results {
    /// Always [`FORMAT`].
    pub format: String,
    /// `quick`, `standard` or `mlperf`.
    pub duration: String,
    /// Variant that ratios refer to.
    pub baseline: String,
    /// Images per run of the throughput measurement.
    pub batch: usize,
    /// Threads of each model.
    pub threads: usize,
    /// The machine while it was measured.
    pub environment: BTreeMap<String, Value>,
    /// Test images that accuracy was measured on.
    pub accuracy_samples: usize,
    /// Class names, for the per-class figures.
    pub classes: Vec<String>,
    /// The models in the order of the pipeline.
    pub variants: Vec<Variant>,
}

/// One model's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Variant {
    /// Name given by `as:`.
    pub name: String,
    /// `fp32`, `fp16`, `int8`, or `unknown` for a model that does not say.
    pub precision: String,
    /// What ran it: `onnxruntime` or `tensorrt`.
    pub runtime: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Share of test images classified right, in percent.
    pub top1: f64,
    /// Share of test images with the right class among the best five, in percent; none with five classes or fewer.
    pub top5: Option<f64>,
    /// Share of test images for which it names the same class as the baseline, in percent.
    pub agreement: f64,
    /// Baseline's accuracy minus its own, in points of percent, with the 95 % interval for paired samples.
    pub drop: [f64; 3],
    /// Class that lost most against the baseline, and points lost.
    pub worst_class: Option<(String, f64)>,
    /// Accuracy within each class in percent, in the order of the class list.
    pub per_class: Vec<Option<f64>>,
    /// Test images by true class and by the class that it names; none with more than [`MOST_CONFUSED`] classes, whose matrix
    /// nobody could read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Latency at batch 1 in milliseconds.
    pub latency: Value,
    /// Latency at the chosen batch in milliseconds.
    pub batch_latency: Value,
    /// Images per second at the chosen batch.
    pub throughput: f64,
    /// Peak resident bytes of a process that does nothing else, and how much of it the model added; none for an engine,
    /// which lives on the GPU.
    pub memory: Option<Memory>,
    /// Bytes of the GPU's memory in use while an engine runs, above what was in use before (its CUDA context counts);
    /// none for an ONNX model and where `nvidia-smi` does not tell.
    pub gpu_memory: Option<u64>,
    /// Baseline's median latency at batch 1 divided by its own.
    pub speedup: f64,
    /// Latency figures agreed between rounds; otherwise the machine was not quiet.
    pub stable: bool,
    /// Median latency of one sample again and again, divided by that of samples in turn; far below 1 a cache was measured.
    /// None for an engine: `trtexec` only knows one sample again and again.
    pub repeated_sample_ratio: Option<f64>,
    /// Share of the time by operator, largest first, in percent.
    pub operators: Vec<(String, f64)>,
    /// How busy the GPU is at the chosen batch.
    pub gpu_profile: GpuProfile,
}

/// How busy the GPU is while a model runs, as NVIDIA Nsight Systems sees it in a window of steady state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum GpuProfile {
    /// It was profiled.
    Measured {
        /// Share of the window in which a kernel, a copy or a fill runs, in percent.
        gpu_use: f64,
        /// Share of kernels in the time of all the GPU's work, in percent.
        kernel_share: f64,
        /// Share of copies in the time of all the GPU's work, in percent.
        memcpy_share: f64,
        /// Length of the window in milliseconds.
        window: f64,
    },
    /// It was not.
    NotRun {
        /// Why.
        reason: String,
    },
}

/// Memory figures in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Memory {
    /// Peak resident size of the process.
    pub process_peak: u64,
    /// What the model added.
    pub model: u64,
}

impl Variant {
    /// A figure of [`Variant::latency`] in milliseconds.
    pub fn latency_ms(&self, figure: &str) -> f64 {
        self.latency.get(figure).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }
}
