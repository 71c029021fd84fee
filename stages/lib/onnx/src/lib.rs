//! ONNX models as data and as something that runs.
//!
//! - [`proto`]: the file format as Rust types, complete, so that nothing of a model is lost on the way through.
//! - [`read_model`], [`write_model`]: files, weights in side files included.
//! - [`node`], [`value_info`], [`attributes`] and the constructors of [`TensorProto`](proto::TensorProto): building graphs.
//! - [`check`]: what a valid model must be, with types and shapes inferred where the operator is known.
//! - [`Session`], [`Probe`], [`optimize`]: ONNX Runtime, loaded at run time.

mod build;
mod check;
mod classifier;
mod error;
mod file;
mod infer;
mod library;
mod optimize;
mod probe;
pub mod proto;
mod session;
mod tensor;

pub use build::{attributes, metadata, node, set_metadata, value_info};
pub use check::check;
pub use classifier::{Classifier, classifier};
pub use error::OnnxError;
pub use file::{decode_model, encode_model, read_model, write_model};
pub use infer::{Dim, ValueType, infer};
pub use library::runtime_version;
pub use optimize::{Level, optimize};
pub use probe::Probe;
pub use session::{InputInfo, Session, SessionOptions};
