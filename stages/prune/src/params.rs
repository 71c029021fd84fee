//! Params of the stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_model::prune::{Importance, Ranking};
use stagewright_sdk::{Result, StageFault};

/// What to prune and what to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Params {
    /// Zero single weights, or take whole channels out.
    pub method: Method,
    /// Convolutions and linear layers to leave alone, by name. Channel pruning keeps their output channels and those of
    /// every layer that shares them.
    #[serde(default)]
    pub ignored_layers: Vec<String>,
    /// Training after pruning; without it the weights that are left stay as they are.
    #[serde(default)]
    pub fine_tune: Option<FineTune>,
    /// Accuracy with one layer (or group of layers) pruned at a time, for the report.
    #[serde(default)]
    pub sensitivity: Option<Sensitivity>,
    /// How latency is measured before and after.
    #[serde(default)]
    pub latency: Latency,
    /// Images per forward pass when accuracy is measured.
    #[serde(default = "evaluation_batch")]
    #[schemars(range(min = 1, max = 65_536))]
    pub evaluation_batch: u32,
    /// Where to compute. `auto` takes a GPU if libtorch finds one.
    #[serde(default)]
    pub device: DeviceParam,
}

fn evaluation_batch() -> u32 {
    128
}

/// How to prune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// Zeroes the smallest weights of all convolutions and linear layers ranked together. The network keeps its size: it is no
    /// faster on dense kernels.
    Unstructured {
        /// Share of those weights that becomes 0: round(amount · count), halves to even.
        #[serde(default = "half")]
        #[schemars(
            range(min = 0.0, max = 1.0),
            extend("x-unit" = "fraction", "x-source" = "torch.nn.utils.prune.global_unstructured with L1Unstructured")
        )]
        amount: f64,
    },
    /// Takes channels out, together in all layers that share them. The network is really smaller.
    Structured {
        /// Share of the channels to take out, at least 0 and below 1.
        #[serde(default = "half")]
        #[schemars(range(min = 0.0, max = 0.99), extend("x-unit" = "fraction"))]
        ratio: f64,
        /// What is left of a layer's channels is a multiple of this. Odd widths can make a network slower than it was.
        #[serde(default = "round_to")]
        #[schemars(range(min = 1, max = 1024))]
        round_to: u32,
        /// How channels are weighed: norm over all weights that would go with one.
        #[serde(default)]
        importance: Importance,
        /// Against which channels one is ranked.
        #[serde(default)]
        ranking: Ranking,
    },
}

fn half() -> f64 {
    0.5
}

fn round_to() -> u32 {
    8
}

/// Training after pruning, with weights that were zeroed held at 0. The state with the best validation accuracy is kept, the
/// one before the first epoch included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FineTune {
    /// Passes over the training images.
    #[schemars(range(min = 1, max = 10_000))]
    pub epochs: u32,
    /// Images per step. Where an epoch has at least one full batch, the rest of it is left out.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_size: u32,
    /// How weights move.
    pub optimizer: OptimizerParams,
    /// Share of the target that is spread over all classes.
    #[schemars(range(min = 0.0, max = 0.999), extend("x-unit" = "fraction"))]
    pub label_smoothing: f64,
    /// Scale the gradients of a step down to this L2 norm; 0 leaves them.
    #[schemars(range(min = 0.0))]
    pub clip_norm: f64,
    /// Number type of convolutions and matrix products.
    pub precision: PrecisionParam,
}

impl Default for FineTune {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 128,
            optimizer: OptimizerParams::Sgd { lr: sgd_lr(), momentum: momentum(), weight_decay: sgd_decay() },
            label_smoothing: 0.0,
            clip_norm: 0.0,
            precision: PrecisionParam::Fp32,
        }
    }
}

/// How weights move. The learning rate falls from `lr` to 0 along half a cosine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum OptimizerParams {
    /// Gradient descent with Nesterov momentum.
    Sgd {
        /// First learning rate.
        #[serde(default = "sgd_lr")]
        #[schemars(range(min = 0.0))]
        lr: f64,
        /// Decay of the velocity; 0 for none.
        #[serde(default = "momentum")]
        #[schemars(range(min = 0.0, max = 1.0))]
        momentum: f64,
        /// The gradient of a weight grows by this times the weight.
        #[serde(default = "sgd_decay")]
        #[schemars(range(min = 0.0))]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay.
    #[serde(rename = "adamw")]
    AdamW {
        /// First learning rate.
        #[serde(default = "adamw_lr")]
        #[schemars(range(min = 0.0))]
        lr: f64,
        /// A step shrinks weights by learning rate times this.
        #[serde(default = "adamw_decay")]
        #[schemars(range(min = 0.0))]
        weight_decay: f64,
    },
}

impl OptimizerParams {
    /// The first learning rate.
    pub fn lr(&self) -> f64 {
        match *self {
            Self::Sgd { lr, .. } | Self::AdamW { lr, .. } => lr,
        }
    }
}

fn sgd_lr() -> f64 {
    0.02
}

fn momentum() -> f64 {
    0.9
}

fn sgd_decay() -> f64 {
    5e-4
}

fn adamw_lr() -> f64 {
    5e-4
}

fn adamw_decay() -> f64 {
    0.05
}

/// A curve of accuracy over the share that is pruned, for each layer by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sensitivity {
    /// Shares to prune, each at least 0 and below 1.
    #[schemars(length(min = 1, max = 32), extend("x-unit" = "fraction"))]
    pub amounts: Vec<f64>,
    /// Validation images to measure with, by class as they are; 0 takes all.
    pub images: u32,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self { amounts: vec![0.1, 0.3, 0.5, 0.7, 0.9], images: 512 }
    }
}

/// How latency is measured: forward passes in fp32 through libtorch, the networks before and after taking turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Latency {
    /// Images per pass.
    #[schemars(range(min = 1, max = 4096))]
    pub batch: u32,
    /// Passes of each network before the first that counts.
    #[schemars(range(min = 0, max = 10_000))]
    pub warm_up: u32,
    /// Passes of each network that count; their median is reported. 0 measures nothing.
    #[schemars(range(min = 0, max = 100_000))]
    pub repetitions: u32,
}

impl Default for Latency {
    fn default() -> Self {
        Self { batch: 1, warm_up: 10, repetitions: 100 }
    }
}

/// Number type of the expensive operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionParam {
    /// 32-bit floats throughout.
    Fp32,
    /// bfloat16 with 32-bit weights, sums and losses (autocast).
    Bf16,
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceParam {
    /// A GPU if there is one.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first GPU; without one the stage fails.
    Cuda,
}

impl DeviceParam {
    /// The word that [`stagewright_torch::device::pick`] knows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl Params {
    /// Checks what the types leave open, beyond what the pruning itself checks.
    pub fn check(&self) -> Result<()> {
        let within = |name: &str, value: f64, low: f64, high: f64| match (low..=high).contains(&value) {
            true => Ok(()),
            false if high.is_infinite() => {
                Err(StageFault::user(format!("`{name}` is {value}, it must be at least {low}")))
            }
            false => Err(StageFault::user(format!("`{name}` is {value}, it must be {low} to {high}"))),
        };
        within("evaluation-batch", self.evaluation_batch.into(), 1.0, 65_536.0)?;
        within("latency.batch", self.latency.batch.into(), 1.0, 4096.0)?;
        within("latency.warm-up", self.latency.warm_up.into(), 0.0, 10_000.0)?;
        within("latency.repetitions", self.latency.repetitions.into(), 0.0, 100_000.0)?;
        if let Some(tune) = &self.fine_tune {
            within("fine-tune.epochs", tune.epochs.into(), 1.0, 10_000.0)?;
            within("fine-tune.batch-size", tune.batch_size.into(), 1.0, 65_536.0)?;
            within("fine-tune.label-smoothing", tune.label_smoothing, 0.0, 0.999)?;
            within("fine-tune.clip-norm", tune.clip_norm, 0.0, f64::INFINITY)?;
            within("fine-tune.optimizer.lr", tune.optimizer.lr(), 0.0, f64::INFINITY)?;
            match tune.optimizer {
                OptimizerParams::Sgd { momentum, weight_decay, .. } => {
                    within("fine-tune.optimizer.momentum", momentum, 0.0, 1.0)?;
                    within("fine-tune.optimizer.weight-decay", weight_decay, 0.0, f64::INFINITY)?;
                }
                OptimizerParams::AdamW { weight_decay, .. } => {
                    within("fine-tune.optimizer.weight-decay", weight_decay, 0.0, f64::INFINITY)?;
                }
            }
        }
        if let Some(sensitivity) = &self.sensitivity {
            if sensitivity.amounts.is_empty() {
                return Err(StageFault::user("`sensitivity.amounts` is empty"));
            }
            if let Some(bad) = sensitivity.amounts.iter().find(|amount| !(0.0..1.0).contains(*amount)) {
                let message =
                    format!("`sensitivity.amounts` holds {bad}, each must be at least 0 and below 1");
                return Err(StageFault::user(message));
            }
        }
        Ok(())
    }
}
