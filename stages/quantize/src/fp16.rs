//! Half floats inside, f32 at the borders.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;
use stagewright_onnx::{
    attributes::int,
    infer, node,
    proto::{DataType, GraphProto, ModelProto, NodeProto, TensorProto},
};
use stagewright_sdk::{Result, StageFault};

/// Operators without a half-float form, or whose result must not be rounded to one.
const F32_ONLY: &[&str] = &[
    "ConstantOfShape",
    "CumSum",
    "EyeLike",
    "If",
    "Loop",
    "Max",
    "Min",
    "Multinomial",
    "NonMaxSuppression",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "Resize",
    "RoiAlign",
    "Scan",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceInsert",
    "TopK",
    "Upsample",
];

/// A model in half floats and what that did to its weights.
pub struct Halved {
    /// The model.
    pub model: ModelProto,
    /// Operators that stay in f32, with the reason.
    pub float: Vec<(String, String)>,
    /// Weights that became the largest half float, because they are larger.
    pub saturated: usize,
    /// Weights that became 0 without being 0.
    pub vanished: usize,
    /// Weights in all.
    pub weights: usize,
}

/// Turns weights and values into half floats. `excluded` holds positions of nodes to leave in f32, with the reason.
///
/// # Errors
/// A weight can't be read.
pub fn halve(model: &ModelProto, excluded: &BTreeMap<usize, String>) -> Result<Halved> {
    let graph =
        model.graph.as_ref().ok_or_else(|| StageFault::internal("the prepared model has no graph"))?;
    let types = infer(graph)?;
    let is_f32 = |value: &str| types.get(value).is_some_and(|kind| kind.element == Some(DataType::Float));
    let mut halved =
        Halved { model: model.clone(), float: Vec::new(), saturated: 0, vanished: 0, weights: 0 };
    let mut full: BTreeSet<usize> = BTreeSet::new();
    for (index, node) in graph.node.iter().enumerate() {
        let reason = match excluded.get(&index) {
            Some(reason) => Some(reason.clone()),
            None if !node.is_standard() => Some(format!("it is of the operator set `{}`", node.domain())),
            None if F32_ONLY.contains(&node.op_type()) => Some("it has no half-float form".to_owned()),
            None => None,
        };
        if let Some(reason) = reason {
            full.insert(index);
            halved.float.push((node.label(), reason));
        }
    }
    let mut writer = Writer { graph, nodes: Vec::new(), casts: BTreeSet::new() };
    for input in graph.input.iter().filter(|input| is_f32(input.name())) {
        writer.cast(input.name(), DataType::Float16);
    }
    let constants: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    // Constants are kept in the format of their readers, in both where readers differ.
    let mut as_half: BTreeSet<&str> = BTreeSet::new();
    let mut as_full: BTreeSet<&str> =
        graph.output.iter().map(|output| output.name()).filter(|name| constants.contains(name)).collect();
    for (index, node) in graph.node.iter().enumerate() {
        let keeps = full.contains(&index);
        let readers = if keeps { &mut as_full } else { &mut as_half };
        readers.extend(
            node.input.iter().map(String::as_str).filter(|input| constants.contains(input) && is_f32(input)),
        );
        let mut node = node.clone();
        for input in &mut node.input {
            if is_f32(input) && !keeps {
                *input = half_name(input);
            }
        }
        if node.op_type() == "Cast" && node.int("to") == Some(DataType::Float as i64) && !keeps {
            node.attribute.retain(|attribute| attribute.name() != "to");
            node.attribute.push(int("to", DataType::Float16 as i64));
        }
        let made: Vec<String> = node.output.iter().filter(|output| is_f32(output)).cloned().collect();
        if !keeps {
            for output in node.output.iter_mut().filter(|output| is_f32(output)) {
                *output = half_name(output);
            }
        }
        writer.nodes.push(node);
        for output in made {
            writer.other_format(&output, keeps, &full);
        }
    }
    let mut initializer = Vec::new();
    for tensor in &graph.initializer {
        let name = tensor.name();
        let float = tensor.element_type() == Some(DataType::Float);
        if !float || as_full.contains(name) || !as_half.contains(name) {
            initializer.push(tensor.clone());
        }
        if float && as_half.contains(name) {
            let values = tensor.to_f32()?;
            halved.weights += values.len();
            halved.saturated += values.iter().filter(|value| value.abs() > f16::MAX.to_f32()).count();
            halved.vanished +=
                values.iter().filter(|&&value| value != 0.0 && f16::from_f32(value) == f16::ZERO).count();
            initializer.push(TensorProto::of_f16(&half_name(name), &tensor.shape()?, &values));
        }
    }
    let nodes = writer.nodes;
    let output =
        halved.model.graph.as_mut().ok_or_else(|| StageFault::internal("the prepared model has no graph"))?;
    output.node = nodes;
    output.initializer = initializer;
    output.value_info.clear();
    output.input.retain(|input| !constants.contains(input.name()));
    Ok(halved)
}

fn half_name(value: &str) -> String {
    format!("{value}_f16")
}

struct Writer<'a> {
    graph: &'a GraphProto,
    nodes: Vec<NodeProto>,
    casts: BTreeSet<String>,
}

impl Writer<'_> {
    /// Adds the other format of a value that was made in one, if somebody reads it.
    fn other_format(&mut self, value: &str, made_full: bool, full: &BTreeSet<usize>) {
        let reads = |node: &NodeProto| node.input.iter().any(|input| input == value);
        let is_output = self.graph.output.iter().any(|output| output.name() == value);
        let mut readers = self
            .graph
            .node
            .iter()
            .enumerate()
            .filter(|(_, node)| reads(node))
            .map(|(index, _)| full.contains(&index));
        if made_full {
            if readers.any(|full| !full) {
                self.cast(value, DataType::Float16);
            }
        } else if is_output || readers.any(|full| full) {
            self.cast(value, DataType::Float);
        }
    }

    fn cast(&mut self, value: &str, to: DataType) {
        let half = half_name(value);
        let (from, into) =
            if to == DataType::Float16 { (value, half.as_str()) } else { (half.as_str(), value) };
        if self.casts.insert(into.to_owned()) {
            self.nodes.push(node(
                "Cast",
                &format!("{into}/cast"),
                &[from],
                &[into],
                vec![int("to", to as i64)],
            ));
        }
    }
}
