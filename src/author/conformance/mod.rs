//! Does a program keep the protocol? Each case starts the program anew and holds one conversation with it, as the engine
//! would or as a host with faults would.
//!
//! The cases speak raw lines instead of using [`crate::plugin`]: a host that keeps the rules could not tell how a program
//! takes one that does not.

mod bench;
mod cases;
mod exchange;
mod manifest;
mod params;
mod runs;
mod talk;
mod verdict;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

pub use verdict::{CaseResult, Verdict};

/// What is tested, and with what.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The executable.
    pub program: PathBuf,
    /// Params as `with:` gives them; defaults are filled in.
    pub params: Value,
    /// Files and folders by input port. Without those that the manifest requires, the cases that run are left out.
    pub inputs: BTreeMap<String, Vec<PathBuf>>,
    /// Longest wait for any answer but that of a run.
    pub patience: Duration,
    /// Longest wait for the answer of a run.
    pub run_limit: Duration,
    /// From being asked to stop to being killed.
    pub grace: Duration,
}

impl Subject {
    /// A program without params and inputs, with the engine's own patience.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            params: Value::Object(Default::default()),
            inputs: BTreeMap::new(),
            patience: Duration::from_secs(30),
            run_limit: Duration::from_secs(600),
            grace: Duration::from_secs(10),
        }
    }
}

/// Why the cases could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// There is no such file, or it can't be executed.
    #[error("cannot start {program}: {source}")]
    NotExecutable {
        /// The executable.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something was given for a port that the program does not have.
    #[error("{program} has no input `{port}`")]
    NoPort {
        /// The executable.
        program: PathBuf,
        /// The port.
        port: String,
        /// Its ports.
        known: Vec<String>,
    },
    /// An input is not there.
    #[error("cannot read the input {path}: {source}")]
    Input {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folders to test in can't be made or looked at.
    #[error("cannot work in {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Tries every case.
pub fn test(subject: &Subject) -> Result<Vec<CaseResult>, ConformanceError> {
    let program = std::path::absolute(&subject.program)
        .and_then(|path| path.metadata().map(|_| path))
        .map_err(|source| ConformanceError::NotExecutable { program: subject.program.clone(), source })?;
    for path in subject.inputs.values().flatten() {
        path.metadata().map_err(|source| ConformanceError::Input { path: path.clone(), source })?;
    }
    let inputs = subject
        .inputs
        .iter()
        .map(|(port, paths)| (port.clone(), paths.iter().map(|path| absolute(path)).collect()))
        .collect();
    cases::all(&Subject { program, inputs, ..subject.clone() })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
