//! Running a program while listening to it.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use stagewright_sdk::StageFault;

/// How often a running program is looked at when it says nothing.
const PATIENCE: Duration = Duration::from_millis(100);

/// A program to run.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// Folder of shared libraries that goes before those of the environment.
    pub libraries: Option<&'a Path>,
    /// Folder it works in; this process's if none.
    pub folder: Option<&'a Path>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Seconds from its start to its end.
    pub seconds: f64,
}

impl Ended {
    /// How it ended, as a part of a sentence; for one that did not succeed.
    pub fn how(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("failed with exit code {code}"),
            (None, Some(9)) => "was killed (signal 9; often for want of main memory)".to_owned(),
            (None, Some(signal)) => format!("crashed with signal {signal}"),
            (None, None) => "failed".to_owned(),
        }
    }
}

/// Why a program was given up while it ran, for those who listen to it.
#[derive(Debug)]
pub enum Stopped {
    /// The listener said so.
    Stage(StageFault),
    /// It can't be started or waited for.
    Io(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs a program and gives every line of its output and error streams to `listen`, in the order they come. An error of
/// `listen`, which is also asked with `None` when nothing comes (about every 100 ms), ends the program.
///
/// # Errors
/// The program can't be started, or `listen` fails.
pub fn stream<E: From<io::Error>>(
    job: &Job<'_>,
    mut listen: impl FnMut(Option<&str>) -> Result<(), E>,
) -> Result<Ended, E> {
    let started = Instant::now();
    let mut child = Guard(command(job).spawn()?);
    let (sender, lines) = mpsc::channel::<String>();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.0.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.0.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for pipe in pipes.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut bytes = Vec::new();
            while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                bytes.clear();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => listen(Some(&line))?,
            Err(RecvTimeoutError::Timeout) => listen(None)?,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Both streams are closed; a program that closes them and goes on is still to be waited for, and may be ended.
    loop {
        if let Some(status) = child.0.try_wait()? {
            return Ok(Ended { status, seconds: started.elapsed().as_secs_f64() });
        }
        listen(None)?;
        thread::sleep(PATIENCE);
    }
}

/// Everything a program says, when it ends within `limit`. Its exit status does not matter: some say what is asked and
/// then fail.
///
/// # Errors
/// It can't be started, or takes longer.
pub fn capture(
    program: &Path,
    arguments: &[&str],
    libraries: Option<&Path>,
    limit: Duration,
) -> Result<String, io::Error> {
    let arguments: Vec<OsString> = arguments.iter().map(|argument| OsStr::new(argument).to_owned()).collect();
    let deadline = Instant::now() + limit;
    let mut text = String::new();
    let job = Job { program, arguments: &arguments, libraries, folder: None };
    stream(&job, |line| {
        if let Some(line) = line {
            text.push_str(line);
            text.push('\n');
        }
        match Instant::now() > deadline {
            true => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", limit.as_secs()),
            )),
            false => Ok(()),
        }
    })?;
    Ok(text)
}

fn command(job: &Job<'_>) -> Command {
    let mut command = Command::new(job.program);
    if let Some(folder) = job.folder {
        command.current_dir(folder);
    }
    command.args(job.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // CUDA counts GPUs by speed unless told otherwise; nvidia-smi counts by the bus.
    command.env("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    if let Some(libraries) = job.libraries {
        let mut folders = vec![libraries.to_owned()];
        folders.extend(env::split_paths(&env::var_os("LD_LIBRARY_PATH").unwrap_or_default()));
        if let Ok(joined) = env::join_paths(folders) {
            command.env("LD_LIBRARY_PATH", joined);
        }
    }
    command
}

/// Ends the program when its run is given up.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // It may have ended in between; then there is nothing to end.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
