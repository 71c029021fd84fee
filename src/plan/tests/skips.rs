use super::*;

#[test]
fn skipping_goes_along_the_edges_with_its_reason() {
    insta::assert_snapshot!(shown(&plan(r#"version: 1
params: { fast: true }
stages:
  never: { uses: surfaces, if: false }
  slow: { uses: surfaces, if: "${{ !params.fast && host.cpus > 1 }}" }
  stats: { uses: data-stats, inputs: { data: "${{ stages.slow.outputs.data }}" } }
  train: { uses: train, inputs: { data: data/cifar10, preprocess: "${{ stages.stats.outputs.preprocess }}" } }
  after: { uses: surfaces, needs: [never] }
  fp32: { uses: onnx, inputs: { model: { path: data/cifar10 } } }
  int8: { uses: quantize, if: "${{ host.tensorrt || git.branch != 'main' }}", inputs: { model: "${{ stages.fp32.outputs.model }}", calibration: data/nowhere } }
  all: { uses: benchmark, inputs: { models: [ "${{ stages.fp32.outputs.model }}", "${{ stages.int8.outputs.model }}" ] } }
  some: { uses: benchmark, inputs: { models: [ "${{ stages.fp32.outputs.model }}", { from: "${{ stages.int8.outputs.model }}", if: true } ] } }
  none: { uses: benchmark, inputs: { models: [ { from: "${{ stages.int8.outputs.model }}", if: true } ] } }
  left: { uses: benchmark, inputs: { models: [ { path: models/nowhere.onnx, if: "${{ host.tensorrt }}" } ] } }
"#)), @r#"
    never (line 4)
        with {"samples":100}
        skipped: `if: false`
    slow (line 5)
        with {"samples":100}
        skipped: `if: ${{ !params.fast && host.cpus > 1 }}` is false here: params.fast = true, host.cpus = 2
    stats (line 6)
        data <- data=slow.data: dataset/images
        skipped: its input `data` comes from `slow`, which is skipped
    train (line 7)
        data <- data=data/cifar10: dataset/images
        preprocess <- preprocess=stats.preprocess: preprocess
        with {"batch-size":"auto","budget":1000000,"epochs":10,"nesterov":false,"optimizer":{"lr":0.001,"name":"adamw"},"patience":null,"precision":"fp32"}
        skipped: its input `preprocess` comes from `stats`, which is skipped
    after (line 8)
        with {"samples":100}
        needs never
        skipped: it needs `never`, which is skipped
    fp32 (line 9)
        model <- model=data/cifar10: model/checkpoint
        with {"opset":18}
    int8 (line 10)
        calibration <- calibration=data/nowhere: dataset/images
        model <- model=fp32.model: model/onnx
        with {"count":512}
        skipped: `if: ${{ host.tensorrt || git.branch != 'main' }}` is false here: host.tensorrt = false, git.branch = 'main'
    all (line 11)
        models <- fp32=fp32.model: model/onnx, int8=int8.model: model/onnx
        with {"warm-up":100}
        skipped: its input `models` comes from `int8`, which is skipped
    some (line 12)
        models <- fp32=fp32.model: model/onnx
        with {"warm-up":100}
    none (line 13)
        models <- nothing
        with {"warm-up":100}
        skipped: everything its input `models` takes is skipped
    left (line 14)
        models <- nothing
        with {"warm-up":100}
        skipped: everything its input `models` takes is left out by `if`
    warning: input `models` of stage `some` goes without `int8`: stage `int8` is skipped
    "#);
}

#[test]
fn a_stage_that_would_run_needs_its_platform() {
    insta::assert_snapshot!(refused("version: 1\nstages:\n  engine: { uses: tensorrt, inputs: { model: models/mine.onnx } }\n"), @r"
    pipeline.yaml:3:19: error[plan::platform]: stage `engine` can't run here: trtexec is not on the PATH
      3 |   engine: { uses: tensorrt, inputs: { model: models/mine.onnx } }
        |                   ^^^^^^^^
      help: install TensorRT 10 or 11
            or skip the stage on machines like this one: `if: ${{ host.tensorrt }}`
    ");
}

#[test]
fn devices_are_looked_for_before_anything_runs() {
    let text = "version: 1\nstages:\n  a: { uses: surfaces, resources: { gpus: 1 } }\n  b: { uses: surfaces, resources: { gpus: 1 }, if: \"${{ host.gpus > 0 }}\" }\n";
    let mut machine = Machine::new();
    machine.host.insert("gpus".to_owned(), json!(0));
    insta::assert_snapshot!(rendered(&machine.compile(text).unwrap_err(), text), @r"
    pipeline.yaml:3:3: error[plan::gpus]: stage `a` asks for GPUs: 1; this machine has 0
      3 |   a: { uses: surfaces, resources: { gpus: 1 } }
        |   ^
      help: skip the stage on machines like this one: `if: ${{ host.gpus >= 1 }}`
    ");
    machine.host.insert("gpus".to_owned(), json!(1));
    assert!(machine.compile(text).is_ok());
}

#[test]
fn a_broken_reference_in_a_skipped_stage_is_still_an_error() {
    insta::assert_snapshot!(refused("version: 1\nstages:\n  a: { uses: data-stats, if: false, inputs: { data: \"${{ stages.b.outputs.data }}\" }, with: { x: 1 } }\n"), @r#"
    pipeline.yaml:3:65: error[plan::unknown-stage]: there is no stage `b`
      3 |   a: { uses: data-stats, if: false, inputs: { data: "${{ stages.b.outputs.data }}" }, with: { x: 1 } }
        |                                                                 ^
      help: there is `a`

    pipeline.yaml:3:95: error[plan::unknown-param]: stage `a` (data-stats) has no param `x`
      3 |   a: { uses: data-stats, if: false, inputs: { data: "${{ stages.b.outputs.data }}" }, with: { x: 1 } }
        |                                                                                               ^
      help: it takes no params
    "#);
}
