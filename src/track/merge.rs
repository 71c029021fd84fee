//! Two pointer files and what they both come from → one. Folders are merged file by file, as far as the store knows their files.

use std::collections::{BTreeMap, BTreeSet};

use super::{DirListing, ObjectName, Pointer, TrackError, add::store_folder};
use crate::{
    digest::{Digest, Md5},
    store::{ArtifactKind, LocalStore},
};

/// What became of a merge of pointer files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergedPointer {
    /// The text of the merged pointer file.
    Clean(String),
    /// The sides can't be merged.
    Conflict {
        /// Both of them between git's markers.
        text: String,
        /// Why.
        reason: String,
    },
}

/// Files of a folder.
type Files = BTreeMap<String, (Digest, Md5)>;

/// Merges the texts of pointer files. `base` is empty where they have no common one; `marker` is the length of git's markers.
pub fn merge(
    base: &str,
    ours: &str,
    theirs: &str,
    marker: usize,
    store: &LocalStore,
) -> Result<MergedPointer, TrackError> {
    let clean = |text: &str| Ok(MergedPointer::Clean(text.to_owned()));
    if ours == theirs || theirs == base {
        return clean(ours);
    }
    if ours == base {
        return clean(theirs);
    }
    let conflict =
        |reason: String| Ok(MergedPointer::Conflict { text: conflicting(ours, theirs, marker), reason });
    let (Ok(left), Ok(right)) = (Pointer::parse(ours), Pointer::parse(theirs)) else {
        return conflict("a side is no pointer file".to_owned());
    };
    let common = Pointer::parse(base).ok();
    if left.name == right.name {
        return clean(ours);
    }
    if left.path != right.path || !left.name.folder || !right.name.folder {
        return conflict(format!("both sides changed {}", left.path));
    }
    let mut sides = Vec::new();
    for name in [
        common.filter(|common| common.name.folder).map(|common| common.name),
        Some(left.name),
        Some(right.name),
    ] {
        let files = match name {
            None => Some(Files::new()),
            Some(name) => files(name, store)?,
        };
        match files {
            Some(files) => sides.push(files),
            None => return conflict(format!("the store has not all files of {}", left.path)),
        }
    }
    let [base, left_files, right_files] = &sides[..] else { return conflict(String::new()) };
    let (merged, both) = by_file(base, left_files, right_files);
    if !both.is_empty() {
        let shown: Vec<&str> = both.iter().take(5).map(String::as_str).collect();
        let more = both.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return conflict(format!("both sides changed {}/{}{more}", left.path, shown.join(", ")));
    }
    let (artifact, name) = store_folder(store, merged.into_iter().collect())?;
    let pointer = Pointer { name, size: Some(artifact.bytes), files: Some(artifact.files), ..left };
    let failed = |reason| TrackError::Listing { name: name.to_string(), reason };
    pointer.render(Some(ours)).map(MergedPointer::Clean).map_err(failed)
}

/// The files of a folder, if all of them are stored.
fn files(name: ObjectName, store: &LocalStore) -> Result<Option<Files>, TrackError> {
    let Some(alias) = store.alias(&name.md5, true)? else { return Ok(None) };
    let Some(listing) = alias.listing.filter(|listing| store.contains(listing)) else { return Ok(None) };
    if alias.artifact.kind != ArtifactKind::Tree || !store.missing(&alias.artifact)?.is_empty() {
        return Ok(None);
    }
    let tree = store.tree(&alias.artifact.digest)?;
    let refused = |reason| TrackError::Listing { name: name.to_string(), reason };
    let listing = DirListing::decode(&store.read(&listing)?).map_err(refused)?;
    let digests: BTreeMap<&str, Digest> =
        tree.entries().iter().map(|entry| (entry.path.as_str(), entry.digest)).collect();
    let files = listing.entries().iter().map(|entry| {
        let digest = digests.get(entry.path.as_str()).copied();
        digest.map(|digest| (entry.path.clone(), (digest, entry.md5)))
    });
    Ok(files.collect())
}

/// What both sides make of the files, and the paths that they disagree about.
fn by_file(base: &Files, ours: &Files, theirs: &Files) -> (Files, BTreeSet<String>) {
    let (mut merged, mut both) = (Files::new(), BTreeSet::new());
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for path in paths {
        let [old, left, right] = [base, ours, theirs].map(|side| side.get(path));
        let taken = if left == right || right == old {
            left
        } else if left == old {
            right
        } else {
            both.insert(path.clone());
            continue;
        };
        merged.extend(taken.map(|file| (path.clone(), *file)));
    }
    // A file on the one side may be a folder on the other one.
    for path in merged.keys() {
        let above =
            path.match_indices('/').map(|(at, _)| &path[..at]).find(|above| merged.contains_key(*above));
        both.extend(above.map(str::to_owned));
    }
    (merged, both)
}

/// Both texts, what they begin and end with alike outside of the markers.
fn conflicting(ours: &str, theirs: &str, marker: usize) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    let head = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let line = |c: &str, label: &str| format!("{}{label}", c.repeat(marker));
    let (begin, middle, end) = (line("<", " ours"), line("=", ""), line(">", " theirs"));
    let mut lines: Vec<&str> = a[..head].to_vec();
    lines.push(&begin);
    lines.extend(&a[head..a.len() - tail]);
    lines.push(&middle);
    lines.extend(&b[head..b.len() - tail]);
    lines.push(&end);
    lines.extend(&a[a.len() - tail..]);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs, path::Path};

    use super::*;
    use crate::track::add;

    /// The pointer file of a folder with these files.
    fn pointer(root: &Path, store: &LocalStore, files: &[(&str, &str)]) -> String {
        let data = root.join("data");
        let _ = fs::remove_dir_all(&data);
        for (path, text) in files {
            let path = data.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let added = add(root, &data, store).unwrap();
        fs::read_to_string(added.tracked.file).unwrap()
    }

    #[test]
    fn folders_are_merged_file_by_file() {
        let (root, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = LocalStore::open(folder.path()).unwrap();
        let pointer = |files: &[(&str, &str)]| pointer(root.path(), &store, files);
        let merge = |base: &str, ours: &str, theirs: &str| merge(base, ours, theirs, 7, &store).unwrap();
        let base = pointer(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let ours = pointer(&[("a", "2"), ("b", "1"), ("c", "1"), ("sub/d", "1")]);
        let theirs = pointer(&[("a", "1"), ("b", "1"), ("e", "1")]);
        let both = pointer(&[("a", "2"), ("b", "1"), ("sub/d", "1"), ("e", "1")]);
        assert_eq!(merge(&base, &ours, &theirs), MergedPointer::Clean(both));
        assert_eq!(merge("", &ours, &ours), MergedPointer::Clean(ours.clone()));

        let reason = |merged: MergedPointer| match merged {
            MergedPointer::Conflict { reason, text } => {
                assert!(
                    text.starts_with("outs:\n<<<<<<< ours\n- md5: ") && Pointer::parse(&text).is_err(),
                    "{text}"
                );
                reason
            }
            MergedPointer::Clean(text) => text,
        };
        let theirs = pointer(&[("a", "3"), ("b", "1")]);
        assert_eq!(reason(merge(&base, &ours, &theirs)), "both sides changed data/a");
        let theirs = pointer(&[("a", "1"), ("b", "1"), ("c", "1"), ("sub", "1")]);
        assert_eq!(reason(merge(&base, &ours, &theirs)), "both sides changed data/sub");
        let unknown = ours.replace("md5: ", "md5: 0").replace("0.dir", ".dir");
        let unknown = unknown.lines().map(|line| {
            if line.contains(".dir") { "- md5: 00000000000000000000000000000000.dir" } else { line }
        });
        let unknown = unknown.collect::<Vec<_>>().join("\n") + "\n";
        assert_eq!(reason(merge(&base, &ours, &unknown)), "the store has not all files of data");
    }
}
