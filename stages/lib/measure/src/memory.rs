//! Peak memory of a model, measured in a process that does nothing else.
//!
//! A stage that measures memory starts its own program again with [`ARGUMENT`]; [`answer`] recognizes that and does the
//! work. What the other process needs, it gets as arguments and answers as one line of JSON.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{FaultExt, Result, StageFault};

/// First argument of a program that is started to measure memory.
pub const ARGUMENT: &str = "--measure-memory";

/// Program to start instead of the running one; tests set it, because theirs is the test runner.
pub static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Memory of one process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Memory {
    /// Resident before the model was loaded: the program and the runtime.
    pub before: u64,
    /// Largest resident size until the end.
    pub peak: u64,
}

impl Memory {
    /// What the model added at its peak: weights, activations, the runtime's buffers.
    pub fn of_model(&self) -> u64 {
        self.peak.saturating_sub(self.before)
    }
}

/// What to run in the other process.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// The ONNX file.
    pub model: &'a Path,
    /// Images per run.
    pub batch: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// Threads.
    pub threads: usize,
    /// Runs.
    pub runs: usize,
}

/// Loads and runs a model in a process of its own and gives that process's memory.
///
/// # Errors
/// The process can't be started or fails; its own words are in the error.
pub fn measure(load: &Load<'_>) -> Result<Memory> {
    let program = match PROGRAM.get() {
        Some(program) => program.clone(),
        None => std::env::current_exe().or_environment("cannot find the running program")?,
    };
    let numbers = [load.batch, load.size[0], load.size[1], load.threads, load.runs];
    let done = Command::new(&program)
        .arg(ARGUMENT)
        .arg(load.model)
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .output()
        .or_environment(format_args!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    if !done.status.success() {
        let message = format!("the process that measures memory ended with {}: {last}", done.status);
        return Err(StageFault::environment(message));
    }
    serde_json::from_slice(&done.stdout).or_internal("the process that measures memory gave no measurement")
}

/// Does the work if the program was started to measure memory; call it first in `main`.
pub fn answer() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_none_or(|first| first != ARGUMENT) {
        return None;
    }
    Some(match run(&arguments[1..]) {
        Ok(memory) => {
            println!("{}", serde_json::to_string(&memory).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn run(arguments: &[OsString]) -> Result<Memory> {
    let wrong = || StageFault::internal(format!("{ARGUMENT} wants MODEL BATCH HEIGHT WIDTH THREADS RUNS"));
    let [model, numbers @ ..] = arguments else { return Err(wrong()) };
    let numbers: Vec<usize> = numbers.iter().filter_map(|number| number.to_str()?.parse().ok()).collect();
    let [batch, height, width, threads, runs] = numbers[..] else { return Err(wrong()) };
    // Loads the runtime, which is not the model's.
    stagewright_onnx::runtime_version()?;
    let before = resident()?;
    let options = SessionOptions { threads, size: Some([height, width]), ..SessionOptions::default() };
    let mut session = Session::open(Path::new(model), &options)?;
    let input = vec![0.5; batch * 3 * height * width];
    for _ in 0..runs {
        session.run_sized(&input, batch, [height, width])?;
    }
    Ok(Memory { before, peak: peak()? })
}

/// Resident memory of this process in bytes (`VmRSS` of proc(5)).
///
/// # Errors
/// The system does not tell.
pub fn resident() -> Result<u64> {
    status("VmRSS:")
}

fn peak() -> Result<u64> {
    status("VmHWM:")
}

fn status(field: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status").or_environment("cannot read /proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| StageFault::environment(format!("/proc/self/status has no {field}")))
}
