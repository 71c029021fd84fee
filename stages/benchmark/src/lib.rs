//! The stage `benchmark`: accuracy, latency, throughput, memory and size of models side by side.
//!
//! Every model sees the same test images under the same preprocessing contract. Latencies are measured in turns
//! ([`rounds`]), memory in a process of its own for each model, operators with ONNX Runtime's profiler.

mod accuracy;
mod environment;
mod operators;
mod params;
mod plot;
mod report;
mod results;
mod rounds;

use std::fs;

pub use params::{DurationParam, Params, Schedule};
pub use results::{FORMAT, Memory, Results, Variant};
use serde_json::{Value, json};
use stagewright_dataset::Preprocess;
use stagewright_measure::{Latency, Predictions, Samples, TestImages, check_model, memory, statistics::median};
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{
    Context, Determinism, FaultExt, Manifest, ManifestExt, NamedInput, Platform, Port, PortExt, Resources, Result, Stage,
    StageFault, manifest,
};

use crate::rounds::Times;

/// Runs of the process that measures memory: enough for every buffer to have been allocated.
const MEMORY_RUNS: usize = 5;

/// The stage.
pub struct Benchmark;

impl Stage for Benchmark {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "compares models by accuracy, latency, throughput, memory and size";
        manifest::<Params>("benchmark", env!("CARGO_PKG_VERSION"), 1, summary)
            .input("models", Port::input("model/onnx|engine/tensorrt", "the variants, named by `as:`").many())
            .input("data", Port::input("dataset/images", "the dataset whose test split accuracy is measured on"))
            .input("preprocess", Port::input("preprocess", "the preprocessing contract of all variants"))
            .output("table", Port::output("report/markdown", "comparison.md", "the comparison for people"))
            .output("results", Port::output("metrics/json", "results.json", "every figure"))
            .output("plot", Port::output("report/image", "plot.svg", "accuracy over latency, area by size"))
            .output("samples", Port::output("dir", "samples", "raw wall times of every run in ms, one JSON file a variant"))
            .metric("<variant>.top1", "accuracy on the test split, %")
            .metric("<variant>.top5", "right class among the best five, %; only with more than five classes")
            .metric("<variant>.agreement", "same class as the baseline, %")
            .metric("<variant>.drop", "accuracy lost against the baseline, pp")
            .metric("<variant>.latency-mean", "latency at batch 1, ms; likewise -p50, -p90, -p99")
            .metric("<variant>.throughput", "images per second at the chosen batch")
            .metric("<variant>.memory", "peak memory of a process that does nothing else, MB")
            .metric("<variant>.model-memory", "how much of it the model added, MB")
            .metric("<variant>.size", "size of the file, MB")
            .metric("<variant>.speedup", "median latency of the baseline divided by its own, ×")
            .resources(Resources { cpus: 0, memory: 0, gpus: 0, exclusive: true })
            .determinism(Determinism::None)
            .probes()
    }

    fn probe() -> Platform {
        // A measurement of another processor is no result for this one.
        Platform {
            properties: [("cpu".to_owned(), environment::cpu_model())].into(),
            facts: Default::default(),
            missing: Vec::new(),
        }
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        let schedule = params.duration.schedule();
        Self::run_on(context, params, schedule)
    }
}

impl Benchmark {
    /// Carries the stage out on another schedule than the one its params name.
    ///
    /// # Errors
    /// An input does not fit or can't be measured, or the run is cancelled.
    pub fn run_on(context: &mut Context, params: Params, schedule: Schedule) -> Result<()> {
        let models = context.inputs("models").to_vec();
        let baseline = baseline(&models, &params)?;
        let threads = if params.threads > 0 { params.threads } else { context.limits().threads as usize };
        let contract_path = context.input("preprocess")?.to_owned();
        let contract = Preprocess::load(&contract_path)?;
        environment::warn_if_busy(context);
        let environment = environment::facts();

        let images = TestImages::load(context, &contract, params.accuracy_samples)?;
        let mut sessions = open_all(&models, &contract, threads)?;
        let predictions = accuracy::all(context, &models, &mut sessions, &images, &contract)?;
        let inputs = images.inputs(&contract, params.batch);
        let stride = 3 * contract.size[0] * contract.size[1];
        let samples = Samples { inputs: &inputs, stride, size: contract.size };
        let batch = params.batch.min(images.decoded.len());
        let times = rounds::time_in_rounds(context, &mut sessions, &samples, batch, schedule)?;
        drop(sessions);

        let mut variants = Vec::with_capacity(models.len());
        for (index, model) in models.iter().enumerate() {
            context.progress(index as u64, models.len() as u64, "models", "memory and operators")?;
            let operators = match params.operators {
                true => operators::profile(&model.path, &samples, threads, context.scratch_dir())?,
                false => Vec::new(),
            };
            let load = memory::Load { model: &model.path, batch, size: contract.size, threads };
            let measured = Measured {
                predictions: &predictions[index],
                baseline: &predictions[baseline],
                times: &times[index],
                baseline_times: &times[baseline],
                memory: memory::peak(&load, MEMORY_RUNS)?,
                operators,
                batch,
            };
            variants.push(measured.variant(model, &contract)?);
        }
        let results = Results {
            format: FORMAT.to_owned(),
            duration: serde_json::to_value(params.duration).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default(),
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

fn open_all(models: &[NamedInput], contract: &Preprocess, threads: usize) -> Result<Vec<Session>> {
    let options = SessionOptions { threads, size: Some(contract.size), ..SessionOptions::default() };
    models
        .iter()
        .map(|model| {
            let session = Session::open(&model.path, &options)?;
            check_model(&session, &model.name, contract)?;
            Ok(session)
        })
        .collect()
}

/// What was measured of one model.
struct Measured<'a> {
    predictions: &'a Predictions,
    baseline: &'a Predictions,
    times: &'a Times,
    baseline_times: &'a Times,
    memory: memory::Memory,
    operators: Vec<(String, f64)>,
    batch: usize,
}

impl Measured<'_> {
    fn variant(self, model: &NamedInput, contract: &Preprocess) -> Result<Variant> {
        let flat = |rounds: &[Vec<f64>]| Latency::of(&rounds.concat());
        let (single, batch) = (flat(&self.times.single), flat(&self.times.batch));
        let size = fs::metadata(&model.path).or_environment(format_args!("cannot read {}", model.path.display()))?.len();
        let precision = Session::open(&model.path, &SessionOptions { optimize: false, ..SessionOptions::default() })?
            .metadata("stagewright.precision");
        let drop = accuracy::drop(self.baseline, self.predictions);
        let name = |class: usize| contract.classes.get(class).cloned().unwrap_or_default();
        Ok(Variant {
            name: model.name.clone(),
            precision: precision.unwrap_or_else(|| "unknown".to_owned()),
            size,
            top1: self.predictions.top1_percent(),
            top5: (contract.classes.len() > 5).then(|| self.predictions.top5_percent()),
            agreement: self.predictions.agreement_percent(self.baseline),
            drop,
            worst_class: self.predictions.worst_class_drop(self.baseline).map(|(class, points)| (name(class), points)),
            per_class: self.predictions.class_percent(),
            throughput: self.batch as f64 * 1e3 / batch.p50,
            memory: Memory { process_peak: self.memory.peak, model: self.memory.of_model() },
            speedup: flat(&self.baseline_times.single).p50 / single.p50,
            stable: self.times.is_stable(),
            repeated_sample_ratio: median(&self.times.repeated) / single.p50,
            latency: encode(&single)?,
            batch_latency: encode(&batch)?,
            operators: self.operators,
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
        report("memory", variant.memory.process_peak as f64 / 1e6, "MB");
        report("model-memory", variant.memory.model as f64 / 1e6, "MB");
        report("size", variant.size as f64 / 1e6, "MB");
        report("speedup", variant.speedup, "×");
        if let Some(top5) = variant.top5 {
            report("top5", top5, "%");
        }
        report("latency-p50", variant.latency_ms("p50"), "ms");
        report("top1", variant.top1, "%");
        if !variant.stable {
            context.warn(format!("the latency of `{}` did not settle; measure again on a quiet machine", variant.name));
        }
        if variant.repeated_sample_ratio < 0.9 {
            let ratio = variant.repeated_sample_ratio;
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
        let plain: String = model.name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let path = folder.join(format!("{index}-{plain}.json"));
        let raw = json!({ "variant": model.name, "unit": "ms", "batch-1": times.single, "batch": times.batch, "repeated": times.repeated });
        fs::write(&path, raw.to_string()).or_environment(format_args!("cannot write {}", path.display()))?;
    }
    Ok(())
}
