//! How busy the GPU is while a network runs, by Nsight Systems.
//!
//! Three shares of a window of steady state: the time in which the GPU does anything (overlapping work counted once), and of
//! the time of all work, that of kernels and that of copies. The window is the second half of the trace, from the first work
//! on the GPU to the last: loading the engine and warming up lie in the first half when the run is long enough.

use std::{ffi::OsString, fs, path::Path};

use stagewright_sdk::{FaultExt, Result};

use crate::{
    Load, Machine, Network, Runner,
    process::{Job, Stopped, stream},
};

/// Target of [`Use::gpu`], in percent: above.
pub const GPU_USE_TARGET: f64 = 70.0;
/// Target of [`Use::kernels`], in percent: above.
pub const KERNEL_TARGET: f64 = 60.0;
/// Target of [`Use::copies`], in percent: below.
pub const MEMCPY_TARGET: f64 = 20.0;

/// What a report may be called: the latter up to 2021.
const REPORTS: [&str; 2] = ["profile.nsys-rep", "profile.qdrep"];

/// What the GPU does, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Share of the window in which a kernel, a copy or a fill runs.
    pub gpu: f64,
    /// Share of kernels in the time of all work.
    pub kernels: f64,
    /// Share of copies in the time of all work.
    pub copies: f64,
    /// Length of the window in milliseconds.
    pub window: f64,
}

/// Profiles runs of a network on one input.
///
/// # Errors
/// The outer error is that of `listen`, or of an input that does not fit; the inner one says why there is no profile: `nsys` is
/// not there, fails (it needs rights that containers often lack), or its report is not readable.
pub fn profile(
    machine: &Machine,
    runner: &Runner,
    network: &Network,
    input: &[f32],
    batch: usize,
    load: Load,
    mut listen: impl FnMut() -> Result<()>,
) -> Result<Result<Use, String>> {
    let Some(nsys) = machine.program("nsys") else {
        return Ok(Err("nsys (NVIDIA Nsight Systems) was not found".to_owned()));
    };
    let mut arguments: Vec<OsString> = [
        "profile",
        "--trace=cuda",
        "--sample=none",
        "--cpuctxsw=none",
        // Kernels of a graph one by one: the graph as a whole would look like one kernel.
        "--cuda-graph-trace=node",
        "--force-overwrite=true",
        "-o",
        "profile",
    ]
    .map(OsString::from)
    .to_vec();
    arguments.push(runner.installation.program.clone().into_os_string());
    arguments.extend(runner.prepare(network, input, batch, load)?);
    // A report of an earlier run must not be taken for this one's.
    for name in REPORTS {
        let path = runner.scratch.join(name);
        if path.exists() {
            fs::remove_file(&path).or_environment(format_args!("cannot remove {}", path.display()))?;
        }
    }
    if let Err(reason) = call(&nsys, &arguments, runner, &mut listen)? {
        return Ok(Err(reason));
    }
    let report = REPORTS.into_iter().find(|name| runner.scratch.join(name).is_file());
    let Some(report) = report else {
        return Ok(Err("nsys profile wrote no report".to_owned()));
    };
    let arguments = ["stats", "--report", "cuda_gpu_trace", "--format", "csv", "--force-export=true", report];
    let csv = call(&nsys, &arguments.map(OsString::from), runner, &mut listen)?;
    Ok(csv.and_then(|csv| weigh(&csv)))
}

/// Runs `nsys` in the runner's scratch folder: what it says, or why it failed.
fn call(
    nsys: &Path,
    arguments: &[OsString],
    runner: &Runner,
    listen: &mut impl FnMut() -> Result<()>,
) -> Result<Result<String, String>> {
    let libraries = runner.installation.libraries.as_deref();
    let job = Job { program: nsys, arguments, libraries, folder: Some(&runner.scratch) };
    let mut said = String::new();
    let ended = stream(&job, |line| {
        if let Some(line) = line {
            said.push_str(line);
            said.push('\n');
        }
        listen().map_err(Stopped::Stage)
    });
    match ended {
        Ok(ended) if ended.status.success() => Ok(Ok(said)),
        Ok(ended) => {
            let verb = arguments.first().map(|verb| verb.to_string_lossy()).unwrap_or_default();
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            Ok(Err(format!("nsys {verb} {}: {}", ended.how(), last.trim())))
        }
        Err(Stopped::Stage(fault)) => Err(fault),
        Err(Stopped::Io(error)) => Ok(Err(format!("cannot run {}: {error}", nsys.display()))),
    }
}

/// What the GPU was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Kernel,
    Copy,
    Fill,
}

/// Weighs the CSV text of `nsys stats --report cuda_gpu_trace`, whatever stands before its header.
///
/// # Errors
/// It has no such table, or the table has no work in the window.
pub fn weigh(csv: &str) -> Result<Use, String> {
    let work = read(csv)?;
    let first = work.iter().map(|(_, start, _)| *start).fold(f64::INFINITY, f64::min);
    let last = work.iter().map(|(_, _, end)| *end).fold(f64::NEG_INFINITY, f64::max);
    let from = first + (last - first) / 2.0;
    let mut spans: Vec<(Work, f64, f64)> = work
        .into_iter()
        .filter(|(_, start, end)| *end > from && end > start)
        .map(|(work, start, end)| (work, start.max(from), end))
        .collect();
    let sum = |wanted: &[Work]| {
        spans
            .iter()
            .filter(|(work, ..)| wanted.contains(work))
            .map(|(_, start, end)| end - start)
            .sum::<f64>()
    };
    let all = sum(&[Work::Kernel, Work::Copy, Work::Fill]);
    if spans.is_empty() || all <= 0.0 {
        return Err("the trace of nsys shows no work on the GPU".to_owned());
    }
    let (kernels, copies) = (sum(&[Work::Kernel]), sum(&[Work::Copy]));
    spans.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut busy = 0.0;
    let mut reached = from;
    for (_, start, end) in spans {
        busy += (end - start.max(reached)).max(0.0);
        reached = reached.max(end);
    }
    let percent = |part: f64, whole: f64| 100.0 * part / whole;
    Ok(Use {
        gpu: percent(busy, last - from),
        kernels: percent(kernels, all),
        copies: percent(copies, all),
        window: (last - from) / 1e6,
    })
}

/// All work with its start and end in nanoseconds.
fn read(csv: &str) -> Result<Vec<(Work, f64, f64)>, String> {
    let mut lines = csv.lines();
    let mut columns = None;
    for line in lines.by_ref() {
        let header = fields(line);
        let find = |wanted: &str| header.iter().position(|name| name.split(" (").next() == Some(wanted));
        if let (Some(start), Some(duration), Some(name)) = (find("Start"), find("Duration"), find("Name")) {
            columns = Some((start, unit(&header[start])?, duration, unit(&header[duration])?, name));
            break;
        }
    }
    let (start, start_unit, duration, duration_unit, name) =
        columns.ok_or("the report of nsys has no table with Start, Duration and Name")?;
    let mut work = Vec::new();
    for line in lines {
        let row = fields(line);
        let number = |index: usize| row.get(index)?.parse::<f64>().ok().filter(|value| value.is_finite());
        let (Some(from), Some(length), Some(name)) = (number(start), number(duration), row.get(name)) else {
            // A blank line, or what nsys says after the table.
            continue;
        };
        let from = from * start_unit;
        work.push((kind(name), from, from + length * duration_unit));
    }
    if work.is_empty() { Err("the trace of nsys shows no work on the GPU".to_owned()) } else { Ok(work) }
}

/// Nanoseconds in the unit that a column's name ends with.
fn unit(column: &str) -> Result<f64, String> {
    match column.rsplit_once('(').map(|(_, unit)| unit.trim_end_matches(')')) {
        None | Some("ns") => Ok(1.0),
        Some("us" | "μs" | "µs") => Ok(1e3),
        Some("ms") => Ok(1e6),
        Some("s" | "sec") => Ok(1e9),
        Some(other) => Err(format!("the report of nsys counts in `{other}`")),
    }
}

/// Operations on memory stand in brackets; everything else is a kernel's name.
fn kind(name: &str) -> Work {
    let lower = name.trim().to_ascii_lowercase();
    match lower.starts_with("[cuda") {
        true if lower.contains("memset") => Work::Fill,
        true => Work::Copy,
        false => Work::Kernel,
    }
}

/// Fields of a line of CSV: quotes hold commas, two of them stand for one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim().chars().peekable();
    while let Some(next) = chars.next() {
        match (next, fields.last_mut()) {
            ('"', Some(field)) if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => fields.push(String::new()),
            (other, Some(field)) => field.push(other),
            (_, None) => {}
        }
    }
    fields
}
