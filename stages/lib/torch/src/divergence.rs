//! Why a training can't go on, by name of the layer where it began.

use std::fmt;

use tch::Tensor;

use crate::{Mode, Network, shim::GradientNorms};

/// A step whose numbers are no longer usable. The weights were not changed by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// Loss of the batch.
    pub loss: f64,
    /// Norm of all gradients, as far as it is known.
    pub gradient_norm: Option<f64>,
    /// Where it began.
    pub origin: Origin,
}

/// Where numbers first went wrong.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// The images hold NaN or infinity.
    Input,
    /// A weight holds NaN or infinity (`<layer>.<tensor>`).
    Weight(String),
    /// A layer's output does, though what it reads is finite.
    Output(String),
    /// The logits are finite, their loss is not.
    Loss,
    /// A gradient does (`<layer>.<tensor>`), the one nearest to the network's output.
    Gradient(String),
    /// All is finite, but the gradients together are above the limit.
    Explosion {
        /// Parameter (`<layer>.<tensor>`) with the largest gradient.
        largest: String,
        /// Norm of that gradient.
        norm: f64,
        /// The limit.
        limit: f64,
    },
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loss = self.loss;
        match &self.origin {
            Origin::Input => write!(f, "the loss is {loss}: the images themselves hold NaN or infinity"),
            Origin::Weight(name) => {
                write!(f, "the loss is {loss}: the weight `{name}` holds NaN or infinity")
            }
            Origin::Output(layer) => {
                write!(f, "the loss is {loss}: layer `{layer}` is the first to give NaN or infinity")
            }
            Origin::Loss => write!(f, "the loss is {loss} although all layers give finite values"),
            Origin::Gradient(name) => {
                write!(f, "the loss is {loss}, but the gradient of `{name}` is NaN or infinite")
            }
            Origin::Explosion { largest, norm, limit } => {
                let total = self.gradient_norm.unwrap_or(f64::NAN);
                write!(
                    f,
                    "the gradients exploded: their norm is {total:.3e}, above the limit {limit:.3e}; \
                     the largest is that of `{largest}` with {norm:.3e}"
                )
            }
        }
    }
}

fn finite(tensor: &Tensor) -> bool {
    // The sum of a finite tensor may overflow, so each value is asked.
    tensor
        .f_isfinite()
        .and_then(|each| each.f_all())
        .and_then(|all| all.f_int64_value(&[]))
        .is_ok_and(|all| all != 0)
}

/// Finds where a loss that is not finite comes from, by running the batch again and looking at every layer.
pub(crate) fn of_loss(network: &Network, images: &Tensor, loss: f64) -> Divergence {
    let found = |origin| Divergence { loss, gradient_norm: None, origin };
    tch::no_grad(|| {
        if !finite(images) {
            return found(Origin::Input);
        }
        if let Some(named) = network.parameters().iter().find(|named| !finite(&named.tensor)) {
            return found(Origin::Weight(named.name.clone()));
        }
        let mut first = None;
        let answer = network.forward_observed(images, Mode::Train, |name, value| {
            if first.is_none() && !finite(value) {
                first = Some(name.to_owned());
            }
        });
        match (first, answer) {
            (Some(layer), _) => found(Origin::Output(layer)),
            (None, _) => found(Origin::Loss),
        }
    })
}

/// Judges gradients: not finite, or above `limit` together.
pub(crate) fn of_gradients(
    network: &Network,
    loss: f64,
    norms: &GradientNorms,
    limit: f64,
) -> Option<Divergence> {
    let named = || network.parameters().iter().zip(&norms.each);
    let found = |origin| Some(Divergence { loss, gradient_norm: Some(norms.total), origin });
    // The backward pass runs from the output to the input, so the last one in the order of layers was the first.
    if let Some((parameter, _)) = named().rev().find(|(_, norm)| !norm.is_finite()) {
        return found(Origin::Gradient(parameter.name.clone()));
    }
    if norms.total <= limit {
        return None;
    }
    let (largest, norm) = named().max_by(|(_, left), (_, right)| left.total_cmp(right))?;
    found(Origin::Explosion { largest: largest.name.clone(), norm: *norm, limit })
}
