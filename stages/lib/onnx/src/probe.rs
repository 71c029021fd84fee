//! Looking at values inside a model while it runs.

use std::path::{Path, PathBuf};

use ort::{session::builder::GraphOptimizationLevel, value::TensorRef};

use crate::{OnnxError, encode_model, proto::ModelProto, session::builder};

/// A model whose outputs are any of its values.
pub struct Probe {
    inner: ort::session::Session,
    path: PathBuf,
}

impl Probe {
    /// Loads the model with the graph outputs it has; `path` is only for the text of an error. With `optimize` off every
    /// node runs as it is written.
    ///
    /// # Errors
    /// ONNX Runtime is not found or does not take the model.
    pub fn open(model: &ModelProto, path: &Path, threads: usize, optimize: bool) -> Result<Self, OnnxError> {
        let level = if optimize { GraphOptimizationLevel::Level1 } else { GraphOptimizationLevel::Disable };
        let mut builder = builder(threads, level, path)?;
        let inner = builder
            .commit_from_memory(&encode_model(model))
            .map_err(|error| OnnxError::session(path, error))?;
        Ok(Self { inner, path: path.to_owned() })
    }

    /// Runs one batch of images of `shape` `[batch, channels, height, width]` and gives the values of each output to
    /// `read`, with the output's position.
    ///
    /// # Errors
    /// ONNX Runtime fails, or an output is not f32.
    pub fn run(
        &mut self,
        input: &[f32],
        shape: [usize; 4],
        mut read: impl FnMut(usize, &[f32]),
    ) -> Result<(), OnnxError> {
        self.run_all(input, shape, |outputs| {
            for (index, values) in outputs.iter().enumerate() {
                read(index, values);
            }
        })
    }

    /// As [`Probe::run`], with the values of all outputs at once, so that the caller can spread them over threads.
    ///
    /// # Errors
    /// As [`Probe::run`].
    pub fn run_all<T>(
        &mut self,
        input: &[f32],
        shape: [usize; 4],
        read: impl FnOnce(&[&[f32]]) -> T,
    ) -> Result<T, OnnxError> {
        let path = &self.path;
        let failed = |error: ort::Error| OnnxError::Run { path: path.clone(), reason: error.to_string() };
        let tensor = TensorRef::from_array_view((shape, input)).map_err(failed)?;
        let outputs = self.inner.run(ort::inputs![tensor]).map_err(failed)?;
        let mut values = Vec::with_capacity(outputs.len());
        for index in 0..outputs.len() {
            values.push(outputs[index].try_extract_tensor::<f32>().map_err(failed)?.1);
        }
        Ok(read(&values))
    }
}
