//! The git work tree, as far as a record tells of it.

use std::path::{Path, PathBuf};

use git2::{Repository, Status, StatusOptions};

use super::GitState;

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
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(true).update_index(false);
    let dirty =
        repository.statuses(Some(&mut options)).ok()?.iter().any(|status| status.status() != Status::CURRENT);
    Some(GitState { commit, branch, dirty })
}

/// Root of the git work tree around a folder.
pub fn work_tree(folder: &Path) -> Option<PathBuf> {
    Repository::discover(folder).ok()?.workdir().map(Path::to_owned)
}
