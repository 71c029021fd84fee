//! Measuring models honestly: what `benchmark` and `checklist` have in common.

mod evaluate;
mod latency;
pub mod memory;
pub mod statistics;

pub use evaluate::{Predictions, evaluate};
pub use latency::{Latency, Samples, time_for, time_one};
