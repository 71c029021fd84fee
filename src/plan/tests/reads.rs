//! Reading a param makes that key a dependency and no other.

use super::*;

fn keys(text: &str) -> BTreeMap<String, ActionKey> {
    let plan = plan(text);
    let key = |action: &Action| KeyMaterial::new(action, BTreeMap::new(), "").key().unwrap();
    plan.actions.iter().map(|action| (action.id.0.clone(), key(action))).collect()
}

const PIPELINE: &str = r#"version: 1
params: { images: { count: 10, unused: 1 }, seeds: [1, 2], name: x, other: 3 }
stages:
  a: { uses: surfaces, with: { samples: "${{ params.images.count }}" } }
  b: { uses: surfaces, seed: "${{ params.seeds[1] }}", env: { N: "run-${{ params.name }}", M: "${{ params.images.count > 3 }}" } }
  c: { uses: surfaces, if: "${{ params.other }}" }
"#;

#[test]
fn a_param_that_is_not_read_changes_no_key() {
    let before = keys(PIPELINE);
    for (from, to) in [
        ("unused: 1", "unused: 2"),
        ("other: 3", "other: 4"),
        ("seeds: [1,", "seeds: [5,"),
        ("count: 10,", "count: 10, more: 1,"),
    ] {
        assert_eq!(keys(&PIPELINE.replace(from, to)), before, "{from} → {to}");
    }
    let changed = |from: &str, to: &str| -> Vec<String> {
        let after = keys(&PIPELINE.replace(from, to));
        before.iter().filter(|(id, key)| after[*id] != **key).map(|(id, _)| id.clone()).collect()
    };
    // The comparison in `env` of `b` gives the same text for both.
    assert_eq!(changed("count: 10", "count: 11"), ["a"]);
    assert_eq!(changed("count: 10", "count: 1"), ["a", "b"]);
    assert_eq!(changed("seeds: [1, 2]", "seeds: [1, 3]"), ["b"]);
    assert_eq!(changed("name: x", "name: y"), ["b"]);
}

#[test]
fn what_a_stage_reads_is_known_by_field() {
    let plan = plan(
        r#"version: 1
params: { a: { b: 1 }, list: [1], n: x }
env: { P: "${{ params.n }}", Q: "${{ params.list }}" }
stages:
  images:
    uses: augment
    inputs: { data: data/cifar10, preprocess: { path: data/cifar10 } }
    env: { Q: "${{ params.a.b }}-${{ params.list[0] }}" }
    with: { transforms: [ { transform: horizontal-flip, p: "${{ params.a.b }}" } ] }
    seed: ${{ params.a['b'] }}
"#
        .replace("Q: \"${{ params.list }}\"", "Q: \"${{ toJSON(params.list) }}\"")
        .as_str(),
    );
    let reads = &plan.actions[0].reads;
    let shown: Vec<_> =
        reads.iter().map(|(field, params)| format!("{field}: {}", params.join(", "))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    env.P: params.n
    env.Q: params.a.b, params.list
    seed: params.a.b
    with.transforms: params.a.b
    ");
}
