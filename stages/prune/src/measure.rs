//! What a network is worth: accuracy, latency, size.

use std::time::Instant;

use rayon::ThreadPool;
use stagewright_dataset::{Decoded, Preprocess};
use stagewright_model::{Checkpoint, encode};
use stagewright_sdk::{Result, StageFault};
use stagewright_torch::{Batch, Device, Evaluation, Network, TorchError};

use crate::params::Latency;

/// Whose fault an error of libtorch is, and what to do.
pub fn torch_fault(error: TorchError) -> StageFault {
    match &error {
        TorchError::OutOfMemory { .. } => StageFault::environment(error.to_string())
            .hint("lower `fine-tune.batch-size`, `evaluation-batch` or `latency.batch`"),
        TorchError::Diverged(_) => StageFault::user(error.to_string())
            .hint("lower `fine-tune.optimizer.lr`, prune less, or set `fine-tune.clip-norm`"),
        _ => StageFault::internal(error.to_string()),
    }
}

/// A checkpoint's network on a device.
pub fn network(checkpoint: &Checkpoint, device: Device) -> Result<Network> {
    Network::new(&checkpoint.architecture, &checkpoint.tensors, device).map_err(torch_fault)
}

/// Evaluates a network on some of the images. `progress` is told how many are done.
pub fn accuracy(
    network: &Network,
    images: &Decoded,
    which: &[usize],
    contract: &Preprocess,
    pool: &ThreadPool,
    batch: usize,
    mut progress: impl FnMut(u64) -> Result<()>,
) -> Result<Evaluation> {
    let mut sum = Evaluation::default();
    let size = 3 * contract.size[0] * contract.size[1];
    let mut input = Vec::new();
    for indices in which.chunks(batch.max(1)) {
        input.resize(indices.len() * size, 0.0);
        pool.install(|| images.normalized_batch(indices, contract, &mut input));
        let labels: Vec<i64> = indices.iter().map(|index| images.labels[*index]).collect();
        sum.add(network.evaluate(Batch { images: &input, labels: &labels }).map_err(torch_fault)?);
        progress(sum.images)?;
    }
    Ok(sum)
}

/// Median times of a forward pass of two networks, in milliseconds, input copied in and logits out. The networks take turns,
/// so that whatever slows the machine down slows both.
pub fn latencies(
    networks: [&Network; 2],
    latency: &Latency,
    mut progress: impl FnMut(u64, u64) -> Result<()>,
) -> Result<[f64; 2]> {
    let shape = networks[0].architecture().input;
    let batch = latency.batch as usize;
    let values = batch * shape.channels * shape.height * shape.width;
    // Values of the size a normalized image has; which ones they are does not matter to the time.
    let images: Vec<f32> = (0..values).map(|index| ((index * 7919) % 1000) as f32 / 250.0 - 2.0).collect();
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let total = u64::from(latency.warm_up) + u64::from(latency.repetitions);
    for round in 0..total {
        for (network, times) in networks.iter().zip(&mut times) {
            let start = Instant::now();
            let logits = network.logits(&images, batch).map_err(torch_fault)?;
            let elapsed = start.elapsed().as_secs_f64() * 1e3;
            if logits.is_empty() {
                return Err(StageFault::internal("a forward pass gave no logits"));
            }
            if round >= u64::from(latency.warm_up) {
                times.push(elapsed);
            }
        }
        progress(round + 1, total)?;
    }
    Ok(times.map(median))
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Bytes of the file of weights.
pub fn file_size(checkpoint: &Checkpoint) -> u64 {
    encode(&checkpoint.tensors).len() as u64
}
