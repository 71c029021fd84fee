//! Which values of a graph become 8-bit, decided before anything is measured.
//!
//! The placement is the one that the runtimes fuse. ONNX Runtime's 8-bit kernels read and write integers, so for the CPU
//! every operator with such a kernel has its inputs and outputs quantized, and a Relu disappears into the range of the value
//! before it. TensorRT fuses a convolution with the additions and Relus behind it and wants only its input quantized, and of
//! a residual sum the branch that does not come from a convolution.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_onnx::proto::{DataType, GraphProto, NodeProto, TensorProto};

use crate::params::Target;

/// What to quantize.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Activations with where their range comes from.
    pub activations: BTreeMap<String, Source>,
    /// Operators with 8-bit weights.
    pub layers: Vec<Layer>,
    /// Relus and Clips that the range of their output replaces: position of the node → the value it reads.
    pub removed: BTreeMap<usize, String>,
    /// Operators that stay in f32, with the reason.
    pub float: Vec<(String, String)>,
}

/// Where an activation's range comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From its own values.
    Own,
    /// Another's: the operator in between moves values and makes none.
    SameAs(String),
}

/// An operator with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Position of the node.
    pub node: usize,
    /// Name of the weights.
    pub weight: String,
    /// Dimension of the weights that has a scale each, if they are quantized per channel.
    pub axis: usize,
    /// Name of the bias, if it becomes integer.
    pub bias: Option<String>,
}

/// Facts about a graph that the plan and its execution need.
pub struct View<'a> {
    /// The graph.
    pub graph: &'a GraphProto,
    /// Constants by name.
    pub constants: BTreeMap<&'a str, &'a TensorProto>,
    producers: BTreeMap<&'a str, usize>,
    readers: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> View<'a> {
    /// Indexes a graph.
    pub fn of(graph: &'a GraphProto) -> Self {
        let mut view = Self {
            graph,
            constants: graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect(),
            producers: BTreeMap::new(),
            readers: BTreeMap::new(),
        };
        for (index, node) in graph.node.iter().enumerate() {
            for output in &node.output {
                view.producers.insert(output, index);
            }
            for input in &node.input {
                view.readers.entry(input).or_default().push(index);
            }
        }
        view
    }

    fn producer(&self, value: &str) -> Option<&'a NodeProto> {
        self.producers.get(value).map(|&index| &self.graph.node[index])
    }

    fn is_output(&self, value: &str) -> bool {
        self.graph.output.iter().any(|output| output.name() == value)
    }

    /// Read once, and not by the caller of the model.
    fn is_private(&self, value: &str) -> bool {
        self.readers.get(value).is_some_and(|readers| readers.len() == 1) && !self.is_output(value)
    }

    fn is_f32_constant(&self, value: &str) -> bool {
        self.constants.get(value).is_some_and(|tensor| tensor.element_type() == Some(DataType::Float))
    }
}

/// Plans a graph. `excluded` holds positions of nodes to leave as they are, with the reason.
pub fn plan(view: &View<'_>, target: Target, excluded: &BTreeMap<usize, String>) -> Plan {
    let mut planner = Planner { view, plan: Plan::default(), integer: BTreeSet::new() };
    for (index, node) in view.graph.node.iter().enumerate() {
        let done = match excluded.get(&index) {
            Some(reason) => Err(reason.clone()),
            None if !node.is_standard() => Err(format!("it is of the operator set `{}`", node.domain())),
            None => match target {
                Target::Cpu => planner.cpu(index, node),
                Target::Tensorrt => planner.tensorrt(index, node),
            },
        };
        match done {
            Ok(()) => {
                planner.integer.insert(index);
            }
            Err(reason) => planner.plan.float.push((node.label(), reason)),
        }
    }
    planner.plan
}

struct Planner<'a> {
    view: &'a View<'a>,
    plan: Plan,
    /// Nodes that compute on integers.
    integer: BTreeSet<usize>,
}

impl Planner<'_> {
    fn mark(&mut self, value: &str) {
        self.plan.activations.entry(value.to_owned()).or_insert(Source::Own);
    }

    fn is_marked(&self, value: &str) -> bool {
        self.plan.activations.contains_key(value)
    }

    fn cpu(&mut self, index: usize, node: &NodeProto) -> Result<(), String> {
        let inputs: Vec<&str> =
            (0..node.input.len()).filter_map(|position| node.input_at(position)).collect();
        let output = node.output_at(0).unwrap_or_default();
        match node.op_type() {
            "Conv" | "Gemm" | "MatMul" => {
                self.layer(index, node, Target::Cpu)?;
                self.mark(inputs[0]);
                // Integer sums can be given out as f32 by the matrix kernels: logits then keep their precision.
                if node.op_type() == "Conv" || !self.view.is_output(output) {
                    self.mark(output);
                }
            }
            "Add" | "Mul" | "Concat" => {
                if inputs.iter().any(|input| self.view.constants.contains_key(input)) {
                    return Err("one of its inputs is a constant".to_owned());
                }
                inputs.iter().for_each(|input| self.mark(input));
                self.mark(output);
            }
            "GlobalAveragePool" | "Sigmoid" | "LeakyRelu" => {
                self.mark(inputs[0]);
                self.mark(output);
            }
            "MaxPool" | "AveragePool" | "Flatten" | "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze" => {
                if !self.is_marked(inputs[0]) {
                    return Err("its input is f32".to_owned());
                }
                if self.view.is_output(output) {
                    return Err("its output is the model's".to_owned());
                }
                self.plan.activations.insert(output.to_owned(), Source::SameAs(inputs[0].to_owned()));
            }
            "Relu" | "Clip" => {
                if !self.is_marked(inputs[0]) {
                    return Err("its input is f32".to_owned());
                }
                if self.replaces(node, inputs[0], output) {
                    self.plan.activations.remove(inputs[0]);
                    self.plan.removed.insert(index, inputs[0].to_owned());
                }
                self.mark(output);
            }
            _ => return Err("it has no 8-bit form".to_owned()),
        }
        Ok(())
    }

    /// An unsigned range from 0 up cuts off what is below, as the activation does; above, the range is at most what was seen
    /// of its output.
    fn replaces(&self, node: &NodeProto, input: &str, output: &str) -> bool {
        let makes_values = self.view.producers.get(input).is_some_and(|producer| {
            self.integer.contains(producer)
                && matches!(
                    self.view.graph.node[*producer].op_type(),
                    "Conv" | "Gemm" | "MatMul" | "Add" | "Mul"
                )
        });
        let from_zero = node.op_type() == "Relu"
            || node
                .input_at(1)
                .and_then(|low| self.view.constants.get(low))
                .and_then(|low| low.to_f32().ok())
                .is_some_and(|low| low == [0.0]);
        makes_values
            && from_zero
            && self.view.is_private(input)
            && self.plan.activations.get(input) == Some(&Source::Own)
            && !self.view.is_output(output)
    }

    fn tensorrt(&mut self, index: usize, node: &NodeProto) -> Result<(), String> {
        let input = node.input_at(0).unwrap_or_default();
        match node.op_type() {
            "Conv" | "Gemm" | "MatMul" => {
                self.layer(index, node, Target::Tensorrt)?;
                self.mark(input);
            }
            "GlobalAveragePool" | "AveragePool" => self.mark(input),
            "Add" => {
                let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
                if inputs.iter().any(|input| self.view.constants.contains_key(input)) {
                    return Err("one of its inputs is a constant".to_owned());
                }
                let fuses = |value: &str| {
                    self.view.is_private(value)
                        && self.view.producer(value).is_some_and(|producer| producer.op_type() == "Conv")
                };
                let residual = match inputs.as_slice() {
                    [one, other] if !fuses(one) && fuses(other) => *one,
                    [one, other] if fuses(one) => *other,
                    _ => return Err("neither of its inputs is a convolution that it fuses with".to_owned()),
                };
                self.mark(residual);
            }
            "Relu" | "Clip" | "MaxPool" | "Flatten" | "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze"
            | "Concat" => {
                return Err("TensorRT chooses by its neighbours".to_owned());
            }
            _ => return Err("it has no 8-bit form".to_owned()),
        }
        Ok(())
    }

    fn layer(&mut self, index: usize, node: &NodeProto, target: Target) -> Result<(), String> {
        let weight = node.input_at(1).unwrap_or_default();
        let Some(tensor) = self.view.constants.get(weight).filter(|_| self.view.is_f32_constant(weight))
        else {
            return Err("its weights are not constant".to_owned());
        };
        if node.input_at(0).is_none_or(|input| self.view.constants.contains_key(input)) {
            return Err("its input is a constant".to_owned());
        }
        let (rank, axis) = match node.op_type() {
            "Conv" => (tensor.dims.len(), 0),
            "Gemm" if node.int("transB").unwrap_or(0) == 1 => (2, 0),
            _ => (2, 1),
        };
        if tensor.dims.len() != rank || rank < 2 {
            return Err(format!("its weights have {} dimensions", tensor.dims.len()));
        }
        if node.op_type() == "Gemm" && node.int("transA").unwrap_or(0) == 1 {
            return Err("its input is transposed".to_owned());
        }
        if node.op_type() == "Gemm"
            && (node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0)) != (1.0, 1.0)
        {
            return Err("its factors are not 1".to_owned());
        }
        let bias = match node.input_at(2) {
            None => None,
            Some(bias) => {
                let values = self.view.constants.get(bias).filter(|_| self.view.is_f32_constant(bias));
                let fits = values.is_some_and(|values| values.dims == [tensor.dims[axis]]);
                match target {
                    Target::Cpu if !fits => {
                        return Err("its bias is not a constant with one value for each output".to_owned());
                    }
                    Target::Cpu => Some(bias.to_owned()),
                    // TensorRT adds biases in f32.
                    Target::Tensorrt => None,
                }
            }
        };
        self.plan.layers.push(Layer { node: index, weight: weight.to_owned(), axis, bias });
        Ok(())
    }
}
