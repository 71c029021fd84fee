//! Weights on their way between a checkpoint and libtorch, and the first ones of a new network.

use std::collections::BTreeMap;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha256};
use stagewright_model::{Architecture, Op};
use tch::{Device, Tensor};

use crate::{
    TorchError,
    network::{Named, values},
};

/// True for the tensors that training does not learn: the running statistics of batch norm.
pub(crate) fn is_buffer(tensor: &str) -> bool {
    tensor.ends_with("running_mean") || tensor.ends_with("running_var")
}

/// Draws first weights: convolutions normal with variance `2 / (out · kernel area / groups)` (He et al. 2015, fan-out, as
/// torchvision's residual networks), linear layers and all biases uniform within `±1/√fan-in` (PyTorch's default), batch
/// norm 1 and 0 with running mean 0 and variance 1.
///
/// Every tensor has a generator of its own, seeded by (`seed`, its name): a layer that comes or goes changes no other.
pub fn initialize(architecture: &Architecture, seed: u64) -> BTreeMap<String, stagewright_model::Tensor> {
    let mut tensors = BTreeMap::new();
    for layer in &architecture.layers {
        for (suffix, shape) in layer.op.tensors() {
            let name = format!("{}.{suffix}", layer.name);
            let mut draw = Draw::new(seed, &name);
            let count: usize = shape.iter().product();
            let data = match (&layer.op, suffix) {
                (Op::Conv2d { out, kernel: [height, width], groups, .. }, "weight") => {
                    let fan_out = out * height * width / groups;
                    let deviation = (2.0 / fan_out as f64).sqrt();
                    (0..count).map(|_| (draw.normal() * deviation) as f32).collect()
                }
                (Op::Conv2d { r#in, kernel: [height, width], groups, .. }, _) => {
                    draw.uniform_within(count, r#in / groups * height * width)
                }
                (Op::Linear { r#in, .. }, _) => draw.uniform_within(count, *r#in),
                (_, "weight" | "running_var") => vec![1.0; count],
                _ => vec![0.0; count],
            };
            tensors.insert(name, stagewright_model::Tensor { shape, data });
        }
    }
    tensors
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64, name: &str) -> Self {
        let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
        Self(ChaCha8Rng::from_seed(digest.into()))
    }

    /// Uniform in (0, 1): never 0, so that its logarithm is finite.
    fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    fn uniform_within(&mut self, count: usize, fan_in: usize) -> Vec<f32> {
        let bound = 1.0 / (fan_in as f64).sqrt();
        (0..count).map(|_| ((2.0 * self.unit() - 1.0) * bound) as f32).collect()
    }
}

/// Brings a checkpoint's tensors to the device: (parameters that require a gradient, buffers that do not), each in the
/// order of the layers.
pub(crate) fn upload(
    architecture: &Architecture,
    tensors: &BTreeMap<String, stagewright_model::Tensor>,
    device: Device,
) -> Result<(Vec<Named>, Vec<Named>), TorchError> {
    let (mut parameters, mut buffers) = (Vec::new(), Vec::new());
    for layer in &architecture.layers {
        for (suffix, shape) in layer.op.tensors() {
            let name = format!("{}.{suffix}", layer.name);
            let wrong = |reason: String| TorchError::Weights { reason };
            let source = tensors.get(&name).ok_or_else(|| wrong(format!("`{name}` is missing")))?;
            if source.shape != shape || source.data.len() != shape.iter().product::<usize>() {
                let found = &source.shape;
                return Err(wrong(format!("`{name}` has shape {found:?}, the layer wants {shape:?}")));
            }
            let tensor =
                to_torch(source, device).map_err(TorchError::while_doing(format!("loading `{name}`")))?;
            if is_buffer(suffix) {
                buffers.push(Named { name, tensor });
            } else {
                let tensor = tensor.set_requires_grad(true);
                parameters.push(Named { name, tensor });
            }
        }
    }
    Ok((parameters, buffers))
}

/// A libtorch tensor of the same shape and values.
pub(crate) fn to_torch(source: &stagewright_model::Tensor, device: Device) -> Result<Tensor, tch::TchError> {
    let size: Vec<i64> = source.shape.iter().map(|&side| side as i64).collect();
    Tensor::f_from_slice(&source.data)?.f_reshape(size)?.f_to_device(device)
}

/// Overwrites a tensor's values with those saved under `name`, keeping its memory layout.
pub(crate) fn copy_into(
    target: &mut Tensor,
    saved: &BTreeMap<String, stagewright_model::Tensor>,
    name: &str,
) -> Result<(), TorchError> {
    let wrong = |reason: String| TorchError::Weights { reason };
    let source = saved.get(name).ok_or_else(|| wrong(format!("`{name}` is missing")))?;
    let shape: Vec<usize> = target.size().iter().map(|&side| side as usize).collect();
    if source.shape != shape || source.data.len() != shape.iter().product::<usize>() {
        return Err(wrong(format!("`{name}` has shape {:?}, {shape:?} is wanted", source.shape)));
    }
    let doing = || TorchError::while_doing(format!("loading `{name}`"));
    let values = to_torch(source, target.device()).map_err(doing())?;
    tch::no_grad(|| target.f_copy_(&values)).map_err(doing())
}

/// A row-major copy in main memory.
pub(crate) fn download(named: &Named) -> Result<stagewright_model::Tensor, TorchError> {
    let data = values(&named.tensor).map_err(TorchError::while_doing(format!("reading `{}`", named.name)))?;
    let shape = named.tensor.size().iter().map(|&side| side as usize).collect();
    Ok(stagewright_model::Tensor { shape, data })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use stagewright_model::{InputShape, ResNet, resnet};

    fn network() -> Architecture {
        let input = InputShape { channels: 3, height: 16, width: 16 };
        resnet(&ResNet { input, classes: 10, depths: vec![1, 1], widths: vec![32, 64] }).unwrap()
    }

    #[test]
    fn first_weights_have_the_variance_of_fan_out() {
        let tensors = initialize(&network(), 7);
        let weight = &tensors["layer2.0.conv2.weight"].data;
        let mean = weight.iter().map(|&x| f64::from(x)).sum::<f64>() / weight.len() as f64;
        let variance =
            weight.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / weight.len() as f64;
        // 36,864 draws: the standard error of the variance is 0.7 %, of the mean 0.5 % of a deviation.
        let expected = 2.0 / (64.0 * 9.0);
        assert!((variance / expected - 1.0).abs() < 0.03, "{variance} is not near {expected}");
        assert!(mean.abs() < 0.03 * expected.sqrt(), "mean {mean}");
        let bound = 1.0 / 8.0;
        let linear = &tensors["fc.weight"].data;
        assert!(linear.iter().all(|x| x.abs() <= bound) && linear.iter().any(|x| x.abs() > 0.9 * bound));
        assert!(tensors["bn1.weight"].data.iter().all(|&x| x == 1.0));
        assert!(tensors["bn1.running_mean"].data.iter().all(|&x| x == 0.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
        let (first, again, other) =
            (initialize(&network(), 1), initialize(&network(), 1), initialize(&network(), 2));
        assert_eq!(first, again);
        assert_ne!(first["conv1.weight"], other["conv1.weight"]);
        assert_ne!(first["layer1.0.conv1.weight"].data[..9], first["layer1.0.conv2.weight"].data[..9]);
    }
}
