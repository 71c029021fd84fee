//! Learning rate and momentum as functions of the step.

use std::f64::consts::PI;

use crate::Setting;

/// How a value moves between two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anneal {
    /// Along half a cosine.
    Cosine,
    /// Along a straight line.
    Linear,
}

/// A schedule over a training of known length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant {
        /// Learning rate.
        lr: f64,
    },
    /// A linear warm-up, then half a cosine down.
    Cosine {
        /// Learning rate after the warm-up.
        lr: f64,
        /// Learning rate of the last step.
        min_lr: f64,
        /// Steps of the warm-up.
        warmup_steps: u64,
    },
    /// Smith and Topin's one cycle, with the formulas of `torch.optim.lr_scheduler.OneCycleLR`.
    OneCycle {
        /// Learning rate at the top.
        max_lr: f64,
        /// Part of the training until the top, 0 to 1.
        pct_start: f64,
        /// How it moves.
        anneal: Anneal,
        /// The first learning rate is `max_lr / div_factor`.
        div_factor: f64,
        /// The last learning rate is the first one divided by this.
        final_div_factor: f64,
        /// Comes down the way it went up, then goes on to the last learning rate.
        three_phase: bool,
        /// (least, most) momentum, moving against the learning rate; none leaves the optimizer's own.
        momentum: Option<(f64, f64)>,
    },
}

impl Schedule {
    /// Learning rate and momentum of step `step` (from 0) out of `total`. Past the end it stays at the last step's
    /// value, where PyTorch's one cycle would start to rise again.
    pub fn at(&self, step: u64, total: u64) -> Setting {
        let step = step.min(total.saturating_sub(1));
        match *self {
            Self::Constant { lr } => Setting { lr, momentum: None },
            Self::Cosine { lr, min_lr, warmup_steps } => {
                let lr = if step < warmup_steps {
                    lr * (step + 1) as f64 / (warmup_steps + 1) as f64
                } else {
                    let span = total.saturating_sub(warmup_steps + 1).max(1) as f64;
                    between(Anneal::Cosine, lr, min_lr, (step - warmup_steps) as f64 / span)
                };
                Setting { lr, momentum: None }
            }
            Self::OneCycle {
                max_lr,
                pct_start,
                anneal,
                div_factor,
                final_div_factor,
                three_phase,
                momentum,
            } => {
                let first = max_lr / div_factor;
                let last = first / final_div_factor;
                let (least, most) = momentum.unwrap_or((0.0, 0.0));
                let top = pct_start * total as f64 - 1.0;
                let end = total as f64 - 1.0;
                // (end of the phase, learning rates, momenta), each from → to.
                let phases: &[(f64, [f64; 2], [f64; 2])] = if three_phase {
                    &[
                        (top, [first, max_lr], [most, least]),
                        (2.0 * pct_start * total as f64 - 2.0, [max_lr, first], [least, most]),
                        (end, [first, last], [most, most]),
                    ]
                } else {
                    &[(top, [first, max_lr], [most, least]), (end, [max_lr, last], [least, most])]
                };
                let now = step as f64;
                let mut start = 0.0;
                let mut setting = Setting { lr: last, momentum: None };
                for &(phase_end, rates, momenta) in phases {
                    if now <= phase_end || phase_end == end {
                        // An empty phase (one step in all, or a start of 0) is over at once.
                        let length = phase_end - start;
                        let done = if length > 0.0 { (now - start) / length } else { 1.0 };
                        setting.lr = between(anneal, rates[0], rates[1], done);
                        setting.momentum = momentum.map(|_| between(anneal, momenta[0], momenta[1], done));
                        break;
                    }
                    start = phase_end;
                }
                setting
            }
        }
    }
}

fn between(anneal: Anneal, from: f64, to: f64, done: f64) -> f64 {
    match anneal {
        Anneal::Cosine => to + (from - to) / 2.0 * ((PI * done).cos() + 1.0),
        Anneal::Linear => from + (to - from) * done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_cycle(max_lr: f64) -> Schedule {
        Schedule::OneCycle {
            max_lr,
            pct_start: 0.3,
            anneal: Anneal::Cosine,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
            momentum: Some((0.85, 0.95)),
        }
    }

    #[test]
    fn one_cycle_gives_the_published_numbers() {
        // OneCycleLR's formulas with max_lr 0.01 over 100 steps.
        let golden = [
            (0, 4.0e-4),
            (1, 4.28137806e-4),
            (15, 5.45986676e-3),
            (29, 1.0e-2),
            (30, 9.99496535e-3),
            (64, 5.00002e-3),
            (98, 5.07464715e-6),
            (99, 4.0e-8),
        ];
        for (step, lr) in golden {
            let ours = one_cycle(0.01).at(step, 100).lr;
            assert!((ours / lr - 1.0).abs() < 1e-8, "step {step}: {ours} is not {lr}");
        }
    }

    #[test]
    fn past_the_end_it_stays_down() {
        // PyTorch's gives 5.07464715e-6 at step 100 of 100, more than a hundred times the last step's.
        assert_eq!(one_cycle(0.01).at(100, 100), one_cycle(0.01).at(99, 100));
    }

    #[test]
    fn momentum_moves_against_the_learning_rate() {
        let momentum = |step| one_cycle(0.01).at(step, 100).momentum.unwrap_or_default();
        assert!((momentum(0) - 0.95).abs() < 1e-12);
        assert!((momentum(29) - 0.85).abs() < 1e-12);
        assert!((momentum(99) - 0.95).abs() < 1e-12);
    }

    #[test]
    fn a_training_of_one_step_has_a_learning_rate() {
        for schedule in [one_cycle(0.1), Schedule::Cosine { lr: 0.1, min_lr: 0.0, warmup_steps: 0 }] {
            assert!(schedule.at(0, 1).lr.is_finite(), "{schedule:?}");
        }
    }

    #[test]
    fn cosine_warms_up_and_ends_at_the_least() {
        let schedule = Schedule::Cosine { lr: 1.0, min_lr: 0.1, warmup_steps: 3 };
        let rates: Vec<f64> = (0..10).map(|step| schedule.at(step, 10).lr).collect();
        assert_eq!(rates[..3], [0.25, 0.5, 0.75]);
        assert_eq!(rates[3], 1.0);
        assert!((rates[9] - 0.1).abs() < 1e-12, "{rates:?}");
        assert!(rates[3..].windows(2).all(|pair| pair[0] > pair[1]), "{rates:?}");
    }
}
