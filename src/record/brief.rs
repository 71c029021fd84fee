//! A run in short, read from both ends of its event log: what a list of thousands of runs can afford.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    GitState, Outcome, RecordError, RunEvent, RunId, RunState, Setting, SweepMember, read_run,
    reader::{RunRecord, check_header},
    writer::{events_path, run_folder, runs_folder},
};

/// Read of a log's beginning at once: header and first event of most runs fit.
const HEAD: usize = 16 * 1024;

/// Read of a log's end: the last event of a run is a short one.
const TAIL: usize = 2 * 1024;

/// A run in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunBrief {
    /// Id of the run.
    pub run: RunId,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its file, relative to the project root.
    pub file: PathBuf,
    /// When it started; none if it was killed before it said so.
    pub started: Option<Timestamp>,
    /// Where it stands.
    pub state: RunState,
    /// Stages by how they ended.
    pub counts: BTreeMap<Outcome, u64>,
    /// Wall time in milliseconds, up to the last event that is known.
    pub duration_ms: u64,
    /// State of the git work tree.
    pub git: Option<GitState>,
    /// Values that stood in for those of the pipeline.
    pub set: Vec<Setting>,
    /// The sweep or search that it is a part of.
    pub sweep: Option<SweepMember>,
}

/// The first event, without what a list has no use for.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct First {
    event: String,
    at: Timestamp,
    pipeline: String,
    file: PathBuf,
    git: Option<GitState>,
    #[serde(default)]
    set: Vec<Setting>,
    #[serde(default)]
    sweep: Option<SweepMember>,
}

/// Reads a run in short. What it costs does not grow with what happened in the run, unless it was cut off before its end
/// or is going on.
pub fn brief(state_dir: &Path, run: RunId) -> Result<RunBrief, RecordError> {
    let path = events_path(&run_folder(state_dir, run));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RecordError::NoRun { run, path: runs_folder(state_dir) });
        }
        Err(error) => return Err(RecordError::io("read", &path)(error)),
    };
    let found = ends(&mut file).map_err(RecordError::io("read", &path))?;
    if let Some(Ends { header, first, last }) = found {
        check_header(&path, &header)?;
        let first = serde_json::from_slice::<First>(&first).ok().filter(|first| first.event == "run-started");
        let last = serde_json::from_slice::<RunEvent>(&last);
        if let (Some(first), Ok(RunEvent::RunEnded { outcome, duration_ms, counts, .. })) = (first, last)
            && !counts.is_empty()
        {
            let First { event: _, at, pipeline, file, git, set, sweep } = first;
            return Ok(RunBrief {
                run,
                pipeline,
                file,
                started: Some(at),
                state: RunState::Ended(outcome),
                counts,
                duration_ms,
                git,
                set,
                sweep,
            });
        }
    }
    read_run(state_dir, run).map(|record| RunBrief::of(&record))
}

/// Lines of an event log.
struct Ends {
    header: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// The first two lines and the last one, if the log ends with a whole line.
fn ends(file: &mut File) -> std::io::Result<Option<Ends>> {
    let mut head = Vec::new();
    let mut lines = [0; 2];
    let mut found = 0;
    let mut seen = 0;
    while found < 2 {
        let before = head.len();
        if file.by_ref().take(HEAD as u64).read_to_end(&mut head)? == 0 {
            return Ok(None);
        }
        for (at, _) in head[before..].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            if found < 2 {
                lines[found] = before + at;
                found += 1;
            }
        }
        seen = head.len();
    }
    let length = file.metadata()?.len();
    let tail = if length > seen as u64 {
        let start = length.saturating_sub(TAIL as u64);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::with_capacity(TAIL);
        file.read_to_end(&mut tail)?;
        tail
    } else {
        head.clone()
    };
    let Some(whole) = tail.strip_suffix(b"\n") else { return Ok(None) };
    let start = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(Some(Ends {
        header: head[..lines[0]].to_vec(),
        first: head[lines[0] + 1..lines[1]].to_vec(),
        last: whole[start..].to_vec(),
    }))
}

impl RunBrief {
    /// In short what a record tells in full.
    pub fn of(record: &RunRecord) -> Self {
        let mut counts = BTreeMap::new();
        for outcome in record.stages.iter().filter_map(|stage| stage.outcome) {
            *counts.entry(outcome).or_insert(0) += 1;
        }
        Self {
            run: record.run,
            pipeline: record.pipeline.clone(),
            file: record.file.clone(),
            started: record.started,
            state: record.state,
            counts,
            duration_ms: record.duration_ms(),
            git: record.git.clone(),
            set: record.set.clone(),
            sweep: record.sweep.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        plan::StageId,
        record::{
            HostState, Material, Measured, RunName, RunOutcome, RunWriter, SweepId, find_run, list_runs,
            sweep_runs,
        },
    };

    /// Records a run as a driver would: so many stages, so many points of a curve.
    fn record(folder: &Path, stages: usize, points: u64, sweep: Option<SweepMember>, end: bool) -> RunId {
        let run = RunId::now();
        let at = Timestamp::now();
        let mut writer = RunWriter::create(folder, run).unwrap();
        let ids: Vec<StageId> = (0..stages).map(|at| StageId(format!("stage-{at}"))).collect();
        let host = HostState { os: "linux".into(), arch: "x86_64".into(), cpus: 2, memory: 0, gpus: 0 };
        writer
            .append(&RunEvent::RunStarted {
                at,
                run,
                pipeline: "demo".to_owned(),
                file: "pipeline.yaml".into(),
                stages: ids.clone(),
                needs: BTreeMap::new(),
                stagewright: "0.1.0".to_owned(),
                git: None,
                host,
                isolation: None,
                warnings: Vec::new(),
                set: Vec::new(),
                sweep,
            })
            .unwrap();
        let mut counts = BTreeMap::new();
        for (index, stage) in ids.into_iter().enumerate() {
            for step in 0..points {
                let (stage, name) = (stage.clone(), "loss".to_owned());
                let event =
                    RunEvent::StageMetric { at, stage, name, value: 1.0, unit: None, step: Some(step) };
                writer.append(&event).unwrap();
            }
            let outcome = if index % 2 == 0 { Outcome::Cached } else { Outcome::Skipped };
            *counts.entry(outcome).or_insert(0) += 1;
            writer
                .append(&RunEvent::StageEnded {
                    at,
                    stage,
                    outcome,
                    reason: String::new(),
                    key: None,
                    material: Material::new(),
                    made_in: None,
                    outputs: BTreeMap::new(),
                    measured: Measured::default(),
                    failure: None,
                    duration_ms: 0,
                    made_in_ms: None,
                })
                .unwrap();
        }
        if end {
            let outcome = RunOutcome::Succeeded;
            writer.append(&RunEvent::RunEnded { at, outcome, duration_ms: 0, counts }).unwrap();
        }
        run
    }

    #[test]
    fn in_short_a_run_is_what_its_whole_record_says() {
        let folder = tempfile::tempdir().unwrap();
        for (stages, points, end) in
            [(3, 2, true), (1500, 0, true), (3, 2000, true), (3, 2, false), (0, 0, true)]
        {
            let run = record(folder.path(), stages, points, None, end);
            let whole = RunBrief::of(&read_run(folder.path(), run).unwrap());
            assert_eq!(brief(folder.path(), run).unwrap(), whole, "{stages} stages, {points} points");
            assert_eq!(whole.state == RunState::Ended(RunOutcome::Succeeded), end);
        }
    }

    #[test]
    fn a_torn_end_and_a_record_of_the_first_release_are_read_in_full() {
        let folder = tempfile::tempdir().unwrap();
        let run = record(folder.path(), 2, 1, None, true);
        let path = events_path(&run_folder(folder.path(), run));
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.replace(r#","counts":{"cached":1,"skipped":1}"#, "");
        assert_ne!(first, text);
        std::fs::write(&path, &first).unwrap();
        assert_eq!(brief(folder.path(), run).unwrap().counts[&Outcome::Cached], 1);
        std::fs::write(&path, &text[..text.len() - 3]).unwrap();
        assert_eq!(brief(folder.path(), run).unwrap().state, RunState::Interrupted);
    }

    #[test]
    fn runs_are_found_by_what_people_call_them() {
        let folder = tempfile::tempdir().unwrap();
        let find =
            |name: &str| find_run(folder.path(), &name.parse().unwrap()).map_err(|error| error.to_string());
        assert_eq!(find("last"), Err("this project has no run yet".to_owned()));
        let runs: Vec<RunId> = (0..3).map(|_| record(folder.path(), 1, 0, None, true)).collect();
        assert_eq!(list_runs(folder.path()).unwrap(), runs);
        assert_eq!((find("last"), find("last~2")), (Ok(runs[2]), Ok(runs[0])));
        assert_eq!(find("last~3"), Err("`last~3` goes back too far: there are 3 runs in all".to_owned()));
        assert_eq!(find(&runs[1].to_string()), Ok(runs[1]));
        assert_eq!(find(&runs[1].short()), Ok(runs[1]));
        let shared = &runs[0].to_string()[..8];
        assert_eq!(find(shared), Err(format!("the ids of 3 runs begin or end with `{shared}`")));
        assert_eq!(find("ffff-0"), Err("no run's id begins or ends with `ffff-0`".to_owned()));
        for wrong in ["", "las", "last~", "last~x", "abc", "train", "ABCDEF"] {
            assert!(wrong.parse::<RunName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn runs_of_a_sweep_are_found_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let none = sweep_runs(folder.path(), None).unwrap_err();
        assert_eq!(none.to_string(), "this project has no sweep or search yet");
        let member = |sweep, trial| Some(SweepMember { sweep, trial, of: 2, goals: Vec::new() });
        record(folder.path(), 1, 0, None, true);
        let first = SweepId::now();
        let a = record(folder.path(), 1, 0, member(first, 1), true);
        let second = SweepId::now();
        let c = record(folder.path(), 1, 0, member(second, 1), true);
        record(folder.path(), 1, 0, None, true);
        let b = record(folder.path(), 1, 0, member(first, 2), false);
        record(folder.path(), 1, 0, None, true);
        assert_eq!(sweep_runs(folder.path(), None).unwrap(), (first, vec![a, b]));
        assert_eq!(sweep_runs(folder.path(), Some(&second.short())).unwrap(), (second, vec![c]));
        assert!(sweep_runs(folder.path(), Some("zzzz")).is_err());
    }
}
