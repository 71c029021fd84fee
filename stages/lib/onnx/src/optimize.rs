//! ONNX Runtime's own graph rewriting, as a function from model to model.

use std::path::Path;

use ort::session::builder::GraphOptimizationLevel;

use crate::{OnnxError, encode_model, proto::ModelProto, read_model, session::builder};

/// How far ONNX Runtime may rewrite a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Constants folded, batch norm folded into convolutions, dead and doubled nodes removed: the same for every machine,
    /// in standard operators.
    Basic,
    /// Everything for this machine; the result runs only here and is for looking at.
    All,
}

/// Rewrites a model. `scratch` is a folder for the file that ONNX Runtime writes.
///
/// Metadata, names of inputs and outputs, and producer are kept; imports of operator sets that nothing uses are dropped;
/// every value has a type in `value_info` afterwards. The same model gives the same result.
///
/// # Errors
/// ONNX Runtime is not found or does not take the model; the folder can't be written.
pub fn optimize(model: &ModelProto, level: Level, scratch: &Path) -> Result<ModelProto, OnnxError> {
    let path = scratch.join("optimized.onnx");
    let ort_level = match level {
        Level::Basic => GraphOptimizationLevel::Level1,
        Level::All => GraphOptimizationLevel::All,
    };
    let mut builder = builder(1, ort_level, &path)?
        .with_optimized_model_path(&path)
        .map_err(|error| OnnxError::session(&path, error))?;
    drop(builder.commit_from_memory(&encode_model(model)).map_err(|error| OnnxError::session(&path, error))?);
    let mut optimized = read_model(&path)?;
    // Ours: nobody else reads it, and a leftover only takes room.
    let _ = std::fs::remove_file(&path);
    tidy(&mut optimized, model);
    Ok(optimized)
}

fn tidy(optimized: &mut ModelProto, original: &ModelProto) {
    optimized.metadata_props = original.metadata_props.clone();
    optimized.producer_name = original.producer_name.clone();
    optimized.producer_version = original.producer_version.clone();
    optimized.doc_string = original.doc_string.clone();
    let Some(graph) = &mut optimized.graph else { return };
    graph.name = original.graph.as_ref().and_then(|graph| graph.name.clone());
    // ONNX Runtime keeps constants in a hash table: the order is nobody's intention.
    graph.initializer.sort_by(|one, other| one.name().cmp(other.name()));
    graph.value_info.sort_by(|one, other| one.name().cmp(other.name()));
    let used: Vec<&str> = graph.node.iter().map(|node| node.domain()).collect();
    optimized
        .opset_import
        .retain(|import| matches!(import.domain(), "" | "ai.onnx") || used.contains(&import.domain()));
}
