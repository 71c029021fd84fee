//! The canonical form of pipeline files.

use std::{io::Write, os::unix::fs::PermissionsExt, process::Stdio};

use insta::assert_snapshot;

use crate::bench::Project;

const UGLY: &str = "stages:\n    a:   # first\n        with: {do: []}\n        uses: 'fake'\nversion: 1\n";

#[test]
fn files_are_checked_shown_and_written() {
    let project = Project::new(UGLY);
    project.write("pipelines/b.yaml", "version: 1\nstages:\n  b:\n    uses: fake\n");
    assert_snapshot!("fmt-check", project.run(&["fmt", "--check"]));
    assert_snapshot!("fmt-diff", project.run(&["fmt", "--diff"]));
    assert_eq!(project.read("pipeline.yaml"), UGLY);
    std::fs::set_permissions(project.path("pipeline.yaml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_snapshot!("fmt", project.run(&["fmt"]));
    assert_snapshot!("fmt-written", project.read("pipeline.yaml"));
    let mode = std::fs::metadata(project.path("pipeline.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_snapshot!("fmt-again", project.run(&["fmt"]));
}

#[test]
fn a_file_with_errors_is_left_alone_and_the_others_are_not() {
    let wrong = "version: 1\nstages:\n  a: { uses: fake, usess: x }\n";
    let project = Project::new(wrong);
    project.write("good.yaml", UGLY);
    assert_snapshot!("fmt-wrong", project.run(&["fmt", "pipeline.yaml", "good.yaml"]));
    assert_eq!(project.read("pipeline.yaml"), wrong);
    assert_ne!(project.read("good.yaml"), UGLY);
    assert_snapshot!("fmt-gone", project.run(&["fmt", "gone.yaml"]));
}

#[test]
fn stdin_goes_to_stdout() {
    let project = Project::new("version: 1\n");
    let mut child = project.here(&["fmt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(UGLY.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(done.stdout).unwrap(),
        "version: 1\nstages:\n  a: # first\n    uses: fake\n    with: { do: [] }\n"
    );
}
