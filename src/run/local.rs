//! The local executor: carries one action out on this machine, with its retries.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use stagewright_protocol::{Event, Level, Limits, NamedInput, RunRequest, RunResult};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    ahead::ReadAhead,
    command,
    commit::{Made, commit, place_exports, place_stored},
    failure,
    folders::{Folders, StageFolder, file_name},
    inputs::{Fingerprints, Place},
    lock,
    lookup::{Miss, stored},
    metrics, outs,
    scheduler::{Grant, Node},
    shares::Shares,
};
use crate::{
    dvc::Lock,
    lineage::Attestor,
    plan::{Action, DEPS, Shell, StageId, Start},
    plugin::{self, Cancel, Finished, Launch, PluginError, Sandbox, Secrets, SessionLimits},
    record::{ActionResult, Failure, HostState, Measured, MetricValue, RunId},
    store::{LocalStore, Supplier},
};

/// Longest pause before a retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What every action of a run shares.
pub(super) struct Shared {
    pub(super) store: LocalStore,
    pub(super) root: PathBuf,
    pub(super) salt: String,
    pub(super) prints: Fingerprints,
    pub(super) folders: Folders,
    pub(super) shares: Shares,
    pub(super) run: RunId,
    pub(super) record_folder: PathBuf,
    pub(super) host: HostState,
    pub(super) attestor: Attestor,
    pub(super) silence: Option<Duration>,
    /// What stages may write beside their own folders; none for stages that are not held to it.
    pub(super) writable: Option<Vec<PathBuf>>,
    pub(super) grace: Duration,
    pub(super) secrets: Secrets,
    pub(super) lock: Option<Arc<Lock>>,
    pub(super) supplier: Option<Arc<dyn Supplier>>,
    pub(super) ahead: Option<Arc<ReadAhead>>,
    pub(super) cancel: Cancel,
}

/// One action to carry out.
pub(super) struct Job {
    pub(super) action: Arc<Action>,
    pub(super) miss: Box<Miss>,
    pub(super) grant: Grant,
    /// Stops it.
    pub(super) cancel: Cancel,
}

/// What happens while an action is carried out.
pub(super) enum Said {
    Started {
        attempt: u32,
    },
    Event(Event),
    Retried {
        attempt: u32,
        failure: Failure,
        pause: Duration,
    },
    /// For another run.
    Waits(String),
}

/// How carrying it out ended.
pub(super) enum Acted {
    /// The result is stored; placing its outputs gave notes or failed.
    Done(Arc<ActionResult>, Result<Vec<String>, Failure>),
    /// Another run has stored the result meanwhile; the same of placing its outputs.
    Reused(Arc<ActionResult>, Result<Vec<String>, Failure>),
    Failed(Failure),
    Cancelled,
}

/// Log file of a stage, relative to the run's folder.
pub(super) fn log_path(stage: &StageId) -> PathBuf {
    Path::new("logs").join(format!("{}.log", file_name(stage)))
}

/// Carries an action out, unless another run has by now, again and again as far as its retries allow.
pub(super) async fn act(shared: Arc<Shared>, job: Job, say: UnboundedSender<(Node, Said)>) -> Acted {
    let job = Arc::new(job);
    // The receiver lives as long as the run; if it is gone, so is this task's purpose.
    let waits = |what: String| drop(say.send((job.grant.node, Said::Waits(what))));
    let claim = lock::claim(&shared.store, &job.miss.key, shared.run, &job.cancel, waits).await;
    let _claim = match claim {
        Ok(Some(claim)) => claim,
        Ok(None) => return Acted::Cancelled,
        Err(error) => return Acted::Failed(failure::from_store(&error)),
    };
    if !job.miss.is_wanted() {
        let found = {
            let (shared, job) = (Arc::clone(&shared), Arc::clone(&job));
            blocking(move || stored(&job.action, job.miss.key, &shared.store)).await
        };
        match found {
            Ok(Some(result)) => {
                let result = Arc::new(result);
                let placed = place(&shared, &job, &result, true).await;
                return Acted::Reused(result, placed);
            }
            Ok(None) => {}
            Err(failure) => return Acted::Failed(failure),
        }
    }
    let (alone, gpus) = (job.action.resources.exclusive, &job.grant.gpus);
    let _machine = match shared.shares.machine(alone, gpus, &job.cancel, waits).await {
        Ok(Some(held)) => held,
        Ok(None) => return Acted::Cancelled,
        Err(error) => return Acted::Failed(failure::from_io("lock the machine in", &shared.root, &error)),
    };
    let _outs = match shared.shares.outs(&job.action.outs, &job.cancel, waits).await {
        Ok(Some(held)) => held,
        Ok(None) => return Acted::Cancelled,
        Err(error) => return Acted::Failed(failure::from_io("lock the work tree in", &shared.root, &error)),
    };
    try_on(&shared, &job, &say).await
}

/// Carries an action out that is ours, as often as its retries allow.
async fn try_on(shared: &Arc<Shared>, job: &Arc<Job>, say: &UnboundedSender<(Node, Said)>) -> Acted {
    let retry = &job.action.retry;
    let mut attempt = 1;
    go_on_from_elsewhere(shared, job).await;
    loop {
        let _ = say.send((job.grant.node, Said::Started { attempt }));
        let failure = match attempt_once(shared, job, attempt, say).await {
            Ok(result) => {
                let result = Arc::new(result);
                let placed = place(shared, job, &result, false).await;
                return Acted::Done(result, placed);
            }
            Err(_) if job.cancel.is_cancelled() => return Acted::Cancelled,
            Err(None) => return Acted::Cancelled,
            Err(Some(failure)) => failure,
        };
        let again = attempt <= retry.max && (retry.on.is_empty() || retry.on.contains(&failure.class));
        if !again {
            return Acted::Failed(failure);
        }
        let factor = 2u32.saturating_pow(attempt - 1);
        let pause = retry.backoff.saturating_mul(factor).min(LONGEST_PAUSE.max(retry.backoff));
        let _ = say.send((job.grant.node, Said::Retried { attempt, failure, pause }));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = job.cancel.cancelled() => return Acted::Cancelled,
        }
        attempt += 1;
    }
}

/// Takes up what the stage had saved when another machine was cut off. One that is to run whatever is stored begins anew.
async fn go_on_from_elsewhere(shared: &Arc<Shared>, job: &Arc<Job>) {
    let Some(supplier) = shared.supplier.clone().filter(|_| !job.miss.is_wanted()) else { return };
    let (shared, job) = (Arc::clone(shared), Arc::clone(job));
    blocking(move || {
        let folder = shared.folders.checkpoint(&job.miss.key);
        match supplier.checkpoint(&shared.store, &job.miss.key.0, &folder) {
            Ok(false) => {}
            Ok(true) => tracing::info!(stage = %job.action.id, "goes on from a checkpoint of the remote"),
            Err(why) => tracing::warn!(stage = %job.action.id, why, "begins anew"),
        }
    })
    .await;
}

async fn place(
    shared: &Arc<Shared>,
    job: &Arc<Job>,
    result: &Arc<ActionResult>,
    stored: bool,
) -> Result<Vec<String>, Failure> {
    let (shared, job, result) = (Arc::clone(shared), Arc::clone(job), Arc::clone(result));
    blocking(move || {
        let Shared { root, store, prints, shares, .. } = &*shared;
        if stored {
            place_stored(&job.action, &result, root, store, prints, shares)
        } else {
            // What it wrote in the work tree itself is there.
            place_exports(&job.action, &result, root, store, prints, shares)
        }
    })
    .await
}

/// Work that blocks, off the loop that holds the conversations. A panic in it goes on as one.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// None in the error for a cancelled attempt.
async fn attempt_once(
    shared: &Arc<Shared>,
    job: &Arc<Job>,
    attempt: u32,
    say: &UnboundedSender<(Node, Said)>,
) -> Result<ActionResult, Option<Failure>> {
    let (folder, inputs) = {
        let (shared, job) = (Arc::clone(shared), Arc::clone(job));
        blocking(move || prepare(&shared, &job)).await.map_err(Some)?
    };
    let started = Timestamp::now();
    let outcome = carry_out(shared, job, &folder, inputs, attempt, say).await;
    let (shared, job) = (Arc::clone(shared), Arc::clone(job));
    blocking(move || {
        let stored = match outcome {
            Ok((finished, measured)) => conclude(&shared, &job, finished, measured, started).map_err(Some),
            Err(error) => Err(failure::from_plugin(error, &job.action)),
        };
        if let Err(error) = shared.folders.close(&job.action.id, &folder) {
            // The next run tries again.
            tracing::warn!(stage = %job.action.id, %error, "the private folder could not be removed");
        }
        stored
    })
    .await
}

/// Carries an action out once more, in folders of its own and without what an earlier attempt saved, and hands what came of it
/// to `compare` instead of storing it. The caller holds the action's claim. None in the error for a cancelled one.
pub(super) async fn repeat<T: Send + 'static>(
    shared: &Arc<Shared>,
    job: &Arc<Job>,
    compare: impl FnOnce(Finished, Measured) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Option<Failure>> {
    let checkpoint = shared.folders.checkpoint(&job.miss.key);
    let clear = move || {
        super::folders::remove(&checkpoint).map_err(|error| failure::from_io("remove", &checkpoint, &error))
    };
    let (folder, inputs) = {
        let (shared, job, clear) = (Arc::clone(shared), Arc::clone(job), clear.clone());
        blocking(move || clear().and_then(|()| prepare(&shared, &job))).await.map_err(Some)?
    };
    // What it says on the way is not what the run is about.
    let (say, _) = tokio::sync::mpsc::unbounded_channel();
    let outcome = carry_out(shared, job, &folder, inputs, 1, &say).await;
    let (shared, job) = (Arc::clone(shared), Arc::clone(job));
    blocking(move || {
        let compared = match outcome {
            Ok((finished, measured)) => compare(finished, measured).map_err(Some),
            Err(error) => Err(failure::from_plugin(error, &job.action)),
        };
        if let Err(error) = shared.folders.close(&job.action.id, &folder) {
            tracing::warn!(stage = %job.action.id, %error, "the private folder could not be removed");
        }
        clear().map_err(Some)?;
        compared
    })
    .await
}

fn prepare(shared: &Shared, job: &Job) -> Result<(StageFolder, Vec<(String, NamedInput)>), Failure> {
    let id = &job.action.id;
    let state = |error: io::Error| {
        failure::environment(format!("cannot make the private folder of `{id}`: {error}"), None)
    };
    let folder = shared.folders.stage(id).map_err(state)?;
    fs::create_dir_all(shared.folders.checkpoint(&job.miss.key)).map_err(state)?;
    let mut inputs = Vec::new();
    for (index, input) in job.miss.inputs.iter().enumerate() {
        let path = match &input.place {
            Place::Tree(path) => path.clone(),
            Place::Stored(file_name) => {
                // A folder of its own: many inputs of a port may have the same file name.
                let to = folder.inputs().join(&input.port).join(index.to_string()).join(file_name);
                shared
                    .store
                    .materialize(&input.artifact, &to)
                    .map_err(|error| failure::from_store(&error))?;
                to
            }
        };
        let named = NamedInput {
            name: input.binding.name.clone(),
            path,
            artifact_type: input.binding.artifact_type.clone(),
            role: input.binding.role.clone(),
        };
        inputs.push((input.port.clone(), named));
    }
    outs::clear(&job.action, &shared.root)?;
    Ok((folder, inputs))
}

async fn carry_out(
    shared: &Shared,
    job: &Job,
    folder: &StageFolder,
    inputs: Vec<(String, NamedInput)>,
    attempt: u32,
    say: &UnboundedSender<(Node, Said)>,
) -> Result<(Finished, Measured), PluginError> {
    let Job { action, miss, grant, cancel } = job;
    let secrets = shared.secrets.only(&action.secrets);
    let mut env = action.env.clone();
    let run = shared.run.to_string();
    env.extend(action.run_env.iter().map(|(name, text)| (name.clone(), text.fill(&run, attempt))));
    if !grant.gpus.is_empty() {
        env.entry("CUDA_VISIBLE_DEVICES".to_owned()).or_insert_with(|| grant.gpus.join(","));
    }
    // What OpenMP reads before a program can be told otherwise.
    env.entry("OMP_NUM_THREADS".to_owned()).or_insert_with(|| grant.cpus.to_string());
    let (scratch, log, mark) =
        (folder.scratch(), shared.record_folder.join(log_path(&action.id)), folder.mark());
    let program = match &action.program.start {
        Start::Program(path) => path.as_path(),
        // The command names its shell itself.
        Start::Command(_) => Path::new(""),
    };
    let own = [folder.outputs(), scratch.clone(), shared.folders.checkpoint(&miss.key)];
    let outs = action.outs.iter().map(|out| shared.root.join(&out.path));
    let counted: Vec<PathBuf> = own.iter().cloned().chain(outs).collect();
    // The GPU's driver names its threads through /proc.
    let driver = (!grant.gpus.is_empty()).then(|| PathBuf::from("/proc"));
    let sandbox = shared.writable.as_ref().filter(|_| !runs_as_dvc(action)).map(|more| Sandbox {
        writable: own
            .iter()
            .chain(more)
            .chain(&driver)
            .cloned()
            .chain(outs::writable(action, &shared.root))
            .collect(),
        network: action.resources.network,
    });
    let launch = Launch {
        program,
        folder: &scratch,
        env: &env,
        secrets: &secrets,
        log: Some(&log),
        mark: Some(&mark),
        sandbox: sandbox.as_ref(),
        folders: &counted,
        shell: None,
        limits: SessionLimits {
            total: action.timeout,
            silence: action.limits.silence.or(shared.silence),
            grace: shared.grace,
            memory: action.limits.memory,
            output: action.limits.output,
            ..SessionLimits::default()
        },
    };
    let mut measured = Measured::default();
    let mut on_event = |event: Event| {
        match &event {
            Event::Metric { name, value, unit, .. } => {
                measured.metrics.insert(name.clone(), MetricValue { value: *value, unit: unit.clone() });
            }
            Event::Log { level: Level::Warning, message } => measured.warnings.push(message.clone()),
            _ => {}
        }
        let _ = say.send((grant.node, Said::Event(event)));
    };
    let finished = match &action.program.start {
        Start::Command(command) => {
            let call = command::Call { action, command, root: &shared.root, inputs: &inputs, launch };
            command::run(call, &mut on_event, cancel).await?;
            Finished { result: RunResult::default(), outputs: BTreeMap::new() }
        }
        Start::Program(_) => {
            let mut request = RunRequest {
                stage: action.id.0.clone(),
                params: action.params.clone(),
                inputs: Default::default(),
                output_dir: folder.outputs(),
                scratch_dir: folder.scratch(),
                checkpoint_dir: shared.folders.checkpoint(&miss.key),
                seed: action.seed,
                limits: Limits { threads: grant.cpus, memory: grant.memory },
            };
            // What `deps` lists is read in the work tree, and no port of the program.
            for (port, input) in inputs.into_iter().filter(|(port, _)| port != DEPS) {
                request.inputs.entry(port).or_default().push(input);
            }
            plugin::run(&launch, &action.program.manifest, request, &mut on_event, cancel).await?
        }
    };
    Ok((finished, measured))
}

/// DVC keeps nobody from anything, and a project made for it may count on that.
fn runs_as_dvc(action: &Action) -> bool {
    matches!(&action.program.start, Start::Command(command) if command.shell == Shell::User)
}

fn conclude(
    shared: &Shared,
    job: &Job,
    finished: Finished,
    mut measured: Measured,
    started: Timestamp,
) -> Result<ActionResult, Failure> {
    super::secrets::check_outputs(&job.action, &shared.secrets, &finished.outputs)?;
    let collected = outs::collect(&job.action, &shared.root, &shared.store, &shared.secrets)?;
    if !job.action.outs.is_empty() {
        shared.prints.forget();
    }
    let (metrics, notes) = metrics::read(&job.action, &shared.root);
    measured.metrics.extend(metrics);
    measured.warnings.extend(notes);
    let made = Made {
        action: &job.action,
        miss: &job.miss,
        finished,
        collected,
        measured,
        started,
        run: shared.run,
        threads: job.grant.cpus,
        host: &shared.host,
        log: &shared.record_folder.join(log_path(&job.action.id)),
        attestor: &shared.attestor,
    };
    let result = commit(made, &shared.store, &shared.prints)?;
    let checkpoint = shared.folders.checkpoint(&job.miss.key);
    super::folders::remove(&checkpoint).map_err(|error| failure::from_io("remove", &checkpoint, &error))?;
    Ok(result)
}
