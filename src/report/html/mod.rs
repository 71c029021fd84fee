//! Pages: one file each that needs nothing else, and lets nothing else in. The same pages are served, with links to each other.

mod compare;
mod detail;
mod frame;
mod graph;
mod lineage;
mod models;
mod overview;
mod plot;
mod problem;
mod run;
mod table;
mod trace;

pub use compare::compare_page;
pub use frame::policy;
pub use overview::{releases_page, runs_page, runs_pieces};
pub use problem::problem_page;
pub use run::{run_page, run_pieces};
pub use trace::{trace_page, trace_start_page};

/// What of a page can change while it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    /// Changes with what the pieces can't tell: then the page is to be read anew.
    pub frame: String,
    /// Ids of elements, and the elements.
    pub pieces: Vec<(String, String)>,
}
