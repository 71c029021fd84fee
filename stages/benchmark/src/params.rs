//! The params of the stage.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of the stage.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Params {
    /// Variant that ratios, drops and agreement refer to: a name given by `as:`. Without it, the first model.
    pub baseline: Option<String>,
    /// Images per run of the throughput measurement; latency is measured at batch 1 as well.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// How long to measure.
    pub duration: DurationParam,
    /// Test images that accuracy is measured on, stratified by class; 0 takes all.
    pub accuracy_samples: usize,
    /// Measure the time share of each operator.
    pub operators: bool,
    /// Threads of each model; 0 takes what the stage is granted.
    #[schemars(range(max = 1024))]
    pub threads: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            baseline: None,
            batch: 32,
            duration: DurationParam::Standard,
            accuracy_samples: 0,
            operators: true,
            threads: 0,
        }
    }
}

/// How long to measure. Results name it, because a quick figure is no standard one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DurationParam {
    /// About 10 s a variant: for a look.
    Quick,
    /// About a minute a variant.
    Standard,
    /// At least 600 s a variant, as MLPerf Inference asks for.
    Mlperf,
}

/// How a duration is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Runs before anything counts.
    pub warm_up: Duration,
    /// One variant's share of one round, for each batch size.
    pub turn: Duration,
    /// Rounds before stability is looked at.
    pub least_rounds: usize,
    /// Rounds after which an unstable measurement is reported as such.
    pub most_rounds: usize,
}

impl DurationParam {
    /// The schedule behind the name.
    pub fn schedule(self) -> Schedule {
        let schedule = |warm_up, turn, least_rounds, most_rounds| Schedule {
            warm_up: Duration::from_millis(warm_up),
            turn: Duration::from_millis(turn),
            least_rounds,
            most_rounds,
        };
        match self {
            Self::Quick => schedule(500, 500, 5, 10),
            Self::Standard => schedule(1_000, 3_000, 5, 15),
            Self::Mlperf => schedule(5_000, 30_000, 10, 20),
        }
    }
}
