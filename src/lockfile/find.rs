//! Lock files of a project.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{LockFile, LockFileError, LockedStages};
use crate::{config::LOCK_NAME, plan::ActionKey, track};

/// A lock file of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundLock {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub file: LockFile,
}

/// All lock files below a project's root, sorted by path.
pub fn find(root: &Path) -> Result<Vec<FoundLock>, LockFileError> {
    let mut found = Vec::new();
    for path in track::files(root, |item| item.file_name() == LOCK_NAME)? {
        found.extend(LockFile::read(&path)?.map(|file| FoundLock { path, file }));
    }
    Ok(found)
}

/// Action keys that lock files name in the work tree and in the last commit of any reference. One in a commit that can't be read as a
/// lock file is passed over; it may have been committed amid a merge.
pub fn named_by_git(root: &Path) -> Result<BTreeSet<ActionKey>, LockFileError> {
    let committed = track::texts_in_git(root, |name| name == LOCK_NAME.as_bytes())?;
    let committed = committed.iter().filter_map(|text| LockFile::parse(text).ok());
    let files: Vec<LockFile> = find(root)?.into_iter().map(|found| found.file).chain(committed).collect();
    let stages = files.iter().flat_map(|file| file.pipelines.values()).flat_map(|stages| stages.values());
    Ok(stages.map(|stage| stage.key).collect())
}

/// What the lock file beside a pipeline's file, which is relative to the root, says of it. None where nothing is said.
pub fn read_beside(root: &Path, pipeline: &Path) -> Result<Option<LockedStages>, LockFileError> {
    let path = root.join(pipeline).with_file_name(LOCK_NAME);
    let name = pipeline.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(LockFile::read(&path)?.and_then(|mut file| file.pipelines.remove(&name)))
}
