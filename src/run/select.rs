//! Which stages of a plan a run is about.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Force, RunError, RunOptions,
    conditions::{dependencies, sources},
};
use crate::plan::{Plan, StageId};

/// A stage's part in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Runs if no stored result serves.
    Wanted {
        /// Runs in any case.
        forced: bool,
    },
    /// A wanted stage reads its result, which must be stored.
    Support,
    /// Wanted in a run that only reuses: its result must be stored.
    Reused,
    /// Not looked at.
    Unwanted,
}

/// Part of each action, in the order of the plan.
pub(super) fn select(plan: &Plan, options: &RunOptions) -> Result<Vec<Part>, RunError> {
    let RunOptions { select: selection, force, reuse_only, .. } = options;
    let positions: BTreeMap<&StageId, usize> =
        plan.actions.iter().enumerate().map(|(index, action)| (&action.id, index)).collect();
    let count = plan.actions.len();
    let mut producers = vec![BTreeSet::new(); count];
    let mut before = vec![BTreeSet::new(); count];
    for (index, action) in plan.actions.iter().enumerate() {
        let position = |stage: &StageId| positions.get(stage).copied();
        before[index] = dependencies(action).filter_map(position).collect();
        let measured =
            action.condition.iter().flat_map(|condition| condition.metrics()).map(|(stage, _)| stage);
        producers[index] = sources(action).chain(measured).filter_map(position).collect();
    }

    let mut wanted = vec![true; count];
    if !selection.only.is_empty() {
        let named = find(plan, "--only", &selection.only)?;
        keep(&mut wanted, |index| named.contains(&index));
    }
    if !selection.from.is_empty() {
        let mut reached = find(plan, "--from", &selection.from)?;
        // The order is topological, so one pass reaches all.
        for (index, before) in before.iter().enumerate() {
            if before.iter().any(|before| reached.contains(before)) {
                reached.insert(index);
            }
        }
        keep(&mut wanted, |index| reached.contains(&index));
    }
    if !selection.until.is_empty() {
        let mut reached = find(plan, "--until", &selection.until)?;
        for index in (0..count).rev() {
            if reached.contains(&index) {
                reached.extend(before[index].iter().copied());
            }
        }
        keep(&mut wanted, |index| reached.contains(&index));
    }
    if count > 0 && !wanted.contains(&true) {
        return Err(RunError::NothingSelected);
    }
    let forced = match force {
        Force::None => BTreeSet::new(),
        Force::All => (0..count).collect(),
        Force::Named(names) => find(plan, "--force", names)?,
    };
    let mut parts: Vec<Part> = (0..count)
        .map(|index| match wanted[index] {
            true if *reuse_only => Part::Reused,
            true => Part::Wanted { forced: forced.contains(&index) },
            false => Part::Unwanted,
        })
        .collect();
    for index in (0..count).rev() {
        if parts[index] != Part::Unwanted {
            for producer in &producers[index] {
                if parts[*producer] == Part::Unwanted {
                    parts[*producer] = Part::Support;
                }
            }
        }
    }
    Ok(parts)
}

fn keep(wanted: &mut [bool], condition: impl Fn(usize) -> bool) {
    wanted.iter_mut().enumerate().for_each(|(index, wanted)| *wanted &= condition(index));
}

fn find(plan: &Plan, option: &'static str, names: &[String]) -> Result<BTreeSet<usize>, RunError> {
    let mut found = BTreeSet::new();
    for name in names {
        let matches = |id: &StageId| {
            // A group of DVC is named by what stands before the last `@`.
            let group = id.0.split('[').next() == Some(name)
                || id.0.rsplit_once('@').is_some_and(|(group, _)| group == name);
            id.0 == *name || group
        };
        let matching: Vec<usize> = plan
            .actions
            .iter()
            .enumerate()
            .filter(|(_, action)| matches(&action.id))
            .map(|(index, _)| index)
            .collect();
        if matching.is_empty() {
            let known = plan.actions.iter().map(|action| action.id.0.clone()).collect();
            return Err(RunError::NoStage { option, name: name.clone(), known });
        }
        found.extend(matching);
    }
    Ok(found)
}
