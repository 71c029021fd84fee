//! `engine.json`: what has to be known of an engine before it is loaded, and how it was made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Gpu, LayerReport};

/// Value of the field `format`.
pub const FORMAT: &str = "stagewright/engine@1";

/// The content of `engine.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EngineFile {
    /// [`FORMAT`].
    pub format: String,
    /// Version of TensorRT that built it.
    pub tensorrt: String,
    /// GPU it was built on; only that model can load it unless `hardware-compatibility` says otherwise.
    pub gpu: Gpu,
    /// What it computes in: `fp32`, `fp16` or `int8`.
    pub precision: String,
    /// Can be loaded by later TensorRT versions.
    pub version_compatible: bool,
    /// Which other GPUs can load it: `none`, `ampere-plus`, `same-compute-capability`.
    pub hardware_compatibility: String,
    /// Arguments of `trtexec`, files by their names alone.
    pub flags: Vec<String>,
    /// Shapes by input.
    pub shapes: BTreeMap<String, Shapes>,
    /// The model it was built from.
    pub onnx: FileFact,
    /// The engine file.
    pub engine: FileFact,
    /// The timing cache that was given, if any.
    pub timing_cache: Option<FileFact>,
    /// Seconds that `trtexec` took.
    pub build_seconds: f64,
    /// Number types of the layers, as far as TensorRT tells.
    pub layers: LayerReport,
}

/// Shapes of one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shapes {
    /// Smallest: batch, channels, height, width.
    pub min: [u32; 4],
    /// The one it is tuned for.
    pub opt: [u32; 4],
    /// Largest.
    pub max: [u32; 4],
}

/// A file, named by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileFact {
    /// SHA-256 in lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}
