//! Spec and catalog → [`Plan`]: ports typed, params resolved and checked, matrix expanded, order fixed.
//!
//! Pure: no I/O, no clock. What it needs to know of the machine is handed in.

mod bind;
mod command;
mod compile;
mod condition;
mod deps;
mod evaluate;
mod exports;
mod facts;
mod functions;
mod goal;
mod inputs;
mod instances;
mod key;
mod machine;
mod matrix;
mod offers;
mod order;
mod overrides;
mod params;
mod ports;
mod range;
mod reads;
mod roles;
mod schema;
mod schema_walk;
mod search;
mod secrets;
mod skip;
mod targets;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod variables;
mod violations;

pub use compile::compile;
pub use condition::{Condition, Decision, RunView, StageResult};
pub(crate) use exports::place;
pub use facts::param_facts;
pub use goal::{Direction, Goal, MetricOf, MetricOfError};
pub use inputs::{CompileInputs, PathKind};
pub use overrides::{Assignment, OverrideError, Overrides, Place};
pub use params::{complete_params, prepare_schemas};
pub use ports::accepts as port_accepts;
pub use range::{Axis, Range};
pub use schema::{schema, stage_schema};
pub use search::{Search, SearchFault, USUAL_TRIALS};

pub use crate::catalog::{Command, Piece, Program, Shell, Start};
pub use crate::spec::types::OutKind;
pub use command::{COMMAND, DEPS};
pub use key::{ActionKey, KEY_VERSION, KeyInput, KeyMaterial, KeyParts};
pub use targets::compares_with_release;
pub use types::{
    Action, Against, Binding, Bound, FailureClass, Limits, Out, Plan, ReleasedMetrics, Retry, Source,
    StageId, Target,
};
pub use variables::RunText;
