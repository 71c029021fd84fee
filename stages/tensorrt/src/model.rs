//! What the stage has to know of the model: its input, what it computes in, and the shapes it is to be built for.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};
use stagewright_onnx::{
    Classifier, classifier, metadata,
    proto::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto},
    read_model,
};
use stagewright_sdk::{FaultExt, Result, StageFault};

use crate::{BatchRange, Params, Precision};

/// The ONNX file as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Image input, its dimensions (batch, channels, height, width; −1 where open), output.
    pub interface: Classifier,
    /// What it computes in.
    pub precision: Precision,
    /// What its metadata says it computes in.
    pub declared: Option<String>,
    /// Height and width of the preprocessing contract in its metadata.
    pub contract_size: Option<[u32; 2]>,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Size of the file in bytes.
    pub bytes: u64,
}

impl Model {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no ONNX model or no image classifier; it is quantized in a way that TensorRT does not take.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).or_user(format_args!("cannot read {}", path.display()))?;
        let model = read_model(path)?;
        check_quantization(&model)?;
        Ok(Self {
            interface: classifier(&model)?,
            precision: precision(&model),
            declared: metadata(&model, "stagewright.precision").map(str::to_owned),
            contract_size: metadata(&model, "stagewright.preprocess").and_then(contract_size),
            sha256: hex::encode(Sha256::digest(&bytes)),
            bytes: bytes.len() as u64,
        })
    }

    /// Checks an expectation against what the model computes in.
    ///
    /// # Errors
    /// They differ.
    pub fn expect(&self, expected: Precision) -> Result<()> {
        if expected == Precision::Auto || expected == self.precision {
            return Ok(());
        }
        let (wanted, found) = (expected.word(), self.precision.word());
        let hint = match expected {
            Precision::Fp32 => "give the model as it was exported, or leave `precision` out",
            _ => "convert the model with the stage `quantize` first, or leave `precision` out",
        };
        Err(StageFault::user(format!(
            "`precision: {wanted}` is declared, but the model computes in {found}; number types come from the model, not from the builder"
        ))
        .hint(hint))
    }
}

fn contract_size(text: &str) -> Option<[u32; 2]> {
    let contract: serde_json::Value = serde_json::from_str(text).ok()?;
    let side = |index: usize| u32::try_from(contract["size"][index].as_u64()?).ok();
    Some([side(0)?, side(1)?])
}

/// INT8 where there are quantization nodes, else FP16 where half floats are stored or cast to, else FP32.
fn precision(model: &ModelProto) -> Precision {
    let Some(graph) = &model.graph else { return Precision::Fp32 };
    let op = |node: &NodeProto| node.op_type().to_owned();
    if graph.node.iter().any(|node| matches!(op(node).as_str(), "QuantizeLinear" | "DequantizeLinear")) {
        return Precision::Int8;
    }
    let half = DataType::Float16 as i32;
    let stored = graph.initializer.iter().any(|tensor| tensor.data_type() == half);
    let cast =
        graph.node.iter().any(|node| node.op_type() == "Cast" && node.int("to") == Some(i64::from(half)));
    let constant = graph.node.iter().any(|node| {
        let tensor = node.attribute("value").and_then(|attribute: &AttributeProto| attribute.t.as_ref());
        tensor.is_some_and(|tensor| tensor.data_type() == half)
    });
    if stored || cast || constant { Precision::Fp16 } else { Precision::Fp32 }
}

/// TensorRT quantizes symmetrically: signed integers around a zero point of 0.
fn check_quantization(model: &ModelProto) -> Result<()> {
    let Some(graph) = &model.graph else { return Ok(()) };
    let nodes =
        graph.node.iter().filter(|node| matches!(node.op_type(), "QuantizeLinear" | "DequantizeLinear"));
    for node in nodes {
        let Some(zero_point) = node.input_at(2).and_then(|name| constant(graph, name)) else { continue };
        let problem = match zero_point.element_type() {
            // Biases are 32-bit integers around 0.
            Some(DataType::Int8 | DataType::Int32 | DataType::Int4 | DataType::Float8e4m3fn) => {
                let raw = zero_point.raw_data.iter().flatten().any(|byte| *byte != 0);
                let plain = zero_point.int32_data.iter().any(|value| *value != 0);
                (raw || plain).then(|| "a zero point other than 0".to_owned())
            }
            Some(other) => Some(format!("the type {other:?}")),
            None => Some("an unknown type".to_owned()),
        };
        if let Some(problem) = problem {
            let message = format!(
                "{} quantizes with {problem} (`{}`); TensorRT takes signed integers around 0 only",
                node.label(),
                zero_point.name()
            );
            return Err(StageFault::user(message)
                .hint("quantize for TensorRT: `target: tensorrt` in the stage `quantize`"));
        }
    }
    Ok(())
}

fn constant<'g>(graph: &'g GraphProto, name: &str) -> Option<&'g stagewright_onnx::proto::TensorProto> {
    graph.initializer.iter().find(|tensor| tensor.name() == name).or_else(|| {
        let node =
            graph.node.iter().find(|node| node.op_type() == "Constant" && node.output_at(0) == Some(name))?;
        node.attribute("value")?.t.as_ref()
    })
}

/// Shapes of the image input that the engine is built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Name of the input.
    pub input: String,
    /// Smallest: batch, channels, height, width.
    pub min: [u32; 4],
    /// The one it is tuned for.
    pub opt: [u32; 4],
    /// Largest.
    pub max: [u32; 4],
}

/// What each dimension is called in a message.
const DIMENSIONS: [&str; 4] = ["batch", "channels", "height", "width"];

/// The profile for a model, and whether `trtexec` is to be told: it must not be where the model fixes every dimension.
///
/// # Errors
/// Shapes that do not fit the model or each other, or a model that leaves something open that the params do not close.
pub fn profiles(model: &Model, params: &Params) -> Result<(Profile, bool)> {
    let Classifier { input, dims, .. } = &model.interface;
    if let Some(unknown) = params.shapes.keys().find(|name| *name != input) {
        return Err(StageFault::user(format!(
            "`shapes` names the input `{unknown}`, the model's is `{input}`"
        )));
    }
    let open = dims.iter().any(|dim| *dim < 0);
    let profile = match params.shapes.get(input) {
        Some(range) => {
            let four = |name: &str, list: &[u32]| {
                <[u32; 4]>::try_from(list).map_err(|_| {
                    let found = list.len();
                    StageFault::user(format!(
                        "`shapes.{input}.{name}` has {found} dimensions, the input has 4: {}",
                        DIMENSIONS.join(", ")
                    ))
                })
            };
            Profile {
                input: input.clone(),
                min: four("min", &range.min)?,
                opt: four("opt", &range.opt)?,
                max: four("max", &range.max)?,
            }
        }
        None => from_batch(model, params.batch)?,
    };
    for (index, (dimension, dim)) in DIMENSIONS.iter().zip(dims).enumerate() {
        let [min, opt, max] = [profile.min[index], profile.opt[index], profile.max[index]];
        if min == 0 || min > opt || opt > max {
            return Err(StageFault::user(format!(
                "{dimension} of `{input}` is min {min}, opt {opt}, max {max}; it must be 1 ≤ min ≤ opt ≤ max"
            )));
        }
        if let Ok(fixed) = u32::try_from(*dim)
            && [min, opt, max] != [fixed; 3]
        {
            return Err(StageFault::user(format!(
                "{dimension} of `{input}` is min {min}, opt {opt}, max {max}, but the model fixes it to {fixed}"
            ))
            .hint("export the model with that dimension open, or give the fixed value"));
        }
    }
    Ok((profile, open))
}

fn from_batch(model: &Model, batch: BatchRange) -> Result<Profile> {
    let Classifier { input, dims, .. } = &model.interface;
    let mut fixed = [0; 4];
    for index in 1..4usize {
        // An open height or width is what the preprocessing contract gives.
        let contract = index.checked_sub(2).and_then(|side| Some(model.contract_size?[side]));
        fixed[index] = u32::try_from(dims[index]).ok().or(contract).ok_or_else(|| {
            let dimension = DIMENSIONS[index];
            StageFault::user(format!("the model leaves the {dimension} of `{input}` open, and nothing says what it will be"))
                .hint(format!("give `shapes: {{ {input}: {{ min: […], opt: […], max: […] }} }}` with batch, channels, height, width"))
        })?;
    }
    let of = |batch: u32| [batch, fixed[1], fixed[2], fixed[3]];
    // A fixed batch needs no range; the default must not be an error then.
    let [min, opt, max] = match u32::try_from(dims[0]) {
        Ok(batch) => [batch; 3],
        Err(_) => [batch.min, batch.opt, batch.max],
    };
    Ok(Profile { input: input.clone(), min: of(min), opt: of(opt), max: of(max) })
}
