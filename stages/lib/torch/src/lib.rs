//! Everything the stages say to libtorch.
//!
//! [`Network`] runs an architecture, [`Trainer`] trains it, [`Schedule`] gives each step's learning rate;
//! [`shim`] adds what the `tch` bindings lack, [`device`] chooses where to compute.

pub mod device;
mod divergence;
mod error;
mod memory;
mod network;
mod optimizer;
mod schedule;
pub mod shim;
mod threads;
mod trainer;
mod weights;

pub use divergence::{Divergence, Origin};
pub use error::TorchError;
pub use memory::keep_freed_memory;
pub use network::{Activations, Mode, Named, Network};
pub use optimizer::{Decay, Optimizer, Rule, Setting};
pub use schedule::{Anneal, Schedule};
pub use tch::Device;
pub use threads::set_threads;
pub use trainer::{Batch, Evaluation, Options, Precision, Step, Trainer, TrainerState};
pub use weights::initialize;
