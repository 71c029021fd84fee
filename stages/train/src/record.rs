//! What a training leaves behind in numbers: its curves, its best epoch, and when to stop.

use serde::{Deserialize, Serialize};

use crate::params::{EarlyStopping, Monitor, StopMode};

/// Loss and accuracy over a set of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Percentage classified right.
    pub top1: f64,
}

/// One epoch of the curves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    /// Steps taken at its end.
    pub step: u64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Momentum or beta1 of its last step, where the schedule moves it.
    pub momentum: Option<f64>,
    /// Mean over its steps of the gradients' L2 norm before clipping.
    pub gradient_norm: f64,
    /// Over its training batches as they were trained on: augmented, label smoothing in the loss, weights still moving.
    pub train: Score,
    /// Over the validation images at its end.
    pub validation: Option<Score>,
}

impl Epoch {
    /// The monitored number; none where there are no validation images.
    pub fn monitored(&self, monitor: Monitor) -> Option<f64> {
        match monitor {
            Monitor::ValidationTop1 => self.validation.map(|score| score.top1),
            Monitor::ValidationLoss => self.validation.map(|score| score.loss),
            Monitor::TrainTop1 => Some(self.train.top1),
            Monitor::TrainLoss => Some(self.train.loss),
        }
    }
}

/// Gradient norms of all parameters at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GradientSample {
    /// The step, from 1.
    pub step: u64,
    /// L2 norm of all gradients together, before clipping.
    pub total: f64,
    /// L2 norm of each parameter's gradient, in the order of the list of parameters.
    pub norms: Vec<f64>,
}

/// True when `new` is better than `old` by more than `min_delta`.
fn better(mode: StopMode, new: f64, old: f64, min_delta: f64) -> bool {
    match mode {
        StopMode::Min => new < old - min_delta,
        StopMode::Max => new > old + min_delta,
    }
}

impl Monitor {
    /// The direction that is better.
    pub fn mode(self) -> StopMode {
        match self {
            Self::ValidationTop1 | Self::TrainTop1 => StopMode::Max,
            Self::ValidationLoss | Self::TrainLoss => StopMode::Min,
        }
    }

    /// Needs validation images.
    pub fn needs_validation(self) -> bool {
        matches!(self, Self::ValidationTop1 | Self::ValidationLoss)
    }
}

/// Is the last epoch the best so far? Of equal ones the earlier stays, unless its validation loss is higher.
pub fn last_is_best(epochs: &[Epoch], monitor: Monitor) -> bool {
    let Some((last, earlier)) = epochs.split_last() else { return false };
    let Some(new) = last.monitored(monitor) else {
        // Nothing to judge by: the last one is taken.
        return true;
    };
    let loss = |epoch: &Epoch| epoch.validation.unwrap_or(epoch.train).loss;
    earlier.iter().all(|epoch| {
        epoch.monitored(monitor).is_none_or(|old| {
            better(monitor.mode(), new, old, 0.0) || (new == old && loss(last) < loss(epoch))
        })
    })
}

/// Has the watched number not improved for `patience` epochs?
pub fn should_stop(epochs: &[Epoch], rule: &EarlyStopping) -> bool {
    let mode = rule.mode.unwrap_or(rule.monitor.mode());
    let (mut best, mut waited) = (None, 0);
    for value in epochs.iter().filter_map(|epoch| epoch.monitored(rule.monitor)) {
        if best.is_none_or(|best| better(mode, value, best, rule.min_delta)) {
            best = Some(value);
            waited = 0;
        } else {
            waited += 1;
        }
    }
    waited >= rule.patience
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(top1: &[f64], losses: &[f64]) -> Vec<Epoch> {
        let one = |(index, (&top1, &loss)): (usize, (&f64, &f64))| Epoch {
            epoch: index as u32 + 1,
            step: index as u64,
            lr: 0.1,
            momentum: None,
            gradient_norm: 1.0,
            train: Score { loss: 1.0, top1: 50.0 },
            validation: Some(Score { loss, top1 }),
        };
        top1.iter().zip(losses).enumerate().map(one).collect()
    }

    #[test]
    fn the_best_epoch_is_the_first_of_the_highest_or_the_one_with_less_loss() {
        let judge =
            |top1: &[f64], losses: &[f64]| last_is_best(&epochs(top1, losses), Monitor::ValidationTop1);
        assert!(judge(&[50.0], &[1.0]));
        assert!(judge(&[50.0, 60.0], &[1.0, 2.0]));
        assert!(!judge(&[60.0, 50.0], &[1.0, 0.5]));
        assert!(!judge(&[60.0, 60.0], &[1.0, 1.0]));
        assert!(judge(&[60.0, 60.0], &[1.0, 0.9]));
        assert!(!last_is_best(&epochs(&[1.0, 2.0], &[1.0, 1.5]), Monitor::ValidationLoss));
    }

    #[test]
    fn patience_counts_epochs_without_enough_improvement() {
        let rule =
            EarlyStopping { monitor: Monitor::ValidationLoss, patience: 2, min_delta: 0.1, mode: None };
        let stops = |losses: &[f64]| should_stop(&epochs(&vec![0.0; losses.len()], losses), &rule);
        assert!(!stops(&[1.0, 0.95]));
        assert!(stops(&[1.0, 0.95, 0.91]), "0.09 in all is less than min-delta");
        assert!(!stops(&[1.0, 0.95, 0.85]));
        assert!(stops(&[1.0, 0.8, 0.8, 0.8]));
        let upwards = EarlyStopping { mode: Some(StopMode::Max), ..rule };
        assert!(!should_stop(&epochs(&[0.0; 3], &[1.0, 2.0, 3.0]), &upwards));
    }
}
