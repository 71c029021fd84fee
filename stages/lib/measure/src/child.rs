//! Measuring in a process that does nothing else: a stage starts its own program again with an argument that says what to
//! measure, and the answer comes back as one line of JSON.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::OnceLock,
};

use serde::{Serialize, de::DeserializeOwned};
use stagewright_sdk::{FaultExt, Result, StageFault};

/// Program to start instead of the running one; tests set it, because theirs is the test runner.
pub static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Starts this program with `argument` and more, and reads its answer.
///
/// # Errors
/// The process can't be started, fails (its last words are in the error), or answers something else.
pub fn ask<T: DeserializeOwned>(argument: &str, more: &[&OsStr]) -> Result<T> {
    let program = match PROGRAM.get() {
        Some(program) => program.clone(),
        None => std::env::current_exe().or_environment("cannot find the running program")?,
    };
    let done = Command::new(&program).arg(argument).args(more).stdin(Stdio::null()).output();
    let done = done.or_environment(format_args!("cannot start {}", program.display()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        let message = format!("the process for `{argument}` ended with {}: {last}", done.status);
        return Err(StageFault::environment(message));
    }
    // A library below may print lines of its own before.
    let line = done.stdout.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(line).or_internal(format_args!("the process for `{argument}` gave no measurement"))
}

/// Does `work` and prints its answer if the program was started with `argument`; call it first in `main`.
pub fn answer<T: Serialize>(argument: &str, work: impl FnOnce(&[OsString]) -> Result<T>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (first, more) = arguments.split_first()?;
    if first != argument {
        return None;
    }
    let text = work(more)
        .and_then(|answer| serde_json::to_string(&answer).or_internal("cannot encode the measurement"));
    Some(match text {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Numbers among the arguments, all of them or an error.
///
/// # Errors
/// One is not a number, or there are not `N`.
pub fn numbers<const N: usize>(arguments: &[OsString]) -> Result<[usize; N]> {
    let numbers: Option<Vec<usize>> = arguments.iter().map(|number| number.to_str()?.parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| StageFault::internal(format!("{N} numbers are wanted, not {arguments:?}")))
}
