//! From an event log back to what happened.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    ActionResult, Failure, GitState, HostState, Isolation, Material, Measured, MetricValue, Outcome,
    RECORD_VERSION, Reason, RecordError, RunEvent, RunId, RunOutcome, Setting, StoredOutput, SweepMember,
    TargetVerdict, VerifiedHit, WaivedGate,
    writer::{Header, alive_path, events_path, run_folder, runs_folder},
};
use crate::{
    digest::Digest,
    plan::{ActionKey, StageId},
};

/// A run as its events tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    /// Id of the run.
    pub run: RunId,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its file, relative to the project root.
    pub file: PathBuf,
    /// When it started; none if it was killed before it said so.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Where it stands.
    pub state: RunState,
    /// Version of the orchestrator.
    pub stagewright: String,
    /// State of the git work tree.
    pub git: Option<GitState>,
    /// The machine.
    pub host: Option<HostState>,
    /// How far stages were kept apart from it.
    pub isolation: Option<Isolation>,
    /// Warnings of the plan.
    pub warnings: Vec<String>,
    /// Values that stood in for those of the pipeline.
    pub set: Vec<Setting>,
    /// The sweep or search that it is a part of.
    pub sweep: Option<SweepMember>,
    /// Stages in the order of the plan.
    pub stages: Vec<StageRecord>,
    /// Stages that each stage had to wait for; empty in records of the first release.
    pub needs: BTreeMap<StageId, Vec<StageId>>,
    /// Verdicts on the pipeline's targets.
    pub targets: Vec<TargetVerdict>,
    /// Failed gates and targets that have a waiver.
    pub waived: Vec<WaivedGate>,
    /// Blob of the statement on the whole run.
    pub statement: Option<Digest>,
    /// Ids of the keys that signed this run's statements; empty where nothing is signed.
    pub signed_by: Vec<String>,
    /// Hits that were carried out again, and what came of each.
    pub verified: Vec<VerifiedHit>,
    /// How those were drawn.
    pub verification: Option<Verification>,
    /// The log ends in a torn line, which was dropped.
    pub torn: bool,
    /// Where the stage of the latest event stands: the next one is mostly about it as well, or about the one behind it.
    #[serde(skip)]
    pub(crate) latest: usize,
}

/// How the hits to carry out again were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verification {
    /// All hits of the run.
    pub hits: u64,
    /// What drew the ones that were verified.
    pub seed: u64,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Its process lives.
    Running,
    /// It came to its end.
    Ended(RunOutcome),
    /// Its process is gone without a last event.
    Interrupted,
}

/// A stage as the events of a run tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageRecord {
    /// The stage.
    pub stage: StageId,
    /// How it ended; none while it has not.
    pub outcome: Option<Outcome>,
    /// Why, in words.
    pub reason: String,
    /// Why no stored result served.
    pub reasons: Vec<Reason>,
    /// When its program was first started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Attempts made.
    pub attempts: u32,
    /// Its action key.
    pub key: Option<ActionKey>,
    /// What the key was made of; empty where it was not known, and in records of the first release.
    pub material: Material,
    /// Run in which its result was made.
    pub made_in: Option<RunId>,
    /// Outputs by port.
    pub outputs: BTreeMap<String, StoredOutput>,
    /// Metrics, gates, warnings.
    pub measured: Measured,
    /// Points of each curve, by step. A cached stage has its curves in the record of `made_in`.
    pub curves: BTreeMap<String, Vec<(u64, f64)>>,
    /// Why it failed or was cancelled.
    pub failure: Option<Failure>,
    /// What it took in this run, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What it took when its result was made, in milliseconds.
    pub made_in_ms: Option<u64>,
    /// What it took the last time, in milliseconds, as known when it started.
    #[serde(skip)]
    pub usual_ms: Option<u64>,
    /// Its log file, relative to the run's folder.
    pub log: Option<PathBuf>,
    /// Blobs of the statements on its result, the provenance first.
    pub statements: Vec<Digest>,
}

impl StageRecord {
    /// A stage of which nothing is known yet.
    pub fn new(stage: StageId) -> Self {
        Self {
            stage,
            outcome: None,
            reason: String::new(),
            reasons: Vec::new(),
            started: None,
            ended: None,
            attempts: 0,
            key: None,
            material: Material::new(),
            made_in: None,
            outputs: BTreeMap::new(),
            measured: Measured::default(),
            curves: BTreeMap::new(),
            failure: None,
            duration_ms: None,
            made_in_ms: None,
            usual_ms: None,
            log: None,
            statements: Vec::new(),
        }
    }
}

impl RunRecord {
    /// A run of which nothing is known yet.
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            pipeline: String::new(),
            file: PathBuf::new(),
            started: None,
            ended: None,
            state: RunState::Running,
            stagewright: String::new(),
            git: None,
            host: None,
            isolation: None,
            warnings: Vec::new(),
            set: Vec::new(),
            sweep: None,
            stages: Vec::new(),
            needs: BTreeMap::new(),
            targets: Vec::new(),
            waived: Vec::new(),
            statement: None,
            signed_by: Vec::new(),
            verified: Vec::new(),
            verification: None,
            torn: false,
            latest: 0,
        }
    }

    /// The record of one stage.
    pub fn stage(&self, stage: &StageId) -> Option<&StageRecord> {
        self.stages.iter().find(|record| record.stage == *stage)
    }

    /// Wall time in milliseconds, up to the last event that is known.
    pub fn duration_ms(&self) -> u64 {
        let Some(started) = self.started else { return 0 };
        let last_stage = self.stages.iter().filter_map(|stage| stage.ended.or(stage.started)).max();
        let ended = self.ended.or(last_stage).unwrap_or(started);
        u64::try_from(ended.as_millisecond() - started.as_millisecond()).unwrap_or(0)
    }

    /// Takes in the next event.
    pub fn apply(&mut self, event: RunEvent) {
        match event {
            RunEvent::RunStarted {
                at,
                run: _,
                pipeline,
                file,
                stages,
                needs,
                stagewright,
                git,
                host,
                isolation,
                warnings,
                set,
                sweep,
            } => {
                self.started = Some(at);
                self.pipeline = pipeline;
                self.file = file;
                self.stages = stages.into_iter().map(StageRecord::new).collect();
                self.needs = needs;
                self.stagewright = stagewright;
                self.git = git;
                self.host = Some(host);
                self.isolation = isolation;
                self.warnings = warnings;
                self.set = set;
                self.sweep = sweep;
            }
            RunEvent::StageStarted { at, stage, key, attempt, reasons, log, usual_ms, .. } => {
                let record = self.entry(stage);
                record.started.get_or_insert(at);
                record.attempts = attempt;
                record.key = Some(key);
                record.reasons = reasons;
                record.log = Some(log);
                record.usual_ms = usual_ms;
                // What a failed attempt measured is not the stage's.
                record.curves.clear();
                record.measured = Measured::default();
            }
            RunEvent::StageMetric { stage, name, value, unit, step, .. } => {
                let record = self.entry(stage);
                if let Some(step) = step {
                    record.curves.entry(name.clone()).or_default().push((step, value));
                }
                record.measured.metrics.insert(name, MetricValue { value, unit });
            }
            RunEvent::StageLog { stage, level: stagewright_protocol::Level::Warning, message, .. } => {
                self.entry(stage).measured.warnings.push(message);
            }
            RunEvent::StageRetried { stage, failure, .. } => self.entry(stage).failure = Some(failure),
            RunEvent::StageEnded {
                at,
                stage,
                outcome,
                reason,
                key,
                material,
                made_in,
                outputs,
                measured,
                failure,
                duration_ms,
                made_in_ms,
            } => {
                let record = self.entry(stage);
                record.ended = Some(at);
                record.outcome = Some(outcome);
                record.reason = reason;
                record.key = key.or(record.key);
                record.material = material;
                record.made_in = made_in;
                record.outputs = outputs;
                record.measured = measured;
                record.failure = failure;
                record.duration_ms = Some(duration_ms);
                record.made_in_ms = made_in_ms;
            }
            RunEvent::HitsChosen { hits, seed, .. } => self.verification = Some(Verification { hits, seed }),
            RunEvent::HitVerified { hit, .. } => self.verified.push(hit),
            RunEvent::TargetChecked { verdict, .. } => self.targets.push(verdict),
            RunEvent::GateWaived { waived, .. } => self.waived.push(waived),
            RunEvent::Attested { stage: Some(stage), statements, .. } => {
                self.entry(stage).statements = statements;
            }
            RunEvent::Attested { stage: None, statements, keys, .. } => {
                self.statement = statements.first().copied();
                self.signed_by = keys;
            }
            RunEvent::RunEnded { at, outcome, .. } => {
                self.ended = Some(at);
                self.state = RunState::Ended(outcome);
            }
            RunEvent::StageProgress { .. }
            | RunEvent::StageLog { .. }
            | RunEvent::StageWaits { .. }
            | RunEvent::CaughtUp
            | RunEvent::Unknown => {}
        }
    }

    fn entry(&mut self, stage: StageId) -> &mut StageRecord {
        let latest = self.latest.min(self.stages.len());
        let is_it = |record: &StageRecord| record.stage == stage;
        let behind = self.stages[latest..].iter().position(is_it).map(|index| latest + index);
        let index = behind.or_else(|| self.stages[..latest].iter().position(is_it)).unwrap_or_else(|| {
            self.stages.push(StageRecord::new(stage));
            self.stages.len() - 1
        });
        self.latest = index;
        &mut self.stages[index]
    }
}

impl ActionResult {
    /// How long its program ran, with storing what it wrote.
    pub fn duration_ms(&self) -> u64 {
        u64::try_from(self.ended.as_millisecond() - self.started.as_millisecond()).unwrap_or(0)
    }
}

/// Ids of all runs, the oldest first.
pub fn list_runs(state_dir: &Path) -> Result<Vec<RunId>, RecordError> {
    let folder = runs_folder(state_dir);
    let items = match fs::read_dir(&folder) {
        Ok(items) => items,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RecordError::io("read", &folder)(error)),
    };
    let mut runs = Vec::new();
    for item in items {
        let item = item.map_err(RecordError::io("read", &folder))?;
        runs.extend(item.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()));
    }
    runs.sort_unstable();
    Ok(runs)
}

/// Reads one run's record.
pub fn read_run(state_dir: &Path, run: RunId) -> Result<RunRecord, RecordError> {
    let folder = run_folder(state_dir, run);
    let path = events_path(&folder);
    // Asked before reading: a run that ends in between then has its last event, not a false interruption.
    let alive = is_alive(&folder)?;
    let text = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RecordError::NoRun { run, path: runs_folder(state_dir) });
        }
        Err(error) => return Err(RecordError::io("read", &path)(error)),
    };
    let mut record = parse(&path, run, &text)?;
    if !alive && record.state == RunState::Running {
        record.state = RunState::Interrupted;
    }
    Ok(record)
}

/// True while the process of a run lives. The system takes its lock back whatever way the process ends.
pub fn is_running(state_dir: &Path, run: RunId) -> Result<bool, RecordError> {
    is_alive(&run_folder(state_dir, run))
}

fn is_alive(folder: &Path) -> Result<bool, RecordError> {
    let path = alive_path(folder);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(RecordError::io("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(RecordError::io("lock", &path)(error)),
    }
}

/// Refuses what is no event log, and one of a later format.
pub(super) fn check_header(path: &Path, line: &[u8]) -> Result<(), RecordError> {
    let header: Header =
        serde_json::from_slice(line).map_err(|_| RecordError::NoHeader { path: path.to_owned() })?;
    if header.stagewright_run > RECORD_VERSION {
        return Err(RecordError::NewerRecord {
            path: path.to_owned(),
            format: header.stagewright_run,
            readable: RECORD_VERSION,
            writer: header.writer,
        });
    }
    Ok(())
}

fn parse(path: &Path, run: RunId, bytes: &[u8]) -> Result<RunRecord, RecordError> {
    let mut record = RunRecord::new(run);
    // A line without its newline was cut off by the death of the writer, however complete it looks.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    record.torn = whole < bytes.len();
    let mut lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    let Some((_, first)) = lines.next() else {
        return if bytes.is_empty() || record.torn {
            Ok(record)
        } else {
            Err(RecordError::NoHeader { path: path.to_owned() })
        };
    };
    check_header(path, first)?;
    for (index, line) in lines {
        let event = serde_json::from_slice(line).map_err(|error| RecordError::Line {
            path: path.to_owned(),
            line: index + 1,
            reason: error.to_string(),
        })?;
        record.apply(event);
    }
    Ok(record)
}
