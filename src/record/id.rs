//! Names of runs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Id of one run: a UUID of version 7, so ids sort by the time they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

/// Why a text is no run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a run id: a UUID such as `0192e4a0-7c1e-7f3a-9d55-1b8f1d7f6a10` is wanted")]
pub struct RunIdError(String);

/// Id that the runs of one sweep or search share: a UUID of version 7, made before the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SweepId(Uuid);

impl SweepId {
    /// A fresh id.
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The last 8 hex digits, for people.
    pub fn short(&self) -> String {
        self.0.simple().to_string()[24..].to_owned()
    }

    /// False for a run that was made before the sweep, which can't be a part of it.
    pub fn may_hold(&self, run: RunId) -> bool {
        self.0 < run.0
    }
}

impl fmt::Display for SweepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl RunId {
    /// A fresh id.
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The last 8 hex digits, for people; the first ones are a clock and alike among neighbours.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[24..].to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        // Only the spelling that we print: a run's folder is named by it.
        Uuid::try_parse(text)
            .ok()
            .map(Self)
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| RunIdError(text.to_owned()))
    }
}
