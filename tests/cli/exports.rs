//! Evidence in the formats of others, held against the validators of their communities.
//!
//! Those are Python packages; STAGEWRIGHT_TEST_PYTHON names an interpreter that has them
//! (`pip install in-toto-attestation 'securesystemslib[crypto]' 'cyclonedx-python-lib[json-validation]' prov`). Without it that part says
//! that it was not tested.

use std::{fs, process::Command};

use insta::assert_snapshot;
use serde_json::Value;
use stagewright::lineage::{Envelope, Statement};

use crate::bench::Project;

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
        - { step: metric, name: top1, value: 90, unit: "%" }
        - { step: gate, name: sane, status: passed, reason: 90 % is enough }
        - { step: write, port: out, path: model.onnx, text: weights }
    outputs: { out: results/model.onnx }
"#;

fn project() -> Project {
    let project = Project::with_keys(PIPELINE);
    project.write("data/cat/1.png", "one");
    project.write("data/dog/2.png", "two");
    project.run(&["key", "new", "ada"]);
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    project.run(&["approve", "results/model.onnx", "--reason", "looked at"]);
    project
}

/// Runs a script of the validators over a file. None where there is no interpreter with the packages.
fn validate(script: &str, arguments: &[&std::path::Path]) -> Option<(bool, String)> {
    let Some(python) = std::env::var_os("STAGEWRIGHT_TEST_PYTHON") else {
        eprintln!("NOT TESTED: STAGEWRIGHT_TEST_PYTHON names no Python with the validators");
        return None;
    };
    let done = Command::new(python).arg("-c").arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    Some((done.status.success(), said))
}

const IN_TOTO: &str = r#"
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
key = SSlibKey.from_crypto(load_pem_public_key(open(sys.argv[2], "rb").read()))
kinds = []
for line in open(sys.argv[1]):
    envelope = json.loads(line)
    key.keyid = envelope["signatures"][0]["keyid"]
    Envelope.from_dict(envelope).verify([key], 1)
    import base64
    payload = json.loads(base64.b64decode(envelope["payload"]))
    message = json_format.ParseDict(payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    if payload["predicateType"] == "https://slsa.dev/provenance/v1":
        json_format.ParseDict(payload["predicate"], Provenance())
    kinds.append(payload["predicateType"].split("/")[-2])
print(" ".join(kinds))
"#;

#[test]
fn an_in_toto_bundle_holds_every_signed_statement() {
    let project = project();
    let out =
        project.run(&["lineage", "export", "results/model.onnx", "--format", "in-toto", "-o", "all.jsonl"]);
    assert_eq!(out, "exit 0\n");
    let bundle = project.read("all.jsonl");
    let kinds: Vec<String> = bundle
        .lines()
        .map(|line| {
            let envelope = Envelope::decode("a line", line.as_bytes()).unwrap();
            Statement::from_envelope("a line", &envelope).unwrap().predicate_type
        })
        .map(|kind| kind.rsplit('/').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["provenance", "test-result", "provenance", "test-result", "run", "decision"]);
    let key = project.path("trust/keys/ada.pem");
    let Some((sound, said)) = validate(IN_TOTO, &[&project.path("all.jsonl"), &key]) else { return };
    assert!(sound && said.trim() == kinds.join(" "), "{said}");
    // One letter of a payload more, and it is refused.
    project.write("spoiled.jsonl", &bundle.replacen("\"payload\":\"ey", "\"payload\":\"eyB", 1));
    assert!(!validate(IN_TOTO, &[&project.path("spoiled.jsonl"), &key]).unwrap().0);
}

const CYCLONEDX: &str = r#"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
print(error)
sys.exit(error is not None)
"#;

#[test]
fn a_bill_of_materials_is_valid_and_complete() {
    let project = project();
    let text = project.output(&["lineage", "export", "results/model.onnx", "--format", "cyclonedx"]);
    assert_eq!(text, project.output(&["lineage", "export", "results/model.onnx", "--format", "cyclonedx"]));
    let bom: Value = serde_json::from_str(&text).unwrap();
    let component = &bom["metadata"]["component"];
    assert_eq!(component["type"], "machine-learning-model");
    let names: Vec<&str> =
        bom["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in ["data", "fake", "out/out.txt"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"], "90 %");
    let tasks = bom["formulation"][0]["workflows"][0]["tasks"].as_array().unwrap();
    assert_eq!(
        tasks.iter().map(|task| task["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["prepare", "train"]
    );
    assert_eq!(tasks[0]["outputs"][0]["resource"], tasks[1]["inputs"][0]["resource"]);
    fs::write(project.path("bom.json"), &text).unwrap();
    let Some((sound, said)) = validate(CYCLONEDX, &[&project.path("bom.json")]) else { return };
    assert!(sound, "{said}");
    project.write("spoiled.json", &text.replacen("\"SHA-256\"", "\"SHA-257\"", 1));
    assert!(!validate(CYCLONEDX, &[&project.path("spoiled.json")]).unwrap().0);
}

const PROV: &str = r#"
import sys
from prov.model import ProvDocument
document = ProvDocument.deserialize(sys.argv[1])
again = ProvDocument.deserialize(content=document.serialize())
assert document == again
print(len(document.records))
"#;

#[test]
fn provenance_for_the_web_is_read_back_whole() {
    let project = project();
    project.run(&["lineage", "export", "train", "--format", "prov", "-o", "prov.json"]);
    let prov: Value = serde_json::from_str(&project.read("prov.json")).unwrap();
    let count = |section: &str| prov[section].as_object().unwrap().len();
    assert_eq!([count("activity"), count("used"), count("wasGeneratedBy"), count("agent")], [2, 2, 2, 1]);
    let records: usize =
        prov.as_object().unwrap().keys().filter(|name| *name != "prefix").map(|name| count(name)).sum();
    let Some((sound, said)) = validate(PROV, &[&project.path("prov.json")]) else { return };
    assert!(sound && said.trim() == records.to_string(), "{records}: {said}");
}

#[test]
fn help_of_exports() {
    assert_snapshot!("help-export", Project::new(PIPELINE).run(&["lineage", "export", "--help"]));
}
