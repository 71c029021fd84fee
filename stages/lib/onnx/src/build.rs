//! Making nodes, attributes and value infos.

use crate::{
    Dim,
    proto::{
        AttributeProto, AttributeType, DataType, Dimension, ModelProto, NodeProto, StringStringEntryProto,
        TensorShapeProto, TensorType, TypeProto, ValueInfoProto, dimension, type_proto,
    },
};

/// A node of ONNX's own operator set.
pub fn node(
    op: &str,
    name: &str,
    inputs: &[&str],
    outputs: &[&str],
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        op_type: Some(op.to_owned()),
        name: Some(name.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: outputs.iter().map(|&output| output.to_owned()).collect(),
        attribute,
        ..NodeProto::default()
    }
}

/// Constructors of attributes.
pub mod attributes {
    use super::{AttributeProto, AttributeType};

    /// One integer.
    pub fn int(name: &str, value: i64) -> AttributeProto {
        AttributeProto { i: Some(value), ..of(name, AttributeType::Int) }
    }

    /// Several integers.
    pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
        AttributeProto { ints: values.to_vec(), ..of(name, AttributeType::Ints) }
    }

    /// One float.
    pub fn float(name: &str, value: f32) -> AttributeProto {
        AttributeProto { f: Some(value), ..of(name, AttributeType::Float) }
    }

    fn of(name: &str, kind: AttributeType) -> AttributeProto {
        AttributeProto { name: Some(name.to_owned()), r#type: Some(kind as i32), ..AttributeProto::default() }
    }
}

impl NodeProto {
    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name() == name)
    }

    /// Value of an integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).and_then(|attribute| attribute.i)
    }

    /// Values of an attribute of several integers.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    /// Value of a float attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).and_then(|attribute| attribute.f)
    }

    /// Name of an input; `None` where it is left out.
    pub fn input_at(&self, index: usize) -> Option<&str> {
        self.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Name of an output; `None` where it is left out.
    pub fn output_at(&self, index: usize) -> Option<&str> {
        self.output.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// True for an operator of ONNX's own set.
    pub fn is_standard(&self) -> bool {
        matches!(self.domain(), "" | "ai.onnx")
    }

    /// The node as people know it: `Conv layer1.0.conv1`.
    pub fn label(&self) -> String {
        match (self.name(), self.output.first()) {
            ("", Some(output)) => format!("{} (→ {output})", self.op_type()),
            ("", None) => self.op_type().to_owned(),
            (name, _) => format!("{} {name}", self.op_type()),
        }
    }
}

/// A named tensor with its element type and shape.
pub fn value_info(name: &str, element: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = |dim: &Dim| Dimension {
        value: match dim {
            Dim::Size(size) => Some(dimension::Value::DimValue(*size)),
            Dim::Symbol(symbol) => Some(dimension::Value::DimParam(symbol.clone())),
            Dim::Unknown => None,
        },
        denotation: None,
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorType { elem_type: Some(element as i32), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None }),
        ..ValueInfoProto::default()
    }
}

/// Value of a metadata key of the model.
pub fn metadata<'a>(model: &'a ModelProto, key: &str) -> Option<&'a str> {
    model.metadata_props.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value)
}

/// Sets a metadata key; keys are kept sorted, so that the order of calls does not show in the file.
pub fn set_metadata(model: &mut ModelProto, key: &str, value: &str) {
    model.metadata_props.retain(|entry| entry.key() != key);
    model
        .metadata_props
        .push(StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) });
    model.metadata_props.sort_by(|one, other| one.key().cmp(other.key()));
}
