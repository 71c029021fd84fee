//! What people decide: approvals and waivers, as they are made and as everybody else sees them.

use insta::assert_snapshot;
use serde_json::Value;
use stagewright::{
    config::{Config, Environment},
    lineage::{
        self, Decision, FOLDER, FailedGate, Keyring, Proposal, Resource, Signing, TrustPolicy,
        find_failed_gate,
    },
    store::LocalStore,
};

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: cats
targets:
  accuracy: { on: train, metric: top1, min: "95%" }
stages:
  train:
    uses: fake
    with:
      do:
        - { step: metric, name: top1, value: 90, unit: "%" }
        - { step: gate, name: sane, status: failed, reason: 10 % is too much }
        - { step: write, port: out, path: model.bin, text: weights }
    outputs: { out: results/model.bin }
"#;

/// A project with a person's key, in which a target and a gate failed.
fn project() -> Project {
    let project = Project::with_keys(PIPELINE);
    project.run(&["key", "new", "ada"]);
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 3\n"), "{ran}");
    project
}

fn waive(project: &Project, gate: &str) -> String {
    project.run(&["waive", gate, "--until", "2999-12-31", "--reason", "the new data comes in May"])
}

#[test]
fn an_approval_is_part_of_the_lineage() {
    let project = project();
    assert_snapshot!(
        "approve",
        project.run(&["approve", "results/model.bin", "--as", "ada", "--reason", "looked at by hand"])
    );
    let shown = project.run(&["lineage", "show", "results/model.bin"]);
    assert!(shown.contains("approved by ada at <date>: looked at by hand"), "{shown}");
    let json: Value = serde_json::from_str(&project.output(&["lineage", "show", "train", "--json"])).unwrap();
    assert_eq!(json["made-by"][0]["decisions"][0]["by"], "ada");
    let verified = project.run(&["lineage", "verify", "results/model.bin"]);
    assert!(verified.contains("note: ada approved it at"), "{verified}");
    let all = project.run(&["lineage", "verify", "--all"]);
    assert!(all.starts_with("exit 0\n"), "{all}");
    // Another model is not approved.
    project.write("pipeline.yaml", &PIPELINE.replace("text: weights", "text: other"));
    project.run(&["run"]);
    let other = project.run(&["lineage", "show", "results/model.bin"]);
    assert!(!other.contains("approved"), "{other}");
}

#[test]
fn a_run_passes_with_its_waivers_named() {
    let project = project();
    assert_snapshot!("waive-target", waive(&project, "accuracy"));
    let half = project.run(&["run"]);
    assert!(half.starts_with("exit 3\n"), "the gate has no waiver: {half}");
    assert_snapshot!("waive-gate", waive(&project, "train:sane"));
    assert_snapshot!("run-waived", project.run(&["run"]));
    assert_snapshot!("show-waived", project.run(&["show"]));
    assert_snapshot!("verify-waived", project.run(&["lineage", "verify", "train"]));
    let shown = project.run(&["lineage", "show", "train"]);
    assert!(shown.contains("waived: gate `sane` of stage `train`, by ada until 2999-12-31"), "{shown}");
    project.run(&["report", "run", "-o", "r.html"]);
    let page = project.read("r.html");
    assert!(page.contains("waived") && page.contains("the new data comes in May"), "{page}");
    // Another pipeline with a target of the same name has no waiver.
    project.write("other.yaml", PIPELINE);
    assert!(project.run(&["run", "other.yaml"]).starts_with("exit 3\n"));
}

#[test]
fn a_waiver_covers_what_was_seen_and_nothing_worse() {
    let project = project();
    waive(&project, "accuracy");
    waive(&project, "train:sane");
    let with = |from: &str, to: &str| {
        project.write("pipeline.yaml", &PIPELINE.replace(from, to));
        project.run(&["run"])
    };
    for (from, to) in [("value: 90", "value: 90"), ("value: 90", "value: 92.5"), ("\"95%\"", "\"93%\"")] {
        let ran = with(from, to);
        assert!(ran.starts_with("exit 0\n"), "{to}: {ran}");
    }
    assert_snapshot!("run-worse", with("value: 90", "value: 89.5"));
    assert_snapshot!("verify-worse", project.run(&["lineage", "verify", "train"]));
    project.run(&["report", "run", "-o", "r.html"]);
    assert!(project.read("r.html").contains("waiver does not cover it"));
    let markdown = project.output(&["report", "run", "--format", "markdown"]);
    assert!(markdown.contains("**waiver does not cover it**"), "{markdown}");
    let stricter = with("\"95%\"", "\"96%\"");
    assert!(stricter.starts_with("exit 3\n") && stricter.contains("96 is stricter"), "{stricter}");
    let other = with("10 % is too much", "12 % is too much");
    assert!(other.starts_with("exit 3\n") && other.contains("NOT WAIVED gate sane of train"), "{other}");
    // Who looks at the worse value may waive it too.
    with("value: 90", "value: 89.5");
    waive(&project, "accuracy");
    let again = project.run(&["run"]);
    assert!(again.starts_with("exit 0\n"), "{again}");
}

#[test]
fn a_waiver_of_a_key_that_does_not_count_is_none() {
    let project = project();
    waive(&project, "accuracy");
    waive(&project, "sane");
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    project.run(&["key", "new", "eva"]);
    project.run(&["key", "revoke", "ada", "--reason", "leaked"]);
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 3\n") && !ran.contains("waived"), "{ran}");
}

/// A waiver that ended yesterday: signed as one by hand would be, because the command refuses it.
fn expired(project: &Project, gate: &str) {
    let environment = Environment { keys: Some(project.keys().to_owned()), ..Environment::default() };
    let config = Config::load(&project.path(""), &environment).unwrap();
    let policy = TrustPolicy::load(&config.root.join(FOLDER)).unwrap().unwrap();
    let keyring = Keyring::new(config.keys_dir.as_deref(), &config.root, true);
    let signing = Signing::open(Some(&policy), keyring.as_ref(), &mut |_| None).unwrap();
    let store = LocalStore::open(&config.store_dir).unwrap();
    let (_, library) = lineage::open(&config, &store).unwrap();
    let FailedGate { gate, found, seen, verdicts } = find_failed_gate(&library, gate).unwrap();
    let proposal = Proposal {
        subject: vec![Resource::new("verdicts", &verdicts)],
        decision: Decision::Waived {
            gate,
            until: "2020-01-01".parse().unwrap(),
            reason: "soon".to_owned(),
            found,
            seen,
        },
        at: "2019-12-01T00:00:00Z".parse().unwrap(),
    };
    lineage::decide(&config, &store, &policy, &signing, "ada", proposal).unwrap();
}

#[test]
fn an_expired_waiver_is_loud() {
    let project = project();
    expired(&project, "accuracy");
    waive(&project, "sane");
    assert_snapshot!("run-expired", project.run(&["run"]));
    assert_snapshot!("verify-expired", project.run(&["lineage", "verify", "train"]));
    let shown = project.run(&["lineage", "show", "train"]);
    assert!(shown.contains("waiver EXPIRED: target `accuracy`"), "{shown}");
    // A new one takes its place.
    waive(&project, "accuracy");
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
}

#[test]
fn what_can_not_be_decided_is_told() {
    let project = project();
    let mistakes: Vec<String> = [
        &["waive", "accuracy", "--until", "2020-01-01", "--reason", "x"][..],
        &["waive", "accuracy", "--until", "soon", "--reason", "x"],
        &["waive", "accuracy", "--until", "2999-01-01", "--reason", " "],
        &["waive", "speed", "--until", "2999-01-01", "--reason", "x"],
        &["waive", "accuracy", "--until", "2999-01-01", "--reason", "x", "--as", "eva"],
        &["approve", "pipeline.yaml"],
        &["approve", "train", "--as", "eva"],
    ]
    .into_iter()
    .map(|arguments| project.run(arguments))
    .collect();
    let mut mistakes = mistakes.join("\n");
    let today = mistakes.find("in UTC it is ").unwrap() + "in UTC it is ".len();
    mistakes.replace_range(today..today + "2020-01-01".len(), "<today>");
    assert_snapshot!("decision-mistakes", mistakes);
    project.write("pipeline.yaml", &PIPELINE.replace("value: 90", "value: 97"));
    project.run(&["run"]);
    let passed = waive(&project, "accuracy");
    assert!(passed.starts_with("exit 2\n") && passed.contains("did not fail in the last run"), "{passed}");
    project.run(&["key", "new", "eva"]);
    let several = project.run(&["approve", "train"]);
    assert!(several.starts_with("exit 2\n") && several.contains("`--as` with one of ada, eva"), "{several}");
    let nobody = Project::new(PIPELINE);
    nobody.run(&["run"]);
    let refused = nobody.run(&["approve", "train"]);
    assert!(refused.starts_with("exit 2\n") && refused.contains("no trust policy"), "{refused}");
}

#[test]
fn help_of_decisions() {
    let project = Project::new(PIPELINE);
    let pages = ["approve", "waive"].map(|command| project.run(&[command, "--help"]));
    assert_snapshot!("help-decisions", pages.join("\n"));
}

#[test]
fn a_decision_is_one_person_s_whatever_the_threshold() {
    let project = Project::with_keys(PIPELINE);
    project.run(&["key", "new", "ada"]);
    project.run(&["key", "new", "eva"]);
    let policy = project.read("trust/policy.toml");
    project.write("trust/policy.toml", &policy.replace("threshold = 1", "threshold = 2"));
    project.run(&["run"]);
    assert!(project.run(&["approve", "train", "--as", "ada"]).starts_with("exit 0\n"));
    let all = project.run(&["lineage", "verify", "--all"]);
    assert!(all.starts_with("exit 0\n"), "{all}");
    // The ledger has the decision in it, and both keys have signed that.
    let ledger = project.read(".stagewright/lineage-v1/ledger.jsonl");
    let shorter: Vec<&str> = ledger.lines().take(ledger.lines().count() - 1).collect();
    project.write(".stagewright/lineage-v1/ledger.jsonl", &(shorter.join("\n") + "\n"));
    let cut = project.run(&["lineage", "verify", "--all"]);
    assert!(cut.starts_with("exit 11\n"), "{cut}");
}
