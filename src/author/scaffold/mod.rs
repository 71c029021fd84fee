//! A project to start from: a stage program that builds, runs, and passes the conformance cases as it is.

mod vendor;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::catalog::PREFIX;

/// The single-file SDK, copied beside a program in Python.
const PYTHON_SDK: &str = include_str!("../../../stages/lib/sdk-python/stagewright_stage.py");

/// What a new stage program is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A Cargo project with the SDK beside it.
    Rust,
    /// An executable script with the single-file SDK beside it.
    Python,
}

/// Why a project can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name can't be that of a stage program.
    #[error("`{name}` can't be the name of a stage program")]
    Name {
        /// The name.
        name: String,
    },
    /// Something is there already.
    #[error("{folder} is there already")]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// A file can't be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A manifest that ships with this release is not what it should be.
    #[error("the manifest of {package} that ships with this release can't be used: {reason}")]
    Manifest {
        /// The package.
        package: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Makes the project `folder` for a stage program `name`. Gives the files it wrote, relative to the folder.
pub fn create(name: &str, language: Language, folder: &Path) -> Result<Vec<PathBuf>, ScaffoldError> {
    // What can be a file name, a crate's name and a value of `uses:` alike.
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !valid {
        return Err(ScaffoldError::Name { name: name.to_owned() });
    }
    if fs::symlink_metadata(folder).is_ok() {
        return Err(ScaffoldError::Exists { folder: folder.to_owned() });
    }
    let files = match language {
        Language::Rust => rust(name)?,
        Language::Python => python(name),
    };
    for (path, text) in &files {
        write(&folder.join(path), text, path.starts_with(program_file(name)))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// File name of a stage's program.
pub fn program_file(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn rust(name: &str) -> Result<Vec<(PathBuf, String)>, ScaffoldError> {
    let mut files = vec![
        ("Cargo.toml".into(), filled(include_str!("templates/rust/Cargo.toml.tmpl"), name)),
        ("src/main.rs".into(), filled(include_str!("templates/rust/main.rs.tmpl"), name)),
        ("README.md".into(), filled(include_str!("templates/rust/README.md.tmpl"), name)),
        (".gitignore".into(), "/target/\n".to_owned()),
    ];
    files.extend(vendor::files()?);
    Ok(files)
}

fn python(name: &str) -> Vec<(PathBuf, String)> {
    vec![
        (program_file(name).into(), filled(include_str!("templates/python/program.tmpl"), name)),
        ("stagewright_stage.py".into(), PYTHON_SDK.to_owned()),
        (
            format!("test_{}.py", name.replace('-', "_")).into(),
            filled(include_str!("templates/python/test.py.tmpl"), name),
        ),
        ("README.md".into(), filled(include_str!("templates/python/README.md.tmpl"), name)),
        (".gitignore".into(), "__pycache__/\n".to_owned()),
    ]
}

fn filled(template: &str, name: &str) -> String {
    template.replace("%name%", name)
}

fn write(path: &Path, text: &str, executable: bool) -> Result<(), ScaffoldError> {
    let failed = |source| ScaffoldError::Write { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)?;
    if executable {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_checked_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "Train", "2fast", "a_b", "a/b", "a-", "-a", "ä"] {
            let error = create(name, Language::Python, &folder.path().join("x")).unwrap_err();
            assert!(matches!(error, ScaffoldError::Name { .. }), "{name}");
        }
        let error = create("word-count", Language::Python, folder.path()).unwrap_err();
        assert!(matches!(error, ScaffoldError::Exists { .. }));
    }

    #[test]
    fn every_placeholder_is_filled() {
        for language in [Language::Python, Language::Rust] {
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("new");
            for path in create("word-count", language, &folder).unwrap() {
                let text = fs::read_to_string(folder.join(&path)).unwrap();
                assert!(!text.contains("%name%"), "{}", path.display());
                let executable = fs::metadata(folder.join(&path)).unwrap().permissions().mode() & 0o111 != 0;
                assert_eq!(
                    executable,
                    path.starts_with("stagewright-stage-word-count"),
                    "{}",
                    path.display()
                );
            }
        }
    }
}
