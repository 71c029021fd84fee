//! A project in a temporary folder, and plans made by hand.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stagewright::{
    config::{Config, Environment},
    plan::{Action, Binding, Limits, Overrides, Plan, Program, Retry, Source, StageId, Start},
    plugin::{Cancel, Launch, Secrets, SessionLimits},
    record::{Outcome, RunEvent},
    run::{RunError, RunOptions, RunSummary, execute},
    store::LocalStore,
};
use stagewright_protocol::{Manifest, Platform, Resources};

/// The hostile stage program. Examples are built with the tests, beside them.
pub fn fake() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().unwrap().parent().unwrap().join("examples/stage-fake");
    assert!(path.is_file(), "{} is not there; `cargo build --example stage-fake` makes it", path.display());
    path
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What the fake says of itself, asked once a process.
pub fn manifest() -> Arc<Manifest> {
    static MANIFEST: std::sync::OnceLock<Arc<Manifest>> = std::sync::OnceLock::new();
    let ask = || {
        let (program, env, folder) = (fake(), BTreeMap::new(), std::env::temp_dir());
        let limits = SessionLimits::default();
        let launch = Launch {
            program: &program,
            folder: &folder,
            env: &env,
            secrets: Secrets::none(),
            log: None,
            mark: None,
            sandbox: None,
            folders: &[],
            shell: None,
            limits,
        };
        Arc::new(block_on(stagewright::plugin::describe(&launch, &Cancel::never())).unwrap())
    };
    Arc::clone(MANIFEST.get_or_init(ask))
}

pub struct Project {
    root: PathBuf,
    _folder: Option<tempfile::TempDir>,
    pub config: Config,
    pub store: LocalStore,
}

/// What came of a run.
pub struct Ran {
    pub summary: RunSummary,
    pub events: Vec<RunEvent>,
}

impl Project {
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// A project in memory where the system has such a place, for a test with very many files.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory) } else { Self::new() }
    }

    /// A project whose stages are held to their own folders, as in any project of a user's.
    pub fn strict() -> Self {
        let project = Self::new();
        fs::write(project.path("stagewright.toml"), "").unwrap();
        project.reopened()
    }

    /// The same project after its settings were changed.
    pub fn reopened(self) -> Self {
        Self { _folder: self._folder, ..Self::at(&self.root) }
    }

    fn within(place: &Path) -> Self {
        let folder = tempfile::tempdir_in(place).unwrap();
        // Stages of these tests leave traces in the project's folder.
        fs::write(folder.path().join("stagewright.toml"), "[sandbox]\nwritable = ['.']\n").unwrap();
        let project = Self::at(folder.path());
        Self { _folder: Some(folder), ..project }
    }

    /// An existing project, which stays when this is dropped.
    pub fn at(root: &Path) -> Self {
        let config = Config::load(root, &Environment::default()).unwrap();
        let store = LocalStore::open(&config.store_dir).unwrap();
        Self { root: root.to_owned(), _folder: None, config, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Lines that stages traced.
    pub fn trace(&self) -> Vec<String> {
        self.read("trace").lines().map(str::to_owned).collect()
    }

    pub fn tracing(&self, text: &str) -> Value {
        json!({"step": "trace", "file": self.path("trace"), "text": text})
    }

    pub fn run(&self, actions: Vec<Action>) -> Ran {
        self.run_with(plan(actions), &options()).unwrap()
    }

    pub fn run_with(&self, plan: Plan, options: &RunOptions) -> Result<Ran, RunError> {
        let mut events = Vec::new();
        let summary = block_on(execute(&plan, options, &self.store, &self.config, &mut |event| {
            events.push(event.clone())
        }))?;
        Ok(Ran { summary, events })
    }

    /// Replaces what differs between two places a test runs in.
    pub fn neutral(&self, text: &str) -> String {
        text.replace(&*self.root.to_string_lossy(), "<project>")
    }
}

impl Ran {
    pub fn outcome(&self, stage: &str) -> Outcome {
        self.stage(stage).outcome
    }

    pub fn stage(&self, stage: &str) -> &stagewright::run::StageSummary {
        self.summary.stages.iter().find(|summary| summary.stage.0 == stage).unwrap()
    }

    /// One line a stage: outcome and reason.
    pub fn table(&self) -> String {
        let line = |stage: &stagewright::run::StageSummary| {
            format!("{:8} {:9} {}", stage.stage.0, stage.outcome, stage.reason).trim_end().to_owned()
        };
        self.summary.stages.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The failure of a stage in full.
    pub fn failure(&self, stage: &str) -> String {
        let failure = self.stage(stage).failure.as_ref().unwrap();
        let mut text = format!("{:?}/{:?}: {}", failure.class, failure.fault.class, failure.fault.message);
        failure.tail.iter().for_each(|line| text.push_str(&format!("\n  | {line}")));
        if let Some(hint) = &failure.fault.hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }
}

pub fn options() -> RunOptions {
    RunOptions { cpus: Some(4), grace: Duration::from_millis(400), ..RunOptions::default() }
}

pub fn plan(actions: Vec<Action>) -> Plan {
    Plan {
        name: "test".to_owned(),
        file: "pipeline.yaml".into(),
        actions: actions.into_iter().map(Arc::new).collect(),
        targets: Vec::new(),
        search: None,
        overrides: Overrides::default(),
        warnings: Vec::new(),
    }
}

/// A stage of the fake that takes these steps.
pub fn stage(id: &str, steps: Vec<Value>) -> Action {
    Action {
        id: StageId(id.to_owned()),
        line: 1,
        program: Program {
            start: Start::Program(fake()),
            manifest: manifest(),
            platform: Arc::new(Platform::default()),
        },
        params: json!({"do": steps}),
        inputs: BTreeMap::new(),
        needs: Vec::new(),
        skip: None,
        condition: None,
        exports: BTreeMap::new(),
        outs: Vec::new(),
        env: BTreeMap::new(),
        run_env: BTreeMap::new(),
        secrets: Vec::new(),
        reads: BTreeMap::new(),
        seed: 0,
        resources: Resources::default(),
        timeout: Some(Duration::from_secs(60)),
        limits: Limits::default(),
        runs_on: Vec::new(),
        retry: Retry::default(),
        cache: true,
        frozen: false,
        continue_on_error: false,
    }
}

pub fn write(text: &str) -> Value {
    json!({"step": "write", "port": "out", "path": "out.txt", "text": text})
}

pub fn step(name: &str) -> Value {
    json!({"step": name})
}

pub fn metric(name: &str, value: f64) -> Value {
    json!({"step": "metric", "name": name, "value": value, "unit": "%"})
}

pub trait ActionExt {
    fn reads(self, stage: &str) -> Self;
    fn reads_path(self, path: &str) -> Self;
    fn after(self, stage: &str) -> Self;
}

impl ActionExt for Action {
    fn reads(mut self, stage: &str) -> Self {
        let source = Source::Output { stage: StageId(stage.to_owned()), port: "out".to_owned() };
        self.inputs.entry("more".to_owned()).or_default().push(Binding {
            name: stage.to_owned(),
            source,
            artifact_type: "file".to_owned(),
            role: None,
        });
        self
    }

    fn reads_path(mut self, path: &str) -> Self {
        let name = Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
        let source = Source::Path(path.into());
        let binding = Binding { name, source, artifact_type: "file".to_owned(), role: None };
        self.inputs.entry("data".to_owned()).or_default().push(binding);
        self
    }

    fn after(mut self, stage: &str) -> Self {
        self.needs.push(StageId(stage.to_owned()));
        self
    }
}

/// Waits until something holds.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// True while the process exists and is no zombie.
pub fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}
