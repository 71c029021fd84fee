//! Which jobs have something to do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::StageJob;
use crate::{
    plan::{Plan, StageId},
    run::{Preview, StagePreview},
};

/// What the plan job says to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// Ids of jobs that are to run.
    pub jobs: Vec<String>,
    /// Their stages by the job's id.
    pub stages: BTreeMap<String, Vec<StageId>>,
}

/// Which jobs are to run, by what a run would do here. A stage that asks for a machine of its own is decided there, unless its result is
/// found here and nothing of the machine is in its key.
pub fn hits(jobs: &[StageJob], plan: &Plan, previews: &[StagePreview]) -> Hits {
    let previews: BTreeMap<&StageId, &Preview> =
        previews.iter().map(|preview| (&preview.stage, &preview.preview)).collect();
    let elsewhere: BTreeSet<&StageId> =
        jobs.iter().filter(|job| !job.runs_on.is_empty()).flat_map(|job| &job.stages).collect();
    // Stages whose key is another one on their own machine, and all that reads them: what was found here is not theirs.
    let mut uncertain: BTreeSet<&StageId> = BTreeSet::new();
    for action in &plan.actions {
        let of_machine = elsewhere.contains(&action.id) && !action.program.platform.properties.is_empty();
        let mut read = action.inputs.values().flatten().flat_map(|binding| binding.source.stages());
        if of_machine || read.any(|stage| uncertain.contains(stage)) {
            uncertain.insert(&action.id);
        }
    }
    let decided = |stage: &StageId| match previews.get(stage) {
        _ if uncertain.contains(stage) => false,
        Some(Preview::Hit { .. } | Preview::Locked) => true,
        Some(Preview::Skipped { .. }) => !elsewhere.contains(stage),
        _ => false,
    };
    let mut found = Hits { jobs: Vec::new(), stages: BTreeMap::new() };
    for job in jobs {
        let open: Vec<StageId> = job.stages.iter().filter(|stage| !decided(stage)).cloned().collect();
        if !open.is_empty() {
            found.jobs.push(job.id.clone());
            found.stages.insert(job.id.clone(), open);
        }
    }
    found
}
