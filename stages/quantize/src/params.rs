//! The params of the stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of the stage `quantize`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend(
    "if" = { "properties": { "precision": { "const": "fp16" } }, "required": ["precision"] },
    "then" = { "properties": { "auto-exclude": { "type": "null" } } },
    "x-because" = "`auto-exclude` is for INT8; with precision `fp16` name nodes in `exclude`"
))]
pub struct Params {
    /// What the model computes in.
    pub precision: Precision,
    /// Which runtime the INT8 model is for; FP16 is the same for both.
    pub target: Target,
    /// How the range of each activation is chosen (INT8).
    pub method: Method,
    /// Share of an activation's values that its range covers, with method `percentile`.
    #[schemars(range(min = 50.0, max = 100.0), extend("x-unit" = "percent"))]
    pub percentile: f64,
    /// A scale for each output channel of a weight instead of one for all (INT8).
    #[schemars(extend("x-source" = "onnxruntime.quantization per_channel; Krishnamoorthi 2018, arXiv:1806.08342"))]
    pub per_channel: bool,
    /// Images to calibrate on, stratified by class, out of the training split (INT8).
    #[schemars(range(min = 1, max = 100000), extend("x-source" = "MLPerf inference calibrates on 500 ImageNet images"))]
    pub samples: usize,
    /// Largest number of images that run at a time; fewer where activations are large.
    #[schemars(range(min = 1, max = 1024))]
    pub batch_size: usize,
    /// Names of nodes to leave in f32, each a regular expression for the whole name (INT8 and FP16).
    pub exclude: Vec<String>,
    /// Leaves the most sensitive layers in f32 until the model agrees well enough with the f32 one (INT8).
    pub auto_exclude: Option<AutoExclude>,
    /// Images of the validation split to compare both models on, stratified by class; 0 takes all.
    pub evaluate_samples: usize,
    /// Largest loss of accuracy on the validation split, in percentage points; more fails the gate `accuracy-drop`.
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "pp"))]
    pub max_drop: Option<f64>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            precision: Precision::Int8,
            target: Target::Cpu,
            method: Method::Minmax,
            percentile: 99.99,
            per_channel: true,
            samples: 512,
            batch_size: 32,
            exclude: Vec::new(),
            auto_exclude: None,
            evaluate_samples: 2000,
            max_drop: None,
        }
    }
}

/// Number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 8-bit integers, calibrated (static quantization, QDQ form).
    Int8,
    /// Half floats; input and output of the model stay f32.
    Fp16,
}

/// Runtime of an INT8 model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// ONNX Runtime on a processor with VNNI: unsigned activations with a zero point, signed weights.
    Cpu,
    /// TensorRT: everything signed and symmetric, biases in f32, quantized where TensorRT fuses.
    Tensorrt,
}

/// Choice of an activation's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// From the smallest to the largest value seen.
    Minmax,
    /// The range whose 8-bit histogram loses the least information (Kullback-Leibler divergence), as TensorRT's
    /// calibration of 2017.
    Entropy,
    /// The range that covers `percentile` of the magnitudes.
    Percentile,
}

/// When to stop leaving layers out.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AutoExclude {
    /// Most layers to leave out.
    #[schemars(range(min = 1, max = 1000))]
    pub max_nodes: usize,
    /// Share of calibration images on which both models must predict the same, 0 to 1.
    #[serde(default = "agreement")]
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub min_agreement: f64,
}

fn agreement() -> f64 {
    0.99
}
