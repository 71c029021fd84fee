//! GitHub Actions: the workflow of a pipeline, what its jobs do, and what a run tells the job that it is in.

mod comment;
mod expression;
mod jobs;
mod runner;
#[path = "../remote/server.rs"]
#[allow(dead_code)]
pub mod server;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::bench::Project;
use runner::{Event, Runner};
use server::{ACCESS_KEY, BUCKET, SECRET_KEY, Server};

const PIPELINE: &str = r#"version: 1
name: demo
params: { greeting: hello }
targets:
  long: { on: bench, metric: size, min: 1 }
stages:
  greet:
    uses: fake
    inputs: { data: words.txt }
    timeout-minutes: 5
    with:
      do:
        - { step: concatenate }
        - { step: write, port: extra, path: greeting.txt, text: "${{ params.greeting }}" }
  train:
    uses: fake
    matrix: { seed: [0, 1], lr: [0.1, 0.2] }
    inputs: { data: "${{ stages.greet.outputs.out }}" }
    with:
      do:
        - { step: metric, name: top1, value: "${{ matrix.seed }}", unit: "%" }
        - { step: concatenate }
  bench:
    uses: fake
    inputs:
      more: ["${{ stages.train[*].outputs.out }}", "${{ stages.greet.outputs.extra }}"]
    with: { do: [ { step: concatenate }, { step: metric, name: size, value: 5, unit: kB } ] }
    outputs: { out: results/all.txt }
"#;

/// The same with one combination, so that one stage comes after the other.
fn chain() -> String {
    PIPELINE.replace("seed: [0, 1], lr: [0.1, 0.2]", "seed: [1], lr: [0.1]")
}

/// A project whose remote is a folder or the server's bucket.
fn project(remote: &str) -> Project {
    let project = Project::new(PIPELINE);
    project.write("words.txt", "some words");
    project.write("stagewright.toml", &format!("[sync]\nremote = \"lab\"\n\n[remotes.lab]\n{remote}\n"));
    project
}

fn in_bucket(server: &Server) -> String {
    format!("url = \"s3://{BUCKET}/ml\"\nendpoint = \"{}\"\nregion = \"us-east-1\"", server.endpoint())
}

const STAGED: &[&str] = &[
    "ci",
    "github",
    "--shape",
    "staged",
    "--credentials",
    "secrets",
    "--action",
    "./",
    "--output",
    "ci.yml",
];

#[test]
fn separate_runners_that_share_only_a_bucket_get_what_one_machine_gets() {
    let server = Server::start_public();
    let project = project(&in_bucket(&server));
    let made = project.run(STAGED);
    assert!(made.starts_with("exit 0\n"), "{made}");

    let alone = Project::new(PIPELINE);
    alone.write("words.txt", "some words");
    let said = alone.run(&["run"]);
    assert!(said.starts_with("exit 0\n"), "{said}");

    let secrets = [
        ("STAGEWRIGHT_WRITE_KEY_ID", ACCESS_KEY),
        ("STAGEWRIGHT_WRITE_KEY", SECRET_KEY),
        ("STAGEWRIGHT_READ_KEY_ID", ACCESS_KEY),
        ("STAGEWRIGHT_READ_KEY", SECRET_KEY),
    ];
    let files = ["pipeline.yaml", "stagewright.toml", "words.txt"];
    let runner = |event| Runner::new(&project, "ci.yml", &files, &secrets, event);

    let first = runner(Event::Push).run();
    assert_snapshot!(first.table(), @r"
    plan: success
    greet: success
    train[seed=0,lr=0.1]: success
    train[seed=0,lr=0.2]: success
    train[seed=1,lr=0.1]: success
    train[seed=1,lr=0.2]: success
    bench: success
    report: success
    pull-request: skipped
    ");
    let report = first.folder("report");
    assert_eq!(fs::read_to_string(report.join("results/all.txt")).unwrap(), alone.read("results/all.txt"));
    assert_eq!(outputs(&first.show("report")), outputs(&alone.output(&["show", "--json"])));
    assert!(first.summary("report").contains("✅ demo succeeded"), "{}", first.summary("report"));

    // All is there: no job has anything to do, and to find that out no bytes are moved.
    server.forget();
    let second = runner(Event::Push).only("plan").run();
    assert_eq!(second.table(), "plan: success\n");
    assert_eq!((server.count("GET", "/packs-v1/"), server.count("PUT", "/")), (0, 0));
    let second = runner(Event::Push).run();
    assert_snapshot!(second.table(), @r"
    plan: success
    greet: skipped
    train: skipped
    bench: skipped
    report: success
    pull-request: skipped
    ");

    // What changed runs, and what reads it: the first output of `greet` is the same.
    project.write("pipeline.yaml", &PIPELINE.replace("greeting: hello", "greeting: welcome"));
    let third = runner(Event::Push).run();
    assert_snapshot!(third.table(), @r"
    plan: success
    greet: success
    train[seed=0,lr=0.1]: success
    train[seed=0,lr=0.2]: success
    train[seed=1,lr=0.1]: success
    train[seed=1,lr=0.2]: success
    bench: success
    report: success
    pull-request: skipped
    ");
    assert!(third.said("train[seed=0,lr=0.1]").contains("cached"), "an equal input needs no second run");

    // A pull request reads and never writes, and is compared with the branch.
    project.write("pipeline.yaml", &PIPELINE.replace("value: 5, unit", "value: 6, unit"));
    server.forget();
    let pull = runner(Event::PullRequest { fork: true }).run();
    assert_snapshot!(pull.table(), @r"
    plan: skipped
    greet: skipped
    train: skipped
    bench: skipped
    report: skipped
    pull-request: success
    ");
    assert_eq!(server.count("PUT", "/") + server.count("POST", "/") + server.count("DELETE", "/"), 0);
    assert!(server.count("GET", "/packs-v1/") > 0, "what the branch made is reused");
    let summary = pull.summary("pull-request");
    assert!(summary.contains("| bench | size | 6 kB | 5 kB | +20 % |"), "{summary}");
}

/// Digests of all outputs by stage and port.
fn outputs(json: &str) -> Value {
    let record: Value = serde_json::from_str(json).unwrap();
    let stages = record["stages"].as_array().unwrap().iter().map(|stage| {
        let ports = stage["outputs"].as_object().unwrap();
        let ports: serde_json::Map<_, _> =
            ports.iter().map(|(port, output)| (port.clone(), output["artifact"]["digest"].clone())).collect();
        (stage["stage"].as_str().unwrap().to_owned(), Value::Object(ports))
    });
    Value::Object(stages.collect())
}

#[test]
fn a_stage_that_fails_stops_what_depends_on_it_and_is_told_of() {
    let remote = tempfile::tempdir().unwrap();
    let project = project(&format!("url = \"{}\"", remote.path().display()));
    let broken = PIPELINE.replace(
        "- { step: metric, name: top1, value: \"${{ matrix.seed }}\", unit: \"%\" }",
        "- { step: fail, class: user, message: \"no: 100% wrong\", hint: look }",
    );
    project.write("pipeline.yaml", &broken);
    let own =
        ["ci", "github", "--shape", "staged", "--runner", "self-hosted", "--action", "$/", "-o", "ci.yml"];
    project.run(&own);
    let files = ["pipeline.yaml", "stagewright.toml", "words.txt"];
    let ran = Runner::new(&project, "ci.yml", &files, &[], Event::Push).run();
    assert_snapshot!(ran.table(), @r"
    plan: success
    greet: success
    train[seed=0,lr=0.1]: failure
    train[seed=0,lr=0.2]: failure
    train[seed=1,lr=0.1]: failure
    train[seed=1,lr=0.2]: failure
    bench: skipped
    report: failure
    pull-request: skipped
    ");
    let said = ran.said("train[seed=0,lr=0.1]");
    let annotation = said.lines().find(|line| line.starts_with("::error ")).unwrap_or_default();
    assert_snapshot!(annotation, @"::error file=pipeline.yaml,line=15,title=train[seed=0%2Clr=0.1] failed::no: 100%25 wrong%0Ahint: look");
}

#[test]
fn a_workflow_is_written_and_checked() {
    let project = project("url = \"s3://bucket/ml\"\nregion = \"eu-central-1\"");
    let action = "us/stagewright@0123456789abcdef0123456789abcdef01234567";
    let staged = ["ci", "github", "--shape", "staged", "--action", action, "--output", "staged.yml"];
    assert_snapshot!("ci-github-no-action", project.run(&["ci", "github"]));
    assert_snapshot!("ci-github", project.run(&staged));
    assert_snapshot!("ci-github-staged", project.read("staged.yml"));
    let check = [&staged[..], &["--check"]].concat();
    assert_snapshot!("ci-github-fresh", project.run(&check));
    project.write("pipeline.yaml", &PIPELINE.replace("timeout-minutes: 5", "timeout-minutes: 9"));
    assert_snapshot!("ci-github-stale", project.run(&check));
    project.run(&["ci", "github", "--action", "$/tools", "--output", "single.yml"]);
    assert_snapshot!("ci-github-single", project.read("single.yml"));
    assert_snapshot!("ci-github-missing", project.run(&["ci", "github", "--action", "$/tools", "--check"]));
}

#[test]
fn the_lock_file_is_committed_once_and_only_where_it_changed() {
    let hub = tempfile::tempdir().unwrap();
    let project = Project::new("");
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    project.write(
        "dvc.yaml",
        "stages:\n  a:\n    cmd: cp words.txt copy.txt\n    deps: [words.txt]\n    outs: [copy.txt]\n",
    );
    project.write("words.txt", "some words");
    let git = |folder: &Path, arguments: &[&str]| {
        let done = std::process::Command::new("git")
            .current_dir(folder)
            .args(["-c", "user.name=me", "-c", "user.email=me@here", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    git(hub.path(), &["init", "--quiet", "--bare", "us/demo.git"]);
    let bare = hub.path().join("us/demo.git");
    git(&project.path(""), &["init", "--quiet"]);
    git(&project.path(""), &["add", "dvc.yaml", "words.txt", "stagewright.toml"]);
    git(&project.path(""), &["commit", "--quiet", "-m", "first"]);
    git(&project.path(""), &["push", "--quiet", bare.to_str().unwrap(), "HEAD:refs/heads/main"]);
    let made =
        project.run(&["ci", "github", "dvc.yaml", "--commit-lock", "--action", "$/", "--output", "w.yml"]);
    assert!(made.starts_with("exit 0\n"), "{made}");
    let workflow: Value = serde_yaml::from_str(&project.read("w.yml")).unwrap();
    let job = &workflow["jobs"]["run"];
    assert_eq!(job["permissions"]["contents"], "write");
    assert_eq!(workflow["jobs"]["pull-request"]["permissions"]["contents"], "read");
    let step = job["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(step["if"], "${{ success() && github.ref == 'refs/heads/main' }}");
    let commit = || {
        let done = std::process::Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()])
            .current_dir(project.path(""))
            .env("LOCK", step["env"]["LOCK"].as_str().unwrap())
            .env("BRANCH", step["env"]["BRANCH"].as_str().unwrap())
            .env("GITHUB_TOKEN", "t0ken")
            .env("GITHUB_SERVER_URL", format!("file://{}", hub.path().display()))
            .env("GITHUB_REPOSITORY", "us/demo")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let commits = || git(&bare, &["log", "--format=%s", "main"]);
    let said = project.run(&["run", "dvc.yaml"]);
    assert!(said.starts_with("exit 0\n"), "{said}");
    commit();
    assert_eq!(commits(), "Bring dvc.lock up to date [skip ci]\nfirst\n");
    project.run(&["run", "dvc.yaml"]);
    commit();
    assert_eq!(commits().lines().count(), 2, "nothing changed");
    // Somebody was faster.
    git(&bare, &["update-ref", "refs/heads/main", "refs/heads/main~1"]);
    let tree = git(&bare, &["rev-parse", "main^{tree}"]);
    let other = git(&bare, &["commit-tree", tree.trim(), "-p", "main", "-m", "other"]);
    git(&bare, &["update-ref", "refs/heads/main", other.trim()]);
    project.write("words.txt", "other words");
    project.run(&["run", "dvc.yaml"]);
    assert!(commit().starts_with("::warning title=Lock file::main has moved on"));
    assert_eq!(commits(), "other\nfirst\n");
}

#[test]
fn what_can_be_no_workflow_is_refused_with_a_way_out() {
    let refused = |pipeline: &str, remote: &str, arguments: &[&str]| {
        let project = project(remote);
        project.write("pipeline.yaml", pipeline);
        let action = if arguments.contains(&"--action") { &[][..] } else { &["--action", "$/"] };
        let all = [&["ci", "github", "--check"], action, arguments].concat();
        project.run(&all).replace("exit 2\n--- stderr\n", "")
    };
    let bucket = "url = \"s3://bucket/ml\"";
    let staged = &["--shape", "staged"][..];
    let stage = |more: &str| format!("version: 1\nstages:\n  a:\n    uses: fake\n{more}");
    let reader = "  b:\n    uses: fake\n    inputs: { data: \"${{ stages.a.outputs.out }}\" }\n";
    let seeds: Vec<String> = (0..254).map(|seed| seed.to_string()).collect();
    let cases = [
        (stage(""), bucket, &["--action", "us/stagewright@v1"][..]),
        (stage(""), "url = \"elsewhere\"", staged),
        (stage(""), "url = \"s3://bucket/ml\"\nendpoint = \"https://minio.lab\"", staged),
        (stage(""), "url = \"s3://bucket/ml\"\nwrite = false", staged),
        (stage(""), "url = \"s3://bucket/ml\"\nresults = \"ignore\"", staged),
        (stage("    timeout-minutes: 400\n"), bucket, staged),
        (stage("    frozen: true\n"), bucket, staged),
        (stage(&format!("    cache: false\n{reader}")), bucket, staged),
        (stage("    matrix: { seed: [SEEDS] }\n").replace("SEEDS", &seeds.join(",")), bucket, staged),
        (stage(&format!("{reader}    if: ${{{{ failure() }}}}\n")), bucket, staged),
        (stage(&format!("    runs-on: [self-hosted, gpu]\n{reader}    runs-on: big\n")), bucket, &[]),
        ("version: 1\nstages: { a: { uses: nothing } }\n".to_owned(), bucket, staged),
    ];
    let said: Vec<String> =
        cases.iter().map(|(pipeline, remote, arguments)| refused(pipeline, remote, arguments)).collect();
    assert_snapshot!("ci-github-refused", said.join("\n"));
    // A runner of one's own may take longer.
    let own = stage("    timeout-minutes: 400\n    runs-on: [self-hosted, gpu]\n");
    assert!(refused(&own, bucket, staged).contains("is missing"), "only not written yet");
}

#[test]
fn a_stage_may_ask_for_a_machine_that_this_one_is_not() {
    let project = project("url = \"s3://bucket/ml\"");
    let text = PIPELINE
        .replace("    matrix:", "    runs-on: [self-hosted, gpu]\n    resources: { gpus: 64 }\n    matrix:");
    project.write("pipeline.yaml", &text);
    let said = project.run(&["ci", "github", "--shape", "staged", "--action", "$/", "--output", "w.yml"]);
    assert!(said.starts_with("exit 0\n"), "{said}");
    let workflow: Value = serde_yaml::from_str(&project.read("w.yml")).unwrap();
    let jobs = &workflow["jobs"];
    assert_eq!(jobs["train"]["runs-on"], json!(["self-hosted", "gpu"]));
    assert_eq!(jobs["greet"]["runs-on"], "ubuntu-24.04");
    // A pull request stays where strangers may run.
    let line = jobs["pull-request"]["steps"].as_array().unwrap().iter().find_map(|step| step["run"].as_str());
    assert_eq!(line, Some("stagewright run pipeline.yaml --only greet --remote --stop-after 345m"));
    // Run here all the same, the stage says what is missing.
    let said = project.run(&["run", "--no-remote"]);
    assert!(said.contains("asks for 64 GPUs, and this machine has"), "{said}");
}

/// The workflow for anybody's checks, where the checkers are installed: see `docs/github-actions.md`.
#[test]
fn other_programs_find_nothing_wrong_with_a_workflow() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci-tools/bin");
    let zizmor = tools.join("zizmor");
    let schema = tools.join("check-jsonschema");
    if !zizmor.is_file() || !schema.is_file() {
        eprintln!("skipped: there is no zizmor and check-jsonschema in target/ci-tools");
        return;
    }
    let project = project("url = \"s3://bucket/ml\"\nregion = \"eu-central-1\"");
    let action = "us/stagewright@0123456789abcdef0123456789abcdef01234567";
    for shape in ["single", "staged"] {
        let file = format!(".github/workflows/{shape}.yml");
        project.run(&["ci", "github", "--shape", shape, "--action", action, "--output", &file]);
        let path = project.path(&file);
        let checks = [
            (&zizmor, &["--offline", "--no-progress", "--persona", "auditor"][..]),
            (&schema, &["--builtin-schema", "vendor.github-workflows"]),
        ];
        for (tool, arguments) in checks {
            let done = std::process::Command::new(tool).args(arguments).arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{shape}: {said}");
        }
    }
}

#[test]
fn the_lock_file_beside_a_pipeline_is_committed() {
    let project = Project::new("");
    project.write("pipelines/a.yaml", "version: 1\nstages:\n  a:\n    uses: fake\n");
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    project.write("stagewright.toml", "[sync]\nremote = \"lab\"\n[remotes.lab]\nurl = \"s3://bucket/ml\"\n");
    git2::Repository::init(project.path("")).unwrap();
    let made = project.run(&["ci", "github", "--commit-lock", "--action", "$/", "--output", "w.yml"]);
    assert!(made.starts_with("exit 0\n"), "{made}");
    let workflow: Value = serde_yaml::from_str(&project.read("w.yml")).unwrap();
    let step = workflow["jobs"]["run"]["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(step["env"]["LOCK"], "pipelines/stagewright.lock");
}
