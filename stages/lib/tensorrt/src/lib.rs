//! NVIDIA's `trtexec` as a program that is found, run and listened to: no link to TensorRT, so a stage that uses this starts
//! on any machine and says what is missing.
//!
//! - [`locate`], [`gpus`]: what the machine has.
//! - [`Runner`]: runs an engine or an ONNX file on given inputs, for its logits and its latencies.
//! - [`nsys`]: how busy the GPU is meanwhile, by Nsight Systems.
//! - [`EngineFile`]: the artifact `engine/tensorrt`.
//! - [`Reading`], [`diagnose`]: what `trtexec` says, and why it failed.
//!
//! Nothing here has been run against a real TensorRT or GPU by its tests: they play whole runs against stand-ins that print
//! and write what the sources of `trtexec` 8.6 to 11.1 and the documents of `nvidia-smi` and `nsys` say.

mod engine;
mod exports;
mod gpu;
mod inference;
mod layers;
mod locate;
mod log;
mod network;
pub mod nsys;
pub mod process;

pub use engine::{EngineFile, FORMAT, FileFact, Shapes};
pub use exports::{Output, parse_output, parse_times};
pub use gpu::{Gpu, gpus, memory_used, parse_gpus, select, visible};
pub use inference::{Answer, Load, Runner};
pub use layers::{EngineLayer, LayerReport, report};
pub use locate::{Installation, Machine, Version, locate};
pub use log::{Line, Reading, Severity, diagnose};
pub use network::{Network, Source};
