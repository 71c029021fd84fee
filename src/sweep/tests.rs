#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::{strategy::Coordinates, *};
use crate::{
    plan::{Assignment, Axis, Direction, Goal, Range, Search},
    record::{RunId, RunOutcome},
    spec::{range_of_text, types::Strategy},
};

fn range(text: &str) -> Range {
    Axis::new("params.x".parse().unwrap(), &range_of_text("params.x", text).unwrap()).range
}

fn search(strategy: Strategy, ranges: &[(&str, &str)]) -> Search {
    let axes = ranges.iter().map(|(place, text)| Axis { place: place.parse().unwrap(), range: range(text) });
    let goal = |of: &str, direction| Goal { of: of.parse().unwrap(), direction };
    Search {
        axes: axes.collect(),
        strategy,
        trials: Some(40),
        seed: 7,
        goals: vec![goal("train:top1", Direction::Maximize), goal("train:size", Direction::Minimize)],
    }
}

fn tried(proposal: Proposal, standing: Standing) -> Tried {
    Tried { proposal, run: RunId::now(), outcome: RunOutcome::Succeeded, standing }
}

/// Runs a search on a function instead of a pipeline.
fn carry_out(search: &Search, judge: impl Fn(&[f64]) -> Standing) -> Vec<Tried> {
    let mut proposer = proposer(search).unwrap();
    let mut done = Vec::new();
    while let Some(proposal) = proposer.next(&done) {
        let values: Vec<f64> = proposal.set.iter().map(|(_, value)| value.as_f64().unwrap()).collect();
        done.push(tried(proposal, judge(&values)));
    }
    done
}

#[test]
fn combinations_change_the_last_place_fastest() {
    let assignments: Vec<Assignment> =
        ["params.a=1,2", "train.with.b=x,y,x", "params.a=3,4"].map(|text| text.parse().unwrap()).into();
    let listed = combinations(&assignments).unwrap();
    let lines: Vec<String> = listed
        .all()
        .iter()
        .map(|set| set.iter().map(|(place, value)| format!("{place}={value}")).collect::<Vec<_>>().join(" "))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    train.with.b="x" params.a=3
    train.with.b="x" params.a=4
    train.with.b="y" params.a=3
    train.with.b="y" params.a=4
    "#);
    let many: Assignment = Assignment {
        place: "params.a".parse().unwrap(),
        values: (0..101).map(|value| json!(value)).collect(),
    };
    let other = Assignment { place: "params.b".parse().unwrap(), ..many.clone() };
    let error = combinations(&[many, other]).unwrap_err().to_string();
    assert_eq!(error, "these values make 10201 combinations; at most 10000 are run at once");
}

#[test]
fn ranges_give_the_values_that_a_person_expects() {
    let grid = |text: &str| match range(text).grid() {
        Some(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        None => "?".to_owned(),
    };
    let ranges = [
        "[a, 2, true]",
        "{ int: [2, 6] }",
        "{ int: [2, 10], step: 4 }",
        "{ int: [8, 512], scale: log, points: 4 }",
        "{ int: [1, 3], points: 9 }",
        "{ linear: [0, 0.3], step: 0.1 }",
        "{ linear: [1ms, 2ms], points: 3 }",
        "{ log: [1e-4, 1e-1], points: 4 }",
        "{ int: [1MiB, 3MiB] }",
        "{ log: [1e-4, 1e-1] }",
    ];
    insta::assert_snapshot!(ranges.map(|text| format!("{text}: {}", grid(text))).join("\n"), @r#"
    [a, 2, true]: "a" 2 true
    { int: [2, 6] }: 2 3 4 5 6
    { int: [2, 10], step: 4 }: 2 6 10
    { int: [8, 512], scale: log, points: 4 }: 8 32 128 512
    { int: [1, 3], points: 9 }: 1 2 3
    { linear: [0, 0.3], step: 0.1 }: 0.0 0.1 0.2 0.3
    { linear: [1ms, 2ms], points: 3 }: "1ms" "1.5ms" "2ms"
    { log: [1e-4, 1e-1], points: 4 }: 0.0001 0.001 0.01 0.1
    { int: [1MiB, 3MiB] }: "1MiB" "2MiB" "3MiB"
    { log: [1e-4, 1e-1] }: ?
    "#);
    for text in ranges {
        let range = range(text);
        let (first, last) = (range.at(0.0), range.at(1.0 - f64::EPSILON));
        if let Some(values) = range.grid().filter(|_| !text.contains("points")) {
            assert_eq!((Some(&first), Some(&last)), (values.first(), values.last()), "{text}");
            assert_eq!(range.size(), Some(values.len() as u64), "{text}");
        }
    }
    assert_eq!(range("{ log: [1e-4, 1e-1] }").at(0.5), json!(0.003162));
}

#[test]
fn the_same_seed_proposes_the_same_trials_and_more_trials_go_on_from_there() {
    let ranges = [("params.a", "{ linear: [0, 1] }"), ("params.b", "[1, 2, 3]")];
    let judge = |values: &[f64]| Standing::Feasible(vec![values[0], values[1]]);
    for strategy in [Strategy::Random, Strategy::Tpe] {
        let long = search(strategy, &ranges);
        let short = Search { trials: Some(15), ..long.clone() };
        let sets = |search: &Search| -> Vec<Coordinates> {
            carry_out(search, judge).into_iter().map(|tried| tried.proposal.at).collect()
        };
        let all = sets(&long);
        assert_eq!((all.len(), &all), (40, &sets(&long)));
        assert_eq!(sets(&short), all[..15]);
        assert_ne!(sets(&Search { seed: 8, ..long }), all);
    }
}

#[test]
fn a_finite_space_is_tried_once_and_then_the_search_ends() {
    for strategy in [Strategy::Random, Strategy::Tpe, Strategy::Grid] {
        let search = search(strategy, &[("params.a", "[1, 2, 3]"), ("params.b", "{ int: [0, 3] }")]);
        let done = carry_out(&search, |values| Standing::Feasible(values.to_vec()));
        let mut sets: Vec<String> = done.iter().map(|tried| format!("{:?}", tried.proposal.set)).collect();
        sets.sort_unstable();
        sets.dedup();
        assert_eq!((done.len(), sets.len()), (12, 12), "{strategy:?}");
    }
}

#[test]
fn an_estimator_finds_what_is_good_sooner_than_chance() {
    // The best is at (0.2, 0.7), and the half a > 0.6 is forbidden.
    let judge = |values: &[f64]| match values[0] > 0.6 {
        true => Standing::Infeasible(values[0]),
        false => Standing::Feasible(vec![(values[0] - 0.2).powi(2) + (values[1] - 0.7).powi(2)]),
    };
    let best = |strategy, seed| {
        let mut search =
            search(strategy, &[("params.a", "{ linear: [0, 1] }"), ("params.b", "{ linear: [0, 1] }")]);
        search.goals.truncate(1);
        search.seed = seed;
        let costs = carry_out(&search, judge).into_iter().filter_map(|tried| match tried.standing {
            Standing::Feasible(costs) => Some(costs[0]),
            _ => None,
        });
        costs.fold(f64::INFINITY, f64::min)
    };
    let mean = |strategy| (0..20).map(|seed| best(strategy, seed)).sum::<f64>() / 20.0;
    let (drawn, estimated) = (mean(Strategy::Random), mean(Strategy::Tpe));
    assert!(estimated < 0.5 * drawn, "estimator {estimated}, chance {drawn}");
}

#[test]
fn several_goals_spread_the_trials_along_the_front() {
    // Between a = 0.2 and a = 0.4 no goal can win without the other one losing.
    let judge = |values: &[f64]| Standing::Feasible(vec![(values[0] - 0.2).abs(), (values[0] - 0.4).abs()]);
    let done = carry_out(&search(Strategy::Tpe, &[("params.a", "{ linear: [0, 1] }")]), judge);
    let late: Vec<f64> = done[20..].iter().map(|tried| tried.proposal.set[0].1.as_f64().unwrap()).collect();
    let near = late.iter().filter(|a| (0.15..0.45).contains(*a)).count();
    assert!(near * 2 > late.len(), "{late:?}");
    let spread =
        late.iter().any(|a| (0.15..0.27).contains(a)) && late.iter().any(|a| (0.33..0.45).contains(a));
    assert!(spread, "{late:?}");
}

#[test]
fn what_does_not_fit_together_is_told_with_what_to_do() {
    let said = |search: Search| {
        let fault = search.check().unwrap_err();
        format!("{fault}: {}", fault.hint)
    };
    let base = search(Strategy::Grid, &[("params.a", "{ int: [1, 100] }"), ("params.b", "[1, 2]")]);
    let faults = [
        said(Search { axes: Vec::new(), ..base.clone() }),
        said(Search { goals: Vec::new(), ..base.clone() }),
        said(base.clone()),
        said(search(Strategy::Grid, &[("params.a", "{ linear: [0, 1] }")])),
        said(Search {
            trials: None,
            ..search(Strategy::Grid, &[("params.a", "{ int: [1, 100] }"), ("params.b", "{ int: [1, 100] }")])
        }),
    ];
    insta::assert_snapshot!(faults.join("\n"), @r"
    the search has nothing to try: name a param and its values: `--over 'train.with.lr={log: [1e-4, 1e-1]}'`
    the search has no goal: say what is to become better: `--maximize train:top1`
    the grid has 200 combinations, and `trials` allows 40: allow more `trials`, thin the ranges out, or search with `strategy: tpe`
    a grid needs to know which values of `params.a` it takes: add `points: 5` to the range, or `step` where it has equal differences
    the grid has 10000 combinations, and without `trials` at most 1000 are run: allow more `trials`, thin the ranges out, or search with `strategy: tpe`
    ");
    assert!(Search { trials: Some(200), ..base }.check().is_ok());
}

#[test]
fn what_is_foreseen_is_what_comes() {
    let ranges = [("params.a", "{ linear: [0, 1] }")];
    let judge = |values: &[f64]| Standing::Feasible(vec![values[0], 0.0]);
    for (strategy, known, more) in [(Strategy::Tpe, 8, 32), (Strategy::Random, 40, 0)] {
        let search = search(strategy, &ranges);
        let (proposals, rest) = foreseen(&search).unwrap();
        assert_eq!((proposals.len(), rest), (known, more));
        let all: Vec<Proposal> = carry_out(&search, judge).into_iter().map(|tried| tried.proposal).collect();
        assert_eq!(proposals, all[..known]);
    }
}
