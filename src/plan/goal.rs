//! What is better: a metric and the direction in which it should go.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::StageId;

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Small ones: latency, size.
    Minimize,
    /// Large ones: accuracy.
    Maximize,
}

impl Direction {
    /// The value such that smaller is better.
    pub fn cost(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Minimize => "minimize",
            Self::Maximize => "maximize",
        })
    }
}

/// A metric of a stage, written `stage:metric`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetricOf {
    /// The stage that reports it; `train[seed=0]` for one of a matrix.
    pub stage: StageId,
    /// The metric.
    pub metric: String,
}

/// A metric to be made as good as possible.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Goal {
    /// The metric.
    pub of: MetricOf,
    /// Which way is better.
    pub direction: Direction,
}

/// Why a text names no metric of a stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `<stage>:<metric>`")]
pub struct MetricOfError(String);

impl FromStr for MetricOf {
    type Err = MetricOfError;

    fn from_str(text: &str) -> Result<Self, MetricOfError> {
        match text.split_once(':') {
            Some((stage, metric)) if !stage.is_empty() && !metric.is_empty() => {
                Ok(Self { stage: StageId(stage.to_owned()), metric: metric.to_owned() })
            }
            _ => Err(MetricOfError(text.to_owned())),
        }
    }
}

impl fmt::Display for MetricOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.stage, self.metric)
    }
}
