//! What a running stage sees of the world.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use stagewright_protocol::{
    Event, Gate, GateStatus, Level, Limits, Manifest, NamedInput, RunRequest, RunResult,
};

use crate::{FaultExt, Result, StageFault};

/// Progress events closer together than this are dropped, except a last one: the display redraws no faster.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Inputs, outputs and the way to speak, for one run of a stage.
pub struct Context {
    request: RunRequest,
    manifest: Manifest,
    emit: Box<dyn FnMut(Event) + Send>,
    cancelled: Arc<AtomicBool>,
    written: BTreeMap<String, PathBuf>,
    gates: Vec<Gate>,
    last_progress: Option<Instant>,
}

impl Context {
    pub(crate) fn new(
        request: RunRequest,
        manifest: Manifest,
        cancelled: Arc<AtomicBool>,
        emit: Box<dyn FnMut(Event) + Send>,
    ) -> Self {
        Self {
            request,
            manifest,
            emit,
            cancelled,
            written: BTreeMap::new(),
            gates: Vec::new(),
            last_progress: None,
        }
    }

    /// Stage id as shown to people.
    pub fn stage(&self) -> &str {
        &self.request.stage
    }

    /// Seed of every random choice.
    pub fn seed(&self) -> u64 {
        self.request.seed
    }

    /// Threads and memory the stage may use.
    pub fn limits(&self) -> Limits {
        self.request.limits
    }

    /// Folder for intermediate files; removed after the run.
    pub fn scratch_dir(&self) -> &Path {
        &self.request.scratch_dir
    }

    /// Folder that outlives a stopped run of the same action.
    pub fn checkpoint_dir(&self) -> &Path {
        &self.request.checkpoint_dir
    }

    /// Path of a required input.
    pub fn input(&self, port: &str) -> Result<&Path> {
        self.optional_input(port).ok_or_else(|| {
            StageFault::internal(format!("the host bound nothing to the required input `{port}`"))
        })
    }

    /// Path of an input that may be left unbound.
    pub fn optional_input(&self, port: &str) -> Option<&Path> {
        self.inputs(port).first().map(|input| input.path.as_path())
    }

    /// Everything bound to a port, in the order of the pipeline.
    pub fn inputs(&self, port: &str) -> &[NamedInput] {
        self.request.inputs.get(port).map_or(&[], Vec::as_slice)
    }

    /// Where to write an output: the port's path inside the output folder. Its parent exists afterwards; the file or
    /// folder itself does not. Counts the output as written.
    pub fn output(&mut self, port: &str) -> Result<PathBuf> {
        let declared =
            self.manifest.outputs.get(port).and_then(|output| output.path.clone()).ok_or_else(|| {
                StageFault::internal(format!("the manifest has no output `{port}` with a path"))
            })?;
        let path = self.request.output_dir.join(&declared);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).or_environment(format_args!("cannot create {}", parent.display()))?;
        }
        self.written.insert(port.to_owned(), PathBuf::from(declared));
        Ok(path)
    }

    /// Writes a file output whole.
    pub fn write(&mut self, port: &str, bytes: &[u8]) -> Result<()> {
        let path = self.output(port)?;
        fs::write(&path, bytes).or_environment(format_args!("cannot write {}", path.display()))
    }

    /// Writes a JSON output, pretty-printed with a final newline.
    pub fn write_json<T: serde::Serialize>(&mut self, port: &str, value: &T) -> Result<()> {
        let mut text =
            serde_json::to_string_pretty(value).or_internal(format_args!("cannot encode `{port}`"))?;
        text.push('\n');
        self.write(port, text.as_bytes())
    }

    /// Says how far the work has come. Calls closer together than 100 ms are dropped, so call it as often as is easy.
    /// Fails once the run is cancelled: a loop that reports progress with `?` stops by itself.
    pub fn progress(&mut self, done: u64, total: u64, unit: &str, message: impl Into<String>) -> Result<()> {
        self.check_cancelled()?;
        let due = self.last_progress.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
        if due || done == total {
            self.last_progress = Some(Instant::now());
            (self.emit)(Event::Progress { done, total, unit: unit.to_owned(), message: message.into() });
        }
        Ok(())
    }

    /// Reports a metric. A value that is not finite is reported as a warning instead: JSON has no word for it.
    pub fn metric(&mut self, name: &str, value: f64, unit: Option<&str>) {
        self.emit_metric(name, value, unit, None);
    }

    /// Reports one point of a curve; the last point is the stage's metric of that name.
    pub fn point(&mut self, name: &str, step: u64, value: f64, unit: Option<&str>) {
        self.emit_metric(name, value, unit, Some(step));
    }

    fn emit_metric(&mut self, name: &str, value: f64, unit: Option<&str>, step: Option<u64>) {
        if value.is_finite() {
            let unit = unit.map(str::to_owned);
            (self.emit)(Event::Metric { name: name.to_owned(), value, unit, step });
        } else {
            self.warn(format!("metric {name} is {value}, which is not a number that can be kept"));
        }
    }

    /// A line for the log.
    pub fn log(&mut self, message: impl Into<String>) {
        (self.emit)(Event::Log { level: Level::Info, message: message.into() });
    }

    /// A line for the log that the user sees at the end of the run.
    pub fn warn(&mut self, message: impl Into<String>) {
        (self.emit)(Event::Log { level: Level::Warning, message: message.into() });
    }

    /// Records a check. A failed gate fails the pipeline's run, but the stage's outputs are kept.
    pub fn gate(&mut self, name: &str, status: GateStatus, reason: impl Into<String>) {
        self.gates.push(Gate { name: name.to_owned(), status, reason: reason.into() });
    }

    /// True once the host has asked the stage to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Fails once the host has asked the stage to stop.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(StageFault::environment("cancelled"));
        }
        Ok(())
    }

    /// The flag behind [`Context::is_cancelled`], for worker threads.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// Checks that every required output is on disk and gives the closing message.
    pub(crate) fn finish(self) -> Result<RunResult> {
        for (port, output) in &self.manifest.outputs {
            if output.required && !self.written.contains_key(port) {
                return Err(StageFault::internal(format!(
                    "the stage ended without writing the output `{port}`"
                )));
            }
        }
        for (port, path) in &self.written {
            if !self.request.output_dir.join(path).exists() {
                let path = path.display();
                return Err(StageFault::internal(format!(
                    "the output `{port}` was announced, but {path} is missing"
                )));
            }
        }
        Ok(RunResult { outputs: self.written, gates: self.gates })
    }
}
