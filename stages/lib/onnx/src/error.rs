//! What can go wrong with a model or its runtime.

use std::path::{Path, PathBuf};

use stagewright_sdk::StageFault;

/// Why an ONNX model can't be read, written, checked or run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OnnxError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file can't be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is not an ONNX model.
    #[error("{path} is not an ONNX model: {reason}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights are kept in another file, which is missing or too short.
    #[error("{path} keeps the tensor `{tensor}` in another file, `{location}`: {reason}")]
    ExternalData {
        /// The model.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The other file as the model names it.
        location: String,
        /// Why it can't be read.
        reason: String,
    },
    /// The model breaks a rule of the format.
    #[error("the model is not valid: {0}")]
    Structure(String),
    /// The model is valid, but not one that can be used here.
    #[error("{0}")]
    Unsupported(String),
    /// ONNX Runtime was not found or does not load.
    #[error("cannot load ONNX Runtime: {0}")]
    Library(String),
    /// ONNX Runtime does not take the model.
    #[error("ONNX Runtime cannot load {path}: {reason}")]
    Session {
        /// The model.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
    /// ONNX Runtime failed while running the model.
    #[error("ONNX Runtime failed to run {path}: {reason}")]
    Run {
        /// The model.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
}

impl OnnxError {
    /// True if the machine is at fault, not the model: a missing library, a full disk.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Library(_) | Self::Write { .. })
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Library(_) => Some(
                "run `cargo xtask native`, which puts it into `.native/onnxruntime`, or set ORT_DYLIB_PATH to a libonnxruntime.so",
            ),
            Self::ExternalData { .. } => Some(
                "export the model into one file: `torch.onnx.export(…, external_data=False)`, or load it with the onnx package and save it again with `onnx.save`",
            ),
            _ => None,
        }
    }

    pub(crate) fn session(path: &Path, error: impl std::fmt::Display) -> Self {
        Self::Session { path: path.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn run(path: &Path, error: impl std::fmt::Display) -> Self {
        Self::Run { path: path.to_owned(), reason: error.to_string() }
    }
}

impl From<OnnxError> for StageFault {
    fn from(error: OnnxError) -> Self {
        let message = error.to_string();
        let fault = if error.is_environment() { Self::environment(message) } else { Self::user(message) };
        match error.hint() {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}
