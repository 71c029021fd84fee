//! Proposals that are known from the start.

use serde_json::Value;

use super::{
    SweepError, Tried,
    strategy::{Coordinates, Proposal, Proposer},
};
use crate::plan::{Assignment, Place};

/// Most runs of a sweep.
const MOST: usize = 10_000;

/// A list of proposals, in order.
#[derive(Debug, Clone)]
pub struct Listed {
    all: Vec<Vec<(Place, Value)>>,
}

impl Listed {
    /// All these.
    pub fn new(all: Vec<Vec<(Place, Value)>>) -> Self {
        Self { all }
    }

    /// All of them.
    pub fn all(&self) -> &[Vec<(Place, Value)>] {
        &self.all
    }
}

impl Proposer for Listed {
    fn next(&mut self, done: &[Tried]) -> Option<Proposal> {
        let set = self.all.get(done.len())?.clone();
        Some(Proposal { set, at: Coordinates::default() })
    }

    fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }
}

/// Every combination of the values given; the last place changes fastest. A place given twice has the later values.
pub fn combinations(assignments: &[Assignment]) -> Result<Listed, SweepError> {
    let mut axes: Vec<(&Place, Vec<&Value>)> = Vec::new();
    for Assignment { place, values } in assignments {
        axes.retain(|(other, _)| *other != place);
        let mut different: Vec<&Value> = Vec::new();
        for value in values {
            if !different.contains(&value) {
                different.push(value);
            }
        }
        axes.push((place, different));
    }
    let count = axes.iter().fold(1_usize, |count, (_, values)| count.saturating_mul(values.len()));
    if count > MOST {
        return Err(SweepError::TooMany { count, most: MOST });
    }
    let mut all: Vec<Vec<(Place, Value)>> = vec![Vec::new()];
    for (place, values) in axes {
        let mut longer = Vec::with_capacity(all.len() * values.len());
        for combination in all {
            for value in &values {
                let mut next = combination.clone();
                next.push((place.clone(), (*value).clone()));
                longer.push(next);
            }
        }
        all = longer;
    }
    Ok(Listed::new(all))
}
