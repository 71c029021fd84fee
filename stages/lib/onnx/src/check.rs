//! What a valid model must be: the structural rules of the ONNX specification.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    OnnxError, infer,
    infer::ValueType,
    proto::{AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, TensorProto},
};

/// Checks a model's structure and gives what is known of its values.
///
/// Format version and operator sets named; graph, inputs and outputs named and typed; every value made once and before it
/// is read; attributes hold what their type says; initializers as long as their shape says; shapes fit wherever the
/// operator is known (see [`infer`](crate::infer)); metadata keys unique.
///
/// # Errors
/// The first rule that is broken, with the node or value.
pub fn check(model: &ModelProto) -> Result<BTreeMap<String, ValueType>, OnnxError> {
    let wrong = |what: String| Err(OnnxError::Structure(what));
    if model.ir_version() < 3 {
        return wrong(format!(
            "format version {} is older than 3, the first with named operator sets",
            model.ir_version()
        ));
    }
    let mut domains = BTreeSet::new();
    for import in &model.opset_import {
        if import.version() < 1 {
            return wrong(format!("the operator set `{}` has version {}", import.domain(), import.version()));
        }
        // "" and "ai.onnx" are the same set.
        if !domains.insert(if import.domain() == "ai.onnx" { "" } else { import.domain() }) {
            return wrong(format!("the operator set `{}` is named twice", import.domain()));
        }
    }
    let mut keys = BTreeSet::new();
    if let Some(twice) = model.metadata_props.iter().find(|entry| !keys.insert(entry.key())) {
        return wrong(format!("the metadata key `{}` is there twice", twice.key()));
    }
    let Some(graph) = &model.graph else { return wrong("it has no graph".to_owned()) };
    if graph.name().is_empty() {
        return wrong("the graph has no name".to_owned());
    }
    check_interface(graph)?;
    let functions: BTreeSet<&str> = model.functions.iter().map(|function| function.domain()).collect();
    let mut known: BTreeSet<&str> = graph.input.iter().map(|input| input.name()).collect();
    // Before IR version 4 initializers are listed among the inputs as well.
    for tensor in &graph.initializer {
        check_tensor(tensor)?;
        if tensor.name().is_empty() {
            return wrong("an initializer has no name".to_owned());
        }
        known.insert(tensor.name());
    }
    known.extend(graph.sparse_initializer.iter().filter_map(|tensor| Some(tensor.values.as_ref()?.name())));
    let mut made: BTreeSet<&str> = known.clone();
    for node in &graph.node {
        check_node(node)?;
        let domain = if node.domain() == "ai.onnx" { "" } else { node.domain() };
        if !domains.contains(domain) && !functions.contains(domain) {
            return wrong(format!(
                "{} is of the operator set `{domain}`, which the model does not name",
                node.label()
            ));
        }
        if let Some(missing) =
            node.input.iter().find(|input| !input.is_empty() && !known.contains(input.as_str()))
        {
            return wrong(format!("{} reads `{missing}`, which nothing before it makes", node.label()));
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !made.insert(output) {
                return wrong(format!("{} makes `{output}`, which is there already", node.label()));
            }
            known.insert(output);
        }
    }
    if let Some(missing) = graph.output.iter().find(|output| !known.contains(output.name())) {
        return wrong(format!("the output `{}` is made by no node", missing.name()));
    }
    infer(graph)
}

fn check_interface(graph: &GraphProto) -> Result<(), OnnxError> {
    let wrong = |what: String| Err(OnnxError::Structure(what));
    let mut names = BTreeSet::new();
    for (kind, value) in graph
        .input
        .iter()
        .map(|input| ("input", input))
        .chain(graph.output.iter().map(|output| ("output", output)))
    {
        if value.name().is_empty() {
            return wrong(format!("an {kind} has no name"));
        }
        if value.r#type.as_ref().is_none_or(|kind| kind.value.is_none()) {
            return wrong(format!("the {kind} `{}` has no type", value.name()));
        }
        if !names.insert((kind, value.name())) {
            return wrong(format!("two {kind}s are called `{}`", value.name()));
        }
    }
    if graph.output.is_empty() {
        return wrong("the graph has no output".to_owned());
    }
    Ok(())
}

fn check_node(node: &NodeProto) -> Result<(), OnnxError> {
    let wrong = |what: String| Err(OnnxError::Structure(what));
    if node.op_type().is_empty() {
        return wrong(format!("the node `{}` has no operator", node.name()));
    }
    if node.output.iter().all(String::is_empty) && node.input.is_empty() {
        return wrong(format!("{} has neither inputs nor outputs", node.label()));
    }
    let mut names = BTreeSet::new();
    for attribute in &node.attribute {
        if attribute.name().is_empty() || !names.insert(attribute.name()) {
            return wrong(format!(
                "{} has an attribute without a name or `{}` twice",
                node.label(),
                attribute.name()
            ));
        }
        if !holds_its_type(attribute) {
            return wrong(format!(
                "the attribute `{}` of {} does not hold what its type says",
                attribute.name(),
                node.label()
            ));
        }
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            check_tensor(tensor)?;
        }
    }
    Ok(())
}

/// Exactly the field that `type` names is set; an empty list counts as set.
fn holds_its_type(attribute: &AttributeProto) -> bool {
    let set = [
        (AttributeType::Float, attribute.f.is_some()),
        (AttributeType::Int, attribute.i.is_some()),
        (AttributeType::String, attribute.s.is_some()),
        (AttributeType::Tensor, attribute.t.is_some()),
        (AttributeType::Graph, attribute.g.is_some()),
        (AttributeType::SparseTensor, attribute.sparse_tensor.is_some()),
        (AttributeType::TypeProto, attribute.tp.is_some()),
        (AttributeType::Floats, !attribute.floats.is_empty()),
        (AttributeType::Ints, !attribute.ints.is_empty()),
        (AttributeType::Strings, !attribute.strings.is_empty()),
        (AttributeType::Tensors, !attribute.tensors.is_empty()),
        (AttributeType::Graphs, !attribute.graphs.is_empty()),
        (AttributeType::SparseTensors, !attribute.sparse_tensors.is_empty()),
        (AttributeType::TypeProtos, !attribute.type_protos.is_empty()),
    ];
    let single = |kind: AttributeType| {
        (kind as i32) <= 5 || matches!(kind, AttributeType::SparseTensor | AttributeType::TypeProto)
    };
    let kind = attribute.r#type();
    attribute.ref_attr_name.is_some()
        || kind != AttributeType::Undefined
            && set
                .iter()
                .all(|&(field, is_set)| if field == kind { is_set || !single(kind) } else { !is_set })
}

fn check_tensor(tensor: &TensorProto) -> Result<(), OnnxError> {
    let shape = tensor.shape()?;
    let Some(raw) = &tensor.raw_data else { return Ok(()) };
    let Some(bits) = tensor.element_type().and_then(bits) else { return Ok(()) };
    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let wanted = count.and_then(|count| count.checked_mul(bits)).map(|bits| bits.div_ceil(8));
    if wanted == Some(raw.len()) {
        return Ok(());
    }
    Err(OnnxError::Structure(format!(
        "the tensor `{}` of shape {shape:?} holds {} bytes",
        tensor.name(),
        raw.len()
    )))
}

/// Bits of one element as raw bytes hold it; `None` for types that raw bytes can't hold.
fn bits(kind: crate::proto::DataType) -> Option<usize> {
    use crate::proto::DataType as D;
    Some(match kind {
        D::Undefined | D::String => return None,
        D::Uint2 | D::Int2 => 2,
        D::Uint4 | D::Int4 | D::Float4e2m1 => 4,
        D::Uint8
        | D::Int8
        | D::Bool
        | D::Float8e4m3fn
        | D::Float8e4m3fnuz
        | D::Float8e5m2
        | D::Float8e5m2fnuz
        | D::Float8e8m0 => 8,
        // Packing of the 6-bit types into bytes is not ours to judge.
        D::Float6e2m3 | D::Float6e3m2 => return None,
        D::Uint16 | D::Int16 | D::Float16 | D::Bfloat16 => 16,
        D::Float | D::Int32 | D::Uint32 => 32,
        D::Int64 | D::Uint64 | D::Double | D::Complex64 => 64,
        D::Complex128 => 128,
    })
}
