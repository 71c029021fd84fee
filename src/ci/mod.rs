//! GitHub Actions: a pipeline → a workflow, and what a run tells the job that it is in.
//!
//! ```text
//! spec + plan ─jobs→ StageJob (one a declared stage) ─compile→ Workflow ─yaml→ .github/workflows/x.yml
//! previews    ─hits→ the jobs that have something to do
//! run record  ─summary→ Markdown  ─comment→ one comment on a pull request
//! run events  ─annotations→ workflow commands
//! ```
//!
//! Jobs share data through the remote and nothing else: what a job says to another one is which stages are to run.

mod annotations;
mod api;
mod comment;
mod compile;
mod context;
mod error;
mod hits;
mod jobs;
mod outputs;
mod place;
mod steps;
mod summary;
mod target;
#[cfg(test)]
mod tests;
mod words;
mod workflow;
mod yaml;

pub use annotations::{Annotations, group, mask, stop_token};
pub use api::GithubComments;
pub use comment::{Comment, Comments, Found, LONGEST_COMMENT, Posted, comment, post};
pub use compile::workflow;
pub use context::{Context, Event, PullRequest};
pub use error::CiError;
pub use hits::{Hits, hits};
pub use jobs::{StageJob, jobs};
pub use outputs::output;
pub use place::{Place, Places, places};
pub use summary::{Base, Summary, summary};
pub use target::{Access, Shape, Target};
pub use workflow::{Job, Permission, Step, Work, Workflow};
