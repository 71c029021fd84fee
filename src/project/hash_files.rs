//! `hashFiles()` of expressions: one digest of the files of the work tree that match some patterns.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest, Sha256};

/// Digests of patterns, each computed once.
pub(super) struct HashFiles<'a> {
    root: &'a Path,
    known: RefCell<HashMap<Vec<String>, Result<String, String>>>,
}

/// One pattern; the last that matches a file decides.
struct Pattern {
    matcher: GlobMatcher,
    takes: bool,
}

impl<'a> HashFiles<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, known: RefCell::default() }
    }

    /// As GitHub's function: SHA-256 of the SHA-256 of each file's bytes, in hex; empty where no file matches. Files come in
    /// the order of their paths' bytes; the folders of git and of Stagewright itself are left out, and links are followed.
    pub(super) fn digest(&self, patterns: &[String]) -> Result<String, String> {
        if let Some(known) = self.known.borrow().get(patterns) {
            return known.clone();
        }
        let found = self.compute(patterns);
        self.known.borrow_mut().insert(patterns.to_vec(), found.clone());
        found
    }

    fn compute(&self, patterns: &[String]) -> Result<String, String> {
        let patterns = patterns.iter().map(|pattern| read(pattern)).collect::<Result<Vec<_>, _>>()?;
        let mut digest = Sha256::new();
        let mut any = false;
        for path in self.files(&patterns)? {
            let read = digest_of(&self.root.join(&path));
            digest.update(read.map_err(|error| format!("cannot read {}: {error}", path.display()))?);
            any = true;
        }
        Ok(if any { hex::encode(digest.finalize()) } else { String::new() })
    }

    fn files(&self, patterns: &[Pattern]) -> Result<Vec<PathBuf>, String> {
        let own = |item: &walkdir::DirEntry| {
            item.depth() == 1 && (item.file_name() == ".git" || item.file_name() == ".stagewright")
        };
        let walk = walkdir::WalkDir::new(self.root).follow_links(true).min_depth(1);
        let mut files = Vec::new();
        for item in walk.into_iter().filter_entry(|item| !own(item)) {
            let item = match item {
                Ok(item) => item,
                // A link to nowhere is no file.
                Err(error)
                    if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) =>
                {
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            let path = item.path().strip_prefix(self.root).unwrap_or(item.path());
            let decides = patterns.iter().rev().find(|pattern| pattern.matcher.is_match(path));
            if item.file_type().is_file() && decides.is_some_and(|pattern| pattern.takes) {
                files.push(path.to_owned());
            }
        }
        files.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
        Ok(files)
    }
}

fn read(written: &str) -> Result<Pattern, String> {
    let (takes, glob) = match written.strip_prefix('!') {
        Some(rest) => (false, rest),
        None => (true, written),
    };
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    if glob.trim().is_empty() || glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
        return Err(format!(
            "`{written}` is no pattern for files of the project; write it relative to the root"
        ));
    }
    let matcher = GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map_err(|error| format!("`{written}` is no pattern: {}", error.kind()))?
        .compile_matcher();
    Ok(Pattern { matcher, takes })
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            length => digest.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    fn hashed(root: &Path, patterns: &[&str]) -> Result<String, String> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        HashFiles::new(root).digest(&patterns)
    }

    #[test]
    fn files_are_chosen_and_digested_as_githubs_function_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, text) in
            [("a.py", "a"), ("b.py", "b"), ("src/c.py", "c"), ("src/deep/d.py", "d"), ("x.txt", "x")]
        {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        }
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(root.join(".git/e.py"), "e").unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling.py")).unwrap();
        let of = |texts: &[&str]| {
            let digests: Vec<u8> = texts.iter().flat_map(Sha256::digest).collect();
            Ok(hex::encode(Sha256::digest(digests)))
        };
        assert_eq!(hashed(root, &["*.py"]), of(&["a", "b"]));
        assert_eq!(hashed(root, &["**/*.py"]), of(&["a", "b", "c", "d"]));
        assert_eq!(hashed(root, &["**/*.py", "!src/**"]), of(&["a", "b"]));
        assert_eq!(hashed(root, &["./x.txt", "a.py"]), of(&["a", "x"]));
        assert_eq!(hashed(root, &["src/{c,z}.py", "[ab].py"]), of(&["a", "b", "c"]));
        assert_eq!(hashed(root, &["none/*"]), Ok(String::new()));
        let said: Vec<_> =
            ["/etc/*", "../x", "a[", ""].iter().map(|one| hashed(root, &[one]).unwrap_err()).collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        `/etc/*` is no pattern for files of the project; write it relative to the root
        `../x` is no pattern for files of the project; write it relative to the root
        `a[` is no pattern: unclosed character class; missing ']'
        `` is no pattern for files of the project; write it relative to the root
        ");
    }
}
