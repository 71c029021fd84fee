//! The one place that reads environment variables.

use std::path::PathBuf;

/// A variable that Stagewright itself reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// Every variable that Stagewright itself reads. Terminal conventions (`NO_COLOR`, `CLICOLOR_FORCE`, `TERM`) are the display
/// libraries' business.
pub const VARIABLES: &[Variable] = &[
    Variable { name: "STAGEWRIGHT_STORE", meaning: "folder of the store, instead of the project's" },
    Variable {
        name: "STAGEWRIGHT_STAGE_PATH",
        meaning: "folders with stage programs, separated by `:`, searched before the project's",
    },
    Variable {
        name: "STAGEWRIGHT_LOG",
        meaning: "diagnostic log on stderr, for example `debug` or `stagewright::run=trace`",
    },
];

/// The variables' values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `STAGEWRIGHT_STORE`.
    pub store: Option<PathBuf>,
    /// `STAGEWRIGHT_STAGE_PATH`.
    pub stage_path: Vec<PathBuf>,
    /// `STAGEWRIGHT_LOG`.
    pub log: Option<String>,
}

impl Environment {
    /// Reads the variables of this process.
    pub fn read() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            store: path("STAGEWRIGHT_STORE").map(PathBuf::from),
            stage_path: path("STAGEWRIGHT_STAGE_PATH")
                .map_or_else(Vec::new, |list| std::env::split_paths(&list).collect()),
            log: std::env::var("STAGEWRIGHT_LOG").ok(),
        }
    }
}
