//! Fills a project with recorded runs, for `tests/benches/log_of_many_runs.py`: each of 40 stages, half of them reused, with
//! a curve of 200 points, as a day of training leaves them.
//!
//!     cargo run --example many-runs -- FOLDER COUNT
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, fs, path::Path};

use jiff::Timestamp;
use stagewright::{
    digest::Digest,
    plan::{ActionKey, StageId},
    record::{
        HostState, Material, Measured, MetricValue, Outcome, RunEvent, RunId, RunOutcome, RunWriter,
        StoredOutput,
    },
    store::{Artifact, ArtifactKind},
};

const STAGES: usize = 40;
const POINTS: u64 = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (folder, count) = (Path::new(&arguments[1]), arguments[2].parse::<usize>().unwrap());
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("stagewright.toml"), "").unwrap();
    for number in 0..count {
        record(&folder.join(".stagewright"), number);
    }
}

fn record(state: &Path, number: usize) {
    let (run, at) = (RunId::now(), Timestamp::now());
    let mut writer = RunWriter::create(state, run).unwrap();
    let stages: Vec<StageId> = (0..STAGES).map(|at| StageId(format!("stage-{at}"))).collect();
    let host = HostState { os: "linux".into(), arch: "x86_64".into(), cpus: 8, memory: 1 << 34, gpus: 1 };
    writer
        .append(&RunEvent::RunStarted {
            at,
            run,
            pipeline: "demo".to_owned(),
            file: "pipeline.yaml".into(),
            stages: stages.clone(),
            needs: Default::default(),
            stagewright: "0.1.0".to_owned(),
            git: None,
            host,
            isolation: None,
            warnings: Vec::new(),
            set: Vec::new(),
            sweep: None,
        })
        .unwrap();
    for step in 0..POINTS {
        let (stage, name) = (stages[0].clone(), "loss".to_owned());
        let event = RunEvent::StageMetric { at, stage, name, value: 1.0, unit: None, step: Some(step) };
        writer.append(&event).unwrap();
    }
    for (index, stage) in stages.into_iter().enumerate() {
        let digest = Digest::of(format!("{number} {index}").as_bytes());
        let artifact = Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: 4096 };
        let output = StoredOutput {
            artifact_type: "file".to_owned(),
            file_name: "out".to_owned(),
            artifact,
            executable: false,
        };
        let material: Material = (0..12).map(|at| (format!("with.param-{at}"), at.into())).collect();
        let metrics =
            (0..4).map(|at| (format!("metric-{at}"), MetricValue { value: 0.5, unit: None })).collect();
        writer
            .append(&RunEvent::StageEnded {
                at,
                stage,
                outcome: if index % 2 == 0 { Outcome::Cached } else { Outcome::Blocked },
                reason: "nothing changed".to_owned(),
                key: Some(ActionKey(digest)),
                material,
                made_in: Some(run),
                outputs: BTreeMap::from([("out".to_owned(), output)]),
                measured: Measured { metrics, ..Measured::default() },
                failure: None,
                duration_ms: 3,
                made_in_ms: Some(1000),
            })
            .unwrap();
    }
    let counts = BTreeMap::from([(Outcome::Cached, 20), (Outcome::Blocked, 20)]);
    let outcome = RunOutcome::Succeeded;
    writer.append(&RunEvent::RunEnded { at, outcome, duration_ms: 1000, counts }).unwrap();
}
