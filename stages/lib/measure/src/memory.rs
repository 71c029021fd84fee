//! Memory of a model, measured in a process of its own.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    process::ExitCode,
};

use serde::{Deserialize, Serialize};
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{FaultExt, Result, StageFault};

use crate::child;

/// First argument of a program that is started to measure the peak.
const PEAK: &str = "--measure-peak-memory";

/// First argument of a program that is started to measure growth.
const GROWTH: &str = "--measure-memory-growth";

/// Points taken of each loop of [`Growth`].
const POINTS: usize = 100;

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

/// Resident bytes over a loop's count, for two loops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Growth {
    /// (inferences done, resident bytes).
    pub inferences: Vec<(f64, f64)>,
    /// (sessions opened and closed, resident bytes).
    pub sessions: Vec<(f64, f64)>,
}

/// A model and how it is run.
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
}

impl Load<'_> {
    fn ask<T: serde::de::DeserializeOwned>(&self, argument: &str, more: &[usize]) -> Result<T> {
        let mut numbers = vec![self.batch, self.size[0], self.size[1], self.threads];
        numbers.extend(more);
        let texts: Vec<OsString> = numbers.iter().map(|number| number.to_string().into()).collect();
        let arguments: Vec<&OsStr> =
            std::iter::once(self.model.as_os_str()).chain(texts.iter().map(OsString::as_os_str)).collect();
        child::ask(argument, &arguments)
    }

    fn open(&self) -> Result<(Session, Vec<f32>)> {
        let options =
            SessionOptions { threads: self.threads, size: Some(self.size), ..SessionOptions::default() };
        let session = Session::open(self.model, &options)?;
        Ok((session, vec![0.5; self.batch * 3 * self.size[0] * self.size[1]]))
    }
}

/// Loads a model in a process of its own, runs it `runs` times, and gives that process's memory.
///
/// # Errors
/// The process can't be started or fails; its own words are in the error.
pub fn peak(load: &Load<'_>, runs: usize) -> Result<Memory> {
    load.ask(PEAK, &[runs])
}

/// Runs a model `inferences` times and opens and closes it `sessions` times in a process of its own, watching that process's
/// resident memory after a warm-up of a tenth of each.
///
/// # Errors
/// As [`peak`].
pub fn growth(load: &Load<'_>, inferences: usize, sessions: usize) -> Result<Growth> {
    load.ask(GROWTH, &[inferences, sessions])
}

/// Does the work if the program was started for a measurement; call it first in `main`.
pub fn answer() -> Option<ExitCode> {
    child::answer(PEAK, answer_peak).or_else(|| child::answer(GROWTH, answer_growth))
}

fn parse<const N: usize>(arguments: &[OsString]) -> Result<(Load<'_>, [usize; N])> {
    let (model, numbers) =
        arguments.split_first().ok_or_else(|| StageFault::internal("a model is wanted"))?;
    let (common, more) =
        numbers.split_at_checked(4).ok_or_else(|| StageFault::internal("numbers are missing"))?;
    let [batch, height, width, threads] = child::numbers(common)?;
    Ok((Load { model: Path::new(model), batch, size: [height, width], threads }, child::numbers(more)?))
}

fn answer_peak(arguments: &[OsString]) -> Result<Memory> {
    let (load, [runs]) = parse(arguments)?;
    // Loads the runtime, which is not the model's.
    stagewright_onnx::runtime_version()?;
    let before = resident()?;
    let (mut session, input) = load.open()?;
    for _ in 0..runs {
        session.run_sized(&input, load.batch, load.size)?;
    }
    Ok(Memory { before, peak: status("VmHWM:")? })
}

fn answer_growth(arguments: &[OsString]) -> Result<Growth> {
    let (load, [inferences, sessions]) = parse(arguments)?;
    let (mut session, input) = load.open()?;
    let inferences = observe(inferences, || {
        session.run_sized(&input, load.batch, load.size).map(drop).map_err(Into::into)
    })?;
    let sessions = observe(sessions, || {
        let (mut session, input) = load.open()?;
        session.run_sized(&input, load.batch, load.size)?;
        Ok(())
    })?;
    Ok(Growth { inferences, sessions })
}

/// Does `work` a tenth of `count` times as a warm-up, then `count` times, and gives (times done, resident bytes) at up to 100 points.
///
/// # Errors
/// `work` fails, or the system does not tell the memory.
pub fn observe(count: usize, mut work: impl FnMut() -> Result<()>) -> Result<Vec<(f64, f64)>> {
    for _ in 0..count / 10 {
        work()?;
    }
    let step = count.div_ceil(POINTS).max(1);
    let mut points = Vec::with_capacity(POINTS);
    for done in 1..=count {
        work()?;
        if done % step == 0 {
            points.push((done as f64, resident()? as f64));
        }
    }
    Ok(points)
}

/// Resident memory of this process in bytes (`VmRSS` of proc(5)).
///
/// # Errors
/// The system does not tell.
pub fn resident() -> Result<u64> {
    status("VmRSS:")
}

fn status(field: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status").or_environment("cannot read /proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| StageFault::environment(format!("/proc/self/status has no {field}")))
}
