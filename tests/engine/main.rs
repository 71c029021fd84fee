//! The engine against a hostile stage program: the real executor, real processes, real folders.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(missing_docs, reason = "tests")]

mod cache;
mod catalog;
mod command;
mod conformance;
mod faults;
mod flow;
mod isolation;
mod kill;
mod project;
mod record;
mod stop;
mod storage;
mod together;
mod verify;
