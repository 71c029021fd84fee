//! `kill -9` of the orchestrator and of stages at random moments: the store stays sound, the next run goes on, and nothing runs
//! again that was committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use stagewright::{
    plan::Action,
    record::{Outcome, RunOutcome, RunState, list_runs, read_run},
    run::{Preview, preview},
};

use crate::project::{ActionExt, Project, lives, options, plan, stage, step, wait_for, write};

/// Five stages, two chains that meet. Each generation has keys of its own, so there is always something to do.
fn graph(project: &Project, generation: &str) -> Vec<Action> {
    let work = |name: &str, last: serde_json::Value| {
        let trace = project.tracing(&format!("{generation} {name}"));
        let note = json!({"step": "log", "level": "info", "message": generation});
        stage(name, vec![trace, note, step("checkpoint"), json!({"step": "sleep", "ms": 12}), last])
    };
    vec![
        work("a", write(&format!("A{generation}"))),
        work("b", step("concatenate")).reads("a"),
        work("c", write(&format!("C{generation}"))),
        work("d", step("concatenate")).reads("b").reads("c"),
        work("e", step("concatenate")).reads("d"),
    ]
}

/// Not a test of its own: the orchestrator that is killed. It runs in the project that the variable names.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os("ENGINE_TEST_KILLED") else { return };
    let project = Project::at(folder.as_ref());
    project.run(graph(&project, &project.read("generation")));
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

fn start(project: &Project) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill::victim", "--exact", "--nocapture"])
        .env("ENGINE_TEST_KILLED", project.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill(pid: &str) {
    // It may be gone already.
    let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
}

/// Processes of this project's stages, which work in its private folders.
fn stages_of(project: &Project) -> Vec<String> {
    let work = fs::canonicalize(project.path(".stagewright/work")).unwrap_or_default();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let of_ours = |pid: &String| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(&work)) && lives(pid)
    };
    pids.filter(of_ours).collect()
}

/// Stages whose result is stored.
fn committed(project: &Project, generation: &str) -> BTreeSet<String> {
    let plan = plan(graph(project, generation));
    let previews = preview(&plan, &options(), &project.store, &project.config).unwrap();
    let hits = previews.into_iter().filter(|stage| matches!(stage.preview, Preview::Hit { .. }));
    hits.map(|stage| stage.stage.0).collect()
}

/// How often each stage of a generation was started.
fn starts(project: &Project, generation: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in project.trace() {
        if let Some((of, stage)) = line.split_once(' ')
            && of == generation
        {
            *counts.entry(stage.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn kill_again_and_again(kills: u32, seed: u64) {
    let project = Project::new();
    let mut dice = Dice(seed);
    let (mut done, mut generation, mut finished) = (0, 0, 0);
    while done < kills {
        let name = generation.to_string();
        project.write("generation", &name);
        let kept = committed(&project, &name);
        let before = starts(&project, &name);
        let mut run = start(&project);
        // The program itself needs a moment to be up; most kills fall between the first stage's start and the last one's end.
        std::thread::sleep(Duration::from_millis(5 + dice.below(160)));
        let stages = stages_of(&project);
        match stages.get(dice.below(3) as usize) {
            Some(stage) => kill(stage),
            None => kill(&run.id().to_string()),
        }
        done += 1;
        run.wait().unwrap();
        let report = project.store.verify(|_| ()).unwrap();
        assert!(report.damage.is_empty(), "seed {seed}, kill {done}: {:?}", report.damage);
        let after = starts(&project, &name);
        for stage in &kept {
            assert_eq!(
                after.get(stage),
                before.get(stage),
                "seed {seed}, kill {done}: `{stage}` was committed"
            );
        }
        for run in list_runs(&project.config.state_dir).unwrap() {
            // Every record can be read, whatever moment cut it off.
            let record = read_run(&project.config.state_dir, run).unwrap();
            assert_ne!(record.state, RunState::Running, "seed {seed}, kill {done}");
        }
        if committed(&project, &name).len() == 5 {
            (generation, finished) = (generation + 1, finished + 1);
        }
    }
    assert!(u64::from(kills) < 10 || finished > 0, "no run ever came to its end");
    let name = generation.to_string();
    let kept = committed(&project, &name);
    let ran = project.run(graph(&project, &name));
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    for stage in &ran.summary.stages {
        let expected = if kept.contains(&stage.stage.0) { Outcome::Cached } else { Outcome::Ran };
        assert_eq!(stage.outcome, expected, "seed {seed}: {}", stage.stage);
    }
    let last = ran.stage("e").result.as_ref().unwrap().outputs["out"].artifact.digest;
    let text = String::from_utf8(project.store.read(&last).unwrap()).unwrap();
    assert_eq!(text, format!("d=b=a=A{name};;c=C{name};;"), "seed {seed}");
    wait_for("all that was left behind to go", || stages_of(&project).is_empty());
    assert!(project.store.verify(|_| ()).unwrap().damage.is_empty());
}

#[test]
fn twelve_kills() {
    kill_again_and_again(12, 0x5eed);
}

/// The long form: `cargo nextest run --test engine --run-ignored only two_hundred_kills`.
#[test]
#[ignore = "a minute"]
fn two_hundred_kills() {
    let seed = std::env::var("ENGINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    kill_again_and_again(200, seed);
}
