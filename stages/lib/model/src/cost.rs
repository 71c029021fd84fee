//! What a network costs: parameters and arithmetic, counted from its architecture.
//!
//! Convention: one multiply–accumulate (MAC) is one multiplication and one addition, and FLOPs = 2·MACs. Counted are
//! convolutions and linear layers for one image, the bias not included. Batch norms are not counted: at inference they fold
//! into the convolution before them. Activations, additions and pooling are not counted either; they are bound by
//! memory, not by arithmetic. This is the convention of the published figures of networks such as ResNet (1.8 GMACs for
//! ResNet-18 at 224×224).

use crate::{Architecture, ArchitectureError, Op, Shape};

/// Cost of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerCost {
    /// Name of the layer.
    pub name: String,
    /// Its kind, as [`Op::kind`] gives it.
    pub kind: &'static str,
    /// Trainable values (weights, biases, batch norm's scale and shift).
    pub parameters: u64,
    /// Multiply–accumulates for one image.
    pub macs: u64,
    /// What it gives, without the batch.
    pub output: Shape,
}

/// Cost of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Every layer in order.
    pub layers: Vec<LayerCost>,
    /// Trainable values in all.
    pub parameters: u64,
    /// Multiply–accumulates for one image in all.
    pub macs: u64,
}

impl Cost {
    /// Floating-point operations for one image: 2·MACs.
    pub fn flops(&self) -> u64 {
        2 * self.macs
    }
}

impl Architecture {
    /// Counts parameters and multiply–accumulates per layer and in all.
    ///
    /// # Errors
    /// Whatever [`Architecture::validate`] finds wrong.
    pub fn cost(&self) -> Result<Cost, ArchitectureError> {
        let shapes = self.shapes()?;
        let layers: Vec<LayerCost> = self
            .layers
            .iter()
            .map(|layer| {
                let output = shapes[&layer.name];
                let trainable = |name: &str| !name.starts_with("running_");
                let tensors = layer.op.tensors();
                let parameters =
                    tensors.iter().filter(|(name, _)| trainable(name)).map(|(_, shape)| product(shape)).sum();
                LayerCost {
                    name: layer.name.clone(),
                    kind: layer.op.kind(),
                    parameters,
                    macs: macs(&layer.op, output),
                    output,
                }
            })
            .collect();
        let total = |of: fn(&LayerCost) -> u64| layers.iter().map(of).fold(0, u64::saturating_add);
        let (parameters, macs) = (total(|layer| layer.parameters), total(|layer| layer.macs));
        Ok(Cost { layers, parameters, macs })
    }
}

/// Every output value of a convolution or linear layer takes one MAC per weight that reaches it.
fn macs(op: &Op, output: Shape) -> u64 {
    match *op {
        Op::Conv2d { r#in, kernel, groups, .. } => {
            let per_output = (r#in / groups.max(1)) as u64 * product(&kernel);
            (output.elements() as u64).saturating_mul(per_output)
        }
        Op::Linear { r#in, out, .. } => r#in as u64 * out as u64,
        _ => 0,
    }
}

fn product(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}
