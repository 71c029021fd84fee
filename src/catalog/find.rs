//! Looking for executables.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::PREFIX;

/// All stage programs by name; an earlier place wins. A place is a folder, or a program itself.
pub(super) fn programs(places: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut add = |path: PathBuf| {
        if let Some(name) = name_of(&path).filter(|name| is_name(name)).map(str::to_owned)
            && !found.contains_key(&name)
            && let Some(path) = program_at(&path)
        {
            found.insert(name, path);
        }
    };
    for place in places {
        // A place that is not there or can't be read offers nothing; `PATH` is full of such.
        if place.is_file() {
            add(place.clone());
            continue;
        }
        let Ok(items) = fs::read_dir(place) else { continue };
        items.flatten().for_each(|item| add(item.path()));
    }
    found
}

/// The program of one name: the same that [`programs`] gives for it, without reading through the folders of `PATH`.
pub(super) fn program(places: &[PathBuf], name: &str) -> Option<PathBuf> {
    if !is_name(name) {
        return None;
    }
    let file_name = format!("{PREFIX}{name}");
    places.iter().find_map(|place| {
        if name_of(place) == Some(name) && place.is_file() {
            return program_at(place);
        }
        program_at(&place.join(&file_name))
    })
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)
}

/// Build folders hold dependency lists such as `stagewright-stage-train.d`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// An absolute path, if a program is there: a process is started in another folder, where a relative path would lead elsewhere.
fn program_at(path: &Path) -> Option<PathBuf> {
    let runs = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    runs.then(|| std::path::absolute(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn write(path: &Path, mode: u32) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn both_ways(places: &[PathBuf], name: &str) -> Option<PathBuf> {
        let found = program(places, name);
        assert_eq!(found.as_ref(), programs(places).get(name), "{name}");
        found
    }

    #[test]
    fn the_first_place_wins_and_only_programs_count() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(a.join("stagewright-stage-folder")).unwrap();
        fs::create_dir_all(&b).unwrap();
        write(&a.join("stagewright-stage-train"), 0o755);
        write(&a.join("stagewright-stage-train.d"), 0o755);
        write(&a.join("stagewright-stage-text"), 0o644);
        write(&b.join("stagewright-stage-train"), 0o755);
        write(&b.join("stagewright-stage-prune"), 0o755);
        let single = folder.path().join("stagewright-stage-mine");
        write(&single, 0o755);
        let places = [folder.path().join("none"), single.clone(), a.clone(), b.clone()];
        let expected = [
            ("mine", single),
            ("prune", b.join("stagewright-stage-prune")),
            ("train", a.join("stagewright-stage-train")),
        ];
        for (name, path) in &expected {
            assert_eq!(both_ways(&places, name).as_ref(), Some(path));
        }
        for name in ["folder", "train.d", "text", "none", "", "../a", "a/b"] {
            assert_eq!(both_ways(&places, name), None);
        }
        assert_eq!(programs(&places), expected.map(|(name, path)| (name.to_owned(), path)).into());
    }
}
