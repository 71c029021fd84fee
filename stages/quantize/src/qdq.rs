//! Writing the quantized graph: integers and the pairs of QuantizeLinear and DequantizeLinear that runtimes fuse.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_onnx::{
    attributes::int,
    node,
    proto::{GraphProto, ModelProto, NodeProto, TensorProto},
};
use stagewright_sdk::{Result, StageFault};

use crate::{
    params::{Params, Target},
    plan::{Plan, Source, View},
    scale::{self, Grid, Noise, Quantizer, Range},
};

/// A quantized model and what its weights lost.
pub struct Quantized {
    /// The model.
    pub model: ModelProto,
    /// Quantizer of each activation with a range of its own.
    pub activations: BTreeMap<String, Quantizer>,
    /// Signal to noise of each weight.
    pub weights: BTreeMap<String, Noise>,
}

/// Carries a plan out.
///
/// # Errors
/// A range is missing, or a weight can't be read.
pub fn apply(
    model: &ModelProto,
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    params: &Params,
) -> Result<Quantized> {
    let graph =
        model.graph.as_ref().ok_or_else(|| StageFault::internal("the prepared model has no graph"))?;
    let grid = match params.target {
        Target::Cpu => Grid::Unsigned,
        Target::Tensorrt => Grid::Symmetric,
    };
    let mut quantizers = BTreeMap::new();
    for (name, source) in &plan.activations {
        if *source == Source::Own {
            let range = ranges
                .get(name)
                .ok_or_else(|| StageFault::internal(format!("no range was measured for `{name}`")))?;
            quantizers.insert(name.clone(), Quantizer::of(*range, grid));
        }
    }
    let mut writer = Writer {
        view: View::of(graph),
        plan,
        params,
        quantizers,
        names: names(graph),
        constants: Vec::new(),
        head: Vec::new(),
        renamed: BTreeMap::new(),
        scales: BTreeMap::new(),
        weights: BTreeMap::new(),
        noises: BTreeMap::new(),
    };
    writer.layers()?;
    let graph = writer.graph();
    let mut quantized = model.clone();
    quantized.graph = Some(graph);
    Ok(Quantized { model: quantized, activations: writer.quantizers, weights: writer.noises })
}

fn names(graph: &GraphProto) -> BTreeSet<String> {
    let values = graph.node.iter().flat_map(|node| node.input.iter().chain(&node.output)).cloned();
    values.chain(graph.initializer.iter().map(|tensor| tensor.name().to_owned())).collect()
}

struct Writer<'a> {
    view: View<'a>,
    plan: &'a Plan,
    params: &'a Params,
    quantizers: BTreeMap<String, Quantizer>,
    /// Names in use.
    names: BTreeSet<String>,
    constants: Vec<TensorProto>,
    /// Dequantization of weights and biases, before everything else.
    head: Vec<NodeProto>,
    /// Constant inputs of layers under their new name: (node, position).
    renamed: BTreeMap<(usize, usize), String>,
    /// Names of scale and zero point by activation.
    scales: BTreeMap<String, [String; 2]>,
    /// Weights done, with their scales.
    weights: BTreeMap<String, (String, Vec<f32>)>,
    noises: BTreeMap<String, Noise>,
}

impl Writer<'_> {
    /// Turns weights and biases into integers.
    fn layers(&mut self) -> Result<()> {
        let plan = self.plan;
        // A weight that two layers share needs room for both biases.
        let mut weight_scales: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
        for layer in &plan.layers {
            let weight = self.values(&layer.weight)?;
            let known = weight_scales.remove(layer.weight.as_str());
            let mut scales = known.unwrap_or_else(|| self.weight_scales(&weight, &layer.weight, layer.axis));
            if let Some(bias) = &layer.bias {
                let input = self.input_scale(layer.node);
                let bias = self.values(bias)?;
                for (channel, &bias) in bias.iter().enumerate() {
                    let index = if scales.len() == 1 { 0 } else { channel };
                    scales[index] = scale::room_for_bias(scales[index], input, bias);
                }
            }
            weight_scales.insert(&layer.weight, scales);
        }
        for layer in &plan.layers {
            let scales = weight_scales.get(layer.weight.as_str()).cloned().unwrap_or_default();
            let dequantized = self.weight(&layer.weight, layer.axis, &scales)?;
            self.renamed.insert((layer.node, 1), dequantized);
            if let Some(bias) = &layer.bias {
                let dequantized = self.bias(layer.node, bias, &scales)?;
                self.renamed.insert((layer.node, 2), dequantized);
            }
        }
        Ok(())
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self
            .view
            .constants
            .get(name)
            .ok_or_else(|| StageFault::internal(format!("`{name}` is no constant")))?;
        Ok(tensor.to_f32()?)
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        self.view.constants.get(name).and_then(|tensor| tensor.shape().ok()).unwrap_or_default()
    }

    /// Scale of the activation that a layer reads.
    fn input_scale(&self, node: usize) -> f32 {
        let mut name = self.view.graph.node[node].input_at(0).unwrap_or_default();
        while let Some(Source::SameAs(source)) = self.plan.activations.get(name) {
            name = source;
        }
        self.quantizers.get(name).map_or(1.0, |quantizer| quantizer.scale)
    }

    /// One scale, or one for each place along the axis.
    fn weight_scales(&self, values: &[f32], name: &str, axis: usize) -> Vec<f32> {
        if !self.params.per_channel {
            return vec![Quantizer::of_weights(values).scale];
        }
        let (channels, inner) = along(&self.shape(name), axis);
        let of = |channel: usize| {
            values
                .iter()
                .enumerate()
                .filter(move |(index, _)| index / inner % channels == channel)
                .map(|(_, value)| value)
        };
        // Rows of the first dimension are contiguous: no need to look at the others' values.
        if axis == 0 {
            return values.chunks(inner.max(1)).map(|row| Quantizer::of_weights(row).scale).collect();
        }
        (0..channels).map(|channel| Quantizer::of_weights(of(channel)).scale).collect()
    }

    fn weight(&mut self, name: &str, axis: usize, scales: &[f32]) -> Result<String> {
        if let Some((dequantized, _)) = self.weights.get(name) {
            return Ok(dequantized.clone());
        }
        let (values, shape) = (self.values(name)?, self.shape(name));
        let (channels, inner) = along(&shape, axis);
        let symmetric = Quantizer::of_weights(&[]);
        let quantizer = |index: usize| {
            let channel = if scales.len() == 1 { 0 } else { index / inner.max(1) % channels.max(1) };
            symmetric.with_scale(scales[channel])
        };
        let mut noise = Noise::default();
        let quantize = |(index, &value): (usize, &f32)| {
            let (quantizer, integer) = (quantizer(index), quantizer(index).quantize(value));
            noise.add(value, quantizer.dequantize(integer));
            // Within ±127 by the choice of the scale.
            integer.clamp(-128, 127) as i8
        };
        let integers: Vec<i8> = values.iter().enumerate().map(quantize).collect();
        self.noises.insert(name.to_owned(), noise);
        let [quantized, scale, zero, dequantized] = self.four_names(name);
        let (dims, attributes) = if scales.len() == 1 && !self.params.per_channel {
            (vec![], vec![])
        } else {
            (vec![scales.len()], vec![int("axis", axis as i64)])
        };
        self.constants.push(TensorProto::of_i8(&quantized, &shape, &integers));
        self.constants.push(TensorProto::of_f32(&scale, &dims, scales));
        self.constants.push(TensorProto::of_i8(&zero, &dims, &vec![0; scales.len()]));
        self.head.push(node(
            "DequantizeLinear",
            &dequantized,
            &[&quantized, &scale, &zero],
            &[&dequantized],
            attributes,
        ));
        self.weights.insert(name.to_owned(), (dequantized.clone(), scales.to_vec()));
        Ok(dequantized)
    }

    /// A bias of its own for each layer: the scale depends on the layer's input.
    fn bias(&mut self, node_index: usize, name: &str, scales: &[f32]) -> Result<String> {
        let input = self.input_scale(node_index);
        let values = self.values(name)?;
        let at = |channel: usize| if scales.len() == 1 { scales[0] } else { scales[channel] };
        let integers: Vec<i32> = values
            .iter()
            .enumerate()
            .map(|(channel, &value)| scale::bias(value, input, at(channel)))
            .collect();
        let products: Vec<f32> = scales.iter().map(|&weight| input * weight).collect();
        let (dims, attributes) = if scales.len() == 1 && !self.params.per_channel {
            (vec![], vec![])
        } else {
            (vec![scales.len()], vec![int("axis", 0)])
        };
        let [quantized, scale, zero, dequantized] = self.four_names(name);
        self.constants.push(TensorProto::of_i32(&quantized, &[values.len()], &integers));
        self.constants.push(TensorProto::of_f32(&scale, &dims, &products));
        self.constants.push(TensorProto::of_i32(&zero, &dims, &vec![0; products.len()]));
        self.head.push(node(
            "DequantizeLinear",
            &dequantized,
            &[&quantized, &scale, &zero],
            &[&dequantized],
            attributes,
        ));
        Ok(dequantized)
    }

    fn four_names(&mut self, name: &str) -> [String; 4] {
        ["quantized", "scale", "zero_point", "dequantized"]
            .map(|suffix| self.fresh(&format!("{name}_{suffix}")))
    }

    fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}_{number}");
        }
        name
    }

    fn graph(&mut self) -> GraphProto {
        let original = self.view.graph;
        let is_output = |value: &str| original.output.iter().any(|output| output.name() == value);
        // What readers of an activation read instead, and under which name it is made.
        let mut read: BTreeMap<String, String> = BTreeMap::new();
        let mut made: BTreeMap<String, String> = BTreeMap::new();
        let mut pairs: BTreeMap<String, Vec<NodeProto>> = BTreeMap::new();
        let activations: Vec<String> = self.plan.activations.keys().cloned().collect();
        for value in activations {
            let [scale, zero] = self.parameters(&value);
            let quantized = self.fresh(&format!("{value}_quantized"));
            let dequantized = if is_output(&value) {
                made.insert(value.clone(), self.fresh(&format!("{value}_f32")));
                value.clone()
            } else {
                self.fresh(&format!("{value}_dequantized"))
            };
            let source = made.get(&value).unwrap_or(&value).clone();
            let pair = vec![
                node("QuantizeLinear", &quantized, &[&source, &scale, &zero], &[&quantized], vec![]),
                node("DequantizeLinear", &dequantized, &[&quantized, &scale, &zero], &[&dequantized], vec![]),
            ];
            read.insert(value.clone(), dequantized);
            pairs.insert(value, pair);
        }
        let mut nodes = std::mem::take(&mut self.head);
        for input in &original.input {
            nodes.extend(pairs.remove(input.name()).unwrap_or_default());
        }
        // A value whose only reader is left out is made under that reader's name.
        let replaced: BTreeMap<&str, &str> = self
            .plan
            .removed
            .iter()
            .map(|(&index, value)| (value.as_str(), original.node[index].output_at(0).unwrap_or_default()))
            .collect();
        for (index, node) in original.node.iter().enumerate() {
            if self.plan.removed.contains_key(&index) {
                continue;
            }
            let mut node = node.clone();
            for (position, input) in node.input.iter_mut().enumerate() {
                if let Some(name) = self.renamed.get(&(index, position)).or_else(|| read.get(input)) {
                    input.clone_from(name);
                }
            }
            let mut after = Vec::new();
            for output in &mut node.output {
                if let Some(&under) = replaced.get(output.as_str()) {
                    under.clone_into(output);
                }
                after.extend(pairs.remove(output).unwrap_or_default());
                if let Some(name) = made.get(output) {
                    output.clone_from(name);
                }
            }
            nodes.push(node);
            nodes.extend(after);
        }
        let used: BTreeSet<&String> = nodes.iter().flat_map(|node| &node.input).collect();
        let kept = original
            .initializer
            .iter()
            .filter(|tensor| used.contains(&tensor.name().to_owned()) || is_output(tensor.name()))
            .cloned();
        let initializer = kept.chain(std::mem::take(&mut self.constants)).collect();
        // Before IR version 4 constants are among the inputs as well: those that are gone must go there too.
        let constant = |name: &str| self.view.constants.contains_key(name);
        let input = original.input.iter().filter(|input| !constant(input.name())).cloned().collect();
        GraphProto {
            node: nodes,
            initializer,
            input,
            value_info: Vec::new(),
            quantization_annotation: Vec::new(),
            ..original.clone()
        }
    }

    /// Names of an activation's scale and zero point, made when first asked for.
    fn parameters(&mut self, value: &str) -> [String; 2] {
        let mut owner = value;
        let plan = self.plan;
        while let Some(Source::SameAs(source)) = plan.activations.get(owner) {
            owner = source;
        }
        if let Some(known) = self.scales.get(owner) {
            return known.clone();
        }
        let owner = owner.to_owned();
        let quantizer = self.quantizers.get(&owner).copied().unwrap_or_else(|| Quantizer::of_weights(&[]));
        let names = ["scale", "zero_point"].map(|suffix| self.fresh(&format!("{owner}_{suffix}")));
        self.constants.push(TensorProto::of_f32(&names[0], &[], &[quantizer.scale]));
        self.constants.push(match self.params.target {
            Target::Cpu => TensorProto::of_u8(&names[1], &[], &[quantizer.zero.clamp(0, 255) as u8]),
            Target::Tensorrt => TensorProto::of_i8(&names[1], &[], &[0]),
        });
        self.scales.insert(owner, names.clone());
        names
    }
}

/// Number of places along an axis, and how many values lie between one place and the next.
fn along(shape: &[usize], axis: usize) -> (usize, usize) {
    (shape.get(axis).copied().unwrap_or(1), shape.iter().skip(axis + 1).product())
}
