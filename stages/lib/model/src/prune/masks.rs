//! Global unstructured pruning: the smallest weights of all layers together become zero.

use std::collections::{BTreeMap, BTreeSet};

use super::{PruneError, check_checkpoint, check_names, weighted};
use crate::Checkpoint;

/// Which weights stay, by full tensor name; `true` keeps a weight. Row-major like the tensor itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Masks {
    /// One mask a pruned tensor.
    pub keep: BTreeMap<String, Vec<bool>>,
    /// Weights that are zeroed, over all masks.
    pub pruned: usize,
    /// Weights that were ranked, over all masks.
    pub ranked: usize,
}

impl Masks {
    /// Zeroes what the masks do not keep. A tensor that the checkpoint lacks is left out.
    pub fn apply(&self, checkpoint: &mut Checkpoint) {
        for (name, keep) in &self.keep {
            let Some(tensor) = checkpoint.tensors.get_mut(name) else { continue };
            for (value, keep) in tensor.data.iter_mut().zip(keep) {
                if !keep {
                    *value = 0.0;
                }
            }
        }
    }
}

/// Ranks the weights of all convolutions and linear layers together by magnitude and drops the smallest.
///
/// `amount` is a fraction, at least 0 and at most 1: of N weights exactly `round(amount · N)` go, rounded half to even.
/// This is `torch.nn.utils.prune.global_unstructured` with `L1Unstructured`. Where several weights tie at the border,
/// PyTorch leaves open which of them go; here the one that comes first goes first (layers in order of the architecture, then
/// row-major), so that the result is one. Biases and batch norms are never touched, nor are layers named in `ignored`.
///
/// # Errors
/// A bad amount, an unknown layer, a checkpoint that is not whole, a weight that is not finite.
pub fn unstructured(
    checkpoint: &Checkpoint,
    amount: f64,
    ignored: &BTreeSet<String>,
) -> Result<Masks, PruneError> {
    if !(0.0..=1.0).contains(&amount) {
        return Err(PruneError::Share { name: "amount", value: amount, range: "0 to 1" });
    }
    check_checkpoint(checkpoint)?;
    check_names(&checkpoint.architecture, ignored)?;
    let names: Vec<String> = weighted(&checkpoint.architecture)
        .filter(|layer| !ignored.contains(&layer.name))
        .map(|layer| format!("{}.weight", layer.name))
        .collect();
    if names.is_empty() {
        return Err(PruneError::NothingToPrune);
    }
    let magnitudes: Vec<f32> =
        names.iter().flat_map(|name| checkpoint.tensors[name].data.iter().map(|value| value.abs())).collect();
    let count = (amount * magnitudes.len() as f64).round_ties_even() as usize;

    let mut order: Vec<usize> = (0..magnitudes.len()).collect();
    if count < order.len() {
        let smaller = |a: &usize, b: &usize| magnitudes[*a].total_cmp(&magnitudes[*b]).then(a.cmp(b));
        order.select_nth_unstable_by(count, smaller);
    }
    let mut keep = vec![true; magnitudes.len()];
    for &index in &order[..count] {
        keep[index] = false;
    }

    let mut masks = Masks { keep: BTreeMap::new(), pruned: count, ranked: magnitudes.len() };
    let mut rest = keep.as_slice();
    for name in names {
        let (mask, after) = rest.split_at(checkpoint.tensors[&name].data.len());
        masks.keep.insert(name, mask.to_vec());
        rest = after;
    }
    Ok(masks)
}
