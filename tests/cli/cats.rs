//! The pipeline that the questions about evidence are asked of: data, a model with a metric and a gate, and a target.

use crate::bench::Project;

/// The pipeline.
pub const PIPELINE: &str = r#"version: 1
name: cats
targets:
  accuracy: { on: train, metric: top1, min: "80%" }
stages:
  prepare:
    uses: fake
    inputs: { more: { path: data, type: dir } }
    with: { do: [ { step: concatenate } ] }
  train:
    uses: fake
    inputs: { data: "${{ stages.prepare.outputs.out }}" }
    with:
      do:
        - { step: metric, name: top1, value: 90, unit: "%" }
        - { step: gate, name: sane, status: passed, reason: 90 % is enough }
        - { step: write, port: out, path: model.bin, text: weights }
    outputs: { out: results/model.bin }
"#;

/// The same without its target.
pub fn without_target() -> String {
    let target = "targets:\n  accuracy: { on: train, metric: top1, min: \"80%\" }\n";
    assert!(PIPELINE.contains(target));
    PIPELINE.replace(target, "")
}

/// A project with such a pipeline and a key, in which it ran.
pub fn project(pipeline: &str) -> Project {
    let project = Project::with_keys(pipeline);
    project.write("data/cat/1.png", "one");
    project.write("data/dog/2.png", "two");
    project.run(&["key", "new", "ada"]);
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 0\n"), "{ran}");
    project
}
