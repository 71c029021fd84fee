//! The stage `benchmark`: accuracy, latency, throughput, memory and size of models side by side.
//!
//! Every model sees the same test images under the same preprocessing contract. Latencies are measured in turns
//! ([`rounds`]), memory in a process of its own for each model, operators with ONNX Runtime's profiler. A TensorRT engine is
//! run by `trtexec`, with how busy the GPU is from Nsight Systems where that is installed.

mod accuracy;
mod engine;
mod environment;
mod model;
mod onnx;
mod operators;
mod params;
pub mod plot;
pub mod report;
mod results;
mod rounds;

use std::fs;

pub use params::{DurationParam, Params, Schedule};
pub use results::{FORMAT, GpuProfile, MOST_CONFUSED, Memory, Results, Variant};
use serde_json::{Value, json};
use stagewright_dataset::Preprocess;
use stagewright_measure::{Latency, Predictions, Samples, TestImages, statistics::median};
use stagewright_sdk::{
    Context, Determinism, FaultExt, Manifest, ManifestExt, NamedInput, Platform, Port, PortExt, Resources,
    Result, Stage, StageFault, manifest,
};
pub use stagewright_tensorrt::Machine;

use crate::{
    model::{Facts, Model, Setup},
    rounds::Times,
};

/// The stage.
pub struct Benchmark;

impl Stage for Benchmark {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "compares models by accuracy, latency, throughput, memory and size";
        // 2: results say which class was taken for which.
        manifest::<Params>("benchmark", env!("CARGO_PKG_VERSION"), 2, summary)
            .input("models", Port::input("model/onnx|engine/tensorrt", "the variants, named by `as:`").many())
            .input(
                "data",
                Port::input("dataset/images", "the dataset whose test split accuracy is measured on"),
            )
            .input("preprocess", Port::input("preprocess", "the preprocessing contract of all variants"))
            .output("table", Port::output("report/markdown", "comparison.md", "the comparison for people"))
            .output("results", Port::output("metrics/json", "results.json", "every figure"))
            .output("plot", Port::output("report/image", "plot.svg", "accuracy over latency, area by size"))
            .output(
                "samples",
                Port::output("dir", "samples", "raw wall times of every run in ms, one JSON file a variant"),
            )
            .metric("<variant>.top1", "accuracy on the test split, %")
            .metric("<variant>.top5", "right class among the best five, %; only with more than five classes")
            .metric("<variant>.agreement", "same class as the baseline, %")
            .metric("<variant>.drop", "accuracy lost against the baseline, pp")
            .metric("<variant>.latency-mean", "mean latency at batch 1, ms")
            .metric("<variant>.latency-p50", "median latency at batch 1, ms")
            .metric("<variant>.latency-p90", "90th percentile of the latency at batch 1, ms")
            .metric("<variant>.latency-p99", "99th percentile of the latency at batch 1, ms")
            .metric("<variant>.throughput", "images per second at the chosen batch")
            .metric("<variant>.memory", "peak memory of a process that does nothing else, MB")
            .metric("<variant>.model-memory", "how much of it the model added, MB")
            .metric("<variant>.gpu-memory", "memory of the GPU that a TensorRT engine takes, MB")
            .metric(
                "<variant>.gpu-use",
                "share of time in which the GPU works, %; TensorRT engines with nsys only",
            )
            .metric("<variant>.kernel-share", "share of kernels in the GPU's work, %; likewise")
            .metric("<variant>.memcpy-share", "share of copies in the GPU's work, %; likewise")
            .metric("<variant>.size", "size of the file, MB")
            .metric("<variant>.speedup", "median latency of the baseline divided by its own, ×")
            .resources(Resources { cpus: 0, exclusive: true, ..Resources::default() })
            .determinism(Determinism::None)
            .probes()
    }

    fn probe() -> Platform {
        // A measurement of another processor or GPU is no result for this one.
        let mut platform = Platform {
            properties: [("cpu".to_owned(), environment::cpu_model())].into(),
            facts: Default::default(),
            missing: Vec::new(),
        };
        let machine = Machine::from_env();
        if let Some(gpu) = environment::gpu(&machine) {
            platform.properties.insert("gpu".to_owned(), gpu.name);
        }
        platform
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        run_on(context, &params, &Machine::from_env())
    }
}

/// Runs the stage on a machine.
///
/// # Errors
/// A model or the dataset can't be read or does not fit the contract, or the machine lacks what a model needs.
pub fn run_on(context: &mut Context, params: &Params, machine: &Machine) -> Result<()> {
    run_for(context, params, params.duration.schedule(), machine)
}

/// Runs the stage on a machine with another schedule than the one its params name.
///
/// # Errors
/// As [`run_on`].
pub fn run_for(context: &mut Context, params: &Params, schedule: Schedule, machine: &Machine) -> Result<()> {
    let models = context.inputs("models").to_vec();
    let baseline = baseline(&models, params)?;
    let threads = if params.threads > 0 { params.threads } else { context.limits().threads as usize };
    let contract_path = context.input("preprocess")?.to_owned();
    let contract = Preprocess::load(&contract_path)?;
    environment::warn_if_busy(context);
    let mut environment = environment::facts();

    let images = TestImages::load(context, &contract, params.accuracy_samples)?;
    let batch = params.batch.min(images.decoded.len());
    let scratch = context.scratch_dir().to_owned();
    let open = |input| model::open(input, &contract, threads, batch, &scratch, machine);
    let mut opened: Vec<Box<dyn Model>> = models.iter().map(open).collect::<Result<_>>()?;
    if opened.iter().any(|model| !model.in_process()) {
        environment.extend(environment::gpu_facts(machine));
    }
    let predictions = accuracy::all(context, &models, &mut opened, &images, &contract)?;
    let inputs = images.inputs(&contract, params.batch);
    let stride = 3 * contract.size[0] * contract.size[1];
    let samples = Samples { inputs: &inputs, stride, size: contract.size };
    let times = rounds::time_in_rounds(context, &mut opened, &samples, batch, schedule)?;
    opened.iter_mut().for_each(|model| model.release());

    let setup = Setup { samples: &samples, batch, operators: params.operators, scratch: &scratch };
    let mut variants = Vec::with_capacity(models.len());
    for (index, (input, model)) in models.iter().zip(&mut opened).enumerate() {
        let total = models.len() as u64;
        let mut check = || context.progress(index as u64, total, "models", "memory and operators");
        let facts = model.facts(&setup, &mut check)?;
        if !model.in_process() && facts.gpu_memory.is_none() {
            context
                .warn(format!("nvidia-smi does not tell the memory of `{}`, so it is left out", input.name));
        }
        let measured = Measured {
            predictions: &predictions[index],
            baseline: &predictions[baseline],
            times: &times[index],
            baseline_times: &times[baseline],
            facts,
            batch,
        };
        variants.push(measured.variant(input, &contract)?);
    }
    let duration = serde_json::to_value(params.duration).or_internal("cannot encode the duration")?;
    let results = Results {
        format: FORMAT.to_owned(),
        duration: duration.as_str().map(str::to_owned).unwrap_or_default(),
        baseline: models[baseline].name.clone(),
        batch,
        threads,
        environment,
        accuracy_samples: images.decoded.len(),
        classes: contract.classes.clone(),
        variants,
    };
    write(context, &results, &models, &times)
}

/// Index of the variant that ratios refer to.
fn baseline(models: &[NamedInput], params: &Params) -> Result<usize> {
    if models.is_empty() {
        return Err(StageFault::user("no model is bound to `models`").hint("bind at least one model"));
    }
    let Some(wanted) = &params.baseline else { return Ok(0) };
    models.iter().position(|model| model.name == *wanted).ok_or_else(|| {
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        StageFault::user(format!("`baseline` is `{wanted}`, but no model has that name"))
            .hint(format!("the models are named {}", names.join(", ")))
    })
}

/// What was measured of one model.
struct Measured<'a> {
    predictions: &'a Predictions,
    baseline: &'a Predictions,
    times: &'a Times,
    baseline_times: &'a Times,
    facts: Facts,
    batch: usize,
}

impl Measured<'_> {
    fn variant(self, model: &NamedInput, contract: &Preprocess) -> Result<Variant> {
        let flat = |rounds: &[Vec<f64>]| Latency::of(&rounds.concat());
        let (single, batch) = (flat(&self.times.single), flat(&self.times.batch));
        let drop = accuracy::drop(self.baseline, self.predictions);
        let name = |class: usize| contract.classes.get(class).cloned().unwrap_or_default();
        Ok(Variant {
            name: model.name.clone(),
            precision: self.facts.precision,
            runtime: self.facts.runtime.to_owned(),
            size: self.facts.size,
            top1: self.predictions.top1_percent(),
            top5: (contract.classes.len() > 5).then(|| self.predictions.top5_percent()),
            agreement: self.predictions.agreement_percent(self.baseline),
            drop,
            worst_class: self
                .predictions
                .worst_class_drop(self.baseline)
                .map(|(class, points)| (name(class), points)),
            per_class: self.predictions.class_percent(),
            confusion: (contract.classes.len() <= MOST_CONFUSED).then(|| self.predictions.confusion()),
            throughput: self.batch as f64 * 1e3 / batch.p50,
            memory: self.facts.memory,
            gpu_memory: self.facts.gpu_memory,
            speedup: flat(&self.baseline_times.single).p50 / single.p50,
            stable: self.times.is_stable(),
            repeated_sample_ratio: (!self.times.repeated.is_empty())
                .then(|| median(&self.times.repeated) / single.p50),
            latency: encode(&single)?,
            batch_latency: encode(&batch)?,
            operators: self.facts.operators,
            gpu_profile: self.facts.gpu_profile,
        })
    }
}

fn encode(latency: &Latency) -> Result<Value> {
    serde_json::to_value(latency).or_internal("cannot encode the latencies")
}

fn write(context: &mut Context, results: &Results, models: &[NamedInput], times: &[Times]) -> Result<()> {
    for variant in &results.variants {
        let mut report = |figure: &str, value: f64, unit: &str| {
            context.metric(&format!("{}.{figure}", variant.name), value, Some(unit));
        };
        report("agreement", variant.agreement, "%");
        report("drop", variant.drop[0], "pp");
        for figure in ["mean", "p90", "p99"] {
            report(&format!("latency-{figure}"), variant.latency_ms(figure), "ms");
        }
        report("throughput", variant.throughput, "images/s");
        if let Some(memory) = variant.memory {
            report("memory", memory.process_peak as f64 / 1e6, "MB");
            report("model-memory", memory.model as f64 / 1e6, "MB");
        }
        if let Some(memory) = variant.gpu_memory {
            report("gpu-memory", memory as f64 / 1e6, "MB");
        }
        if let GpuProfile::Measured { gpu_use, kernel_share, memcpy_share, .. } = variant.gpu_profile {
            report("gpu-use", gpu_use, "%");
            report("kernel-share", kernel_share, "%");
            report("memcpy-share", memcpy_share, "%");
        }
        report("size", variant.size as f64 / 1e6, "MB");
        report("speedup", variant.speedup, "×");
        if let Some(top5) = variant.top5 {
            report("top5", top5, "%");
        }
        report("latency-p50", variant.latency_ms("p50"), "ms");
        report("top1", variant.top1, "%");
        if !variant.stable {
            context.warn(format!(
                "the latency of `{}` did not settle; measure again on a quiet machine",
                variant.name
            ));
        }
        if let Some(ratio) = variant.repeated_sample_ratio.filter(|ratio| *ratio < 0.9) {
            context.warn(format!("one sample again and again takes {ratio:.2} of the time of samples in turn for `{}`: a cache is measured", variant.name));
        }
    }
    context.write_json("results", results)?;
    context.write("table", report::markdown(results).as_bytes())?;
    context.write("plot", plot::svg(results).as_bytes())?;
    let folder = context.output("samples")?;
    fs::create_dir_all(&folder).or_environment(format_args!("cannot create {}", folder.display()))?;
    for (index, (model, times)) in models.iter().zip(times).enumerate() {
        // The name is the user's and may be no file name; the index keeps files apart.
        let plain: String = model
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        let path = folder.join(format!("{index}-{plain}.json"));
        let raw = json!({ "variant": model.name, "unit": "ms", "batch-1": times.single, "batch": times.batch, "repeated": times.repeated });
        fs::write(&path, raw.to_string()).or_environment(format_args!("cannot write {}", path.display()))?;
    }
    Ok(())
}
