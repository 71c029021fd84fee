//! What compiling needs to know besides the pipeline file, handed in because the plan does no I/O.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Overrides, Program, ReleasedMetrics};

/// What stands at a path of the work tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Nothing.
    Missing,
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Everything outside of the pipeline file that a plan depends on.
pub struct CompileInputs<'a> {
    /// Values of the command line; they override those of the files.
    pub overrides: &'a Overrides,
    /// Stage programs by the name written after `uses:`.
    pub catalog: &'a BTreeMap<String, Program>,
    /// Facts for `host`.
    pub host: &'a BTreeMap<String, Value>,
    /// State of the repository for `git`, a map.
    pub git: Value,
    /// Variables of the environment that pipelines may read through `env`.
    pub env: BTreeMap<String, String>,
    /// The pipeline file, relative to the project root.
    pub file: PathBuf,
    /// Looks at a path relative to the project root.
    pub path_exists: &'a dyn Fn(&Path) -> PathKind,
    /// `hashFiles()`: SHA-256, in hex, of the digests of the files that match the patterns, in the order of their paths; empty
    /// where none does. Patterns are relative to the project root; one that starts with `!` takes files out again.
    pub hash_files: &'a dyn Fn(&[String]) -> Result<String, String>,
    /// The last release, where there is one; targets are the only ones to ask for it ([`compares_with_release`]).
    ///
    /// [`compares_with_release`]: super::compares_with_release
    pub release: Option<ReleasedMetrics>,
}
