use proptest::prelude::*;

use super::*;

pub(super) const QUICKSTART: &str = r#"version: 1
name: quickstart
params: { epochs: 6 }
env: { OMP_NUM_THREADS: 2 }
seed: 7
defaults: { timeout-minutes: 10, retry: { max: 1, on: [oom], backoff: 1s }, resources: { memory: 1GiB } }
stages:
  images: { uses: surfaces, with: { samples: 300 } }
  stats: { uses: data-stats@1, inputs: { data: "${{ stages.images.outputs.data }}" } }
  augment:
    uses: augment
    inputs: { data: "${{ stages.images.outputs.data }}", preprocess: "${{ stages.stats.outputs.preprocess }}" }
    with: { transforms: [ { transform: horizontal-flip }, { transform: random-crop, padding: 2px } ] }
  train:
    uses: train
    inputs:
      data: ${{ stages.images.outputs.data }}
      preprocess: ${{ stages.stats.outputs.preprocess }}
      policy: ${{ stages.augment.outputs.policy }}
    with: { epochs: "${{ params.epochs }}", optimizer: { name: sgd, lr: 3e-2 }, budget: 2MiB, patience: 1m }
    resources: { cpus: 0 }
    seed: 3
    env: { OMP_NUM_THREADS: 1, NAME: "run-${{ git.branch }}-${{ env.USER }}" }
  prune: { uses: prune, inputs: { model: "${{ stages.train.outputs.model }}" }, with: { amount: 50% } }
  export: { uses: onnx, inputs: { model: "${{ stages.prune.outputs.model }}" } }
  int8:
    uses: quantize
    inputs: { model: "${{ stages.export.outputs.model }}", calibration: { from: "${{ stages.images.outputs.data }}", role: calibration } }
  engine: { uses: tensorrt, if: "${{ host.tensorrt }}", inputs: { model: "${{ stages.int8.outputs.model }}" } }
  bench:
    uses: benchmark
    inputs:
      models:
        - { from: "${{ stages.export.outputs.model }}", as: fp32 }
        - { from: "${{ stages.int8.outputs.model }}", as: int8 }
        - { from: "${{ stages.engine.outputs.engine }}", as: trt, if: "${{ host.tensorrt }}" }
    outputs: { table: results/comparison.md }
    resources: { exclusive: true }
    cache: false
  checklist:
    uses: checklist
    inputs: { models: "${{ stages.int8.outputs.model }}", benchmark: "${{ stages.bench.outputs.metrics }}" }
    outputs: { report: ./results/checklist.html }
    needs: [stats]
    continue-on-error: true
targets:
  int8-accuracy: { on: bench, metric: int8.top1, max-drop-vs: fp32.top1, value: 1pp }
  int8.p99: { on: bench, max: 0.002s }
  int8.size: { on: bench, max-ratio-vs: fp32.size, value: 0.3 }
"#;

#[test]
fn nine_stages_become_a_plan() {
    let plan = plan(QUICKSTART);
    assert_eq!(
        (plan.name.as_str(), plan.file.as_path()),
        ("quickstart", Path::new("pipelines/pipeline.yaml"))
    );
    insta::assert_snapshot!(shown(&plan), @r#"
    images (line 8)
        with {"samples":300}
    stats (line 9)
        data <- data=images.data: dataset/images
    augment (line 10)
        data <- data=images.data: dataset/images
        preprocess <- preprocess=stats.preprocess: preprocess
        with {"transforms":[{"p":0.5,"transform":"horizontal-flip"},{"padding":2,"transform":"random-crop"}]}
    train (line 14)
        data <- data=images.data: dataset/images
        policy <- policy=augment.policy: augment/policy
        preprocess <- preprocess=stats.preprocess: preprocess
        with {"batch-size":"auto","budget":2097152,"epochs":6,"nesterov":false,"optimizer":{"lr":0.03,"momentum":0.9,"name":"sgd"},"patience":60,"precision":"fp32"}
    prune (line 24)
        model <- model=train.model: model/checkpoint
        with {"amount":0.5}
    export (line 25)
        model <- model=prune.model: model/checkpoint
        with {"opset":18}
    int8 (line 26)
        calibration <- calibration=images.data: dataset/images as calibration data
        model <- model=export.model: model/onnx
        with {"count":512}
    engine (line 29)
        model <- model=int8.model: model/onnx
        skipped: `if: ${{ host.tensorrt }}` is false here: host.tensorrt = false
    bench (line 30)
        models <- fp32=export.model: model/onnx, int8=int8.model: model/onnx
        with {"warm-up":100}
        exports {"table": "results/comparison.md"}
    checklist (line 40)
        benchmark <- benchmark=bench.metrics: metrics/json
        models <- int8=int8.model: model/onnx
        needs stats
        exports {"report": "results/checklist.html"}
    "#);
    insta::assert_debug_snapshot!(plan.targets, @r#"
    [
        Target {
            name: "int8-accuracy",
            line: 47,
            stage: StageId(
                "bench",
            ),
            metric: "int8.top1",
            bound: DropAtMost {
                against: Stage {
                    stage: StageId(
                        "bench",
                    ),
                    metric: "fp32.top1",
                },
                value: 1.0,
            },
        },
        Target {
            name: "int8.p99",
            line: 48,
            stage: StageId(
                "bench",
            ),
            metric: "int8.p99",
            bound: AtMost(
                2.0,
            ),
        },
        Target {
            name: "int8.size",
            line: 49,
            stage: StageId(
                "bench",
            ),
            metric: "int8.size",
            bound: RatioAtMost {
                against: Stage {
                    stage: StageId(
                        "bench",
                    ),
                    metric: "fp32.size",
                },
                value: 0.3,
            },
        },
    ]
    "#);
}

#[test]
fn settings_come_from_the_stage_then_the_defaults_then_the_manifest() {
    let plan = plan(QUICKSTART);
    let action = |id: &str| plan.actions.iter().find(|action| action.id.0 == id).unwrap();
    let train = action("train");
    assert_eq!((train.seed, action("prune").seed), (3, 7));
    assert_eq!(train.resources, Resources { cpus: 0, memory: 1 << 30, ..Resources::default() });
    assert!(action("bench").resources.exclusive);
    assert_eq!(train.timeout, Some(std::time::Duration::from_secs(600)));
    assert_eq!(
        train.retry,
        Retry { max: 1, on: vec![FailureClass::Memory], backoff: std::time::Duration::from_secs(1) }
    );
    assert_eq!(
        train.env,
        BTreeMap::from(
            [("NAME", "run-main-ann"), ("OMP_NUM_THREADS", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        )
    );
    assert_eq!(action("prune").env["OMP_NUM_THREADS"], "2");
    assert!(train.cache && !action("bench").cache && action("checklist").continue_on_error);
}

#[test]
fn limits_are_those_that_the_pipeline_sets_and_0_lifts_them() {
    let stages = "  a: { uses: surfaces, with: { samples: 3 } }\n  \
        b: { uses: surfaces, with: { samples: 3 }, silence-minutes: 0.5, resources: { memory: 0B, output: 2MiB, network: true } }\n";
    let defaults = "defaults: { silence-minutes: 5, resources: { memory: 1GiB, output: 1GiB } }\n";
    let plan = plan(&format!("version: 1\n{defaults}stages:\n{stages}"));
    let minutes = |count: f64| Some(std::time::Duration::from_secs_f64(60.0 * count));
    let (gib, mib) = (1 << 30, 1 << 20);
    let expected = Limits { memory: Some(gib), output: Some(gib), silence: minutes(5.0) };
    assert_eq!((plan.actions[0].limits, plan.actions[0].resources.network), (expected, false));
    let expected = Limits { memory: None, output: Some(2 * mib), silence: minutes(0.5) };
    assert_eq!((plan.actions[1].limits, plan.actions[1].resources.network), (expected, true));
}

#[test]
fn renaming_a_stage_changes_no_binding_of_a_single_port() {
    let renamed = QUICKSTART
        .replace("  stats:", "  figures:")
        .replace("stages.stats.", "stages.figures.")
        .replace("needs: [stats]", "needs: [figures]");
    let (before, after) = (plan(QUICKSTART), plan(&renamed));
    let names = |plan: &Plan| -> Vec<(String, Vec<String>)> {
        let actions = plan.actions.iter().filter(|action| action.id.0 == "augment");
        actions
            .flat_map(|action| {
                action
                    .inputs
                    .iter()
                    .map(|(port, bound)| (port.clone(), bound.iter().map(|b| b.name.clone()).collect()))
            })
            .collect()
    };
    assert_eq!(names(&before), names(&after));
}

#[test]
fn params_of_files_override_those_written_inline() {
    let text = QUICKSTART.replace("name: quickstart", "name: quickstart\ninclude: more.yaml");
    let plan = Machine::new()
        .compile_with(&text, &[("more.yaml", "version: 1\nparams: [p.toml]\n"), ("p.toml", "epochs = 9\n")])
        .unwrap();
    let train = plan.actions.iter().find(|action| action.id.0 == "train").unwrap();
    assert_eq!(train.params["epochs"], json!(9));
}

/// A thousand stages compile well within the time a person notices.
#[test]
fn a_long_chain_is_ordered() {
    let mut text = String::from("version: 1\nstages:\n");
    let size = 1000;
    // Written from the end to the start, so that the order of the file is no order.
    for index in (0..size).rev() {
        match index {
            0 => text.push_str("  s0: { uses: onnx, inputs: { model: { path: data/cifar10 } } }\n"),
            _ => text.push_str(&format!("  s{index}: {{ uses: prune, inputs: {{ model: \"${{{{ stages.s{}.outputs.model }}}}\" }} }}\n", index - 1)),
        }
    }
    let text = text.replace("uses: onnx", "uses: prune");
    let plan = plan(&text);
    let ids: Vec<_> = plan.actions.iter().map(|action| action.id.0.clone()).collect();
    assert_eq!(ids, (0..size).map(|index| format!("s{index}")).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever a graph looks like: every stage once, after all it takes.
    #[test]
    fn order_respects_every_edge(edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..30)) {
        let mut text = String::from("version: 1\nstages:\n");
        for stage in 0..12 {
            let needs: Vec<_> = edges
                .iter()
                .filter(|(from, to)| *to == stage && (from * 7) % 12 < (to * 7) % 12)
                .map(|(from, _)| format!("s{from}"))
                .collect();
            text.push_str(&format!("  s{stage}: {{ uses: surfaces, needs: [{}] }}\n", needs.join(", ")));
        }
        let plan = plan(&text);
        prop_assert_eq!(plan.actions.len(), 12);
        let mut done = std::collections::BTreeSet::new();
        for action in &plan.actions {
            prop_assert!(action.needs.iter().all(|need| done.contains(need)), "{:?}", action.id);
            prop_assert!(done.insert(action.id.clone()));
        }
    }

    #[test]
    fn mutated_pipelines_never_panic(at in 0..QUICKSTART.len(), remove in 0_usize..12, insert in "[\\PC\\n]{0,4}") {
        let (start, end) = (at, (at + remove).min(QUICKSTART.len()));
        let text = format!("{}{insert}{}", &QUICKSTART[..start], &QUICKSTART[end..]);
        if let Err(found) = Machine::new().compile(&text) {
            prop_assert!(!found.is_empty());
            prop_assert!(!rendered(&found, &text).is_empty());
        }
    }

    #[test]
    fn swapped_words_never_panic(
        from in prop::sample::select(vec!["images", "stats", "train", "model", "data", "6", "sgd", "1pp", "bench", "outputs", "host.tensorrt"]),
        to in prop::sample::select(vec!["engine", "x[*]", "train[seed=0]", "[]", "{}", "null", "0", "'a'", "true", "policy", "${{ params }}", "matrix.x"]),
    ) {
        let text = QUICKSTART.replace(from, to);
        if let Err(found) = Machine::new().compile(&text) {
            prop_assert!(!rendered(&found, &text).is_empty());
        }
    }
}
