//! Evidence in the formats of others, held against the validators of their communities.
//!
//! For OpenLineage these are its schemas, kept in `tests/fixtures`. The others are Python packages; STAGEWRIGHT_TEST_PYTHON names an interpreter that has them
//! (`pip install in-toto-attestation 'securesystemslib[crypto]' 'cyclonedx-python-lib[json-validation]' prov model-signing pyopenssl`). Without it that part says
//! that it was not tested.

use std::{fs, process::Command};

use insta::assert_snapshot;
use serde_json::{Value, json};
use stagewright::lineage::{Envelope, Statement};

use crate::{bench::Project, cats};

fn pipeline() -> String {
    cats::PIPELINE.replace("model.bin", "model.onnx")
}

fn project() -> Project {
    let project = cats::project(&pipeline());
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

const OMS: &str = r#"
import sys
from model_signing._cli import main
sys.argv = ["model_signing", "verify", "key", sys.argv[1], "--public_key", sys.argv[2], "--signature", sys.argv[3]]
main()
"#;

/// A model that is a folder, beside one that is a file.
const MODELS: &str = r#"version: 1
name: cats
stages:
  file: { cmd: "printf weights > model.onnx", outs: [model.onnx] }
  folder:
    cmd: "mkdir -p net/a.b net/a && printf one > net/a.b/x && printf two > net/a/y && printf three > net/w && printf no > net/.gitignore"
    outs: [net]
  pair: { cmd: "printf 1 > one; printf 2 > two", outs: [one, two] }
"#;

#[test]
fn a_model_is_signed_as_openssf_has_it() {
    let project = Project::with_keys(MODELS);
    project.run(&["key", "new", "old", "--algorithm", "ed25519"]);
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    let told = ["file", "pair"].map(|name| project.run(&["lineage", "export", name, "--format", "oms"]));
    project.run(&["key", "new", "ada"]);
    let pair = project.run(&["lineage", "export", "pair", "--format", "oms"]);
    let other = project.run(&["lineage", "export", "file", "--format", "oms", "--as", "old"]);
    let wrong = project.run(&["lineage", "export", "file", "--format", "prov", "--as", "old"]);
    assert_snapshot!("oms-mistakes", [told[0].clone(), pair, other, wrong].join("\n"));
    for (model, resources) in [("model.onnx", &["."][..]), ("net", &["a/y", "a.b/x", "w"]), ("one", &["."])] {
        let out = project.run(&["lineage", "export", model, "--format", "oms", "-o", "model.sig"]);
        assert_eq!(out, "exit 0\n");
        let bundle: Value = serde_json::from_str(&project.read("model.sig")).unwrap();
        let envelope = Envelope::decode("it", bundle["dsseEnvelope"].to_string().as_bytes()).unwrap();
        let statement = Statement::from_envelope("it", &envelope).unwrap();
        assert_eq!(statement.subject[0].name, model);
        let names: Vec<&str> = statement.predicate["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, resources);
        let paths = ["trust/keys/ada.pem", "model.sig"].map(|name| project.path(name));
        let verify = |model: &str| validate(OMS, &[&project.path(model), &paths[0], &paths[1]]);
        let Some((sound, said)) = verify(model) else { continue };
        assert!(sound && said.contains("Verification succeeded"), "{said}");
        let spoiled = if model == "net" { "net/w" } else { model };
        fs::remove_file(project.path(spoiled)).unwrap();
        project.write(spoiled, "other");
        let (sound, said) = verify(model).unwrap();
        assert!(!sound && said.contains("Hash mismatch"), "{said}");
    }
}

/// The schemas of OpenLineage, as their project publishes them.
struct Published;

impl jsonschema::Retrieve for Published {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.path().as_str().rsplit('/').next().unwrap();
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lineage/openlineage");
        let schema: Value = serde_json::from_slice(&fs::read(folder.join(name))?)?;
        // The version in the address is the one that is kept here.
        assert_eq!(schema["$id"].as_str(), Some(uri.as_str()));
        Ok(schema)
    }
}

fn holds(schema: &str, value: &Value) -> Result<(), String> {
    let schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": schema });
    let validator =
        jsonschema::options().should_validate_formats(true).with_retriever(Published).build(&schema);
    validator.unwrap().validate(value).map_err(|error| format!("{}: {error}", error.instance_path()))
}

/// An event and each of its facets against the schema that it names. Gives the facets' names.
fn check_event(event: &Value) -> Result<Vec<String>, String> {
    holds(event["schemaURL"].as_str().unwrap(), event)?;
    let mut holders = vec![&event["run"]["facets"], &event["job"]["facets"]];
    for side in ["inputs", "outputs"] {
        for dataset in event[side].as_array().unwrap() {
            holders.extend(["facets", "inputFacets", "outputFacets"].map(|name| &dataset[name]));
        }
    }
    let mut names = Vec::new();
    for (name, facet) in holders.into_iter().filter_map(Value::as_object).flatten() {
        holds(facet["_schemaURL"].as_str().unwrap(), facet).map_err(|error| format!("{name}: {error}"))?;
        names.push(name.clone());
    }
    Ok(names)
}

#[test]
fn a_run_is_told_as_openlineage_events() {
    let fails = pipeline() + "  broken:\n    cmd: exit 3\n    deps: [results/model.onnx]\n";
    let project = Project::with_keys(&fails);
    project.write("data/cat/1.png", "one");
    project.run(&["key", "new", "ada"]);
    assert!(project.run(&["run"]).starts_with("exit 1\n"));
    let text = project.output(&["lineage", "export", "train", "--format", "openlineage"]);
    assert_eq!(text, project.output(&["lineage", "export", "train", "--format", "openlineage"]));
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = events
        .iter()
        .map(|event| {
            format!("{} {}", event["eventType"].as_str().unwrap(), event["job"]["name"].as_str().unwrap())
        })
        .collect();
    // The failed stage has the times of the run: when it began is not recorded in a statement.
    assert_eq!(
        told,
        [
            "START cats",
            "START cats.broken",
            "START cats.prepare",
            "COMPLETE cats.prepare",
            "START cats.train",
            "COMPLETE cats.train",
            "FAIL cats.broken",
            "FAIL cats"
        ]
    );
    let mut facets = std::collections::BTreeSet::new();
    for event in &events {
        facets.extend(check_event(event).unwrap_or_else(|error| panic!("{error}: {event:#}")));
    }
    let wanted = [
        "datasetType",
        "documentation",
        "errorMessage",
        "executionParameters",
        "inputStatistics",
        "jobType",
        "outputStatistics",
        "parent",
        "processing_engine",
        "test",
        "version",
    ];
    assert_eq!(facets.into_iter().collect::<Vec<_>>(), wanted);
    let (prepared, trained) = (&events[3], &events[5]);
    assert_eq!(prepared["outputs"][0]["name"], trained["inputs"][0]["name"], "one content, one dataset");
    assert_eq!(trained["run"]["facets"]["test"]["tests"][0]["status"], "pass");
    assert_eq!(trained["run"]["facets"]["parent"]["run"]["runId"], events[0]["run"]["runId"]);
    // The check can fail.
    for (pointer, value) in [
        ("/eventType", json!("DONE")),
        ("/eventTime", json!("yesterday")),
        ("/run/runId", json!("x")),
        ("/inputs/0/facets/version/datasetVersion", json!(1)),
        ("/run/facets/test/tests", json!([{ "name": "x" }])),
    ] {
        let mut wrong = trained.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(check_event(&wrong).is_err(), "{pointer}");
    }
}

#[test]
fn help_of_exports() {
    assert_snapshot!("help-export", Project::new(&pipeline()).run(&["lineage", "export", "--help"]));
}
