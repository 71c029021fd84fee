//! What a run writes down.

use serde_json::{Value, json};
use stagewright::{
    digest::Digest,
    lineage::{
        Algorithm, CHECKPOINT, Checkpoint, Kind, LOCAL_BUILDER, Ledger, RUN, Standing, TREE, Verdict, merkle,
    },
    plan::{Bound, StageId, Target},
    record::{Outcome, RunEvent, RunOutcome, read_run},
};
use stagewright_protocol::GateStatus;

use crate::{
    evidence::{Signed, evidence, named, of_kind, sha256},
    project::{ActionExt, Project, fake, metric, plan, stage, step, write},
};

fn gate(name: &str, status: &str) -> Value {
    json!({"step": "gate", "name": name, "status": status, "reason": "as it is"})
}

#[test]
fn an_executed_stage_has_its_signed_provenance() {
    for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
        let signed = Signed::new(algorithm);
        signed.project.write("data.txt", "raw");
        signed.project.write("pipeline.yaml", "version: 1\n");
        let ran = signed.run(vec![
            stage("a", vec![metric("size", 3.5), step("concatenate")]).reads_path("data.txt"),
            stage("b", vec![write("bee")]).reads("a"),
        ]);
        let all = signed.evidence();
        assert!(all.iter().all(|one| signed.standings(one) == [Standing::Trusted("ada".to_owned())]));
        let stages = of_kind(&all, Kind::Stage);
        let names: Vec<String> = stages.iter().map(|one| one.stage()).collect();
        assert_eq!(names, ["a", "b"]);
        for (one, name) in stages.iter().zip(["a", "b"]) {
            let result = ran.stage(name).result.clone().unwrap();
            assert_eq!(result.attestations, [one.digest], "the result names its statement");
            let output = result.outputs["out"].artifact.digest.hex();
            assert_eq!(named(&one.statement.subject), [("out/out.txt".to_owned(), output)]);
        }
        let provenance = stages[0].provenance();
        let (definition, details) = (&provenance.build_definition, &provenance.run_details);
        let dependencies = named(&definition.resolved_dependencies);
        assert_eq!(
            dependencies,
            [
                ("input:data/data.txt".to_owned(), Digest::of(b"raw").hex()),
                ("program:fake".to_owned(), sha256(&fake())),
                ("pipeline".to_owned(), Digest::of(b"version: 1\n").hex()),
            ]
        );
        assert_eq!(definition.resolved_dependencies[0].note("path"), Some("data.txt"));
        assert_eq!(
            definition.external_parameters["params"],
            json!({"do": [metric("size", 3.5), step("concatenate")]})
        );
        assert_eq!(details.builder.id, LOCAL_BUILDER);
        assert_eq!(definition.internal_parameters["slsa-build-level"], 1);
        assert_eq!(details.metadata.invocation_id, format!("{}/a", ran.summary.run));
        assert!(details.metadata.started_on.unwrap() <= details.metadata.finished_on.unwrap());
        let metrics: Value = details.byproducts[1].inline_value().unwrap();
        assert_eq!(metrics["size"], json!({"value": 3.5, "unit": "%"}));
        let second = &stages[1].provenance().build_definition.resolved_dependencies[0];
        assert_eq!((second.note("stage"), second.note("output")), (Some("a"), Some("out")));
    }
}

#[test]
fn a_folder_is_its_listing_and_a_source_folder_keeps_its_own() {
    let signed = Signed::new(Algorithm::Ed25519);
    signed.project.write("data/cat/1.png", "one");
    signed.project.write("data/dog/2.png", "two");
    let ran = signed.run(vec![stage("a", vec![write("x")]).reads_path("data")]);
    let all = signed.evidence();
    let source = &all[0].provenance().build_definition.resolved_dependencies[0];
    assert_eq!(source.media_type, TREE);
    let artifact = source.to_artifact().unwrap();
    assert_eq!((artifact.files, artifact.bytes), (2, 6));
    let tree = signed.project.store.tree(&artifact.digest).unwrap();
    let files: Vec<_> = tree.entries().iter().map(|entry| (entry.path.as_str(), entry.digest)).collect();
    assert_eq!(files, [("cat/1.png", Digest::of(b"one")), ("dog/2.png", Digest::of(b"two"))]);
    let entry = ran.stage("a").result.clone().unwrap().to_entry().unwrap();
    let kept: Vec<Digest> = entry.artifacts.iter().map(|artifact| artifact.digest).collect();
    assert!(kept.contains(&artifact.digest) && kept.contains(&all[0].digest), "gc and push take them along");
}

#[test]
fn a_run_names_every_stage_whatever_became_of_it() {
    let signed = Signed::new(Algorithm::EcdsaP256);
    let fails = json!({"step": "fail", "class": "user", "message": "no images", "hint": null});
    let actions = || {
        let mut off = stage("off", vec![write("x")]);
        off.skip = Some("not here".to_owned());
        vec![
            stage(
                "good",
                vec![write("1"), metric("top1", 90.0), gate("sane", "passed"), gate("old", "not-applicable")],
            ),
            off,
            stage("bad", vec![fails.clone()]).reads("good"),
            stage("later", vec![write("2")]).reads("bad"),
        ]
    };
    let targets = vec![Target {
        name: "accurate".to_owned(),
        line: 1,
        stage: StageId("good".to_owned()),
        metric: "top1".to_owned(),
        bound: Bound::AtLeast(95.0),
    }];
    let with_targets = || stagewright::plan::Plan { targets: targets.clone(), ..plan(actions()) };
    let first = signed.project.run_with(with_targets(), &signed.options()).unwrap();
    let second = signed.project.run_with(with_targets(), &signed.options()).unwrap();
    let all = signed.evidence();
    let runs = of_kind(&all, Kind::Run);
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.statement.predicate_type == RUN));
    let told = runs[1].run();
    assert_eq!((told.run, told.outcome), (second.summary.run, RunOutcome::Failed));
    let outcomes: Vec<(&str, Outcome)> =
        told.stages.iter().map(|stage| (stage.stage.0.as_str(), stage.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            ("good", Outcome::Cached),
            ("off", Outcome::Skipped),
            ("bad", Outcome::Failed),
            ("later", Outcome::Blocked)
        ]
    );
    let good = &told.stages[0];
    assert_eq!(good.made_in, Some(first.summary.run));
    let result = second.stage("good").result.clone().unwrap();
    assert_eq!(good.statements, result.attestations);
    assert_eq!(good.outputs["out"], result.outputs["out"].artifact.digest);
    assert_eq!(told.stages[2].failure.as_deref(), Some("no images"));

    let of_stage = all.iter().find(|one| one.digest == good.statements[1]).unwrap().tests();
    assert_eq!((of_stage.result.as_str(), of_stage.passed_tests.len()), ("WARNED", 1));
    assert_eq!(of_stage.warned_tests, ["old"]);
    let gates = all.iter().find(|one| one.digest == good.statements[0]).unwrap().provenance();
    let named = gates.run_details.byproducts.iter().find(|one| one.name == "gates").unwrap();
    assert_eq!(named.sha256(), Some(&*good.statements[1].hex()), "the provenance names the verdicts");
    let target = all.iter().find(|one| one.digest == told.verdicts[0]).unwrap();
    let (tests, verdict) =
        (target.tests(), target.tests().configuration[0].inline_value::<Verdict>().unwrap());
    assert_eq!((tests.result.as_str(), tests.failed_tests), ("FAILED", vec!["accurate".to_owned()]));
    assert_eq!((verdict.status, verdict.value, verdict.bound), (GateStatus::Failed, Some(90.0), Some(95.0)));

    let record = read_run(&signed.project.config.state_dir, second.summary.run).unwrap();
    assert_eq!(record.statement, Some(runs[1].digest));
    assert_eq!(record.signed_by, [signed.key.public().id().unwrap().to_string()]);
    assert_eq!(record.stages[0].statements, good.statements);
    let last =
        second.events.iter().rposition(|event| matches!(event, RunEvent::Attested { stage: None, .. }));
    assert_eq!(
        last,
        Some(second.events.len() - 2),
        "the statement is stored before the run says that it ended"
    );
}

#[test]
fn without_a_key_all_is_recorded_and_says_so() {
    let project = Project::new();
    let ran = project.run(vec![stage("a", vec![write("1")])]);
    let all = evidence(&project);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| one.envelope.signatures().is_empty()));
    let record = read_run(&project.config.state_dir, ran.summary.run).unwrap();
    assert_eq!((record.statement, record.signed_by), (Some(all[1].digest), vec![]));
}

#[test]
fn the_ledger_is_a_merkle_tree_and_each_run_says_what_was_before_it() {
    let signed = Signed::new(Algorithm::Ed25519);
    signed.run(vec![stage("a", vec![write("1")])]);
    signed.run(vec![stage("a", vec![write("2")])]);
    let ledger = Ledger::load(&signed.project.config.state_dir).unwrap();
    let leaves = ledger.leaves().unwrap();
    let all = signed.evidence();
    let hashed: Vec<_> = all.iter().map(|one| merkle::leaf_hash(&one.bytes)).collect();
    assert_eq!(leaves, hashed, "a leaf is the envelope's bytes");
    let checkpoints = ledger.checkpoints().unwrap();
    let sizes: Vec<u64> = checkpoints
        .iter()
        .map(|envelope| {
            assert_eq!(envelope.payload_type(), CHECKPOINT);
            assert_eq!(signed.policy().judge(envelope, None), [Standing::Trusted("ada".to_owned())]);
            let checkpoint = Checkpoint::from_envelope("it", envelope).unwrap();
            assert_eq!(checkpoint, Checkpoint::of(&leaves[..checkpoint.size as usize]));
            checkpoint.size
        })
        .collect();
    assert_eq!(sizes, [2, 4]);
    for (run, before) in of_kind(&all, Kind::Run).iter().zip([1, 3]) {
        let head = run.run().ledger;
        assert_eq!(head.size, before);
        assert_eq!(head.root, hex::encode(merkle::root(&leaves[..before as usize])));
    }
}

#[test]
fn a_result_made_elsewhere_brings_its_statements_along() {
    let (there, here) = (Signed::new(Algorithm::Ed25519), Signed::new(Algorithm::Ed25519));
    let action = || vec![stage("a", vec![write("1")])];
    there.run(action());
    // As a store that is shared, or pulled: all of it but the ledger, which is the project's.
    for folder in ["blobs-v1", "actions-v1"] {
        let from = there.project.config.store_dir.join(folder);
        for item in walkdir::WalkDir::new(&from).into_iter().map(Result::unwrap) {
            let to =
                here.project.config.store_dir.join(folder).join(item.path().strip_prefix(&from).unwrap());
            if item.file_type().is_dir() {
                std::fs::create_dir_all(&to).unwrap();
            } else {
                std::fs::copy(item.path(), &to).unwrap();
            }
        }
    }
    let ran = here.run(action());
    assert_eq!(ran.outcome("a"), Outcome::Cached);
    let all = here.evidence();
    assert_eq!(all[0].digest, there.evidence()[0].digest);
    assert!(matches!(here.standings(&all[0])[..], [Standing::Unknown(_)]), "their key is not ours");
    here.run(action());
    assert_eq!(of_kind(&here.evidence(), Kind::Stage).len(), 1, "adopted once");
}
