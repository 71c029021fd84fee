//! What a run does inside of a job: what it tells it, and how it stops and goes on.

use super::*;

#[test]
fn a_run_tells_its_job_what_came_of_it() {
    let project = Project::new(&chain());
    project.write("words.txt", "some words");
    let text = chain()
        .replace("    timeout-minutes: 5\n", "    secrets: [TOKEN]\n")
        .replace("metric: size, min: 1", "metric: size, min: 9")
        .replace(
            "do: [ { step: concatenate }, {",
            "do: [ { step: log, level: warning, message: \"one\\n::error::two\" }, { step: concatenate }, {",
        );
    project.write("pipeline.yaml", &text);
    let (summary, output) = (project.path("summary.md"), project.path("output.txt"));
    let said = project.run_env(
        &["run"],
        &[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
            ("GITHUB_OUTPUT", output.to_str().unwrap()),
            ("TOKEN", "s3cr3t-value"),
        ],
    );
    assert_snapshot!("ci-run", tokenless(&said));
    let outputs = fs::read_to_string(&output).unwrap();
    assert!(outputs.contains("outcome<<") && outputs.contains("\ngate-failed\n"), "{outputs}");
    assert!(outputs.contains(r#""bench":{"size":5.0}"#), "{outputs}");
    let summary = fs::read_to_string(&summary).unwrap();
    assert!(summary.contains("| target long | ❌ failed |"), "{summary}");
    // Outside of a job nothing of it is there.
    let said = project.run_env(&["run"], &[("TOKEN", "s3cr3t-value")]);
    assert!(
        !said.contains("::group::") && !said.contains("::resume-") && !said.contains("::add-mask::"),
        "{said}"
    );
}

/// Without what is drawn at random.
fn tokenless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("resume-") {
        let end = at + "resume-".len();
        out.push_str(&rest[..end]);
        out.push_str("<token>");
        rest = rest[end..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out + rest
}

#[test]
fn a_pipeline_that_does_not_compile_is_told_beside_its_lines() {
    let project = Project::new("version: 1\nstages:\n  a: { uses: nothing }\n");
    let said = project.run_env(&["run"], &[("GITHUB_ACTIONS", "true")]);
    let line = said.lines().find(|line| line.starts_with("::error")).unwrap_or_default();
    assert_snapshot!(line, @"::error file=pipeline.yaml,line=3,endLine=3,col=14,endColumn=20,title=plan%3A%3Aunknown-program::there is no stage program `nothing`");
}

#[test]
fn a_run_whose_time_is_over_stops_and_the_next_one_goes_on() {
    let steps = "{ step: checkpoint }, { step: hang-while, file: HANG }, { step: write, port: out, path: o.txt, text: x }";
    let project = Project::new("");
    let hang = project.path("hang");
    let steps = steps.replace("HANG", hang.to_str().unwrap());
    project.write(
        "pipeline.yaml",
        &format!("version: 1\nstages:\n  slow:\n    uses: fake\n    with: {{ do: [ {steps} ] }}\n"),
    );
    project.write("hang", "");
    assert_snapshot!("ci-stop-after", project.run(&["run", "--stop-after", "2s"]));
    let kept = fs::read_dir(project.path(".stagewright/checkpoints")).unwrap().count();
    assert_eq!(kept, 1, "what was saved is there for the next run");
    fs::remove_file(&hang).unwrap();
    let said = project.run(&["run"]);
    assert!(said.starts_with("exit 0\n"), "{said}");
    assert_snapshot!(
        "ci-stop-after-sweep",
        project.run(&["run", "--stop-after", "2s", "--set", "slow.with.do=1,2"])
    );
}

/// GitHub ends a job with SIGINT, and with SIGTERM 7.5 s later.
#[test]
fn a_run_that_is_told_to_end_keeps_what_its_stages_saved() {
    let project = Project::new("");
    let hang = project.path("hang");
    project.write("hang", "");
    let steps = format!(
        "{{ step: checkpoint }}, {{ step: hang-while, file: {} }}, {{ step: concatenate }}",
        hang.display()
    );
    project.write(
        "pipeline.yaml",
        &format!("version: 1\nstages:\n  slow:\n    uses: fake\n    with: {{ do: [ {steps} ] }}\n"),
    );
    let saved = || {
        let found = walkdir::WalkDir::new(project.path(".stagewright/checkpoints")).into_iter();
        found.filter_map(Result::ok).any(|item| item.file_name() == "step")
    };
    for signal in ["-INT", "-TERM"] {
        let _ = fs::remove_dir_all(project.path(".stagewright/checkpoints"));
        let mut child = project.start(&["run"]);
        let began = std::time::Instant::now();
        while !saved() {
            assert!(began.elapsed().as_secs() < 60, "no checkpoint");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let sent =
            std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        assert!(saved(), "{signal}");
    }
}

#[test]
fn another_machine_goes_on_where_one_was_cut_off() {
    let (flag, remote) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hang = flag.path().join("hang");
    fs::write(&hang, "").unwrap();
    let steps = format!(
        "{{ step: checkpoint }}, {{ step: hang-while, file: {} }}, {{ step: write, port: out, path: o.txt, text: x }}",
        hang.display()
    );
    let pipeline = format!("version: 1\nstages:\n  slow:\n    uses: fake\n    with: {{ do: [ {steps} ] }}\n");
    let (one, other) = (Project::new(&pipeline), Project::new(&pipeline));
    for project in [&one, &other] {
        let url = remote.path().display();
        project.write(
            "stagewright.toml",
            &format!("[sync]\nremote = \"lab\"\n[remotes.lab]\nurl = \"{url}\"\n"),
        );
    }
    let said = one.run(&["run", "--remote", "--push", "--stop-after", "2s"]);
    assert!(said.contains("pushed the checkpoint of slow (1 B) to the remote `lab`"), "{said}");
    fs::remove_file(&hang).unwrap();
    let resumed_at = |project: &Project, arguments: &[&str]| {
        let said = project.run(arguments);
        assert!(said.starts_with("exit 0\n"), "{said}");
        let stage: Value = serde_json::from_str(&project.output(&["show", "slow", "--json"])).unwrap();
        stage["measured"]["metrics"]["resumed-at"]["value"].clone()
    };
    assert_eq!(resumed_at(&other, &["run", "--remote"]), json!(1.0));
    assert_eq!(resumed_at(&other, &["run", "--remote", "--force"]), json!(0.0), "forced, it begins anew");
    assert_eq!(resumed_at(&one, &["run"]), json!(1.0), "its own checkpoint is still there");
}

#[test]
fn a_run_that_only_reuses_runs_nothing() {
    let project = Project::new(&chain());
    project.write("words.txt", "some words");
    project.run(&["run", "--only", "greet"]);
    assert_snapshot!("ci-reuse-only", project.run(&["run", "--reuse-only", "--keep-going"]));
    // A comma in the brackets of a name divides nothing.
    let said = project.run(&["run", "--only", "train[seed=1,lr=0.1],bench"]);
    assert!(said.contains("2 ran"), "{said}");
    project.run(&["run"]);
    let said = project.run(&["run", "--reuse-only"]);
    assert!(said.starts_with("exit 0\n") && said.contains("3 cached"), "{said}");
}
