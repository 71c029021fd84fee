//! The whole stage on small models, against what ONNX Runtime says in Python.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use common::{Short, bench, contract, fixture, reference};
use serde_json::{Value, json};
use stagewright_measure::memory;
use stagewright_sdk::testing::Outcome;
use stagewright_stage_benchmark::{FORMAT, Results, plot, report};

const MODELS: [&str; 4] = ["fp32", "fp16", "int8", "wrong"];

fn run(folder: &Path, params: Value) -> Outcome {
    let models = MODELS.iter().fold(bench(folder, &contract(), params), |bench, name| {
        bench.input("models", name, "model/onnx", fixture(&format!("{name}.onnx")))
    });
    models.run::<Short>().unwrap()
}

fn results(outcome: &Outcome) -> Results {
    serde_json::from_slice(&fs::read(outcome.path("results")).unwrap()).unwrap()
}

/// Every number that is not part of a name becomes `#`, so that a measurement can be a snapshot.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if !character.is_ascii_digit() || out.ends_with(char::is_alphanumeric) {
            out.push(character);
            continue;
        }
        while characters.next_if(|next| next.is_ascii_digit() || *next == '.').is_some() {}
        out.push('#');
    }
    out
}

#[test]
fn the_images_are_those_of_the_script() {
    let wanted: Vec<u8> = serde_json::from_value(reference()["first-pixels"].clone()).unwrap();
    assert_eq!(common::pixels(2, 3)[..12], wanted);
}

#[test]
fn figures_are_onnx_runtimes_and_every_output_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), json!({ "batch": 4, "duration": "quick" }));
    let reference = reference();
    let metric = |name: String| outcome.metric(&name).unwrap_or_else(|| panic!("no metric {name}"));
    for name in MODELS {
        let wanted = |figure: &str| reference["models"][name][figure].as_f64().unwrap();
        for figure in ["top1", "top5", "agreement"] {
            let found = metric(format!("{name}.{figure}"));
            assert!(
                (found - wanted(figure)).abs() < 1e-9,
                "{name}.{figure} is {found}, not {}",
                wanted(figure)
            );
        }
        let drop = reference["models"]["fp32"]["top1"].as_f64().unwrap() - wanted("top1");
        assert!((metric(format!("{name}.drop")) - drop).abs() < 1e-9);
        let size = fs::metadata(fixture(&format!("{name}.onnx"))).unwrap().len();
        assert_eq!(metric(format!("{name}.size")), size as f64 / 1e6);
        for (low, high) in [("latency-p50", "latency-p90"), ("latency-p90", "latency-p99")] {
            assert!(metric(format!("{name}.{low}")) <= metric(format!("{name}.{high}")));
        }
        // ONNX Runtime alone takes some MB, a model of a few KB little beside it.
        assert!((5.0..500.0).contains(&metric(format!("{name}.memory"))));
        assert!(metric(format!("{name}.model-memory")) < metric(format!("{name}.memory")));
        let speedup = metric("fp32.latency-p50".to_owned()) / metric(format!("{name}.latency-p50"));
        assert!((metric(format!("{name}.speedup")) - speedup).abs() < 1e-9);
    }
    assert_eq!(outcome.metric("fp32.speedup"), Some(1.0));
    assert!(outcome.result.gates.is_empty());

    let results = results(&outcome);
    assert_eq!((results.format.as_str(), results.baseline.as_str(), results.batch), (FORMAT, "fp32", 4));
    assert_eq!((results.accuracy_samples, results.threads, results.duration.as_str()), (120, 2, "quick"));
    let names: Vec<&str> = results.variants.iter().map(|variant| variant.name.as_str()).collect();
    assert_eq!(names, MODELS);
    let precisions: Vec<&str> = results.variants.iter().map(|variant| variant.precision.as_str()).collect();
    assert_eq!(precisions, ["fp32", "fp16", "int8", "unknown"]);
    for variant in &results.variants {
        let classes: Vec<usize> =
            serde_json::from_value(reference["models"][&variant.name]["classes"].clone()).unwrap();
        let right = |class: usize| {
            classes[class * 20..(class + 1) * 20].iter().filter(|top1| **top1 == class).count()
        };
        let wanted: Vec<Option<f64>> = (0..6).map(|class| Some(right(class) as f64 * 5.0)).collect();
        assert_eq!(variant.per_class, wanted, "{}", variant.name);
        let named = |class: usize, other: usize| {
            classes[class * 20..(class + 1) * 20].iter().filter(|top1| **top1 == other).count() as u64
        };
        let confusion: Vec<Vec<u64>> =
            (0..6).map(|class| (0..6).map(|other| named(class, other)).collect()).collect();
        assert_eq!(variant.confusion, Some(confusion), "{}", variant.name);
        let shares: f64 = variant.operators.iter().map(|(_, share)| share).sum();
        assert!(
            (shares - 100.0).abs() < 1e-6 && variant.operators.iter().any(|(name, _)| name.contains("Conv"))
        );
        assert!(variant.throughput > 0.0 && variant.repeated_sample_ratio > Some(0.0));
    }
    // Round trip: what is read is what was written.
    let text = fs::read_to_string(outcome.path("results")).unwrap();
    assert!(text.starts_with("{\n  \"format\": \"stagewright/benchmark@1\","), "{}", &text[..60]);
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(&results).unwrap(), written);

    let raw: Value =
        serde_json::from_slice(&fs::read(outcome.path("samples").join("2-int8.json")).unwrap()).unwrap();
    let times: Vec<f64> = raw["batch-1"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|round| round.as_array().unwrap())
        .map(|time| time.as_f64().unwrap())
        .collect();
    assert_eq!(times.len() as u64, results.variants[2].latency["runs"].as_u64().unwrap());
    assert!(
        (times.iter().sum::<f64>() / times.len() as f64 - results.variants[2].latency_ms("mean")).abs()
            < 1e-9
    );

    let table = fs::read_to_string(outcome.path("table")).unwrap();
    assert_eq!(table, report::markdown(&results));
    let right = "| wrong | unknown |";
    let line = table.lines().find(|line| line.starts_with(right)).unwrap();
    assert!(line.contains("| 6.67 (-74.17 pp) |"), "{line}");
    assert!(table.lines().any(|line| line.starts_with("| fp16 ") && line.contains("| 80.83 (+0.00 pp) |")));
    let plot = fs::read_to_string(outcome.path("plot")).unwrap();
    assert_eq!(plot, plot::svg(&results));
}

#[test]
fn the_table_says_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let outcome =
        run(folder.path(), json!({ "batch": 8, "operators": false, "accuracy-samples": 60, "threads": 1 }));
    let mut results = results(&outcome);
    assert_eq!(results.accuracy_samples, 60);
    // What depends on the machine and its mood.
    results.environment = [("cpu".to_owned(), json!("a processor")), ("cpus".to_owned(), json!(2))].into();
    results.variants.iter_mut().for_each(|variant| variant.stable = true);
    results.variants.truncate(3);
    results.variants[2].stable = false;
    insta::assert_snapshot!(without_numbers(&report::markdown(&results)));
}

#[test]
fn another_baseline_turns_the_ratios_round() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), json!({ "baseline": "int8", "operators": false }));
    assert_eq!(outcome.metric("int8.speedup"), Some(1.0));
    assert_eq!(outcome.metric("int8.drop"), Some(0.0));
    let agreement = reference()["models"]["int8"]["agreement"].as_f64().unwrap();
    assert!((outcome.metric("fp32.agreement").unwrap() - agreement).abs() < 1e-9);
    let wrong = reference()["models"]["int8"]["top1"].as_f64().unwrap()
        - reference()["models"]["wrong"]["top1"].as_f64().unwrap();
    assert!((outcome.metric("wrong.drop").unwrap() - wrong).abs() < 1e-9);
}

#[test]
fn hostile_names_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        ["</text></svg><script>alert(1)</script>", "a|b\\", "new\nline", "../../etc/passwd", "\u{1b}[31mred"];
    let models =
        names.iter().fold(bench(folder.path(), &contract(), json!({ "operators": false })), |bench, name| {
            bench.input("models", name, "model/onnx", fixture("fp32.onnx"))
        });
    let outcome = models.run::<Short>().unwrap();
    assert_eq!(
        results(&outcome).variants.iter().map(|variant| variant.name.clone()).collect::<Vec<_>>(),
        names
    );

    let table = fs::read_to_string(outcome.path("table")).unwrap();
    assert!(!table.contains("<script>") && !table.contains('\u{1b}'));
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    for row in rows.iter().take(2 + names.len()) {
        assert_eq!(row.replace("\\\\", "").replace("\\|", "").matches('|').count(), 8, "{row}");
    }
    let plot = fs::read_to_string(outcome.path("plot")).unwrap();
    let document = roxmltree::Document::parse(&plot).unwrap();
    let elements: BTreeSet<&str> =
        document.descendants().filter(|node| node.is_element()).map(|node| node.tag_name().name()).collect();
    assert_eq!(elements, BTreeSet::from(["circle", "line", "rect", "svg", "text", "title"]));

    let samples: BTreeSet<String> = fs::read_dir(outcome.path("samples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(samples.len(), names.len());
    assert!(samples.contains("3-.._.._etc_passwd.json"), "{samples:?}");
}

#[test]
fn the_plot_shows_each_variant_inside_the_frame() {
    let folder = tempfile::tempdir().unwrap();
    let measured = results(&run(folder.path(), json!({ "operators": false })));
    let cases: [(&str, &[(f64, f64)]); 4] = [
        ("apart", &[(6.6, 87.3), (6.4, 87.3), (2.1, 86.9), (9.8, 80.0)]),
        ("equal", &[(1.0, 50.0), (1.0, 50.0), (1.0, 50.0), (1.0, 50.0)]),
        ("edges", &[(0.001, 0.0), (1000.0, 100.0), (0.001, 100.0), (1000.0, 0.0)]),
        ("perfect", &[(0.02, 100.0), (0.03, 100.0), (0.04, 100.0), (0.05, 100.0)]),
    ];
    for (case, points) in cases {
        let mut results = measured.clone();
        for (variant, (latency, top1)) in results.variants.iter_mut().zip(points) {
            variant.latency["p50"] = json!(latency);
            variant.top1 = *top1;
        }
        results.variants[3].name =
            "a name that is far longer than a label beside a point in a plot can be".to_owned();
        let plot = plot::svg(&results);
        assert!(!plot.contains("NaN") && !plot.contains("inf"), "{case}: {plot}");
        let document = roxmltree::Document::parse(&plot).unwrap();
        let number = |node: &roxmltree::Node<'_, '_>, name: &str| {
            node.attribute(name).unwrap().parse::<f64>().unwrap()
        };
        let all = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
        let root = document.root_element();
        let (width, height) = (number(&root, "width"), number(&root, "height"));
        assert_eq!(all("circle").count(), 4);
        for circle in all("circle") {
            let (x, y, radius) = (number(&circle, "cx"), number(&circle, "cy"), number(&circle, "r"));
            assert!(
                x - radius >= 0.0 && x + radius <= width && y - radius >= 0.0 && y + radius <= height,
                "{case}: {circle:?}"
            );
        }
        let texts: Vec<(roxmltree::Node<'_, '_>, &str)> =
            all("text").map(|node| (node, node.text().unwrap())).collect();
        for variant in &results.variants {
            let start: String = variant.name.chars().take(12).collect();
            let labels =
                texts.iter().filter(|(_, text)| text.starts_with(&start) && text.contains(" MB")).count();
            assert_eq!(labels, 1, "{case}: {} in {plot}", variant.name);
        }
        for (node, text) in texts.iter().filter(|(_, text)| text.contains(" MB")) {
            // About 7 pixels a letter at this size.
            let (x, wide) = (number(node, "x"), 7.0 * text.chars().count() as f64);
            let (left, right) =
                if node.attribute("text-anchor") == Some("end") { (x - wide, x) } else { (x, x + wide) };
            assert!(
                left >= 0.0 && right <= width && number(node, "y") <= height,
                "{case}: {text} at {left} to {right}"
            );
        }
    }
    // Labels that meet move down until they don't, at whatever fraction of a pixel they start.
    for step in 0..50 {
        let mut crowd = measured.clone();
        crowd.variants.extend(measured.variants.clone());
        crowd.variants.iter_mut().for_each(|variant| {
            variant.latency["p50"] = json!(0.3 + f64::from(step) / 7.0);
            variant.top1 = 80.0 + f64::from(step) / 3.0;
        });
        crowd.variants[0].top1 = 10.0;
        assert_eq!(plot::svg(&crowd).matches(" MB</text>").count(), 8);
    }
    let mut empty = measured;
    empty.variants.clear();
    let plot = plot::svg(&empty);
    assert!(!plot.contains("NaN") && roxmltree::Document::parse(&plot).is_ok(), "{plot}");
}

#[test]
fn memory_is_that_of_a_process_of_its_own() {
    stagewright_measure::child::PROGRAM
        .get_or_init(|| env!("CARGO_BIN_EXE_stagewright-stage-benchmark").into());
    let model = fixture("fp32.onnx");
    let load = memory::Load { model: &model, batch: 1, size: [8, 8], threads: 1 };
    let few = memory::peak(&load, 2).unwrap();
    assert!(few.before > 1 << 20 && few.peak >= few.before && few.of_model() < 64 << 20, "{few:?}");
    // 12,000 images of 8×8: 9 MB of input, and twelve and more times that in the layers.
    let many = memory::peak(&memory::Load { batch: 12_000, ..load }, 2).unwrap();
    assert!(many.of_model() > few.of_model() + (30 << 20), "{few:?} {many:?}");

    let growth = memory::growth(&load, 300, 20).unwrap();
    assert_eq!((growth.inferences.len(), growth.sessions.len()), (100, 20));
    assert_eq!(growth.inferences.last().unwrap().0, 300.0);

    let missing = memory::Load { model: Path::new("/nowhere/model.onnx"), ..load };
    let error = memory::peak(&missing, 1).unwrap_err();
    let text = "the process for `--measure-peak-memory` ended with exit status: 1: cannot read /nowhere/model.onnx: there is no such file";
    assert_eq!(error.to_string(), text);
}
