//! Optimizer and schedule as the pipeline writes them, and as libtorch gets them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_sdk::{Result, StageFault};
use stagewright_torch::{Anneal, Decay, Rule, Schedule};

/// How weights move. `lr` is the peak: the schedule starts from it or leads up to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum OptimizerParams {
    /// Adam with decoupled weight decay.
    #[serde(rename = "adamw")]
    AdamW {
        /// Peak learning rate.
        #[serde(default = "adamw::lr")]
        #[schemars(range(min = 0.0))]
        lr: f64,
        /// Decay of the first moment.
        #[serde(default = "adamw::beta1")]
        #[schemars(range(min = 0.0, max = 1.0), extend("x-source" = "torch.optim.AdamW"))]
        beta1: f64,
        /// Decay of the second moment.
        #[serde(default = "adamw::beta2")]
        #[schemars(range(min = 0.0, max = 1.0), extend("x-source" = "torch.optim.AdamW"))]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "adamw::eps")]
        #[schemars(range(min = 0.0), extend("x-source" = "torch.optim.AdamW"))]
        eps: f64,
        /// A step shrinks weights by learning rate times this.
        #[serde(default = "adamw::weight_decay")]
        #[schemars(range(min = 0.0))]
        weight_decay: f64,
    },
    /// Gradient descent with momentum.
    #[schemars(extend(
        "if" = { "properties": { "nesterov": { "const": true } }, "required": ["nesterov"] },
        "then" = { "properties": { "momentum": { "exclusiveMinimum": 0 } } },
        "x-because" = "Nesterov's look-ahead goes along the momentum: set `momentum`, or `nesterov: false`"
    ))]
    Sgd {
        /// Peak learning rate.
        #[serde(default = "sgd::lr")]
        #[schemars(range(min = 0.0))]
        lr: f64,
        /// Decay of the velocity; 0 for none.
        #[serde(default = "sgd::momentum")]
        #[schemars(range(min = 0.0, max = 1.0))]
        momentum: f64,
        /// Nesterov's look-ahead; needs momentum.
        #[serde(default = "sgd::nesterov")]
        nesterov: bool,
        /// The gradient grows by this times the weight.
        #[serde(default = "sgd::weight_decay")]
        #[schemars(range(min = 0.0), extend("x-source" = "He et al. 2015, section 3.4"))]
        weight_decay: f64,
    },
}

mod adamw {
    pub fn lr() -> f64 {
        3e-3
    }
    pub fn beta1() -> f64 {
        0.9
    }
    pub fn beta2() -> f64 {
        0.999
    }
    pub fn eps() -> f64 {
        1e-8
    }
    pub fn weight_decay() -> f64 {
        0.05
    }
}

mod sgd {
    pub fn lr() -> f64 {
        0.2
    }
    pub fn momentum() -> f64 {
        0.9
    }
    pub fn nesterov() -> bool {
        true
    }
    pub fn weight_decay() -> f64 {
        5e-4
    }
}

impl Default for OptimizerParams {
    fn default() -> Self {
        Self::AdamW {
            lr: adamw::lr(),
            beta1: adamw::beta1(),
            beta2: adamw::beta2(),
            eps: adamw::eps(),
            weight_decay: adamw::weight_decay(),
        }
    }
}

/// Which tensors decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightDecayOn {
    /// Weights of convolutions and linear layers.
    Weights,
    /// Everything, batch norm and biases too, as PyTorch's optimizers do unless told otherwise.
    All,
}

/// How the learning rate moves from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum ScheduleParams {
    /// The optimizer's `lr` throughout.
    Constant {},
    /// Linear warm-up to the optimizer's `lr`, then half a cosine down.
    Cosine {
        /// Learning rate of the last step.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        min_lr: f64,
        /// Epochs of the warm-up.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        warmup_epochs: f64,
    },
    /// One cycle: up to the optimizer's `lr`, then down far below the start. Formulas of `torch.optim.lr_scheduler.OneCycleLR`.
    OneCycle {
        /// Part of the training until the top.
        #[serde(default = "one_cycle::pct_start")]
        #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction", "x-source" = "torch OneCycleLR"))]
        pct_start: f64,
        /// Shape of the way up and down.
        #[serde(default)]
        anneal: AnnealParam,
        /// The first learning rate is the top one divided by this.
        #[serde(default = "one_cycle::div_factor")]
        #[schemars(range(min = 1.0), extend("x-source" = "torch OneCycleLR"))]
        div_factor: f64,
        /// The last learning rate is the first one divided by this.
        #[serde(default = "one_cycle::final_div_factor")]
        #[schemars(range(min = 1.0), extend("x-source" = "torch OneCycleLR"))]
        final_div_factor: f64,
        /// Come down as one went up, then go on to the last learning rate.
        #[serde(default)]
        three_phase: bool,
        /// Move momentum against the learning rate. Default: on for SGD, off for AdamW, where it would replace `beta1`
        /// (PyTorch's is on for both).
        #[serde(default)]
        cycle_momentum: Option<bool>,
        /// Least momentum, at the top of the learning rate.
        #[serde(default = "one_cycle::base_momentum")]
        #[schemars(range(min = 0.0, max = 1.0), extend("x-source" = "torch OneCycleLR"))]
        base_momentum: f64,
        /// Most momentum, at both ends.
        #[serde(default = "one_cycle::max_momentum")]
        #[schemars(range(min = 0.0, max = 1.0), extend("x-source" = "torch OneCycleLR"))]
        max_momentum: f64,
    },
}

mod one_cycle {
    pub fn pct_start() -> f64 {
        0.3
    }
    pub fn div_factor() -> f64 {
        25.0
    }
    pub fn final_div_factor() -> f64 {
        1e4
    }
    pub fn base_momentum() -> f64 {
        0.85
    }
    pub fn max_momentum() -> f64 {
        0.95
    }
}

impl Default for ScheduleParams {
    fn default() -> Self {
        Self::OneCycle {
            pct_start: one_cycle::pct_start(),
            anneal: AnnealParam::Cosine,
            div_factor: one_cycle::div_factor(),
            final_div_factor: one_cycle::final_div_factor(),
            three_phase: false,
            cycle_momentum: None,
            base_momentum: one_cycle::base_momentum(),
            max_momentum: one_cycle::max_momentum(),
        }
    }
}

/// Shape of a way up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnnealParam {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
}

impl WeightDecayOn {
    /// In libtorch's words.
    pub fn resolve(self) -> Decay {
        match self {
            Self::Weights => Decay::Weights,
            Self::All => Decay::All,
        }
    }
}

impl OptimizerParams {
    /// Peak learning rate.
    pub fn lr(&self) -> f64 {
        match *self {
            Self::AdamW { lr, .. } | Self::Sgd { lr, .. } => lr,
        }
    }

    /// Checks ranges and gives the rule.
    pub fn resolve(&self) -> Result<Rule> {
        at_least("optimizer.lr", self.lr(), 0.0)?;
        match *self {
            Self::AdamW { lr: _, beta1, beta2, eps, weight_decay } => {
                below_one("optimizer.beta1", beta1)?;
                below_one("optimizer.beta2", beta2)?;
                at_least("optimizer.eps", eps, 0.0)?;
                at_least("optimizer.weight-decay", weight_decay, 0.0)?;
                Ok(Rule::AdamW { beta1, beta2, eps, weight_decay })
            }
            Self::Sgd { lr: _, momentum, nesterov, weight_decay } => {
                below_one("optimizer.momentum", momentum)?;
                at_least("optimizer.weight-decay", weight_decay, 0.0)?;
                if nesterov && momentum == 0.0 {
                    let message =
                        "`optimizer.nesterov` looks ahead along the momentum, but `optimizer.momentum` is 0";
                    return Err(StageFault::user(message).hint("set `momentum`, or `nesterov: false`"));
                }
                Ok(Rule::Sgd { momentum, nesterov, weight_decay })
            }
        }
    }
}

impl ScheduleParams {
    /// Checks ranges and gives the schedule of a training with so many steps per epoch.
    pub fn resolve(&self, optimizer: &OptimizerParams, steps_per_epoch: u64) -> Result<Schedule> {
        let lr = optimizer.lr();
        match *self {
            Self::Constant {} => Ok(Schedule::Constant { lr }),
            Self::Cosine { min_lr, warmup_epochs } => {
                at_least("schedule.min-lr", min_lr, 0.0)?;
                at_least("schedule.warmup-epochs", warmup_epochs, 0.0)?;
                let warmup_steps = (warmup_epochs * steps_per_epoch as f64).round() as u64;
                Ok(Schedule::Cosine { lr, min_lr, warmup_steps })
            }
            Self::OneCycle {
                pct_start,
                anneal,
                div_factor,
                final_div_factor,
                three_phase,
                cycle_momentum: _,
                base_momentum,
                max_momentum,
            } => {
                within("schedule.pct-start", pct_start, 0.0, if three_phase { 0.5 } else { 1.0 })?;
                at_least("schedule.div-factor", div_factor, 1.0)?;
                at_least("schedule.final-div-factor", final_div_factor, 1.0)?;
                below_one("schedule.base-momentum", base_momentum)?;
                below_one("schedule.max-momentum", max_momentum)?;
                let anneal = match anneal {
                    AnnealParam::Cosine => Anneal::Cosine,
                    AnnealParam::Linear => Anneal::Linear,
                };
                let momentum = self.cycles_momentum(optimizer).then_some((base_momentum, max_momentum));
                Ok(Schedule::OneCycle {
                    max_lr: lr,
                    pct_start,
                    anneal,
                    div_factor,
                    final_div_factor,
                    three_phase,
                    momentum,
                })
            }
        }
    }

    fn cycles_momentum(&self, optimizer: &OptimizerParams) -> bool {
        match (self, optimizer) {
            (Self::OneCycle { cycle_momentum, .. }, OptimizerParams::AdamW { .. }) => {
                cycle_momentum.unwrap_or(false)
            }
            (Self::OneCycle { cycle_momentum, .. }, OptimizerParams::Sgd { momentum, .. }) => {
                cycle_momentum.unwrap_or(*momentum != 0.0)
            }
            _ => false,
        }
    }

    /// A warning where a written number is silently replaced by another.
    pub fn warning(&self, optimizer: &OptimizerParams) -> Option<String> {
        let Self::OneCycle { base_momentum, max_momentum, .. } = self else { return None };
        if !self.cycles_momentum(optimizer) {
            return None;
        }
        match optimizer {
            OptimizerParams::AdamW { beta1, .. } => Some(format!(
                "`schedule.cycle-momentum` with AdamW moves beta1 from {max_momentum} to {base_momentum} and back: \
                 `optimizer.beta1` {beta1} is never used. Leave `cycle-momentum` out to keep it"
            )),
            OptimizerParams::Sgd { momentum, .. } => (momentum < base_momentum || momentum > max_momentum).then(|| {
                format!(
                    "`schedule.cycle-momentum` moves the momentum between {base_momentum} and {max_momentum}; \
                     `optimizer.momentum` {momentum} is outside and never used"
                )
            }),
        }
    }
}

/// Fails unless `value` is finite and at least `least`.
pub fn at_least(name: &str, value: f64, least: f64) -> Result<()> {
    if value.is_finite() && value >= least {
        return Ok(());
    }
    Err(StageFault::user(format!("`{name}` is {value}, it must be at least {least}")))
}

/// Fails unless `least ≤ value ≤ most`.
pub fn within(name: &str, value: f64, least: f64, most: f64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(StageFault::user(format!("`{name}` is {value}, it must be from {least} to {most}")))
}

fn below_one(name: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(StageFault::user(format!("`{name}` is {value}, it must be at least 0 and below 1")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn schedule(text: &str) -> ScheduleParams {
        serde_json::from_str(text).unwrap()
    }

    fn optimizer(text: &str) -> OptimizerParams {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn one_cycle_leaves_beta1_alone_unless_told_and_then_says_so() {
        let adamw = optimizer(r#"{"kind":"adamw"}"#);
        let quiet = schedule(r#"{"kind":"one-cycle"}"#);
        assert_eq!(quiet.resolve(&adamw, 10).unwrap().at(0, 100).momentum, None);
        assert_eq!(quiet.warning(&adamw), None);
        let loud = schedule(r#"{"kind":"one-cycle","cycle-momentum":true}"#);
        assert_eq!(loud.resolve(&adamw, 10).unwrap().at(0, 100).momentum, Some(0.95));
        let warning = loud.warning(&adamw).unwrap();
        assert!(
            warning.contains("moves beta1 from 0.95 to 0.85")
                && warning.contains("`optimizer.beta1` 0.9 is never used"),
            "{warning}"
        );
    }

    #[test]
    fn one_cycle_moves_the_momentum_of_sgd() {
        let sgd = optimizer(r#"{"kind":"sgd"}"#);
        let cycle = schedule(r#"{"kind":"one-cycle"}"#);
        assert_eq!(cycle.resolve(&sgd, 10).unwrap().at(0, 100).momentum, Some(0.95));
        assert_eq!(cycle.warning(&sgd), None);
        let plain = optimizer(r#"{"kind":"sgd","momentum":0.0,"nesterov":false}"#);
        assert_eq!(cycle.resolve(&plain, 10).unwrap().at(0, 100).momentum, None);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let message = |text: &str| optimizer(text).resolve().unwrap_err().to_string();
        assert_eq!(message(r#"{"kind":"adamw","lr":-1.0}"#), "`optimizer.lr` is -1, it must be at least 0");
        assert_eq!(
            message(r#"{"kind":"adamw","beta1":1.0}"#),
            "`optimizer.beta1` is 1, it must be at least 0 and below 1"
        );
        assert_eq!(
            message(r#"{"kind":"sgd","momentum":0.0}"#),
            "`optimizer.nesterov` looks ahead along the momentum, but `optimizer.momentum` is 0"
        );
        let early = schedule(r#"{"kind":"one-cycle","pct-start":0.7,"three-phase":true}"#);
        let error = early.resolve(&OptimizerParams::default(), 1).unwrap_err();
        assert_eq!(error.to_string(), "`schedule.pct-start` is 0.7, it must be from 0 to 0.5");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_str::<OptimizerParams>(r#"{"kind":"sgd","beta1":0.9}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `beta1`"), "{error}");
        let error = serde_json::from_str::<ScheduleParams>(r#"{"kind":"constant","lr":0.9}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `lr`"), "{error}");
    }
}
