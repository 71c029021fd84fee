//! `.dvcignore`: what of the work tree is not there for DVC, by the rules of `.gitignore`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use globset::{GlobBuilder, GlobMatcher};

use crate::store::Hidden;

/// The file; there may be one in each folder.
const FILE: &str = ".dvcignore";

/// What DVC never looks into, whatever the rules say otherwise.
const ALWAYS: &str = ".hg/\n.git/\n.dvc/\n";

/// The rules of a project, read as they are needed.
struct Ignores {
    root: PathBuf,
    /// Rules of each folder's own file, relative to it.
    folders: Mutex<HashMap<PathBuf, Arc<Vec<Rule>>>>,
}

/// One line.
struct Rule {
    glob: GlobMatcher,
    /// Takes back what a rule before it said.
    keeps: bool,
    folders_only: bool,
}

/// What is not there for a DVC project in `root`.
pub fn hidden(root: &Path) -> Hidden {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let ignores = Ignores { root, folders: Mutex::default() };
    Hidden::new(move |path, is_folder| ignores.hides(path, is_folder))
}

impl Ignores {
    /// Asked of each path after the folders that it is in. The last rule that fits decides, and one of a folder further in comes
    /// after those of the folders around it.
    fn hides(&self, path: &Path, is_folder: bool) -> bool {
        let Ok(inside) = path.strip_prefix(&self.root) else { return false };
        let mut hidden = false;
        let mut folder = self.root.clone();
        let mut parts = inside.components();
        while let Some(part) = parts.next() {
            let below = Path::new(part.as_os_str()).join(parts.as_path());
            // Joining nothing leaves a slash at the end.
            let below = below.components().collect::<PathBuf>();
            for rule in self.rules(&folder).iter() {
                if (is_folder || !rule.folders_only) && rule.glob.is_match(&below) {
                    hidden = !rule.keeps;
                }
            }
            folder.push(part);
        }
        hidden
    }

    fn rules(&self, folder: &Path) -> Arc<Vec<Rule>> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            let mut rules = if folder == self.root { parse(ALWAYS) } else { Vec::new() };
            // One that can't be read has no rules, as one that is not there.
            rules.extend(fs::read_to_string(folder.join(FILE)).map(|text| parse(&text)).unwrap_or_default());
            Arc::new(rules)
        };
        Arc::clone(folders.entry(folder.to_owned()).or_insert_with(read))
    }
}

/// Lines that are no pattern are passed over, as git does.
fn parse(text: &str) -> Vec<Rule> {
    text.lines().filter_map(rule).collect()
}

fn rule(line: &str) -> Option<Rule> {
    let line = match line.strip_suffix("\\ ") {
        Some(start) => format!("{start}\\ "),
        None => line.trim_end().to_owned(),
    };
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (keeps, pattern) = match line.strip_prefix('!') {
        Some(pattern) => (true, pattern),
        None => (false, line.as_str()),
    };
    let (folders_only, pattern) = match pattern.strip_suffix('/') {
        Some(pattern) => (true, pattern),
        None => (false, pattern),
    };
    // A slash at the start or inside binds it to the folder; without one, it fits at any depth.
    let pattern = match pattern.strip_prefix('/') {
        Some(bound) => bound.to_owned(),
        None if pattern.contains('/') => pattern.to_owned(),
        None => format!("**/{pattern}"),
    };
    let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build().ok()?;
    Some(Rule { glob: glob.compile_matcher(), keeps, folders_only })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_are_those_of_gitignore() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("data/deep")).unwrap();
        fs::write(
            root.join(FILE),
            "# comment\n\n*.tmp\n!keep.tmp\nlogs/\n/top.txt\ndata/*.bak\ndata/**/cache\n\\#odd\ntrailing.x   \n",
        )
        .unwrap();
        fs::write(root.join("data").join(FILE), "own.txt\n!*.tmp\n").unwrap();
        let hidden = hidden(&root);
        let hides = |path: &str| hidden.hides(&root.join(path.trim_end_matches('/')), path.ends_with('/'));
        for path in [
            "a.tmp",
            "x/a.tmp",
            "logs/",
            "x/logs/",
            "top.txt",
            "data/a.bak",
            "data/cache",
            "data/x/y/cache",
            "#odd",
            "trailing.x",
            "data/own.txt",
            "data/deep/own.txt",
            ".git/",
            "x/.dvc/",
        ] {
            assert!(hides(path), "{path}");
        }
        for path in [
            "keep.tmp",
            "x/keep.tmp",
            "logs",
            "x/top.txt",
            "data/x/a.bak",
            "data/a.tmp",
            "own.txt",
            "comment",
            "data/deep/",
            "/elsewhere/a.tmp",
        ] {
            assert!(!hides(path), "{path}");
        }
    }
}
