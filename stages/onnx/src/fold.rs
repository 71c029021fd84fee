//! Folding batch norm into the convolution before it.

use std::collections::BTreeMap;

use stagewright_model::{Architecture, Checkpoint, Op, Tensor};

/// A convolution's weights with the batch norm after it inside.
pub struct Folded {
    /// `[out, in/groups, kernel_h, kernel_w]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Tensor,
}

/// Positions of batch norms that can be folded → positions of their convolutions: nothing else reads the convolution.
pub fn foldable(architecture: &Architecture) -> BTreeMap<usize, usize> {
    let position = |name: &str| architecture.layers.iter().position(|layer| layer.name == name);
    let readers = |name: &str| {
        architecture.layers.iter().flat_map(|layer| &layer.inputs).filter(|input| *input == name).count()
    };
    let pairs = architecture.layers.iter().enumerate().filter_map(|(index, layer)| {
        let before = &layer.inputs[0];
        let conv = position(before)?;
        let folds = matches!(layer.op, Op::BatchNorm { .. })
            && matches!(architecture.layers[conv].op, Op::Conv2d { .. })
            && readers(before) == 1
            && architecture.output != *before;
        folds.then_some((index, conv))
    });
    pairs.collect()
}

/// w·g and (b − mean)·g + β with g = γ / √(variance + ε), computed in f64 and rounded once.
///
/// `None` if a tensor is missing, which a checked checkpoint rules out.
pub fn fold(checkpoint: &Checkpoint, conv: &str, norm: &str, eps: f64) -> Option<Folded> {
    let tensor = |layer: &str, name: &str| checkpoint.tensors.get(&format!("{layer}.{name}"));
    let weight = tensor(conv, "weight")?;
    let (gamma, beta) = (tensor(norm, "weight")?, tensor(norm, "bias")?);
    let (mean, variance) = (tensor(norm, "running_mean")?, tensor(norm, "running_var")?);
    let bias = tensor(conv, "bias");
    let channels = weight.shape.first().copied()?;
    let per_channel = weight.data.len().checked_div(channels)?;
    let mut folded =
        Folded { weight: weight.clone(), bias: Tensor { shape: vec![channels], data: vec![0.0; channels] } };
    for channel in 0..channels {
        let gain =
            f64::from(*gamma.data.get(channel)?) / (f64::from(*variance.data.get(channel)?) + eps).sqrt();
        for value in &mut folded.weight.data[channel * per_channel..(channel + 1) * per_channel] {
            *value = (f64::from(*value) * gain) as f32;
        }
        let before = bias.map_or(0.0, |bias| f64::from(bias.data[channel]));
        folded.bias.data[channel] = ((before - f64::from(*mean.data.get(channel)?)) * gain
            + f64::from(*beta.data.get(channel)?)) as f32;
    }
    Some(folded)
}
