//! `cargo xtask test --full`: the tests that ask other tools what they make of what Stagewright writes.
//!
//! Such a test is ignored by default and its name begins with `full_`, or a part of it is left out without STAGEWRIGHT_TEST_PYTHON, so
//! that a machine without the tools passes the suite. They come from PyPI into an environment of their own in `.native`, which git ignores.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Outcome, root,
    step::{self, cargo},
};

/// What pip installs.
const TOOLS: &[&str] = &[
    "dvc>=3.67,<4",
    "in-toto-attestation",
    "securesystemslib[crypto]",
    "cyclonedx-python-lib[json-validation]",
    "prov",
    "model-signing",
    // `model-signing` needs it and does not say so.
    "pyopenssl",
    "huggingface_hub",
];

/// The tests that ask them, for nextest.
const WANTED: &str = "test(/(^|::)full_/) | test(/^exports::/) | test(/^cards::/)";

/// Installs the tools, where they are not there yet, and runs the tests that want them.
pub fn run(nextest: bool) -> Outcome {
    let environment = root().join(".native").join("tools");
    install(&environment)?;
    let programs = environment.join("bin");
    let path = with_path(&programs)?;
    let arguments: &[&[&str]] = if nextest {
        &[&["nextest", "run", "--workspace", "--run-ignored", "all", "-E", WANTED]]
    } else {
        &[
            &["test", "--workspace", "--lib", "--bins", "--tests", "full_", "--", "--ignored"],
            &["test", "--package", "stagewright", "--test", "cli", "exports::"],
        ]
    };
    arguments.iter().try_for_each(|arguments| {
        let mut tests = cargo(arguments);
        tests.env("PATH", &path).env("STAGEWRIGHT_TEST_PYTHON", programs.join("python"));
        step::run("tests with other tools", &mut tests)
    })
}

fn install(environment: &Path) -> Outcome {
    let python = environment.join("bin").join("python");
    if !python.exists() {
        step::run("environment", Command::new("python3").args(["-m", "venv"]).arg(environment)).map_err(
            |error| format!("{error}; on Debian and Ubuntu the package python3-venv brings what is missing"),
        )?;
    }
    step::run(
        "tools",
        Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(TOOLS),
    )
}

/// `PATH` with a folder before all others.
fn with_path(folder: &Path) -> Outcome<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(PathBuf::from(folder)).chain(std::env::split_paths(&path));
    std::env::join_paths(all).map_err(|error| format!("PATH can't name {}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_come_first() {
        let path = with_path(Path::new("/tools/bin")).expect("a path");
        assert_eq!(std::env::split_paths(&path).next(), Some(PathBuf::from("/tools/bin")));
        assert!(with_path(Path::new("/odd:place")).is_err());
    }
}
