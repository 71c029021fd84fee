//! What the event log of a run says: every stage, what its key was made of, and which run made what was reused.

use std::collections::BTreeMap;

use serde_json::json;
use stagewright::{
    record::{
        Outcome::{self, Blocked, Cached, Failed, Ran, Skipped},
        RunEvent, brief, read_run,
    },
    run::{RunOptions, Selection},
};

use crate::project::{ActionExt, Project, metric, options, plan, stage, step, write};

#[test]
fn every_stage_is_named_once_and_reused_ones_with_the_run_that_made_them() {
    let project = Project::new();
    let actions = || {
        let mut skipped = stage("d", vec![write("d")]);
        skipped.skip = Some("`if: false`".to_owned());
        vec![
            stage("a", vec![metric("top1", 90.0), write("a")]),
            stage("b", vec![write("b")]).reads("a"),
            stage("c", vec![step("fail")]).reads("b"),
            skipped,
            stage("e", vec![write("e")]).reads("c"),
            stage("f", vec![write("f")]),
        ]
    };
    let select = Selection { only: ["a", "b"].map(str::to_owned).into(), ..Selection::default() };
    let first = project.run_with(plan(actions()), &RunOptions { select, ..options() }).unwrap();
    let second = project.run_with(plan(actions()), &RunOptions { keep_going: true, ..options() }).unwrap();

    let mut ended: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    for event in &second.events {
        if let RunEvent::StageEnded { stage, outcome, made_in, material, .. } = event {
            ended.entry(stage.0.clone()).or_default().push(*outcome);
            let made = match outcome {
                Cached => Some(first.summary.run),
                Ran => Some(second.summary.run),
                _ => None,
            };
            assert_eq!(*made_in, made, "{stage}");
            // What was looked up has a key, and the record says what of.
            let looked_up = !matches!(outcome, Skipped | Blocked);
            assert_eq!(material.contains_key("program"), looked_up, "{stage}: {material:?}");
        }
    }
    let expected = [("a", Cached), ("b", Cached), ("c", Failed), ("d", Skipped), ("e", Blocked), ("f", Ran)];
    let expected: BTreeMap<_, _> = expected.map(|(stage, outcome)| (stage.to_owned(), vec![outcome])).into();
    assert_eq!(ended, expected);

    let record = read_run(&project.config.state_dir, second.summary.run).unwrap();
    let a = &record.stages[0];
    assert_eq!((a.made_in, a.material["with.do.0.value"].clone()), (Some(first.summary.run), json!(90.0)));
    let short = brief(&project.config.state_dir, second.summary.run).unwrap();
    assert_eq!(short.counts, [(Ran, 1), (Cached, 2), (Skipped, 1), (Failed, 1), (Blocked, 1)].into());
}
