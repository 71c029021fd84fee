//! Bringing the results of a plan without running anything.

use super::{RunError, RunOptions, StagePreview, commit::place_stored, preview::walk, shares::Shares};
use crate::{config::Config, plan::Plan, record::History, store::LocalStore};

/// What is done with results that are there or come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// They are in the store, and that is all.
    Store,
    /// Their exports are placed in the work tree as a run would place them, and they count as the last ones of their stages.
    Place,
}

/// Goes through the plan as [`preview`](super::preview) does and brings what the options' supplier has; a stage behind one
/// without a result stays unknown. Exports replace no content that would be lost by it.
pub fn pull(
    plan: &Plan,
    options: &RunOptions,
    store: &LocalStore,
    config: &Config,
    how: Pull,
) -> Result<Vec<StagePreview>, RunError> {
    if how == Pull::Store {
        return super::preview(plan, options, store, config);
    }
    let shares = Shares::new(&config.state_dir).map_err(RunError::io("make locks in", &config.state_dir))?;
    let mut history = History::load(&config.state_dir, &plan.file)?;
    let mut noted = Ok(());
    let previews = walk(plan, options, store, config, &mut |action, result, prints| {
        place_stored(action, result, &config.root, store, prints, &shares)?;
        let note = history.note(&action.id, result);
        noted = std::mem::replace(&mut noted, Ok(())).and(note);
        Ok(())
    })?;
    noted?;
    Ok(previews)
}
