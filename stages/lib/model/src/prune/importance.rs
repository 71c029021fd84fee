//! How much a class of channels matters: the magnitude of the weights that would go with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChannelGroup, Side, Slice};
use crate::{Architecture, Checkpoint, Op};

/// Norm over all weights that a class of channels would take along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// Sum of magnitudes.
    L1,
    /// Root of the sum of squares.
    #[default]
    L2,
}

/// Importance of each class of a group: the norm over filters and rows that write the channels, the slices of filters and
/// rows that read them, and the scales of their batch norms. Biases, shifts and running statistics do not count.
pub(super) fn scores(checkpoint: &Checkpoint, group: &ChannelGroup, importance: Importance) -> Vec<f64> {
    let mut scores = Vec::with_capacity(group.classes.len());
    for class in &group.classes {
        let mut sum = 0.0;
        for slice in class {
            for_each_weight(checkpoint, slice, |value| {
                let value = f64::from(value);
                sum += match importance {
                    Importance::L1 => value.abs(),
                    Importance::L2 => value * value,
                };
            });
        }
        scores.push(match importance {
            Importance::L1 => sum,
            Importance::L2 => sum.sqrt(),
        });
    }
    scores
}

fn for_each_weight(checkpoint: &Checkpoint, slice: &Slice, mut visit: impl FnMut(f32)) {
    let layer = &checkpoint.architecture.layers[slice.layer];
    let Some(weight) = checkpoint.tensors.get(&format!("{}.weight", layer.name)) else { return };
    let rows = weight.shape[0];
    let row = weight.data.len() / rows;
    match slice.side {
        // The one column of a depthwise filter is the filter itself, which counts as written.
        Side::In if matches!(layer.op, Op::Conv2d { groups, .. } if groups > 1) && weight.shape[1] == 1 => {}
        Side::Out => {
            weight.data[slice.channel * row..(slice.channel + 1) * row].iter().for_each(|v| visit(*v))
        }
        Side::In => {
            let columns = weight.shape.get(1).copied().unwrap_or(1);
            let cell = row / columns;
            let (rows, column) = reading_rows(&checkpoint.architecture, slice, rows, columns);
            for index in rows {
                let start = index * row + column * cell;
                weight.data[start..start + cell].iter().for_each(|v| visit(*v));
            }
        }
    }
}

/// The rows that read an input channel, and its column in them: all rows, or those of the channel's own group.
fn reading_rows(
    architecture: &Architecture,
    slice: &Slice,
    rows: usize,
    columns: usize,
) -> (std::ops::Range<usize>, usize) {
    match architecture.layers[slice.layer].op {
        Op::Conv2d { groups, .. } if groups > 1 => {
            let (group, column) = (slice.channel / columns, slice.channel % columns);
            let size = rows / groups;
            (group * size..(group + 1) * size, column)
        }
        _ => (0..rows, slice.channel),
    }
}
