//! The stage `quantize`: an ONNX model, ours or anyone's, becomes smaller and faster in half floats or 8-bit integers.

pub mod calibrate;
pub mod evaluate;
pub mod exclude;
pub mod fp16;
pub mod histogram;
pub mod images;
pub mod int8;
pub mod params;
pub mod plan;
pub mod prepare;
pub mod qdq;
mod report;
pub mod scale;

use std::{fs, path::Path};

use sha2::{Digest, Sha256};
use stagewright_dataset::{Dataset, Preprocess, stratified};
use stagewright_onnx::{
    Classifier, Session, SessionOptions, check, classifier, metadata, proto::ModelProto, read_model,
    runtime_version, set_metadata, write_model,
};
use stagewright_sdk::{
    Context, Determinism, FaultExt, Manifest, ManifestExt, Port, PortExt, Resources, Result, Stage,
    StageFault, manifest,
};

use images::Images;
use int8::{Int8, Work};
pub use params::{AutoExclude, Method, Params, Precision, Target};
use report::{Inside, Summary};

/// Metadata key of the preprocessing contract.
const CONTRACT_KEY: &str = "stagewright.preprocess";

/// The stage.
pub struct Quantize;

impl Stage for Quantize {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "makes an ONNX model smaller and faster: FP16, or INT8 calibrated on training images";
        manifest::<Params>("quantize", env!("CARGO_PKG_VERSION"), 1, summary)
            .input("model", Port::input("model/onnx", "the f32 model, of the stage `onnx` or of any other exporter"))
            .input(
                "calibration",
                Port::input("dataset/images", "images to calibrate on (training split) and to compare accuracy on (validation split); INT8 needs it")
                    .optional()
                    .refuses_test_data(),
            )
            .input("preprocess", Port::input("preprocess", "the contract of these images; INT8 needs it").optional())
            .output("model", Port::output("model/onnx", "model.onnx", "the quantized model; input and output stay f32"))
            .output("report", Port::output("report/markdown", "quantization.md", "calibration, noise by tensor, accuracy beside the f32 model"))
            .output("metrics", Port::output("metrics/json", "metrics.json", "the same numbers for programs, every tensor included"))
            .resources(Resources { cpus: 0, ..Resources::default() })
            .determinism(Determinism::Tolerance)
            .metric("top1.fp32", "accuracy of the f32 model on the validation split, %")
            .metric("top1", "accuracy of the quantized model on the validation split, %")
            .metric("top1.drop", "accuracy lost, percentage points; negative where the quantized model is better")
            .metric("agreement", "images that both models predict the same, %")
            .metric("flips", "images that they predict differently")
            .metric("size", "size of the quantized file, MB")
            .metric("size-ratio", "size of the f32 file divided by that of the quantized one")
            .metric("calibration.samples", "images calibrated on")
            .metric("layers.quantized", "operators with 8-bit weights")
            .metric("nodes.float", "operators left in f32")
            .metric("sqnr.activations-worst", "signal to quantization noise of the worst activation, dB")
            .metric("sqnr.weights-worst", "signal to quantization noise of the worst weight, dB")
            .metric("sqnr.logits", "signal to noise of the logits, dB")
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        check_params(&params)?;
        let path = context.input("model")?.to_owned();
        let model = read_model(&path)?;
        let interface = classifier(&model)?;
        context.progress(0, 0, "", "folding constants")?;
        let prepared = prepare::prepare(&model, context.scratch_dir())?;
        let data = Data::open(context, &params, &model, &interface)?;
        let threads = (context.limits().threads as usize).max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .or_environment("cannot start threads")?;

        let (mut quantized, inside, calibration) = pool
            .install(|| quantize(context, &params, &prepared, &path, data.as_ref(), &interface, threads))?;
        finish(&mut quantized, &params, data.as_ref(), calibration.as_ref())?;
        check(&quantized).or_internal("the quantized graph is not valid")?;
        let target = context.output("model")?;
        write_model(&quantized, &target)?;
        let evaluation = match &data {
            Some(data) => {
                pool.install(|| evaluate_both(context, &params, data, &interface, [&path, &target], threads))?
            }
            None => None,
        };
        let size = |path: &Path| {
            Ok::<u64, StageFault>(
                fs::metadata(path).or_environment(format_args!("cannot look at {}", path.display()))?.len(),
            )
        };
        let summary = Summary {
            params: &params,
            inside,
            calibration,
            evaluation,
            bytes_before: size(&path)?,
            bytes: size(&target)?,
            runtime: runtime_version()?,
        };
        context.write("report", summary.markdown().as_bytes())?;
        context.write_json("metrics", &summary.json())?;
        summary.metrics(context);
        Ok(())
    }
}

fn check_params(params: &Params) -> Result<()> {
    if !(50.0..=100.0).contains(&params.percentile) {
        return Err(StageFault::user(format!("`percentile` is {}; it must be 50 to 100", params.percentile)));
    }
    if params.samples == 0 {
        return Err(StageFault::user("`samples` is 0; calibration needs at least one image"));
    }
    if let Some(rule) = params.auto_exclude.filter(|rule| !(0.0..=1.0).contains(&rule.min_agreement)) {
        return Err(StageFault::user(format!(
            "`auto-exclude.min-agreement` is {}; it must be 0 to 1",
            rule.min_agreement
        )));
    }
    if params.precision == Precision::Fp16 && params.auto_exclude.is_some() {
        return Err(StageFault::user(
            "`auto-exclude` is for INT8; with precision `fp16` name nodes in `exclude`",
        ));
    }
    Ok(())
}

/// Images with their contract.
struct Data {
    dataset: Dataset,
    contract: Preprocess,
    contract_text: String,
}

impl Data {
    /// Opens dataset and contract and checks that the model reads such images.
    fn open(
        context: &Context,
        params: &Params,
        model: &ModelProto,
        interface: &Classifier,
    ) -> Result<Option<Self>> {
        let (data, contract_path) =
            match (context.optional_input("calibration"), context.optional_input("preprocess")) {
                (Some(data), Some(contract)) => (data, contract),
                (None, None) if params.precision == Precision::Fp16 => return Ok(None),
                (given, _) => {
                    let missing = if given.is_some() { "preprocess" } else { "calibration" };
                    let why = match params.precision {
                        Precision::Int8 => "INT8 is calibrated on images as the network sees them",
                        Precision::Fp16 => "accuracy is compared on images as the network sees them",
                    };
                    return Err(StageFault::user(format!("nothing is bound to `{missing}`: {why}")).hint(
                    "bind `calibration` to the training data and `preprocess` to the contract of data-stats",
                ));
                }
            };
        let bytes =
            fs::read(contract_path).or_user(format_args!("cannot read {}", contract_path.display()))?;
        let contract = Preprocess::parse(&bytes).map_err(|error| error.named(contract_path.display()))?;
        if let Some(carried) = metadata(model, CONTRACT_KEY) {
            let carried = Preprocess::parse(carried.as_bytes())
                .map_err(|error| error.named("the contract in the model's metadata"))?;
            if carried != contract {
                return Err(StageFault::user(format!(
                    "the model was made under another preprocessing contract than {}",
                    contract_path.display()
                ))
                .hint("bind `preprocess` to the contract that train and onnx took"));
            }
        }
        let [_, channels, height, width] = interface.dims;
        let fits = |model: i64, contract: usize| model < 0 || model == contract as i64;
        if !fits(channels, 3) || !fits(height, contract.size[0]) || !fits(width, contract.size[1]) {
            return Err(StageFault::user(format!(
                "the model reads images of {channels}×{height}×{width} (−1 is open), the contract gives 3×{}×{}",
                contract.size[0], contract.size[1]
            ))
            .hint("make the contract for this model: `size` in data-stats"));
        }
        if interface.classes.is_some_and(|classes| classes != contract.classes.len()) {
            let classes = interface.classes.unwrap_or_default();
            return Err(StageFault::user(format!(
                "the model has {classes} classes, the contract names {}",
                contract.classes.len()
            )));
        }
        let dataset = Dataset::open(data)?;
        dataset.check_classes(&contract)?;
        Ok(Some(Self { dataset, contract, contract_text: String::from_utf8_lossy(&bytes).into_owned() }))
    }
}

type Made = (ModelProto, Inside, Option<(usize, String)>);

fn quantize(
    context: &mut Context,
    params: &Params,
    prepared: &ModelProto,
    path: &Path,
    data: Option<&Data>,
    interface: &Classifier,
    threads: usize,
) -> Result<Made> {
    if params.precision == Precision::Fp16 {
        let graph =
            prepared.graph.as_ref().ok_or_else(|| StageFault::internal("the prepared model has no graph"))?;
        let halved = fp16::halve(prepared, &exclude::excluded(graph, &params.exclude)?)?;
        if halved.saturated > 0 {
            context.warn(format!(
                "{} weights are larger than the largest half float and became it",
                halved.saturated
            ));
        }
        return Ok((halved.model.clone(), Inside::Fp16(Box::new(halved)), None));
    }
    let data = data.ok_or_else(|| StageFault::internal("INT8 without calibration data"))?;
    let splits = data.dataset.splits(&data.contract.splits);
    if splits.train.is_empty() {
        return Err(StageFault::user("the dataset has no training samples to calibrate on")
            .hint("calibration never takes test or validation samples: bind `calibration` to data with a training part"));
    }
    let indices = stratified(&data.dataset, &splits.train, params.samples, context.seed());
    if indices.len() < params.samples {
        context.warn(format!(
            "calibrating on {} images, all of the training split; `samples` asks for {}",
            indices.len(),
            params.samples
        ));
    }
    let images = Images::load(
        context,
        &data.dataset,
        &data.contract,
        &indices,
        fixed_batch(interface),
        "reading calibration images",
    )?;
    let mut hash = Sha256::new();
    images.ids().iter().for_each(|id| hash.update(format!("{id}\n")));
    let digest = hex::encode(hash.finalize());
    let total = images.count() as u64;
    let work = Work { model: prepared, path, images: &images, params, threads };
    let int8: Int8 = work.quantize(&mut |done, what| context.progress(done, total, "images", what))?;
    Ok((int8.model.clone(), Inside::Int8(Box::new(int8)), Some((images.count(), digest))))
}

fn fixed_batch(interface: &Classifier) -> Option<usize> {
    usize::try_from(interface.dims[0]).ok()
}

/// Names what was done in the metadata.
fn finish(
    model: &mut ModelProto,
    params: &Params,
    data: Option<&Data>,
    calibration: Option<&(usize, String)>,
) -> Result<()> {
    set_metadata(
        model,
        "stagewright.precision",
        if params.precision == Precision::Int8 { "int8" } else { "fp16" },
    );
    if let Some(data) = data {
        set_metadata(model, CONTRACT_KEY, &data.contract_text);
    }
    if let Some((count, digest)) = calibration {
        let facts = serde_json::json!({
            "target": params.target,
            "method": params.method,
            "per-channel": params.per_channel,
            "calibration": { "samples": count, "ids-sha256": digest },
        });
        set_metadata(model, "stagewright.quantization", &facts.to_string());
    }
    Ok(())
}

/// Both files on the validation split, or on the training split where there is no other.
fn evaluate_both(
    context: &mut Context,
    params: &Params,
    data: &Data,
    interface: &Classifier,
    files: [&Path; 2],
    threads: usize,
) -> Result<Option<(evaluate::Evaluation, &'static str)>> {
    let splits = data.dataset.splits(&data.contract.splits);
    let (split, from) = if splits.validation.is_empty() {
        ("training", splits.train)
    } else {
        ("validation", splits.validation)
    };
    if from.is_empty() {
        return Ok(None);
    }
    let count = if params.evaluate_samples == 0 { from.len() } else { params.evaluate_samples };
    let indices = stratified(&data.dataset, &from, count, context.seed());
    let images = Images::load(
        context,
        &data.dataset,
        &data.contract,
        &indices,
        fixed_batch(interface),
        "reading validation images",
    )?;
    let total = images.count() as u64;
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut run = |path: &Path, what: &str| -> Result<Vec<f32>> {
        let mut session = Session::open(path, &options)?;
        evaluate::logits(&mut session, &images, params.batch_size, what, &mut |done, what| {
            context.progress(done, total, "images", what)
        })
    };
    let reference = run(files[0], "running the f32 model")?;
    let found = run(files[1], "running the quantized model")?;
    Ok(Some((evaluate::compare(&reference, &found, images.labels()), split)))
}
