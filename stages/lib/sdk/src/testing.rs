//! Running a stage inside a test, without a process: the same manifest, params and context as under the host.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use stagewright_protocol::{Event, Limits, NamedInput, RunRequest, RunResult};

use crate::{Context, Result, Stage, StageFault};

/// A run to be made: a folder to work in, inputs, params.
pub struct Bench {
    request: RunRequest,
}

/// What a run gave.
pub struct Outcome {
    /// Outputs and gates.
    pub result: RunResult,
    /// Everything the stage said, in order.
    pub events: Vec<Event>,
    output_dir: PathBuf,
}

impl Bench {
    /// A run under `folder`, with seed 0 and two threads.
    pub fn new(folder: impl Into<PathBuf>, params: serde_json::Value) -> Self {
        let folder = folder.into();
        let make = |name: &str| {
            let path = folder.join(name);
            // A test's own folder: if it can't be made, the stage's error says so.
            let _ = std::fs::create_dir_all(&path);
            path
        };
        Self {
            request: RunRequest {
                stage: "under-test".to_owned(),
                params,
                inputs: Default::default(),
                output_dir: make("out"),
                scratch_dir: make("scratch"),
                checkpoint_dir: make("checkpoints"),
                seed: 0,
                limits: Limits { threads: 2, memory: 0 },
            },
        }
    }

    /// Binds a path to a port; call it again for a port that takes many.
    #[must_use]
    pub fn input(mut self, port: &str, name: &str, artifact_type: &str, path: impl Into<PathBuf>) -> Self {
        self.request.inputs.entry(port.to_owned()).or_default().push(NamedInput {
            name: name.to_owned(),
            path: path.into(),
            artifact_type: artifact_type.to_owned(),
            role: None,
        });
        self
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.request.seed = seed;
        self
    }

    /// Runs the stage to its end.
    pub fn run<S: Stage>(self) -> Result<Outcome> {
        self.run_with_flag::<S>(Arc::new(AtomicBool::new(false)))
    }

    /// Runs the stage with a flag that cancels it when set.
    pub fn run_with_flag<S: Stage>(self, cancelled: Arc<AtomicBool>) -> Result<Outcome> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let output_dir = self.request.output_dir.clone();
        let params = serde_json::from_value(self.request.params.clone())
            .map_err(|error| StageFault::user(format!("`with` does not fit the params: {error}")))?;
        let emit = Box::new(move |event| sink.lock().unwrap_or_else(|p| p.into_inner()).push(event));
        let mut context = Context::new(self.request, S::manifest(), cancelled, emit);
        S::run(&mut context, params)?;
        let result = context.finish()?;
        let events = std::mem::take(&mut *events.lock().unwrap_or_else(|p| p.into_inner()));
        Ok(Outcome { result, events, output_dir })
    }
}

impl Outcome {
    /// Path of a written output.
    ///
    /// # Panics
    /// If the stage did not write it.
    pub fn path(&self, port: &str) -> PathBuf {
        self.output_dir.join(&self.result.outputs[port])
    }

    /// Last value of a metric.
    pub fn metric(&self, wanted: &str) -> Option<f64> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Metric { name, value, .. } if name == wanted => Some(*value),
            _ => None,
        })
    }

    /// All warnings.
    pub fn warnings(&self) -> Vec<&str> {
        let warning = |event| match event {
            &Event::Log { level: stagewright_protocol::Level::Warning, ref message } => {
                Some(message.as_str())
            }
            _ => None,
        };
        self.events.iter().filter_map(warning).collect()
    }
}
