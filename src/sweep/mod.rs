//! Many runs of one pipeline, each with other values: sweeps over given values and searches over ranges.
//!
//! ```text
//! strategy ─proposal→ draft.compile ─plan→ run ─metrics, verdicts→ strategy → …
//! ```
//!
//! Each trial is a run of its own, recorded as such; the trials share stages through the action cache. A strategy is a
//! function of its seed and of what the trials before it gave, so a search that was cut off proposes the same trials when it
//! is started again, and those that were done are cache hits.

mod drive;
mod error;
mod proposals;
mod score;
mod strategy;
#[cfg(test)]
mod tests;
mod tpe;

pub use drive::{Ended, Order, SweepEvent, SweepSummary, Tried, check, drive};
pub use error::SweepError;
pub use proposals::{Listed, combinations};
pub use score::{Standing, standing};
pub use strategy::{Coordinates, Proposal, Proposer, Sampled, foreseen, proposer};
