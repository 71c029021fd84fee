//! The params of the stage.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of the stage.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Params {
    /// Model to deploy: a name given by `as:`. Without it, the last one.
    pub candidate: Option<String>,
    /// FP32 model that the candidate was made from. Without it, the first one.
    pub baseline: Option<String>,
    /// How long stress and memory-leak tests take.
    pub duration: DurationParam,
    /// Threads of the model; 0 takes what the stage is granted.
    #[schemars(range(max = 1024))]
    pub threads: usize,
    /// Bounds of `quantization-verified`.
    pub quantization: Quantization,
    /// Load and bounds of `stress`.
    pub stress: Stress,
    /// Bounds of `memory-leak`.
    pub memory_leak: MemoryLeak,
    /// Bounds of `rollback`.
    pub rollback: Rollback,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            candidate: None,
            baseline: None,
            duration: DurationParam::Standard,
            threads: 0,
            quantization: Quantization::default(),
            stress: Stress::default(),
            memory_leak: MemoryLeak::default(),
            rollback: Rollback::default(),
        }
    }
}

/// How long to test. The report names it: a quick test is a look and no release test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DurationParam {
    /// 5 s of load, 5,000 inferences.
    Quick,
    /// A minute of load, 20,000 inferences.
    Standard,
    /// An hour of load, a million inferences.
    Release,
}

/// What a [`DurationParam`] stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Time of load.
    pub stress: Duration,
    /// Largest growth of p99 from the first tenth to the last, as a share.
    pub drift: f64,
    /// Inferences under watch.
    pub inferences: usize,
    /// Times a session is opened and closed under watch.
    pub sessions: usize,
}

impl DurationParam {
    /// The numbers behind the name. A short test has few samples in a tenth of it, so its drift is bounded loosely.
    pub fn extent(self) -> Extent {
        let extent = |seconds, drift, inferences, sessions| Extent {
            stress: Duration::from_secs(seconds),
            drift,
            inferences,
            sessions,
        };
        match self {
            Self::Quick => extent(5, 1.0, 5_000, 50),
            Self::Standard => extent(60, 0.25, 20_000, 200),
            Self::Release => extent(3600, 0.1, 1_000_000, 1_000),
        }
    }
}

/// Bounds of `quantization-verified`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Quantization {
    /// Largest loss of accuracy on the test split against the baseline.
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "pp", "x-source" = "MLPerf Inference: 99 % of FP32"))]
    pub max_drop: f64,
    /// Smallest share of test images for which both name the same class.
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "percent"))]
    pub min_agreement: f64,
}

impl Default for Quantization {
    fn default() -> Self {
        Self { max_drop: 1.0, min_agreement: 95.0 }
    }
}

/// Load and bounds of `stress`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Stress {
    /// Requests per second, one image each, at least 0.001. Without it, a quarter of what the model manages without a pause.
    #[schemars(range(min = 0.001))]
    pub rate: Option<f64>,
    /// Largest p99 from the moment a request is due to its answer. Without it, twenty times the
    /// median of a model at rest, and at least 20 ms.
    #[schemars(range(min = 0.0), extend("x-unit" = "ms"))]
    pub max_p99: Option<f64>,
    /// Largest growth of p99 from the first tenth of the test to the last. Without it, by `duration`: quick 1, standard 0.25,
    /// release 0.1.
    #[schemars(range(min = 0.0), extend("x-unit" = "fraction"))]
    pub max_drift: Option<f64>,
}

/// Bounds of `memory-leak`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MemoryLeak {
    /// Memory that the deployed process may use.
    #[schemars(range(min = 1), extend("x-unit" = "bytes"))]
    pub budget: u64,
    /// Share of the budget that a million inferences may grow by.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub max_growth: f64,
}

impl Default for MemoryLeak {
    fn default() -> Self {
        Self { budget: 1 << 30, max_growth: 0.01 }
    }
}

/// Bounds of `rollback`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rollback {
    /// Longest time from the decision to the first answer (recovery time objective).
    #[schemars(range(min = 0.0), extend("x-unit" = "s"))]
    pub max_time: f64,
    /// Largest accuracy that the previous release may lie below the candidate's before going back is a loss to be told.
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "pp"))]
    pub max_accuracy_loss: f64,
}

impl Default for Rollback {
    fn default() -> Self {
        Self { max_time: 60.0, max_accuracy_loss: 5.0 }
    }
}
