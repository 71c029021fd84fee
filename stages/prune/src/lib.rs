//! The stage `prune`: makes a trained network smaller, trains it on if asked to, and measures what it costs and brings.
//!
//! The pruning itself is arithmetic on weights (`stagewright_model::prune`); the network that comes out is a function of
//! the model, the params and, with fine-tuning, the seed, the images and the number of threads. Latency is a measurement
//! and stands in the report and the run's record only.

pub mod data;
pub mod measure;
pub mod method;
pub mod params;
pub mod report;
mod tune;

use rayon::ThreadPool;
use serde_json::{Value, json};
use stagewright_model::Checkpoint;
use stagewright_sdk::{
    Context, Determinism, FaultExt, Manifest, ManifestExt, Port, PortExt, Resources, Result, Stage,
    StageFault, manifest,
};
use stagewright_torch::{Device, device, set_threads};

use crate::{
    data::Data,
    measure::{accuracy, latencies, network},
    method::{How, Pruned},
    params::Params,
    report::{Curve, Report, State},
    tune::Tuned,
};

pub use tune::Epoch;

/// The stage.
pub struct Prune;

impl Stage for Prune {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "zeroes small weights or takes channels out of a network, and measures what that costs and brings";
        // 2: images are augmented at their own size, not at the contract's.
        manifest::<Params>("prune", env!("CARGO_PKG_VERSION"), 2, summary)
            .input("model", Port::input("model/checkpoint", "the trained network"))
            .input(
                "data",
                Port::input("dataset/images", "images to measure accuracy with and to fine-tune with")
                    .refuses_test_data(),
            )
            .input("preprocess", Port::input("preprocess", "the contract the network was trained under"))
            .input(
                "policy",
                Port::input("augment/policy", "what training images go through in fine-tuning").optional(),
            )
            .output("model", Port::output("model/checkpoint", "model", "the pruned network"))
            .output(
                "report",
                Port::output("report/markdown", "report.md", "before and after, layer by layer"),
            )
            .output(
                "metrics",
                Port::output("metrics/json", "metrics.json", "the figures, without measured times"),
            )
            .metric("parameters", "trainable values after pruning")
            .metric("parameters.before", "trainable values before")
            .metric(
                "sparsity",
                "share of zeros in the weights of convolutions and linear layers after pruning, 0 to 1",
            )
            .metric("macs", "multiply–accumulates of one image after pruning")
            .metric("macs.before", "multiply–accumulates of one image before")
            .metric("file.size", "bytes of the file of weights after pruning")
            .metric("file.size.before", "bytes of the file of weights before")
            .metric("validation.top1", "%; validation images classified right by the result")
            .metric("validation.top1.before", "%; by the network before pruning")
            .metric("validation.top1.pruned", "%; by the pruned network before fine-tuning")
            .metric("validation.loss", "mean cross-entropy of the result on validation images")
            .metric("latency.median", "ms; median forward pass of the result")
            .metric("latency.median.before", "ms; median forward pass before")
            .metric("latency.speed-up", "latency before by latency after")
            .metric("fine-tune.train.loss", "mean training loss of an epoch of fine-tuning")
            .metric("fine-tune.validation.top1", "%; after an epoch of fine-tuning")
            .resources(Resources { cpus: 2, memory: 2 << 30, ..Resources::default() })
            .determinism(Determinism::Tolerance)
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        params.check()?;
        let device = device::pick(params.device.word()).map_err(|reason| {
            StageFault::environment(reason).hint("set `device: auto` or `cpu` to compute on the processor")
        })?;
        let threads = context.limits().threads.max(1) as usize;
        set_threads(threads);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .or_environment("cannot start threads to prepare images")?;
        let data = pool.install(|| Data::load(context, &params))?;
        Work { params: &params, data: &data, pool: &pool, device, threads }.carry_out(context)
    }
}

/// What every step needs.
struct Work<'a> {
    params: &'a Params,
    data: &'a Data,
    pool: &'a ThreadPool,
    device: Device,
    threads: usize,
}

impl Work<'_> {
    fn carry_out(&self, context: &mut Context) -> Result<()> {
        let Data { checkpoint: original, validation, .. } = self.data;
        if validation.is_empty() {
            context.warn("there are no validation images: accuracy before and after pruning is not measured");
        }
        let before = self.state(context, original, "measuring accuracy before pruning")?;
        let Pruned { checkpoint: pruned, how } = method::prune(original, self.params)?;
        if let How::Channels(plan) = &how
            && plan.is_empty()
        {
            context.warn("no channel was taken out: the ratio is too small, `round-to` too large, or all layers are ignored");
        }
        let after = self.state(context, &pruned, "measuring accuracy after pruning")?;
        let mut states = vec![("before", before.clone()), ("pruned", after.clone())];

        let tuned = self.tune(context, &pruned, &how, after.top1)?;
        let result = tuned.as_ref().map_or(&pruned, |tuned| &tuned.checkpoint);
        let last = match &tuned {
            Some(_) => {
                let state = self.state(context, result, "measuring accuracy after fine-tuning")?;
                states.push(("fine-tuned", state.clone()));
                state
            }
            None => after.clone(),
        };
        let latency = self.latency(context, original, result)?;
        let sensitivity = self.sensitivity(context)?;

        self.tell(context, &before, &after, &last, latency);
        let report = Report {
            method: &self.params.method,
            how: &how,
            states,
            layers: report::rows(original, result).or_internal("cannot compare the layers")?,
            latency,
            latency_params: &self.params.latency,
            machine: format!("{} threads on {:?}", self.threads, self.device),
            validation_images: validation.len(),
            tuning: tuned.as_ref().map(|tuned| (tuned.epochs.as_slice(), tuned.best)),
            sensitivity: self
                .params
                .sensitivity
                .as_ref()
                .map(|wanted| (wanted.amounts.as_slice(), sensitivity)),
        };
        let markdown = report.markdown();
        let metrics = self.metrics(&report, &before, &last)?;
        let mut written = result.clone();
        written.training = self.training(context.seed(), tuned.as_ref(), &last);
        let folder = context.output("model")?;
        written.save(&folder).or_environment("cannot write the model")?;
        context.write_json("metrics", &metrics)?;
        context.write("report", markdown.as_bytes())
    }

    /// Counts a network and, where there are validation images, measures its accuracy.
    fn state(&self, context: &mut Context, checkpoint: &Checkpoint, message: &str) -> Result<State> {
        let mut state = report::count(checkpoint).or_internal("cannot count the network's cost")?;
        let count = self.data.validation.len();
        if count > 0 {
            let every: Vec<usize> = (0..count).collect();
            let each = |done| context.progress(done, count as u64, "images", message);
            let sum = self.accuracy(checkpoint, &every, each)?;
            (state.top1, state.loss) = (Some(sum.top1()), Some(sum.loss()));
        }
        Ok(state)
    }

    fn accuracy(
        &self,
        checkpoint: &Checkpoint,
        which: &[usize],
        progress: impl FnMut(u64) -> Result<()>,
    ) -> Result<stagewright_torch::Evaluation> {
        let network = network(checkpoint, self.device)?;
        let batch = self.params.evaluation_batch as usize;
        accuracy(&network, &self.data.validation, which, &self.data.contract, self.pool, batch, progress)
    }

    fn tune(
        &self,
        context: &mut Context,
        pruned: &Checkpoint,
        how: &How,
        start: Option<f64>,
    ) -> Result<Option<Tuned>> {
        let Some(params) = &self.params.fine_tune else { return Ok(None) };
        let masks = match how {
            How::Masks(masks) => Some(masks),
            How::Channels(_) => None,
        };
        let setup = (self.pool, self.device, self.params.evaluation_batch as usize);
        tune::tune(context, self.data, pruned, masks, params, start, setup).map(Some)
    }

    fn latency(
        &self,
        context: &mut Context,
        before: &Checkpoint,
        after: &Checkpoint,
    ) -> Result<Option<[f64; 2]>> {
        if self.params.latency.repetitions == 0 {
            return Ok(None);
        }
        let networks = [network(before, self.device)?, network(after, self.device)?];
        let each =
            |done, total| context.progress(done, total, "passes", "measuring latency before and after");
        latencies([&networks[0], &networks[1]], &self.params.latency, each).map(Some)
    }

    fn sensitivity(&self, context: &mut Context) -> Result<Vec<Curve>> {
        let Some(wanted) = &self.params.sensitivity else { return Ok(Vec::new()) };
        if self.data.sample.is_empty() {
            return Err(StageFault::user(
                "`sensitivity` needs validation images, but the contract keeps none",
            )
            .hint("raise `validation-fraction` in data-stats, or leave `sensitivity` out"));
        }
        let probes = method::probes(&self.data.checkpoint, self.params)?;
        let total = (probes.len() * wanted.amounts.len()) as u64;
        let mut curves = Vec::new();
        let mut done = 0;
        for probe in probes {
            let mut top1 = Vec::new();
            for amount in &wanted.amounts {
                let network = method::probed(&self.data.checkpoint, self.params, &probe, *amount)?;
                top1.push(self.accuracy(&network, &self.data.sample, |_| context.check_cancelled())?.top1());
                done += 1;
                context.progress(
                    done,
                    total,
                    "networks",
                    format!("sensitivity of {}", probe.layers.join(", ")),
                )?;
            }
            curves.push(Curve { layers: probe.layers, top1 });
        }
        Ok(curves)
    }

    /// The run's metrics.
    fn tell(
        &self,
        context: &mut Context,
        before: &State,
        pruned: &State,
        last: &State,
        latency: Option<[f64; 2]>,
    ) {
        context.metric("parameters.before", before.parameters as f64, None);
        context.metric("parameters", last.parameters as f64, None);
        context.metric("sparsity", last.sparsity, None);
        context.metric("macs.before", before.macs as f64, None);
        context.metric("macs", last.macs as f64, None);
        context.metric("file.size.before", before.file_size as f64, Some("bytes"));
        context.metric("file.size", last.file_size as f64, Some("bytes"));
        let tops = [("before", before.top1), ("pruned", pruned.top1)];
        for (name, top1) in tops.into_iter().filter_map(|(name, top1)| Some((name, top1?))) {
            context.metric(&format!("validation.top1.{name}"), top1, Some("%"));
        }
        if let (Some(top1), Some(loss)) = (last.top1, last.loss) {
            context.metric("validation.top1", top1, Some("%"));
            context.metric("validation.loss", loss, None);
        }
        if let Some([before, after]) = latency {
            context.metric("latency.median.before", before, Some("ms"));
            context.metric("latency.median", after, Some("ms"));
            context.metric("latency.speed-up", before / after, None);
        }
    }

    /// The metrics file: what is the same in every run of the same action.
    fn metrics(&self, report: &Report<'_>, before: &State, last: &State) -> Result<Value> {
        let states: serde_json::Map<String, Value> =
            report.states.iter().map(|(name, state)| ((*name).to_owned(), json!(state))).collect();
        let sensitivity = report
            .sensitivity
            .as_ref()
            .map(|(amounts, curves)| json!({ "amounts": amounts, "curves": curves }));
        let mut metrics = json!({
            "parameters": last.parameters,
            "parameters.before": before.parameters,
            "sparsity": last.sparsity,
            "macs": last.macs,
            "macs.before": before.macs,
            "file.size": last.file_size,
            "file.size.before": before.file_size,
            "states": states,
            "layers": report.layers,
        });
        if let (Some(top1), Some(was)) = (last.top1, before.top1) {
            metrics["validation.top1"] = json!(top1);
            metrics["validation.top1.before"] = json!(was);
        }
        if let Some((epochs, best)) = report.tuning {
            metrics["fine-tuning"] = json!({ "epochs": epochs, "best": best });
        }
        if let Some(sensitivity) = sensitivity {
            metrics["sensitivity"] = sensitivity;
        }
        Ok(metrics)
    }

    /// What the new checkpoint says of its making; the original's word stays in it as `parent`.
    fn training(&self, seed: u64, tuned: Option<&Tuned>, last: &State) -> Value {
        json!({
            "stage": "prune",
            "version": env!("CARGO_PKG_VERSION"),
            "params": self.params,
            "seed": seed,
            "best-epoch": tuned.map(|tuned| tuned.best),
            "metrics": { "validation.top1": last.top1, "sparsity": last.sparsity, "macs": last.macs },
            "parent": self.data.checkpoint.training,
        })
    }
}
