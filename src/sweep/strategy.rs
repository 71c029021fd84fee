//! How a search chooses its trials.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use serde_json::Value;

use super::{Listed, Standing, SweepError, Tried, combinations, tpe};
use crate::{
    digest::Digest,
    plan::{Assignment, Axis, Place, Range, Search, USUAL_TRIALS},
    record::{RunId, RunOutcome},
    spec::types::Strategy,
};

/// Draws before a proposal that was made already is given up. A finite space is then walked in order.
const DRAWS: u32 = 200;

/// Where a proposal lies on each axis, from 0 (inclusive) to 1 (exclusive); empty for one that was not drawn.
pub type Coordinates = Vec<f64>;

/// What one trial is to be run with.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Values by place.
    pub set: Vec<(Place, Value)>,
    /// Where it lies.
    pub at: Coordinates,
}

/// Chooses trials one after the other.
pub trait Proposer {
    /// The next trial, knowing what those before it gave; none when there is nothing more to try.
    fn next(&mut self, done: &[Tried]) -> Option<Proposal>;

    /// How many there will be at most.
    fn count(&self) -> u32;
}

/// A source of random numbers for one trial. Each has its own, so that what a trial draws does not depend on how much those
/// before it drew. The generator is named and not `StdRng`, whose algorithm may change with a release.
pub(super) type Source = Xoshiro256PlusPlus;

pub(super) fn source(seed: u64, trial: usize) -> Source {
    Source::from_seed(*Digest::of(format!("search {seed} trial {trial}").as_bytes()).hash())
}

/// The strategy that a search asks for.
pub fn proposer(search: &Search) -> Result<Box<dyn Proposer>, SweepError> {
    search.check()?;
    if search.strategy != Strategy::Grid {
        return Ok(Box::new(Sampled { search: search.clone() }));
    }
    let axis = |axis: &Axis| Assignment {
        place: axis.place.clone(),
        // `check` has seen that there is one.
        values: axis.range.grid().unwrap_or_default(),
    };
    let assignments: Vec<Assignment> = search.axes.iter().map(axis).collect();
    let grid: Listed = combinations(&assignments)?;
    Ok(Box::new(grid))
}

/// The trials that do not depend on what earlier ones give, and how many more there may be.
pub fn foreseen(search: &Search) -> Result<(Vec<Proposal>, u32), SweepError> {
    let mut proposer = proposer(search)?;
    let known = match search.strategy {
        Strategy::Tpe => tpe::STARTUP,
        Strategy::Grid | Strategy::Random => usize::MAX,
    };
    let mut done: Vec<Tried> = Vec::new();
    while done.len() < known
        && let Some(proposal) = proposer.next(&done)
    {
        // What a trial gave does not matter to the next one here.
        let outcome = RunOutcome::Succeeded;
        done.push(Tried { proposal, run: RunId::now(), outcome, standing: Standing::Failed });
    }
    let count = u32::try_from(done.len()).unwrap_or(u32::MAX);
    // All others are known to the last one.
    let more = if search.strategy == Strategy::Tpe { proposer.count().saturating_sub(count) } else { 0 };
    Ok((done.into_iter().map(|tried| tried.proposal).collect(), more))
}

/// Draws trials at random, or near good ones.
#[derive(Debug, Clone)]
pub struct Sampled {
    search: Search,
}

impl Sampled {
    fn proposal(&self, at: Coordinates) -> Proposal {
        let axes = self.search.axes.iter().zip(&at);
        Proposal { set: axes.map(|(axis, at)| (axis.place.clone(), axis.range.at(*at))).collect(), at }
    }

    /// Every combination, if they are few enough to be walked.
    fn size(&self) -> Option<u64> {
        self.search.axes.iter().try_fold(1_u64, |size, axis| Some(size.saturating_mul(axis.range.size()?)))
    }
}

impl Proposer for Sampled {
    fn next(&mut self, done: &[Tried]) -> Option<Proposal> {
        if done.len() >= self.count() as usize {
            return None;
        }
        let text =
            |set: &[(Place, Value)]| set.iter().map(|(_, value)| format!("{value}\n")).collect::<String>();
        let made: BTreeSet<String> = done.iter().map(|tried| text(&tried.proposal.set)).collect();
        if self.size().is_some_and(|size| made.len() as u64 >= size) {
            return None;
        }
        let mut source = source(self.search.seed, done.len());
        for draw in 0..DRAWS {
            // What was tried already is known: something else is worth more, first near, then anywhere.
            let near = self.search.strategy == Strategy::Tpe && draw < DRAWS / 2;
            let at = match near.then(|| tpe::propose(&self.search, done, &mut source)).flatten() {
                Some(at) => at,
                None => self.search.axes.iter().map(|_| source.random_range(0.0..1.0)).collect(),
            };
            let proposal = self.proposal(at);
            if !made.contains(&text(&proposal.set)) {
                return Some(proposal);
            }
        }
        self.walk().find(|proposal| !made.contains(&text(&proposal.set)))
    }

    fn count(&self) -> u32 {
        let trials = self.search.trials.unwrap_or(USUAL_TRIALS);
        self.size().map_or(trials, |size| trials.min(u32::try_from(size).unwrap_or(u32::MAX)))
    }
}

impl Sampled {
    /// All combinations of a finite space in order; nothing for an infinite one.
    fn walk(&self) -> impl Iterator<Item = Proposal> {
        let sizes: Option<Vec<u64>> = self.search.axes.iter().map(|axis| axis.range.size()).collect();
        let sizes = sizes.unwrap_or_default();
        let count = if sizes.is_empty() {
            0
        } else {
            sizes.iter().fold(1_u64, |all, size| all.saturating_mul(*size))
        };
        (0..count).map(move |index| {
            let mut rest = index;
            let at = sizes.iter().map(|size| {
                let position = rest % size;
                rest /= size;
                (position as f64 + 0.5) / *size as f64
            });
            self.proposal(at.collect())
        })
    }
}

/// How many values an axis chooses from, where they have no order.
pub(super) fn choices(range: &Range) -> Option<usize> {
    match range {
        Range::Choice(values) => Some(values.len()),
        Range::Between { .. } => None,
    }
}
