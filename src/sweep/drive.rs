//! Runs the trials of a sweep one after the other.

use serde_json::Value;

use super::{Proposal, Proposer, Standing, SweepError, standing};
use crate::{
    config::Config,
    plan::{Axis, Goal, Overrides, Place, Range, Search},
    project::{Draft, Pipeline},
    record::{RunEvent, RunId, RunOutcome, SweepId, SweepMember},
    run::{RunOptions, execute},
    store::LocalStore,
};

/// What a sweep is made of.
pub struct Order<'a> {
    /// The pipeline.
    pub draft: &'a Draft,
    /// Values that hold for all trials.
    pub fixed: &'a Overrides,
    /// What the trials are after; none for a sweep.
    pub goals: &'a [Goal],
    /// How each of them is run. A trial that fails ends the sweep, unless `keep_going` is set.
    pub options: &'a RunOptions,
    /// The project.
    pub config: &'a Config,
    /// Its store.
    pub store: &'a LocalStore,
}

/// A trial that has been run.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// What it was run with.
    pub proposal: Proposal,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What it is worth.
    pub standing: Standing,
}

/// What happens in a sweep.
#[derive(Debug)]
pub enum SweepEvent<'a> {
    /// A trial is about to be run.
    Trial {
        /// Its number, from 1.
        number: u32,
        /// How many there are at most.
        of: u32,
        /// What it is run with.
        set: &'a [(Place, Value)],
    },
    /// Something happened in its run.
    Run(&'a RunEvent),
}

/// Why no more trials were run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing more to try.
    Done,
    /// A trial failed.
    Failed,
    /// The user stopped it.
    Cancelled,
}

/// What came of a sweep.
#[derive(Debug, Clone)]
pub struct SweepSummary {
    /// Its id.
    pub sweep: SweepId,
    /// The trials in order.
    pub tried: Vec<Tried>,
    /// Why there are no more.
    pub ended: Ended,
}

impl Order<'_> {
    /// The plan of one trial.
    pub fn plan(&self, set: &[(Place, Value)]) -> Result<Pipeline, SweepError> {
        let overrides = Overrides::new(self.fixed.entries().iter().chain(set).cloned());
        self.draft.compile(self.config, &overrides).map_err(|source| SweepError::Trial {
            set: set
                .iter()
                .map(|(place, value)| format!("{place}={}", shown(value)))
                .collect::<Vec<_>>()
                .join(" "),
            source: Box::new(source),
        })
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Compiles the pipeline with values from all parts of a search's ranges, so that a value that does not fit is found before
/// the first trial.
pub fn check(order: &Order<'_>, search: &Search) -> Result<(), SweepError> {
    let middle = |axis: &Axis| (axis.place.clone(), axis.range.at(0.5));
    let base: Vec<(Place, Value)> = search.axes.iter().map(middle).collect();
    for (index, axis) in search.axes.iter().enumerate() {
        let count = match &axis.range {
            Range::Choice(values) => values.len(),
            Range::Between { .. } => 2,
        };
        for at in 0..count {
            let coordinate = if count == 1 { 0.0 } else { at as f64 / (count - 1) as f64 };
            let mut set = base.clone();
            set[index].1 = axis.range.at(coordinate.min(1.0 - f64::EPSILON));
            order.plan(&set)?;
        }
    }
    Ok(())
}

/// Runs trials until there are no more.
pub async fn drive(
    order: &Order<'_>,
    proposer: &mut dyn Proposer,
    watcher: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<SweepSummary, SweepError> {
    let sweep = SweepId::now();
    let of = proposer.count();
    let mut tried: Vec<Tried> = Vec::new();
    let mut ended = Ended::Done;
    while let Some(proposal) = proposer.next(&tried) {
        let number = u32::try_from(tried.len()).unwrap_or(u32::MAX).saturating_add(1);
        let pipeline = order.plan(&proposal.set)?;
        watcher(SweepEvent::Trial { number, of, set: &proposal.set });
        let member = SweepMember { sweep, trial: number, of, goals: order.goals.to_vec() };
        let options = RunOptions { sweep: Some(member), ..order.options.clone() };
        let summary = execute(&pipeline.plan, &options, order.store, order.config, &mut |event| {
            watcher(SweepEvent::Run(event));
        })
        .await?;
        let standing = standing(&summary, order.goals);
        tried.push(Tried { proposal, run: summary.run, outcome: summary.outcome, standing });
        match summary.outcome {
            RunOutcome::Cancelled => {
                ended = Ended::Cancelled;
                break;
            }
            RunOutcome::Failed if !order.options.keep_going => {
                ended = Ended::Failed;
                break;
            }
            RunOutcome::Failed | RunOutcome::GateFailed | RunOutcome::Succeeded => {}
        }
    }
    Ok(SweepSummary { sweep, tried, ended })
}
