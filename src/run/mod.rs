//! Drives a [`Plan`] to its end.
//!
//! ```text
//! for each action, once all it depends on has ended:
//!   inputs → key → hit:  outputs placed, metrics and gates replayed
//!                  miss: inputs materialized → program → outputs ingested → result stored → event
//! ```
//!
//! One task owns the state of the run (`drive`); what happens is seen through [`RunEvent`]s and nothing else. A result is
//! committed in the order blobs, statement, entry, event, so an event never names what is not stored. Equal outputs give equal keys
//! behind them, so consumers of a stage whose output did not change are hits.

mod adopt;
mod ahead;
mod command;
mod commit;
mod conditions;
mod drive;
mod error;
mod failure;
mod folders;
mod inputs;
mod isolation;
mod local;
mod lock;
mod lookup;
mod metrics;
mod outs;
mod preview;
mod pull;
mod recorder;
pub mod scheduler;
mod secrets;
mod select;
mod shares;
mod targets;

use std::{sync::Arc, time::Duration};

pub use ahead::ReadAhead;
pub use error::RunError;
pub use folders::checkpoint_folder;
pub use isolation::isolation;
pub use preview::{Preview, StagePreview, preview};
pub use pull::{Pull, pull};
pub use secrets::SecretFault;

use crate::{
    config::{Config, Dirty},
    dvc::Lock,
    lineage::{Signing, Waivers},
    plan::{ActionKey, Plan, StageId},
    plugin::{Cancel, Secrets},
    record::{
        ActionResult, Failure, Outcome, RunEvent, RunId, RunOutcome, SweepMember, TargetVerdict, VerifiedHit,
        git_state, uncommitted,
    },
    store::{LocalStore, Supplier},
};

/// How a plan is driven.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Which stages.
    pub select: Selection,
    /// Which run although a result is stored.
    pub force: Force,
    /// Run nothing: a stage whose result is neither stored nor supplied fails.
    pub reuse_only: bool,
    /// Go on with stages that do not depend on one that failed.
    pub keep_going: bool,
    /// Keep the private folders of the stages for a look, in `<state>/kept/<run>/`.
    pub keep_folders: bool,
    /// Cores to use, instead of all this process may use.
    pub cpus: Option<u32>,
    /// Bytes of memory to plan with, instead of all.
    pub memory: Option<u64>,
    /// Ends a stage that says nothing for this long, where its pipeline does not say how long it may.
    pub silence: Option<Duration>,
    /// Keep stages from writing outside of their folders and from the network, as far as the system can.
    pub sandbox: bool,
    /// From asking a stage to stop to killing it.
    pub grace: Duration,
    /// Values of the secrets that stages name.
    pub secrets: Secrets,
    /// The sweep or search that the run is a part of, for its record.
    pub sweep: Option<SweepMember>,
    /// Lock file of a DVC pipeline, whose results are taken over where they still hold.
    pub lock: Option<Arc<Lock>>,
    /// Asked for results that the store has not.
    pub supplier: Option<Arc<dyn Supplier>>,
    /// Carry some of the hits out again and compare.
    pub verify_hits: Option<VerifyHits>,
    /// Results that are being read already.
    pub ahead: Option<Arc<ReadAhead>>,
    /// Stops the run.
    pub cancel: Cancel,
    /// The keys that sign the statements.
    pub signing: Signing,
    /// Gates that may fail.
    pub waivers: Waivers,
}

/// Which hits of a run are carried out again at its end. Their stored results stay, whatever comes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerifyHits {
    /// Their share of all hits, 0 to 1; of a few, at least one.
    pub share: f64,
    /// Draws them; without one, each run draws others. The record has the seed.
    pub seed: Option<u64>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            select: Selection::default(),
            force: Force::None,
            reuse_only: false,
            keep_going: false,
            keep_folders: false,
            cpus: None,
            memory: None,
            silence: None,
            sandbox: true,
            grace: Duration::from_secs(10),
            secrets: Secrets::default(),
            sweep: None,
            lock: None,
            supplier: None,
            verify_hits: None,
            ahead: None,
            cancel: Cancel::never(),
            signing: Signing::default(),
            waivers: Waivers::default(),
        }
    }
}

/// Which stages are wanted. A name is a stage's id, or the part before the bracket for all stages of a matrix. Stages
/// that are not wanted are not run; where a wanted one needs their result, it must be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These and no others.
    pub only: Vec<String>,
    /// These and all that depends on them.
    pub from: Vec<String>,
    /// These and all they depend on.
    pub until: Vec<String>,
}

/// Which stages run although a result is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Force {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those with these names.
    Named(Vec<String>),
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// Id of the run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Every stage of the plan, in order.
    pub stages: Vec<StageSummary>,
    /// Verdicts on the targets.
    pub targets: Vec<TargetVerdict>,
    /// What came of hits that were carried out again.
    pub verified: Vec<VerifiedHit>,
    /// Wall time.
    pub duration: Duration,
}

/// What came of a stage.
#[derive(Debug, Clone)]
pub struct StageSummary {
    /// The stage.
    pub stage: StageId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: String,
    /// Its action key, where its inputs were known.
    pub key: Option<ActionKey>,
    /// Its result, for `ran` and `cached`.
    pub result: Option<Arc<ActionResult>>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What it took in this run.
    pub duration: Duration,
}

/// Drives a plan to its end. An error means that the run could not be held or recorded; a stage that fails is an outcome.
pub async fn execute(
    plan: &Plan,
    options: &RunOptions,
    store: &LocalStore,
    config: &Config,
    events: &mut dyn FnMut(&RunEvent),
) -> Result<RunSummary, RunError> {
    let selected = select::select(plan, options)?;
    secrets::check(plan, &selected, &options.secrets)?;
    if config.dirty == Dirty::Refuse {
        refuse_dirty(config)?;
    }
    let lock = lock::share(store, &options.cancel).await?;
    let summary = drive::drive(plan, options, &selected, store, config, events).await;
    drop(lock);
    summary
}

/// Refuses to run where files differ from their commit. Outside of git there is nothing that they could differ from.
fn refuse_dirty(config: &Config) -> Result<(), RunError> {
    match git_state(&config.root) {
        Some(git) if git.dirty => {
            let commit = git.commit.as_deref().and_then(|commit| commit.get(..12));
            let commit = commit.unwrap_or("the commit that is still to come").to_owned();
            Err(RunError::Dirty { changed: uncommitted(&config.root), commit })
        }
        _ => Ok(()),
    }
}
