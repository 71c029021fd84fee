//! One step of training and one batch of evaluation, over plain slices.

use std::collections::BTreeMap;

use stagewright_model::Op;
use tch::{Kind, Reduction, Tensor};

use crate::{
    Activations, Decay, Mode, Network, Optimizer, Rule, Setting, TorchError, divergence, network,
    shim::{self, Autocast, GradientNorms},
    weights,
};

/// Number type of the expensive operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats throughout.
    Fp32,
    /// Convolutions and matrix products in bfloat16 with 32-bit weights, sums and losses (autocast).
    Bf16,
}

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Update rule.
    pub rule: Rule,
    /// Which tensors decay.
    pub decay: Decay,
    /// Number type.
    pub precision: Precision,
    /// Channels innermost in memory.
    pub channels_last: bool,
    /// Share of the target given to all classes alike, 0 to 1.
    pub label_smoothing: f64,
    /// Scales gradients down to this norm.
    pub clip_norm: Option<f64>,
    /// A gradient norm (before clipping) above it stops the training.
    pub explosion_norm: f64,
    /// Decay of an exponential moving average of the weights and of batch norm's statistics, used instead of them in evaluation
    /// and in the result.
    pub ema_decay: Option<f64>,
    /// Seed of what a forward pass draws (dropout).
    pub seed: u64,
}

/// Images with their labels.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// `[n, channels, height, width]`, row-major, normalized.
    pub images: &'a [f32],
    /// `n` class indices.
    pub labels: &'a [i64],
}

/// What a step saw, before it changed the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Mean loss of the batch, label smoothing included.
    pub loss: f64,
    /// Images whose largest logit is the label's.
    pub correct: u64,
    /// Norms of the gradients before clipping, in the order of [`Network::parameters`].
    pub gradients: GradientNorms,
}

/// Sums over evaluated images.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evaluation {
    /// Sum of cross-entropies (without label smoothing).
    pub loss_sum: f64,
    /// Images whose largest logit is the label's.
    pub correct: u64,
    /// Images seen.
    pub images: u64,
}

impl Evaluation {
    /// Adds another batch.
    pub fn add(&mut self, other: Self) {
        self.loss_sum += other.loss_sum;
        self.correct += other.correct;
        self.images += other.images;
    }

    /// Mean cross-entropy.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.images as f64
    }

    /// Percentage of images classified right.
    pub fn top1(&self) -> f64 {
        100.0 * self.correct as f64 / self.images as f64
    }
}

/// A network in training.
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    optimizer: Optimizer,
    options: Options,
    /// Handles to the network's parameters, as the shim wants them.
    handles: Vec<Tensor>,
    average: Option<Network>,
    masks: Vec<(usize, Tensor)>,
    draws: bool,
}

/// Everything a trainer needs to go on where it was: tensors by name, and the steps taken.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerState {
    /// `model/…`, `average/…`, `first/…`, `second/…`, `velocity/…`.
    pub tensors: BTreeMap<String, stagewright_model::Tensor>,
    /// Steps taken.
    pub steps: u64,
}

impl Trainer {
    /// Takes a network into training.
    pub fn new(mut network: Network, options: Options) -> Result<Self, TorchError> {
        if options.channels_last {
            network.to_channels_last()?;
        }
        let mut average = options
            .ema_decay
            .map(|_| Network::new(network.architecture(), &network.tensors()?, network.device()))
            .transpose()?;
        if let Some(average) = average.as_mut().filter(|_| options.channels_last) {
            average.to_channels_last()?;
        }
        let optimizer = Optimizer::new(&network, options.rule, options.decay);
        let handles = network.parameters().iter().map(|named| named.tensor.shallow_clone()).collect();
        let draws = network.architecture().layers.iter().any(|layer| matches!(layer.op, Op::Dropout { .. }));
        Ok(Self { network, optimizer, options, handles, average, masks: Vec::new(), draws })
    }

    /// The network with its present weights (not the average).
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Multiplies parameters with masks of 0 and 1 now and after every step, so that pruned weights stay 0.
    pub fn set_masks(
        &mut self,
        masks: &BTreeMap<String, stagewright_model::Tensor>,
    ) -> Result<(), TorchError> {
        self.masks.clear();
        for (name, mask) in masks {
            let unknown = || TorchError::Weights {
                reason: format!("no parameter is named `{name}`, which a mask is for"),
            };
            let parameters = self.network.parameters();
            let index = parameters.iter().position(|named| named.name == *name).ok_or_else(unknown)?;
            let mut tensor = tch::no_grad(|| parameters[index].tensor.f_zeros_like())
                .map_err(TorchError::while_doing(format!("masking `{name}`")))?;
            weights::copy_into(&mut tensor, masks, name)?;
            debug_assert_eq!(mask.shape.len(), tensor.dim());
            self.masks.push((index, tensor));
        }
        self.apply_masks()
    }

    fn apply_masks(&mut self) -> Result<(), TorchError> {
        tch::no_grad(|| {
            for (index, mask) in &self.masks {
                let named = &mut self.network.parameters_mut()[*index];
                let doing = TorchError::while_doing(format!("masking `{}`", named.name));
                let _ = named.tensor.f_mul_(mask).map_err(doing)?;
            }
            Ok(())
        })
    }

    /// Computes loss and gradients of a batch and moves the weights. A batch whose numbers are not finite, or whose
    /// gradients exploded, is [`TorchError::Diverged`] and leaves the weights as they are.
    pub fn step(&mut self, batch: Batch<'_>, setting: Setting) -> Result<Step, TorchError> {
        let (images, labels) = self.upload(batch)?;
        if self.draws {
            // A function of the step alone, so that a resumed training draws what it would have drawn.
            tch::manual_seed(mix(self.options.seed, self.steps()) as i64);
        }
        self.handles.iter_mut().for_each(Tensor::zero_grad);
        let logits = {
            let _autocast = self.autocast(self.options.precision);
            self.network.forward(&images, Mode::Train)?
        };
        let doing = || TorchError::while_doing("computing loss and gradients");
        let loss = cross_entropy(&logits, &labels, self.options.label_smoothing).map_err(doing())?;
        let loss_value = loss.f_double_value(&[]).map_err(doing())?;
        if !loss_value.is_finite() {
            let _autocast = self.autocast(self.options.precision);
            return Err(TorchError::Diverged(divergence::of_loss(&self.network, &images, loss_value)));
        }
        let correct = correct(&logits, &labels).map_err(doing())?;
        loss.f_backward().map_err(doing())?;
        let gradients = shim::clip_gradients(&self.handles, self.options.clip_norm).map_err(doing())?;
        let limit = self.options.explosion_norm;
        if let Some(found) = divergence::of_gradients(&self.network, loss_value, &gradients, limit) {
            return Err(TorchError::Diverged(found));
        }
        self.optimizer.step(setting)?;
        self.apply_masks()?;
        self.average()?;
        Ok(Step { loss: loss_value, correct, gradients })
    }

    /// Evaluates a batch with the averaged weights if there are any, else the present ones. No weight changes.
    pub fn evaluate(&self, batch: Batch<'_>, precision: Precision) -> Result<Evaluation, TorchError> {
        let (images, labels) = self.upload(batch)?;
        let network = self.average.as_ref().unwrap_or(&self.network);
        tch::no_grad(|| {
            let _autocast = self.autocast(precision);
            let logits = network.forward(&images, Mode::Evaluate)?;
            evaluation(&logits, &labels).map_err(TorchError::while_doing("evaluating a batch"))
        })
    }

    /// Measures the memory of activations on a batch, in the precision of the training. Moves the running statistics of
    /// batch norm, so measure on a trainer that is not used for anything else.
    pub fn activations(&self, batch: Batch<'_>) -> Result<Activations, TorchError> {
        let (images, _) = self.upload(batch)?;
        let _autocast = self.autocast(self.options.precision);
        self.network.activation_bytes(&images)
    }

    /// Result of the training: the averaged weights if there are any, else the present ones.
    pub fn tensors(&self) -> Result<BTreeMap<String, stagewright_model::Tensor>, TorchError> {
        self.average.as_ref().unwrap_or(&self.network).tensors()
    }

    /// Everything needed to go on later.
    pub fn state(&self) -> Result<TrainerState, TorchError> {
        let mut tensors = self.optimizer.state()?;
        let mut add = |prefix: &str, network: &Network| -> Result<(), TorchError> {
            tensors.extend(
                network.tensors()?.into_iter().map(|(name, tensor)| (format!("{prefix}/{name}"), tensor)),
            );
            Ok(())
        };
        add("model", &self.network)?;
        if let Some(average) = &self.average {
            add("average", average)?;
        }
        Ok(TrainerState { tensors, steps: self.steps() })
    }

    /// Takes up what [`Trainer::state`] gave for the same network and options.
    pub fn restore(&mut self, state: &TrainerState) -> Result<(), TorchError> {
        let fill = |prefix: &str, network: &mut Network| -> Result<(), TorchError> {
            let each = |named: &mut network::Named| {
                weights::copy_into(&mut named.tensor, &state.tensors, &format!("{prefix}/{}", named.name))
            };
            network.parameters_mut().iter_mut().try_for_each(each)?;
            network.buffers_mut().iter_mut().try_for_each(each)
        };
        fill("model", &mut self.network)?;
        if let Some(average) = &mut self.average {
            fill("average", average)?;
        }
        self.optimizer.restore(&state.tensors, state.steps)
    }

    fn autocast(&self, precision: Precision) -> Option<Autocast> {
        (precision == Precision::Bf16).then(|| Autocast::bf16_on(self.network.device()))
    }

    fn upload(&self, batch: Batch<'_>) -> Result<(Tensor, Tensor), TorchError> {
        let classes = self.network.architecture().classes as i64;
        if let Some(label) = batch.labels.iter().find(|label| !(0..classes).contains(*label)) {
            return Err(TorchError::Label { label: *label, classes });
        }
        let mut images = network::images(batch.images, batch.labels.len(), &self.network)?;
        if self.options.channels_last {
            images = shim::channels_last(&images);
        }
        let labels = Tensor::f_from_slice(batch.labels)
            .and_then(|labels| labels.f_to_device(self.network.device()))
            .map_err(TorchError::while_doing("making a batch's labels"))?;
        Ok((images, labels))
    }

    fn average(&mut self) -> Result<(), TorchError> {
        let (Some(average), Some(decay)) = (&mut self.average, self.options.ema_decay) else { return Ok(()) };
        // Early on, a short memory: else the average would be mostly the random weights of the start.
        let steps = self.optimizer.steps() as f64;
        let decay = decay.min((1.0 + steps) / (10.0 + steps));
        tch::no_grad(|| {
            for (mean, now) in average.parameters_mut().iter_mut().zip(self.network.parameters()) {
                let doing = TorchError::while_doing(format!("averaging `{}`", now.name));
                let _ = mean.tensor.f_lerp_(&now.tensor, 1.0 - decay).map_err(doing)?;
            }
            // The statistics of batch norm as well, as `AveragedModel(use_buffers=True)` of PyTorch has it: those of the present
            // weights do not fit averaged ones, which costs points of accuracy.
            for (mean, now) in average.buffers_mut().iter_mut().zip(self.network.buffers()) {
                let doing = TorchError::while_doing(format!("averaging `{}`", now.name));
                let _ = mean.tensor.f_lerp_(&now.tensor, 1.0 - decay).map_err(doing)?;
            }
            Ok(())
        })
    }
}

impl Network {
    /// Evaluates a batch without training: cross-entropy and hits.
    pub fn evaluate(&self, batch: Batch<'_>) -> Result<Evaluation, TorchError> {
        let images = network::images(batch.images, batch.labels.len(), self)?;
        tch::no_grad(|| {
            let logits = self.forward(&images, Mode::Evaluate)?;
            Tensor::f_from_slice(batch.labels)
                .and_then(|labels| evaluation(&logits, &labels.f_to_device(self.device())?))
                .map_err(TorchError::while_doing("evaluating a batch"))
        })
    }

    /// Logits `[count, classes]`, row-major, of `count` images `[count, channels, height, width]` in evaluation mode.
    pub fn logits(&self, images: &[f32], count: usize) -> Result<Vec<f32>, TorchError> {
        let images = network::images(images, count, self)?;
        let logits = tch::no_grad(|| self.forward(&images, Mode::Evaluate))?;
        network::values(&logits).map_err(TorchError::while_doing("reading logits"))
    }
}

fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor, tch::TchError> {
    logits.f_to_kind(Kind::Float)?.f_cross_entropy_loss::<Tensor>(
        labels,
        None,
        Reduction::Mean,
        -100,
        smoothing,
    )
}

fn evaluation(logits: &Tensor, labels: &Tensor) -> Result<Evaluation, tch::TchError> {
    let images = labels.numel() as u64;
    let loss_sum = cross_entropy(logits, labels, 0.0)?.f_double_value(&[])? * images as f64;
    Ok(Evaluation { loss_sum, correct: correct(logits, labels)?, images })
}

fn correct(logits: &Tensor, labels: &Tensor) -> Result<u64, tch::TchError> {
    let hits = tch::no_grad(|| logits.f_argmax(-1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Int64))?;
    Ok(hits.f_int64_value(&[])? as u64)
}

/// A well-spread function of two numbers (the finalizer of SplitMix64).
fn mix(seed: u64, step: u64) -> u64 {
    let mut x = seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
