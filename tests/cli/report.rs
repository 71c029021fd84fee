//! Reports, as a user makes them, and as a browser shows them.

use std::{fs, path::Path};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{bench::Project, browser::Browser};

const PIPELINE: &str = r#"version: 1
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
        - { step: metric, name: train.loss, value: 2, at: 1 }
        - { step: metric, name: validation.loss, value: 3, at: 1 }
        - { step: metric, name: train.loss, value: 1, at: 2 }
        - { step: metric, name: validation.loss, value: 2, at: 2 }
        - { step: metric, name: top1, value: 90, unit: "%" }
        - { step: log, level: warning, message: the data is small }
        - { step: gate, name: sane, status: passed, reason: 90 % is enough }
        - { step: write, port: out, path: model.bin, text: weights }
  export:
    uses: fake
    inputs: { data: "${{ stages.train.outputs.out }}" }
    with: { do: [ { step: fail, class: user, message: no such operator, hint: use another one } ] }
  deploy:
    uses: fake
    inputs: { data: "${{ stages.export.outputs.out }}" }
"#;

fn project() -> Project {
    let project = Project::with_keys(PIPELINE);
    project.write("data/cat/1.png", "one");
    project.run(&["key", "new", "ada"]);
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 1\n"), "{ran}");
    project
}

/// What depends on the time or the machine.
fn plain(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.contains("file checked") || line.contains("files checked") { "<checked>" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_run_is_one_file_that_says_it_all() {
    let project = project();
    let made = project.run(&["report", "run", "-o", "r.html"]);
    assert!(made.starts_with("exit 0\n--- stdout\nr.html  "), "{made}");
    let page = project.read("r.html");
    for part in [
        "cats",
        "failed",
        "the data is small",
        "90 % is enough",
        "no such operator",
        "use another one",
        "blocked",
        "validation.loss",
        "top1",
        "model.bin",
        "signed by ada",
        "the evidence holds",
        "pipeline.yaml",
        "href=\"#s1\"",
        "id=\"s1\"",
        "href=\"#t0\"",
        "id=\"t0\"",
        "<path class=\"edge\" data-a=\"0\" data-b=\"1\"",
        "data-a=\"2\" data-b=\"3\"",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert!(
        !page.contains("http:") && !page.contains("https:") && !page.contains("<link"),
        "something is loaded"
    );
    assert_snapshot!("report-markdown", plain(&project.run(&["report", "run", "--format", "markdown"])));
    let found: Value =
        serde_json::from_str(&project.output(&["report", "run", "--format", "json", "--no-verify"])).unwrap();
    assert_eq!(found["format"], "stagewright/run-report@1");
    assert_eq!(found["stages"][3]["needs"], json!([2]));
    assert_eq!(found["curves"][0]["series"].as_array().unwrap().len(), 2);
    assert_eq!(found["lineage"]["verified"], Value::Null);
    assert_eq!(found["lineage"]["statements"][1]["inputs"][0]["origin"], 0);
    let usual = project.run(&["report", "run", "--no-verify"]);
    let name = usual.lines().nth(2).unwrap().split("  ").next().unwrap().to_owned();
    assert!(name.starts_with("report-") && project.read(&name).contains("not verified"), "{usual}");
}

#[test]
fn spoiled_evidence_shows() {
    let project = project();
    let ledger = project.read(".stagewright/lineage-v1/ledger.jsonl");
    let shorter: Vec<&str> = ledger.lines().skip(1).collect();
    project.write(".stagewright/lineage-v1/ledger.jsonl", &(shorter.join("\n") + "\n"));
    project.run(&["report", "run", "-o", "r.html"]);
    let page = project.read("r.html");
    assert!(page.contains("in the evidence") && page.contains("ledger changed"), "{page}");
}

#[test]
fn runs_side_by_side() {
    let project = Project::new(PIPELINE.split("  export:").next().unwrap());
    project.write("data/cat/1.png", "one");
    project.run(&["run"]);
    project.write("pipeline.yaml", &project.read("pipeline.yaml").replace("value: 90,", "value: 95,"));
    project.run(&["run"]);
    let made = project.run(&["report", "compare", "last~1", "last"]);
    assert!(made.starts_with("exit 0\n--- stdout\nreport-compare.html"), "{made}");
    let page = project.read("report-compare.html");
    for part in ["2 runs side by side", "train: train.loss", "90 %", "95 %", "Differences"] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert_snapshot!("report-compare-markdown", project.run(&["report", "compare", "--format", "markdown"]));
    assert_snapshot!("report-none", project.run(&["report", "run", "ffff"]));
    let nowhere = project.run(&["report", "run", "-o", "no/such/r.html"]);
    assert!(nowhere.starts_with("exit 4\n") && nowhere.contains("cannot write no/such/r.html"), "{nowhere}");
}

#[test]
fn help_of_reports() {
    let project = Project::new(PIPELINE);
    let pages = ["run", "compare"].map(|command| project.run(&["report", command, "--help"]));
    assert_snapshot!("help-report", project.run(&["report", "--help"]) + &pages.join("\n"));
}

/// A text that is a script wherever it is not escaped.
pub const HOSTILE: &str = "\"'><img src=x onerror=\"document.title='owned'\"></style></script><script>document.title='owned'</script>";

/// A project in which every text that somebody else chooses is hostile.
pub fn hostile() -> Project {
    let benchmark = json!({
        "format": "stagewright/benchmark@1", "baseline": HOSTILE, "batch": 1, "threads": 1, "accuracy-samples": 4,
        "classes": [HOSTILE, "b"],
        "variants": [{
            "name": HOSTILE, "precision": HOSTILE, "size": 10, "top1": 50.0, "drop": [0.0, 0.0, 0.0], "agreement": 100.0,
            "per-class": [50.0, 50.0], "confusion": [[1, 1], [1, 1]], "throughput": 1.0, "speedup": 1.0, "stable": false,
            "latency": {"mean": 1.0, "p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0, "runs": 4},
        }],
    });
    let picture = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' onload=\"parent.document.title='owned'\"><script>{HOSTILE}</script></svg>"
    );
    let steps = json!([
        {"step": "metric", "name": HOSTILE, "value": 1, "unit": HOSTILE, "at": 1},
        {"step": "metric", "name": HOSTILE, "value": 2, "unit": HOSTILE, "at": 2},
        {"step": "gate", "name": HOSTILE, "status": "passed", "reason": HOSTILE},
        {"step": "log", "level": "warning", "message": HOSTILE},
        {"step": "write", "port": "out", "path": "results.json", "text": benchmark.to_string()},
        {"step": "write", "port": "extra", "path": "picture.svg", "text": picture},
    ]);
    let failing = json!([{"step": "fail", "class": "user", "message": HOSTILE, "hint": HOSTILE}]);
    let pipeline = json!({
        "version": 1, "name": HOSTILE,
        "stages": {
            "first": {"uses": "fake", "env": {"NAME": HOSTILE}, "with": {"do": steps}},
            "second": {"uses": "fake", "inputs": {"data": "${{ stages.first.outputs.out }}"}, "with": {"do": failing}},
        },
    });
    let project = Project::with_keys(&pipeline.to_string());
    project.run(&["key", "new", "ada"]);
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 1\n"), "{ran}");
    project
}

#[test]
fn no_text_of_a_pipeline_is_markup() {
    let project = hostile();
    project.run(&["report", "run", "-o", "r.html"]);
    project.run(&["report", "compare", "-o", "c.html"]);
    for name in ["r.html", "c.html"] {
        let page = project.read(name);
        assert!(page.contains("&lt;script&gt;document.title"), "{name} does not show the texts");
        assert_eq!(page.matches("<script>").count(), 1, "{name}");
        assert_eq!(page.matches("<style>").count(), 1, "{name}");
        assert!(!page.contains("<img src=x"), "{name}");
    }
    assert!(!project.output(&["report", "run", "--format", "markdown"]).contains("<script>"));
}

#[test]
fn in_a_browser_nothing_runs_nothing_is_loaded_and_everything_can_be_reached() {
    let Some(mut browser) = Browser::start() else { return };
    let project = hostile();
    project.run(&["report", "run", "-o", "r.html"]);
    let seen = browser.open(&project.path("r.html"));
    assert!(seen.title.contains("run ") && seen.title != "owned", "{}", seen.title);
    assert_eq!(seen.loaded, vec![format!("file://{}", project.path("r.html").display())]);
    // Only the policy may have had something to say.
    assert_eq!(seen.said, Vec::<String>::new());

    let project = self::project();
    project.run(&["report", "run", "-o", "r.html"]);
    let seen = browser.open(&project.path("r.html"));
    assert_eq!((seen.said, seen.loaded.len()), (Vec::new(), 1));
    // A box of the graph opens its stage, and puts the keyboard there.
    assert_eq!(browser.evaluate("document.getElementById('s1').open"), json!(false));
    browser.click(".node[data-s='1'] a");
    assert_eq!(browser.evaluate("document.getElementById('s1').open"), json!(true));
    assert_eq!(browser.evaluate("document.activeElement.closest('details').id"), json!("s1"));
    // From there to the statement on it, and on to what that was made from.
    browser.click("#s1 a[href='#t1']");
    assert_eq!(browser.evaluate("document.getElementById('t1').open"), json!(true));
    browser.click("#t1 a[href='#t0']");
    assert_eq!(browser.evaluate("document.getElementById('t0').open"), json!(true));
    // With the keyboard alone.
    browser.evaluate("document.querySelector('.node[data-s=\"2\"] a').focus()");
    browser.settle();
    assert_eq!(browser.evaluate("document.querySelectorAll('.edge.on').length"), json!(2));
    browser.press_enter();
    assert_eq!(browser.evaluate("document.getElementById('s2').open"), json!(true));
    // Nothing sticks out, on a wide page and on a narrow one.
    for width in [1280, 390] {
        browser.resize(width);
        let wide = browser.evaluate("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= width, "{width}: {wide}");
    }
    assert_eq!(browser.said(), Vec::<String>::new());
    let here: &Path = &project.path("r.html");
    assert!(fs::metadata(here).unwrap().len() < 200_000);
}
