//! Recorded runs side by side: what differs between two, a table of many, and which of them are the best.
//!
//! Works on records alone: reads no file, knows no screen.

mod change;
mod column;
mod diff;
mod pareto;
mod table;
#[cfg(test)]
mod tests;

pub use change::{Change, changes};
pub use column::{Column, ColumnKind, CompareError};
pub use diff::{OutputIdentity, RunDiff, StageDiff, diff};
pub use pareto::front;
pub use table::{Choice, Comparison, Row, Sort, compare};
