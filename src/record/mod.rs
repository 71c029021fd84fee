//! The run record: what happened, in order, and what came of it.
//!
//! ```text
//! <state>/runs-v1/<run id>/events.jsonl   a header line, then one [`RunEvent`] a line
//! <state>/runs-v1/<run id>/logs/          what each stage said, as it says it
//! <state>/runs-v1/<run id>/alive          locked while the run's process lives
//! <state>/last-v1/<pipeline>.jsonl        the last result of each stage, to name what changed since
//! ```
//!
//! The event log has one writer, appends whole lines and never rewrites them, so a killed run leaves at worst a torn last
//! line, which readers drop.

mod brief;
mod error;
mod event;
mod follow;
mod git;
mod history;
mod id;
mod material;
mod named;
mod reader;
mod reason;
mod result;
mod which;
mod writer;

pub use brief::{RunBrief, brief};
pub use error::RecordError;
pub use event::{
    Failure, GitState, HitVerdict, HostState, Isolation, MetricValue, Outcome, RunEvent, RunOutcome, Setting,
    SweepMember, TargetVerdict, VerifiedHit, WaivedGate,
};
pub use follow::RunFollower;
pub use git::{git_state, uncommitted, work_tree};
pub use history::{History, LastResult};
pub use id::{RunId, SweepId};
pub use material::{Material, flatten, flatten_value};
pub use named::{RunName, find_run, sweep_runs};
pub use reader::{RunRecord, RunState, StageRecord, Verification, is_running, list_runs, read_run};
pub use reason::{Reason, differences, flat_differences};
pub use result::{ActionResult, Measured, ProgramStamp, RESULT_VERSION, StoredOutput};
pub use which::{WhichError, all_results, results_of};
pub use writer::{RECORD_VERSION, RunWriter, remove_beginnings, run_folder};
