//! Secrets, tokens, home folders and machine names are planted wherever a pipeline can hold a text, and then looked for in
//! everything that is signed.

use base64ct::{Base64, Encoding};
use serde_json::json;
use stagewright::plan::Plan;

use crate::{
    evidence::Signed,
    project::{metric, plan, stage, write},
};

/// What must not be found; each is planted somewhere below.
const PLANTED: [&str; 9] = [
    "ghp_PLANTEDplantedPLANTEDplanted00",
    "hunter2-param",
    "hunter2-env",
    "hunter2-flag",
    "hunter2-remote",
    "hunter2-gate",
    "hunter2-failure",
    "/home/grace",
    "BEGIN PRIVATE KEY",
];

#[test]
fn nothing_secret_is_signed() {
    let signed = Signed::new(stagewright::lineage::Algorithm::Ed25519);
    let repository = git2::Repository::init(signed.project.path(".")).unwrap();
    repository.remote("origin", "https://grace:hunter2-remote@git.example/cnn.git").unwrap();
    let commit = |repository: &git2::Repository| {
        let tree = repository.find_tree(repository.index().unwrap().write_tree().unwrap()).unwrap();
        let who = git2::Signature::now("Grace", "grace@example").unwrap();
        repository.commit(Some("HEAD"), &who, &who, "first", &tree, &[]).unwrap();
    };
    commit(&repository);
    let host = machine_name();
    let root = signed.project.config.root.display().to_string();

    let mut leaky = stage(
        "leaky",
        vec![
            metric("ghp_PLANTEDplantedPLANTEDplanted00", 1.0),
            json!({"step": "gate", "name": "g", "status": "passed", "reason": "PASSWORD=hunter2-gate in /home/grace/x"}),
            write("1"),
        ],
    );
    leaky.params["api-token"] = json!("hunter2-param");
    leaky.params["cmd"] =
        json!(format!("ssh {host} train --password hunter2-flag --data /home/grace/data {root}/x"));
    leaky.params["pem"] = json!("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----");
    leaky.params["url"] = json!("s3://ghp_PLANTEDplantedPLANTEDplanted00@bucket/data");
    leaky.env.insert("HF_TOKEN".to_owned(), "hunter2-env".to_owned());
    let message = format!("no access to https://u:hunter2-failure@{host}/ from {root} of /home/grace");
    let failing =
        stage("failing", vec![json!({"step": "fail", "class": "user", "message": message, "hint": null})]);
    let name = "of ghp_PLANTEDplantedPLANTEDplanted00".to_owned();
    signed.project.run_with(Plan { name, ..plan(vec![leaky, failing]) }, &signed.options()).unwrap();

    let all = signed.evidence();
    assert!(all.len() >= 3, "provenance, verdicts and run");
    let mut searched = 0;
    // A machine called `vm` or `gpu` keeps its name: it could be any word.
    let named = host.len() >= 4 && host != "localhost";
    for one in &all {
        let mut texts = vec![String::from_utf8(one.envelope.payload()).unwrap()];
        let statement = serde_json::to_value(&one.statement).unwrap();
        inline(&statement, &mut texts);
        for text in texts {
            searched += 1;
            for planted in
                PLANTED.iter().copied().chain([root.as_str()]).chain(named.then_some(host.as_str()))
            {
                assert!(!text.contains(planted), "{planted} is in {text}");
            }
        }
    }
    assert!(searched > all.len(), "inline texts are looked into as well");
    let provenance =
        all.iter().find(|one| one.entry.kind == stagewright::lineage::Kind::Stage).unwrap().provenance();
    let parameters = &provenance.build_definition.external_parameters;
    assert_eq!(parameters["params"]["api-token"], "[redacted]");
    assert_eq!(parameters["env"]["HF_TOKEN"], "[redacted]");
    assert_eq!(
        parameters["params"]["cmd"],
        format!(
            "ssh {} train --password [redacted] --data ~/data <project>/x",
            if named { "[host]" } else { &host }
        ),
        "what is not secret stays readable"
    );
    let source = provenance.build_definition.resolved_dependencies.last().unwrap();
    assert_eq!(
        (source.name.as_str(), &*source.uri),
        ("source", "git+https://git.example/cnn.git@refs/heads/master")
    );
}

fn machine_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// Texts that a statement carries in base64.
fn inline(value: &serde_json::Value, texts: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| inline(item, texts)),
        serde_json::Value::Object(fields) => {
            if let Some(content) = fields.get("content").and_then(serde_json::Value::as_str) {
                texts.push(String::from_utf8(Base64::decode_vec(content).unwrap()).unwrap());
            }
            fields.values().for_each(|item| inline(item, texts));
        }
        _ => {}
    }
}
