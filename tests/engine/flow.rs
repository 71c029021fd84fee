//! Order, parallelism, resources, skips, selection, gates, targets, exports, the record.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use serde_json::{Value, json};
use stagewright::{
    plan::{Action, Against, Bound, StageId, Target},
    record::{Outcome, RunEvent, RunOutcome, RunState, list_runs, read_run},
    run::{Force, RunError, RunOptions, Selection, execute},
};
use stagewright_protocol::{Determinism, GateStatus, RunRequest};

use crate::project::{ActionExt, Project, Ran, block_on, metric, options, plan, stage, step, write};

#[test]
fn data_flows_from_stage_to_stage() {
    let project = Project::new();
    project.write("data.txt", "raw");
    let ran = project.run(vec![
        stage("a", vec![step("concatenate")]).reads_path("data.txt"),
        stage("b", vec![write("bee")]),
        stage("c", vec![step("concatenate")]).reads("a").reads("b"),
    ]);
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    let output = &ran.stage("c").result.as_ref().unwrap().outputs["out"];
    let text = project.store.read(&output.artifact.digest).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "a=data.txt=raw;;b=bee;");
    assert_eq!(output.file_name, "out.txt");
    insta::assert_snapshot!(ran.table(), @r"
    a        ran       first run
    b        ran       first run
    c        ran       first run
    ");
}

#[test]
fn a_stage_is_told_what_it_needs_and_no_more() {
    let project = Project::new();
    project.write("data/x", "1");
    let file = project.path("request.json");
    let mut action =
        stage("a/1", vec![json!({"step": "request", "file": file}), step("environment")]).reads_path("data");
    action.inputs.get_mut("data").unwrap()[0].role = Some("train".to_owned());
    action.env = BTreeMap::from([("DECLARED".to_owned(), "yes".to_owned())]);
    action.resources.cpus = 3;
    action.resources.memory = 1 << 20;
    action.seed = 42;
    let ran = project.run(vec![action]);
    let request: Value = serde_json::from_str(&project.read("request.json")).unwrap();
    let request: RunRequest = serde_json::from_value(request).unwrap();
    assert_eq!((request.stage.as_str(), request.seed, request.limits.threads), ("a/1", 42, 3));
    assert_eq!(request.limits.memory, 1 << 20);
    let input = &request.inputs["data"][0];
    assert_eq!((input.name.as_str(), input.role.as_deref()), ("data", Some("train")));
    assert_eq!(input.path, project.path("data"));
    let folders = [&request.output_dir, &request.scratch_dir, &request.checkpoint_dir];
    assert!(
        folders.iter().all(|folder| folder.is_absolute() && folder.starts_with(&project.config.state_dir))
    );
    assert!(folders.iter().all(|folder| !folder.exists()), "private folders are removed after success");
    let output = ran.stage("a/1").result.as_ref().unwrap().outputs["out"].artifact.digest;
    let names = String::from_utf8(project.store.read(&output).unwrap()).unwrap();
    let known = stagewright::plugin::PASSED_VARIABLES.iter().map(|(name, _)| *name);
    let known: Vec<&str> =
        known.chain(["DECLARED", "OMP_NUM_THREADS", "TMPDIR", "STAGEWRIGHT_STAGE_TOKEN"]).collect();
    assert!(names.lines().all(|name| known.contains(&name)), "{names}");
    assert!(names.contains("DECLARED") && names.contains("PATH"));
    let started = ran.events.iter().find_map(|event| match event {
        RunEvent::StageStarted { log, threads, .. } => Some((log.clone(), *threads)),
        _ => None,
    });
    let (log, threads) = started.unwrap();
    assert_eq!(threads, 3);
    let log = project.config.state_dir.join("runs-v1").join(ran.summary.run.to_string()).join(log);
    assert!(log.is_file(), "{log:?}");
}

fn spans(project: &Project, id: &str, ms: u64) -> Vec<Value> {
    vec![
        project.tracing(&format!("+{id}")),
        json!({"step": "sleep", "ms": ms}),
        project.tracing(&format!("-{id}")),
        write(id),
    ]
}

#[test]
fn ready_stages_run_side_by_side_and_exclusive_ones_alone() {
    let project = Project::new();
    let mut alone = stage("alone", spans(&project, "alone", 50));
    alone.resources.exclusive = true;
    let ran = project.run(vec![
        stage("a", spans(&project, "a", 400)),
        stage("b", spans(&project, "b", 400)),
        alone,
    ]);
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    let trace = project.trace();
    let at = |text: &str| trace.iter().position(|line| line == text).unwrap();
    assert!(at("+a") < at("-b") && at("+b") < at("-a"), "a and b overlap: {trace:?}");
    assert_eq!(at("-alone"), at("+alone") + 1, "{trace:?}");
}

#[test]
fn cores_are_a_limit() {
    let project = Project::new();
    let actions = (0..4).map(|i| {
        let mut action = stage(&format!("s{i}"), spans(&project, &i.to_string(), 60));
        action.resources.cpus = 2;
        action
    });
    let ran = project.run_with(plan(actions.collect()), &RunOptions { cpus: Some(3), ..options() }).unwrap();
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    let mut running = 0;
    for line in project.trace() {
        running += if line.starts_with('+') { 1 } else { -1 };
        assert!(running <= 1, "two stages of 2 cores on 3");
    }
}

#[test]
fn skipped_stages_skip_what_needs_them_but_not_what_takes_many() {
    let project = Project::new();
    let mut off = stage("off", vec![write("x")]);
    off.skip = Some("host.tensorrt is false".to_owned());
    let mut strict = stage("strict", vec![write("y")]).reads("off");
    let bound = strict.inputs.remove("more").unwrap();
    strict.inputs.insert("data".to_owned(), bound);
    let mut manifest = (*strict.program.manifest).clone();
    manifest.inputs.get_mut("data").unwrap().required = true;
    strict.program.manifest = manifest.into();
    let ran = project.run(vec![
        off,
        stage("on", vec![write("1")]),
        strict,
        stage("gathers", vec![step("concatenate")]).reads("on").reads("off"),
        stage("ordered", vec![write("z")]).after("off"),
    ]);
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    insta::assert_snapshot!(ran.table(), @r"
    off      skipped   host.tensorrt is false
    on       ran       first run
    strict   skipped   `off` was skipped
    gathers  ran       first run
    ordered  skipped   `off` was skipped
    ");
    let warnings: Vec<String> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            RunEvent::StageLog { stage, message, .. } => Some(format!("{stage}: {message}")),
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(warnings.join("\n"), @"gathers: `off` was skipped, so `more` goes without its `out`");
}

#[test]
fn a_failure_blocks_its_descendants_and_stops_the_rest_unless_told_otherwise() {
    let fails = json!({"step": "fail", "class": "user", "message": "no images", "hint": null});
    let actions = |project: &Project| {
        // `late` would start after the failure: what it waits for ends once `first` has.
        let hold = json!({"step": "hang-while", "file": project.path("hold")});
        project.write("hold", "");
        vec![
            stage("first", vec![fails.clone()]),
            stage("child", vec![write("c")]).reads("first"),
            stage("heir", vec![write("h")]).after("child"),
            stage("beside", vec![hold, write("b")]),
            stage("late", spans(project, "late", 1)).after("beside"),
        ]
    };
    let run = |project: &Project, actions: Vec<Action>, options: &RunOptions| {
        let mut watch = |event: &RunEvent| {
            if matches!(event, RunEvent::StageEnded { stage, .. } if stage.0 == "first") {
                fs::remove_file(project.path("hold")).unwrap();
            }
        };
        let plan = plan(actions);
        let summary = block_on(execute(&plan, options, &project.store, &project.config, &mut watch));
        Ran { summary: summary.unwrap(), events: Vec::new() }
    };
    let project = Project::new();
    let ran = run(&project, actions(&project), &options());
    assert_eq!(ran.summary.outcome, RunOutcome::Failed);
    insta::assert_snapshot!(ran.table(), @r"
    first    failed    first run
    child    blocked   `first` failed
    heir     blocked   `first` failed
    beside   ran       first run
    late     cancelled not started, because `first` failed
    ");
    assert!(project.trace().is_empty());

    let ran = run(&project, actions(&project), &RunOptions { keep_going: true, ..options() });
    assert_eq!(ran.summary.outcome, RunOutcome::Failed);
    assert_eq!(ran.outcome("late"), Outcome::Ran);
    assert_eq!(ran.outcome("heir"), Outcome::Blocked);

    let project = Project::new();
    let mut tolerant = actions(&project);
    tolerant[0].continue_on_error = true;
    let ran = run(&project, tolerant, &options());
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    assert_eq!((ran.outcome("child"), ran.outcome("late")), (Outcome::Blocked, Outcome::Ran));
}

#[test]
fn selections_take_support_from_the_store() {
    let project = Project::new();
    let actions = || {
        vec![
            stage("a[x=1]", vec![project.tracing("a"), write("a")]),
            stage("b", vec![project.tracing("b"), step("concatenate")]).reads("a[x=1]"),
            stage("c", vec![project.tracing("c"), step("concatenate")]).reads("b"),
            stage("d", vec![project.tracing("d"), write("d")]),
        ]
    };
    let run = |select: Selection, force: Force| {
        project.run_with(plan(actions()), &RunOptions { select, force, ..options() })
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let only = |list: &[&str]| Selection { only: names(list), ..Selection::default() };

    let ran = run(only(&["b"]), Force::None).unwrap();
    insta::assert_snapshot!(ran.table() + "\n" + &ran.failure("a[x=1]"), @r"
    a[x=1]   failed
    b        blocked   `a[x=1]` failed
    c        skipped   not selected
    d        skipped   not selected
    ExitCode/User: `a[x=1]` is not selected, a selected stage reads its result, and none is stored
      hint: select it as well, or run it first
    ");
    run(Selection { until: names(&["b"]), ..Selection::default() }, Force::None).unwrap();
    assert_eq!(project.trace(), ["a", "b"]);
    let ran = run(only(&["b"]), Force::Named(names(&["b"]))).unwrap();
    assert_eq!(project.trace(), ["a", "b", "b"]);
    insta::assert_snapshot!(ran.table(), @r"
    a[x=1]   cached    nothing changed
    b        ran       forced
    c        skipped   not selected
    d        skipped   not selected
    ");
    run(Selection { from: names(&["b"]), ..Selection::default() }, Force::None).unwrap();
    assert_eq!(project.trace(), ["a", "b", "b", "c"]);
    assert_eq!(run(only(&["a"]), Force::None).unwrap().outcome("a[x=1]"), Outcome::Cached);

    let error = run(only(&["e"]), Force::None).map(drop).unwrap_err();
    assert!(matches!(&error, RunError::NoStage { known, .. } if known.len() == 4));
    insta::assert_snapshot!(error, @"--only names `e`, and the pipeline has no such stage");
    let nothing = Selection { from: names(&["d"]), until: names(&["b"]), ..Selection::default() };
    insta::assert_snapshot!(run(nothing, Force::None).map(drop).unwrap_err(), @"no stage is both after `--from` and before `--until`");
}

#[test]
fn gates_fail_the_run_and_keep_the_outputs_also_when_cached() {
    let project = Project::new();
    let gate =
        |status: &str| json!({"step": "gate", "name": "leak", "status": status, "reason": "RSS grew 3 MB"});
    let actions = |determinism| {
        let mut check = stage("check", vec![gate("failed"), write("report")]);
        Arc::make_mut(&mut check.program.manifest).determinism = determinism;
        let other = stage("other", vec![gate("not-applicable"), write("x")]);
        vec![check, stage("report", vec![step("concatenate")]).reads("check"), other]
    };
    for outcome in [Outcome::Ran, Outcome::Cached] {
        let ran = project.run(actions(Determinism::Bitwise));
        assert_eq!(ran.summary.outcome, RunOutcome::GateFailed);
        assert_eq!((ran.outcome("check"), ran.outcome("report")), (outcome, outcome));
    }
    // A measurement may turn out otherwise the next time.
    let again = project.run(actions(Determinism::None));
    assert_eq!((again.outcome("check"), again.outcome("report")), (Outcome::Ran, Outcome::Cached));
    assert_eq!(again.stage("check").reason, "gate `leak` failed last time: measured again");

    let mut tolerated = actions(Determinism::Bitwise);
    tolerated[0].continue_on_error = true;
    assert_eq!(project.run(tolerated).summary.outcome, RunOutcome::Succeeded);
}

fn target(name: &str, stage: &str, metric: &str, bound: Bound) -> Target {
    Target {
        name: name.to_owned(),
        line: 3,
        stage: StageId(stage.to_owned()),
        metric: metric.to_owned(),
        bound,
    }
}

#[test]
fn targets_are_judged_in_words() {
    let project = Project::new();
    let mut off = stage("off", vec![write("x")]);
    off.skip = Some("never".to_owned());
    let mut plan = plan(vec![
        stage(
            "fp32",
            vec![
                metric("top1", 91.2),
                json!({"step": "metric", "name": "ms", "value": 2.5, "unit": "ms"}),
                write("a"),
            ],
        ),
        stage(
            "int8",
            vec![
                metric("top1", 50.0),
                metric("top1", 90.5),
                json!({"step": "metric", "name": "ms", "value": 0.8, "unit": "ms"}),
                write("b"),
            ],
        ),
        off,
    ]);
    let fp32 = |metric: &str| Against::Stage { stage: StageId("fp32".to_owned()), metric: metric.to_owned() };
    let drop = |value| Bound::DropAtMost { against: fp32("top1"), value };
    let ratio = |value| Bound::RatioAtMost { against: fp32("ms"), value };
    let released = |release: Option<&str>, value| Bound::DropAtMost {
        against: Against::Release { release: release.map(str::to_owned), metric: "top1".to_owned(), value },
        value: 1.0,
    };
    plan.targets = vec![
        target("fast", "fp32", "ms", Bound::AtMost(3.0)),
        target("faster", "fp32", "ms", Bound::AtMost(2.0)),
        target("exact", "fp32", "ms", Bound::AtMost(2.5)),
        target("good", "int8", "top1", Bound::AtLeast(90.0)),
        target("better", "int8", "top1", Bound::AtLeast(95.0)),
        target("kept", "int8", "top1", drop(1.0)),
        target("lost", "int8", "top1", drop(0.5)),
        target("released", "int8", "top1", released(Some("v1"), Some(92.0))),
        target("first", "int8", "top1", released(None, None)),
        target("unlike", "int8", "top1", released(Some("v1"), None)),
        target("third", "int8", "ms", ratio(0.34)),
        target("tenth", "int8", "ms", ratio(0.1)),
        target("absent", "int8", "f1", Bound::AtLeast(1.0)),
        target("skipped", "off", "top1", Bound::AtLeast(1.0)),
    ];
    let ran = project.run_with(plan, &options()).unwrap();
    assert_eq!(ran.summary.outcome, RunOutcome::GateFailed);
    let mut lines: Vec<String> = ran
        .summary
        .targets
        .iter()
        .map(|verdict| format!("{} {:?}: {}", verdict.target, verdict.status, verdict.reason))
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @r"
    absent Failed: `int8` reported no metric f1; it reported ms, top1
    better Failed: top1 of `int8` is 90.5 %; at least 95 % is wanted: missed by 4.5 pp
    exact Passed: ms of `fp32` is 2.5 ms; at most 2.5 ms is wanted: 0 ms to spare
    fast Passed: ms of `fp32` is 2.5 ms; at most 3 ms is wanted: 0.5 ms to spare
    faster Failed: ms of `fp32` is 2.5 ms; at most 2 ms is wanted: missed by 0.5 ms
    first NotApplicable: there is no release to compare with yet
    good Passed: top1 of `int8` is 90.5 %; at least 90 % is wanted: 0.5 pp to spare
    kept Passed: top1 of `int8` is 90.5 %; top1 of `fp32` is 91.2 %, from which it may drop by 1 pp: 0.3 pp to spare
    lost Failed: top1 of `int8` is 90.5 %; top1 of `fp32` is 91.2 %, from which it may drop by 0.5 pp: missed by 0.2 pp
    released Failed: top1 of `int8` is 90.5 %; top1 of release `v1` is 92 %, from which it may drop by 1 pp: missed by 0.5 pp
    skipped NotApplicable: `off` was skipped
    tenth Failed: ms of `int8` is 0.8 ms; ms of `fp32` is 2.5 ms, of which it may be 0.1 times: missed by 0.55 ms
    third Passed: ms of `int8` is 0.8 ms; ms of `fp32` is 2.5 ms, of which it may be 0.34 times: 0.05 ms to spare
    unlike NotApplicable: release `v1` has no top1 of `int8` to compare with
    ");
    let exact = ran.summary.targets.iter().find(|verdict| verdict.target == "lost").unwrap();
    assert_eq!((exact.value, exact.status), (Some(90.5), GateStatus::Failed));
    assert!((exact.bound.unwrap() - 90.7).abs() < 1e-9);
}

#[test]
fn exports_are_placed_and_a_changed_file_is_not_lost() {
    let project = Project::new();
    let actions = |text: &str| {
        let mut action = stage("a", vec![write(text)]);
        action.exports = BTreeMap::from([
            ("out".to_owned(), PathBuf::from("reports/out.txt")),
            ("extra".to_owned(), PathBuf::from("reports/extra.txt")),
        ]);
        vec![action]
    };
    let ran = project.run(actions("one"));
    assert_eq!(project.read("reports/out.txt"), "one");
    let warned =
        |event: &RunEvent| matches!(event, RunEvent::StageLog { message, .. } if message.contains("`extra`"));
    assert!(ran.events.iter().any(warned));
    fs::remove_file(project.path("reports/out.txt")).unwrap();
    assert_eq!(project.run(actions("one")).outcome("a"), Outcome::Cached);
    assert_eq!(project.read("reports/out.txt"), "one");
    let before = fs::metadata(project.path("reports/out.txt")).unwrap().modified().unwrap();
    project.run(actions("one"));
    assert_eq!(fs::metadata(project.path("reports/out.txt")).unwrap().modified().unwrap(), before);
    project.run(actions("two"));
    assert_eq!(project.read("reports/out.txt"), "two");

    project.write("reports/out.txt", "precious");
    let ran = project.run(actions("three"));
    assert_eq!(ran.outcome("a"), Outcome::Failed);
    insta::assert_snapshot!(project.neutral(&ran.failure("a")), @r"
    ExitCode/User: <project>/reports/out.txt was changed by hand, and replacing it would lose that content
      hint: move it away or delete it, then run again: the stage's result is stored and will be placed there
    ");
    assert_eq!(project.read("reports/out.txt"), "precious");
    fs::remove_file(project.path("reports/out.txt")).unwrap();
    assert_eq!(project.run(actions("three")).outcome("a"), Outcome::Cached);
    assert_eq!(project.read("reports/out.txt"), "three");
}

#[test]
fn the_record_tells_the_run() {
    let project = Project::new();
    let point =
        |(at, value): (usize, &f64)| json!({"step": "metric", "at": at, "name": "loss", "value": value});
    let mut curve: Vec<Value> = [0.9, 0.5, 0.25].iter().enumerate().map(point).collect();
    curve.push(json!({"step": "log", "level": "warning", "message": "3 files skipped"}));
    curve.push(json!({"step": "log", "level": "info", "message": "reading"}));
    curve.push(json!({"step": "progress", "done": 1, "total": 2, "unit": "images", "message": "epoch 1"}));
    curve.push(write("model"));
    let actions = || vec![stage("train", curve.clone())];
    let first = project.run(actions());
    assert!(first.events.iter().any(|event| matches!(event, RunEvent::StageProgress { done: 1, .. })));
    let second = project.run(actions());
    let runs = list_runs(&project.config.state_dir).unwrap();
    assert_eq!(runs, [first.summary.run, second.summary.run]);
    let record = read_run(&project.config.state_dir, runs[0]).unwrap();
    assert_eq!(record.state, RunState::Ended(RunOutcome::Succeeded));
    assert_eq!((record.pipeline.as_str(), record.torn), ("test", false));
    let train = &record.stages[0];
    assert_eq!(train.curves["loss"], [(0, 0.9), (1, 0.5), (2, 0.25)]);
    assert_eq!(train.measured.metrics["loss"].value, 0.25);
    assert_eq!(train.measured.warnings, ["3 files skipped"]);
    assert_eq!((train.outcome, train.attempts, train.reason.as_str()), (Some(Outcome::Ran), 1, "first run"));
    let record = read_run(&project.config.state_dir, runs[1]).unwrap();
    let train = &record.stages[0];
    assert_eq!((train.outcome, train.made_in), (Some(Outcome::Cached), Some(runs[0])));
    assert_eq!(train.measured.metrics["loss"].value, 0.25);
    assert_eq!(train.measured.warnings, ["3 files skipped"]);
    let result = second.stage("train").result.clone().unwrap();
    let log = project.store.read(&result.log.unwrap()).unwrap();
    assert_eq!(String::from_utf8(log).unwrap(), "[warning] 3 files skipped\n[info] reading\n");
    assert_eq!(result.material.key().unwrap(), result.key);
}

#[test]
fn a_torn_record_is_read_and_a_newer_one_is_refused() {
    let project = Project::new();
    let ran = project.run(vec![stage("a", vec![write("x")])]);
    let state = &project.config.state_dir;
    let path = state.join("runs-v1").join(ran.summary.run.to_string()).join("events.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let last = whole.trim_end().rfind('\n').unwrap();
    for cut in [last + 1, last + 9, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let record = read_run(state, ran.summary.run).unwrap();
        assert_eq!((record.state, record.torn), (RunState::Interrupted, cut != last + 1));
        assert_eq!(record.stages[0].outcome, Some(Outcome::Ran));
    }
    fs::write(&path, &whole[..5]).unwrap();
    assert!(read_run(state, ran.summary.run).unwrap().stages.is_empty());
    fs::write(&path, whole.replacen("\"stagewright-run\":1", "\"stagewright-run\":2", 1)).unwrap();
    let error = read_run(state, ran.summary.run).unwrap_err();
    let text = project.neutral(&error.to_string()).replace(&ran.summary.run.to_string(), "<run>");
    insta::assert_snapshot!(text, @"<project>/.stagewright/runs-v1/<run>/events.jsonl has record format 2; this release reads formats up to 1 (it was written by stagewright 0.1.0)");
    fs::write(&path, whole.replacen("{\"event\":\"run-ended\"", "{\"event\":", 1)).unwrap();
    assert!(read_run(state, ran.summary.run).unwrap_err().to_string().contains("is not an event"));
}
