#![allow(clippy::unwrap_used)]

mod expressions;
mod form;
mod include;
mod keys;

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
