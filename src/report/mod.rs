//! Recorded runs → what people read: one HTML page, Markdown, JSON.
//!
//! ```text
//! RunRecord + store + statements ─gather→ RunReport ─┬─html→ a page that needs nothing else
//!                                                    ├─markdown→ text
//!                                                    └─serde→ JSON
//! ```
//!
//! Everything is gathered once into typed structures; the three forms are made from those and look nothing up. What a run does not
//! have is left out. Texts of pipelines, stages and data are never trusted: the page is built by templates that escape, and its
//! policy lets no script run but the one that is named by its hash.

mod annex;
mod card;
mod compare;
mod data;
pub mod figures;
mod findings;
mod gather;
mod html;
mod layout;
mod lineage;
mod markdown;
mod overview;
mod site;
mod trace;

pub use annex::{
    AnnexIndex, AnnexItem, AnnexRow, AnnexStatus, Document, Documents, annex_index, annex_markdown,
};
pub use card::{CardData, CardFile, CardMetric, CardSection, ModelCard, Words, card_markdown, model_card};
pub use compare::{CompareReport, CurveSet, VariantPoint, compare_runs};
pub use data::{
    Curves, FailureView, OutputView, Picture, ReleaseView, Run, RunReport, Series, StageView, Text, page_name,
};
pub use findings::{
    Benchmark, Check, Checklist, ClassCount, DataFindings, Evidence, Findings, GradientLayers, Latency,
    Problem, Pruning, State, Variant,
};
pub use gather::{Gathering, Statements, gather};
pub use html::{
    Pieces, compare_page, policy, problem_page, releases_page, run_page, run_pieces, runs_page, runs_pieces,
    trace_page, trace_start_page,
};
pub use lineage::{InputView, LineageView, StatementView, SubjectView, Verified};
pub use markdown::{compare_markdown, run_markdown};
pub use overview::{KeyMetric, ReleasesView, RunRow, RunsView};
pub use site::{Part, Site, escaped};
pub use trace::{Trace, TraceStart, trace, trace_start};
