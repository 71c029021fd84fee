use super::*;

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
