//! What the pipeline may say under `with`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::{
    batch_size::BatchSize,
    recipe::{OptimizerParams, ScheduleParams, WeightDecayOn},
};

/// Params of the stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Params {
    /// The network.
    pub architecture: ArchitectureParams,
    /// Passes over the training images.
    #[schemars(range(min = 1, max = 100_000))]
    pub epochs: u32,
    /// Images per step, or `auto`: the largest power of two, up to `max-batch-size`, whose measured activations fit the
    /// memory budget.
    pub batch_size: BatchSize,
    /// Largest batch that `batch-size: auto` chooses. Larger ones bring no speed on a processor and cost accuracy at the same
    /// number of epochs.
    #[schemars(range(min = 1, max = 65_536))]
    pub max_batch_size: u32,
    /// Bytes that `batch-size: auto` may plan with. 0: the stage's memory limit, and without one three quarters of what
    /// the machine has free.
    #[schemars(extend("x-unit" = "bytes"))]
    pub memory_budget: u64,
    /// Leave out the last images of an epoch where they do not fill a batch; every epoch has another order.
    pub drop_last: bool,
    /// How weights move.
    pub optimizer: OptimizerParams,
    /// Which weights the optimizer's `weight-decay` shrinks.
    pub weight_decay_on: WeightDecayOn,
    /// How the learning rate moves.
    pub schedule: ScheduleParams,
    /// Share ε of the target that is spread over all classes: (1−ε)·onehot + ε/classes.
    #[schemars(range(min = 0.0, max = 0.999), extend("x-unit" = "fraction", "x-source" = "Szegedy et al. 2016, section 7"))]
    pub label_smoothing: f64,
    /// Scale the gradients of a step down to this L2 norm; 0 leaves them.
    #[schemars(range(min = 0.0))]
    pub clip_norm: f64,
    /// Stop with an error when the gradients' L2 norm, before clipping, is above this.
    #[schemars(range(min = 0.0))]
    pub explosion_norm: f64,
    /// Record the gradient norm of every parameter each so many steps; 0 records none.
    pub gradient_norms_every: u64,
    /// Decay of an exponential moving average of the weights and of batch norm's statistics, which then is what is evaluated
    /// and kept; 0 keeps none. The decay of step t is at most (1+t)/(10+t).
    #[schemars(range(min = 0.0, max = 0.999_999))]
    pub ema_decay: f64,
    /// What the best epoch is judged by; its weights are the result. Without validation images the last epoch is taken.
    pub best_by: Monitor,
    /// Stop when training no longer helps.
    pub early_stopping: Option<EarlyStopping>,
    /// Number type of convolutions and matrix products. `bf16` is twice as fast on processors and GPUs that have it.
    pub precision: PrecisionParam,
    /// Keep the channels innermost in memory, which convolutions are faster with.
    pub channels_last: bool,
    /// Where to compute. `auto` takes a GPU if libtorch finds one.
    pub device: DeviceParam,
    /// Allocate GPU memory with cudaMallocAsync instead of libtorch's own cache.
    pub cuda_malloc_async: bool,
    /// On a GPU, use only operations that give the same result every time. On a processor that is so anyway.
    pub deterministic: bool,
    /// Batches prepared ahead, while libtorch computes; 0 prepares each when it is due, on all threads.
    #[schemars(range(max = 64))]
    pub prefetch: u32,
    /// Besides the one after every epoch, save a state to resume from each so many steps; 0 saves none.
    pub checkpoint_every_steps: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            architecture: ArchitectureParams::default(),
            epochs: 18,
            batch_size: BatchSize::Fixed(128),
            max_batch_size: 128,
            memory_budget: 0,
            drop_last: true,
            optimizer: OptimizerParams::default(),
            weight_decay_on: WeightDecayOn::Weights,
            schedule: ScheduleParams::default(),
            label_smoothing: 0.05,
            clip_norm: 0.0,
            explosion_norm: 1e6,
            gradient_norms_every: 100,
            ema_decay: 0.0,
            best_by: Monitor::ValidationTop1,
            early_stopping: None,
            precision: PrecisionParam::Fp32,
            channels_last: true,
            device: DeviceParam::Auto,
            cuda_malloc_async: false,
            deterministic: true,
            prefetch: 0,
            checkpoint_every_steps: 0,
        }
    }
}

/// A family of networks with its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ArchitectureParams {
    /// Residual network of basic blocks for small images: 3×3 stem, stages of blocks, each stage after the first at half the
    /// resolution.
    Resnet {
        /// Blocks of each stage.
        #[serde(default = "default_depths")]
        #[schemars(length(min = 1, max = 8))]
        depths: Vec<u32>,
        /// Channels of each stage.
        #[serde(default = "default_widths")]
        #[schemars(length(min = 1, max = 8))]
        widths: Vec<u32>,
    },
}

fn default_depths() -> Vec<u32> {
    vec![3, 3, 3]
}

fn default_widths() -> Vec<u32> {
    vec![16, 32, 64]
}

impl Default for ArchitectureParams {
    /// ResNet-20 of He et al. 2015.
    fn default() -> Self {
        Self::Resnet { depths: default_depths(), widths: default_widths() }
    }
}

/// A curve to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Monitor {
    /// Share of validation images classified right; more is better.
    ValidationTop1,
    /// Mean loss of validation images; less is better.
    ValidationLoss,
    /// Share of training images classified right; more is better.
    TrainTop1,
    /// Mean loss of training images; less is better.
    TrainLoss,
}

/// Which direction of a monitored number is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopMode {
    /// Less is better.
    Min,
    /// More is better.
    Max,
}

/// When to stop before the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EarlyStopping {
    /// The curve to watch.
    #[serde(default = "default_monitor")]
    pub monitor: Monitor,
    /// Stop after so many epochs without improvement.
    #[serde(default = "default_patience")]
    #[schemars(range(min = 1))]
    pub patience: u32,
    /// Smaller changes are no improvement; percentage points for `top1`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub min_delta: f64,
    /// Which direction is better; by default `max` for `top1` and `min` for a loss.
    #[serde(default)]
    pub mode: Option<StopMode>,
}

fn default_monitor() -> Monitor {
    Monitor::ValidationLoss
}

fn default_patience() -> u32 {
    3
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceParam {
    /// A GPU if there is one.
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
