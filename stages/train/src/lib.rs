//! The stage `train`: a network learns to classify images, through libtorch.
//!
//! What a run computes is a function of params, seed, data and the number of threads; stopped anywhere and started
//! again with the same checkpoint folder, it ends in the same weights, bit for bit.

mod batch_size;
mod data;
mod feed;
mod fit;
mod order;
pub mod params;
mod recipe;
pub mod record;
pub mod state;

use std::{collections::BTreeMap, path::PathBuf};

use rayon::ThreadPool;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stagewright_model::{Architecture, Checkpoint, InputShape, ResNet, resnet};
use stagewright_sdk::{
    Context, Determinism, FaultExt, Manifest, ManifestExt, Port, PortExt, Resources, Result, Stage,
    StageFault, manifest,
};
use stagewright_torch::{
    Device, Evaluation, Network, Options, Precision, TorchError, Trainer,
    device::{self, CudaAllocator},
    keep_freed_memory, set_threads,
};

use crate::{
    batch_size::{BatchSize, StepMemory, mebibytes},
    data::Data,
    fit::Fit,
    params::{ArchitectureParams, DeviceParam, Params, PrecisionParam},
    recipe::{at_least, within},
    state::{Progress, Saved},
};

pub use batch_size::peak_memory;

/// The stage.
pub struct Train;

impl Stage for Train {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "trains an image classifier (residual network) and keeps its best epoch";
        // 2: images are augmented at their own size, not at the contract's.
        // 3: averaged weights have averaged statistics of batch norm.
        manifest::<Params>("train", env!("CARGO_PKG_VERSION"), 3, summary)
            .input(
                "data",
                Port::input("dataset/images", "images to learn from, with their classes").refuses_test_data(),
            )
            .input(
                "policy",
                Port::input("augment/policy", "what training images go through; none without it").optional(),
            )
            .input("preprocess", Port::input("preprocess", "the preprocessing contract of the data"))
            .output(
                "model",
                Port::output("model/checkpoint", "model", "network with the weights of the best epoch"),
            )
            .output("metrics", Port::output("metrics/json", "metrics.json", "final figures by name"))
            .output(
                "curves",
                Port::output("metrics/json", "curves.json", "figures of every epoch, gradient norms"),
            )
            .resources(Resources { cpus: 0, ..Resources::default() })
            .determinism(Determinism::Tolerance)
            .metric("train.loss", "mean loss of an epoch's training batches, label smoothing included")
            .metric("train.top1", "% of an epoch's training images classified right, augmented as they were")
            .metric(
                "validation.loss",
                "mean cross-entropy of validation images; finally that of the kept weights in fp32",
            )
            .metric(
                "validation.top1",
                "% of validation images classified right; finally that of the kept weights in fp32",
            )
            .metric("test.loss", "mean cross-entropy of test images with the kept weights in fp32")
            .metric("test.top1", "% of test images classified right with the kept weights in fp32")
            .metric("lr", "learning rate of an epoch's last step")
            .metric("gradient.norm", "L2 norm of all gradients of a step, before clipping")
            .metric("images-per-second", "training images per second in an epoch, augmentation included")
            .metric("best.epoch", "the epoch whose weights were kept")
            .metric("epochs", "epochs trained")
            .metric("batch-size", "images per step, as resolved")
            .metric("parameters", "trainable values of the network")
            .metric("memory.peak", "MB; largest resident size of the stage's process")
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        check(&params)?;
        keep_freed_memory();
        let device = pick_device(context, &params)?;
        let threads = context.limits().threads.max(1) as usize;
        set_threads(threads);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .or_environment("cannot start threads to prepare images")?;
        let data = pool.install(|| Data::load(context))?;
        if let Some(warning) = params.schedule.warning(&params.optimizer) {
            context.warn(warning);
        }
        let architecture = architecture(&params, &data)?;
        let options = options(&params, context.seed())?;
        let fit = train(context, &params, &data, &pool, &architecture, &options, device)?;
        finish(context, &params, &data, &pool, &architecture, &options, device, fit)
    }
}

/// Whose fault an error of libtorch is, and what to do.
fn fault(error: TorchError) -> StageFault {
    match &error {
        TorchError::OutOfMemory { .. } => StageFault::environment(error.to_string())
            .hint("lower `batch-size`, or set `batch-size: auto`; a smaller network needs less too"),
        TorchError::Diverged(_) => StageFault::user(error.to_string()),
        _ => StageFault::internal(error.to_string()),
    }
}

fn precision(params: &Params) -> Precision {
    match params.precision {
        PrecisionParam::Fp32 => Precision::Fp32,
        PrecisionParam::Bf16 => Precision::Bf16,
    }
}

/// Checks what the types leave open.
fn check(params: &Params) -> Result<()> {
    at_least("epochs", f64::from(params.epochs), 1.0)?;
    at_least("max-batch-size", f64::from(params.max_batch_size), 1.0)?;
    within("label-smoothing", params.label_smoothing, 0.0, 0.999)?;
    at_least("clip-norm", params.clip_norm, 0.0)?;
    at_least("explosion-norm", params.explosion_norm, 0.0)?;
    within("ema-decay", params.ema_decay, 0.0, 0.999_999)?;
    within("prefetch", f64::from(params.prefetch), 0.0, 64.0)?;
    if let Some(rule) = params.early_stopping {
        at_least("early-stopping.patience", f64::from(rule.patience), 1.0)?;
        at_least("early-stopping.min-delta", rule.min_delta, 0.0)?;
    }
    params.optimizer.resolve()?;
    params.schedule.resolve(&params.optimizer, 1).map(drop)
}

fn pick_device(context: &mut Context, params: &Params) -> Result<Device> {
    if params.cuda_malloc_async && params.device != DeviceParam::Cpu {
        // The allocator is chosen when libtorch's CUDA half is loaded, so before anything asks for a GPU.
        if let Err(reason) = device::load_cuda(CudaAllocator::Async) {
            context.log(format!("`cuda-malloc-async` has no effect without CUDA: {reason}"));
        }
    }
    let device = device::pick(params.device.word()).map_err(|reason| {
        StageFault::environment(reason).hint("set `device: auto` or `cpu` to train on the processor")
    })?;
    if device != Device::Cpu && params.deterministic {
        stagewright_torch::shim::set_deterministic(true);
    }
    if device == Device::Cpu && params.precision == PrecisionParam::Bf16 && !has_bf16() {
        context.warn(
            "`precision: bf16`: this processor has no bfloat16 instructions, so it will be slower than fp32",
        );
    }
    context.log(format!("training on {device:?} with {} threads", context.limits().threads));
    Ok(device)
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

/// Other processors are not asked; no warning then.
#[cfg(not(target_arch = "x86_64"))]
fn has_bf16() -> bool {
    true
}

fn architecture(params: &Params, data: &Data) -> Result<Architecture> {
    let [height, width] = data.contract.size;
    let ArchitectureParams::Resnet { depths, widths } = &params.architecture;
    let sizes = |list: &[u32]| list.iter().map(|&size| size as usize).collect();
    let config = ResNet {
        input: InputShape { channels: 3, height, width },
        classes: data.contract.classes.len(),
        depths: sizes(depths),
        widths: sizes(widths),
    };
    resnet(&config).or_user("`architecture` is not a network")
}

fn options(params: &Params, seed: u64) -> Result<Options> {
    Ok(Options {
        rule: params.optimizer.resolve()?,
        decay: params.weight_decay_on.resolve(),
        precision: precision(params),
        channels_last: params.channels_last,
        label_smoothing: params.label_smoothing,
        clip_norm: (params.clip_norm > 0.0).then_some(params.clip_norm),
        explosion_norm: params.explosion_norm,
        ema_decay: (params.ema_decay > 0.0).then_some(params.ema_decay),
        seed,
    })
}

/// Digest of all that decides the course of a training.
fn identity(params: &Params, seed: u64, data: &Data) -> Result<String> {
    let params = serde_json::to_vec(params).or_internal("cannot encode the params")?;
    let digest =
        Sha256::new().chain_update(params).chain_update(seed.to_le_bytes()).chain_update(data.identity()?);
    Ok(hex::encode(digest.finalize()))
}

fn train<'a>(
    context: &mut Context,
    params: &'a Params,
    data: &'a Data,
    pool: &'a ThreadPool,
    architecture: &Architecture,
    options: &Options,
    device: Device,
) -> Result<Fit<'a>> {
    let identity = identity(params, context.seed(), data)?;
    let saved = match state::load(context.checkpoint_dir(), &identity) {
        Ok(saved) => saved,
        Err(reason) => {
            context.warn(format!("training starts anew: {reason}"));
            None
        }
    };
    let seed = context.seed();
    let network = || Network::initialized(architecture, seed, device).map_err(fault);
    let batch_size = match (&saved, params.batch_size) {
        // What `auto` found then stays, or the order of images would change under way.
        (Some(saved), _) => saved.progress.batch_size,
        (None, BatchSize::Fixed(count)) => count,
        (None, BatchSize::Auto) => {
            let memory = StepMemory::measure(network()?, options)?;
            let budget = batch_size::budget(params.memory_budget, context.limits().memory, device)?;
            let count = memory.largest_batch(budget, params.max_batch_size.min(data.train.len() as u32))?;
            let (per_image, free) = (mebibytes(memory.per_image), mebibytes(budget));
            context.log(format!(
                "`batch-size: auto` is {count}: {per_image} per image measured, {free} to plan with"
            ));
            count
        }
    };
    let images = data.train.len();
    if batch_size as usize > images {
        let message = format!("`batch-size` is {batch_size}, but there are only {images} training images");
        return Err(
            StageFault::user(message).hint(format!("set `batch-size` to {images} or less, or add images"))
        );
    }
    let network = network()?;
    let steps_per_epoch = order::batches(images, batch_size as usize, params.drop_last) as u64;
    let mut fit = Fit {
        params,
        data,
        pool,
        trainer: Trainer::new(network, options.clone()).map_err(fault)?,
        schedule: params.schedule.resolve(&params.optimizer, steps_per_epoch)?,
        progress: Progress::start(identity, batch_size),
        best: BTreeMap::new(),
        steps_per_epoch,
    };
    if let Some(saved) = saved {
        resume(context, &mut fit, saved)?;
    }
    if data.validation.is_empty() {
        let watched = params.early_stopping.is_some_and(|rule| rule.monitor.needs_validation());
        if watched {
            let message = "`early-stopping` watches validation images, but the contract keeps none";
            return Err(StageFault::user(message)
                .hint("raise `validation-fraction` in data-stats, or monitor `train-loss`"));
        }
        if params.best_by.needs_validation() {
            context
                .warn("there are no validation images: the weights of the last epoch are kept, best or not");
        }
    }
    fit.run(context)?;
    Ok(fit)
}

fn resume(context: &mut Context, fit: &mut Fit<'_>, saved: Saved) -> Result<()> {
    let (epochs, position) = (saved.progress.epochs.len(), saved.progress.position);
    fit.resume(saved).or_internal("cannot take up the saved training")?;
    context.log(format!("resumed after {epochs} epochs and {position} batches of the next one"));
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the end of one long function, cut off for reading")]
fn finish(
    context: &mut Context,
    params: &Params,
    data: &Data,
    pool: &ThreadPool,
    architecture: &Architecture,
    options: &Options,
    device: Device,
    fit: Fit<'_>,
) -> Result<()> {
    let Fit { progress, best, trainer, .. } = fit;
    let stopped_early = progress.epochs.len() < params.epochs as usize;
    let parameters: Vec<String> =
        trainer.network().parameters().iter().map(|named| named.name.clone()).collect();
    let parameter_count = trainer.network().parameter_count();
    drop(trainer);

    // What is kept is judged as what comes after will compute it: in fp32.
    let network = Network::new(architecture, &best, device).map_err(fault)?;
    let judge = Trainer::new(network, Options { ema_decay: None, ..options.clone() }).map_err(fault)?;
    let mut metrics = serde_json::Map::new();
    let batch = progress.batch_size as usize;
    for (part, images) in [("validation", &data.validation), ("test", &data.test)] {
        if images.is_empty() {
            continue;
        }
        let total = images.len() as u64;
        let each = |done| {
            context.progress(done, total, "images", format!("evaluating the best epoch on {part} images"))
        };
        let sum: Evaluation =
            feed::evaluate(&judge, images, &data.contract, pool, batch, Precision::Fp32, each)?;
        report(context, &mut metrics, &format!("{part}.loss"), sum.loss(), None);
        report(context, &mut metrics, &format!("{part}.top1"), sum.top1(), Some("%"));
    }
    if data.test.is_empty() {
        context.log("there are no test images: `test.top1` is not reported");
    }
    let best_epoch = progress.best.unwrap_or_default();
    if let Some(epoch) = progress.epochs.iter().find(|epoch| epoch.epoch == best_epoch) {
        report(context, &mut metrics, "train.loss", epoch.train.loss, None);
        report(context, &mut metrics, "train.top1", epoch.train.top1, Some("%"));
    }
    report(context, &mut metrics, "best.epoch", f64::from(best_epoch), None);
    report(context, &mut metrics, "epochs", progress.epochs.len() as f64, None);
    report(context, &mut metrics, "batch-size", f64::from(progress.batch_size), Some("images"));
    report(context, &mut metrics, "parameters", parameter_count as f64, None);
    // Measurements go into the run's record only: a file that holds them would differ from run to run.
    if let Ok(bytes) = peak_memory() {
        context.metric("memory.peak", bytes as f64 / 1e6, Some("MB"));
    }

    let curves = json!({
        "epochs": progress.epochs,
        "gradients": { "parameters": parameters, "samples": progress.gradients },
        "stopped-early": stopped_early,
    });
    let training = json!({
        "stage": "train",
        "version": env!("CARGO_PKG_VERSION"),
        "params": params,
        "seed": context.seed(),
        "epochs": progress.epochs.len(),
        "best-epoch": best_epoch,
        "batch-size": progress.batch_size,
        "steps": progress.steps,
        "metrics": metrics,
    });
    let checkpoint = Checkpoint {
        architecture: architecture.clone(),
        tensors: best,
        preprocess: data.contract_bytes.clone(),
        training,
    };
    let folder: PathBuf = context.output("model")?;
    checkpoint.save(&folder).or_environment("cannot write the model")?;
    context.write_json("metrics", &metrics)?;
    context.write_json("curves", &curves)
}

fn report(
    context: &mut Context,
    metrics: &mut serde_json::Map<String, Value>,
    name: &str,
    value: f64,
    unit: Option<&str>,
) {
    context.metric(name, value, unit);
    metrics.insert(name.to_owned(), json!(value));
}
