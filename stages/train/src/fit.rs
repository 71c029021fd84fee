//! The training loop.

use std::{collections::BTreeMap, time::Instant};

use rayon::ThreadPool;
use stagewright_dataset::augment::Augmenter;
use stagewright_model::Tensor;
use stagewright_sdk::{Context, Result, StageFault};
use stagewright_torch::{Evaluation, Origin, Schedule, TorchError, Trainer, TrainerState};

use crate::{
    data::Data,
    feed::{self, Feed, Prepared},
    order,
    params::Params,
    record::{Epoch, GradientSample, Score, last_is_best, should_stop},
    state::{self, Progress, Running, Saved},
};

/// A training under way.
pub struct Fit<'a> {
    /// As the pipeline gave them.
    pub params: &'a Params,
    /// The images.
    pub data: &'a Data,
    /// Threads to prepare batches with.
    pub pool: &'a ThreadPool,
    /// The network, its optimizer, its averages.
    pub trainer: Trainer,
    /// Learning rate and momentum of each step.
    pub schedule: Schedule,
    /// How far it is.
    pub progress: Progress,
    /// Weights of the best epoch so far.
    pub best: BTreeMap<String, Tensor>,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
}

impl Fit<'_> {
    /// Goes on from a saved state.
    pub fn resume(&mut self, saved: Saved) -> Result<(), TorchError> {
        let mut tensors = saved.tensors;
        let best = tensors.split_off("best/");
        // What sorts behind `best/…` and is not it goes back.
        for (name, tensor) in best {
            match name.strip_prefix("best/") {
                Some(bare) => self.best.insert(bare.to_owned(), tensor),
                None => tensors.insert(name, tensor),
            };
        }
        self.trainer.restore(&TrainerState { tensors, steps: saved.progress.steps })?;
        self.progress = saved.progress;
        Ok(())
    }

    /// Trains to the last epoch or until it no longer helps.
    pub fn run(&mut self, context: &mut Context) -> Result<()> {
        for index in 0..self.progress.epochs.len() {
            self.report(context, index, None);
        }
        let augmenter = Augmenter::new(&self.data.policy, &self.data.contract)?;
        let images = &self.data.train;
        let (size, seed) = (self.data.contract.size, context.seed());
        let feed = Feed { augmenter: &augmenter, images, size, pool: self.pool, seed };
        while self.progress.epochs.len() < self.params.epochs as usize && !self.stopped() {
            self.epoch(context, &feed)?;
        }
        Ok(())
    }

    /// Did early stopping end it?
    pub fn stopped(&self) -> bool {
        self.params.early_stopping.is_some_and(|rule| should_stop(&self.progress.epochs, &rule))
    }

    fn epoch(&mut self, context: &mut Context, feed: &Feed<'_>) -> Result<()> {
        let epoch = self.progress.epochs.len() as u64;
        let batch = self.progress.batch_size as usize;
        let started = Instant::now();
        let (first, images_before) = (self.progress.position as usize, self.progress.running.images);
        let order = order::permutation(self.data.train.len(), context.seed(), epoch);
        let end = (self.steps_per_epoch as usize * batch).min(order.len());
        let rest = &order[(first * batch).min(end)..end];
        let ahead = self.params.prefetch as usize;
        feed.each(epoch, rest, batch, ahead, |prepared| self.step(context, prepared))?;
        let seconds = started.elapsed().as_secs_f64();
        let images = self.progress.running.images - images_before;

        let validation = self.validate(context)?;
        self.close_epoch(validation);
        if last_is_best(&self.progress.epochs, self.params.best_by) {
            self.best = self.trainer.tensors().map_err(crate::fault)?;
            self.progress.best = self.progress.epochs.last().map(|epoch| epoch.epoch);
        }
        self.save(context)?;
        let rate = (images > 0 && seconds > 0.0).then(|| images as f64 / seconds);
        self.report(context, epoch as usize, rate);
        Ok(())
    }

    fn step(&mut self, context: &mut Context, prepared: &Prepared) -> Result<()> {
        let total = self.steps_per_epoch * u64::from(self.params.epochs);
        let setting = self.schedule.at(self.progress.steps, total);
        let step = match self.trainer.step(prepared.batch(), setting) {
            Ok(step) => step,
            Err(TorchError::Diverged(divergence)) => return Err(self.diverged(&divergence, setting.lr)),
            Err(error) => return Err(crate::fault(error)),
        };
        let images = prepared.labels.len() as u64;
        let progress = &mut self.progress;
        progress.steps += 1;
        progress.position += 1;
        progress.running.loss += step.loss * images as f64;
        progress.running.correct += step.correct;
        progress.running.images += images;
        progress.running.gradient_norm += step.gradients.total;
        progress.running.steps += 1;
        let every = self.params.gradient_norms_every;
        if every > 0 && (progress.steps - 1).is_multiple_of(every) {
            let total = step.gradients.total;
            context.point("gradient.norm", progress.steps, total, None);
            progress.gradients.push(GradientSample {
                step: progress.steps,
                total,
                norms: step.gradients.each,
            });
        }
        let message = format!(
            "epoch {}/{} loss {:.3}",
            progress.epochs.len() + 1,
            self.params.epochs,
            progress.running.loss / progress.running.images as f64
        );
        if context.is_cancelled() {
            // Asked to stop: what was done since the last save is kept too.
            self.save(context)?;
            return context.check_cancelled();
        }
        let batch = u64::from(self.progress.batch_size);
        let (done, all) = (self.progress.steps * batch, total * batch);
        context.progress(done, all, "images", message)?;
        let every = self.params.checkpoint_every_steps;
        if every > 0
            && self.progress.steps.is_multiple_of(every)
            && self.progress.position < self.steps_per_epoch
        {
            self.save(context)?;
        }
        Ok(())
    }

    fn diverged(&self, divergence: &stagewright_torch::Divergence, lr: f64) -> StageFault {
        let (epoch, step) = (self.progress.epochs.len() + 1, self.progress.steps + 1);
        let message = format!(
            "training diverged in epoch {epoch}, step {step}, at learning rate {lr:.3e}: {divergence}"
        );
        let hint = match divergence.origin {
            Origin::Input => "look at the policy and at `mean` and `std` of the preprocessing contract",
            Origin::Explosion { .. } => {
                "lower `optimizer.lr`, set `clip-norm`, or raise `explosion-norm` if this is normal here"
            }
            _ => "lower `optimizer.lr`, set `clip-norm`, or try `precision: fp32`",
        };
        StageFault::user(message).hint(hint)
    }

    fn validate(&mut self, context: &mut Context) -> Result<Option<Evaluation>> {
        if self.data.validation.is_empty() {
            return Ok(None);
        }
        let (data, batch) = (self.data, self.progress.batch_size as usize);
        let precision = crate::precision(self.params);
        // A cancelled validation is simply made again.
        let each = |_| context.check_cancelled();
        feed::evaluate(&self.trainer, &data.validation, &data.contract, self.pool, batch, precision, each)
            .map(Some)
    }

    fn close_epoch(&mut self, validation: Option<Evaluation>) {
        let total = self.steps_per_epoch * u64::from(self.params.epochs);
        let progress = &mut self.progress;
        let running = std::mem::take(&mut progress.running);
        let last = self.schedule.at(progress.steps.saturating_sub(1), total);
        let Running { loss, correct, images, gradient_norm, steps } = running;
        progress.position = 0;
        progress.epochs.push(Epoch {
            epoch: progress.epochs.len() as u32 + 1,
            step: progress.steps,
            lr: last.lr,
            momentum: last.momentum,
            gradient_norm: gradient_norm / steps as f64,
            train: Score { loss: loss / images as f64, top1: 100.0 * correct as f64 / images as f64 },
            validation: validation.map(|sum| Score { loss: sum.loss(), top1: sum.top1() }),
        });
    }

    fn report(&self, context: &mut Context, index: usize, images_per_second: Option<f64>) {
        let epoch = &self.progress.epochs[index];
        let step = u64::from(epoch.epoch);
        context.point("lr", step, epoch.lr, None);
        context.point("train.loss", step, epoch.train.loss, None);
        context.point("train.top1", step, epoch.train.top1, Some("%"));
        if let Some(validation) = epoch.validation {
            context.point("validation.loss", step, validation.loss, None);
            context.point("validation.top1", step, validation.top1, Some("%"));
        }
        if let Some(rate) = images_per_second {
            context.point("images-per-second", step, rate, Some("images/s"));
        }
    }

    fn save(&self, context: &Context) -> Result<()> {
        let mut tensors = self.trainer.state().map_err(crate::fault)?.tensors;
        tensors.extend(self.best.iter().map(|(name, tensor)| (format!("best/{name}"), tensor.clone())));
        state::save(context.checkpoint_dir(), &self.progress, &tensors)
    }
}
