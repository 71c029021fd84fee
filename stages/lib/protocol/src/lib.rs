//! The plugin protocol: JSON lines between the orchestrator (the host) and a stage program.
//!
//! One message a line, UTF-8, at most [`MAX_LINE_BYTES`]. The host speaks first:
//!
//! ```text
//! host  → {"kind":"hello","versions":[1],"speaker":"stagewright 0.1.0"}
//! stage → {"kind":"hello","versions":[1],"speaker":"stagewright-stage-train 0.1.0"}
//! host  → {"kind":"describe"}
//! stage → {"kind":"manifest","manifest":{…}}
//! ```
//!
//! After the hello the host sends one request (`describe`, `probe` or `run`); the stage answers with any number of
//! events and exactly one closing message (`manifest`, `platform`, `result` or `error`), then both sides close.
//! Closing the stage's stdin during a run asks it to stop. A reader tolerates unknown kinds and unknown fields, so that
//! either side may learn new ones within one protocol version.

mod manifest;
mod message;

pub use manifest::{Determinism, Manifest, Port, Resources};
pub use message::{
    ErrorClass, Event, Fault, Gate, GateStatus, Hello, Level, Limits, NamedInput, Platform, Request,
    Response, RunRequest, RunResult,
};

/// Protocol versions this crate speaks, newest last. An integer of its own, not a crate version.
pub const VERSIONS: &[u32] = &[1];

/// A longer line is a protocol error: it bounds what a flooding stage can make the host hold.
pub const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Highest version that both lists hold.
pub fn common_version(ours: &[u32], theirs: &[u32]) -> Option<u32> {
    ours.iter().filter(|version| theirs.contains(version)).max().copied()
}
