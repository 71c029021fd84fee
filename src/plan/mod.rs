//! Spec and catalog → [`Plan`]: ports typed, params resolved and checked, matrix expanded, order fixed.
//!
//! Pure: no I/O, no clock. What it needs to know of the machine is handed in.

mod bind;
mod compile;
mod evaluate;
mod functions;
mod inputs;
mod instances;
mod key;
mod matrix;
mod order;
mod params;
mod schema;
mod schema_walk;
mod skip;
mod targets;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod violations;

pub use compile::compile;
pub use inputs::{CompileInputs, PathKind};
pub use params::complete_params;
pub use schema::{schema, stage_schema};

pub use crate::catalog::Program;
pub use key::{ActionKey, KEY_VERSION, KeyInput, KeyMaterial};
pub use types::{Action, Binding, Bound, FailureClass, Limits, Plan, Retry, Source, StageId, Target};
