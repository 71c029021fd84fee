//! `stagewright.lock` on the screen: what commands say of it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use stagewright::{
    config::{Config, LOCK_NAME},
    lockfile::{self, FoundLock, LockFileError, LockedOutput, LockedStage, Placed},
    plan::{Action, Plan, StageId},
    record::{ActionResult, flat_differences, flatten, work_tree},
    run::{Preview, RunSummary, StagePreview},
    store::LocalStore,
};

use super::{CliError, checkout, screen};

/// Brings the lock file beside a pipeline up to date with a run, and says so where git is to keep it.
pub fn after_run(config: &Config, plan: &Plan, summary: &RunSummary) -> Result<(), CliError> {
    let ended: HashMap<_, _> = summary.stages.iter().map(|stage| (&stage.stage, stage)).collect();
    let results: Vec<(&Action, &ActionResult)> = plan
        .actions
        .iter()
        .filter_map(|action| Some((&**action, ended.get(&action.id)?.result.as_deref()?)))
        .collect();
    if lockfile::update(&config.root, &config.state_dir, plan, &results)? && work_tree(&config.root).is_some()
    {
        let path = plan.file.with_file_name(LOCK_NAME);
        println!("wrote {path}; for git: git add {path}", path = path.display());
    }
    Ok(())
}

/// What `plan` says of a pipeline's lock file beside what its table says: of each stage whose last result here is another one than that
/// of the lock file, how a run would differ from it.
pub fn differences(
    config: &Config,
    plan: &Plan,
    previews: &[StagePreview],
    store: &LocalStore,
) -> Result<Vec<String>, CliError> {
    let Some(locked) = lockfile::read_beside(&config.root, &plan.file)? else { return Ok(Vec::new()) };
    let path = plan.file.with_file_name(LOCK_NAME);
    let mut rows = Vec::new();
    for stage in previews {
        let Some(entry) = locked.get(&stage.stage) else { continue };
        if stage.last == Some(entry.key) {
            continue;
        }
        if let Some(words) = difference(stage, entry, store)? {
            rows.push(vec![stage.stage.0.clone(), words]);
        }
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = vec![format!("compared with {}:", path.display())];
    lines.extend(screen::table(&rows).lines().map(str::to_owned));
    Ok(lines)
}

fn difference(
    stage: &StagePreview,
    entry: &LockedStage,
    store: &LocalStore,
) -> Result<Option<String>, CliError> {
    let Some(key) = stage.key else { return Ok(None) };
    if key == entry.key {
        // What is reused is just what the lock file names.
        let missing = matches!(stage.preview, Preview::Miss { .. });
        return Ok(missing.then(|| "the same, and not stored here; `stagewright pull` brings it".to_owned()));
    }
    let stored = || Ok::<_, CliError>(ActionResult::stored(store, &key)?.and_then(Result::ok));
    let material = match &stage.material {
        Some(material) => Some(flatten(material)),
        None => stored()?.map(|result| flatten(&result.material)),
    };
    let reasons: Vec<String> = material
        .map(|now| flat_differences(&entry.from, &now).iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    Ok(Some(match reasons.is_empty() {
        true => "another result".to_owned(),
        false => reasons.join(", "),
    }))
}

/// Outputs that lie in the work tree, of all lock files, with the folder that their places are relative to.
pub fn places(locks: &[FoundLock]) -> impl Iterator<Item = (&Path, &LockedOutput)> {
    let stages =
        locks.iter().flat_map(|lock| lock.file.pipelines.values()).flat_map(|stages| stages.values());
    let outputs = stages.flat_map(|stage| stage.outputs.values());
    outputs.filter_map(|output| Some((output.at.as_deref()?, output)))
}

/// All stages of lock files, with the files of their pipelines.
pub fn stages(locks: &[FoundLock]) -> impl Iterator<Item = (PathBuf, &StageId, &LockedStage)> {
    locks.iter().flat_map(|lock| {
        let sections = lock.file.pipelines.iter();
        sections.flat_map(move |(file, stages)| {
            stages.iter().map(move |(stage, locked)| (lock.path.with_file_name(file), stage, locked))
        })
    })
}

/// What `status` says of outputs that do not lie in the work tree as the lock files say.
pub fn status(config: &Config, locks: &[FoundLock], store: &LocalStore) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for (at, output) in places(locks) {
        let stored = store.missing(&output.artifact)?.is_empty();
        let word = match (lockfile::state(&config.root, output, store)?, stored) {
            (Placed::Same, _) => continue,
            (Placed::Missing, true) => "missing; `stagewright checkout` places it",
            (Placed::Missing, false) => "missing, and not in the store; `stagewright pull` brings it",
            (Placed::Other, true) => "something else; `stagewright checkout` places it",
            (Placed::Other, false) => {
                "something else, and it is not in the store; `stagewright pull` brings it"
            }
        };
        rows.push(vec![at.display().to_string(), word.to_owned()]);
    }
    if !rows.is_empty() {
        let all = screen::count(rows.len() as u64, "result");
        println!("{all} not in the work tree as {} says:", names(config, locks));
        print!("{}", screen::table(&rows));
    }
    Ok(())
}

/// The lock files, as the user knows them.
pub fn names(config: &Config, locks: &[FoundLock]) -> String {
    let names: Vec<String> = locks.iter().map(|lock| checkout::shown(&config.root, &lock.path)).collect();
    names.join(", ")
}

impl From<LockFileError> for CliError {
    fn from(error: LockFileError) -> Self {
        match error {
            LockFileError::Track(error) => error.into(),
            LockFileError::Io { .. } => Self::environment(&error),
            LockFileError::Conflict { .. } => Self::user(&error).hint(
                "take one side of it (`git checkout --ours` or `--theirs`, and the file); `stagewright run` then brings it up to date",
            ),
            LockFileError::Format { .. } => Self::user(&error)
                .hint("`git checkout` brings the last good one back; without it, `stagewright run` writes a new one"),
        }
    }
}
