//! Batches on their way to libtorch.

use std::{sync::mpsc, thread};

use rayon::ThreadPool;
use stagewright_dataset::{
    Decoded, Preprocess, TrainingImages,
    augment::{Augmenter, augment_batch},
};
use stagewright_sdk::Result;
use stagewright_torch::{Batch, Evaluation, Precision, Trainer};

/// Images of one step, augmented and normalized.
#[derive(Debug, Default)]
pub struct Prepared {
    /// `[n, 3, height, width]`.
    pub images: Vec<f32>,
    /// `n` class indices.
    pub labels: Vec<i64>,
}

impl Prepared {
    /// As libtorch's side takes it.
    pub fn batch(&self) -> Batch<'_> {
        Batch { images: &self.images, labels: &self.labels }
    }
}

/// Makes the training batches of an epoch.
pub struct Feed<'a> {
    /// Draws and applies the policy.
    pub augmenter: &'a Augmenter<'a>,
    /// The training images.
    pub images: &'a TrainingImages,
    /// The contract's height and width.
    pub size: [usize; 2],
    /// Threads to prepare with.
    pub pool: &'a ThreadPool,
    /// Seed of the draws.
    pub seed: u64,
}

impl Feed<'_> {
    fn prepare(&self, indices: &[usize], epoch: u64, prepared: &mut Prepared) -> Result<()> {
        let [height, width] = self.size;
        prepared.images.resize(indices.len() * 3 * height * width, 0.0);
        prepared.labels.clear();
        prepared.labels.extend(indices.iter().map(|&index| self.images.labels[index]));
        self.pool.install(|| {
            augment_batch(self.augmenter, self.images, indices, self.seed, epoch, &mut prepared.images)
        })?;
        Ok(())
    }

    /// Hands the batches of `order` to `take`, one after the other, until it fails. With `ahead` > 0 so many are prepared in
    /// advance on other threads; what is in a batch does not depend on it.
    pub fn each(
        &self,
        epoch: u64,
        order: &[usize],
        batch: usize,
        ahead: usize,
        mut take: impl FnMut(&Prepared) -> Result<()>,
    ) -> Result<()> {
        if ahead == 0 {
            let mut prepared = Prepared::default();
            for indices in order.chunks(batch) {
                self.prepare(indices, epoch, &mut prepared)?;
                take(&prepared)?;
            }
            return Ok(());
        }
        thread::scope(|scope| {
            let (full, fulls) = mpsc::sync_channel::<Result<Prepared>>(ahead);
            let (empty, empties) = mpsc::channel::<Prepared>();
            scope.spawn(move || {
                for indices in order.chunks(batch) {
                    let mut prepared = empties.try_recv().unwrap_or_default();
                    let made = self.prepare(indices, epoch, &mut prepared).map(|()| prepared);
                    let failed = made.is_err();
                    if full.send(made).is_err() || failed {
                        // The taker failed and has gone, or will.
                        return;
                    }
                }
            });
            for prepared in fulls {
                let prepared = prepared?;
                take(&prepared)?;
                // The producer may have finished; then the buffer is simply freed.
                let _ = empty.send(prepared);
            }
            Ok(())
        })
    }
}

/// Evaluates images in batches. `each` is told how many are done.
pub fn evaluate(
    trainer: &Trainer,
    images: &Decoded,
    contract: &Preprocess,
    pool: &ThreadPool,
    batch: usize,
    precision: Precision,
    mut each: impl FnMut(u64) -> Result<()>,
) -> Result<Evaluation> {
    let mut sum = Evaluation::default();
    let [height, width] = images.size;
    let mut prepared = Prepared::default();
    let indices: Vec<usize> = (0..images.len()).collect();
    for indices in indices.chunks(batch) {
        prepared.images.resize(indices.len() * 3 * height * width, 0.0);
        prepared.labels.clear();
        prepared.labels.extend(indices.iter().map(|&index| images.labels[index]));
        pool.install(|| images.normalized_batch(indices, contract, &mut prepared.images));
        sum.add(trainer.evaluate(prepared.batch(), precision).map_err(crate::fault)?);
        each(sum.images)?;
    }
    Ok(sum)
}
