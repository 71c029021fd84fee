use super::*;

#[test]
fn names_that_mean_nothing() {
    insta::assert_snapshot!(refused(r#"version: 1
params: { train: { epochs: 3, list: [1] } }
env: { A: "${{ matrix.x }}", "B=": x }
stages:
  a:
    uses: surfaces
    with:
      samples: ${{ params.train.epohcs }}
  b: { uses: surfaces, with: { samples: "${{ params.train.list[4] }}" } }
  c: { uses: surfaces, with: { samples: "${{ host.gpu }}" } }
  d: { uses: surfaces, with: { samples: "${{ env.HOME }}" } }
  e: { uses: surfaces, with: { samples: "${{ matrix.x }}" } }
  f: { uses: surfaces, with: { samples: "${{ git.tag }}" } }
  g: { uses: surfaces, with: { samples: "${{ run.id }}" } }
  h: { uses: surfaces, with: { samples: "${{ secrets.KEY }}" } }
  i: { uses: surfaces, with: { samples: "${{ stages.a.outputs.data }}" } }
  j: { uses: surfaces, with: { samples: "${{ params.train.epochs.x }}" } }
  k: { uses: surfaces, seed: "x-${{ params.train }}" }
  l: { uses: surfaces, seed: -1 }
  m: { uses: surfaces, env: { X: "${{ params.train }}" } }
  n: { uses: surfaces, with: { samples: "${{ host }}" } }
"#), @r#"
    pipeline.yaml:3:16: error[plan::no-matrix]: `matrix` is used where there is none
      3 | env: { A: "${{ matrix.x }}", "B=": x }
        |                ^^^^^^^^
      help: give the stage a `matrix`

    pipeline.yaml:3:30: error[plan::env]: `B=` can't be the name of a variable
      3 | env: { A: "${{ matrix.x }}", "B=": x }
        |                              ^^^^

    pipeline.yaml:8:33: error[plan::unknown-reference]: `params.train` has no `epohcs`
      8 |       samples: ${{ params.train.epohcs }}
        |                                 ^^^^^^
      help: did you mean `epochs`?

    pipeline.yaml:9:64: error[plan::unknown-reference]: `params.train.list` has 1 items, none at 4
      9 |   b: { uses: surfaces, with: { samples: "${{ params.train.list[4] }}" } }
        |                                                                ^

    pipeline.yaml:10:46: error[plan::unknown-reference]: `host` has no `gpu`
      10 |   c: { uses: surfaces, with: { samples: "${{ host.gpu }}" } }
         |                                              ^^^^^^^^
      help: there is `cpus`, `tensorrt`

    pipeline.yaml:11:46: error[plan::unknown-reference]: `env` has no `HOME`
      11 |   d: { uses: surfaces, with: { samples: "${{ env.HOME }}" } }
         |                                              ^^^^^^^^
      help: there is `USER`

    pipeline.yaml:12:46: error[plan::no-matrix]: `matrix` is used where there is none
      12 |   e: { uses: surfaces, with: { samples: "${{ matrix.x }}" } }
         |                                              ^^^^^^^^
      help: give the stage a `matrix`

    pipeline.yaml:13:50: error[plan::unknown-reference]: `git` has no `tag`
      13 |   f: { uses: surfaces, with: { samples: "${{ git.tag }}" } }
         |                                                  ^^^
      help: there is `branch`, `commit`

    pipeline.yaml:14:46: error[plan::run-value]: `run.id` is known only during the run
      14 |   g: { uses: surfaces, with: { samples: "${{ run.id }}" } }
         |                                              ^^^^^^
      help: it would change the action key with every run; a variable under `env` can be "${{ run.id }}", and `if` can ask for it

    pipeline.yaml:15:46: error[plan::secret]: a secret can't be read by an expression
      15 |   h: { uses: surfaces, with: { samples: "${{ secrets.KEY }}" } }
         |                                              ^^^^^^^^^^^ it would enter the action key, the logs and the lineage
      help: write `secrets: [KEY]` in the stage; its program finds the value in the variable `KEY`

    pipeline.yaml:16:41: error[plan::output-value]: an output has no value before the run
      16 |   i: { uses: surfaces, with: { samples: "${{ stages.a.outputs.data }}" } }
         |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: bind it to a port under `inputs`

    pipeline.yaml:17:66: error[plan::unknown-reference]: `params.train.epochs` is a number, which has no `x`
      17 |   j: { uses: surfaces, with: { samples: "${{ params.train.epochs.x }}" } }
         |                                                                  ^

    pipeline.yaml:18:37: error[plan::expression]: a map can't stand inside a text
      18 |   k: { uses: surfaces, seed: "x-${{ params.train }}" }
         |                                     ^^^^^^^^^^^^
      help: use `join(…)` or `toJSON(…)`

    pipeline.yaml:19:30: error[plan::type]: `seed` is a whole number from 0; here it is `-1`
      19 |   l: { uses: surfaces, seed: -1 }
         |                              ^^

    pipeline.yaml:20:34: error[plan::type]: variable `X` is text; here it is a map
      20 |   m: { uses: surfaces, env: { X: "${{ params.train }}" } }
         |                                  ^^^^^^^^^^^^^^^^^^^^^^

    pipeline.yaml:21:46: error[plan::unknown-reference]: `host` needs a name behind it
      21 |   n: { uses: surfaces, with: { samples: "${{ host }}" } }
         |                                              ^^^^
      help: write `host.<name>`
    "#);
}

#[test]
fn an_output_is_chosen_by_an_expression() {
    let plan = plan(
        r#"version: 1
stages:
  fp32: { uses: onnx, inputs: { model: { path: data/cifar10 } } }
  int8: { uses: quantize, inputs: { model: "${{ stages.fp32.outputs.model }}", calibration: data/cifar10 } }
  bench:
    uses: benchmark
    matrix: { precision: [fp32, int8] }
    inputs: { models: "${{ matrix.precision == 'int8' && stages.int8.outputs.model || stages.fp32.outputs.model }}" }
"#,
    );
    insta::assert_snapshot!(shown(&plan), @r#"
    fp32 (line 3)
        model <- model=data/cifar10: model/checkpoint
        with {"opset":18}
    int8 (line 4)
        calibration <- calibration=data/cifar10: dataset/images
        model <- model=fp32.model: model/onnx
        with {"count":512}
    bench[precision=fp32] (line 5)
        models <- fp32=fp32.model: model/onnx
        with {"warm-up":100}
    bench[precision=int8] (line 5)
        models <- int8=int8.model: model/onnx
        with {"warm-up":100}
    "#);
}

#[test]
fn matrices_expand_as_githubs_do() {
    let plan = plan(
        r#"version: 1
params: { seeds: [0, 1] }
stages:
  s:
    uses: surfaces
    with: { samples: "${{ matrix.n }}" }
    seed: ${{ matrix.seed }}
    matrix:
      seed: ${{ params.seeds }}
      n: [1, 2]
      exclude: [ { seed: 1, n: 1 } ]
      include: [ { seed: 0, note: first }, { seed: 5, n: 9 } ]
  each: { uses: data-stats, matrix: { seed: [0, 1] }, inputs: { data: "${{ stages.s[n=2,seed=matrix.seed].outputs.data }}" } }
  after: { uses: surfaces, needs: ["s[seed=0]", "each[*]"] }
"#,
    );
    insta::assert_snapshot!(shown(&plan), @r#"
    s[seed=0,n=1] (line 4)
        with {"samples":1}
    s[seed=0,n=2] (line 4)
        with {"samples":2}
    s[seed=1,n=2] (line 4)
        with {"samples":2}
    s[seed=5,n=9] (line 4)
        with {"samples":9}
    each[seed=0] (line 13)
        data <- data=s[seed=0,n=2].data: dataset/images
    each[seed=1] (line 13)
        data <- data=s[seed=1,n=2].data: dataset/images
    after (line 14)
        with {"samples":100}
        needs s[seed=0,n=1] s[seed=0,n=2] each[seed=0] each[seed=1]
    "#);
    let seeds: Vec<_> = plan
        .actions
        .iter()
        .filter(|action| action.id.0.starts_with("s["))
        .map(|action| action.seed)
        .collect();
    assert_eq!(seeds, [0, 0, 1, 5]);
}

#[test]
fn what_is_wrong_with_a_matrix() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  a: { uses: surfaces, matrix: { n: 3 } }
  b: { uses: surfaces, matrix: { n: [[1], "a,b", ""] } }
  c: { uses: surfaces, matrix: { n: [1, 1] } }
  d: { uses: surfaces, matrix: { n: [] } }
  e: { uses: surfaces, matrix: { n: [1], exclude: [ { m: 1 } ], include: [3] } }
  s: { uses: surfaces, matrix: { n: [1, 2] } }
  t: { uses: data-stats, inputs: { data: "${{ stages.s.outputs.data }}" } }
  u: { uses: data-stats, inputs: { data: "${{ stages.s[n=3].outputs.data }}" } }
  v: { uses: data-stats, inputs: { data: "${{ stages.s[m=1].outputs.data }}" } }
  w: { uses: data-stats, inputs: { data: "${{ stages.t[*].outputs.stats }}" } }
  x: { uses: data-stats, inputs: { data: "${{ stages.s[*].outputs.data }}" } }
  y: { uses: data-stats, inputs: { data: "${{ stages.s[n=matrix.k].outputs.data }}" } }
  z: { uses: surfaces, matrix: { a: "${{ params.none }}", n: [1] }, with: { samples: "${{ matrix.m }}" } }
"#), @r#"
    pipeline.yaml:3:37: error[plan::matrix]: axis `n` is a list of values; here it is a number
      3 |   a: { uses: surfaces, matrix: { n: 3 } }
        |                                     ^
      help: write `[…]` around the values

    pipeline.yaml:4:38: error[plan::matrix]: a value of `n` is text, a number or a boolean; here it is a list
      4 |   b: { uses: surfaces, matrix: { n: [[1], "a,b", ""] } }
        |                                      ^^^

    pipeline.yaml:4:43: error[plan::matrix]: `a,b` of `n` holds one of [ ] , = ' or a control character, which can't stand in a stage's id
      4 |   b: { uses: surfaces, matrix: { n: [[1], "a,b", ""] } }
        |                                           ^^^^^

    pipeline.yaml:4:50: error[plan::matrix]: a text of `n` has 1 to 80 bytes, here it has 0
      4 |   b: { uses: surfaces, matrix: { n: [[1], "a,b", ""] } }
        |                                                  ^^

    pipeline.yaml:5:32: error[plan::matrix]: the matrix gives `c[n=1]` twice
      5 |   c: { uses: surfaces, matrix: { n: [1, 1] } }
        |                                ^^^^^^^^^^^^^^

    pipeline.yaml:6:32: error[plan::matrix]: the matrix of stage `d` has no combination
      6 |   d: { uses: surfaces, matrix: { n: [] } }
        |                                ^^^^^^^^^^

    pipeline.yaml:7:53: error[plan::matrix]: `exclude` names `m`, which is no axis of the matrix
      7 |   e: { uses: surfaces, matrix: { n: [1], exclude: [ { m: 1 } ], include: [3] } }
        |                                                     ^^^^^^^^^

    pipeline.yaml:7:75: error[plan::matrix]: an entry of `include` is a map; here it is a number
      7 |   e: { uses: surfaces, matrix: { n: [1], exclude: [ { m: 1 } ], include: [3] } }
        |                                                                           ^

    pipeline.yaml:9:54: error[plan::matrix-reference]: `s` is a matrix of stages
      9 |   t: { uses: data-stats, inputs: { data: "${{ stages.s.outputs.data }}" } }
        |                                                      ^ which of them?
      help: write `s[*]` for all, or for example `s[n=1]`

    pipeline.yaml:10:56: error[plan::matrix-reference]: the matrix of stage `s` has no such combination
      10 |   u: { uses: data-stats, inputs: { data: "${{ stages.s[n=3].outputs.data }}" } }
         |                                                        ^
      help: there is `s[n=1]`, `s[n=2]`

    pipeline.yaml:11:56: error[plan::matrix-reference]: the matrix of stage `s` has no `m`
      11 |   v: { uses: data-stats, inputs: { data: "${{ stages.s[m=1].outputs.data }}" } }
         |                                                        ^
      help: there is `n`

    pipeline.yaml:12:54: error[plan::matrix-reference]: stage `t` has no matrix
      12 |   w: { uses: data-stats, inputs: { data: "${{ stages.t[*].outputs.stats }}" } }
         |                                                      ^
      help: write `t` without brackets

    pipeline.yaml:13:42: error[plan::too-many]: input `data` of stage `x` takes one artifact; here are 2
      13 |   x: { uses: data-stats, inputs: { data: "${{ stages.s[*].outputs.data }}" } }
         |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `data` of `s[n=1]`, `data` of `s[n=2]`
      help: name one of them

    pipeline.yaml:14:58: error[plan::no-matrix]: this stage's matrix has no `k`
      14 |   y: { uses: data-stats, inputs: { data: "${{ stages.s[n=matrix.k].outputs.data }}" } }
         |                                                          ^^^^^^^^

    pipeline.yaml:15:49: error[plan::unknown-reference]: `params` has no `none`
      15 |   z: { uses: surfaces, matrix: { a: "${{ params.none }}", n: [1] }, with: { samples: "${{ matrix.m }}" } }
         |                                                 ^^^^
    "#);
}

#[test]
fn a_matrix_has_a_limit() {
    let axis: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    let axis = axis.join(",");
    let text =
        format!("version: 1\nstages:\n  a: {{ uses: surfaces, matrix: {{ x: [{axis}], y: [{axis}] }} }}\n");
    let said = refused(&text);
    assert!(said.contains("the matrix of stage `a` has more than 10000 combinations"), "{said}");
}
