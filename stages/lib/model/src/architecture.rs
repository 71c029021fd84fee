//! A network as data: a flat graph of named layers, as `architecture.json` in a checkpoint holds it.

use serde::{Deserialize, Serialize};

/// First field of `architecture.json`; another value is another format.
pub const FORMAT: &str = "stagewright/architecture@1";

/// A network. Layers are in topological order: a layer reads only the input or layers before it.
///
/// Weights live beside it, named `<layer>.<tensor>` with PyTorch's names and layouts: `weight` of a convolution is
/// `[out, in/groups, kernel_h, kernel_w]`, of a linear layer `[out, in]`, of a batch norm `[features]`; then `bias`,
/// `running_mean`, `running_var`. All are f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Architecture {
    /// Always [`FORMAT`].
    pub format: String,
    /// Family name, for example `resnet`.
    pub name: String,
    /// What the network reads: NCHW, f32, normalized as the preprocessing contract says.
    pub input: InputShape,
    /// Number of classes: the width of the output.
    pub classes: usize,
    /// The layers in topological order.
    pub layers: Vec<Layer>,
    /// Name of the layer that gives the logits, `[batch, classes]`.
    pub output: String,
}

/// Shape of one input image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct InputShape {
    /// Channels (3 for RGB).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

/// One named layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Layer {
    /// Unique name such as `layer1.0.conv1`; [`INPUT`] is taken.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Names of the layers it reads, or [`INPUT`].
    pub inputs: Vec<String>,
}

/// Name that stands for the network's input in [`Layer::inputs`].
pub const INPUT: &str = "input";

/// What a layer computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Op {
    /// 2-D convolution (cross-correlation, zero padding), as `torch.nn.Conv2d`.
    Conv2d {
        /// Input channels.
        r#in: usize,
        /// Output channels.
        out: usize,
        /// Kernel height and width.
        kernel: [usize; 2],
        /// Stride down and right.
        stride: [usize; 2],
        /// Zero padding above-and-below, left-and-right.
        padding: [usize; 2],
        /// Groups; `in` and `out` are multiples of it.
        groups: usize,
        /// Has a bias.
        bias: bool,
    },
    /// Batch normalization over channels, as `torch.nn.BatchNorm2d` with affine weights and running statistics.
    BatchNorm {
        /// Channels.
        features: usize,
        /// Added to the variance.
        eps: f64,
        /// Weight of a new batch in the running statistics.
        momentum: f64,
    },
    /// max(x, 0).
    Relu,
    /// x·Φ(x), exact (erf), as `torch.nn.GELU`.
    Gelu,
    /// x·sigmoid(x).
    Silu,
    /// Sum of two layers of the same shape.
    Add,
    /// Maximum over windows, padding counted as −∞.
    MaxPool2d {
        /// Window height and width.
        kernel: [usize; 2],
        /// Stride down and right.
        stride: [usize; 2],
        /// Padding above-and-below, left-and-right.
        padding: [usize; 2],
    },
    /// Mean over windows that divide the map as evenly as can be, as `torch.nn.AdaptiveAvgPool2d`.
    AdaptiveAvgPool2d {
        /// Output height and width.
        output: [usize; 2],
    },
    /// `[batch, c, h, w]` → `[batch, c·h·w]`.
    Flatten,
    /// Zeroes activations with this probability while training; nothing in evaluation.
    Dropout {
        /// Probability, 0 to 1.
        p: f64,
    },
    /// x·Wᵀ + b.
    Linear {
        /// Input features.
        r#in: usize,
        /// Output features.
        out: usize,
        /// Has a bias.
        bias: bool,
    },
}

impl Op {
    /// The `kind` written in `architecture.json`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::BatchNorm { .. } => "batch-norm",
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Add => "add",
            Self::MaxPool2d { .. } => "max-pool2d",
            Self::AdaptiveAvgPool2d { .. } => "adaptive-avg-pool2d",
            Self::Flatten => "flatten",
            Self::Dropout { .. } => "dropout",
            Self::Linear { .. } => "linear",
        }
    }

    /// Tensors of the layer as (name, shape), trainable ones first.
    pub fn tensors(&self) -> Vec<(&'static str, Vec<usize>)> {
        match *self {
            Self::Conv2d { r#in, out, kernel: [height, width], groups, bias, .. } => {
                let mut tensors = vec![("weight", vec![out, r#in / groups.max(1), height, width])];
                if bias {
                    tensors.push(("bias", vec![out]));
                }
                tensors
            }
            Self::BatchNorm { features, .. } => {
                ["weight", "bias", "running_mean", "running_var"].map(|name| (name, vec![features])).to_vec()
            }
            Self::Linear { r#in, out, bias } => {
                let mut tensors = vec![("weight", vec![out, r#in])];
                if bias {
                    tensors.push(("bias", vec![out]));
                }
                tensors
            }
            _ => Vec::new(),
        }
    }
}
