//! Looking for executables.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::PREFIX;

/// Stage programs by name; an earlier place wins. A place is a folder, or a program itself.
pub(super) fn programs(places: impl IntoIterator<Item = PathBuf>) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for place in places {
        // A place that is not there or can't be read offers nothing; `PATH` is full of such.
        if place.is_file() {
            add(&mut found, &place);
            continue;
        }
        let Ok(items) = fs::read_dir(&place) else { continue };
        let mut paths: Vec<_> = items.flatten().map(|item| item.path()).collect();
        paths.sort_unstable();
        paths.iter().for_each(|path| add(&mut found, path));
    }
    found
}

fn add(found: &mut BTreeMap<String, PathBuf>, path: &Path) {
    let Some(name) =
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX))
    else {
        return;
    };
    // Build folders hold dependency lists such as `stagewright-stage-train.d`.
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let runs = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if is_name && runs && !found.contains_key(name) {
        // A process is started in another folder, where a relative path would lead elsewhere.
        if let Ok(path) = std::path::absolute(path) {
            found.insert(name.to_owned(), path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn program(path: &Path, mode: u32) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_place_wins_and_only_programs_count() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(a.join("stagewright-stage-folder")).unwrap();
        fs::create_dir_all(&b).unwrap();
        program(&a.join("stagewright-stage-train"), 0o755);
        program(&a.join("stagewright-stage-train.d"), 0o755);
        program(&a.join("stagewright-stage-text"), 0o644);
        program(&b.join("stagewright-stage-train"), 0o755);
        program(&b.join("stagewright-stage-prune"), 0o755);
        let single = folder.path().join("stagewright-stage-mine");
        program(&single, 0o755);
        let found = programs([folder.path().join("none"), single.clone(), a.clone(), b.clone()]);
        let expected = [
            ("mine", single),
            ("prune", b.join("stagewright-stage-prune")),
            ("train", a.join("stagewright-stage-train")),
        ];
        assert_eq!(found, expected.map(|(name, path)| (name.to_owned(), path)).into());
    }
}
