//! Which results a name means: a stage's, a run's, all.

use std::{collections::BTreeSet, path::Path};

use super::{ActionResult, History, RecordError, RunId, list_runs, read_run};
use crate::{
    plan::ActionKey,
    store::{LocalStore, StoreError},
};

/// Why a name means no results.
#[derive(Debug, thiserror::Error)]
pub enum WhichError {
    /// Neither a stage with a result nor a run.
    #[error("`{name}` is neither a stage with a result nor a run")]
    Unknown {
        /// The name.
        name: String,
        /// Stages with results.
        stages: Vec<String>,
    },
    /// Several runs end so.
    #[error("the ids of {count} runs end with `{name}`")]
    Several {
        /// The name.
        name: String,
        /// How many.
        count: usize,
    },
    /// A record can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Fewer characters than this are no end of a run's id.
const SHORTEST_ID: usize = 4;

/// Keys of the results that these names mean: a stage's id (its last result), the part of one before the bracket (those of a whole
/// matrix), the end of a run's id (all results of that run). Without names, the last result of every stage.
pub fn results_of(state_dir: &Path, names: &[String]) -> Result<BTreeSet<ActionKey>, WhichError> {
    let last = History::all(state_dir)?;
    if names.is_empty() {
        return Ok(last.into_iter().map(|result| result.key).collect());
    }
    let mut keys = BTreeSet::new();
    for name in names {
        let of_stage = last.iter().filter(|result| {
            let id = &result.stage.0;
            id == name || id.split_once('[').is_some_and(|(base, _)| base == name)
        });
        let found: Vec<ActionKey> = of_stage.map(|result| result.key).collect();
        if found.is_empty() {
            let run =
                find_run(state_dir, name, || last.iter().map(|result| result.stage.0.clone()).collect())?;
            let record = read_run(state_dir, run)?;
            // A stage without outputs that ended well has a key and a result, one that failed has a key only.
            let made = record.stages.iter().filter(|stage| stage.made_in.is_some());
            keys.extend(made.filter_map(|stage| stage.key));
        } else {
            keys.extend(found);
        }
    }
    Ok(keys)
}

/// Keys of all results in the store that this release can read.
pub fn all_results(store: &LocalStore) -> Result<BTreeSet<ActionKey>, StoreError> {
    let entries = store.all_entries()?;
    Ok(entries
        .iter()
        .filter_map(|entry| ActionResult::from_entry(entry).ok())
        .map(|result| result.key)
        .collect())
}

fn find_run(state_dir: &Path, name: &str, stages: impl Fn() -> Vec<String>) -> Result<RunId, WhichError> {
    let unknown = || WhichError::Unknown { name: name.to_owned(), stages: stages() };
    if name.len() < SHORTEST_ID {
        return Err(unknown());
    }
    let runs = list_runs(state_dir)?;
    let matching: Vec<RunId> = runs.into_iter().filter(|run| run.to_string().ends_with(name)).collect();
    match matching[..] {
        [run] => Ok(run),
        [] => Err(unknown()),
        _ => Err(WhichError::Several { name: name.to_owned(), count: matching.len() }),
    }
}
