//! Hostile stage programs fail the conformance case that is meant for them, and no other.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use stagewright::author::conformance::{self, CaseResult, Subject, Verdict};

use crate::project::{fake, step, write};

fn results(program: PathBuf, steps: &[Value], input: Option<PathBuf>) -> Vec<CaseResult> {
    let mut subject = Subject::new(program);
    subject.params = json!({ "do": steps });
    subject.inputs.extend(input.map(|path| ("data".to_owned(), vec![path])));
    // Short waits for what will never come; a loaded machine still starts a program within the patience.
    subject.patience = Duration::from_secs(10);
    subject.run_limit = Duration::from_secs(2);
    subject.grace = Duration::from_millis(600);
    conformance::test(&subject).unwrap()
}

fn failed(results: &[CaseResult]) -> BTreeSet<&'static str> {
    let failed = |case: &&CaseResult| matches!(case.verdict, Verdict::Failed { .. });
    results.iter().filter(failed).map(|case| case.name).collect()
}

/// What fails beyond what the fake gets wrong in any case: it answers every host, knows no error, checks no params.
fn beyond(steps: &[Value]) -> Vec<&'static str> {
    let always = BTreeSet::from(["other-version", "later-request", "bad-params"]);
    let found = results(fake(), steps, None);
    let failed = failed(&found);
    assert!(failed.is_superset(&always), "{found:?}");
    failed.difference(&always).copied().collect()
}

#[test]
fn ordinary_work_passes() {
    assert_eq!(beyond(&[write("fine")]), Vec::<&str>::new());
    assert_eq!(beyond(&[step("progress"), write("fine")]), ["run"], "an event that can't be read");
}

#[test]
fn a_false_result_fails_the_run() {
    let claim = json!({ "step": "claim", "port": "out", "path": "ghost" });
    let link = json!({ "step": "link-out", "port": "out", "path": "link" });
    for steps in [vec![claim], vec![link], vec![], vec![json!({ "step": "die", "code": 3 })]] {
        assert_eq!(beyond(&steps), ["run"], "{steps:?}");
    }
}

#[test]
fn noise_on_standard_output_fails_that_case_alone() {
    let noise = json!({ "step": "say", "text": "Epoch 1/10 [====]" });
    assert_eq!(beyond(&[noise, write("fine")]), ["stdout"]);
}

#[test]
fn hanging_floods_and_children_are_told_apart() {
    assert_eq!(beyond(&[step("hang"), write("late")]), ["run"], "SIGTERM ends it, so it can be cancelled");
    assert_eq!(beyond(&[step("hang-deaf")]), ["cancel", "run"]);
    assert_eq!(beyond(&[step("flood-line")]), ["run"]);
    let folder = tempfile::tempdir().unwrap();
    let fork = json!({ "step": "fork", "file": folder.path().join("pid") });
    assert_eq!(beyond(&[fork, write("fine")]), ["leftovers"]);
}

#[test]
fn writing_to_an_input_is_writing_outside() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.txt");
    fs::write(&input, "before").unwrap();
    let change = json!({ "step": "change", "file": input, "text": "afterwards" });
    let found = results(fake(), &[change, write("fine")], Some(input.clone()));
    assert!(failed(&found).contains("outside"), "{found:?}");
    let outside = found.iter().find(|case| case.name == "outside").unwrap();
    let Verdict::Failed { why, .. } = &outside.verdict else { panic!("{outside:?}") };
    assert_eq!(*why, format!("changed {}", input.display()));
}

#[test]
fn a_program_that_does_not_greet_fails_from_the_first_case() {
    let folder = tempfile::tempdir().unwrap();
    let spoilt = |how: &str| {
        let path = folder.path().join(format!("stagewright-stage-{how}"));
        let text = format!("#!/bin/sh\nFAKE_HELLO={how} exec {}\n", fake().display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let found = results(spoilt("die"), &[write("x")], None);
    assert_eq!(failed(&found), BTreeSet::from(["hello"]), "{found:?}");
    let run = found.iter().find(|case| case.name == "run").unwrap();
    assert!(matches!(run.verdict, Verdict::Skipped(_)), "{run:?}");
    // It greets, if with another version, so that the other cases are tried as well.
    let found = results(spoilt("other-version"), &[write("x")], None);
    assert!(failed(&found).is_superset(&BTreeSet::from(["hello", "describe"])), "{found:?}");
    let mut subject = Subject::new(spoilt("junk"));
    subject.patience = Duration::from_secs(1);
    let found = conformance::test(&subject).unwrap();
    assert_eq!(failed(&found), BTreeSet::from(["hello", "stdout"]), "{found:?}");
}
