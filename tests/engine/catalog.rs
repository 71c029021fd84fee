//! Finding, describing and remembering stage programs.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Instant};

use stagewright::catalog::{Catalog, Host};

use crate::project::{Project, block_on, fake};

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn describes_what_works_and_says_what_does_not() {
    let mut project = Project::new();
    let place = project.path("programs");
    fs::create_dir_all(&place).unwrap();
    std::os::unix::fs::symlink(fake(), place.join("stagewright-stage-fake")).unwrap();
    std::os::unix::fs::symlink(fake(), place.join("stagewright-stage-alias")).unwrap();
    script(
        &place.join("stagewright-stage-cat"),
        "#!/bin/sh\nread hello\necho \"$hello\"\necho hello, world\nread request\n",
    );
    script(&place.join("stagewright-stage-false"), "#!/bin/sh\necho broken >&2\nexit 1\n");
    script(&place.join("stagewright-stage-gone"), "#!/no/such/interpreter\n");
    project.config.stage_paths = vec![place];
    let catalog = Catalog::find(&project.config);
    let described = block_on(catalog.describe(["fake", "alias", "cat", "false", "gone", "none"]));
    assert_eq!(described.programs.keys().collect::<Vec<_>>(), ["fake"]);
    let program = &described.programs["fake"];
    assert_eq!((program.manifest.name.as_str(), program.manifest.probes), ("fake", true));
    let facts = described.host_facts(&Host::detect());
    assert_eq!(facts["fake"], true);
    assert!(facts["cpus"].as_u64().unwrap() > 0);
    let faults: Vec<String> = described
        .faults
        .iter()
        .map(|(name, fault)| format!("{name}: {}", project.neutral(&fault.to_string())))
        .collect();
    insta::assert_snapshot!(faults.join("\n"), @r"
    alias: the stage program <project>/programs/stagewright-stage-alias calls itself `fake`; its file name says `alias`
    cat: the stage program <project>/programs/stagewright-stage-cat does not describe itself: stagewright-stage-cat wrote a line to standard output that is not a protocol message: `hello, world`
    false: the stage program <project>/programs/stagewright-stage-false does not describe itself: stagewright-stage-false is not a stage program: it ended without a hello (exit code 1)
    gone: the stage program <project>/programs/stagewright-stage-gone does not describe itself: cannot start <project>/programs/stagewright-stage-gone: No such file or directory (os error 2)
    none: there is no stage program `stagewright-stage-none`
    ");
}

#[test]
fn a_warm_start_starts_no_program_and_a_changed_one_is_asked_again() {
    let mut project = Project::new();
    let place = project.path("programs");
    fs::create_dir_all(&place).unwrap();
    let program = place.join("stagewright-stage-python");
    let count = project.path("count");
    let text = |version: &str| {
        let manifest = format!(
            r#"{{"kind":"manifest","manifest":{{"name":"python","version":"{version}","cache-version":1,"summary":"s","params":{{}}}}}}"#
        );
        format!(
            "#!/bin/sh\necho x >> {}\nread hello\necho '{{\"kind\":\"hello\",\"versions\":[1],\"speaker\":\"p\"}}'\nread request\necho '{manifest}'\n",
            count.display()
        )
    };
    script(&program, &text("1.0.0"));
    project.config.stage_paths = vec![place];
    let version = || {
        let described = block_on(Catalog::find(&project.config).describe(["python"]));
        assert!(described.faults.is_empty(), "{:?}", described.faults);
        described.programs["python"].manifest.version.clone()
    };
    assert_eq!(version(), "1.0.0");
    let warm = Instant::now();
    assert_eq!(version(), "1.0.0");
    assert_eq!(project.read("count"), "x\n", "asked once");
    assert!(warm.elapsed().as_millis() < 500);
    script(&program, &text("1.0.1"));
    assert_eq!(version(), "1.0.1");
    assert_eq!(project.read("count"), "x\nx\n");
}
