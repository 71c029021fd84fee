//! Running a network with `trtexec` on given inputs.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use stagewright_sdk::{FaultExt, Result, StageFault};

use crate::{
    Installation, Network, Reading, Source, Version, diagnose, parse_output, parse_times,
    process::{Job, Stopped, stream},
};

/// How long `trtexec` runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Time of runs that do not count.
    pub warm_up: Duration,
    /// Least time of runs that count; rounded up to whole seconds.
    pub duration: Duration,
    /// Least number of runs that count.
    pub iterations: usize,
}

impl Load {
    /// One run, for its answer.
    pub const ONCE: Self = Self { warm_up: Duration::ZERO, duration: Duration::ZERO, iterations: 1 };

    /// Runs for a time, for the latencies.
    pub fn of(duration: Duration) -> Self {
        Self { warm_up: Duration::from_millis(500), duration, iterations: 10 }
    }
}

/// What a run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Logits, `[batch, classes]`; NaN for whatever is not finite.
    pub logits: Vec<f32>,
    /// Number of classes.
    pub classes: usize,
    /// Time of each run that counts, from its input in the machine's memory to its output there, in milliseconds.
    pub latencies: Vec<f64>,
}

/// Runs networks with one `trtexec` on one GPU.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The program.
    pub installation: Installation,
    /// GPU, as a CUDA program counts them.
    pub device: usize,
    /// Folder for what goes in and comes out.
    pub scratch: PathBuf,
}

/// Names inside the scratch folder: `trtexec` splits the list of inputs at commas and colons, which a whole path may hold.
const INPUT: &str = "input.bin";
const OUTPUT: &str = "output.json";
const TIMES: &str = "times.json";

impl Runner {
    /// Runs a network on one input, `batch` images one after the other. `listen` is called about ten times a second while it
    /// runs; its error ends the run.
    ///
    /// # Errors
    /// The length of `input` is not that of `batch` images; the network does not take such a batch; `trtexec` fails or writes
    /// something else than logits.
    pub fn run(
        &self,
        network: &Network,
        input: &[f32],
        batch: usize,
        load: Load,
        mut listen: impl FnMut() -> Result<()>,
    ) -> Result<Answer> {
        let arguments = self.prepare(network, input, batch, load)?;
        let mut reading = Reading::default();
        let job = Job {
            program: &self.installation.program,
            arguments: &arguments,
            libraries: self.installation.libraries.as_deref(),
            folder: Some(&self.scratch),
        };
        let ended = stream(&job, |line| {
            if let Some(line) = line {
                reading.take(line);
            }
            listen().map_err(Stopped::Stage)
        });
        let program = self.installation.program.display();
        let ended = ended.map_err(|stopped| match stopped {
            Stopped::Stage(fault) => fault,
            Stopped::Io(error) => StageFault::environment(format!("cannot run {program}: {error}")),
        })?;
        if !ended.status.success() {
            return Err(diagnose(&reading, &ended.how()));
        }
        if !reading.passed {
            return Err(diagnose(&reading, "ended without saying PASSED"));
        }
        self.answer(batch)
    }

    /// Writes the input and gives the arguments of the run, for someone who starts `trtexec` in another way, with the
    /// scratch folder as the working folder.
    ///
    /// # Errors
    /// As [`Runner::run`], before anything is run.
    pub fn prepare(
        &self,
        network: &Network,
        input: &[f32],
        batch: usize,
        load: Load,
    ) -> Result<Vec<OsString>> {
        network.check_batch(&network.input, batch)?;
        if input.len() != batch * network.stride() {
            let message = format!("{} values are not {batch} images of {:?}", input.len(), network.image);
            return Err(StageFault::internal(message));
        }
        fs::create_dir_all(&self.scratch)
            .or_environment(format_args!("cannot create {}", self.scratch.display()))?;
        let path = self.scratch.join(INPUT);
        write_raw(&path, input).or_environment(format_args!("cannot write {}", path.display()))?;
        for name in [OUTPUT, TIMES] {
            // Those of an earlier run must not be taken for this one's.
            let path = self.scratch.join(name);
            if path.exists() {
                fs::remove_file(&path).or_environment(format_args!("cannot remove {}", path.display()))?;
            }
        }
        Ok(arguments(self.installation.version, network, batch, load, self.device))
    }

    fn answer(&self, batch: usize) -> Result<Answer> {
        let read = |name: &str| {
            let path = self.scratch.join(name);
            fs::read_to_string(&path).or_environment(format_args!("trtexec wrote no {}", path.display()))
        };
        let odd = |name: &str, reason: String| {
            StageFault::environment(format!("cannot read {name} of trtexec: {reason}"))
                .hint("this release of trtexec writes another format than is known here")
        };
        let outputs = parse_output(&read(OUTPUT)?).map_err(|reason| odd(OUTPUT, reason))?;
        let [output] = outputs.as_slice() else {
            let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
            let message =
                format!("the network has the outputs [{}]; one of logits is wanted", names.join(", "));
            return Err(StageFault::user(message));
        };
        let classes = output.values.len() / batch;
        if classes == 0 || output.values.len() != batch * classes {
            let message = format!("`{}` has {} values for {batch} images", output.name, output.values.len());
            return Err(StageFault::user(message));
        }
        let latencies = parse_times(&read(TIMES)?).map_err(|reason| odd(TIMES, reason))?;
        Ok(Answer { logits: output.values.clone(), classes, latencies })
    }
}

/// Little-endian floats one after the other, as `--loadInputs` reads them.
fn write_raw(path: &Path, values: &[f32]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
    file.flush()
}

/// The command line of a run.
fn arguments(version: Version, network: &Network, batch: usize, load: Load, device: usize) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    let (flag, path) = match &network.source {
        Source::Engine(path) => ("--loadEngine=", path),
        Source::Onnx(path) => ("--onnx=", path),
    };
    let mut source = OsString::from(flag);
    source.push(path);
    list.push(source);
    if matches!(network.source, Source::Onnx(_)) && version.major == 10 {
        list.push("--stronglyTyped".into());
    }
    let quoted = |name: &str| if name.contains([':', ',']) { format!("'{name}'") } else { name.to_owned() };
    let input = quoted(&network.input);
    if network.open {
        let [channels, height, width] = network.image;
        list.push(format!("--shapes={input}:{batch}x{channels}x{height}x{width}").into());
    }
    list.push(format!("--loadInputs={input}:{INPUT}").into());
    list.push(format!("--exportOutput={OUTPUT}").into());
    list.push(format!("--exportTimes={TIMES}").into());
    list.push(format!("--device={device}").into());
    list.push(format!("--warmUp={}", load.warm_up.as_millis()).into());
    list.push(format!("--duration={}", load.duration.as_millis().div_ceil(1000)).into());
    list.push(format!("--iterations={}", load.iterations.max(1)).into());
    // One way of measuring in every release: transfers count, the host spins, kernels are launched as a graph. From 11 on
    // the latter two are the default, and transfers are left out.
    if version.major >= 11 {
        list.push("--includeDataTransfers".into());
    } else {
        list.push("--useSpinWait".into());
        list.push("--useCudaGraph".into());
    }
    list
}
