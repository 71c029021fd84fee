//! What authors of stage programs get: a project to start from, and the conformance cases.

use std::{path::Path, process::Command};

use insta::assert_snapshot;

use crate::bench::Project;

/// The tests' environment has no other place for interpreters.
fn no_python() -> bool {
    let missing = !Path::new("/usr/bin/python3").exists();
    if missing {
        eprintln!("NOT TESTED: there is no /usr/bin/python3; install Python 3.9 or later");
    }
    missing
}

/// Times, and numbers of events, of which there are more on a slow machine, out of a list of cases.
fn timeless(text: &str) -> String {
    let line = |line: &str| match ["ended after ", "is over after ", " event"]
        .iter()
        .any(|part| line.contains(part))
    {
        false => line.to_owned(),
        true => line.replace("events", "event").chars().filter(|c| !c.is_ascii_digit()).collect(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_new_program_in_python_conforms_as_it_is() {
    let project = Project::new("version: 1\n");
    assert_snapshot!("stage-new-python", project.run(&["stage", "new", "first-lines", "--lang", "python"]));
    assert_snapshot!("stage-new-again", project.run(&["stage", "new", "first-lines", "--lang", "python"]));
    assert_snapshot!("stage-new-name", project.run(&["stage", "new", "First_Lines", "--lang", "rust"]));
    if no_python() {
        return;
    }
    let folder = project.path("stages/first-lines");
    let tested = Command::new("/usr/bin/python3")
        .args(["-B", "-m", "unittest"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let program = "stages/first-lines/stagewright-stage-first-lines";
    let input = "text=stages/first-lines/README.md";
    assert_snapshot!(
        "stage-test-python",
        timeless(&project.run(&["stage", "test", program, "--input", input]))
    );
    assert_snapshot!("stage-test-without-input", timeless(&project.run(&["stage", "test", program])));
    let json = project.output(&["stage", "test", program, "--input", input, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["cases"][0]["verdict"], "passed");
    // And in a pipeline.
    project.write("stagewright.toml", "[stages]\npaths = [\"stages/first-lines\"]\n");
    project.write(
        "pipeline.yaml",
        "version: 1\nstages:\n  head: { uses: first-lines, inputs: { text: stagewright.toml }, with: { lines: 1 }, outputs: { head: head.txt } }\n",
    );
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 0\n"), "{ran}");
    assert_eq!(project.read("head.txt"), "[stages]\n");
}

#[test]
fn a_failing_program_is_told_what_to_do() {
    let project = Project::new("version: 1\n");
    let noisy = "{ do: [ { step: say, text: 'Loading...' }, { step: write, port: out, path: o, text: x } ] }";
    assert_snapshot!(
        "stage-test-fake",
        timeless(&project.run(&["stage", "test", "fake", "--params", noisy]))
    );
}

#[test]
fn what_cannot_be_tested_is_refused() {
    let project = Project::new("version: 1\n");
    let said: Vec<String> = [
        &["stage", "test", "nothing"][..],
        &["stage", "test", "./pipeline.yaml"],
        &["stage", "test", "fake", "--input", "date=pipeline.yaml"],
        &["stage", "test", "fake", "--input", "data=gone.txt"],
        &["stage", "test", "fake", "--params", "[1]"],
        &["stage", "test", "fake", "--params", "@gone.yaml"],
    ]
    .map(|arguments| project.run(arguments))
    .into();
    assert_snapshot!("stage-test-refused", said.join("\n"));
}

#[test]
fn the_example_in_python_conforms_and_runs() {
    if no_python() {
        return;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python");
    let project = Project::new(&std::fs::read_to_string(example.join("pipeline.yaml")).unwrap());
    project.write(
        "stagewright.toml",
        &format!("[stages]\npaths = [\"{}\"]\n", example.join("stages").display()),
    );
    for text in ["rain.txt", "river.txt"] {
        let text = format!("texts/{text}");
        project.write(&text, &std::fs::read_to_string(example.join(&text)).unwrap());
    }
    let tested = project.run(&["stage", "test", "word-count", "--input", "texts=texts/rain.txt"]);
    assert!(tested.starts_with("exit 0\n"), "{tested}");
    assert_snapshot!("example-python", project.run(&["run"]));
    assert_snapshot!("example-python-words", project.read("results/words.md"));
}

#[test]
fn the_sdk_for_python_passes_its_own_tests() {
    if no_python() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/lib/sdk-python");
    let tested =
        Command::new("/usr/bin/python3").args(["-B", "-m", "unittest"]).current_dir(folder).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}

/// Compiles the SDK and what it depends on anew, which takes minutes where nothing is cached.
#[test]
#[ignore = "compiles a project with its dependencies"]
fn a_new_program_in_rust_builds_and_conforms_as_it_is() {
    let project = Project::new("version: 1\n");
    project.run(&["stage", "new", "first-lines", "--lang", "rust"]);
    let folder = project.path("stages/first-lines");
    let mut build = Command::new(env!("CARGO"));
    build.args(["test", "--offline"]).current_dir(&folder).env_remove("CARGO_TARGET_DIR");
    assert!(build.status().unwrap().success());
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--offline"]).current_dir(&folder).env_remove("CARGO_TARGET_DIR");
    assert!(build.status().unwrap().success());
    let program = "stages/first-lines/target/debug/stagewright-stage-first-lines";
    let tested = project.run(&["stage", "test", program, "--input", "text=stages/first-lines/README.md"]);
    assert!(tested.starts_with("exit 0\n"), "{tested}");
}
