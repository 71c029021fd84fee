//! Taking channels out of tensors and layers, or setting them to zero.

use std::collections::BTreeSet;

use super::{ChannelPlan, PruneError, Side, check_checkpoint};
use crate::{Checkpoint, Op, Tensor};

/// Removed positions of one layer.
#[derive(Default, Clone)]
struct Removed {
    out: BTreeSet<usize>,
    r#in: BTreeSet<usize>,
}

fn removed_by_layer(checkpoint: &Checkpoint, plan: &ChannelPlan) -> Vec<Removed> {
    let mut layers = vec![Removed::default(); checkpoint.architecture.layers.len()];
    for group in &plan.groups {
        let slices = group.removed.iter().filter_map(|class| group.group.classes.get(*class)).flatten();
        for slice in slices {
            let Some(layer) = layers.get_mut(slice.layer) else { continue };
            match slice.side {
                Side::Out => layer.out.insert(slice.channel),
                Side::In => layer.r#in.insert(slice.channel),
            };
        }
    }
    layers
}

pub(super) fn remove(checkpoint: &Checkpoint, plan: &ChannelPlan) -> Result<Checkpoint, PruneError> {
    check_checkpoint(checkpoint)?;
    let mut pruned = checkpoint.clone();
    let removed = removed_by_layer(checkpoint, plan);
    for (layer, removed) in pruned.architecture.layers.iter_mut().zip(&removed) {
        if removed.out.is_empty() && removed.r#in.is_empty() {
            continue;
        }
        let name = |suffix: &str| format!("{}.{suffix}", layer.name);
        let groups = match layer.op {
            Op::Conv2d { groups, .. } => groups,
            _ => 1,
        };
        for suffix in ["weight", "bias", "running_mean", "running_var"] {
            let Some(tensor) = pruned.tensors.get_mut(&name(suffix)) else { continue };
            let columns = tensor.shape.get(1).copied();
            let rows = tensor.shape[0];
            let lost = match columns {
                Some(columns) => columns_of_groups(&removed.r#in, groups, columns),
                None => vec![BTreeSet::new()],
            };
            *tensor = cut(tensor, &removed.out, |row| &lost[row * lost.len() / rows]);
        }
        shrink(&mut layer.op, removed);
    }
    pruned.architecture.validate()?;
    pruned.check_tensors().map_err(PruneError::Tensors)?;
    Ok(pruned)
}

/// Columns that go, by group: positions over the whole input become positions within the group. A depthwise group has the one
/// column that goes together with its rows, so its rows lose none.
fn columns_of_groups(removed: &BTreeSet<usize>, groups: usize, columns: usize) -> Vec<BTreeSet<usize>> {
    if groups > 1 && columns == 1 {
        return vec![BTreeSet::new()];
    }
    let of_group = |group: usize| {
        removed
            .range(group * columns..(group + 1) * columns)
            .map(|channel| channel - group * columns)
            .collect()
    };
    (0..groups).map(of_group).collect()
}

/// A tensor without some rows, and of each row without some columns.
fn cut<'a>(
    tensor: &Tensor,
    rows: &BTreeSet<usize>,
    columns: impl Fn(usize) -> &'a BTreeSet<usize>,
) -> Tensor {
    let row_length = tensor.data.len() / tensor.shape[0];
    let column_count = tensor.shape.get(1).copied().unwrap_or(1);
    let cell = row_length / column_count;
    let mut data = Vec::with_capacity(tensor.data.len());
    let mut kept_columns = column_count;
    for (row, values) in tensor.data.chunks_exact(row_length).enumerate() {
        if rows.contains(&row) {
            continue;
        }
        let gone = columns(row);
        kept_columns = column_count - gone.len();
        for (column, cells) in values.chunks_exact(cell).enumerate() {
            if !gone.contains(&column) {
                data.extend_from_slice(cells);
            }
        }
    }
    let mut shape = tensor.shape.clone();
    shape[0] -= rows.len();
    if let Some(columns) = shape.get_mut(1) {
        *columns = kept_columns;
    }
    Tensor { shape, data }
}

fn shrink(op: &mut Op, removed: &Removed) {
    match op {
        Op::Conv2d { r#in, out, groups, .. } => {
            let depthwise = *groups > 1 && *groups == *r#in;
            *r#in -= removed.r#in.len();
            *out -= removed.out.len();
            if depthwise {
                *groups = *r#in;
            }
        }
        Op::Linear { r#in, out, .. } => {
            *r#in -= removed.r#in.len();
            *out -= removed.out.len();
        }
        Op::BatchNorm { features, .. } => *features -= removed.out.len(),
        _ => {}
    }
}

pub(super) fn zero(checkpoint: &Checkpoint, plan: &ChannelPlan) -> Checkpoint {
    let mut zeroed = checkpoint.clone();
    let removed = removed_by_layer(checkpoint, plan);
    for (layer, removed) in checkpoint.architecture.layers.iter().zip(&removed) {
        // A batch norm's statistics stay: with scale and shift 0 it gives 0 whatever they are.
        for suffix in ["weight", "bias"] {
            let Some(tensor) = zeroed.tensors.get_mut(&format!("{}.{suffix}", layer.name)) else { continue };
            let row = tensor.data.len() / tensor.shape[0].max(1);
            for channel in &removed.out {
                if let Some(values) = tensor.data.get_mut(channel * row..(channel + 1) * row) {
                    values.fill(0.0);
                }
            }
        }
    }
    zeroed
}
