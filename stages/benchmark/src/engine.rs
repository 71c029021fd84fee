//! A TensorRT engine, run by `trtexec` in a process of its own for every measurement.
//!
//! Its tests play this against stand-ins for `trtexec`, `nvidia-smi` and `nsys`, not against a real TensorRT or GPU.

use std::{fs, path::Path, time::Duration};

use stagewright_dataset::{Decoded, Preprocess};
use stagewright_measure::{Predictions, Samples};
use stagewright_sdk::{FaultExt, NamedInput, Result, StageFault};
use stagewright_tensorrt::{
    EngineFile, Gpu, Load, Machine, Network, Runner, Source, gpus, locate, memory_used, nsys, visible,
};

use crate::{
    model::{Facts, Model, Setup},
    results::GpuProfile,
};

/// Time of the run whose GPU memory is watched.
const MEMORY_TIME: Duration = Duration::from_secs(2);

/// Time of the run that is profiled: long enough for its second half to be steady.
const PROFILE_TIME: Duration = Duration::from_secs(5);

/// A TensorRT engine.
pub struct Engine {
    name: String,
    file: EngineFile,
    network: Network,
    runner: Runner,
    machine: Machine,
    gpu: Gpu,
    classes: usize,
    /// Sample that the next timing starts at.
    turn: usize,
}

impl Engine {
    /// Takes an engine's folder, and the machine's `trtexec` and GPU to run it.
    ///
    /// # Errors
    /// The folder is no engine or does not take the contract's images; it takes batches of another size; there is no
    /// `trtexec` or GPU here.
    pub fn open(
        input: &NamedInput,
        contract: &Preprocess,
        batch: usize,
        scratch: &Path,
        machine: &Machine,
    ) -> Result<Self> {
        let (network, file) = Network::engine(&input.path, contract.size)?;
        network.check_batch(&input.name, 1)?;
        network.check_batch(&input.name, batch)?;
        let installation = locate(machine)?;
        let list = gpus(machine).map_err(|reason| no_gpu(&input.name, &reason))?;
        let list = visible(&list, machine.visible_devices.as_deref());
        // The very GPU it was built on, or one like it; TensorRT has the last word on any other.
        let same = |test: &dyn Fn(&Gpu) -> bool| list.iter().position(test);
        let device = same(&|gpu| gpu.uuid == file.gpu.uuid)
            .or_else(|| same(&|gpu| gpu.name == file.gpu.name))
            .unwrap_or_default();
        let gpu = list
            .get(device)
            .cloned()
            .ok_or_else(|| no_gpu(&input.name, "CUDA_VISIBLE_DEVICES leaves none visible"))?;
        // The name is the user's and may be no file name.
        let plain: String =
            input.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let runner = Runner { installation, device, scratch: scratch.join(format!("engine-{plain}")) };
        let (name, classes) = (input.name.clone(), contract.classes.len());
        Ok(Self { name, file, network, runner, machine: machine.clone(), gpu, classes, turn: 0 })
    }

    /// Makes an error of `trtexec` name the engine and what it was built with, where that is not what is here.
    fn explain(&self, fault: StageFault) -> StageFault {
        if fault.0.message == "cancelled" {
            return fault;
        }
        let here = self.runner.installation.version.to_string();
        let mut told = fault;
        told.0.message = format!("the engine `{}` can't be run: {}", self.name, told.0.message);
        if here != self.file.tensorrt || self.gpu.name != self.file.gpu.name {
            told.0.message.push_str(&format!(
                " (built with TensorRT {} for {}; here are TensorRT {here} and {})",
                self.file.tensorrt, self.file.gpu.name, self.gpu.name
            ));
        }
        told
    }

    /// `batch` samples from the current turn on, round and round.
    fn next<'a>(&mut self, samples: &Samples<'a>, batch: usize) -> &'a [f32] {
        let starts = samples.inputs.len() / samples.stride - batch + 1;
        let start = (self.turn * batch) % starts * samples.stride;
        self.turn += 1;
        &samples.inputs[start..start + batch * samples.stride]
    }

    /// Bytes of the GPU's memory that are in use while the engine runs, above what was in use before. None, with the
    /// reason, where `nvidia-smi` does not tell.
    fn memory(
        &self,
        input: &[f32],
        batch: usize,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Result<u64, String>> {
        let used = || memory_used(&self.machine, &self.gpu.uuid);
        let before = match used() {
            Ok(before) => before,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut peak = before;
        self.runner
            .run(&self.network, input, batch, Load::of(MEMORY_TIME), || {
                peak = peak.max(used().unwrap_or(0));
                check()
            })
            .map_err(|fault| self.explain(fault))?;
        Ok(match peak - before {
            0 => Err("nvidia-smi showed no growth while the engine ran".to_owned()),
            grown => Ok(grown),
        })
    }
}

fn no_gpu(name: &str, reason: &str) -> StageFault {
    StageFault::environment(format!("the engine `{name}` needs an NVIDIA GPU: {reason}"))
        .hint("leave the engine out with `if: ${{ host.tensorrt }}` on its entry of `models`")
}

impl Model for Engine {
    fn predict(
        &mut self,
        images: &Decoded,
        contract: &Preprocess,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Predictions> {
        let most = self.network.most.unwrap_or(1).min(images.len().max(self.network.least));
        let stride = self.network.stride();
        let mut predictions = Predictions { classes: self.classes, ..Predictions::default() };
        let indices: Vec<usize> = (0..images.len()).collect();
        let mut input = vec![0.0; most * stride];
        for chunk in indices.chunks(most) {
            // A last batch below the smallest is filled up with repetitions, which are not counted.
            let count = chunk.len().max(self.network.least);
            let padded: Vec<usize> = chunk.iter().cycle().take(count).copied().collect();
            let input = &mut input[..count * stride];
            images.normalized_batch(&padded, contract, input);
            let done = predictions.len() as u64;
            let answer = self
                .runner
                .run(&self.network, input, count, Load::ONCE, || progress(done))
                .map_err(|fault| self.explain(fault))?;
            if answer.classes != self.classes {
                let message = format!(
                    "the engine `{}` tells {} classes apart, the preprocessing contract names {}",
                    self.name, answer.classes, self.classes
                );
                return Err(StageFault::user(message)
                    .hint("bind the contract and the dataset that the model was trained with"));
            }
            for (&index, logits) in chunk.iter().zip(answer.logits.chunks_exact(answer.classes)) {
                predictions.add(images.labels[index] as usize, logits);
            }
            progress(predictions.len() as u64)?;
        }
        Ok(predictions)
    }

    fn time_for(
        &mut self,
        samples: &Samples<'_>,
        batch: usize,
        time: Duration,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<f64>> {
        let input = self.next(samples, batch);
        let answer = self.runner.run(&self.network, input, batch, Load::of(time), check);
        Ok(answer.map_err(|fault| self.explain(fault))?.latencies)
    }

    fn in_process(&self) -> bool {
        false
    }

    fn release(&mut self) {
        // It holds nothing between measurements: every one is a process.
    }

    fn facts(&mut self, setup: &Setup<'_>, check: &mut dyn FnMut() -> Result<()>) -> Result<Facts> {
        let Source::Engine(plan) = &self.network.source else {
            return Err(StageFault::internal(format!("`{}` is no engine", self.name)));
        };
        let size = fs::metadata(plan).or_environment(format_args!("cannot read {}", plan.display()))?.len();
        let input = self.next(setup.samples, setup.batch);
        let gpu_memory = self.memory(input, setup.batch, check)?;
        let profile = nsys::profile(
            &self.machine,
            &self.runner,
            &self.network,
            input,
            setup.batch,
            Load::of(PROFILE_TIME),
            check,
        )?;
        Ok(Facts {
            precision: self.file.precision.clone(),
            runtime: "tensorrt",
            size,
            memory: None,
            gpu_memory: gpu_memory.ok(),
            operators: Vec::new(),
            gpu_profile: match profile {
                Ok(used) => GpuProfile::Measured {
                    gpu_use: used.gpu,
                    kernel_share: used.kernels,
                    memcpy_share: used.copies,
                    window: used.window,
                },
                Err(reason) => GpuProfile::NotRun { reason },
            },
        })
    }
}
