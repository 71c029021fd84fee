//! Stagewright: declarative pipelines for machine-learning models, typed, content-addressed, provable.
//!
//! The flow, one function from one type to the next:
//!
//! ```text
//! pipeline.yaml ─spec→ PipelineSpec ─plan→ Plan ─run→ ActionResult ─record→ run record ─report→ what people read
//! ```

pub mod author;
pub mod catalog;
pub mod ci;
pub mod compare;
pub mod config;
pub mod digest;
pub mod dvc;
pub mod lineage;
pub mod lockfile;
pub mod lsp;
pub mod origin;
pub mod plan;
pub mod plugin;
pub mod project;
pub mod record;
pub mod release;
pub mod remote;
pub mod report;
pub mod run;
pub mod spec;
pub mod store;
pub mod sweep;
pub mod track;
pub mod ui;
