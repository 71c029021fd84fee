//! Models on disk.

use std::{
    fs,
    path::{Component, Path},
};

use prost::Message;

use crate::{
    OnnxError,
    proto::{DataLocation, GraphProto, ModelProto, TensorProto},
};

/// Reads a model whole. Weights that it keeps in files beside it are taken in, so that what is written later is one file.
pub fn read_model(path: &Path) -> Result<ModelProto, OnnxError> {
    let bytes = fs::read(path)
        .map_err(|error| OnnxError::Read { path: path.to_owned(), reason: error.to_string() })?;
    let mut model = decode_model(&bytes, path)?;
    if let Some(graph) = &mut model.graph {
        take_in(graph, path)?;
    }
    Ok(model)
}

/// Decodes a model from memory; `path` is only for the text of an error.
pub fn decode_model(bytes: &[u8], path: &Path) -> Result<ModelProto, OnnxError> {
    let invalid = |reason: String| OnnxError::Decode { path: path.to_owned(), reason };
    if bytes.is_empty() {
        return Err(invalid("the file is empty".to_owned()));
    }
    let model = ModelProto::decode(bytes).map_err(|error| invalid(error.to_string()))?;
    // Any short run of bytes can be a protobuf message by chance: without a graph it is not a model.
    if model.graph.is_none() || model.opset_import.is_empty() {
        return Err(invalid("it has no graph or names no operator set".to_owned()));
    }
    Ok(model)
}

/// Encodes a model; equal models give equal bytes.
pub fn encode_model(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Writes a model; equal models give equal files.
pub fn write_model(model: &ModelProto, path: &Path) -> Result<(), OnnxError> {
    fs::write(path, encode_model(model))
        .map_err(|error| OnnxError::Write { path: path.to_owned(), reason: error.to_string() })
}

/// Replaces every reference to another file in the graph and its subgraphs by the values.
fn take_in(graph: &mut GraphProto, path: &Path) -> Result<(), OnnxError> {
    for tensor in &mut graph.initializer {
        take_in_tensor(tensor, path)?;
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
            take_in_tensor(tensor, path)?;
        }
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            take_in(graph, path)?;
        }
    }
    Ok(())
}

fn take_in_tensor(tensor: &mut TensorProto, path: &Path) -> Result<(), OnnxError> {
    if tensor.data_location() != DataLocation::External {
        return Ok(());
    }
    let entry =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value());
    let location = entry("location").unwrap_or_default().to_owned();
    let failed = |reason: String| OnnxError::ExternalData {
        path: path.to_owned(),
        tensor: tensor.name().to_owned(),
        location: location.clone(),
        reason,
    };
    let number = |key: &str| {
        entry(key)
            .map(|text| {
                text.parse::<usize>().map_err(|_| failed(format!("its {key} `{text}` is not a number")))
            })
            .transpose()
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    // A model may not reach outside its own folder.
    if location.is_empty()
        || Path::new(&location)
            .components()
            .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(failed("only a file beside the model is read".to_owned()));
    }
    let side = path.parent().unwrap_or(Path::new(".")).join(&location);
    let bytes = fs::read(&side).map_err(|error| failed(error.to_string()))?;
    let end = length.map_or(Some(bytes.len()), |length| offset.checked_add(length));
    let values = end
        .and_then(|end| bytes.get(offset..end))
        .ok_or_else(|| failed(format!("it has {} bytes, the tensor is at {offset}", bytes.len())))?;
    tensor.raw_data = Some(values.to_vec());
    tensor.data_location = None;
    tensor.external_data.clear();
    Ok(())
}
