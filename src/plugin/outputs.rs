//! Is a stage's result true: declared ports, existing paths, nothing outside the output folder?

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use stagewright_protocol::{Manifest, RunResult};

/// Absolute path of each output, or what is false about the result. `folder` is the run's output folder.
pub fn check(
    result: &RunResult,
    manifest: &Manifest,
    folder: &Path,
) -> Result<BTreeMap<String, PathBuf>, String> {
    let root = folder.canonicalize().map_err(|error| format!("its output folder is gone ({error})"))?;
    let mut outputs: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (port, path) in &result.outputs {
        let shown = path.display();
        if !manifest.outputs.contains_key(port) {
            return Err(format!("the output `{port}` is not a port in its manifest"));
        }
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || path.as_os_str().is_empty() {
            return Err(format!("the output `{port}` at `{shown}` is not a path inside its output folder"));
        }
        let place = root.join(path);
        if fs::symlink_metadata(&place).is_err() {
            return Err(format!("the output `{port}` at `{shown}` does not exist"));
        }
        let overlaps = |(other, taken): (&String, &PathBuf)| {
            (taken.starts_with(&place) || place.starts_with(taken)).then(|| other.clone())
        };
        if let Some(other) = outputs.iter().find_map(overlaps) {
            return Err(format!(
                "the outputs `{other}` and `{port}` are not apart: `{shown}` belongs to both"
            ));
        }
        check_inside(port, &place, &root)?;
        outputs.insert(port.clone(), place);
    }
    match manifest.outputs.iter().find(|(port, declared)| declared.required && !outputs.contains_key(*port)) {
        Some((port, _)) => Err(format!("the required output `{port}` is missing")),
        None => Ok(outputs),
    }
}

/// No link of an output may lead out of the folder: its content would be whatever is there later. Nor may an output hold
/// anything but files and folders.
fn check_inside(port: &str, place: &Path, root: &Path) -> Result<(), String> {
    for item in walkdir::WalkDir::new(place) {
        let item = item.map_err(|error| format!("the output `{port}` can't be read ({error})"))?;
        let shown = item.path().strip_prefix(root).unwrap_or(item.path()).display().to_string();
        let kind = item.file_type();
        if kind.is_symlink() {
            match item.path().canonicalize() {
                Ok(target) if target.starts_with(root) => {}
                Ok(_) => {
                    return Err(format!(
                        "the output `{port}` holds the link `{shown}`, which leads out of its output folder"
                    ));
                }
                Err(_) => {
                    return Err(format!("the output `{port}` holds the link `{shown}`, which leads nowhere"));
                }
            }
        } else if !kind.is_file() && !kind.is_dir() {
            return Err(format!("the output `{port}` holds `{shown}`, which is neither a file nor a folder"));
        }
    }
    // A folder on the way to the output may be a link as well.
    match place.canonicalize() {
        Ok(target) if target.starts_with(root) => Ok(()),
        _ => Err(format!("the output `{port}` lies outside its output folder")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    fn answer(outputs: &[(&str, &str)], prepare: impl Fn(&Path)) -> String {
        let manifest: Manifest = serde_json::from_value(json!({
            "name": "fake", "version": "1.0.0", "cache-version": 1, "summary": "", "params": {},
            "outputs": {
                "a": {"type": "file", "summary": ""},
                "b": {"type": "dir", "summary": "", "required": false},
            },
        }))
        .unwrap();
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("secret"), "x").unwrap();
        let folder = base.path().join("out");
        fs::create_dir_all(folder.join("d")).unwrap();
        fs::write(folder.join("a"), "x").unwrap();
        prepare(&folder);
        let outputs = outputs.iter().map(|(port, path)| ((*port).to_owned(), PathBuf::from(path))).collect();
        match check(&RunResult { outputs, gates: vec![] }, &manifest, &folder) {
            Ok(outputs) => format!("ok {}", outputs.into_keys().collect::<Vec<_>>().join(" ")),
            Err(what) => what,
        }
    }

    #[test]
    fn every_lie_has_its_words() {
        let nothing = |_: &Path| ();
        let cases = [
            answer(&[("a", "a"), ("b", "d")], nothing),
            answer(&[], nothing),
            answer(&[("a", "a"), ("c", "d")], nothing),
            answer(&[("a", "../secret")], nothing),
            answer(&[("a", "/etc/passwd")], nothing),
            answer(&[("a", "")], nothing),
            answer(&[("a", "ghost")], nothing),
            answer(&[("a", "d/x"), ("b", "d")], |folder| fs::write(folder.join("d/x"), "").unwrap()),
            answer(&[("a", "link")], |folder| symlink("../secret", folder.join("link")).unwrap()),
            answer(&[("a", "a"), ("b", "d")], |folder| {
                symlink("../../secret", folder.join("d/link")).unwrap()
            }),
            answer(&[("a", "a"), ("b", "d")], |folder| symlink("nowhere", folder.join("d/link")).unwrap()),
            answer(&[("a", "up/secret")], |folder| symlink("..", folder.join("up")).unwrap()),
            answer(&[("a", "a"), ("b", "d")], |folder| {
                std::os::unix::net::UnixListener::bind(folder.join("d/socket")).unwrap();
            }),
        ];
        insta::assert_snapshot!(cases.join("\n"), @r"
        ok a b
        the required output `a` is missing
        the output `c` is not a port in its manifest
        the output `a` at `../secret` is not a path inside its output folder
        the output `a` at `/etc/passwd` is not a path inside its output folder
        the output `a` at `` is not a path inside its output folder
        the output `a` at `ghost` does not exist
        the outputs `a` and `b` are not apart: `d` belongs to both
        the output `a` holds the link `link`, which leads out of its output folder
        the output `b` holds the link `d/link`, which leads out of its output folder
        the output `b` holds the link `d/link`, which leads nowhere
        the output `a` lies outside its output folder
        the output `b` holds `d/socket`, which is neither a file nor a folder
        ");
    }
}
