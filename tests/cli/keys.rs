//! Keys from their making to their revocation, as a user sees it.

use std::fs;

use insta::assert_snapshot;

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: signed
stages:
  a:
    uses: fake
    with: { do: [ { step: write, port: out, path: out.txt, text: one } ] }
"#;

#[test]
fn keys_are_made_replaced_and_revoked() {
    let project = Project::with_keys(PIPELINE);
    assert_snapshot!("key-list-none", project.run(&["key", "list"]));
    assert_snapshot!("key-new", project.run(&["key", "new", "ada"]));
    assert_snapshot!("key-new-again", project.run(&["key", "new", "ada"]));
    assert_snapshot!("run-signed", project.run(&["run"]));
    assert_snapshot!("show-signed", project.run(&["show"]));
    assert_snapshot!(
        "key-replace",
        project.run(&["key", "new", "ada-2", "--algorithm", "ed25519", "--replace", "ada"])
    );
    let pem = project.read("trust/keys/ada-2.pem");
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");
    let other = Project::with_keys(PIPELINE);
    other.run(&["key", "new", "eve"]);
    let eve = other.path("trust/keys/eve.pem").display().to_string();
    assert_snapshot!("key-trust", project.run(&["key", "trust", "eve", &eve]));
    assert_snapshot!("key-revoke", project.run(&["key", "revoke", "eve", "--reason", "left the team"]));
    assert_snapshot!("key-list", project.run(&["key", "list"]));
    assert_snapshot!("key-revoke-unknown", project.run(&["key", "revoke", "bob", "--reason", "x"]));
}

#[test]
fn a_locked_key_wants_its_passphrase_and_a_strict_policy_a_signature() {
    let project = Project::with_keys(PIPELINE);
    assert_snapshot!("key-lock-without", project.run(&["key", "new", "ada", "--lock"]));
    let lock = project.run_env(&["key", "new", "ada", "--lock"], &[("STAGEWRIGHT_KEY_PASSPHRASE", "sesame")]);
    assert!(lock.starts_with("exit 0\n"), "{lock}");
    assert_snapshot!("run-locked", project.run(&["run"]));
    let wrong = project.run_env(&["run"], &[("STAGEWRIGHT_KEY_PASSPHRASE", "open")]);
    assert!(wrong.starts_with("exit 2\n") && wrong.contains("the passphrase is wrong"), "{wrong}");
    let signed = project.run_env(&["run"], &[("STAGEWRIGHT_KEY_PASSPHRASE", "sesame")]);
    assert!(signed.starts_with("exit 0\n"), "{signed}");
    assert!(project.run(&["show"]).contains("signed by ada"));
    let policy =
        project.read("trust/policy.toml").replace("require-signature = false", "require-signature = true");
    project.write("trust/policy.toml", &policy);
    assert_snapshot!("run-strict", project.run(&["run"]));
}

#[test]
fn a_command_can_sign_and_is_not_believed_blindly() {
    let project = Project::with_keys(PIPELINE);
    project.write("dig", "");
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lineage");
    // As a token would: it has a key of its own. This one signs other bytes than it was given.
    project.write("sign.sh", "cat > /dev/null; echo bm8gc2lnbmF0dXJl\n");
    let command = format!("sh {}", project.path("sign.sh").display());
    let public = format!("{fixtures}/ecdsa.pub");
    let made = project.run(&["key", "new", "token", "--command", &command, "--public", &public]);
    assert!(made.starts_with("exit 0\n"), "{made}");
    assert_snapshot!("run-bad-command", project.run(&["run"]));
    fs::remove_file(project.path("sign.sh")).unwrap();
    let gone = project.run(&["run"]);
    assert!(gone.starts_with("exit 1\n") && gone.contains("the signing command"), "{gone}");
}

#[test]
fn an_openssh_key_is_taken_in() {
    let project = Project::with_keys(PIPELINE);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lineage/ed25519");
    assert_snapshot!("key-import", project.run(&["key", "new", "ada", "--import", file]));
    project.run(&["run"]);
    assert!(project.run(&["show"]).contains("signed by ada"));
}

#[test]
fn init_makes_a_key_where_it_can() {
    let project = Project::with_keys(PIPELINE);
    fs::remove_file(project.path("stagewright.toml")).unwrap();
    let told = project.run(&["init"]);
    assert!(told.contains("made the ecdsa-p256 key `"), "{told}");
    assert!(project.run(&["init"]).contains("kept trust/policy.toml"));
    project.run(&["run", "pipeline.yaml"]);
    assert!(project.run(&["show"]).contains(", signed by "));
}

#[test]
fn help_of_key_commands() {
    let project = Project::new(PIPELINE);
    let pages = ["new", "list", "trust", "revoke"].map(|command| project.run(&["key", command, "--help"]));
    assert_snapshot!("help-key", project.run(&["key", "--help"]) + &pages.join("\n"));
}
