use super::*;

#[test]
fn programs_and_ports_that_do_not_exist() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  a: { uses: trian }
  b: { uses: train@2, inputs: { dta: data/cifar10, epochs: 3.5px } }
  c: { uses: surfaces, outputs: { dta: x } }
  d: { uses: data-stats, inputs: { data: "${{ stages.c.outputs.dat }}" } }
  e: { uses: data-stats, inputs: { data: "${{ stages.cc.outputs.data }}" } }
  f: { uses: data-stats, inputs: { data: "${{ stages.c.data }}" } }
  g: { uses: data-stats, inputs: { data: "${{ stages.c.outputs }}" } }
  h: { uses: data-stats, inputs: { data: "${{ stages }}" } }
"#), @r#"
    pipeline.yaml:3:14: error[plan::unknown-program]: there is no stage program `trian`
      3 |   a: { uses: trian }
        |              ^^^^^
      help: did you mean `train`?

    pipeline.yaml:4:3: error[plan::unbound]: input `data` of stage `b` is not bound: the dataset/images
      4 |   b: { uses: train@2, inputs: { dta: data/cifar10, epochs: 3.5px } }
        |   ^ needs dataset/images
      help: `${{ stages.c.outputs.data }}` would fit

    pipeline.yaml:4:3: error[plan::unbound]: input `preprocess` of stage `b` is not bound: the preprocess
      4 |   b: { uses: train@2, inputs: { dta: data/cifar10, epochs: 3.5px } }
        |   ^ needs preprocess
      help: `${{ stages.d.outputs.preprocess }}` or `${{ stages.e.outputs.preprocess }}` or `${{ stages.f.outputs.preprocess }}` or `${{ stages.g.outputs.preprocess }}` would fit

    pipeline.yaml:4:14: error[plan::cache-version]: stage program `train` has cache version 1, the pipeline asks for 2
      4 |   b: { uses: train@2, inputs: { dta: data/cifar10, epochs: 3.5px } }
        |              ^^^^^^^
      help: install the version the pipeline was written for, or write `train@1` if the change is fine

    pipeline.yaml:4:33: error[plan::unknown-port]: stage `b` (train) has no input `dta`
      4 |   b: { uses: train@2, inputs: { dta: data/cifar10, epochs: 3.5px } }
        |                                 ^^^
      help: did you mean `data`?

    pipeline.yaml:4:52: error[plan::unknown-port]: stage `b` (train) has no input `epochs`
      4 |   b: { uses: train@2, inputs: { dta: data/cifar10, epochs: 3.5px } }
        |                                                    ^^^^^^
      help: `epochs` is a param: write it under `with`

    pipeline.yaml:5:35: error[plan::unknown-port]: stage `c` (surfaces) has no output `dta`
      5 |   c: { uses: surfaces, outputs: { dta: x } }
        |                                   ^^^
      help: did you mean `data`?

    pipeline.yaml:6:64: error[plan::unknown-port]: stage `c` (surfaces) has no output `dat`
      6 |   d: { uses: data-stats, inputs: { data: "${{ stages.c.outputs.dat }}" } }
        |                                                                ^^^
      help: did you mean `data`?

    pipeline.yaml:7:54: error[plan::unknown-stage]: there is no stage `cc`
      7 |   e: { uses: data-stats, inputs: { data: "${{ stages.cc.outputs.data }}" } }
        |                                                      ^^
      help: did you mean `c`?

    pipeline.yaml:8:56: error[plan::unknown-reference]: `stages.c` has no `data`
      8 |   f: { uses: data-stats, inputs: { data: "${{ stages.c.data }}" } }
        |                                                        ^^^^
      help: write `stages.c.outputs.<port>`; `if` can also ask for `stages.c.result` and `stages.c.metrics.<name>`

    pipeline.yaml:9:47: error[plan::unknown-reference]: `stages.c` needs an output behind it
      9 |   g: { uses: data-stats, inputs: { data: "${{ stages.c.outputs }}" } }
        |                                               ^^^^^^^^^^^^^^^^
      help: it has `data`

    pipeline.yaml:10:47: error[plan::unknown-reference]: `stages` needs the name of a stage behind it
      10 |   h: { uses: data-stats, inputs: { data: "${{ stages }}" } }
         |                                               ^^^^^^
      help: write `stages.<stage>.outputs.<port>`
    "#);
}

#[test]
fn a_wrong_edge_names_both_ends_and_what_would_fit() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  images: { uses: surfaces }
  stats: { uses: data-stats, inputs: { data: "${{ stages.images.outputs.data }}" } }
  train: { uses: train, inputs: { data: "${{ stages.images.outputs.data }}", preprocess: "${{ stages.stats.outputs.stats }}" } }
  int8: { uses: quantize, inputs: { model: "${{ stages.train.outputs.model }}", calibration: data/cifar10 } }
  bench: { uses: benchmark, inputs: { models: [ { path: models/mine.onnx, type: model/onx } ] } }
  trt: { uses: benchmark, inputs: { models: { from: "${{ stages.int8.outputs.model }}", type: model/onnx } } }
"#), @r#"
    pipeline.yaml:5:90: error[plan::port-type]: output `stats` of stage `stats` is stats/dataset, but input `preprocess` takes preprocess
      5 |   train: { uses: train, inputs: { data: "${{ stages.images.outputs.data }}", preprocess: "${{ stages.stats.outputs.stats }}" } }
        |                                                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ takes preprocess
      4 |   stats: { uses: data-stats, inputs: { data: "${{ stages.images.outputs.data }}" } }
        |   ^^^^^ gives stats/dataset
      help: `${{ stages.stats.outputs.preprocess }}` would fit

    pipeline.yaml:6:44: error[plan::port-type]: output `model` of stage `train` is model/checkpoint, but input `model` takes model/onnx
      6 |   int8: { uses: quantize, inputs: { model: "${{ stages.train.outputs.model }}", calibration: data/cifar10 } }
        |                                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ takes model/onnx
      5 |   train: { uses: train, inputs: { data: "${{ stages.images.outputs.data }}", preprocess: "${{ stages.stats.outputs.stats }}" } }
        |   ^^^^^ gives model/checkpoint
      help: a stage that uses `onnx` makes model/onnx out of model/checkpoint

    pipeline.yaml:7:81: error[plan::port-type]: input `models` takes model/onnx or engine/tensorrt, not model/onx
      7 |   bench: { uses: benchmark, inputs: { models: [ { path: models/mine.onnx, type: model/onx } ] } }
        |                                                                                 ^^^^^^^^^
      help: did you mean `model/onnx`?

    pipeline.yaml:8:95: error[plan::source]: `type` belongs to a path; an output has the type of its port
      8 |   trt: { uses: benchmark, inputs: { models: { from: "${{ stages.int8.outputs.model }}", type: model/onnx } } }
        |                                                                                               ^^^^^^^^^^
    "#);
}

#[test]
fn unbound_ports_and_too_many_artifacts() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  images: { uses: surfaces }
  stats: { uses: data-stats, inputs: { data: [data/cifar10, data/test] } }
  train: { uses: train, inputs: { data: data/cifar10 } }
  export: { uses: onnx }
  bench: { uses: benchmark, inputs: { models: [] } }
  twice: { uses: benchmark, inputs: { models: [ models/mine.onnx, { path: models/mine.onnx } ] } }
"#), @r"
    pipeline.yaml:4:46: error[plan::too-many]: input `data` of stage `stats` takes one artifact; here are 2
      4 |   stats: { uses: data-stats, inputs: { data: [data/cifar10, data/test] } }
        |                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^ data/cifar10, data/test
      help: name one of them

    pipeline.yaml:5:3: error[plan::unbound]: input `preprocess` of stage `train` is not bound: the preprocess
      5 |   train: { uses: train, inputs: { data: data/cifar10 } }
        |   ^^^^^ needs preprocess
      help: `${{ stages.stats.outputs.preprocess }}` would fit

    pipeline.yaml:6:3: error[plan::unbound]: input `model` of stage `export` is not bound: the model/checkpoint
      6 |   export: { uses: onnx }
        |   ^^^^^^ needs model/checkpoint
      help: `${{ stages.train.outputs.model }}` would fit

    pipeline.yaml:7:47: error[plan::unbound]: input `models` of stage `bench` is not bound: the model/onnx | engine/tensorrt
      7 |   bench: { uses: benchmark, inputs: { models: [] } }
        |                                               ^^^ needs model/onnx or engine/tensorrt
      help: `${{ stages.export.outputs.model }}` would fit

    pipeline.yaml:8:67: error[plan::same-name]: two artifacts of input `models` are called `mine`
      8 |   twice: { uses: benchmark, inputs: { models: [ models/mine.onnx, { path: models/mine.onnx } ] } }
        |                                                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      8 |   twice: { uses: benchmark, inputs: { models: [ models/mine.onnx, { path: models/mine.onnx } ] } }
        |                                                 ^^^^^^^^^^^^^^^^ first here
      help: give them names of their own with `as`
    ");
}

#[test]
fn paths_and_sources() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  a: { uses: data-stats, inputs: { data: data/cifar } }
  b: { uses: data-stats, inputs: { data: { from: data/cifar10 } } }
  c: { uses: surfaces, outputs: { data: data/made } }
  d: { uses: data-stats, inputs: { data: data/made } }
  e: { uses: data-stats, inputs: { data: { path: "${{ stages.c.outputs.data }}" } } }
  f: { uses: data-stats, inputs: { data: "${{ params.n }}" } }
  g: { uses: data-stats, inputs: { data: { from: "${{ params.n }}" } } }
  h: { uses: data-stats, inputs: { data: { path: "" } } }
  i: { uses: data-stats, inputs: { data: { path: data/test, role: tets } } }
params: { n: 3 }
"#), @r#"
    pipeline.yaml:3:42: error[plan::missing-path]: there is no file or folder `data/cifar`
      3 |   a: { uses: data-stats, inputs: { data: data/cifar } }
        |                                          ^^^^^^^^^^
      help: paths are relative to the project's root

    pipeline.yaml:4:50: error[plan::source]: `from` takes an output of a stage; here it is text
      4 |   b: { uses: data-stats, inputs: { data: { from: data/cifar10 } } }
        |                                                  ^^^^^^^^^^^^
      help: a file or folder is bound with `path: data/cifar10`

    pipeline.yaml:6:42: error[plan::exported-path]: `data/made` is placed by stage `c` of this pipeline
      6 |   d: { uses: data-stats, inputs: { data: data/made } }
        |                                          ^^^^^^^^^
      help: bind the output itself: "${{ stages.c.outputs.data }}"

    pipeline.yaml:7:50: error[plan::source]: `path` takes a file or folder; here it is an output of a stage
      7 |   e: { uses: data-stats, inputs: { data: { path: "${{ stages.c.outputs.data }}" } } }
        |                                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: an output is bound with `from`

    pipeline.yaml:8:42: error[plan::source]: input `data` is a path or an output of a stage; here it is a number
      8 |   f: { uses: data-stats, inputs: { data: "${{ params.n }}" } }
        |                                          ^^^^^^^^^^^^^^^^^^

    pipeline.yaml:9:50: error[plan::source]: `from` takes an output of a stage; here it is a number
      9 |   g: { uses: data-stats, inputs: { data: { from: "${{ params.n }}" } } }
        |                                                  ^^^^^^^^^^^^^^^^^^
      help: write "${{ stages.<stage>.outputs.<port> }}"

    pipeline.yaml:10:50: error[plan::missing-path]: the path of input `data` is empty
      10 |   h: { uses: data-stats, inputs: { data: { path: "" } } }
         |                                                  ^^^

    pipeline.yaml:11:67: error[plan::unknown-word]: `tets` is no role of a dataset
      11 |   i: { uses: data-stats, inputs: { data: { path: data/test, role: tets } } }
         |                                                                   ^^^^
      help: did you mean `test`?
    "#);
}

#[test]
fn test_data_is_kept_from_training() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  stats: { uses: data-stats, inputs: { data: { path: data/test, role: test } } }
  train: { uses: train, inputs: { data: { path: data/test, role: test }, preprocess: "${{ stages.stats.outputs.preprocess }}" } }
"#), @r#"
    pipeline.yaml:4:66: error[plan::test-data]: input `data` of stage `train` may not take test data
      4 |   train: { uses: train, inputs: { data: { path: data/test, role: test }, preprocess: "${{ stages.stats.outputs.preprocess }}" } }
        |                                                                  ^^^^ this data has the role `test`
      help: what is trained or calibrated on test data can't be judged by it; bind other data
    "#);
}

#[test]
fn cycles_are_shown_by_their_path() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  a: { uses: prune, inputs: { model: "${{ stages.c.outputs.model }}" } }
  b: { uses: prune, inputs: { model: "${{ stages.a.outputs.model }}" } }
  c: { uses: prune, inputs: { model: "${{ stages.b.outputs.model }}" }, needs: [a] }
  d: { uses: surfaces, needs: [d] }
  e: { uses: surfaces, needs: [f] }
  f: { uses: surfaces, needs: [e, nowhere] }
"#), @r#"
    pipeline.yaml:5:81: error[plan::cycle]: stages wait for each other: a → c → a
      5 |   c: { uses: prune, inputs: { model: "${{ stages.b.outputs.model }}" }, needs: [a] }
        |                                                                                 ^ `c` waits for `a`
      3 |   a: { uses: prune, inputs: { model: "${{ stages.c.outputs.model }}" } }
        |                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `a` waits for `c`
      help: remove one of these inputs, `needs` or `if`

    pipeline.yaml:6:32: error[plan::cycle]: stage `d` waits for itself
      6 |   d: { uses: surfaces, needs: [d] }
        |                                ^
      help: a stage can wait for other stages only

    pipeline.yaml:8:32: error[plan::cycle]: stages wait for each other: e → f → e
      8 |   f: { uses: surfaces, needs: [e, nowhere] }
        |                                ^ `f` waits for `e`
      7 |   e: { uses: surfaces, needs: [f] }
        |                                ^ `e` waits for `f`
      help: remove one of these inputs, `needs` or `if`

    pipeline.yaml:8:35: error[plan::unknown-stage]: there is no stage `nowhere`
      8 |   f: { uses: surfaces, needs: [e, nowhere] }
        |                                   ^^^^^^^
      help: there is `a`, `b`, `c`, `d`, `e`, `f`
    "#);
}

#[test]
fn two_writers_of_one_place() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  a: { uses: surfaces, outputs: { data: out/data } }
  b: { uses: surfaces, outputs: { data: ./out/data } }
  c: { uses: surfaces, outputs: { data: out } }
  d: { uses: surfaces, matrix: { n: [1, 2] }, outputs: { data: many } }
  e: { uses: surfaces, outputs: { data: ../elsewhere } }
  f: { uses: surfaces, outputs: { data: /etc/passwd } }
  g: { uses: surfaces, outputs: { data: .git/hooks } }
  h: { uses: surfaces, outputs: { data: [x] } }
"#), @r"
    pipeline.yaml:4:41: error[plan::two-writers]: stages `a` and `b` both place an output at `out/data`
      4 |   b: { uses: surfaces, outputs: { data: ./out/data } }
        |                                         ^^^^^^^^^^
      3 |   a: { uses: surfaces, outputs: { data: out/data } }
        |                                         ^^^^^^^^ first here
      help: give each its own path

    pipeline.yaml:5:41: error[plan::two-writers]: stages `a` and `c` place outputs inside each other: `out/data` and `out`
      5 |   c: { uses: surfaces, outputs: { data: out } }
        |                                         ^^^
      3 |   a: { uses: surfaces, outputs: { data: out/data } }
        |                                         ^^^^^^^^ first here
      help: give each its own path

    pipeline.yaml:6:64: error[plan::two-writers]: stages `d[n=1]` and `d[n=2]` both place an output at `many`
      6 |   d: { uses: surfaces, matrix: { n: [1, 2] }, outputs: { data: many } }
        |                                                                ^^^^
      help: put a value of the matrix into the path: `results/${{ matrix.<axis> }}.json`

    pipeline.yaml:7:41: error[plan::export]: the place of output `data` is `../elsewhere`, which is no place for results
      7 |   e: { uses: surfaces, outputs: { data: ../elsewhere } }
        |                                         ^^^^^^^^^^^^
      help: write a path inside of the project, relative to its root, such as `results/model.onnx`

    pipeline.yaml:8:41: error[plan::export]: the place of output `data` is `/etc/passwd`, which is no place for results
      8 |   f: { uses: surfaces, outputs: { data: /etc/passwd } }
        |                                         ^^^^^^^^^^^
      help: write a path inside of the project, relative to its root, such as `results/model.onnx`

    pipeline.yaml:9:41: error[plan::export]: the place of output `data` is `.git/hooks`, which is no place for results
      9 |   g: { uses: surfaces, outputs: { data: .git/hooks } }
        |                                         ^^^^^^^^^^
      help: write a path inside of the project, relative to its root, such as `results/model.onnx`

    pipeline.yaml:10:41: error[plan::type]: the place of output `data` is text; here it is a list
      10 |   h: { uses: surfaces, outputs: { data: [x] } }
         |                                         ^^^^
    ");
}

#[test]
fn artifacts_of_a_list_are_named() {
    insta::assert_snapshot!(shown(&plan(r#"version: 1
stages:
  export: { uses: onnx, matrix: { opset: [17, 18] }, inputs: { model: { path: data/cifar10 } }, with: { opset: "${{ matrix.opset }}" } }
  bench:
    uses: benchmark
    inputs:
      data: { path: ./data/test, role: test }
      models: [ models/mine.onnx, "${{ stages.export[*].outputs.model }}", { from: "${{ stages.export[opset=18].outputs.model }}", as: newest } ]
  report: { uses: checklist, inputs: { models: models/mine.onnx, benchmark: "${{ stages.bench.outputs.metrics }}" } }
"#)), @r#"
    export[opset=17] (line 3)
        model <- model=data/cifar10: model/checkpoint
        with {"opset":17}
    export[opset=18] (line 3)
        model <- model=data/cifar10: model/checkpoint
        with {"opset":18}
    bench (line 4)
        data <- data=data/test: dataset/images as test data
        models <- mine=models/mine.onnx: model/onnx, export[opset=17]=export[opset=17].model: model/onnx, export[opset=18]=export[opset=18].model: model/onnx, newest=export[opset=18].model: model/onnx
        with {"warm-up":100}
    report (line 9)
        benchmark <- benchmark=bench.metrics: metrics/json
        models <- mine=models/mine.onnx: model/onnx
    "#);
}

#[test]
fn test_data_of_one_stage_under_another_one_is_worth_a_warning() {
    let warnings = |role: &str| {
        let text = format!(
            r#"version: 1
stages:
  train: {{ uses: train, inputs: {{ data: {{ path: data/test{role} }}, preprocess: {{ path: data/cifar10 }} }} }}
  bench: {{ uses: benchmark, inputs: {{ models: models/mine.onnx, data: {{ path: ./data/test, role: test }} }} }}
"#
        );
        plan(&text).warnings.join("\n")
    };
    assert_eq!(warnings(", role: train"), "");
    insta::assert_snapshot!(warnings(""), @"input `data` of stage `train` takes `data/test`, which stage `bench` takes as test data; say with `role` which part it takes");
}
