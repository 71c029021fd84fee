//! Proposals near good trials: a tree-structured Parzen estimator (Bergstra et al. 2011), by the crate `tpe`.
//!
//! Of the optimizers on crates.io this one was chosen because it is small (600 lines, no dependency but `rand`), kept up since
//! 2020, MIT, asks and tells without owning the loop, and draws from a generator that the caller seeds: so a search can be
//! repeated exactly. `egobox` (Gaussian processes) needs a linear-algebra stack for what is a handful of trials here,
//! `optimizer` owns study, storage and generator.
//!
//! What it does not have is added here: several goals become one by weights that each trial draws anew (ParEGO, Knowles
//! 2006: the largest weighted cost, and a little of their sum), so the trials spread along the Pareto front; and a trial that
//! missed a target ranks behind all that met theirs, by how far it missed.

use rand::RngExt;
use tpe::{TpeOptimizerBuilder, categorical_range, histogram_estimator, parzen_estimator, range};

use super::{
    Standing, Tried,
    strategy::{Coordinates, Source, choices},
};
use crate::plan::{Axis, Search};

/// Trials drawn at random before the estimator has something to say.
pub(super) const STARTUP: usize = 8;

/// Share of the trials that counts as good.
const GOOD: f64 = 0.2;

/// Weight of the sum of costs beside the largest one.
const SUM: f64 = 0.05;

/// A proposal; none while there is too little to learn from.
pub(super) fn propose(search: &Search, done: &[Tried], source: &mut Source) -> Option<Coordinates> {
    if done.len() < STARTUP {
        return None;
    }
    let losses = losses(done, search.goals.len(), source);
    let mut builder = TpeOptimizerBuilder::new();
    builder.gamma(GOOD);
    let axis = |(index, axis): (usize, &Axis)| {
        // A choice is drawn by its number, everything else by its coordinate.
        let count = choices(&axis.range);
        let scale = count.map_or(1.0, |count| count as f64);
        let (estimator, range) = match count {
            Some(count) => (histogram_estimator(), categorical_range(count)),
            None => (parzen_estimator(), range(0.0, 1.0)),
        };
        let mut optimizer = builder.build(estimator, range.ok()?).ok()?;
        for (tried, loss) in done.iter().zip(&losses) {
            let at = *tried.proposal.at.get(index)?;
            let told = if count.is_some() { (at * scale).floor() } else { at };
            optimizer.tell(told, *loss).ok()?;
        }
        let asked = optimizer.ask(source).ok()?;
        let at = if count.is_some() { (asked.floor() + 0.5) / scale } else { asked };
        Some(at.clamp(0.0, 1.0 - f64::EPSILON))
    };
    search.axes.iter().enumerate().map(axis).collect()
}

/// One number a trial, less is better: below 2 where every constraint was met, then those that missed some, then those
/// that gave nothing.
fn losses(done: &[Tried], goals: usize, source: &mut Source) -> Vec<f64> {
    let weights = weights(goals, source);
    let feasible = || {
        done.iter().filter_map(|tried| match &tried.standing {
            Standing::Feasible(costs) => Some(costs),
            _ => None,
        })
    };
    let bounds: Vec<(f64, f64)> = (0..goals)
        .map(|goal| {
            feasible().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), costs| {
                (low.min(costs[goal]), high.max(costs[goal]))
            })
        })
        .collect();
    let loss = |tried: &Tried| match &tried.standing {
        Standing::Feasible(costs) => {
            let weighted: Vec<f64> = costs
                .iter()
                .zip(&bounds)
                .zip(&weights)
                .map(
                    |((cost, (low, high)), weight)| {
                        if high > low { weight * (cost - low) / (high - low) } else { 0.0 }
                    },
                )
                .collect();
            weighted.iter().copied().fold(0.0, f64::max) + SUM * weighted.iter().sum::<f64>()
        }
        Standing::Infeasible(violation) => 2.0 + violation / (1.0 + violation),
        Standing::Failed => 4.0,
    };
    done.iter().map(loss).collect()
}

/// Weights that sum up to 1, all directions equally likely.
fn weights(goals: usize, source: &mut Source) -> Vec<f64> {
    let drawn: Vec<f64> =
        (0..goals).map(|_| -(1.0 - source.random_range(0.0..1.0_f64)).ln() + 1e-12).collect();
    let sum: f64 = drawn.iter().sum();
    drawn.into_iter().map(|weight| weight / sum).collect()
}
