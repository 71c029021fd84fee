//! Params of the stage.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to build the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend(
    "if" = { "properties": { "exclude-lean-runtime": { "const": true } }, "required": ["exclude-lean-runtime"] },
    "then" = { "properties": { "version-compatible": { "const": true } } },
    "x-because" = "only a version-compatible engine has a lean runtime to leave out: set `version-compatible: true`"
))]
pub struct Params {
    /// What the model is expected to compute in. Only checked: the number types are those of the model.
    pub precision: Precision,
    /// Batch sizes of a model whose batch is open; the engine is fastest at `opt`, so give the batch you serve.
    pub batch: BatchRange,
    /// Whole shapes by input name, for models that leave more than the batch open; takes the place of `batch`.
    pub shapes: BTreeMap<String, ShapeRange>,
    /// Most scratch memory of the builder on the GPU; 0 lets it take all.
    #[schemars(extend("x-unit" = "bytes", "x-source" = "trtexec --memPoolSize=workspace"))]
    pub workspace: u64,
    /// How long the builder searches: 0 is quickest, 5 finds the fastest engine.
    #[schemars(range(min = 0, max = 5), extend("x-source" = "trtexec --builderOptimizationLevel"))]
    pub optimization_level: u8,
    /// Runs that a kernel's time is averaged over.
    #[schemars(range(min = 1, max = 1000), extend("x-source" = "trtexec --avgTiming"))]
    pub avg_timing: u32,
    /// Most streams that one inference may spread over besides its own; unset leaves it to TensorRT.
    #[schemars(range(min = 0, max = 64), extend("x-source" = "trtexec --maxAuxStreams"))]
    pub max_aux_streams: Option<u32>,
    /// Lets FP32 products run as TF32 on GPUs that have it: faster, 10 bits of mantissa.
    #[schemars(extend("x-source" = "trtexec --noTF32"))]
    pub tf32: bool,
    /// Uses kernels for 2:4 sparse weights where the weights have that pattern.
    #[schemars(extend("x-source" = "trtexec --sparsity"))]
    pub sparsity: bool,
    /// Makes an engine that later TensorRT versions can load; costs some speed.
    #[schemars(extend("x-source" = "trtexec --versionCompatible"))]
    pub version_compatible: bool,
    /// Leaves the lean runtime out of a version-compatible engine; whoever loads it must bring one.
    #[schemars(extend("x-source" = "trtexec --excludeLeanRuntime"))]
    pub exclude_lean_runtime: bool,
    /// Which other GPUs can load the engine; costs some speed.
    pub hardware_compatibility: HardwareCompatibility,
    /// What becomes of measured kernel times.
    pub timing_cache: TimingCache,
    /// How much the engine says of its layers. The report on precisions needs `detailed`.
    pub profiling_verbosity: ProfilingVerbosity,
    /// Which of the visible GPUs, counted from 0 in the order of the bus.
    #[schemars(range(min = 0, max = 63))]
    pub device: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            precision: Precision::Auto,
            batch: BatchRange::default(),
            shapes: BTreeMap::new(),
            workspace: 0,
            optimization_level: 3,
            avg_timing: 8,
            max_aux_streams: None,
            tf32: true,
            sparsity: false,
            version_compatible: false,
            exclude_lean_runtime: false,
            hardware_compatibility: HardwareCompatibility::None,
            timing_cache: TimingCache::On,
            profiling_verbosity: ProfilingVerbosity::Detailed,
            device: 0,
        }
    }
}

/// What a model computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Whatever the model says.
    Auto,
    /// Floats.
    Fp32,
    /// Half floats.
    Fp16,
    /// 8-bit integers between quantize and dequantize nodes.
    Int8,
}

impl Precision {
    /// The word of the pipeline language.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

/// Batch sizes an engine accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BatchRange {
    /// Smallest.
    #[schemars(range(min = 1, max = 65_536))]
    pub min: u32,
    /// The one it is tuned for.
    #[schemars(range(min = 1, max = 65_536))]
    pub opt: u32,
    /// Largest.
    #[schemars(range(min = 1, max = 65_536))]
    pub max: u32,
}

impl Default for BatchRange {
    fn default() -> Self {
        Self { min: 1, opt: 8, max: 32 }
    }
}

/// Shapes an input accepts, each with all its dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ShapeRange {
    /// Smallest.
    pub min: Vec<u32>,
    /// The one the engine is tuned for.
    pub opt: Vec<u32>,
    /// Largest.
    pub max: Vec<u32>,
}

/// Which other GPUs can load an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HardwareCompatibility {
    /// Only the model of GPU it was built on.
    None,
    /// Ampere and later.
    AmperePlus,
    /// GPUs of the same compute capability; TensorRT 10.9 or later.
    SameComputeCapability,
}

/// What becomes of measured kernel times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimingCache {
    /// Those given at the port are used, missing ones measured, all written out.
    On,
    /// The same, but a missing one is an error: the choice of kernels is then that of the earlier build.
    Complete,
    /// Everything is measured anew, nothing is kept.
    Off,
}

/// How much an engine says of its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProfilingVerbosity {
    /// Names, types, number formats and kernels.
    Detailed,
    /// Names only.
    LayerNamesOnly,
    /// Nothing.
    None,
}
