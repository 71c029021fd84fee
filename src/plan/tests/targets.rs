use super::*;

fn with_targets(targets: &str) -> String {
    format!(
        "version: 1\nstages:\n  bench: {{ uses: benchmark, inputs: {{ models: models/mine.onnx }} }}\n  many: {{ uses: benchmark, matrix: {{ n: [1, 2] }}, inputs: {{ models: models/mine.onnx }} }}\n  free: {{ uses: surfaces }}\ntargets:\n{targets}"
    )
}

#[test]
fn values_are_in_the_metrics_units() {
    let plan = plan(&with_targets(
        "  a.p99: { on: bench, max: 0.5s }
  b: { on: \"many[n=2]\", metric: x.size, max: 2GB }
  c: { on: bench, metric: x.top1, min: 90 }
  d: { on: bench, metric: x.top1, min: 90% }
  e: { on: bench, metric: x.p99, max-ratio-vs: \"many[n=1]:x.p99\", value: 50% }
  f: { on: free, metric: rows, max: 3 }
  g: { on: free, metric: wait, max: 3s }
  h: { on: bench, metric: x.top1, max-drop-vs: y.top1, value: 0.5pp }
  x.top1: { on: bench, max-drop-vs: \"many[n=1]\", value: 1pp }
",
    ));
    assert_eq!(plan.warnings, Vec::<String>::new());
    let bounds: Vec<_> = plan
        .targets
        .iter()
        .map(|target| format!("{} {} {} {:?}", target.line, target.stage, target.metric, target.bound))
        .collect();
    insta::assert_snapshot!(bounds.join("\n"), @r#"
    7 bench a.p99 AtMost(500.0)
    8 many[n=2] x.size AtMost(2000.0)
    9 bench x.top1 AtLeast(90.0)
    10 bench x.top1 AtLeast(90.0)
    11 bench x.p99 RatioAtMost { against: Stage { stage: StageId("many[n=1]"), metric: "x.p99" }, value: 0.5 }
    12 free rows AtMost(3.0)
    13 free wait AtMost(3000.0)
    14 bench x.top1 DropAtMost { against: Stage { stage: StageId("bench"), metric: "y.top1" }, value: 0.5 }
    15 bench x.top1 DropAtMost { against: Stage { stage: StageId("many[n=1]"), metric: "x.top1" }, value: 1.0 }
    "#);
}

#[test]
fn targets_that_can_not_be_checked() {
    insta::assert_snapshot!(refused(&with_targets(
        "  a: { on: bnch, max: 1 }
  b: { on: many, metric: x.p99, max: 1ms }
  c: { on: \"many[*]\", metric: x.p99, max: 1ms }
  d: { on: bench, metric: x.p99, min: 1% }
  e: { on: bench, metric: x.p99, max: 2 }
  f: { on: bench, metric: x.p99, max: 2MB }
  g: { on: bench, metric: x.p99, max: fast }
  h: { on: bench, metric: x.p99, max: [1] }
  i: { on: bench, metric: x.top1, max-drop-vs: x.p99, value: 1 }
  j: { on: bench, metric: x.top1, max-drop-vs: y.top1, value: -1pp }
  k: { on: bench, metric: x.p99, max-ratio-vs: y.p99, value: 2ms }
  l: { on: bench, metric: x.top1, max-drop-vs: \"free:y\", value: 3xy }
  o: { on: bench, metric: x.top1, max-drop-vs: many, value: 1pp }
"
    )), @r#"
    pipeline.yaml:7:12: error[plan::unknown-stage]: there is no stage `bnch`
      7 |   a: { on: bnch, max: 1 }
        |            ^^^^
      help: did you mean `bench`?

    pipeline.yaml:8:12: error[plan::matrix-reference]: `many` is a matrix of stages
      8 |   b: { on: many, metric: x.p99, max: 1ms }
        |            ^^^^ which of them?
      help: write `many[*]` for all, or for example `many[n=1]`

    pipeline.yaml:9:13: error[plan::target]: a target is on one stage; `many` names 2
      9 |   c: { on: "many[*]", metric: x.p99, max: 1ms }
        |             ^^^^
      help: for example `many[n=1]`

    pipeline.yaml:10:39: error[plan::unit]: target `d`: `1%` is a proportion, but the metric is in ms
      10 |   d: { on: bench, metric: x.p99, min: 1% }
         |                                       ^^
      help: write a number with one of the units `ms`, `s`, `m`, `h`

    pipeline.yaml:11:39: error[plan::unit]: target `e` needs a unit: the metric is in ms
      11 |   e: { on: bench, metric: x.p99, max: 2 }
         |                                       ^
      help: write for example `2ms`, or another of `ms`, `s`, `m`, `h`

    pipeline.yaml:12:39: error[plan::unit]: target `f`: `2MB` is a size, but the metric is in ms
      12 |   f: { on: bench, metric: x.p99, max: 2MB }
         |                                       ^^^
      help: write a number with one of the units `ms`, `s`, `m`, `h`

    pipeline.yaml:13:39: error[plan::unit]: target `g`: `fast` does not start with a number
      13 |   g: { on: bench, metric: x.p99, max: fast }
         |                                       ^^^^
      help: write a number with one of the units `ms`, `s`, `m`, `h`

    pipeline.yaml:14:39: error[plan::type]: the bound of target `h` is a number; here it is a list
      14 |   h: { on: bench, metric: x.p99, max: [1] }
         |                                       ^^^^

    pipeline.yaml:15:48: error[plan::unit]: `x.p99` is in ms, but the target's metric is in %
      15 |   i: { on: bench, metric: x.top1, max-drop-vs: x.p99, value: 1 }
         |                                                ^^^^^

    pipeline.yaml:16:63: error[plan::target]: `value` of target `j` is below 0
      16 |   j: { on: bench, metric: x.top1, max-drop-vs: y.top1, value: -1pp }
         |                                                               ^^^^
      help: it says how much is allowed, as a number from 0

    pipeline.yaml:17:62: error[plan::type]: `value` of target `k` is a ratio; here it is `2ms`
      17 |   k: { on: bench, metric: x.p99, max-ratio-vs: y.p99, value: 2ms }
         |                                                              ^^^
      help: write a factor such as `0.5`, or `50%`

    pipeline.yaml:18:65: error[plan::unit]: target `l`: `xy` in `3xy` is not a unit
      18 |   l: { on: bench, metric: x.top1, max-drop-vs: "free:y", value: 3xy }
         |                                                                 ^^^
      help: write a number with one of the units `%`, `pp`

    pipeline.yaml:19:48: error[plan::matrix-reference]: `many` is a matrix of stages
      19 |   o: { on: bench, metric: x.top1, max-drop-vs: many, value: 1pp }
         |                                                ^^^^ which of them?
      help: write `many[*]` for all, or for example `many[n=1]`
    "#);
}

#[test]
fn a_metric_that_no_manifest_lists_is_a_warning() {
    let plan = plan(&with_targets("  d: { on: bench, metric: x.p9, max: 1s }\n"));
    assert_eq!(plan.targets[0].bound, Bound::AtMost(1000.0));
    insta::assert_snapshot!(plan.warnings.join("\n"), @r"
    target `d`: the manifest of stage `bench` lists no metric `x.p9`; there is `<variant>.p99`, `<variant>.size`, `<variant>.top1`
    ");
}

#[test]
fn the_last_release_is_compared_with_where_there_is_one() {
    let text = with_targets(
        "  a: { on: bench, metric: x.top1, max-drop-vs: release, value: 1pp }
  b: { on: \"many[n=2]\", metric: x.p99, max-ratio-vs: \"last-release:y.p99\", value: 0.9 }
",
    );
    let against = |machine: Machine| {
        let plan = machine.compile(&text).unwrap_or_else(|found| panic!("{}", rendered(&found, &text)));
        let bounds = plan.targets.into_iter().map(|target| match target.bound {
            Bound::DropAtMost { against, .. } | Bound::RatioAtMost { against, .. } => against,
            other => panic!("{other:?}"),
        });
        bounds.collect::<Vec<_>>()
    };
    let released = |release: Option<&str>, metric: &str, value| Against::Release {
        release: release.map(str::to_owned),
        metric: metric.to_owned(),
        value,
    };
    assert_eq!(against(Machine::new()), [released(None, "x.top1", None), released(None, "y.p99", None)]);
    let metrics = BTreeMap::from([("bench".to_owned(), BTreeMap::from([("x.top1".to_owned(), 91.5)]))]);
    let mut machine = Machine::new();
    machine.release = Some(ReleasedMetrics { name: "v1".to_owned(), metrics });
    assert_eq!(
        against(machine),
        [released(Some("v1"), "x.top1", Some(91.5)), released(Some("v1"), "y.p99", None)]
    );
}
