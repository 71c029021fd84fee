//! `engine.json`: what has to be known of an engine before it is loaded, and how it was made.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_sdk::{FaultExt, Result, StageFault};

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

impl EngineFile {
    /// Reads `engine.json` of an engine's folder.
    ///
    /// # Errors
    /// It is not there, or not of a format that is known here.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("engine.json");
        let text = fs::read(&path).or_user(format_args!("cannot read {}", path.display()))?;
        let value: Value =
            serde_json::from_slice(&text).or_user(format_args!("{} is not JSON", path.display()))?;
        let format = value.get("format").and_then(Value::as_str).unwrap_or("none");
        if format != FORMAT {
            let message = format!("{} has the format {format}; {FORMAT} can be read", path.display());
            return Err(StageFault::user(message).hint("build the engine again with this release"));
        }
        serde_json::from_value(value).or_user(format_args!("{} is not {FORMAT}", path.display()))
    }
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
