//! The stage `onnx`: a checkpoint becomes an ONNX model, and ONNX Runtime is shown to compute what libtorch computes.

mod export;
mod fold;
mod params;
mod parity;
mod report;
mod samples;

use std::{fs, path::Path};

pub use export::{ExportError, export};
pub use params::{Params, Parity, SizeRange};
pub use parity::{Comparison, Worst, compare};

use samples::Samples;
use stagewright_dataset::Preprocess;
use stagewright_model::{Checkpoint, CheckpointError};
use stagewright_onnx::{Dim, Session, SessionOptions, check, runtime_version, write_model};
use stagewright_sdk::{
    Context, Determinism, FaultExt, GateStatus, Manifest, ManifestExt, Port, PortExt, Resources, Result,
    Stage, StageFault, manifest,
};
use stagewright_torch::{Device, Network, set_threads};

/// The stage.
pub struct Onnx;

/// The comparison of one way to run the model.
pub struct Run {
    /// Images at a time.
    pub batch: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// What came out.
    pub comparison: Comparison,
}

impl Stage for Onnx {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "writes a checkpoint as an ONNX model, checks it, and compares ONNX Runtime with libtorch on real images";
        manifest::<Params>("onnx", env!("CARGO_PKG_VERSION"), 1, summary)
            .input("model", Port::input("model/checkpoint", "the network"))
            .input("data", Port::input("dataset/images", "images that both runtimes are compared on"))
            .input("preprocess", Port::input("preprocess", "the contract; must be the one in the checkpoint"))
            .output(
                "model",
                Port::output("model/onnx", "model.onnx", "the ONNX model, with the contract in its metadata"),
            )
            .output(
                "report",
                Port::output(
                    "report/markdown",
                    "parity.md",
                    "operators, checks and the comparison with libtorch",
                ),
            )
            .output("metrics", Port::output("metrics/json", "metrics.json", "the same numbers for programs"))
            .resources(Resources { cpus: 0, ..Resources::default() })
            .determinism(Determinism::Tolerance)
            .metric("parity.max-abs", "largest difference of a logit between ONNX Runtime and libtorch")
            .metric("parity.mean-abs", "mean difference of a logit")
            .metric(
                "parity.cosine",
                "smallest cosine of a sample's two logit vectors, 1 is the same direction",
            )
            .metric("parity.agreement", "images with the same prediction, %")
            .metric(
                "parity.tolerance-used",
                "largest difference as part of what the tolerance allows; above 1 the stage fails",
            )
            .metric("size", "size of the ONNX file, MB")
            .metric("nodes", "operators in the graph")
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        let checkpoint = load_checkpoint(context.input("model")?)?;
        let contract = matching_contract(context.input("preprocess")?, &checkpoint)?;
        context.progress(0, 0, "", "writing the graph")?;
        let mut model = export(&checkpoint, &params).map_err(export_fault)?;
        let classes =
            serde_json::to_string(&contract.classes).or_internal("cannot encode the class names")?;
        stagewright_onnx::set_metadata(&mut model, "stagewright.classes", &classes);

        // A graph of ours that is not valid is our fault, whatever the error says of models in general.
        let types = check(&model).or_internal("the written graph is not valid")?;
        let logits =
            types.get(&params.output_name).and_then(|logits| logits.dims.clone()).unwrap_or_default();
        let width = checkpoint.architecture.classes;
        if logits.get(1) != Some(&Dim::Size(width as i64)) || logits.len() != 2 {
            return Err(StageFault::internal(format!(
                "the written graph gives {logits:?} instead of [batch, {width}]"
            )));
        }
        let path = context.output("model")?;
        write_model(&model, &path)?;

        let samples = Samples::choose(context, &contract, &params)?;
        let runs = compare_runtimes(context, &checkpoint, &params, &contract, &samples, &path)?;
        let bytes =
            fs::metadata(&path).or_environment(format_args!("cannot look at {}", path.display()))?.len();
        let summary = report::Summary {
            checkpoint: &checkpoint,
            model: &model,
            params: &params,
            runs: &runs,
            samples: &samples.origin,
            bytes,
            runtime: runtime_version()?,
        };
        context.write("report", summary.markdown().as_bytes())?;
        context.write_json("metrics", &summary.json())?;
        summary.metrics(context);
        verdict(context, &runs, &samples)
    }
}

fn load_checkpoint(folder: &Path) -> Result<Checkpoint> {
    Checkpoint::load(folder).map_err(|error| match &error {
        CheckpointError::Write { .. } => StageFault::environment(error.to_string()),
        _ => StageFault::user(error.to_string()).hint("bind `model` to the output of train or prune"),
    })
}

/// The contract of the pipeline, which must be the checkpoint's: with another one the network would see other images than
/// those it was trained on.
fn matching_contract(path: &Path, checkpoint: &Checkpoint) -> Result<Preprocess> {
    let given = Preprocess::load(path)?;
    let trained = Preprocess::parse(&checkpoint.preprocess)
        .map_err(|error| error.named("preprocess.json of the checkpoint"))?;
    if given != trained {
        let differing = differences(&given, &trained);
        return Err(StageFault::user(format!(
            "the checkpoint was trained under another preprocessing contract than {}: {differing}",
            path.display()
        ))
        .hint("bind `preprocess` to the contract that train took, or train again under this one"));
    }
    let input = checkpoint.architecture.input;
    if [input.channels, input.height, input.width] != [3, given.size[0], given.size[1]] {
        return Err(StageFault::user(format!(
            "the network reads images of {}×{}×{}, the contract gives 3×{}×{}",
            input.channels, input.height, input.width, given.size[0], given.size[1]
        )));
    }
    if checkpoint.architecture.classes != given.classes.len() {
        return Err(StageFault::user(format!(
            "the network has {} classes, the contract names {}",
            checkpoint.architecture.classes,
            given.classes.len()
        )));
    }
    Ok(given)
}

/// Names of the fields that differ, with both values where they are short.
fn differences(given: &Preprocess, trained: &Preprocess) -> String {
    let as_map = |contract: &Preprocess| match serde_json::to_value(contract) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (given, trained) = (as_map(given), as_map(trained));
    let field = |(name, value): (&String, &serde_json::Value)| {
        let other = trained.get(name).filter(|other| *other != value)?;
        let (value, other) = (value.to_string(), other.to_string());
        Some(if value.len() + other.len() > 160 {
            format!("`{name}`")
        } else {
            format!("`{name}` is {value}, trained with {other}")
        })
    };
    given.iter().filter_map(field).collect::<Vec<_>>().join("; ")
}

fn export_fault(error: ExportError) -> StageFault {
    let message = error.to_string();
    match error {
        ExportError::Layer { choices, .. } => StageFault::user(message).hint(choices),
        ExportError::Size { .. } => StageFault::user(message)
            .hint("narrow `dynamic-size`; a network for several sizes pools to [1, 1] before it flattens"),
        ExportError::Param(_) => StageFault::user(message),
        ExportError::Missing(_) => StageFault::internal(message),
    }
}

/// Runs both runtimes: at the contract's size with batches of 1, 3 and the largest, and at the ends of a dynamic size.
fn compare_runtimes(
    context: &mut Context,
    checkpoint: &Checkpoint,
    params: &Params,
    contract: &Preprocess,
    samples: &Samples,
    path: &Path,
) -> Result<Vec<Run>> {
    let threads = context.limits().threads as usize;
    set_threads(threads);
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut session = Session::open(path, &options)
        .map_err(|error| StageFault::internal(format!("the written model does not load: {error}")))?;
    let batches: Vec<usize> = match params.fixed_batch {
        Some(batch) => vec![batch],
        None => {
            let mut batches = vec![1, 3, params.parity.max_batch.min(samples.count)];
            batches.sort_unstable();
            batches.dedup();
            batches.into_iter().filter(|&batch| batch <= samples.count).collect()
        }
    };
    let mut sizes = vec![contract.size];
    sizes.extend(params.dynamic_size.iter().flat_map(|range| [range.min, range.max]));
    let mut runs = Vec::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let images = samples.at_size(contract, size, params.fixed_batch.unwrap_or(1))?;
        let network = export::resized(&checkpoint.architecture, size);
        let network = Network::new(&network, &checkpoint.tensors, Device::Cpu)
            .or_internal("libtorch does not take the network")?;
        let reference = images.in_batches(params.parity.max_batch, |images, count| {
            network.logits(images, count).or_internal("libtorch failed")
        })?;
        // Batches are varied at the contract's size; at the others the largest is enough.
        let batches = if index == 0 { batches.as_slice() } else { &batches[batches.len() - 1..] };
        for &batch in batches {
            context.progress(
                runs.len() as u64,
                0,
                "comparisons",
                format!("batch {batch} at {}×{}", size[0], size[1]),
            )?;
            let found =
                images.in_batches(batch, |images, count| Ok(session.run_sized(images, count, size)?))?;
            let comparison = compare(&reference, &found, checkpoint.architecture.classes, &params.parity);
            runs.push(Run { batch, size, comparison });
        }
    }
    Ok(runs)
}

/// A model that computes something else must not go on to the next stage.
fn verdict(context: &mut Context, runs: &[Run], samples: &Samples) -> Result<()> {
    let Some(worst) =
        runs.iter().max_by(|one, other| one.comparison.worst.ratio.total_cmp(&other.comparison.worst.ratio))
    else {
        return Err(StageFault::internal("nothing was compared"));
    };
    let Worst { sample, class, ratio, reference, found } = worst.comparison.worst;
    if worst.comparison.within() {
        let reason = format!(
            "largest difference is {ratio:.3} of what the tolerance allows, over {} runs",
            runs.len()
        );
        context.gate("parity", GateStatus::Passed, reason);
        return Ok(());
    }
    let id = samples.decoded.ids.get(sample % samples.count.max(1)).map_or("?", String::as_str);
    Err(StageFault::user(format!(
        "ONNX Runtime computes something else than libtorch: logit {class} of {id} is {found} instead of {reference} (batch {}, {}×{} pixels), {ratio:.1} times what the tolerance allows",
        worst.batch, worst.size[0], worst.size[1]
    ))
    .hint("differences of a few times the tolerance come from rounding in deep networks: raise `parity.rtol`; larger ones are a defect of this stage: please report them with the checkpoint"))
}
