//! A checkpoint on disk: the artifact type `model/checkpoint`.
//!
//! ```text
//! <checkpoint>/architecture.json    the network as data
//! <checkpoint>/model.safetensors    its tensors, f32, sorted by name
//! <checkpoint>/preprocess.json      the preprocessing contract it was trained under, byte for byte
//! <checkpoint>/training.json        what whoever made it wants to say (epochs, metrics, parent), free form
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::Architecture;

/// A dense f32 tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// `shape` product many values, row-major.
    pub data: Vec<f32>,
}

/// A network with its weights and the contract of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The network.
    pub architecture: Architecture,
    /// Tensors by full name, `<layer>.<tensor>`.
    pub tensors: BTreeMap<String, Tensor>,
    /// Bytes of the preprocessing contract.
    pub preprocess: Vec<u8>,
    /// Free-form facts about the making.
    pub training: serde_json::Value,
}

/// Why a checkpoint can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder can't be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is not a valid checkpoint file: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Checkpoint {
    /// Reads a checkpoint folder and checks that architecture and tensors fit each other.
    pub fn load(folder: &Path) -> Result<Self, CheckpointError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|source| CheckpointError::Read { path, source })
        };
        let invalid =
            |name: &str, reason: String| CheckpointError::Invalid { path: folder.join(name), reason };
        let architecture: Architecture = serde_json::from_slice(&read("architecture.json")?)
            .map_err(|error| invalid("architecture.json", error.to_string()))?;
        architecture.validate().map_err(|error| invalid("architecture.json", error.to_string()))?;
        let bytes = read("model.safetensors")?;
        let tensors = decode(&bytes).map_err(|reason| invalid("model.safetensors", reason))?;
        let checkpoint = Self {
            architecture,
            tensors,
            preprocess: read("preprocess.json")?,
            training: serde_json::from_slice(&read("training.json")?)
                .map_err(|error| invalid("training.json", error.to_string()))?,
        };
        checkpoint.check_tensors().map_err(|reason| invalid("model.safetensors", reason))?;
        Ok(checkpoint)
    }

    /// Writes the checkpoint into `folder`, which is made. The same checkpoint gives the same bytes.
    pub fn save(&self, folder: &Path) -> Result<(), CheckpointError> {
        let failed = |path: &Path, source| CheckpointError::Write { path: path.to_owned(), source };
        fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|source| failed(&path, source))
        };
        write("architecture.json", &json(&self.architecture))?;
        write("model.safetensors", &encode(&self.tensors))?;
        write("preprocess.json", &self.preprocess)?;
        write("training.json", &json(&self.training))
    }

    /// Number of trainable values.
    pub fn parameters(&self) -> usize {
        let trainable = |name: &&String| !name.ends_with("running_mean") && !name.ends_with("running_var");
        self.tensors.keys().filter(trainable).map(|name| self.tensors[name].data.len()).sum()
    }

    /// Says what is missing, surplus or of another shape than the architecture wants.
    pub fn check_tensors(&self) -> Result<(), String> {
        let mut surplus: Vec<&String> = self.tensors.keys().collect();
        for layer in &self.architecture.layers {
            for (suffix, shape) in layer.op.tensors() {
                let name = format!("{}.{suffix}", layer.name);
                let tensor =
                    self.tensors.get(&name).ok_or_else(|| format!("the tensor `{name}` is missing"))?;
                if tensor.shape != shape {
                    return Err(format!(
                        "`{name}` has shape {:?}, the architecture wants {shape:?}",
                        tensor.shape
                    ));
                }
                surplus.retain(|other| **other != name);
            }
        }
        match surplus.first() {
            None => Ok(()),
            Some(name) => Err(format!("no layer of the architecture has a tensor `{name}`")),
        }
    }
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Our own types and JSON values hold no map with keys that are not strings, the one thing that can fail here.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Decodes a safetensors file whose tensors are all f32.
pub fn decode(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(format!("`{name}` is {:?}, only F32 is read", view.dtype()));
            }
            let data =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Ok((name, Tensor { shape: view.shape().to_vec(), data }))
        })
        .collect()
}

/// Encodes tensors as safetensors, sorted by name, so that equal tensors give equal bytes.
pub fn encode(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let raw: Vec<(&String, Vec<u8>, &Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| {
            (name, tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect(), tensor)
        })
        .collect();
    let views = raw.iter().filter_map(|(name, bytes, tensor)| {
        // Fails only where shape and length disagree, which `Tensor` rules out.
        TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).ok().map(|view| (name.as_str(), view))
    });
    safetensors::serialize(views, None).unwrap_or_default()
}
