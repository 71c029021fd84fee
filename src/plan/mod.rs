//! Spec and catalog → [`Plan`]: ports typed, params resolved and checked, matrix expanded, order fixed.
//!
//! Pure: no I/O, no clock. What it needs to know of the machine is handed in.

mod key;
mod types;

pub use crate::catalog::Program;
pub use key::{ActionKey, KEY_VERSION, KeyInput, KeyMaterial};
pub use types::{
    Action, Binding, Bound, FailureClass, Plan, Retry, Source, StageId, Target,
};
