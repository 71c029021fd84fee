//! Making networks smaller: which weights to zero ([`unstructured`]) and which channels to take out ([`structured`]).
//!
//! Everything here is arithmetic on a [`crate::Checkpoint`]: the same input gives the same bytes, whatever the machine.

mod groups;
mod importance;
mod masks;
mod rank;
mod surgery;

pub use groups::{ChannelGroup, Side, Slice, channel_groups};
pub use importance::Importance;
pub use masks::{Masks, unstructured};
pub use rank::{ChannelPlan, GroupPlan, Ranking, StructuredOptions, structured};

use crate::ArchitectureError;

/// Why a network can't be pruned as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The architecture is not a network.
    #[error("the architecture is not valid: {0}")]
    Architecture(#[from] ArchitectureError),
    /// Architecture and tensors do not fit each other.
    #[error("the checkpoint is not whole: {0}")]
    Tensors(String),
    /// A share is out of range.
    #[error("`{name}` is {value}, it must be {range}")]
    Share {
        /// Which param.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// A layer that is to be left alone, or to have a ratio of its own, is not there.
    #[error("there is no convolution or linear layer `{name}`; there are: {known}")]
    UnknownLayer {
        /// The name as given.
        name: String,
        /// Names that would do.
        known: String,
    },
    /// A weight is NaN or infinite, so magnitudes have no order.
    #[error("`{tensor}` holds {value} at position {index}: weights must be finite to be ranked")]
    NotFinite {
        /// Full name of the tensor.
        tensor: String,
        /// Position in row-major order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// Every weight is to be left alone.
    #[error("nothing is left to prune: all layers are ignored")]
    NothingToPrune,
}

/// Checks a share (a fraction) against 0 up to but not including 1.
fn check_share(name: &'static str, value: f64) -> Result<(), PruneError> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => Err(PruneError::Share { name, value, range: "at least 0 and below 1" }),
    }
}

/// Architecture valid, tensors whole and every value finite.
fn check_checkpoint(checkpoint: &crate::Checkpoint) -> Result<(), PruneError> {
    checkpoint.architecture.validate()?;
    checkpoint.check_tensors().map_err(PruneError::Tensors)?;
    for (name, tensor) in &checkpoint.tensors {
        let count: usize = tensor.shape.iter().product();
        if count != tensor.data.len() {
            let found = tensor.data.len();
            return Err(PruneError::Tensors(format!(
                "`{name}` holds {found} values, its shape wants {count}"
            )));
        }
        if let Some(index) = tensor.data.iter().position(|value| !value.is_finite()) {
            return Err(PruneError::NotFinite { tensor: name.clone(), index, value: tensor.data[index] });
        }
    }
    Ok(())
}

/// Checks that each name is a layer with weights.
fn check_names<'a>(
    architecture: &crate::Architecture,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<(), PruneError> {
    let known: Vec<&str> = weighted(architecture).map(|layer| layer.name.as_str()).collect();
    match names.into_iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(PruneError::UnknownLayer { name: name.clone(), known: known.join(", ") }),
    }
}

/// Layers that have a weight matrix: convolutions and linear layers.
fn weighted(architecture: &crate::Architecture) -> impl Iterator<Item = &crate::Layer> {
    let weighted = |op: &crate::Op| matches!(op, crate::Op::Conv2d { .. } | crate::Op::Linear { .. });
    architecture.layers.iter().filter(move |layer| weighted(&layer.op))
}
