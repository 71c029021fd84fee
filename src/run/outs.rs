//! What stages write in the work tree themselves: removed before they run, stored after it, brought back where a stored result
//! serves.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{failure, folders, secrets, shares::Shares};
use crate::{
    plan::{Action, Out, OutKind, Start},
    plugin::Secrets,
    record::{ActionResult, Failure, StoredOutput},
    store::{ArtifactKind, LocalStore},
};

/// Removes what an earlier run left, but for what the stage goes on with.
pub(super) fn clear(action: &Action, root: &Path) -> Result<(), Failure> {
    for out in action.outs.iter().filter(|out| !out.persist) {
        let path = root.join(&out.path);
        inside(action, out, &path, root)?;
        remove(&path).map_err(|error| failure::from_io("remove", &path, &error))?;
    }
    Ok(())
}

/// A link on the way to an out may lead anywhere, and what is there is not the stage's.
fn inside(action: &Action, out: &Out, path: &Path, root: &Path) -> Result<(), Failure> {
    let real = path.ancestors().skip(1).find_map(|folder| fs::canonicalize(folder).ok());
    let root = fs::canonicalize(root).map_err(|error| failure::from_io("read", root, &error))?;
    if real.is_some_and(|real| real.starts_with(&root)) {
        return Ok(());
    }
    Err(failure::user(
        format!(
            "the out `{}` of `{}` lies outside of the project, behind a link",
            out.path.display(),
            action.id
        ),
        Some("let the stage write to a folder of the project"),
    ))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(())
        }
        Err(error) => Err(error),
        Ok(meta) if meta.is_dir() => folders::remove(path),
        // A link goes, not what it leads to.
        Ok(_) => fs::remove_file(path),
    }
}

/// What a stage may write beside its private folders: a command works in the project, a stage program writes the paths that it
/// declares.
pub(super) fn writable(action: &Action, root: &Path) -> Vec<PathBuf> {
    if matches!(action.program.start, Start::Command(_)) {
        return vec![root.to_owned()];
    }
    let folder = |out: &Out| {
        let path = root.join(&out.path);
        path.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned)
    };
    action.outs.iter().filter_map(folder).collect()
}

/// Stores what a stage wrote, by port, and leaves it where it is.
pub(super) fn collect(
    action: &Action,
    root: &Path,
    store: &LocalStore,
    secrets: &Secrets,
) -> Result<BTreeMap<String, StoredOutput>, Failure> {
    let places: BTreeMap<String, PathBuf> =
        action.outs.iter().map(|out| (out.port(), root.join(&out.path))).collect();
    let missing: Vec<String> =
        places.iter().filter(|(_, path)| !path.exists()).map(|(port, _)| format!("`{port}`")).collect();
    if !missing.is_empty() {
        return Err(failure::user(
            format!("`{}` ended well, but did not write {}", action.id, missing.join(", ")),
            Some("its `outs` name what it writes; is the path right, and relative to the folder it runs in?"),
        ));
    }
    secrets::check_outputs(action, secrets, &places)?;
    let mut found = BTreeMap::new();
    for out in &action.outs {
        let path = root.join(&out.path);
        inside(action, out, &path, root)?;
        let artifact = store.keep(&path).map_err(|error| failure::from_store(&error))?;
        let artifact_type = match (artifact.kind, out.kind) {
            (_, OutKind::Metrics) => "metrics",
            (_, OutKind::Plots) => "plots",
            (ArtifactKind::File, OutKind::Out) => "file",
            (ArtifactKind::Tree, OutKind::Out) => "dir",
        };
        let executable = artifact.kind == ArtifactKind::File && is_executable(&path);
        let name = out.path.file_name().map(|name| name.to_string_lossy().into_owned());
        found.insert(
            out.port(),
            StoredOutput {
                artifact_type: artifact_type.to_owned(),
                file_name: name.unwrap_or_default(),
                artifact,
                executable,
            },
        );
    }
    Ok(found)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

/// Brings the outs of a stored result to where they belong. What lies there and is not the same is of another result, or half of
/// one: a run would remove it as well. True if something had to be changed.
pub(super) fn restore(
    action: &Action,
    result: &ActionResult,
    root: &Path,
    store: &LocalStore,
    shares: &Shares,
) -> Result<bool, Failure> {
    let mut changed = false;
    for out in &action.outs {
        let Some(output) = result.outputs.get(&out.port()) else { continue };
        let path = root.join(&out.path);
        inside(action, out, &path, root)?;
        let there = path.exists() && store.fingerprint(&path).is_ok_and(|found| found == output.artifact);
        if !there {
            // Another run of the project may be writing it.
            let _held = shares.out(out).map_err(|error| failure::from_io("lock", &path, &error))?;
            changed = true;
            remove(&path).map_err(|error| failure::from_io("remove", &path, &error))?;
            store.export(&output.artifact, &path).map_err(|error| failure::from_store(&error))?;
        }
        if output.executable && !is_executable(&path) {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .map_err(|error| failure::from_io("change the permissions of", &path, &error))?;
        }
    }
    Ok(changed)
}
