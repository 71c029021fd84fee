//! Pages: one file each that needs nothing else, and lets nothing else in.

mod compare;
mod detail;
mod frame;
mod graph;
mod lineage;
mod models;
mod plot;
mod run;
mod table;

pub use compare::compare_page;
pub use run::run_page;
