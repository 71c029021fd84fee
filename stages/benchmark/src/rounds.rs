//! Interleaved timing: every variant gets a turn in every round, so that whatever disturbs the machine disturbs all alike.

use stagewright_measure::{Samples, statistics::median};
use stagewright_sdk::{Context, Result};

use crate::{model::Model, params::Schedule};

/// Medians of those rounds may differ by this share for a measurement to count as stable.
const TOLERANCE: f64 = 0.05;

/// Rounds in a row that have to agree, as for NVIDIA's perf_analyzer.
const WINDOW: usize = 3;

/// Raw wall times of one variant, in milliseconds, round by round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times {
    /// At batch 1.
    pub single: Vec<Vec<f64>>,
    /// At the chosen batch.
    pub batch: Vec<Vec<f64>>,
    /// One and the same sample at batch 1; empty for a model that is never run otherwise.
    pub repeated: Vec<f64>,
}

impl Times {
    /// At both batch sizes there were rounds in a row that agree. Each series is judged by itself: that all of them are calm
    /// in the same moment is rare on any machine that does something else as well.
    pub fn is_stable(&self) -> bool {
        agree(&self.single) && agree(&self.batch)
    }
}

/// True when the medians of any [`WINDOW`] rounds in a row lie within [`TOLERANCE`] of each other.
fn agree(rounds: &[Vec<f64>]) -> bool {
    let medians: Vec<f64> = rounds.iter().map(|times| median(times)).collect();
    medians.windows(WINDOW).any(|window| {
        let low = window.iter().copied().fold(f64::INFINITY, f64::min);
        let high = window.iter().copied().fold(0.0, f64::max);
        high <= low * (1.0 + TOLERANCE)
    })
}

/// Times all models in turns until every one is stable or the schedule ends.
///
/// # Errors
/// A model can't be run, or the run is cancelled.
pub fn time_in_rounds(
    context: &mut Context,
    models: &mut [Box<dyn Model>],
    samples: &Samples<'_>,
    batch: usize,
    schedule: Schedule,
) -> Result<Vec<Times>> {
    let flag = context.cancel_flag();
    let mut check = || match flag.load(std::sync::atomic::Ordering::Relaxed) {
        true => Err(stagewright_sdk::StageFault::environment("cancelled")),
        false => Ok(()),
    };
    for model in models.iter_mut().filter(|model| model.in_process()) {
        model.time_for(samples, 1, schedule.warm_up / 2, &mut check)?;
        model.time_for(samples, batch, schedule.warm_up / 2, &mut check)?;
    }
    let mut times = vec![Times::default(); models.len()];
    for round in 0..schedule.most_rounds {
        context.progress(round as u64, schedule.most_rounds as u64, "rounds", "latency")?;
        for (model, times) in models.iter_mut().zip(&mut times) {
            times.single.push(model.time_for(samples, 1, schedule.turn, &mut check)?);
            times.batch.push(model.time_for(samples, batch, schedule.turn, &mut check)?);
        }
        if round + 1 >= schedule.least_rounds && times.iter().all(Times::is_stable) {
            break;
        }
    }
    let one = Samples { inputs: &samples.inputs[..samples.stride], ..*samples };
    for (model, times) in models.iter_mut().zip(&mut times).filter(|(model, _)| model.in_process()) {
        times.repeated = model.time_for(&one, 1, schedule.turn, &mut check)?;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_means_that_rounds_in_a_row_agree() {
        let round = |time: f64| vec![time, time, 50.0 * time];
        let noisy = [9.0, 2.0, 1.0].map(round).to_vec();
        let calm = [9.0, 1.0, 1.04, 1.02].map(round).to_vec();
        let disturbed_later = [1.0, 1.04, 1.02, 9.0].map(round).to_vec();
        let apart = [1.0, 9.0, 1.04, 9.0, 1.02].map(round).to_vec();
        assert!(agree(&calm) && agree(&disturbed_later));
        assert!(!agree(&noisy) && !agree(&apart) && !agree(&calm[..2]));
    }
}
