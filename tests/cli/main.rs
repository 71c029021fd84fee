//! Every command once from end to end, as a user types it: exit code, stdout, stderr.
#![allow(clippy::unwrap_used, missing_docs)]

mod authors;
mod bench;
mod browser;
mod bundles;
mod ci;
mod command;
mod commands;
mod conditions;
mod decisions;
mod dvc;
mod exports;
mod files;
mod fmt;
mod keys;
mod lineage;
mod lsp;
mod pipeline;
mod records;
mod releases;
mod remotes;
mod report;
mod secrets;
mod sweeps;
mod tools;
mod tracking;
