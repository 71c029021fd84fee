//! An ONNX model, run by ONNX Runtime in this process.

use std::{fs, path::PathBuf, time::Duration};

use stagewright_dataset::{Decoded, Preprocess};
use stagewright_measure::{Predictions, Samples, check_model, evaluate, memory, time_for};
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{FaultExt, NamedInput, Result};

use crate::{
    model::{Facts, Model, Setup},
    operators,
    results::{GpuProfile, Memory},
};

/// Images per run while accuracy is measured.
const BATCH: usize = 64;

/// Runs of the process that measures memory: enough for every buffer to have been allocated.
const MEMORY_RUNS: usize = 5;

/// An ONNX model.
pub struct Onnx {
    path: PathBuf,
    options: SessionOptions,
    /// None once it is released; opened again when it is needed.
    session: Option<Session>,
}

impl Onnx {
    /// Loads a file.
    ///
    /// # Errors
    /// It is no image classifier, or does not fit the contract.
    pub fn open(input: &NamedInput, contract: &Preprocess, threads: usize) -> Result<Self> {
        let options = SessionOptions { threads, size: Some(contract.size), ..SessionOptions::default() };
        let session = Session::open(&input.path, &options)?;
        check_model(&session, &input.name, contract)?;
        Ok(Self { path: input.path.clone(), options, session: Some(session) })
    }

    fn session(&mut self) -> Result<&mut Session> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.path, &self.options)?,
        };
        Ok(self.session.insert(session))
    }
}

impl Model for Onnx {
    fn predict(
        &mut self,
        images: &Decoded,
        contract: &Preprocess,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Predictions> {
        evaluate(self.session()?, images, contract, BATCH, progress)
    }

    fn time_for(
        &mut self,
        samples: &Samples<'_>,
        batch: usize,
        time: Duration,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<f64>> {
        time_for(self.session()?, samples, batch, time, check)
    }

    fn in_process(&self) -> bool {
        true
    }

    fn release(&mut self) {
        self.session = None;
    }

    fn facts(&mut self, setup: &Setup<'_>, check: &mut dyn FnMut() -> Result<()>) -> Result<Facts> {
        let threads = self.options.threads;
        check()?;
        let operators = match setup.operators {
            true => operators::profile(&self.path, setup.samples, threads, setup.scratch)?,
            false => Vec::new(),
        };
        check()?;
        let load = memory::Load { model: &self.path, batch: setup.batch, size: setup.samples.size, threads };
        let memory = memory::peak(&load, MEMORY_RUNS)?;
        let size = fs::metadata(&self.path)
            .or_environment(format_args!("cannot read {}", self.path.display()))?
            .len();
        let plain = SessionOptions { optimize: false, ..SessionOptions::default() };
        let precision = Session::open(&self.path, &plain)?.metadata("stagewright.precision");
        Ok(Facts {
            precision: precision.unwrap_or_else(|| "unknown".to_owned()),
            runtime: "onnxruntime",
            size,
            memory: Some(Memory { process_peak: memory.peak, model: memory.of_model() }),
            gpu_memory: None,
            operators,
            gpu_profile: GpuProfile::NotRun {
                reason: "an ONNX model is measured on the processor".to_owned(),
            },
        })
    }
}
