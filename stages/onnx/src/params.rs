//! The params of the stage.

use schemars::JsonSchema;
use serde::Deserialize;

/// Params of the stage `onnx`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Params {
    /// Version of ONNX's operator set that the graph is written in. Per-channel INT8 needs 13 or more; TensorRT 10 reads
    /// all of them; 20 brings `Gelu` as one operator.
    #[schemars(range(min = 13, max = 22), extend("x-source" = "ONNX operator set versions"))]
    pub opset: i64,
    /// Name of the image input.
    #[schemars(length(min = 1))]
    pub input_name: String,
    /// Name of the output of logits.
    #[schemars(length(min = 1))]
    pub output_name: String,
    /// Batch size to fix in the model; left out, the batch is dynamic.
    #[schemars(range(min = 1, max = 4096))]
    pub fixed_batch: Option<usize>,
    /// Range of image sizes to allow; left out, height and width are those of the preprocessing contract. Needs a network
    /// whose only pooling to a fixed size is to 1×1.
    pub dynamic_size: Option<SizeRange>,
    /// Folds batch norm into the convolution before it: fewer operators, the same result up to rounding.
    pub fold_batch_norm: bool,
    /// The comparison of ONNX Runtime with libtorch.
    pub parity: Parity,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            opset: 18,
            input_name: "input".to_owned(),
            output_name: "logits".to_owned(),
            fixed_batch: None,
            dynamic_size: None,
            fold_batch_norm: true,
            parity: Parity::default(),
        }
    }
}

/// Smallest and largest image, each as height and width in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SizeRange {
    /// Smallest height and width.
    #[schemars(extend("x-unit" = "px"))]
    pub min: [usize; 2],
    /// Largest height and width.
    #[schemars(extend("x-unit" = "px"))]
    pub max: [usize; 2],
}

/// How the exported model is compared with the network.
///
/// A logit of ONNX Runtime may differ from libtorch's by `atol + rtol · m`, where m is the largest logit of that sample in
/// magnitude: rounding errors of a sum grow with its largest terms, so a logit near 0 is not held to a bound of its own.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Parity {
    /// Samples of the validation split (of the training split, if there is no other) that both run.
    #[schemars(range(min = 1, max = 100000))]
    pub samples: usize,
    /// Largest batch; batches of 1 and 3 are run as well.
    #[schemars(range(min = 1, max = 4096))]
    pub max_batch: usize,
    /// Allowed difference relative to the sample's largest logit.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rtol: f64,
    /// Allowed difference on top.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub atol: f64,
}

impl Default for Parity {
    fn default() -> Self {
        Self { samples: 64, max_batch: 64, rtol: 1e-3, atol: 1e-5 }
    }
}
