//! `stagewright.lock`: what every stage of the pipelines beside it last resolved to, for git to keep with them.
//!
//! ```text
//! version: 1
//! pipelines:
//!   train.yaml:
//!     fit:
//!       from:                              what the action key was made of, field by field
//!         inputs.data: "sha256:…:1234"
//!         program: "train@3"
//!         with.lr: 0.1
//!       key: "sha256:…:567"                the action key
//!       outputs:
//!         model:
//!           at: "results/model.onnx"       where it lies in the work tree; none for one that is only stored
//!           digest: "sha256:…:890"
//!           kind: "file"
//!       version: "0.1.0"                   of the program that made it
//! ```
//!
//! One line a field, sorted, so that it reads and merges as code does. It is a part of YAML: every value is JSON on one line. Nothing in
//! it differs from machine to machine or from day to day, so equal results give equal bytes.

mod error;
mod fields;
mod find;
mod locked;
mod merge;
mod place;
mod update;

pub use error::LockFileError;
pub use find::{FoundLock, find, named_by_git, read_beside};
pub use locked::{LockFile, LockedOutput, LockedStage, LockedStages};
pub use merge::{MergeError, Merged, merge};
pub use place::{Placed, place, state};
pub use update::update;
