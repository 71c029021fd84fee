//! The owner of a run's state: one loop that looks, starts, listens and settles.

mod begin;
mod decide;
mod settle;
mod tell;
mod verify;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
};

use tell::{needs, setting};

use super::{
    RunError, RunOptions, RunSummary, StageSummary, VerifyHits,
    ahead::ReadAhead,
    conditions::dependencies,
    failure,
    folders::Folders,
    inputs::{Fingerprints, Settled},
    isolation::isolation,
    local::{Acted, Said, Shared},
    lookup::{Looked, Miss},
    recorder::Recorder,
    scheduler::{Capacity, Node, Scheduler, Work},
    select::Part,
    shares::Shares,
};
use crate::{
    catalog::Host,
    config::Config,
    lineage::{Attestor, Ledger, RunFacts, Waivers},
    plan::{Action, ActionKey, Plan, StageId},
    record::{
        ActionResult, Failure, History, HostState, Material, Outcome, Reason, RunEvent, RunId, RunWriter,
        TargetVerdict, flatten, git_state,
    },
    store::LocalStore,
};

/// Reason of a stage that is no part of the run.
pub(super) const NOT_SELECTED: &str = "not selected";

/// How long a stage is taken to need when it never ran: long, so that chains of unknowns start early.
const UNKNOWN_DURATION: Duration = Duration::from_secs(60);

/// Looks at the cache that go on at once. They mostly wait for the disk or hash on all cores anyway.
const LOOKS_AT_ONCE: usize = 16;

/// Stages that are found stored at a glance before the loop turns to what else there is: some milliseconds' worth.
const GLANCES_AT_ONCE: usize = 256;

/// What ended in the background.
enum Done {
    Looked(Node, Result<(Looked, Vec<String>), Box<Failure>>, Option<(ActionKey, Box<Failure>)>),
    Adopted(Node, ActionKey, Arc<ActionResult>),
    Acted(Node, Acted),
}

struct Driver<'a> {
    plan: &'a Plan,
    parts: &'a [Part],
    actions: Vec<Arc<Action>>,
    keep_going: bool,
    shared: Arc<Shared>,
    recorder: Recorder<'a>,
    history: History,
    scheduler: Scheduler,
    capacity: Capacity,
    tasks: JoinSet<Done>,
    looking: usize,
    /// Stages to look at again: one with the same key has ended.
    again: Vec<Node>,
    /// Misses that queue for the machine.
    queued: HashMap<Node, Box<Miss>>,
    /// Keys that queue or run, with the stages that wait because they have the same one.
    in_flight: HashMap<ActionKey, Vec<Node>>,
    /// Why each stage that had to run had to.
    reasons: HashMap<Node, (ActionKey, Vec<Reason>)>,
    /// What the keys of stages that had to run were made of, until they end.
    materials: HashMap<Node, Material>,
    /// Threads and bytes of memory that each stage that runs was granted.
    granted: HashMap<Node, (u32, u64)>,
    settled: BTreeMap<StageId, Settled>,
    /// What the conditions of stages saw that hold.
    saw: HashMap<Node, String>,
    began: Vec<Option<Instant>>,
    summaries: Vec<Option<StageSummary>>,
    open_targets: Vec<usize>,
    verdicts: Vec<TargetVerdict>,
    say: UnboundedSender<(Node, Said)>,
    verify: Option<VerifyHits>,
    waivers: Waivers,
    /// Set once nothing new starts any more, with what becomes of stages that have not.
    stopping: Option<String>,
}

pub(super) async fn drive(
    plan: &Plan,
    options: &RunOptions,
    parts: &[Part],
    store: &LocalStore,
    config: &Config,
    watcher: &mut dyn FnMut(&RunEvent),
) -> Result<RunSummary, RunError> {
    let began = Instant::now();
    let run = RunId::now();
    let shares = Shares::new(&config.state_dir).map_err(RunError::io("make locks in", &config.state_dir))?;
    let folders = Folders::open(config, run, options.keep_folders, &shares)?;
    let writer = RunWriter::create(&config.state_dir, run)?;
    let record_folder = writer.folder().to_owned();
    let mut recorder = Recorder::new(writer, watcher);
    let ahead = options.ahead.as_deref();
    let history = match ahead.and_then(|ahead| ahead.history(&plan.file)) {
        Some(history) => history,
        None => History::load(&config.state_dir, &plan.file)?,
    };
    let ledger = match ahead.and_then(ReadAhead::ledger) {
        Some(ledger) => ledger,
        None => Ledger::load(&config.state_dir)?,
    };
    let detected = Host::detect();
    let host = host_state(&detected);
    let (git, started) = (git_state(&config.root), Timestamp::now());
    let facts = RunFacts {
        run,
        pipeline: plan.name.clone(),
        file: plan.file.clone(),
        git: git.clone(),
        host: host.clone(),
        started,
    };
    let attestor = Attestor::new(config, store, ledger, options.signing.clone(), facts);
    recorder.note(&RunEvent::RunStarted {
        at: started,
        run,
        pipeline: plan.name.clone(),
        file: plan.file.clone(),
        stages: plan.actions.iter().map(|action| action.id.clone()).collect(),
        needs: needs(plan),
        stagewright: env!("CARGO_PKG_VERSION").to_owned(),
        git,
        host: host.clone(),
        isolation: Some(isolation(options.sandbox, Some(plan))),
        warnings: plan.warnings.clone(),
        set: plan.overrides.entries().iter().map(setting).collect(),
        sweep: options.sweep.clone(),
    })?;
    let capacity = Capacity {
        cpus: options.cpus.unwrap_or(detected.cpus),
        memory: options.memory.unwrap_or(detected.memory),
        gpus: detected.gpus,
    };
    let (say, hear) = mpsc::unbounded_channel();
    let count = plan.actions.len();
    let driver = Driver {
        plan,
        parts,
        actions: plan.actions.clone(),
        keep_going: options.keep_going,
        shared: Arc::new(Shared {
            store: store.clone(),
            root: config.root.clone(),
            salt: config.salt.clone(),
            prints: Fingerprints::new(store.clone(), config.root.clone()),
            folders,
            shares,
            run,
            record_folder,
            host,
            attestor,
            silence: options.silence,
            writable: options.sandbox.then(|| config.writable.clone()),
            grace: options.grace,
            secrets: options.secrets.clone(),
            lock: options.lock.clone(),
            supplier: options.supplier.clone(),
            ahead: options.ahead.clone(),
            cancel: options.cancel.clone(),
        }),
        recorder,
        scheduler: Scheduler::new(works(plan, &history), capacity.clone()),
        history,
        capacity,
        tasks: JoinSet::new(),
        looking: 0,
        again: Vec::new(),
        queued: HashMap::new(),
        in_flight: HashMap::new(),
        reasons: HashMap::new(),
        materials: HashMap::new(),
        granted: HashMap::new(),
        settled: BTreeMap::new(),
        saw: HashMap::new(),
        began: vec![None; count],
        summaries: vec![None; count],
        open_targets: (0..plan.targets.len()).collect(),
        verdicts: Vec::new(),
        say,
        verify: options.verify_hits,
        waivers: options.waivers.clone(),
        stopping: None,
    };
    driver.turn(hear, began).await
}

/// What of the machine a record tells.
pub(super) fn host_state(host: &Host) -> HostState {
    HostState {
        os: host.os.clone(),
        arch: host.arch.clone(),
        cpus: host.cpus,
        memory: host.memory,
        gpus: u32::try_from(host.gpus.len()).unwrap_or(u32::MAX),
    }
}

/// The plan as the scheduler sees it.
fn works(plan: &Plan, history: &History) -> Vec<Work> {
    let positions: BTreeMap<&StageId, Node> =
        plan.actions.iter().enumerate().map(|(node, action)| (&action.id, node)).collect();
    let work = |(node, action): (Node, &Arc<Action>)| {
        let mut after: Vec<Node> = dependencies(action)
            .filter_map(|stage| positions.get(stage).copied())
            .filter(|before| *before < node)
            .collect();
        after.sort_unstable();
        after.dedup();
        let expected = history.usual(&action.id).unwrap_or(UNKNOWN_DURATION);
        let outlives = action.condition.as_ref().is_some_and(|condition| condition.asks_status);
        Work { after, resources: action.resources.clone(), expected, outlives }
    };
    plan.actions.iter().enumerate().map(work).collect()
}

impl Driver<'_> {
    async fn turn(
        mut self,
        mut hear: UnboundedReceiver<(Node, Said)>,
        began: Instant,
    ) -> Result<RunSummary, RunError> {
        let cancel = self.shared.cancel.clone();
        loop {
            if cancel.is_cancelled() && self.stopping.is_none() {
                self.stop("the run was cancelled".to_owned())?;
            }
            let more = self.begin_looks()?;
            self.begin_runs()?;
            if self.scheduler.is_done() {
                break;
            }
            if more {
                while let Ok((node, said)) = hear.try_recv() {
                    self.said(node, said)?;
                }
                // The order to stop comes through a task of its own.
                tokio::task::yield_now().await;
                continue;
            }
            self.recorder.catch_up()?;
            tokio::select! {
                biased;
                Some((node, said)) = hear.recv() => self.said(node, said)?,
                Some(done) = self.tasks.join_next() => {
                    // A panic in there is a defect of ours and goes on as one.
                    let done = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                    // What a stage said comes before how it ended.
                    while let Ok((node, said)) = hear.try_recv() {
                        self.said(node, said)?;
                    }
                    self.done(done)?;
                }
                () = cancel.cancelled(), if self.stopping.is_none() => {}
            }
        }
        let verified = self.verify_hits().await?;
        self.finish(began, verified)
    }

    fn done(&mut self, done: Done) -> Result<(), RunError> {
        match done {
            Done::Looked(node, looked, misplaced) => {
                self.looking -= 1;
                match (looked, misplaced) {
                    (Err(failure), _) => self.fail(node, None, String::new(), *failure),
                    (Ok((Looked::Hit { result, .. }, _)), Some((key, failure))) => {
                        self.remember(node, &result)?;
                        self.fail(node, Some(key), String::new(), *failure)
                    }
                    (Ok((Looked::Hit { key, result, from }, notes)), None) => {
                        self.warn(node, notes)?;
                        let why = match from {
                            Some(name) => format!("from the remote `{name}`"),
                            None => self.why_cached(node, key),
                        };
                        self.succeed(node, Outcome::Cached, key, why, result)
                    }
                    (Ok((Looked::Miss(mut miss) | Looked::Locked(mut miss), _)), _) => {
                        self.warn(node, std::mem::take(&mut miss.notes))?;
                        self.missed(node, miss)
                    }
                }
            }
            Done::Adopted(node, key, result) => {
                self.looking -= 1;
                self.succeed(node, Outcome::Cached, key, "up to date, as dvc.lock says".to_owned(), result)
            }
            Done::Acted(node, acted) => {
                let (key, reasons) = match self.reasons.get(&node) {
                    Some((key, reasons)) => (Some(*key), join(reasons)),
                    None => (None, String::new()),
                };
                let ended = match (acted, key) {
                    (Acted::Done(result, Ok(notes)), Some(key)) => {
                        self.warn(node, notes)?;
                        self.succeed(node, Outcome::Ran, key, reasons, result)
                    }
                    (Acted::Reused(result, Ok(notes)), _) => {
                        self.warn(node, notes)?;
                        let (key, reason) = (result.key, "another run made it meanwhile".to_owned());
                        self.succeed(node, Outcome::Cached, key, reason, result)
                    }
                    (Acted::Done(result, Err(failure)) | Acted::Reused(result, Err(failure)), key) => {
                        self.remember(node, &result)?;
                        self.fail(node, key, reasons, failure)
                    }
                    (Acted::Done(result, Ok(_)), None) => {
                        let key = result.key;
                        self.succeed(node, Outcome::Ran, key, reasons, result)
                    }
                    (Acted::Failed(failure), key) => self.fail(node, key, reasons, failure),
                    (Acted::Cancelled, key) => self.cancel(node, key, "cancelled while it ran".to_owned()),
                };
                // Those with the same key look again: at the new result, or for their own turn.
                if let Some(waiting) = key.and_then(|key| self.in_flight.remove(&key)) {
                    self.again.extend(waiting);
                }
                ended
            }
        }
    }

    fn missed(&mut self, node: Node, miss: Box<Miss>) -> Result<(), RunError> {
        let id = self.actions[node].id.clone();
        self.materials.insert(node, flatten(&miss.material));
        if let Some(reason) = self.stopping.clone().filter(|_| !self.outlives(node)) {
            return self.cancel(node, Some(miss.key), reason);
        }
        if let part @ (Part::Support | Part::Reused) = self.parts[node] {
            return self.fail(node, Some(miss.key), String::new(), not_stored(&id, part));
        }
        let unmet = self.scheduler.unmet_gpus(node);
        if unmet > 0 {
            let (wants, has) = (self.actions[node].resources.gpus, self.capacity.gpus.len());
            let failure = failure::environment(
                format!("`{id}` asks for {wants} GPUs, and this machine has {has}"),
                None,
            );
            return self.fail(node, Some(miss.key), join(&miss.reasons), failure);
        }
        if let Some(waiting) = self.in_flight.get_mut(&miss.key) {
            waiting.push(node);
            return Ok(());
        }
        self.in_flight.insert(miss.key, Vec::new());
        self.reasons.insert(node, (miss.key, miss.reasons.clone()));
        self.queued.insert(node, miss);
        self.scheduler.enqueue(node);
        Ok(())
    }
}

/// A result that has to be stored is not.
pub(super) fn not_stored(stage: &StageId, part: Part) -> Failure {
    if part == Part::Reused {
        let what = format!("`{stage}` has no stored result, and this run only reuses");
        return failure::user(what, Some("a run without `--reuse-only` makes it"));
    }
    failure::user(
        format!("`{stage}` is not selected, a selected stage reads its result, and none is stored"),
        Some("select it as well, or run it first"),
    )
}

fn join(reasons: &[Reason]) -> String {
    reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join(", ")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
