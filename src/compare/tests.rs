#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{pareto::dominates, *};
use crate::{
    digest::Digest,
    plan::{Direction, Goal, StageId},
    record::{
        MetricValue, Outcome, RunId, RunOutcome, RunRecord, RunState, Setting, StageRecord, StoredOutput,
    },
    store::{Artifact, ArtifactKind},
};

fn stage(id: &str, material: Value, metrics: &[(&str, f64)]) -> StageRecord {
    let mut stage = StageRecord::new(StageId(id.to_owned()));
    stage.outcome = Some(Outcome::Ran);
    stage.material = serde_json::from_value(material).unwrap();
    for (name, value) in metrics {
        let unit = name.starts_with("top").then(|| "%".to_owned());
        stage.measured.metrics.insert((*name).to_owned(), MetricValue { value: *value, unit });
    }
    stage
}

fn run(stages: Vec<StageRecord>) -> RunRecord {
    let state = RunState::Ended(RunOutcome::Succeeded);
    RunRecord { stages, state, ..RunRecord::new(RunId::now()) }
}

fn output(content: &str) -> StoredOutput {
    let digest = Digest::of(content.as_bytes());
    let artifact = Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() };
    StoredOutput {
        artifact_type: "file".to_owned(),
        file_name: "out".to_owned(),
        artifact,
        executable: false,
    }
}

/// A table as lines: heading, then each row's values and its mark.
fn lines(table: &Comparison) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let row = |row: &Row| {
        let cell = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        let cells: Vec<String> = row.values.iter().map(cell).collect();
        format!("{}{}", cells.join(" "), if row.front { " *" } else { "" })
    };
    let rows: Vec<String> = table.rows.iter().map(row).collect();
    format!("{}\n{}", names.join(" "), rows.join("\n"))
}

#[test]
fn a_difference_names_each_thing_that_changed() {
    let mut before =
        stage("train", json!({"with.lr": 0.1, "with.note": "x", "inputs.data": "a"}), &[("top1", 90.0)]);
    before.outputs = BTreeMap::from([("model".to_owned(), output("m1")), ("curve".to_owned(), output("c"))]);
    let mut after = stage(
        "train",
        json!({"with.lr": 0.01, "seed": 3, "inputs.data": "b"}),
        &[("top1", 91.5), ("loss", 0.2)],
    );
    after.outputs = BTreeMap::from([("model".to_owned(), output("m2")), ("curve".to_owned(), output("c"))]);
    after.outcome = Some(Outcome::Cached);
    let gone = stage("old", json!({"with.a": 1}), &[("size", 4.0)]);
    let same = stage("same", json!({"with.a": 1}), &[("size", 4.0)]);
    let mut reused = stage("same", json!({"with.a": 1.0}), &[("size", 4.0)]);
    reused.outcome = Some(Outcome::Cached);
    let found = diff(&run(vec![gone, before, same]), &run(vec![after, reused]));
    assert_eq!(found.same, 1);
    let [train, old] = &found.stages[..] else { panic!("{found:?}") };
    let values = |changes: &[Change<Value>]| {
        let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        changes
            .iter()
            .map(|change| format!("{} {} {}", change.name, text(&change.from), text(&change.to)))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&train.params), ["seed - 3", "with.lr 0.1 0.01", "with.note \"x\" -"]);
    assert_eq!(values(&train.inputs), ["inputs.data \"a\" \"b\""]);
    let names: Vec<&str> = train.metrics.iter().map(|change| change.name.as_str()).collect();
    assert_eq!(names, ["loss", "top1"]);
    assert_eq!(train.artifacts.len(), 1, "{:?}", train.artifacts);
    assert_eq!(train.outcome, None, "made or reused is no difference");
    assert_eq!(
        (old.outcome.as_ref().unwrap().from, old.outcome.as_ref().unwrap().to),
        (Some(Outcome::Ran), None)
    );
    assert_eq!(old.metrics[0].to, None);
}

#[test]
fn a_record_without_params_says_so_where_they_may_differ() {
    let key = |content: &str| Some(crate::plan::ActionKey(Digest::of(content.as_bytes())));
    let mut old = stage("train", json!({}), &[]);
    old.key = key("a");
    let mut new = stage("train", json!({"with.lr": 0.1}), &[]);
    new.key = key("b");
    let found = diff(&run(vec![old.clone()]), &run(vec![new.clone()]));
    assert!(found.stages[0].params_unknown && found.stages[0].params.is_empty());
    new.key = key("a");
    assert_eq!(diff(&run(vec![old]), &run(vec![new])).stages, []);
}

fn sweep() -> Vec<RunRecord> {
    [(0.1, 3.0, 90.0), (0.01, 1.0, 94.0), (0.001, 2.0, 94.5)]
        .map(|(lr, size, top1)| {
            let mut record = run(vec![
                stage("images", json!({"with.samples": 5, "seed": 0}), &[("count", 5.0)]),
                stage("train", json!({"with.lr": lr, "seed": 0}), &[("top1", top1), ("size", size)]),
            ]);
            record.set = vec![Setting { key: "train.with.lr".to_owned(), value: lr.into() }];
            record
        })
        .into()
}

#[test]
fn a_table_shows_what_was_set_and_what_differs() {
    let table = compare(&sweep(), &Choice::default()).unwrap();
    insta::assert_snapshot!(lines(&table), @r"
    train.with.lr size top1
    0.1 3.0 90.0
    0.01 1.0 94.0
    0.001 2.0 94.5
    ");
    assert_eq!((table.more_metrics, table.more_params), (1, 0));
    assert_eq!(table.columns[2].unit.as_deref(), Some("%"));
}

#[test]
fn a_table_of_what_was_asked_for_with_the_best_marked_and_first() {
    let goal = |of: &str, direction| Goal { of: of.parse().unwrap(), direction };
    let choice = Choice {
        metrics: vec!["images:count".to_owned()],
        params: vec!["samples".to_owned(), "train.with.lr".to_owned()],
        goals: vec![goal("train:top1", Direction::Maximize), goal("train:size", Direction::Minimize)],
        sort: Some(Sort { column: "top1".to_owned(), reverse: false }),
        only_front: false,
    };
    let mut records = sweep();
    insta::assert_snapshot!(lines(&compare(&records, &choice).unwrap()), @r"
    images.with.samples train.with.lr top1 size count
    5 0.001 94.5 2.0 5.0 *
    5 0.01 94.0 1.0 5.0 *
    5 0.1 90.0 3.0 5.0
    ");
    records[1].state = RunState::Ended(RunOutcome::GateFailed);
    let only = Choice { only_front: true, ..choice.clone() };
    insta::assert_snapshot!(lines(&compare(&records, &only).unwrap()), @r"
    images.with.samples train.with.lr top1 size count
    5 0.001 94.5 2.0 5.0 *
    ");
    let reversed = Choice { sort: Some(Sort { column: "lr".to_owned(), reverse: true }), ..choice };
    let table = compare(&records, &reversed).unwrap();
    assert_eq!(
        table.rows.iter().map(|row| row.values[1].clone().unwrap()).collect::<Vec<_>>(),
        [0.1, 0.01, 0.001]
    );
}

#[test]
fn a_matrix_has_a_row_for_each_combination() {
    let record = |shift: f64| {
        run(vec![
            stage("images", json!({"with.samples": 5}), &[("count", 5.0 + shift)]),
            stage("train[lr=0.1,name=a,b]", json!({"with.lr": 0.1}), &[("top1", 90.0 + shift)]),
            stage("train[lr=0.2,name=c]", json!({"with.lr": 0.2}), &[("top1", 91.0)]),
        ])
    };
    let table = compare(&[record(0.0), record(1.0)], &Choice::default()).unwrap();
    insta::assert_snapshot!(lines(&table), @r#"
    lr name count top1
    0.1 "a,b" 5.0 90.0
    0.2 "c" 5.0 91.0
    0.1 "a,b" 6.0 91.0
    0.2 "c" 6.0 91.0
    "#);
    let one = Choice { metrics: vec!["train[lr=0.2,name=c]:top1".to_owned()], ..Choice::default() };
    insta::assert_snapshot!(lines(&compare(&[record(0.0)], &one).unwrap()), @r"
    train[lr=0.2,name=c]:top1
    91.0
    ");
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let said = |choice: Choice| {
        let error = compare(&sweep(), &choice).unwrap_err();
        let hint = match &error {
            CompareError::Unknown { hint, .. } | CompareError::NoColumn { hint, .. } => hint.clone(),
            CompareError::Nothing => None,
        };
        format!("{error}: {}", hint.unwrap_or_default())
    };
    let text = [
        said(Choice { metrics: vec!["top2".to_owned()], ..Choice::default() }),
        said(Choice { metrics: vec!["images:top1".to_owned()], ..Choice::default() }),
        said(Choice { params: vec!["sample".to_owned()], ..Choice::default() }),
        said(Choice { sort: Some(Sort { column: "tok".to_owned(), reverse: false }), ..Choice::default() }),
    ];
    insta::assert_snapshot!(text.join("\n"), @r"
    none of these runs has a metric `top2`: did you mean `top1`?
    none of these runs has a metric `images:top1`: did you mean `images:count`?
    none of these runs has a param `sample`: did you mean `samples`?
    the table has no column `tok` to sort by: did you mean `took`?
    ");
    assert_eq!(compare(&[], &Choice::default()), Err(CompareError::Nothing));
}

fn points() -> impl Strategy<Value = Vec<Option<Vec<f64>>>> {
    // Few values, so that points are often equal in a coordinate.
    let point = proptest::option::weighted(0.9, proptest::collection::vec((0..6_u8).prop_map(f64::from), 3));
    proptest::collection::vec(point, 0..30)
}

fn records() -> impl Strategy<Value = RunRecord> {
    let material = proptest::collection::btree_map("[a-c]", 0..3_u8, 0..3);
    let metrics = proptest::collection::btree_map("[x-z]", -2..3_i8, 0..3);
    let drawn = ("[s-u]", material, metrics, 0..3_usize);
    proptest::collection::vec(drawn, 0..4).prop_map(|stages| {
        let mut seen = std::collections::BTreeSet::new();
        let stages = stages.into_iter().filter(|(id, ..)| seen.insert(id.clone()));
        run(stages
            .map(|(id, material, metrics, outcome)| {
                let metrics: Vec<(&str, f64)> =
                    metrics.iter().map(|(name, value)| (name.as_str(), f64::from(*value))).collect();
                let mut stage = stage(&id, json!(material), &metrics);
                stage.outcome = [Some(Outcome::Ran), Some(Outcome::Failed), None][outcome];
                stage
            })
            .collect())
    })
}

proptest! {
    #[test]
    fn no_point_of_the_front_is_beaten_and_every_other_one_is_by_one_of_it(points in points()) {
        let on = front(&points);
        for (at, point) in points.iter().enumerate() {
            let Some(point) = point else {
                prop_assert!(!on[at]);
                continue;
            };
            let by = |wanted: bool| {
                points.iter().zip(&on).any(|(other, on)| {
                    (*on || !wanted) && other.as_ref().is_some_and(|other| dominates(other, point))
                })
            };
            if on[at] {
                prop_assert!(!by(false));
            } else {
                prop_assert!(by(true));
            }
        }
    }

    #[test]
    fn a_run_does_not_differ_from_itself_and_differences_turn_round(a in records(), b in records()) {
        let none = diff(&a, &a);
        prop_assert_eq!(none.stages, vec![]);
        prop_assert_eq!(none.same, a.stages.len());
        let (there, back) = (diff(&a, &b), diff(&b, &a));
        prop_assert_eq!(there.same, back.same);
        for stage in &there.stages {
            let other = back.stages.iter().find(|other| other.stage == stage.stage).unwrap();
            let turned = |changes: &[Change<Value>]| -> Vec<Change<Value>> {
                changes
                    .iter()
                    .cloned()
                    .map(|change| Change { from: change.to, to: change.from, ..change })
                    .collect()
            };
            prop_assert_eq!(&turned(&stage.params), &other.params);
            prop_assert_eq!(stage.metrics.len(), other.metrics.len());
        }
    }

    #[test]
    fn sorting_is_stable_and_puts_what_has_no_value_last(values in proptest::collection::vec(proptest::option::of(0..4_u8), 1..20), reverse in any::<bool>()) {
        let record = |value: &Option<u8>| {
            let metrics: Vec<(&str, f64)> = value.iter().map(|value| ("m", f64::from(*value))).collect();
            run(vec![stage("s", json!({"with.a": 1}), &metrics)])
        };
        let mut records: Vec<RunRecord> = values.iter().map(record).collect();
        // One run has the metric in any case, or there is no such column.
        records.push(record(&Some(9)));
        let choice = Choice {
            metrics: vec!["m".to_owned()],
            sort: Some(Sort { column: "m".to_owned(), reverse }),
            ..Choice::default()
        };
        let table = compare(&records, &choice).unwrap();
        let place = |run: RunId| records.iter().position(|record| record.run == run).unwrap();
        for pair in table.rows.windows(2) {
            let value = |row: &Row| row.values[0].as_ref().and_then(Value::as_f64);
            match (value(&pair[0]), value(&pair[1])) {
                (Some(a), Some(b)) if a == b => prop_assert!(place(pair[0].run) < place(pair[1].run)),
                (Some(a), Some(b)) => prop_assert!((a < b) != reverse),
                (None, Some(_)) => prop_assert!(false, "a row without a value is not last"),
                (Some(_), None) => {}
                (None, None) => prop_assert!(place(pair[0].run) < place(pair[1].run)),
            }
        }
    }
}
