//! Networks as data, shared by the stages that make, shrink, export and measure them. No ML library is needed here.

mod architecture;
mod checkpoint;
mod cost;
pub mod prune;
mod resnet;
mod shapes;
mod validate;

pub use architecture::{Architecture, FORMAT, INPUT, InputShape, Layer, Op};
pub use checkpoint::{Checkpoint, CheckpointError, Tensor, decode, encode};
pub use cost::{Cost, LayerCost};
pub use resnet::{ResNet, ResNetError, resnet};
pub use shapes::Shape;
pub use validate::ArchitectureError;
