//! Types and shapes of a graph's values, where the operator is known.

use std::collections::BTreeMap;

use crate::{
    OnnxError,
    proto::{DataType, GraphProto, NodeProto, TensorProto, ValueInfoProto, dimension, type_proto},
};

/// One dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// A number.
    Size(i64),
    /// A symbol such as `batch`: the same wherever it stands.
    Symbol(String),
    /// Not known.
    Unknown,
}

/// What is known of a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValueType {
    /// Element type.
    pub element: Option<DataType>,
    /// Dimensions; `None` if not even their number is known.
    pub dims: Option<Vec<Dim>>,
}

impl ValueType {
    fn of(element: Option<DataType>, dims: Option<Vec<Dim>>) -> Self {
        Self { element, dims }
    }
}

impl From<&ValueInfoProto> for ValueType {
    fn from(info: &ValueInfoProto) -> Self {
        let Some(type_proto::Value::TensorType(tensor)) =
            info.r#type.as_ref().and_then(|kind| kind.value.as_ref())
        else {
            return Self::default();
        };
        let dim = |dim: &crate::proto::Dimension| match &dim.value {
            Some(dimension::Value::DimValue(size)) => Dim::Size(*size),
            Some(dimension::Value::DimParam(symbol)) if !symbol.is_empty() => Dim::Symbol(symbol.clone()),
            _ => Dim::Unknown,
        };
        let dims = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(dim).collect());
        Self::of(
            DataType::try_from(tensor.elem_type()).ok().filter(|&kind| kind != DataType::Undefined),
            dims,
        )
    }
}

impl From<&TensorProto> for ValueType {
    fn from(tensor: &TensorProto) -> Self {
        Self::of(tensor.element_type(), Some(tensor.dims.iter().map(|&size| Dim::Size(size)).collect()))
    }
}

/// Infers the type of every value of a graph whose nodes are in topological order.
///
/// An operator that is not known gives a value of which only what `value_info` says is known.
///
/// # Errors
/// A known operator reads what it can't: channels that do not fit its weights, shapes that do not broadcast.
pub fn infer(graph: &GraphProto) -> Result<BTreeMap<String, ValueType>, OnnxError> {
    let constants: BTreeMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut types: BTreeMap<String, ValueType> = BTreeMap::new();
    for info in graph.value_info.iter().chain(&graph.output).chain(&graph.input) {
        types.insert(info.name().to_owned(), info.into());
    }
    for tensor in &graph.initializer {
        types.insert(tensor.name().to_owned(), tensor.into());
    }
    for node in &graph.node {
        let inferred = Inference { node, types: &types, constants: &constants }.output()?;
        // Operators with several outputs are known by the first alone.
        if let (Some(inferred), Some(output)) = (inferred, node.output_at(0)) {
            let known = types.entry(output.to_owned()).or_default();
            known.element = inferred.element.or(known.element);
            known.dims = match (inferred.dims, known.dims.take()) {
                (Some(dims), Some(said)) => Some(agree(node, dims, said)?),
                (dims, said) => dims.or(said),
            };
        }
    }
    Ok(types)
}

/// What was inferred and what the file says, where one knows more than the other.
fn agree(node: &NodeProto, inferred: Vec<Dim>, said: Vec<Dim>) -> Result<Vec<Dim>, OnnxError> {
    let clash =
        || OnnxError::Structure(format!("{} gives shape {inferred:?}, the file says {said:?}", node.label()));
    if inferred.len() != said.len() {
        return Err(clash());
    }
    inferred
        .iter()
        .zip(&said)
        .map(|pair| match pair {
            (Dim::Size(one), Dim::Size(other)) if one != other => Err(clash()),
            (Dim::Unknown, said) => Ok(said.clone()),
            (Dim::Symbol(_), Dim::Size(size)) => Ok(Dim::Size(*size)),
            (inferred, _) => Ok(inferred.clone()),
        })
        .collect()
}

struct Inference<'a> {
    node: &'a NodeProto,
    types: &'a BTreeMap<String, ValueType>,
    constants: &'a BTreeMap<&'a str, &'a TensorProto>,
}

impl Inference<'_> {
    fn output(&self) -> Result<Option<ValueType>, OnnxError> {
        if !self.node.is_standard() {
            return Ok(None);
        }
        let input = self.input(0);
        let element = input.element;
        let given = match self.node.op_type() {
            "Relu" | "Sigmoid" | "Erf" | "Gelu" | "Identity" | "Clip" | "LeakyRelu" | "HardSwish"
            | "HardSigmoid" | "Dropout" | "Softmax" | "BatchNormalization" => input,
            "Cast" => ValueType::of(
                self.node.int("to").and_then(|to| DataType::try_from(i32::try_from(to).ok()?).ok()),
                input.dims,
            ),
            "QuantizeLinear" => ValueType::of(self.input(2).element.or(Some(DataType::Uint8)), input.dims),
            "DequantizeLinear" => ValueType::of(self.input(1).element, input.dims),
            "Add" | "Sub" | "Mul" | "Div" => {
                ValueType::of(element, self.broadcast(input.dims, self.input(1).dims)?)
            }
            "Conv" => ValueType::of(element, self.conv(input.dims, self.input(1).dims)?),
            "MaxPool" | "AveragePool" => ValueType::of(element, self.pool(input.dims)?),
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let pooled = |(axis, dim)| if axis < 2 { dim } else { Dim::Size(1) };
                ValueType::of(
                    element,
                    input.dims.map(|dims| dims.into_iter().enumerate().map(pooled).collect()),
                )
            }
            "Flatten" => ValueType::of(element, self.flatten(input.dims)?),
            "Gemm" => ValueType::of(element, self.gemm(input.dims, self.input(1).dims)?),
            "Reshape" => ValueType::of(element, self.reshape(input.dims)),
            "Constant" => self
                .node
                .attribute("value")
                .and_then(|value| value.t.as_ref())
                .map_or_else(ValueType::default, ValueType::from),
            _ => return Ok(None),
        };
        Ok(Some(given))
    }

    fn input(&self, index: usize) -> ValueType {
        self.node.input_at(index).and_then(|name| self.types.get(name)).cloned().unwrap_or_default()
    }

    fn wrong(&self, what: impl std::fmt::Display) -> OnnxError {
        OnnxError::Structure(format!("{}: {what}", self.node.label()))
    }

    /// NumPy's rule: trailing dimensions are equal or 1.
    fn broadcast(
        &self,
        one: Option<Vec<Dim>>,
        other: Option<Vec<Dim>>,
    ) -> Result<Option<Vec<Dim>>, OnnxError> {
        let (Some(one), Some(other)) = (one, other) else { return Ok(None) };
        let rank = one.len().max(other.len());
        let at = |dims: &[Dim], axis: usize| {
            (axis + dims.len()).checked_sub(rank).map_or(Dim::Size(1), |axis| dims[axis].clone())
        };
        let dims: Result<Vec<Dim>, OnnxError> = (0..rank)
            .map(|axis| match (at(&one, axis), at(&other, axis)) {
                (Dim::Size(1), dim) | (dim, Dim::Size(1)) => Ok(dim),
                (Dim::Size(one_size), Dim::Size(size)) if one_size != size => {
                    Err(self.wrong(format_args!("the shapes {one:?} and {other:?} do not broadcast")))
                }
                (Dim::Size(size), _) | (_, Dim::Size(size)) => Ok(Dim::Size(size)),
                (dim, other) => Ok(if dim == other { dim } else { Dim::Unknown }),
            })
            .collect();
        dims.map(Some)
    }

    fn conv(&self, input: Option<Vec<Dim>>, weight: Option<Vec<Dim>>) -> Result<Option<Vec<Dim>>, OnnxError> {
        let (Some(input), Some(weight)) = (input, weight) else { return Ok(None) };
        if input.len() != weight.len() || input.len() < 3 {
            return Err(self.wrong(format_args!(
                "an input of {} dimensions and weights of {}",
                input.len(),
                weight.len()
            )));
        }
        let group = self.node.int("group").unwrap_or(1);
        if let (Dim::Size(channels), Dim::Size(per_group)) = (&input[1], &weight[1])
            && *channels != per_group * group
        {
            return Err(self.wrong(format_args!(
                "the input has {channels} channels, the weights want {per_group} in each of {group} groups"
            )));
        }
        let kernel: Vec<Dim> = weight[2..].to_vec();
        let mut dims = vec![input[0].clone(), weight[0].clone()];
        dims.extend(self.window(&input[2..], &kernel)?);
        Ok(Some(dims))
    }

    fn pool(&self, input: Option<Vec<Dim>>) -> Result<Option<Vec<Dim>>, OnnxError> {
        let Some(input) = input else { return Ok(None) };
        let kernel: Vec<Dim> =
            self.node.ints("kernel_shape").unwrap_or_default().iter().map(|&size| Dim::Size(size)).collect();
        if input.len() != kernel.len() + 2 {
            return Err(self.wrong(format_args!(
                "an input of {} dimensions and a kernel of {}",
                input.len(),
                kernel.len()
            )));
        }
        let mut dims = input[..2].to_vec();
        dims.extend(self.window(&input[2..], &kernel)?);
        Ok(Some(dims))
    }

    /// Number of places of a sliding window along each dimension.
    fn window(&self, sizes: &[Dim], kernel: &[Dim]) -> Result<Vec<Dim>, OnnxError> {
        let node = self.node;
        let auto = node.attribute("auto_pad").and_then(|pad| pad.s.as_deref()).unwrap_or(b"NOTSET");
        let at = |name: &str, index: usize, default: i64| {
            node.ints(name).and_then(|values| values.get(index).copied()).unwrap_or(default)
        };
        let along = |axis: usize| {
            let (Dim::Size(size), Dim::Size(kernel)) = (&sizes[axis], &kernel[axis]) else {
                return Ok(Dim::Unknown);
            };
            let (stride, reach) = (at("strides", axis, 1), at("dilations", axis, 1) * (kernel - 1) + 1);
            if stride < 1 {
                return Err(self.wrong(format_args!("a stride of {stride}")));
            }
            let places = match auto {
                b"SAME_UPPER" | b"SAME_LOWER" => (size + stride - 1) / stride,
                _ => {
                    let padded = size + at("pads", axis, 0) + at("pads", axis + sizes.len(), 0);
                    let room = padded - reach;
                    let up = if node.int("ceil_mode").unwrap_or(0) == 1 { stride - 1 } else { 0 };
                    if room < 0 { 0 } else { (room + up) / stride + 1 }
                }
            };
            if places < 1 {
                return Err(self.wrong(format_args!("a window of {reach} does not fit into {size} pixels")));
            }
            Ok(Dim::Size(places))
        };
        (0..sizes.len()).map(along).collect()
    }

    fn flatten(&self, input: Option<Vec<Dim>>) -> Result<Option<Vec<Dim>>, OnnxError> {
        let Some(input) = input else { return Ok(None) };
        let rank = i64::try_from(input.len()).unwrap_or(i64::MAX);
        let axis = self.node.int("axis").unwrap_or(1);
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis })
            .ok()
            .filter(|&axis| axis <= input.len());
        let axis = axis.ok_or_else(|| {
            self.wrong(format_args!("its axis is outside the {rank} dimensions of the input"))
        })?;
        Ok(Some(vec![product(&input[..axis]), product(&input[axis..])]))
    }

    fn gemm(&self, one: Option<Vec<Dim>>, other: Option<Vec<Dim>>) -> Result<Option<Vec<Dim>>, OnnxError> {
        let (Some(mut one), Some(mut other)) = (one, other) else { return Ok(None) };
        if one.len() != 2 || other.len() != 2 {
            return Err(self.wrong(format_args!("matrices of {} and {} dimensions", one.len(), other.len())));
        }
        if self.node.int("transA").unwrap_or(0) == 1 {
            one.reverse();
        }
        if self.node.int("transB").unwrap_or(0) == 1 {
            other.reverse();
        }
        if let (Dim::Size(columns), Dim::Size(rows)) = (&one[1], &other[0])
            && columns != rows
        {
            return Err(self.wrong(format_args!("the input has {columns} features, the weights want {rows}")));
        }
        Ok(Some(vec![one[0].clone(), other[1].clone()]))
    }

    /// Known if the target is a constant; −1 stays open unless everything else is known.
    fn reshape(&self, input: Option<Vec<Dim>>) -> Option<Vec<Dim>> {
        let target = self.constants.get(self.node.input_at(1)?)?.to_i64().ok()?;
        let keep =
            |axis: usize| input.as_ref().and_then(|dims| dims.get(axis).cloned()).unwrap_or(Dim::Unknown);
        let zero_is_zero = self.node.int("allowzero").unwrap_or(0) == 1;
        let dims = target.iter().enumerate().map(|(axis, &size)| match size {
            -1 => Dim::Unknown,
            0 if !zero_is_zero => keep(axis),
            size => Dim::Size(size),
        });
        Some(dims.collect())
    }
}

fn product(dims: &[Dim]) -> Dim {
    match dims {
        [dim] => dim.clone(),
        _ => dims
            .iter()
            .try_fold(
                1i64,
                |product, dim| if let Dim::Size(size) = dim { product.checked_mul(*size) } else { None },
            )
            .map_or(Dim::Unknown, Dim::Size),
    }
}
