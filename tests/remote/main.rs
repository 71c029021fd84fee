//! Remotes of every kind: what each has to do, and what a transfer makes of servers and networks that fail.
#![allow(clippy::unwrap_used, missing_docs)]

mod conformance;
mod dying;
mod faults;
mod gc;
mod kill;
mod packed;
mod places;
mod server;
mod tracked;
mod transfer;
