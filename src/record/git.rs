//! The git work tree, as far as a record tells of it.

use std::path::{Path, PathBuf};

use git2::{Repository, Status, StatusOptions};

use super::GitState;
use crate::config::LOCK_NAME;

/// State of the git work tree around a folder. None outside of one, and where git refuses to read it: a run needs no git.
pub fn git_state(root: &Path) -> Option<GitState> {
    let repository = Repository::discover(root).ok()?;
    let head = repository.head();
    let (commit, branch) = match &head {
        Ok(head) => {
            let commit = head.peel_to_commit().ok().map(|commit| commit.id().to_string());
            (commit, head.is_branch().then(|| head.shorthand().ok().map(str::to_owned)).flatten())
        }
        // Before the first commit HEAD names a branch that does not exist.
        Err(_) => {
            let head = repository.find_reference("HEAD").ok()?;
            let target = head.symbolic_target().ok().flatten()?;
            (None, target.strip_prefix("refs/heads/").map(str::to_owned))
        }
    };
    let dirty = !changed(&repository)?.is_empty();
    Some(GitState { commit, branch, dirty })
}

/// Files that git tracks and that differ from their commit, from the top of the work tree; none outside of one.
pub fn uncommitted(root: &Path) -> Vec<String> {
    Repository::discover(root).ok().and_then(|repository| changed(&repository)).unwrap_or_default()
}

fn changed(repository: &Repository) -> Option<Vec<String>> {
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(true).update_index(false);
    let statuses = repository.statuses(Some(&mut options)).ok()?;
    let changed = statuses.iter().filter(|status| status.status() != Status::CURRENT);
    let paths = changed.map(|status| String::from_utf8_lossy(status.path_bytes()).into_owned());
    // What a run writes about itself is no change of what it is made of.
    let is_lock = |path: &str| path.rsplit('/').next() == Some(LOCK_NAME);
    Some(paths.filter(|path| !is_lock(path)).collect())
}

/// Root of the git work tree around a folder.
pub fn work_tree(folder: &Path) -> Option<PathBuf> {
    Repository::discover(folder).ok()?.workdir().map(Path::to_owned)
}
