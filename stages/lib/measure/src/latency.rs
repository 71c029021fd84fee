//! Time from a normalized input in memory to logits in memory.

use std::time::{Duration, Instant};

use serde::Serialize;
use stagewright_onnx::Session;
use stagewright_sdk::Result;

use crate::statistics::{Interval, mean, percentile, percentile_interval, sorted};

/// Inputs to measure with: real samples, taken in turn, so that no run sees what the one before left in a cache.
pub struct Samples<'a> {
    /// Inputs one after the other, each `[3, height, width]`; at least `batch` of them.
    pub inputs: &'a [f32],
    /// Values in one input.
    pub stride: usize,
    /// Height and width.
    pub size: [usize; 2],
}

/// Runs one batch that starts at the sample `turn` (round and round) and gives its wall time in milliseconds.
///
/// # Errors
/// The model can't be run.
pub fn time_one(session: &mut Session, samples: &Samples<'_>, batch: usize, turn: usize) -> Result<f64> {
    let starts = samples.inputs.len() / samples.stride - batch + 1;
    let start = (turn * batch) % starts * samples.stride;
    let input = &samples.inputs[start..start + batch * samples.stride];
    let began = Instant::now();
    let logits = session.run_sized(input, batch, samples.size)?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    // The answer counts as used, so that nothing can be left out.
    std::hint::black_box(logits);
    Ok(took)
}

/// Runs batches one after the other for a time, at least three; wall times in milliseconds.
///
/// # Errors
/// The model can't be run, or `check` (asked before each run) says stop.
pub fn time_for(
    session: &mut Session,
    samples: &Samples<'_>,
    batch: usize,
    time: Duration,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || began.elapsed() < time {
        check()?;
        times.push(time_one(session, samples, batch, times.len())?);
    }
    Ok(times)
}

/// Summary of many wall times, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// Number of runs.
    pub runs: usize,
    /// Mean.
    pub mean: f64,
    /// Nearest-rank percentile.
    pub p50: f64,
    /// Nearest-rank percentile.
    pub p90: f64,
    /// Nearest-rank percentile.
    pub p99: f64,
    /// Nearest-rank percentile.
    pub p99_9: f64,
    /// Slowest run.
    pub max: f64,
    /// 95 % confidence interval of p50.
    pub p50_interval: [f64; 2],
    /// 95 % confidence interval of p99.
    pub p99_interval: [f64; 2],
}

impl Latency {
    /// Sums up wall times in any order.
    pub fn of(times: &[f64]) -> Self {
        let ascending = sorted(times);
        let bounds = |Interval { low, high, .. }: Interval| [low, high];
        Self {
            runs: times.len(),
            mean: mean(times),
            p50: percentile(&ascending, 50.0),
            p90: percentile(&ascending, 90.0),
            p99: percentile(&ascending, 99.0),
            p99_9: percentile(&ascending, 99.9),
            max: ascending.last().copied().unwrap_or(f64::NAN),
            p50_interval: bounds(percentile_interval(&ascending, 50.0)),
            p99_interval: bounds(percentile_interval(&ascending, 99.0)),
        }
    }
}
