//! Training after pruning.

use std::collections::BTreeMap;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use rayon::ThreadPool;
use stagewright_dataset::augment::{Augmenter, augment_batch};
use stagewright_model::{Checkpoint, Tensor, prune::Masks};
use stagewright_sdk::{Context, Result, StageFault};
use stagewright_torch::{Batch, Decay, Device, Options, Precision, Rule, Schedule, Trainer};

use crate::{
    data::Data,
    measure::{accuracy, network, torch_fault},
    params::{FineTune, OptimizerParams, PrecisionParam},
};

/// What an epoch came to.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Epoch {
    /// Number, from 1.
    pub epoch: u32,
    /// Mean loss over the training images as they were seen.
    pub train_loss: f64,
    /// Percentage of validation images classified right after it, where there are any.
    pub validation_top1: Option<f64>,
}

/// The result of fine-tuning.
pub struct Tuned {
    /// The network with the weights that are kept.
    pub checkpoint: Checkpoint,
    /// All epochs.
    pub epochs: Vec<Epoch>,
    /// Epoch whose weights are kept; 0 is before the first.
    pub best: u32,
}

/// Trains the pruned network on. `start` is its validation accuracy in percent, which the result has to beat.
pub fn tune(
    context: &mut Context,
    data: &Data,
    pruned: &Checkpoint,
    masks: Option<&Masks>,
    params: &FineTune,
    start: Option<f64>,
    setup: (&ThreadPool, Device, usize),
) -> Result<Tuned> {
    let (pool, device, evaluation_batch) = setup;
    let mut trainer =
        Trainer::new(network(pruned, device)?, options(params, context.seed())).map_err(torch_fault)?;
    if let Some(masks) = masks {
        trainer.set_masks(&as_tensors(masks, pruned)).map_err(torch_fault)?;
    }
    let augmenter = Augmenter::new(&data.policy, &data.contract)?;
    let schedule = Schedule::Cosine { lr: params.optimizer.lr(), min_lr: 0.0, warmup_steps: 0 };
    let images = data.train.len();
    // An incomplete last batch would weigh its images more, and one image has no batch statistics.
    let batch = (params.batch_size as usize).min(images);
    let steps = (images / batch) as u64;
    let total = steps * u64::from(params.epochs);
    let size = 3 * data.contract.size[0] * data.contract.size[1];
    let every: Vec<usize> = (0..data.validation.len()).collect();
    let mut input = vec![0.0; batch * size];
    let mut tuned = Tuned { checkpoint: pruned.clone(), epochs: Vec::new(), best: 0 };
    let mut best = start;
    let mut done = 0;
    for epoch in 1..=params.epochs {
        let order = permutation(images, context.seed(), u64::from(epoch));
        let mut loss = 0.0;
        for indices in order.chunks_exact(batch) {
            let seed = context.seed();
            pool.install(|| {
                augment_batch(&augmenter, &data.train, indices, seed, u64::from(epoch), &mut input)
            })?;
            let labels: Vec<i64> = indices.iter().map(|index| data.train.labels[*index]).collect();
            let setting = schedule.at(done, total);
            let step =
                trainer.step(Batch { images: &input, labels: &labels }, setting).map_err(torch_fault)?;
            loss += step.loss;
            done += 1;
            context.progress(
                done,
                total,
                "batches",
                format!("fine-tuning, epoch {epoch}/{}", params.epochs),
            )?;
        }
        let mut kept = pruned.clone();
        kept.tensors = trainer.tensors().map_err(torch_fault)?;
        if let Some(masks) = masks {
            // The trainer holds them at 0; this makes each +0 and so the file the same whatever the sign was.
            masks.apply(&mut kept);
        }
        let top1 = if every.is_empty() {
            None
        } else {
            let judge = network(&kept, device)?;
            let each = |_| context.check_cancelled();
            let sum =
                accuracy(&judge, &data.validation, &every, &data.contract, pool, evaluation_batch, each)?;
            Some(sum.top1())
        };
        let train_loss = loss / steps as f64;
        context.point("fine-tune.train.loss", u64::from(epoch), train_loss, None);
        if let Some(top1) = top1 {
            context.point("fine-tune.validation.top1", u64::from(epoch), top1, Some("%"));
        }
        tuned.epochs.push(Epoch { epoch, train_loss, validation_top1: top1 });
        // Without validation images nothing can be judged, and the last epoch is taken.
        if top1.is_none() || best.is_none() || top1 > best {
            (best, tuned.best) = (top1, epoch);
            tuned.checkpoint = kept;
        }
    }
    if let Some(masks) = masks {
        check_masks(masks, &tuned.checkpoint)?;
    }
    Ok(tuned)
}

fn options(params: &FineTune, seed: u64) -> Options {
    let rule = match params.optimizer {
        OptimizerParams::Sgd { momentum, weight_decay, .. } => {
            Rule::Sgd { momentum, nesterov: momentum > 0.0, weight_decay }
        }
        OptimizerParams::AdamW { weight_decay, .. } => {
            Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay }
        }
    };
    Options {
        rule,
        decay: Decay::Weights,
        precision: match params.precision {
            PrecisionParam::Fp32 => Precision::Fp32,
            PrecisionParam::Bf16 => Precision::Bf16,
        },
        channels_last: true,
        label_smoothing: params.label_smoothing,
        clip_norm: (params.clip_norm > 0.0).then_some(params.clip_norm),
        explosion_norm: 1e6,
        ema_decay: None,
        seed,
    }
}

/// Masks of 1 (kept) and 0, as the trainer takes them.
fn as_tensors(masks: &Masks, pruned: &Checkpoint) -> BTreeMap<String, Tensor> {
    let tensor = |(name, keep): (&String, &Vec<bool>)| {
        let shape = pruned.tensors.get(name)?.shape.clone();
        let data = keep.iter().map(|keep| f32::from(u8::from(*keep))).collect();
        Some((name.clone(), Tensor { shape, data }))
    };
    masks.keep.iter().filter_map(tensor).collect()
}

/// Makes sure that what was pruned is still pruned.
fn check_masks(masks: &Masks, checkpoint: &Checkpoint) -> Result<()> {
    for (name, keep) in &masks.keep {
        let values = checkpoint.tensors.get(name).map_or(&[] as &[f32], |tensor| &tensor.data);
        let back = values.iter().zip(keep).filter(|(value, keep)| !**keep && **value != 0.0).count();
        if back > 0 {
            return Err(StageFault::internal(format!(
                "fine-tuning brought {back} pruned weights of `{name}` back"
            )));
        }
    }
    Ok(())
}

/// A permutation of `0..count` that depends on nothing but (`seed`, `epoch`).
fn permutation(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    draw.set_stream(epoch);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let other = (u128::from(draw.next_u64()) * (last as u128 + 1)) >> 64;
        order.swap(last, other as usize);
    }
    order
}
