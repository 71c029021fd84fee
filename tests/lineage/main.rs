//! Statements, signatures and the ledger: real runs of real processes, looked at afterwards.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(missing_docs, reason = "tests")]

mod bundle;
mod evidence;
#[path = "../engine/project.rs"]
#[allow(dead_code, reason = "shared with tests/engine, which needs more of it")]
mod project;
mod secrets;
mod statements;
mod verify;
