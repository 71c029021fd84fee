//! The `.gitignore` beside tracked data.

use std::{fs, path::Path};

use git2::Repository;

use super::{TrackError, pointer::write_whole};

/// Adds the data to the `.gitignore` beside it, as DVC does: `/name`. True when it was not there.
pub(super) fn ignore(data: &Path) -> Result<bool, TrackError> {
    let (Some(folder), Some(name)) = (data.parent(), data.file_name().and_then(|name| name.to_str())) else {
        return Ok(false);
    };
    let file = folder.join(".gitignore");
    let rule = rule(name);
    let old = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(TrackError::io("read", &file)(error)),
    };
    if old.lines().any(|line| line == rule) {
        return Ok(false);
    }
    let separator = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    write_whole(&file, &format!("{old}{separator}{rule}\n"))?;
    Ok(true)
}

/// What git has to do with a path that a stage wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Git leaves it alone, from now on or already.
    Ignored,
    /// Git keeps its content itself, as it should not.
    Tracked,
    /// There is no git around it.
    NoGit,
}

/// Has git leave alone what a stage wrote, as DVC does for the outs that it caches: a rule in the `.gitignore` beside it, where none
/// covers it yet.
pub fn ignore_out(root: &Path, out: &Path) -> Result<Kept, TrackError> {
    let Ok(repository) = Repository::discover(root) else { return Ok(Kept::NoGit) };
    let place = || Some((repository.workdir()?.canonicalize().ok()?, root.canonicalize().ok()?.join(out)));
    let Some((tree, full)) = place() else { return Ok(Kept::NoGit) };
    let Ok(path) = full.strip_prefix(&tree) else { return Ok(Kept::NoGit) };
    if repository.is_path_ignored(path).unwrap_or(false) {
        return Ok(Kept::Ignored);
    }
    let tracked = repository
        .index()
        .is_ok_and(|index| index.get_path(path, 0).is_some() || index.find_prefix(path.join("")).is_ok());
    if tracked {
        return Ok(Kept::Tracked);
    }
    ignore(&full)?;
    Ok(Kept::Ignored)
}

/// A rule that means this name and no other: what git would read as a pattern is escaped.
fn rule(name: &str) -> String {
    let mut rule = String::from("/");
    for c in name.chars() {
        if "*?[]\\!#".contains(c) {
            rule.push('\\');
        }
        rule.push(c);
    }
    // Git drops blanks at the end.
    match rule.strip_suffix(' ') {
        Some(start) => format!("{start}\\ "),
        None => rule,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rule_is_added_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".gitignore"), "/other").unwrap();
        assert!(ignore(&folder.path().join("data")).unwrap());
        assert!(!ignore(&folder.path().join("data")).unwrap());
        assert!(ignore(&folder.path().join("a*[1] ")).unwrap());
        assert_eq!(
            fs::read_to_string(folder.path().join(".gitignore")).unwrap(),
            "/other\n/data\n/a\\*\\[1\\]\\ \n"
        );
    }

    #[test]
    fn git_leaves_alone_what_a_stage_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("out/raw")).unwrap();
        for name in ["out/raw/a", "out/m.bin", "out/kept"] {
            fs::write(root.join(name), "x").unwrap();
        }
        let told = |out: &str| ignore_out(root, Path::new(out)).unwrap();
        assert_eq!(told("out/raw"), Kept::NoGit);
        assert!(!root.join("out/.gitignore").exists());
        let repository = Repository::init(root).unwrap();
        repository.index().unwrap().add_path(Path::new("out/kept")).unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(Path::new("out/kept")).unwrap();
        index.write().unwrap();
        assert_eq!(
            ["out/raw", "out/m.bin", "out/raw", "out/kept"].map(told),
            [Kept::Ignored, Kept::Ignored, Kept::Ignored, Kept::Tracked]
        );
        assert_eq!(fs::read_to_string(root.join("out/.gitignore")).unwrap(), "/raw\n/m.bin\n");
        fs::write(root.join(".gitignore"), "*.tmp\n").unwrap();
        assert_eq!(told("out/x.tmp"), Kept::Ignored);
        assert_eq!(fs::read_to_string(root.join("out/.gitignore")).unwrap(), "/raw\n/m.bin\n");
    }
}
