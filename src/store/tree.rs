//! The canonical listing of a folder.

use std::path::{Component, Path};

use super::{Artifact, ArtifactKind};
use crate::digest::Digest;

const HEADER: &str = "stagewright-tree 1\n";

/// A folder's files by path. Empty folders have no place in it, as in git.
///
/// Encoded as the line `stagewright-tree 1`, then one line a file, sorted by the bytes of the path:
/// `<digest> <x or -> <path as a JSON string>`. `x` marks an executable file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    entries: Vec<TreeEntry>,
}

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Relative, with `/`; never empty, `.` or `..` in any part.
    pub path: String,
    /// Content.
    pub digest: Digest,
    /// Has an executable bit.
    pub executable: bool,
}

impl Tree {
    /// Sorts the entries into a tree.
    pub fn new(mut entries: Vec<TreeEntry>) -> Self {
        entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        Self { entries }
    }

    /// The files in order.
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = HEADER.to_owned();
        for TreeEntry { path, digest, executable } in &self.entries {
            let mark = if *executable { 'x' } else { '-' };
            out.push_str(&format!("{digest} {mark} {}\n", serde_json::Value::from(path.as_str())));
        }
        out.into_bytes()
    }

    /// Reads canonical bytes; anything else, also another order, is refused with the line that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        let body = text.strip_prefix(HEADER).ok_or("the first line is not `stagewright-tree 1`")?;
        let mut entries: Vec<TreeEntry> = Vec::new();
        for (index, line) in body.split_terminator('\n').enumerate() {
            let wrong = |why: &str| format!("line {}: {why}", index + 2);
            let mut parts = line.splitn(3, ' ');
            let (Some(digest), Some(mark), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(wrong("three fields are wanted"));
            };
            let digest = digest.parse().map_err(|error| wrong(&format!("{error}")))?;
            let path: String =
                serde_json::from_str(path).map_err(|_| wrong("the path is not a JSON string"))?;
            if !is_plain_relative(&path) {
                return Err(wrong("the path leaves the folder"));
            }
            if entries.last().is_some_and(|last| last.path.as_bytes() >= path.as_bytes()) {
                return Err(wrong("the paths are not sorted"));
            }
            entries.push(TreeEntry { path, digest, executable: mark == "x" });
        }
        let tree = Self { entries };
        if tree.encode() != bytes {
            return Err("not in canonical form".to_owned());
        }
        Ok(tree)
    }

    /// The artifact this tree is.
    pub fn artifact(&self) -> Artifact {
        Artifact {
            kind: ArtifactKind::Tree,
            digest: Digest::of(&self.encode()),
            files: self.entries.len() as u64,
            bytes: self.entries.iter().map(|entry| entry.digest.size()).sum(),
        }
    }
}

fn is_plain_relative(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && !path.split('/').any(str::is_empty)
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        && !path.split('/').any(|part| part == ".")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str, content: &str) -> TreeEntry {
        TreeEntry { path: path.to_owned(), digest: Digest::of(content.as_bytes()), executable: false }
    }

    #[test]
    fn golden_vector() {
        let tree = Tree::new(vec![entry("b", ""), TreeEntry { executable: true, ..entry("a/ü\n", "abc") }]);
        insta::assert_snapshot!(String::from_utf8(tree.encode()).unwrap(), @r#"
        stagewright-tree 1
        sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:3 x "a/ü\n"
        sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855:0 - "b"
        "#);
        assert_eq!(
            tree.artifact().digest.hex(),
            "c8bd3e4607d56dce9541f87a4a58e86ec735979702c45710e9b0f190217c851b"
        );
    }

    #[test]
    fn refuses_paths_that_leave_the_folder() {
        for path in ["../x", "/etc/passwd", "a/../b", "a//b", "./a", "a/.", "", "a/"] {
            let tree = Tree { entries: vec![entry(path, "")] };
            assert!(Tree::decode(&tree.encode()).is_err(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn decode_is_the_inverse_of_encode(paths in prop::collection::btree_set("[a-zä \"\\\\\n]{1,6}(/[a-z]{1,3})?", 0..8)) {
            let tree = Tree::new(paths.iter().map(|path| entry(path, path)).collect());
            prop_assert_eq!(Tree::decode(&tree.encode()), Ok(tree));
        }

        #[test]
        fn decode_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Tree::decode(&bytes);
            let with_header: Vec<u8> = HEADER.bytes().chain(bytes).collect();
            if let Ok(tree) = Tree::decode(&with_header) {
                prop_assert_eq!(tree.encode(), with_header);
            }
        }
    }
}
