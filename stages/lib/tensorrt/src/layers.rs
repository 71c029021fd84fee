//! What the layers of an engine really compute in, out of the file of `--exportLayerInfo`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One layer of the engine, after TensorRT has fused the network's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EngineLayer {
    /// Name, often of all the layers that were fused.
    pub name: String,
    /// Type, for example `CaskConvolution` or `gemm`.
    pub kind: String,
    /// Number type of its first input: what it computes in. None if TensorRT does not say.
    pub computes: Option<String>,
    /// Number type of its first output.
    pub writes: Option<String>,
    /// Kernel that was chosen.
    pub tactic: Option<String>,
    /// Moves or converts data and computes nothing.
    pub moves_only: bool,
}

/// The layers and how many compute in what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerReport {
    /// All layers in order.
    pub layers: Vec<EngineLayer>,
    /// Layers that compute, by number type (`int8`, `fp16`, `fp32`, …; `unknown`).
    pub by_type: BTreeMap<String, usize>,
}

impl LayerReport {
    /// Layers that compute in this type.
    pub fn count(&self, number_type: &str) -> usize {
        self.by_type.get(number_type).copied().unwrap_or(0)
    }
}

/// Reads the exported JSON. Below verbosity `detailed` layers are bare names, which gives layers of unknown type.
///
/// # Errors
/// It is not such a file.
pub fn report(json: &str) -> Result<LayerReport, String> {
    let value: Value = serde_json::from_str(json.trim()).map_err(|error| error.to_string())?;
    let list = value.get("Layers").and_then(Value::as_array).ok_or("it has no list `Layers`")?;
    let layers: Vec<EngineLayer> = list.iter().map(layer).collect::<Result<_, _>>()?;
    let mut by_type = BTreeMap::new();
    for layer in layers.iter().filter(|layer| !layer.moves_only) {
        *by_type.entry(layer.computes.clone().unwrap_or_else(|| "unknown".to_owned())).or_default() += 1;
    }
    Ok(LayerReport { layers, by_type })
}

fn layer(value: &Value) -> Result<EngineLayer, String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match value {
        Value::String(name) => Ok(EngineLayer {
            name: name.clone(),
            kind: "unknown".to_owned(),
            computes: None,
            writes: None,
            tactic: None,
            moves_only: false,
        }),
        Value::Object(_) => {
            let kind = text("LayerType").unwrap_or_else(|| "unknown".to_owned());
            let first = |key: &str| {
                let format = value.get(key)?.as_array()?.first()?.get("Format/Datatype")?.as_str()?;
                number_type(format).map(str::to_owned)
            };
            Ok(EngineLayer {
                name: text("Name").ok_or("a layer has no name")?,
                computes: first("Inputs"),
                writes: first("Outputs"),
                tactic: text("TacticName"),
                moves_only: moves_only(&kind),
                kind,
            })
        }
        other => Err(format!("a layer is {other}, not a name or an object")),
    }
}

/// Layers that only move, reshape or convert data, by type.
fn moves_only(kind: &str) -> bool {
    let kind = kind.to_lowercase();
    [
        "reformat",
        "noop",
        "constant",
        "shuffle",
        "reshape",
        "shape_call",
        "signal",
        "wait",
        "quantize",
        "dequantize",
        "scale_quantize",
    ]
    .contains(&kind.as_str())
}

/// The number type in a format such as `Thirty-two wide channel vectorized row major Int8 format` or `Half`.
fn number_type(format: &str) -> Option<&'static str> {
    let format = format.to_lowercase();
    // `bfloat16` holds `float`, `uint8` holds `int8`: the longer word first.
    let words = [
        ("bfloat16", "bf16"),
        ("bf16", "bf16"),
        ("fp16", "fp16"),
        ("half", "fp16"),
        ("fp8", "fp8"),
        ("fp4", "fp4"),
        ("fp32", "fp32"),
        ("float", "fp32"),
        ("uint8", "uint8"),
        ("int8", "int8"),
        ("int4", "int4"),
        ("int32", "int32"),
        ("int64", "int64"),
        ("bool", "bool"),
    ];
    words.iter().find(|(word, _)| format.contains(word)).map(|(_, name)| *name)
}
