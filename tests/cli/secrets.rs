//! Secrets: given to the program, found nowhere else.

use insta::assert_snapshot;

use crate::bench::Project;

const SECRET: &str = "s3cr3t/xwörd value";

/// As it is, in base64, percent-encoded and in hex, as far as these are one piece.
const FORMS: &[&str] = &[SECRET, "czNjcjN0L3h3w7ZyZCB2YWx1ZQ", "s3cr3t%2Fxw%C3%B6rd%20value", "73336372337"];

fn pipeline(steps: &str) -> String {
    format!(
        "version: 1\nstages:\n  talk:\n    uses: fake\n    secrets: [TOKEN]\n    with: {{ do: [ {steps}, {{ step: write, port: out, path: o.txt, text: fine }} ] }}\n"
    )
}

/// No file of the project's state holds the secret.
fn assert_kept_nowhere(project: &Project) {
    for item in walkdir::WalkDir::new(project.path(".stagewright")) {
        let item = item.unwrap();
        let mut bytes = item.path().as_os_str().as_encoded_bytes().to_vec();
        if item.file_type().is_file() {
            bytes.extend(std::fs::read(item.path()).unwrap());
        }
        let text = String::from_utf8_lossy(&bytes);
        for form in FORMS {
            assert!(!text.contains(form), "{form} is in {}", item.path().display());
        }
    }
}

#[test]
fn a_secret_told_everywhere_is_found_nowhere() {
    let project = Project::new(&pipeline("{ step: tell-secret, name: TOKEN }"));
    let token = [("TOKEN", SECRET)];
    let said = project.run_env(&["run"], &token);
    assert_snapshot!("secrets-told", said);
    let log = walkdir::WalkDir::new(project.path(".stagewright/runs-v1"))
        .into_iter()
        .map(Result::unwrap)
        .find(|item| item.file_name() == "talk.log")
        .unwrap();
    assert_snapshot!("secrets-log", std::fs::read_to_string(log.path()).unwrap());
    assert_kept_nowhere(&project);
    for arguments in [&["show", "talk"][..], &["show", "talk", "--json"], &["show"], &["plan"], &["status"]] {
        let shown = project.run(arguments);
        assert!(FORMS.iter().all(|form| !shown.contains(form)), "{arguments:?}: {shown}");
    }
    // Another value is no other action.
    assert!(project.run_env(&["run"], &[("TOKEN", "quite another")]).contains("nothing changed"));
}

#[test]
fn errors_do_not_tell_a_secret() {
    let project = Project::new(&pipeline("{ step: fail-with-secret, name: TOKEN }"));
    assert_snapshot!("secrets-failing", project.run_env(&["run"], &[("TOKEN", SECRET)]));
    let project = Project::new(&pipeline("{ step: write-secret, name: TOKEN, port: extra, path: e.txt }"));
    assert_snapshot!("secrets-in-output", project.run_env(&["run"], &[("TOKEN", SECRET)]));
    assert_kept_nowhere(&project);
    let project = Project::new(&pipeline("{ step: babble-secret, name: TOKEN }"));
    assert_snapshot!("secrets-babbled", project.run_env(&["run"], &[("TOKEN", SECRET)]));
    assert_kept_nowhere(&project);
}

#[test]
fn secrets_that_can_not_be_used_are_told_before_the_first_stage() {
    let text = "version: 1\nstages:\n  first: { uses: fake, with: { do: [ { step: write, port: out, path: o, text: \"the hidden word\" } ] } }\n  second: { uses: fake, secrets: [TOKEN, KEY], needs: [first], with: { do: [ { step: write, port: out, path: o, text: x } ] } }\n";
    let project = Project::new(text);
    assert_snapshot!("secrets-missing", project.run_env(&["run"], &[("KEY", "")]));
    assert_snapshot!("secrets-short", project.run_env(&["run"], &[("KEY", "abc"), ("TOKEN", "long enough")]));
    let exposed = project.run_env(&["run"], &[("KEY", "hidden word"), ("TOKEN", "long enough")]);
    assert_snapshot!("secrets-exposed", exposed);
    // Neither is wanted where the stage is not.
    assert!(project.run(&["run", "--only", "first"]).starts_with("exit 0"));
}

#[test]
fn commands_have_secrets_as_well() {
    let text = r#"version: 1
stages:
  work: { cmd: "false" }
  notify:
    cmd: 'echo "telling $TOKEN" && printf %s "$TOKEN" | base64 >&2 && echo sent > sent.txt'
    outs: [sent.txt]
    secrets: [TOKEN]
    needs: [work]
    if: ${{ always() && stages.work.result == 'failure' }}
"#;
    let project = Project::new(text);
    let said = project.run_env(&["run"], &[("TOKEN", SECRET)]);
    assert!(said.contains("if: stages.work.result = 'failure'"), "{said}");
    assert!(FORMS.iter().all(|form| !said.contains(form)), "{said}");
    assert_kept_nowhere(&project);
    assert_eq!(project.read("sent.txt"), "sent\n");
    project.write("pipeline.yaml", &text.replace("echo sent", "echo the hidden word"));
    let said = project.run_env(&["run"], &[("TOKEN", "hidden word")]);
    assert!(said.contains("stands in `cmd` of stage `notify`"), "{said}");
}
