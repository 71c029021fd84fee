//! Hits carried out again.

use std::sync::Arc;

use serde_json::json;
use stagewright::{
    plan::Action,
    record::{HitVerdict, Outcome, RunOutcome, read_run},
    run::{RunOptions, VerifyHits},
};
use stagewright_protocol::Determinism;

use crate::project::{ActionExt, Project, Ran, metric, options, plan, stage, step, write};

fn promising(mut action: Action, determinism: Determinism) -> Action {
    Arc::make_mut(&mut action.program.manifest).determinism = determinism;
    action
}

fn verify(project: &Project, actions: Vec<Action>, share: f64) -> Ran {
    let options = RunOptions { verify_hits: Some(VerifyHits { share, seed: Some(7) }), ..options() };
    project.run_with(plan(actions), &options).unwrap()
}

fn verdicts(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<String> = ran
        .summary
        .verified
        .iter()
        .map(|hit| match &hit.verdict {
            HitVerdict::Differs { differences } => format!("{}: {}", hit.stage, differences.join("; ")),
            HitVerdict::Failed { failure } => format!("{}: failed: {}", hit.stage, failure.fault.message),
            other => format!("{}: {other:?}", hit.stage),
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn each_is_held_to_what_it_promises_and_nothing_stored_changes() {
    let project = Project::new();
    project.write("drift", "first");
    // Reads what it did not declare: just what such a check is there to find.
    let drifting =
        || vec![json!({"step": "copy", "file": project.path("drift"), "port": "out", "path": "out.txt"})];
    let measuring = || {
        vec![
            json!({"step": "metric-from", "name": "top1", "unit": "%", "file": project.path("top1")}),
            write("model"),
        ]
    };
    project.write("top1", "90");
    let actions = || {
        vec![
            promising(stage("same", vec![project.tracing("same"), write("x")]), Determinism::Bitwise),
            promising(stage("drifts", drifting()), Determinism::Bitwise),
            promising(stage("near", measuring()), Determinism::Tolerance),
            promising(stage("free", [drifting(), vec![metric("ms", 3.0)]].concat()), Determinism::None),
            promising(stage("reader", vec![step("concatenate")]).reads("same"), Determinism::Bitwise),
        ]
    };
    let first = project.run(actions());
    assert_eq!(first.summary.outcome, RunOutcome::Succeeded);
    assert!(verdicts(&first).is_empty());
    let sound = verify(&project, actions(), 1.0);
    assert_eq!(sound.summary.outcome, RunOutcome::Succeeded, "{:?}", verdicts(&sound));
    assert_eq!(
        verdicts(&sound),
        [
            "drifts: Same",
            "free: NotPromised",
            "near: Within { tolerance: 0.05 }",
            "reader: Same",
            "same: Same"
        ]
    );
    assert_eq!(project.trace(), ["same", "same"]);

    project.write("drift", "second");
    project.write("top1", "80");
    let ran = verify(&project, actions(), 1.0);
    assert_eq!(ran.summary.outcome, RunOutcome::Failed);
    assert!(ran.summary.stages.iter().all(|stage| stage.outcome == Outcome::Cached));
    let told: Vec<String> =
        verdicts(&ran).iter().map(|line| line.replace(|c: char| c.is_ascii_hexdigit(), "")).collect();
    assert!(told[0].starts_with("rits: th output `out` is sh:"), "{told:?}");
    assert_eq!(verdicts(&ran)[2], "near: the metric `top1` is 80 now and 90 in the store");
    // What was stored is what it was.
    for stage in ["drifts", "near"] {
        assert_eq!(ran.stage(stage).result, first.stage(stage).result);
    }
    let report = project.store.verify(|_| ()).unwrap();
    assert!(report.damage.is_empty() && report.entries == 5, "{report:?}");
    let record = read_run(&project.config.state_dir, ran.summary.run).unwrap();
    assert_eq!(record.verified.len(), 5);
    assert_eq!(record.verification.unwrap().seed, 7);
    assert!(record.stages.iter().all(|stage| stage.outcome == Some(Outcome::Cached)));
}

#[test]
fn a_hit_that_can_not_be_repeated_fails_the_run_and_a_sample_is_a_sample() {
    let project = Project::new();
    let once = json!({"step": "fail-if", "file": project.path("broken"), "class": "internal"});
    let actions = || {
        (0..10).map(|index| {
            let text = index.to_string();
            promising(
                stage(&format!("s{index}"), vec![project.tracing(&text), once.clone(), write(&text)]),
                Determinism::Bitwise,
            )
        })
    };
    project.run(actions().collect());
    let ran = verify(&project, actions().collect(), 0.15);
    assert_eq!((ran.summary.outcome, ran.summary.verified.len()), (RunOutcome::Succeeded, 2));
    assert_eq!(project.trace().len(), 12);
    let again = verify(&project, actions().collect(), 0.15);
    let drawn = |ran: &Ran| {
        let mut stages: Vec<_> = ran.summary.verified.iter().map(|hit| hit.stage.clone()).collect();
        stages.sort();
        stages
    };
    assert_eq!(drawn(&ran), drawn(&again));
    project.write("broken", "");
    let ran = verify(&project, actions().collect(), 0.01);
    assert_eq!(ran.summary.outcome, RunOutcome::Failed);
    assert!(verdicts(&ran)[0].ends_with("failed: it is broken"), "{:?}", verdicts(&ran));
}
