//! Errors of a stage: whose fault, what failed, what to do.

use stagewright_protocol::{ErrorClass, Fault};

/// Result of anything a stage does.
pub type Result<T, E = StageFault> = std::result::Result<T, E>;

/// A [`Fault`] as a Rust error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct StageFault(pub Fault);

impl StageFault {
    /// The pipeline or its data is wrong.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::User, message)
    }

    /// The machine lacks something.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Environment, message)
    }

    /// The stage itself is wrong.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Internal, message)
    }

    fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self(Fault { class, message: message.into(), hint: None })
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
}

/// Turns any error into a [`StageFault`], naming what was being done.
pub trait FaultExt<T> {
    /// The pipeline or its data is wrong: `<what>: <error>`.
    fn or_user(self, what: impl std::fmt::Display) -> Result<T>;
    /// The machine lacks something: `<what>: <error>`.
    fn or_environment(self, what: impl std::fmt::Display) -> Result<T>;
    /// The stage itself is wrong: `<what>: <error>`.
    fn or_internal(self, what: impl std::fmt::Display) -> Result<T>;
}

impl<T, E: std::fmt::Display> FaultExt<T> for std::result::Result<T, E> {
    fn or_user(self, what: impl std::fmt::Display) -> Result<T> {
        self.map_err(|error| StageFault::user(format!("{what}: {error}")))
    }

    fn or_environment(self, what: impl std::fmt::Display) -> Result<T> {
        self.map_err(|error| StageFault::environment(format!("{what}: {error}")))
    }

    fn or_internal(self, what: impl std::fmt::Display) -> Result<T> {
        self.map_err(|error| StageFault::internal(format!("{what}: {error}")))
    }
}
