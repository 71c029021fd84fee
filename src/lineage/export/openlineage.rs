//! OpenLineage (<https://openlineage.io/spec/2-0-2/OpenLineage.json>): the run behind a result as events, for catalogues such as Marquez.
//!
//! A stage that ran has START and COMPLETE at its own times. A reused one has those of the run that made it. One that failed left no
//! statement of its own, so its START and FAIL have the times of the run. A stage that was skipped never ran and has no event.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Subject, commit, program};
use crate::{
    digest::Digest,
    lineage::{Kind, Library, LineageError, Node, Resource, RunPredicate, RunStage, TestResult, Verdict},
    record::{Outcome, RunOutcome},
};

const PRODUCER: &str = concat!("https://stagewright.dev/", env!("CARGO_PKG_VERSION"));
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
/// Where all names of jobs and content-addressed datasets are valid.
const NAMESPACE: &str = "stagewright";

/// The events of the last run that has this result, in order of time.
pub fn openlineage(library: &Library, subject: &Subject<'_>) -> Result<Vec<Value>, LineageError> {
    let hashes = subject.resources().filter_map(Resource::sha256);
    let run = hashes
        .into_iter()
        .find_map(|hash| library.last_run(hash))
        .ok_or_else(|| LineageError::Unknown { what: "a finished run that has this result".to_owned() })?;
    let told: RunPredicate = run.statement.read("the statement on the run")?;
    let whole = || json!({ "runId": told.run.to_string(), "facets": run_facets(&told, None) });
    let job = json!({
        "namespace": NAMESPACE,
        "name": told.pipeline,
        "facets": { "jobType": job_type("PIPELINE") },
    });
    let end = match told.outcome {
        // Every stage has its result; what its gates say is told with the stages.
        RunOutcome::Succeeded | RunOutcome::GateFailed => "COMPLETE",
        RunOutcome::Failed => "FAIL",
        RunOutcome::Cancelled => "ABORT",
    };
    let mut events = vec![
        (told.started_on, 0, event("START", told.started_on, whole(), job.clone())),
        (told.finished_on, 3, event(end, told.finished_on, whole(), job)),
    ];
    for stage in &told.stages {
        of_stage(library, &told, stage, &mut events);
    }
    // At one moment, a whole begins before its parts and ends after them.
    events.sort_by_key(|(at, rank, _)| (*at, *rank));
    Ok(events.into_iter().map(|(_, _, event)| event).collect())
}

fn event(kind: &str, at: Timestamp, run: Value, job: Value) -> Value {
    json!({
        "eventType": kind,
        "eventTime": at.to_string(),
        "producer": PRODUCER,
        "schemaURL": EVENT,
        "run": run,
        "job": job,
        "inputs": [],
        "outputs": [],
    })
}

fn facet(schema: &str, mut value: Value) -> Value {
    let name = schema.rsplit('/').next().unwrap_or_default();
    value["_producer"] = json!(PRODUCER);
    value["_schemaURL"] = json!(format!("https://openlineage.io/spec/facets/{schema}.json#/$defs/{name}"));
    value
}

fn job_type(kind: &str) -> Value {
    facet(
        "2-0-4/JobTypeJobFacet",
        json!({ "processingType": "BATCH", "integration": "STAGEWRIGHT", "jobType": kind }),
    )
}

/// What every run has; a stage's names the run that it is part of.
fn run_facets(told: &RunPredicate, parent: Option<&str>) -> Map<String, Value> {
    let version = told.builder.version.get("stagewright").map_or(env!("CARGO_PKG_VERSION"), String::as_str);
    let engine = json!({ "version": version, "name": "Stagewright" });
    let mut facets = Map::new();
    facets.insert("processing_engine".to_owned(), facet("1-1-1/ProcessingEngineRunFacet", engine));
    if let Some(run) = parent {
        let parent = json!({
            "run": { "runId": run },
            "job": { "namespace": NAMESPACE, "name": told.pipeline },
        });
        facets.insert("parent".to_owned(), facet("1-2-0/ParentRunFacet", parent));
    }
    facets
}

/// The same stage in the same run has the same id, whoever exports it: a UUID of version 8, of the first bytes of a hash.
fn stage_run(run: &str, stage: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Digest::of(format!("{run}/{stage}").as_bytes()).hash()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

fn of_stage(
    library: &Library,
    told: &RunPredicate,
    stage: &RunStage,
    events: &mut Vec<(Timestamp, u8, Value)>,
) {
    let run = stage.made_in.unwrap_or(told.run).to_string();
    let id = stage_run(&run, &stage.stage.0);
    let name = format!("{}.{}", told.pipeline, stage.stage);
    let mut facets = run_facets(told, Some(&run));
    let statements: Vec<&Node> =
        stage.statements.iter().filter_map(|digest| library.blob(&digest.hex())).collect();
    let made = statements.iter().find(|node| node.kind == Kind::Stage);
    let Some((node, provenance)) = made.and_then(|node| Some((*node, node.provenance.as_ref()?))) else {
        let end = match stage.outcome {
            Outcome::Failed => "FAIL",
            Outcome::Cancelled => "ABORT",
            Outcome::Ran | Outcome::Cached | Outcome::Skipped | Outcome::Blocked => return,
        };
        let job = json!({
            "namespace": NAMESPACE, "name": name, "facets": { "jobType": job_type("STAGE") },
        });
        let start = json!({ "runId": id, "facets": facets });
        events.push((told.started_on, 1, event("START", told.started_on, start, job.clone())));
        if let Some(failure) = &stage.failure {
            // Stage programs are written in any language; which one, nobody says.
            let error = json!({ "message": failure, "programmingLanguage": "unknown" });
            facets.insert("errorMessage".to_owned(), facet("1-0-1/ErrorMessageRunFacet", error));
        }
        let run = json!({ "runId": id, "facets": facets });
        events.push((told.finished_on, 2, event(end, told.finished_on, run, job)));
        return;
    };
    facets.insert("executionParameters".to_owned(), parameters(node));
    let tests: Vec<Value> = statements.iter().flat_map(|node| tests(node)).collect();
    if !tests.is_empty() {
        facets.insert("test".to_owned(), facet("1-0-1/TestRunFacet", json!({ "tests": tests })));
    }
    let mut job = json!({
        "namespace": NAMESPACE, "name": name, "facets": { "jobType": job_type("STAGE") },
    });
    if let Some(location) = source_location(node) {
        job["facets"]["sourceCodeLocation"] = location;
    }
    let metadata = &provenance.run_details.metadata;
    let ended = metadata.finished_on.unwrap_or(told.finished_on);
    let began = metadata.started_on.unwrap_or(ended);
    let run = json!({ "runId": id, "facets": facets });
    let mut start = event("START", began, run.clone(), job.clone());
    let mut complete = event("COMPLETE", ended, run, job);
    let inputs: Vec<Value> = node.inputs().map(input).collect();
    start["inputs"] = json!(inputs);
    complete["inputs"] = json!(inputs);
    let outputs = node.statement.subject.iter().filter(|one| one.to_artifact().is_some());
    complete["outputs"] = json!(outputs.map(output).collect::<Vec<_>>());
    events.push((began, 1, start));
    events.push((ended, 2, complete));
}

/// Params as they were resolved, and the program that got them.
fn parameters(node: &Node) -> Value {
    let external = node.provenance.as_ref().map(|one| &one.build_definition.external_parameters);
    let params = external.and_then(|all| all.get("params")).and_then(Value::as_object);
    let mut all: Vec<Value> = params
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!({ "key": key, "value": text })
        })
        .collect();
    if let Some(program) = program(node) {
        let value = format!("sha256:{}", program.sha256().unwrap_or_default());
        all.push(json!({ "key": "stagewright.program", "name": program.name, "value": value }));
    }
    facet("1-0-0/ExecutionParametersRunFacet", json!({ "parameters": all }))
}

/// Gates as tests. One that could not be measured did not run.
fn tests(node: &Node) -> Vec<Value> {
    if node.kind != Kind::Test {
        return Vec::new();
    }
    let Ok(told) = node.statement.read::<TestResult>("verdicts") else { return Vec::new() };
    let verdicts = told.configuration.iter().filter_map(Resource::inline_value::<Verdict>);
    let test = |verdict: Verdict| {
        let status = match () {
            () if told.failed_tests.contains(&verdict.gate) => "fail",
            () if told.passed_tests.contains(&verdict.gate) => "pass",
            () => "skip",
        };
        let mut test = json!({
            "name": verdict.gate, "status": status, "severity": "error", "type": "gate",
            "description": verdict.reason,
        });
        for (key, value) in [("expected", verdict.bound), ("actual", verdict.value)] {
            if let Some(value) = value {
                test[key] = json!(value.to_string());
            }
        }
        test
    };
    verdicts.map(test).collect()
}

/// The repository and the pipeline's file in it, where the project has an address.
fn source_location(node: &Node) -> Option<Value> {
    let dependencies = node.provenance.iter().flat_map(|one| &one.build_definition.resolved_dependencies);
    let source = dependencies.clone().find(|one| one.name == "source")?;
    let (address, branch) = match source.uri.strip_prefix("git+")?.rsplit_once("@refs/heads/") {
        Some((address, branch)) => (address, Some(branch)),
        None => (source.uri.strip_prefix("git+")?, None),
    };
    let file = dependencies.clone().find(|one| one.name == "pipeline").and_then(|one| one.note("path"));
    let mut location = json!({ "type": "git", "url": address, "repoUrl": address });
    for (key, value) in [("path", file), ("version", commit(node)), ("branch", branch)] {
        if let Some(value) = value {
            location[key] = json!(value);
        }
    }
    Some(facet("1-1-0/SourceCodeLocationJobFacet", location))
}

/// A dataset is its content: what one stage made and another one read has one name.
fn dataset(one: &Resource) -> Value {
    let hash = one.sha256().unwrap_or_default();
    let kind = one.note("type").unwrap_or_default();
    let is_model = kind.starts_with("model/") || kind.starts_with("engine/");
    let mut dataset_type = json!({ "datasetType": if is_model { "MODEL" } else { "FILE" } });
    if !kind.is_empty() {
        dataset_type["subType"] = json!(kind);
    }
    json!({
        "namespace": NAMESPACE,
        "name": format!("cas/sha256/{hash}"),
        "facets": {
            "version": facet(
                "1-0-1/DatasetVersionDatasetFacet",
                json!({ "datasetVersion": format!("sha256:{hash}") }),
            ),
            "datasetType": facet("1-0-1/DatasetTypeDatasetFacet", dataset_type),
            "documentation": facet(
                "1-1-0/DocumentationDatasetFacet",
                json!({ "description": one.note("path").unwrap_or(&one.name) }),
            ),
        },
    })
}

fn input(one: &Resource) -> Value {
    let mut dataset = dataset(one);
    if let Some(artifact) = one.to_artifact() {
        let statistics = json!({ "size": artifact.bytes, "fileCount": artifact.files });
        dataset["inputFacets"] =
            json!({ "inputStatistics": facet("1-0-0/InputStatisticsInputDatasetFacet", statistics) });
    }
    dataset
}

fn output(one: &Resource) -> Value {
    let mut dataset = dataset(one);
    if let Some(artifact) = one.to_artifact() {
        let statistics = json!({ "size": artifact.bytes, "fileCount": artifact.files });
        dataset["outputFacets"] =
            json!({ "outputStatistics": facet("1-0-2/OutputStatisticsOutputDatasetFacet", statistics) });
    }
    dataset
}
