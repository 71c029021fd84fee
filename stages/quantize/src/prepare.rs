//! From any exporter's file to the form that is quantized: operator set 13 or newer, constants and batch norm folded, the
//! few patterns rewritten that have an 8-bit form under another name.

use std::{collections::BTreeMap, path::Path};

use stagewright_onnx::{
    Level,
    attributes::int,
    check, infer, node, optimize,
    proto::{GraphProto, ModelProto, NodeProto, TensorProto},
};
use stagewright_sdk::{Result, StageFault};

/// The first operator set with a scale per channel.
const OPSET: i64 = 13;

/// Operators whose meaning did not change between the operator sets 11 and 13, so that raising the number is enough.
const SAME_SINCE_11: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Div",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Sub",
    "Tanh",
    "Transpose",
];

/// A model ready to be quantized. `scratch` is a folder for files in between.
///
/// # Errors
/// The model is quantized already, older than operator set 11, or not valid.
pub fn prepare(model: &ModelProto, scratch: &Path) -> Result<ModelProto> {
    check(model)?;
    let mut model = model.clone();
    refuse_quantized(&model)?;
    refuse_control_flow(&model)?;
    raise_opset(&mut model)?;
    let mut prepared = optimize(&model, Level::Basic, scratch)?;
    if let Some(graph) = &mut prepared.graph {
        spatial_means(graph);
        plain_products(graph)?;
        graph.initializer.sort_by(|one, other| one.name().cmp(other.name()));
    }
    Ok(prepared)
}

fn nodes(model: &ModelProto) -> &[NodeProto] {
    model.graph.as_ref().map_or(&[], |graph| &graph.node)
}

fn refuse_quantized(model: &ModelProto) -> Result<()> {
    let integer = |node: &&NodeProto| {
        matches!(
            node.op_type(),
            "QuantizeLinear"
                | "DequantizeLinear"
                | "QLinearConv"
                | "QLinearMatMul"
                | "ConvInteger"
                | "MatMulInteger"
                | "DynamicQuantizeLinear"
        )
    };
    match nodes(model).iter().find(integer) {
        None => Ok(()),
        Some(node) => {
            Err(StageFault::user(format!("the model is quantized already: it holds {}", node.label()))
                .hint("bind `model` to the f32 model"))
        }
    }
}

/// A graph inside a node reads values around it by name, where no edge shows it.
fn refuse_control_flow(model: &ModelProto) -> Result<()> {
    let holds_graph = |node: &&NodeProto| {
        node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
    };
    match nodes(model).iter().find(holds_graph) {
        None => Ok(()),
        Some(node) => Err(StageFault::user(format!(
            "the model has control flow ({}), which is not quantized",
            node.label()
        ))
        .hint("export the model with fixed control flow, in evaluation mode")),
    }
}

fn raise_opset(model: &mut ModelProto) -> Result<()> {
    let version = model
        .opset_import
        .iter()
        .find(|import| matches!(import.domain(), "" | "ai.onnx"))
        .map_or(0, |import| import.version());
    if version >= OPSET {
        return Ok(());
    }
    let hint = format!("export it again with `opset_version={OPSET}` or newer");
    if version < 11 {
        return Err(StageFault::user(format!(
            "the model is written in operator set {version}; 8-bit weights need {OPSET}"
        ))
        .hint(hint));
    }
    let changed =
        nodes(model).iter().find(|node| node.is_standard() && !SAME_SINCE_11.contains(&node.op_type()));
    if let Some(node) = changed {
        let message = format!(
            "the model is written in operator set {version}, 8-bit weights need {OPSET}, and {} may mean something else there",
            node.label()
        );
        return Err(StageFault::user(message).hint(hint));
    }
    for import in model.opset_import.iter_mut().filter(|import| matches!(import.domain(), "" | "ai.onnx")) {
        import.version = Some(OPSET);
    }
    // Operator set 13 came with format version 7.
    model.ir_version = Some(model.ir_version().max(7));
    Ok(())
}

/// The mean over height and width, as PyTorch's newer exporter writes global average pooling, becomes the pooling: that one
/// has an 8-bit kernel.
fn spatial_means(graph: &mut GraphProto) {
    let Ok(types) = infer(graph) else { return };
    let constants: BTreeMap<String, Vec<i64>> = graph
        .initializer
        .iter()
        .filter_map(|tensor| Some((tensor.name().to_owned(), tensor.to_i64().ok()?)))
        .collect();
    let mut rewritten = Vec::with_capacity(graph.node.len());
    for mean in std::mem::take(&mut graph.node) {
        let axes = mean
            .ints("axes")
            .map(<[i64]>::to_vec)
            .or_else(|| mean.input_at(1).and_then(|axes| constants.get(axes)).cloned())
            .map(|axes| axes.iter().map(|axis| axis.rem_euclid(4)).collect::<Vec<i64>>());
        let rank = mean
            .input_at(0)
            .and_then(|input| types.get(input))
            .and_then(|value| value.dims.as_ref())
            .map(Vec::len);
        let spatial = mean.op_type() == "ReduceMean"
            && mean.is_standard()
            && rank == Some(4)
            && axes.is_some_and(|axes| axes.len() == 2 && axes.contains(&2) && axes.contains(&3));
        let (Some(input), Some(output)) = (mean.input_at(0), mean.output_at(0)) else {
            rewritten.push(mean);
            continue;
        };
        if !spatial {
            rewritten.push(mean);
        } else if mean.int("keepdims").unwrap_or(1) == 1 {
            rewritten.push(node("GlobalAveragePool", mean.name(), &[input], &[output], vec![]));
        } else {
            let pooled = format!("{output}/pooled");
            rewritten.push(node("GlobalAveragePool", mean.name(), &[input], &[&pooled], vec![]));
            rewritten.push(node(
                "Flatten",
                &format!("{}/flatten", mean.name()),
                &[&pooled],
                &[output],
                vec![int("axis", 1)],
            ));
        }
    }
    graph.node = rewritten;
}

/// A `Gemm` with factors other than 1 gets them into its constants: the 8-bit kernel has none.
fn plain_products(graph: &mut GraphProto) -> Result<()> {
    let readers = |graph: &GraphProto, name: &str| {
        graph.node.iter().flat_map(|node| &node.input).filter(|input| *input == name).count()
    };
    for index in 0..graph.node.len() {
        let gemm = &graph.node[index];
        if gemm.op_type() != "Gemm" || !gemm.is_standard() {
            continue;
        }
        for (attribute, position) in [("alpha", 1), ("beta", 2)] {
            let factor = graph.node[index].float(attribute).unwrap_or(1.0);
            let Some(name) = graph.node[index].input_at(position).map(str::to_owned) else { continue };
            let constant = graph.initializer.iter().position(|tensor| tensor.name() == name);
            let (Some(constant), false) = (constant, factor == 1.0) else { continue };
            if readers(graph, &name) > 1 {
                continue;
            }
            let tensor = &graph.initializer[constant];
            let values: Vec<f32> = tensor.to_f32()?.iter().map(|value| value * factor).collect();
            graph.initializer[constant] = TensorProto::of_f32(&name, &tensor.shape()?, &values);
            graph.node[index].attribute.retain(|kept| kept.name() != attribute);
        }
    }
    Ok(())
}
