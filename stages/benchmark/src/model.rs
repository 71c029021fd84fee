//! What can be measured: an ONNX model in this process, or a TensorRT engine through `trtexec`.

use std::time::Duration;

use stagewright_dataset::{Decoded, Preprocess};
use stagewright_measure::{Predictions, Samples};
use stagewright_sdk::{NamedInput, Result};
use stagewright_tensorrt::Machine;

use crate::{
    engine::Engine,
    onnx::Onnx,
    results::{GpuProfile, Memory},
};

/// The type that a port's artifact has when it is an engine.
const ENGINE: &str = "engine/tensorrt";

/// A variant that is measured.
pub trait Model {
    /// What it answers to all images. `progress` is told how many are done, also while none is.
    ///
    /// # Errors
    /// It can't be run on these images, or `progress` fails.
    fn predict(
        &mut self,
        images: &Decoded,
        contract: &Preprocess,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Predictions>;

    /// Runs batches for a time; wall time of each run in milliseconds, from a normalized input in memory to logits there.
    ///
    /// # Errors
    /// It can't be run, or `check`, asked every now and then, says stop.
    fn time_for(
        &mut self,
        samples: &Samples<'_>,
        batch: usize,
        time: Duration,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<f64>>;

    /// It runs in this process: it is warmed up here, and every run sees another sample. Otherwise each [`Model::time_for`]
    /// starts a program that warms up by itself and repeats one input.
    fn in_process(&self) -> bool;

    /// Gives back what it holds of memory and threads, before other things are measured.
    fn release(&mut self);

    /// Everything else there is to say of it.
    ///
    /// # Errors
    /// It can't be run, or `check` says stop.
    fn facts(&mut self, setup: &Setup<'_>, check: &mut dyn FnMut() -> Result<()>) -> Result<Facts>;
}

/// How [`Model::facts`] are found.
pub struct Setup<'a> {
    /// Inputs to run.
    pub samples: &'a Samples<'a>,
    /// Images per run of the throughput measurement.
    pub batch: usize,
    /// Measure the time share of each operator.
    pub operators: bool,
    /// Folder for intermediate files.
    pub scratch: &'a std::path::Path,
}

/// What is told of a model beside its answers and times.
pub struct Facts {
    /// What it computes in.
    pub precision: String,
    /// What runs it: `onnxruntime` or `tensorrt`.
    pub runtime: &'static str,
    /// Size of the file in bytes.
    pub size: u64,
    /// Main memory of a process that does nothing else.
    pub memory: Option<Memory>,
    /// Memory of the GPU, in bytes.
    pub gpu_memory: Option<u64>,
    /// Share of the time by operator, largest first, in percent.
    pub operators: Vec<(String, f64)>,
    /// How busy the GPU is.
    pub gpu_profile: GpuProfile,
}

/// Opens what is bound to a port.
///
/// # Errors
/// It can't be opened, does not fit the contract, or needs something that the machine lacks.
pub fn open(
    input: &NamedInput,
    contract: &Preprocess,
    threads: usize,
    batch: usize,
    scratch: &std::path::Path,
    machine: &Machine,
) -> Result<Box<dyn Model>> {
    if input.artifact_type == ENGINE || input.path.is_dir() {
        return Ok(Box::new(Engine::open(input, contract, batch, scratch, machine)?));
    }
    Ok(Box::new(Onnx::open(input, contract, threads)?))
}
