#![allow(clippy::unwrap_used)]

mod include;

use proptest::prelude::*;

use super::*;

/// Everything said about a text.
fn said(text: &str) -> String {
    match parse("pipeline.yaml", text) {
        Ok(spec) => {
            let warnings: Vec<_> =
                spec.warnings.iter().map(|d| render_text(d, "pipeline.yaml", text)).collect();
            format!("fine\n{}", warnings.join("\n"))
        }
        Err(diagnostics) => {
            diagnostics.iter().map(|d| render_text(d, "pipeline.yaml", text)).collect::<Vec<_>>().join("\n")
        }
    }
}

/// What is said about a body of one stage.
fn stage_said(body: &str) -> String {
    said(&format!("version: 1\nstages:\n  a:\n    uses: p\n{}", indoc(body)))
}

fn indoc(body: &str) -> String {
    body.lines().map(|line| format!("    {line}\n")).collect()
}

const FULL: &str = r#"# every key
version: 1
name: full
params: { epochs: 6, nested: { list: [1, 2.5, true, null, "t"] } }
env: { OMP_NUM_THREADS: "8" }
seed: 7
defaults: { timeout-minutes: 60, retry: { max: 2, on: [infra, oom], backoff: 30s } }
x-note: mine
targets:
  top1: { on: bench, max-drop-vs: fp32.top1, value: 0.5pp }
  latency: { on: "bench[batch=1]", metric: p99, max: 2ms }
  size: { on: bench, max-ratio-vs: "export:size", value: 0.5 }
stages:
  stats:
    uses: data-stats@1
    inputs: { data: { path: data/cifar10, role: train } }
  train:
    uses: train
    inputs:
      data: data/cifar10
      preprocess: ${{ stages.stats.outputs.preprocess }}
    with: { epochs: "${{ params.epochs }}", name: "run-${{ matrix.seed }}-${{ git.commit }}" }
    strategy: { matrix: { seed: [0, 1], lr: [1e-3], exclude: [{ seed: 1 }], include: [{ seed: 2, lr: 0.1 }] } }
    resources: { cpu: 4, memory: 16GiB, gpu: 1, exclusive: true }
    seed: ${{ matrix.seed }}
    if: ${{ host.gpus > 0 || params.force }}
  bench:
    uses: benchmark
    needs: [stats, "train[*]"]
    inputs:
      models:
        - { from: "${{ stages.train[seed=0].outputs.model }}", as: fp32 }
        - { from: "${{ stages.train[seed=matrix.seed,lr='0.1'].outputs.model }}", if: "${{ !params.fast }}" }
    outputs: { table: results/comparison.md }
    matrix: { batch: [1, 8] }
    cache: false
    continue-on-error: true
    runs-on: [self-hosted, gpu]
"#;

#[test]
fn every_key_is_read_to_its_place() {
    let spec = parse("pipeline.yaml", FULL).unwrap_or_else(|_| panic!("{}", said(FULL)));
    assert_eq!(spec.stages.len(), 3);
    let train = &spec.stages[1];
    assert_eq!(spec.sources.line(train.name.span.start), 17);
    assert_eq!(&FULL[train.name.span.clone()], "train");
    let condition = train.condition.as_ref().unwrap();
    assert_eq!(&FULL[condition.expression.span.clone()], "host.gpus > 0 || params.force");
    assert_eq!(train.settings.resources.memory, Some(16 << 30));
    assert_eq!(train.settings.resources.cpus, Some(4));
    let matrix = train.matrix.as_ref().unwrap();
    assert_eq!(matrix.axes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["seed", "lr"]);
    assert_eq!((matrix.include.len(), matrix.exclude.len()), (1, 1));
    let stats = &spec.stages[0];
    assert_eq!(stats.uses().unwrap().cache_version.as_ref().map(|version| version.value), Some(1));
    let bench = &spec.stages[2];
    assert_eq!(bench.inputs[0].items.len(), 2);
    assert_eq!(bench.needs[1].selector, Some(expression::Selector::All));
    assert_eq!(spec.defaults.retry.as_ref().unwrap().backoff, std::time::Duration::from_secs(30));
    assert_eq!(spec.targets.len(), 3);
    assert!(spec.warnings.is_empty());
}

#[test]
fn all_errors_of_a_file_come_at_once() {
    insta::assert_snapshot!(said(r#"
version: 2
nme: x
on: push
include: [other.yaml]
params: 3
stages:
  train:
    use: train
    timeout-minutes: 5m
    cache: 1
    x-mine: { anything: goes }
  train:
    uses: train
  1st: { uses: p }
  other: [a]
"#), @r"
    pipeline.yaml:2:10: error[spec::version]: version 2 of the language is not known
      2 | version: 2
        |          ^
      help: this release reads version 1

    pipeline.yaml:3:1: error[spec::unknown-key]: unknown key `nme` in the pipeline
      3 | nme: x
        | ^^^
      help: did you mean `name`?

    pipeline.yaml:4:1: error[spec::workflow-key]: `on` is a key of a GitHub workflow, not of a pipeline
      4 | on: push
        | ^^
      help: a pipeline declares `stages`; triggers and jobs live in .github/workflows

    pipeline.yaml:5:11: error[spec::include]: cannot read the included file `other.yaml`: this is not a project with files
      5 | include: [other.yaml]
        |           ^^^^^^^^^^
      help: the path is relative to the file that includes it

    pipeline.yaml:6:9: error[spec::type]: `params` is a map, the path of a file, or a list of paths; here it is `3`
      6 | params: 3
        |         ^

    pipeline.yaml:8:3: error[spec::missing-key]: stage `train` has neither `uses` nor `cmd`
      8 |   train:
        |   ^^^^^
      help: name the stage program, `uses: train`, or give a command, `cmd: python train.py`

    pipeline.yaml:9:5: error[spec::unknown-key]: unknown key `use` in stage `train`
      9 |     use: train
        |     ^^^
      help: did you mean `uses`?

    pipeline.yaml:10:22: error[spec::type]: `timeout-minutes` is a number of minutes above 0; here it is text
      10 |     timeout-minutes: 5m
         |                      ^^
      help: the unit is in the key: write the number alone

    pipeline.yaml:11:12: error[spec::type]: `cache` is `true` or `false`; here it is `1`
      11 |     cache: 1
         |            ^

    pipeline.yaml:13:3: error[spec::duplicate-key]: `train` is given twice in the same map
      13 |   train:
         |   ^^^^^ a second time
       8 |   train:
         |   ^^^^^ first here

    pipeline.yaml:15:3: error[spec::stage-name]: `1st` can't be the name of a stage
      15 |   1st: { uses: p }
         |   ^^^
      help: a name starts with a letter and goes on with letters, digits, `-` and `_`

    pipeline.yaml:16:10: error[spec::type]: stage `other` is a map; here it is a list
      16 |   other: [a]
         |          ^^^
    ");
}

#[test]
fn what_is_missing_is_named() {
    insta::assert_snapshot!([said(""), said("# only a comment\n"), said("[1]"), said("name: x"), said("version: 1\nstages:\n")].join("\n"), @r"
    pipeline.yaml:1:1: error[spec::empty]: the file is empty
      1 | 
        | ^
      help: a pipeline starts with `version: 1` and declares `stages`

    pipeline.yaml:1:1: error[spec::empty]: the file is empty
      1 | # only a comment
        | ^
      help: a pipeline starts with `version: 1` and declares `stages`

    pipeline.yaml:1:1: error[spec::type]: a pipeline is a map; here it is a list
      1 | [1]
        | ^^^

    pipeline.yaml:1:1: error[spec::missing-key]: the pipeline has no `version`
      1 | name: x
        | ^
      help: start the file with `version: 1`

    pipeline.yaml:1:1: error[spec::missing-key]: the pipeline has no `stages`
      1 | name: x
        | ^
      help: declare a stage: `stages: { train: { uses: train } }`

    pipeline.yaml:2:1: error[spec::no-stages]: `stages` declares no stage
      2 | stages:
        | ^^^^^^
      help: declare one: `train: { uses: train }`
    ");
}

#[test]
fn text_that_is_no_yaml() {
    insta::assert_snapshot!([
        said("version: 1\nstages:\n\ttrain:\n\t\tuses: p\n"),
        said("version: 1\nstages: { a: [ }\n"),
        said("version: 1\nname: \"open\n"),
        said("a: b: c\n"),
        said("version: 1\n---\nversion: 1\n"),
        said("version: !!int 1\nstages: { a: { uses: p } }\n"),
        said("version: 1\nstages: { ${{ params.x }}: { uses: p } }\n"),
    ].join("\n"), @r#"
    pipeline.yaml:3:1: error[spec::tab]: a tab indents this line; YAML indents by spaces
      3 | 	train:
        | ^ this is a tab
      help: replace the tab by spaces

    pipeline.yaml:2:16: error[spec::syntax]: this is not YAML: while parsing a node, did not find expected node content
      2 | stages: { a: [ }
        |                ^ noticed here

    pipeline.yaml:2:7: error[spec::syntax]: this is not YAML: while scanning a quoted scalar, found unexpected end of stream
      2 | name: "open
        |       ^ noticed here

    pipeline.yaml:1:5: error[spec::syntax]: this is not YAML: mapping values are not allowed in this context
      1 | a: b: c
        |     ^ noticed here

    pipeline.yaml:2:1: error[spec::documents]: the file holds more than one YAML document
      2 | ---
        | ^^^ a second one starts here
      help: put each pipeline into a file of its own

    pipeline.yaml:1:10: error[spec::tag]: YAML tags have no meaning in a pipeline
      1 | version: !!int 1
        |          ^^^^^^^ this value carries a tag
      help: remove the tag; quotes make a value text

    pipeline.yaml:2:12: error[spec::syntax]: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'
      2 | stages: { ${{ params.x }}: { uses: p } }
        |            ^ noticed here
      help: an expression inside `{ }` or `[ ]`, or as a key, needs quotes: "${{ … }}"
    "#);
}

#[test]
fn surprises_of_yaml_1_1() {
    insta::assert_snapshot!(said("version: 1
params: { fast: yes, list: [No, \"no\"] }
stages:
  a:
    uses: p
    cache: off
    if: no
    matrix: { m: [on, 'on'] }
    needs: [off]
    with:
      a-word-that-a-schema-knows: off
      mode: 0644
      count: 1_000
      time: 1:30
      fine: '010'
      level: .inf
"), @r#"
    pipeline.yaml:2:17: error[spec::ambiguous]: `yes` is a boolean to YAML 1.1 and text to YAML 1.2
      2 | params: { fast: yes, list: [No, "no"] }
        |                 ^^^
      help: write `true`, or "yes" in quotes for the text

    pipeline.yaml:2:29: error[spec::ambiguous]: `No` is a boolean to YAML 1.1 and text to YAML 1.2
      2 | params: { fast: yes, list: [No, "no"] }
        |                             ^^
      help: write `false`, or "No" in quotes for the text

    pipeline.yaml:6:12: error[spec::ambiguous]: `off` is a boolean to YAML 1.1 and text to YAML 1.2
      6 |     cache: off
        |            ^^^
      help: write `false`, or "off" in quotes for the text

    pipeline.yaml:7:9: error[spec::ambiguous]: `no` is a boolean to YAML 1.1 and text to YAML 1.2
      7 |     if: no
        |         ^^
      help: write `false`, or "no" in quotes for the text

    pipeline.yaml:8:19: error[spec::ambiguous]: `on` is a boolean to YAML 1.1 and text to YAML 1.2
      8 |     matrix: { m: [on, 'on'] }
        |                   ^^
      help: write `true`, or "on" in quotes for the text

    pipeline.yaml:12:13: error[spec::ambiguous]: `0644` is octal to YAML 1.1 and decimal to YAML 1.2
      12 |       mode: 0644
         |             ^^^^
      help: write `644`, or `0o644` for octal, or quotes for the text

    pipeline.yaml:13:14: error[spec::ambiguous]: `1_000` is a number to YAML 1.1 and text to YAML 1.2
      13 |       count: 1_000
         |              ^^^^^
      help: write `1000`, or quotes for the text

    pipeline.yaml:14:13: error[spec::ambiguous]: `1:30` is a number of base 60 to YAML 1.1 and text to YAML 1.2
      14 |       time: 1:30
         |             ^^^^
      help: write the number with a unit (`90s`, `30m`), or quotes for the text

    pipeline.yaml:16:14: error[spec::ambiguous]: `.inf` is not a finite number
      16 |       level: .inf
         |              ^^^^
      help: write a finite number, or quotes for the text
    "#);
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        laughs
            .push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", ")));
    }
    let deep = format!("version: 1\nx: {}{}\n", "[".repeat(70), "]".repeat(70));
    let large = "#".repeat(tree::MAX_BYTES + 1);
    insta::assert_snapshot!([
        said(&laughs),
        said(&deep).replace(&"[".repeat(60), "[…"),
        said("version: 1\nx: &a [*a]\n"),
        said(&large).replace(&"#".repeat(64), ""),
    ].join("\n"), @r"
    pipeline.yaml:7:10: error[spec::alias-bomb]: the aliases of this file stand for more than 100000 values
      7 | a5: &a5 [*a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4]
        |          ^^^ this alias exceeds the limit

    pipeline.yaml:2:67: error[spec::too-deep]: more than 64 lists and maps stand inside each other
      2 | x: […[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
        |                                                                   ^ this one is too deep

    pipeline.yaml:2:8: error[spec::alias]: an alias stands inside the value it names
      2 | x: &a [*a]
        |        ^^ this value would contain itself

    pipeline.yaml:1:1: error[spec::too-large]: the file has 8388609 bytes; 8388608 are allowed
      1 | #
        | ^
      help: split the file with `include`, or generate fewer stages and use `matrix:`
    ");
}

#[test]
fn anchors_and_merges_work() {
    let text = "version: 1\nx-base: &base { uses: p, cache: false }\nstages:\n  a: { <<: *base, cache: true }\n  b: *base\n";
    let spec = parse("pipeline.yaml", text).unwrap();
    assert_eq!(spec.stages[0].settings.cache, Some(true));
    assert_eq!(spec.stages[0].uses().unwrap().program.value, "p");
    assert_eq!(spec.stages[1].settings.cache, Some(false));
    insta::assert_snapshot!(said(text), @r"
    fine
    pipeline.yaml:4:8: warning[spec::merge-key]: `<<` is not part of YAML 1.2; it is read as YAML 1.1 does
      4 |   a: { <<: *base, cache: true }
        |        ^^ merges the keys of another map
    ");
}

#[test]
fn expressions_say_what_is_wrong_and_where() {
    insta::assert_snapshot!(stage_said(r#"with:
  a: ${params.lr}
  b: ${epochs}
  c: "${{ params.x + 1 }}"
  d: ${{ params.x == "fp32" }}
  e: ${{ param.x }}
  f: ${{ runner.os }}
  g: "${{ }}"
  h: ${{ params.x
  i: ${{ containz('a', 'b') }}
  j: ${{ contains('a') }}
  k: ${{ (params.x }}
  l: ${{ params. }}
  m: ${{ params.x = 1 }}
  n: ${{ 'open }}
  o: ${{ stages.a[*.x }}
  p: ${{ stages.a[seed].x }}
  q: "é ${{ params.x & 1 }} ${{ 12ab }}"
  r: "esc\taped ${{ nope }}"
  s: ${{ params.* }}"#), @r#"
    pipeline.yaml:6:10: error[spec::bare-dollar]: `${params.lr}` is not an expression
      6 |       a: ${params.lr}
        |          ^^^^^^^^^^^^
      help: write `${{ params.lr }}`

    pipeline.yaml:7:10: error[spec::bare-dollar]: `${epochs}` is not an expression
      7 |       b: ${epochs}
        |          ^^^^^^^^^
      help: write `${{ params.epochs }}`

    pipeline.yaml:8:24: error[spec::expression]: `+` has no meaning in an expression
      8 |       c: "${{ params.x + 1 }}"
        |                        ^
      help: expressions do not calculate; compute the value where the params are written

    pipeline.yaml:9:26: error[spec::expression]: `"` has no meaning in an expression
      9 |       d: ${{ params.x == "fp32" }}
        |                          ^
      help: a text in an expression stands in single quotes: 'text'

    pipeline.yaml:10:14: error[spec::unknown-context]: `param` names nothing an expression can refer to
      10 |       e: ${{ param.x }}
         |              ^^^^^
      help: did you mean `params`?

    pipeline.yaml:11:14: error[spec::unknown-context]: `runner` names nothing an expression can refer to
      11 |       f: ${{ runner.os }}
         |              ^^^^^^
      help: facts about the machine are in `host`

    pipeline.yaml:12:14: error[spec::expression]: the expression is empty
      12 |       g: "${{ }}"
         |              ^
      help: write for example `${{ params.x }}`

    pipeline.yaml:13:10: error[spec::expression]: an expression is not closed
      13 |       h: ${{ params.x
         |          ^^^^^^^^^^^^ its `}}` is missing

    pipeline.yaml:14:14: error[spec::unknown-function]: there is no function `containz`
      14 |       i: ${{ containz('a', 'b') }}
         |              ^^^^^^^^
      help: did you mean `contains`?

    pipeline.yaml:15:14: error[spec::expression]: `contains` takes 2 arguments, here are 1
      15 |       j: ${{ contains('a') }}
         |              ^^^^^^^^^^^^^

    pipeline.yaml:16:24: error[spec::expression]: expected `)`, found the end of the expression
      16 |       k: ${{ (params.x }}
         |                        ^

    pipeline.yaml:17:22: error[spec::expression]: expected a name behind `.`, found the end of the expression
      17 |       l: ${{ params. }}
         |                      ^

    pipeline.yaml:18:23: error[spec::expression]: expected an operator or the end of the expression, found `=`
      18 |       m: ${{ params.x = 1 }}
         |                       ^
      help: write `==` to compare

    pipeline.yaml:19:10: error[spec::expression]: an expression is not closed
      19 |       n: ${{ 'open }}
         |          ^^^^^^^^^^^^ its `}}` is missing

    pipeline.yaml:20:24: error[spec::expression]: expected `]`, found `.`
      20 |       o: ${{ stages.a[*.x }}
         |                        ^

    pipeline.yaml:21:27: error[spec::expression]: expected `=`, found `]`
      21 |       p: ${{ stages.a[seed].x }}
         |                           ^

    pipeline.yaml:22:26: error[spec::expression]: `&` has no meaning in an expression
      22 |       q: "é ${{ params.x & 1 }} ${{ 12ab }}"
         |                          ^
      help: write `&&`

    pipeline.yaml:22:37: error[spec::expression]: `12ab` is not a number
      22 |       q: "é ${{ params.x & 1 }} ${{ 12ab }}"
         |                                     ^^^^
      help: a text stands in single quotes: '2ms'

    pipeline.yaml:23:10: error[spec::unknown-context]: `nope` names nothing an expression can refer to
      23 |       r: "esc\taped ${{ nope }}"
         |          ^^^^^^^^^^^^^^^^^^^^^^^
      help: there is `params`, `matrix`, `stages`, `env`, `git`, `run`, `host`, `secrets`

    pipeline.yaml:24:21: error[spec::expression]: expected a name behind `.`, found `*`
      24 |       s: ${{ params.* }}
         |                     ^
      help: `[*]` gathers the stages of a matrix: `stages.train[*].outputs.model`
    "#);
}

#[test]
fn conditions_are_whole_expressions() {
    insta::assert_snapshot!([
        stage_said("if: host.gpu"),
        stage_said("if: ${{ params.a }} && ${{ params.b }}"),
        stage_said("if: [a]"),
        stage_said("if: false"),
    ].join("\n"), @r"
    pipeline.yaml:5:9: error[spec::condition]: `if` is an expression
      5 |     if: host.gpu
        |         ^^^^^^^^ this is text
      help: write `if: ${{ host.gpu }}`

    pipeline.yaml:5:9: error[spec::condition]: `if` mixes text and expressions, which would always be true
      5 |     if: ${{ params.a }} && ${{ params.b }}
        |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: write one expression: `if: ${{ params.a && params.b }}`

    pipeline.yaml:5:9: error[spec::type]: `if` is an expression or a boolean; here it is a list
      5 |     if: [a]
        |         ^^^

    fine
    ");
}

#[test]
fn values_with_units_need_them() {
    insta::assert_snapshot!(stage_said("resources: { memory: 16, cpus: many, gpu-memory: 1GiB, threads: 2 }\nretry: { max: -1, on: [infr, oom], backoff: 5, factor: 2 }\ntimeout-minutes: 0"), @r"
    pipeline.yaml:5:26: error[spec::unit]: `memory` needs a unit: `16` alone is not a size
      5 |     resources: { memory: 16, cpus: many, gpu-memory: 1GiB, threads: 2 }
        |                          ^^
      help: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`

    pipeline.yaml:5:36: error[spec::type]: `cpus` is a whole number from 0; here it is text
      5 |     resources: { memory: 16, cpus: many, gpu-memory: 1GiB, threads: 2 }
        |                                    ^^^^

    pipeline.yaml:5:42: error[spec::not-built]: `gpu-memory` of `resources` is part of the language but not built yet
      5 |     resources: { memory: 16, cpus: many, gpu-memory: 1GiB, threads: 2 }
        |                                          ^^^^^^^^^^
      help: ask for whole GPUs with `gpus`

    pipeline.yaml:5:60: error[spec::unknown-key]: unknown key `threads` in `resources`
      5 |     resources: { memory: 16, cpus: many, gpu-memory: 1GiB, threads: 2 }
        |                                                            ^^^^^^^
      help: there is `cpus`, `memory`, `gpus`, `exclusive`, `output`, `network`

    pipeline.yaml:6:19: error[spec::type]: `max` of `retry` is a whole number from 0; here it is `-1`
      6 |     retry: { max: -1, on: [infr, oom], backoff: 5, factor: 2 }
        |                   ^^

    pipeline.yaml:6:28: error[spec::unknown-word]: `infr` is no class of failure
      6 |     retry: { max: -1, on: [infr, oom], backoff: 5, factor: 2 }
        |                            ^^^^
      help: did you mean `infra`?

    pipeline.yaml:6:49: error[spec::unit]: `backoff` needs a unit: `5` alone is not a time
      6 |     retry: { max: -1, on: [infr, oom], backoff: 5, factor: 2 }
        |                                                 ^
      help: write a number with one of the units `ms`, `s`, `m`, `h`

    pipeline.yaml:6:52: error[spec::not-built]: `factor` of `retry` is part of the language but not built yet
      6 |     retry: { max: -1, on: [infr, oom], backoff: 5, factor: 2 }
        |                                                    ^^^^^^
      help: the pause doubles with each retry

    pipeline.yaml:7:22: error[spec::type]: `timeout-minutes` is a number of minutes above 0; here it is `0`
      7 |     timeout-minutes: 0
        |                      ^
    ");
    insta::assert_snapshot!(stage_said("resources: { memory: 5ms }\nretry: { backoff: 5 sec, tries: 3 }"), @r"
    pipeline.yaml:5:26: error[spec::unit]: `memory` is a size; `5ms` is a time
      5 |     resources: { memory: 5ms }
        |                          ^^^
      help: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`

    pipeline.yaml:6:23: error[spec::unit]: `backoff`: `sec` in `5 sec` is not a unit
      6 |     retry: { backoff: 5 sec, tries: 3 }
        |                       ^^^^^
      help: write `s`

    pipeline.yaml:6:30: error[spec::unknown-key]: unknown key `tries` in `retry`
      6 |     retry: { backoff: 5 sec, tries: 3 }
        |                              ^^^^^
      help: there is `max`, `on`, `backoff`
    ");
}

#[test]
fn limits_of_a_run_have_units_or_are_minutes() {
    insta::assert_snapshot!(stage_said("resources: { output: 12, network: maybe }\nsilence-minutes: 2m"), @r"
    pipeline.yaml:5:26: error[spec::unit]: `output` needs a unit: `12` alone is not a size
      5 |     resources: { output: 12, network: maybe }
        |                          ^^
      help: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`

    pipeline.yaml:5:39: error[spec::type]: `network` is `true` or `false`; here it is text
      5 |     resources: { output: 12, network: maybe }
        |                                       ^^^^^

    pipeline.yaml:6:22: error[spec::type]: `silence-minutes` is a number of minutes above 0; here it is text
      6 |     silence-minutes: 2m
        |                      ^^
      help: the unit is in the key: write the number alone
    ");
}

#[test]
fn keys_that_nothing_here_needs_say_so() {
    insta::assert_snapshot!(
        said("version: 1\nstages:\n  a: { uses: p, checkpoint: { every: 1 epoch }, secrets: { A: b } }\n  b: { uses: p, [1]: x }\n"),
        @r#"
    pipeline.yaml:3:17: error[spec::checkpoint]: stage `a` needs no `checkpoint`
      3 |   a: { uses: p, checkpoint: { every: 1 epoch }, secrets: { A: b } }
        |                 ^^^^^^^^^^
      help: a program that can resume saves checkpoints by itself, and a stopped stage goes on from the last one; how often it saves is a param of the program, see `stagewright stage describe`

    pipeline.yaml:3:58: error[spec::type]: `secrets` of stage `a` is a list of names; here it is a map
      3 |   a: { uses: p, checkpoint: { every: 1 epoch }, secrets: { A: b } }
        |                                                          ^^^^^^^^^
      help: write the names alone: `secrets: [TOKEN]`; the values come from the environment of `stagewright run`

    pipeline.yaml:4:17: error[spec::key]: a key is text; here it is a list
      4 |   b: { uses: p, [1]: x }
        |                 ^^^
      help: an expression as a value needs quotes: "${{ … }}"
    "#
    );
}

#[test]
fn a_command_stage_goes_with_its_own_keys() {
    let fine = "version: 1\nstages:\n  a: { cmd: [x, y], wdir: w, deps: [a], outs: [b: { persist: true }], metrics: [m], plots: [{ p: { x: step } }], frozen: true }\n";
    let spec = parse("pipeline.yaml", fine).unwrap();
    let stage = &spec.stages[0];
    assert_eq!((stage.command().unwrap().lines.len(), stage.outs.len(), stage.frozen), (2, 3, true));
    insta::assert_snapshot!(said("version: 1\nstages:\n  a: { cmd: ./x.sh, deps: [a], with: {}, steps: [] }\n"), @r"
    pipeline.yaml:3:32: error[spec::misplaced-key]: `with` of stage `a` does not go with `cmd`
      3 |   a: { cmd: ./x.sh, deps: [a], with: {}, steps: [] }
        |                                ^^^^
      3 |   a: { cmd: ./x.sh, deps: [a], with: {}, steps: [] }
        |        ^^^ this says what it runs
      help: write the values into the command, as in `--epochs ${{ params.epochs }}`, or give them under `env`

    pipeline.yaml:3:42: error[spec::workflow-key]: `steps` is a key of a GitHub workflow, not of a stage
      3 |   a: { cmd: ./x.sh, deps: [a], with: {}, steps: [] }
        |                                          ^^^^^
      help: a stage runs one program, named by `uses`, or one command, given by `cmd`
    ");
}

#[test]
fn inputs_and_stage_keys_are_checked() {
    insta::assert_snapshot!([
        stage_said("inputs:\n  a: { from: x, path: y }\n  b: { role: train }\n  c:\n  d: 3\n  e: { path: x, rol: train, count: 5 }\n  f: [1]\n  g: { path: x, if: no-expression }"),
        stage_said("uses: q"),
        stage_said("with: [1]\nmatrix: { 1a: [0] }\nstrategy: { matrix: { a: [0] } }\nneeds: [\"a b\", \"x[\", \"${{ x }}\"]"),
        stage_said("strategy: { fail-fast: false, matrx: {} }"),
        said("version: 1\nstages:\n  a: { uses: p@one }\n  b: { uses: 3 }\n"),
    ].join("\n"), @r#"
    pipeline.yaml:6:21: error[spec::two-sources]: input `a` has both `from` and `path`
      6 |       a: { from: x, path: y }
        |                     ^^^^
      6 |       a: { from: x, path: y }
        |            ^^^^
      help: `from` takes an output of a stage, `path` a file or folder

    pipeline.yaml:7:10: error[spec::missing-key]: input `b` has neither `from` nor `path`
      7 |       b: { role: train }
        |          ^^^^^^^^^^^^^^^
      help: `from` takes an output of a stage, `path` a file or folder

    pipeline.yaml:8:7: error[spec::empty-input]: input `c` has no value
      8 |       c:
        |       ^
      help: bind a path or "${{ stages.<stage>.outputs.<port> }}", or remove the key

    pipeline.yaml:9:10: error[spec::type]: input `d` is a path, an expression, or a map with `from` or `path`; here it is `3`
      9 |       d: 3
        |          ^

    pipeline.yaml:10:21: error[spec::unknown-key]: unknown key `rol` in input `e`
      10 |       e: { path: x, rol: train, count: 5 }
         |                     ^^^
      help: did you mean `role`?

    pipeline.yaml:10:33: error[spec::not-built]: `count` of input `e` is part of the language but not built yet
      10 |       e: { path: x, rol: train, count: 5 }
         |                                 ^^^^^
      help: the stage program's own params say how much of the data it takes

    pipeline.yaml:11:11: error[spec::type]: input `f` is a path, an expression, or a map with `from` or `path`; here it is `1`
      11 |       f: [1]
         |           ^

    pipeline.yaml:12:25: error[spec::condition]: `if` is an expression
      12 |       g: { path: x, if: no-expression }
         |                         ^^^^^^^^^^^^^ this is text
      help: write `if: ${{ no-expression }}`

    pipeline.yaml:5:5: error[spec::duplicate-key]: `uses` is given twice in the same map
      5 |     uses: q
        |     ^^^^ a second time
      4 |     uses: p
        |     ^^^^ first here

    pipeline.yaml:5:11: error[spec::type]: `with` of stage `a` is a map of params; here it is a list
      5 |     with: [1]
        |           ^^^

    pipeline.yaml:6:15: error[spec::matrix]: `1a` can't be the name of an axis
      6 |     matrix: { 1a: [0] }
        |               ^^
      help: a name starts with a letter and goes on with letters, digits, `-` and `_`

    pipeline.yaml:7:5: error[spec::two-matrices]: stage `a` has two matrices
      7 |     strategy: { matrix: { a: [0] } }
        |     ^^^^^^^^ a second one
      6 |     matrix: { 1a: [0] }
        |     ^^^^^^ first here

    pipeline.yaml:8:14: error[spec::stage-name]: `a b` can't be the name of a stage
      8 |     needs: ["a b", "x[", "${{ x }}"]
        |              ^^^
      help: a name starts with a letter and goes on with letters, digits, `-` and `_`

    pipeline.yaml:8:23: error[spec::expression]: expected `*` or `axis=value`, found the end of the expression
      8 |     needs: ["a b", "x[", "${{ x }}"]
        |                       ^

    pipeline.yaml:8:26: error[spec::stage-name]: a stage is named directly here, not by an expression
      8 |     needs: ["a b", "x[", "${{ x }}"]
        |                          ^^^^^^^^^^
      help: write the stage's name, for example `train` or `train[seed=0]`

    pipeline.yaml:5:17: error[spec::not-built]: `fail-fast` of `strategy` is part of the language but not built yet
      5 |     strategy: { fail-fast: false, matrx: {} }
        |                 ^^^^^^^^^
      help: a failed stage blocks only what depends on it

    pipeline.yaml:5:35: error[spec::unknown-key]: unknown key `matrx` in `strategy`
      5 |     strategy: { fail-fast: false, matrx: {} }
        |                                   ^^^^^
      help: did you mean `matrix`?

    pipeline.yaml:3:14: error[spec::uses]: `one` behind `@` is not a version
      3 |   a: { uses: p@one }
        |              ^^^^^
      help: write a whole number as in `p@1`, or leave it out

    pipeline.yaml:4:14: error[spec::type]: `uses` is text; here it is `3`
      4 |   b: { uses: 3 }
        |              ^
    "#);
}

#[test]
fn targets_are_checked() {
    insta::assert_snapshot!(said(r#"
version: 1
targets:
  a: { max: 2ms }
  b: { on: bench }
  c: { on: bench, max: 1, min: 2 }
  d: { on: bench, max-drop-vs: x }
  e: { on: bench, max: 2ms, value: 3 }
  f: { on: bench, max: 2ms, scenario: single-stream, wit: 1 }
  g: { on: bench, max-ratio-vs: "b ench:x", value: 1 }
params: { a: "${{ env.X }}" }
stages: { bench: { uses: p } }
"#), @r#"
    pipeline.yaml:4:3: error[spec::missing-key]: target `a` has no `on`
      4 |   a: { max: 2ms }
        |   ^
      help: name the stage that reports the metric: `on: bench`

    pipeline.yaml:5:3: error[spec::target]: target `b` has no bound
      5 |   b: { on: bench }
        |   ^
      help: write one of `max`, `min`, `max-drop-vs` with `value`, `max-ratio-vs` with `value`

    pipeline.yaml:6:27: error[spec::target]: target `c` has two bounds
      6 |   c: { on: bench, max: 1, min: 2 }
        |                           ^^^ a second one
      6 |   c: { on: bench, max: 1, min: 2 }
        |                   ^^^ first here
      help: make two targets of it

    pipeline.yaml:7:19: error[spec::missing-key]: target `d` has no `value`
      7 |   d: { on: bench, max-drop-vs: x }
        |                   ^^^^^^^^^^^
      help: say how much is allowed: `value: 1pp`

    pipeline.yaml:8:36: error[spec::target]: `value` of target `e` belongs to `max-drop-vs` or `max-ratio-vs`
      8 |   e: { on: bench, max: 2ms, value: 3 }
        |                                    ^
      help: the bound is the value of `max`

    pipeline.yaml:9:29: error[spec::not-built]: `scenario` of target `f` is part of the language but not built yet
      9 |   f: { on: bench, max: 2ms, scenario: single-stream, wit: 1 }
        |                             ^^^^^^^^
      help: the metric's name says which scenario it measures

    pipeline.yaml:9:54: error[spec::unknown-key]: unknown key `wit` in target `f`
      9 |   f: { on: bench, max: 2ms, scenario: single-stream, wit: 1 }
        |                                                      ^^^
      help: there is `on`, `metric`, `max`, `min`, `max-drop-vs`, `max-ratio-vs`, `value`

    pipeline.yaml:10:33: error[spec::stage-name]: `b ench` can't be the name of a stage
      10 |   g: { on: bench, max-ratio-vs: "b ench:x", value: 1 }
         |                                 ^^^^^^^^^^
      help: a name starts with a letter and goes on with letters, digits, `-` and `_`

    pipeline.yaml:11:14: error[spec::no-expression]: a param can't be an expression
      11 | params: { a: "${{ env.X }}" }
         |              ^^^^^^^^^^^^^^^
      help: params are where values start; compute with them in the stages
    "#);
}

#[test]
fn a_byte_order_mark_is_no_error() {
    assert!(parse("p", &format!("\u{feff}{FULL}")).is_ok(), "{}", said(&format!("\u{feff}{FULL}")));
}

#[test]
fn precedence_is_githubs() {
    use expression::{ExpressionKind, Operator};
    let text = "version: 1\nstages: { a: { uses: p, if: \"${{ !params.a && params.b == 1 || 2 < 3 != true }}\" } }\n";
    let spec = parse("p", text).unwrap();
    let expression = &spec.stages[0].condition.as_ref().unwrap().expression;
    let ExpressionKind::Binary(Operator::Or, left, right) = &expression.kind else {
        panic!("{expression:?}")
    };
    let ExpressionKind::Binary(Operator::And, not, equal) = &left.kind else { panic!("{left:?}") };
    assert!(matches!(not.kind, ExpressionKind::Not(_)));
    assert!(matches!(equal.kind, ExpressionKind::Binary(Operator::Equal, ..)));
    let ExpressionKind::Binary(Operator::NotEqual, less, _) = &right.kind else { panic!("{right:?}") };
    assert!(matches!(less.kind, ExpressionKind::Binary(Operator::Less, ..)));
    assert_eq!(&text[equal.span.clone()], "params.b == 1");
}

fn check_spans(text: &str) -> Result<(), TestCaseError> {
    let diagnostics = match parse("p", text) {
        Ok(spec) => spec.warnings,
        Err(diagnostics) => {
            prop_assert!(diagnostics.iter().any(|found| found.severity == Severity::Error));
            diagnostics
        }
    };
    for diagnostic in &diagnostics {
        prop_assert!(!render_text(diagnostic, "p", text).is_empty());
        for (span, _) in &diagnostic.labels {
            prop_assert!(span.start <= span.end && span.start <= text.len(), "{diagnostic:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 4000 }))]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
        check_spans(&text)?;
    }

    #[test]
    fn text_out_of_yaml_marks_never_panics(
        parts in prop::collection::vec(prop::sample::select(vec![
            "a", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", ",", "&a", "*a", "<<", "\"", "'", "|", ">", "\t", "?",
            "!", "!!str", "%", "---", "...", "#", "${{", "}}", "params", ".", "x", "é", "\r\n", "version: 1", "stages:",
        ]), 0..40)
    ) {
        check_spans(&parts.concat())?;
    }

    #[test]
    fn mutated_pipelines_never_panic(at in 0..FULL.len(), remove in 0_usize..20, insert in "[\\PC\\n\\t]{0,6}") {
        let mut start = at;
        while !FULL.is_char_boundary(start) { start -= 1; }
        let mut end = (start + remove).min(FULL.len());
        while !FULL.is_char_boundary(end) { end -= 1; }
        let text = format!("{}{insert}{}", &FULL[..start], &FULL[end..]);
        check_spans(&text)?;
    }

    #[test]
    fn expressions_never_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "params", ".", "x", "[", "]", "(", ")", "'a'", "'", "1", "-1", "0x1f", "==", "=", "!", "&&", "||", "<", "*",
            ",", " ", "stages", "matrix", "contains", "fromJSON", "é", "1e", "seed=0", "}}", "${{",
        ]), 0..30)
    ) {
        let text = format!("version: 1\nstages: {{ a: {{ uses: p, with: {{ v: \"${{{{ {} }}}}\" }} }} }}\n", parts.concat());
        check_spans(&text)?;
    }
}
