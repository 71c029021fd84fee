//! Measuring models honestly: what `benchmark` and `checklist` have in common.

pub mod child;
mod contract;
mod evaluate;
mod latency;
pub mod memory;
pub mod statistics;
mod test_images;

pub use contract::check_model;
pub use evaluate::{Predictions, evaluate};
pub use latency::{Latency, Samples, time_for, time_one};
pub use test_images::TestImages;
