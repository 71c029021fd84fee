//! Writing a network as an ONNX graph.

use std::collections::BTreeMap;

use stagewright_model::{Architecture, ArchitectureError, Checkpoint, INPUT, Layer, Op, Shape, Tensor};
use stagewright_onnx::{
    Dim,
    attributes::{float, int, ints},
    node,
    proto::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto},
    set_metadata, value_info,
};

use crate::{
    fold,
    params::{Params, SizeRange},
};

/// Why a network has no ONNX form.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExportError {
    /// A layer has none; the hint gives the choices.
    #[error("layer `{layer}` ({kind}) has no ONNX form: {reason}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// Its kind.
        kind: &'static str,
        /// Why.
        reason: String,
        /// What to do instead.
        choices: String,
    },
    /// The network does not take an image of this size.
    #[error("the network does not take images of {height}×{width} pixels: {source}")]
    Size {
        /// Height.
        height: usize,
        /// Width.
        width: usize,
        /// Why.
        source: Box<ArchitectureError>,
    },
    /// A param does not fit.
    #[error("{0}")]
    Param(String),
    /// A tensor that the architecture wants is not in the checkpoint.
    #[error("the checkpoint has no tensor `{0}`")]
    Missing(String),
}

/// Writes the network of a checkpoint. The same checkpoint and params give the same model.
///
/// # Errors
/// A layer without an ONNX form; params that do not fit each other or the network.
pub fn export(checkpoint: &Checkpoint, params: &Params) -> Result<ModelProto, ExportError> {
    let architecture = &checkpoint.architecture;
    check_params(architecture, params)?;
    let [height, width] = [architecture.input.height, architecture.input.width];
    let shapes =
        architecture.shapes().map_err(|source| ExportError::Size { height, width, source: source.into() })?;
    if let Some(range) = params.dynamic_size {
        check_range(architecture, range)?;
    }
    let mut writer = Writer {
        checkpoint,
        params,
        shapes,
        values: BTreeMap::from([(INPUT.to_owned(), params.input_name.clone())]),
        nodes: Vec::new(),
        initializers: Vec::new(),
    };
    writer.layers()?;
    Ok(writer.model())
}

fn check_params(architecture: &Architecture, params: &Params) -> Result<(), ExportError> {
    let Params { opset, input_name, output_name, .. } = params;
    if !(13..=22).contains(opset) {
        return Err(ExportError::Param(format!("`opset` is {opset}; 13 to 22 can be written")));
    }
    if params.fixed_batch == Some(0) {
        return Err(ExportError::Param("`fixed-batch` is 0; a batch has at least one image".to_owned()));
    }
    for (name, value) in [("input-name", input_name), ("output-name", output_name)] {
        if value.is_empty() {
            return Err(ExportError::Param(format!("`{name}` is empty")));
        }
        if let Some(layer) = architecture.layers.iter().find(|layer| *value == layer.name) {
            return Err(ExportError::Param(format!(
                "`{name}` is `{}`, which is the name of a layer",
                layer.name
            )));
        }
    }
    if input_name == output_name {
        return Err(ExportError::Param(format!("`input-name` and `output-name` are both `{input_name}`")));
    }
    Ok(())
}

/// The network takes the smallest and the largest image, and gives the same classes.
fn check_range(architecture: &Architecture, range: SizeRange) -> Result<(), ExportError> {
    let SizeRange { min, max } = range;
    if (0..2).any(|axis| min[axis] < 1 || min[axis] > max[axis]) {
        return Err(ExportError::Param(format!(
            "`dynamic-size` goes from {min:?} to {max:?}; `min` must be at least 1 and at most `max`"
        )));
    }
    for [height, width] in [min, max] {
        let resized = resized(architecture, [height, width]);
        resized.shapes().map_err(|source| ExportError::Size { height, width, source: source.into() })?;
    }
    Ok(())
}

/// The same network for images of another size.
pub fn resized(architecture: &Architecture, [height, width]: [usize; 2]) -> Architecture {
    let mut resized = architecture.clone();
    resized.input.height = height;
    resized.input.width = width;
    resized
}

struct Writer<'a> {
    checkpoint: &'a Checkpoint,
    params: &'a Params,
    shapes: BTreeMap<String, Shape>,
    /// Name of the value that stands for a layer's output.
    values: BTreeMap<String, String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Writer<'_> {
    fn layers(&mut self) -> Result<(), ExportError> {
        let architecture = &self.checkpoint.architecture;
        let folded = if self.params.fold_batch_norm { fold::foldable(architecture) } else { BTreeMap::new() };
        for (index, layer) in architecture.layers.iter().enumerate() {
            // A folded convolution is written where its batch norm stands.
            if folded.values().any(|&conv| conv == index) {
                continue;
            }
            match folded.get(&index) {
                Some(&conv) => self.folded_conv(&architecture.layers[conv], layer)?,
                None => self.layer(layer)?,
            }
        }
        Ok(())
    }

    fn folded_conv(&mut self, conv: &Layer, norm: &Layer) -> Result<(), ExportError> {
        let Op::BatchNorm { eps, .. } = norm.op else { return self.layer(norm) };
        let folded = fold::fold(self.checkpoint, &conv.name, &norm.name, eps)
            .ok_or_else(|| ExportError::Missing(format!("{}.…", norm.name)))?;
        let weight = self.constant(&format!("{}.weight", conv.name), &folded.weight);
        let bias = self.constant(&format!("{}.bias", conv.name), &folded.bias);
        let input = self.value(&conv.inputs[0])?;
        self.push("Conv", &conv.name, &[&input, &weight, &bias], &norm.name, conv_attributes(&conv.op));
        Ok(())
    }

    fn layer(&mut self, layer: &Layer) -> Result<(), ExportError> {
        let name = &layer.name;
        let input = self.value(&layer.inputs[0])?;
        match &layer.op {
            Op::Conv2d { bias, .. } => {
                let constants =
                    self.constants(layer, if *bias { &["weight", "bias"] } else { &["weight"] })?;
                let inputs: Vec<&str> =
                    std::iter::once(input.as_str()).chain(constants.iter().map(String::as_str)).collect();
                self.push("Conv", name, &inputs, name, conv_attributes(&layer.op));
            }
            Op::BatchNorm { eps, .. } => {
                let constants = self.constants(layer, &["weight", "bias", "running_mean", "running_var"])?;
                let inputs: Vec<&str> =
                    std::iter::once(input.as_str()).chain(constants.iter().map(String::as_str)).collect();
                self.push("BatchNormalization", name, &inputs, name, vec![float("epsilon", *eps as f32)]);
            }
            Op::Relu => self.push("Relu", name, &[&input], name, vec![]),
            Op::Gelu => self.gelu(name, &input),
            Op::Silu => {
                let gate = format!("{name}/sigmoid");
                self.push("Sigmoid", &gate, &[&input], &gate, vec![]);
                self.push("Mul", name, &[&input, &gate], name, vec![]);
            }
            Op::Add => {
                let other = self.value(&layer.inputs[1])?;
                self.push("Add", name, &[&input, &other], name, vec![]);
            }
            Op::MaxPool2d { kernel, stride, padding } => {
                let attributes = vec![
                    ints("kernel_shape", &pair(kernel)),
                    ints("pads", &pads(padding)),
                    ints("strides", &pair(stride)),
                ];
                self.push("MaxPool", name, &[&input], name, attributes);
            }
            Op::AdaptiveAvgPool2d { output } => self.adaptive_pool(layer, &input, *output)?,
            Op::Flatten => self.push("Flatten", name, &[&input], name, vec![int("axis", 1)]),
            // Nothing outside training.
            Op::Dropout { .. } => {
                self.values.insert(name.clone(), input);
            }
            Op::Linear { bias, .. } => {
                let constants =
                    self.constants(layer, if *bias { &["weight", "bias"] } else { &["weight"] })?;
                let inputs: Vec<&str> =
                    std::iter::once(input.as_str()).chain(constants.iter().map(String::as_str)).collect();
                self.push("Gemm", name, &inputs, name, vec![int("transB", 1)]);
            }
            other => {
                return Err(ExportError::Layer {
                    layer: name.clone(),
                    kind: other.kind(),
                    reason: "this release of the stage does not know it".to_owned(),
                    choices: "use a stage program of the release that made the checkpoint".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// One operator from set 20 on; before, x·(1 + erf(x/√2))/2 in the form that runtimes recognize and fuse.
    fn gelu(&mut self, name: &str, input: &str) {
        if self.params.opset >= 20 {
            return self.push("Gelu", name, &[input], name, vec![]);
        }
        let part = |part: &str| format!("{name}/{part}");
        let scalar = |value: f32| Tensor { shape: vec![], data: vec![value] };
        let root = self.constant(&part("sqrt2"), &scalar(std::f32::consts::SQRT_2));
        let one = self.constant(&part("one"), &scalar(1.0));
        let half = self.constant(&part("half"), &scalar(0.5));
        let (scaled, erf, sum, product) = (part("scaled"), part("erf"), part("sum"), part("product"));
        self.push("Div", &scaled, &[input, &root], &scaled, vec![]);
        self.push("Erf", &erf, &[&scaled], &erf, vec![]);
        self.push("Add", &sum, &[&erf, &one], &sum, vec![]);
        self.push("Mul", &product, &[input, &sum], &product, vec![]);
        self.push("Mul", name, &[&product, &half], name, vec![]);
    }

    /// ONNX has no adaptive pooling. Windows that divide the map evenly are an ordinary pooling; to 1×1 is the global one.
    fn adaptive_pool(&mut self, layer: &Layer, input: &str, output: [usize; 2]) -> Result<(), ExportError> {
        let name = &layer.name;
        if output == [1, 1] {
            self.push("GlobalAveragePool", name, &[input], name, vec![]);
            return Ok(());
        }
        let no_form = |reason: String, choices: String| ExportError::Layer {
            layer: name.clone(),
            kind: layer.op.kind(),
            reason,
            choices,
        };
        let Some(Shape::Map { height, width, .. }) = self.shapes.get(&layer.inputs[0]).copied() else {
            return Err(no_form(
                "its input is no feature map".to_owned(),
                "pool before flattening".to_owned(),
            ));
        };
        let target = format!("{}×{}", output[0], output[1]);
        if self.params.dynamic_size.is_some() {
            return Err(no_form(
                format!("its windows to {target} depend on the image's size, which is dynamic"),
                "leave `dynamic-size` out, or pool to [1, 1]".to_owned(),
            ));
        }
        if height % output[0] != 0 || width % output[1] != 0 {
            return Err(no_form(
                format!(
                    "its windows over a map of {height}×{width} to {target} are of different sizes, which no ONNX pooling has"
                ),
                format!(
                    "pool to [1, 1], or to sizes that divide the map: height {}, width {}; or choose an image size in data-stats that gives a map which {target} divides",
                    divisors(height),
                    divisors(width)
                ),
            ));
        }
        if output == [height, width] {
            self.values.insert(name.clone(), input.to_owned());
            return Ok(());
        }
        let window = pair(&[height / output[0], width / output[1]]);
        self.push(
            "AveragePool",
            name,
            &[input],
            name,
            vec![ints("kernel_shape", &window), ints("strides", &window)],
        );
        Ok(())
    }

    fn push(&mut self, op: &str, name: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) {
        self.nodes.push(node(op, name, inputs, &[output], attributes));
        self.values.insert(output.to_owned(), output.to_owned());
    }

    fn value(&self, layer: &str) -> Result<String, ExportError> {
        self.values.get(layer).cloned().ok_or_else(|| ExportError::Missing(layer.to_owned()))
    }

    /// Tensors of a layer as initializers under their own names.
    fn constants(&mut self, layer: &Layer, names: &[&str]) -> Result<Vec<String>, ExportError> {
        let checkpoint = self.checkpoint;
        let constant = |name: &&str| {
            let full = format!("{}.{name}", layer.name);
            let tensor = checkpoint.tensors.get(&full).ok_or_else(|| ExportError::Missing(full.clone()))?;
            Ok(self.constant(&full, tensor))
        };
        names.iter().map(constant).collect()
    }

    fn constant(&mut self, name: &str, tensor: &Tensor) -> String {
        self.initializers.push(TensorProto::of_f32(name, &tensor.shape, &tensor.data));
        name.to_owned()
    }

    fn model(mut self) -> ModelProto {
        let architecture = &self.checkpoint.architecture;
        let output = self.values.get(&architecture.output).cloned().unwrap_or_default();
        if output == self.params.input_name {
            self.nodes.push(node(
                "Identity",
                &self.params.output_name,
                &[&output],
                &[&self.params.output_name],
                vec![],
            ));
        } else {
            let names = self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
            for name in names.filter(|name| **name == output) {
                name.clone_from(&self.params.output_name);
            }
        }
        let side = |size: usize, symbol: &str| match self.params.dynamic_size {
            Some(_) => Dim::Symbol(symbol.to_owned()),
            None => Dim::Size(size as i64),
        };
        let batch = self
            .params
            .fixed_batch
            .map_or_else(|| Dim::Symbol("batch".to_owned()), |size| Dim::Size(size as i64));
        let input = architecture.input;
        let dims = [
            batch.clone(),
            Dim::Size(input.channels as i64),
            side(input.height, "height"),
            side(input.width, "width"),
        ];
        let graph = GraphProto {
            name: Some(architecture.name.clone())
                .filter(|name| !name.is_empty())
                .or_else(|| Some("network".to_owned())),
            node: self.nodes,
            initializer: self.initializers,
            input: vec![value_info(&self.params.input_name, DataType::Float, &dims)],
            output: vec![value_info(
                &self.params.output_name,
                DataType::Float,
                &[batch, Dim::Size(architecture.classes as i64)],
            )],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(self.params.opset) };
        let mut model = ModelProto {
            ir_version: Some(ir_version(self.params.opset)),
            opset_import: vec![opset],
            // No version: it would change the bytes, and so the digest, of the same network.
            producer_name: Some("stagewright".to_owned()),
            graph: Some(graph),
            ..ModelProto::default()
        };
        set_metadata(&mut model, "stagewright.precision", "fp32");
        set_metadata(
            &mut model,
            "stagewright.preprocess",
            &String::from_utf8_lossy(&self.checkpoint.preprocess),
        );
        if let Some(SizeRange { min, max }) = self.params.dynamic_size {
            let text = serde_json::json!({ "min": min, "max": max }).to_string();
            set_metadata(&mut model, "stagewright.dynamic-size", &text);
        }
        model
    }
}

/// The oldest file format that holds the operator set, as ONNX's release table has it, so that the oldest runtimes that
/// know the operators read the file.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        _ => 10,
    }
}

fn pair(values: &[usize; 2]) -> [i64; 2] {
    values.map(|value| value as i64)
}

/// Begin of both axes, then end of both.
fn pads(padding: &[usize; 2]) -> [i64; 4] {
    let [down, right] = pair(padding);
    [down, right, down, right]
}

fn conv_attributes(op: &Op) -> Vec<AttributeProto> {
    let Op::Conv2d { kernel, stride, padding, groups, .. } = op else { return Vec::new() };
    vec![
        int("group", *groups as i64),
        ints("kernel_shape", &pair(kernel)),
        ints("pads", &pads(padding)),
        ints("strides", &pair(stride)),
    ]
}

fn divisors(size: usize) -> String {
    let divisors: Vec<String> = (1..=size)
        .filter(|divisor| size.is_multiple_of(*divisor))
        .map(|divisor| divisor.to_string())
        .collect();
    divisors.join(", ")
}
