//! A bill of materials: CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>), with the model, the data, the programs, and the stages as
//! the workflow that made it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Subject, commit, program};
use crate::{
    lineage::{Library, LineageError, Node, Resource},
    record::{MetricValue, flatten_value},
};

/// The bill of materials of a result.
pub fn cyclonedx(library: &Library, subject: &Subject<'_>) -> Result<Value, LineageError> {
    let chain = subject.chain(library);
    let unknown = || LineageError::Unknown { what: "an output of the stage".to_owned() };
    let main = subject.resources().next().ok_or_else(unknown)?;
    let main_ref = reference(main);
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    for node in &chain {
        for one in node.statement.subject.iter().filter(|one| one.to_artifact().is_some()) {
            components.entry(reference(one)).or_insert_with(|| component(one));
        }
        for input in node.inputs() {
            components.entry(reference(input)).or_insert_with(|| component(input));
        }
        if let Some(program) = program(node) {
            components.entry(reference(program)).or_insert_with(|| application(program));
        }
    }
    components.remove(&main_ref);
    let mut model = component(main);
    let commits: BTreeSet<&str> = chain.iter().filter_map(|node| commit(node)).collect();
    let ancestors: Vec<Value> = models_before(subject.node).into_iter().map(ancestor).collect();
    model["pedigree"] = json!({
        "ancestors": ancestors,
        "commits": commits.iter().map(|uid| json!({ "uid": uid })).collect::<Vec<_>>(),
    });
    if model["type"] == "machine-learning-model" {
        model["modelCard"] = card(library, subject, &chain);
    }
    let details = subject.node.provenance.as_ref().map(|one| &one.run_details);
    let finished = details.and_then(|one| one.metadata.finished_on);
    let run =
        details.and_then(|one| one.metadata.invocation_id.split('/').next()).unwrap_or("run").to_owned();
    let mut metadata = json!({
        "tools": { "components": [
            { "type": "application", "name": "stagewright", "version": env!("CARGO_PKG_VERSION") },
        ] },
        "component": model,
    });
    if let Some(at) = finished {
        metadata["timestamp"] = json!(format!("{at:.0}"));
    }
    // The same result has the same number, whoever exports it: version 8, of the first bytes of its hash.
    let mut bytes = [0; 16];
    let _ =
        hex::decode_to_slice(main.sha256().and_then(|hash| hash.get(..32)).unwrap_or_default(), &mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let serial = Uuid::from_bytes(bytes);
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{serial}"),
        "version": 1,
        "metadata": metadata,
        "components": components.into_values().collect::<Vec<_>>(),
        "formulation": [{
            "bom-ref": "formula",
            "workflows": [{
                "bom-ref": "workflow",
                "uid": run,
                "name": pipeline(subject.node),
                "taskTypes": ["build"],
                "tasks": chain.iter().map(|node| task(node)).collect::<Vec<_>>(),
            }],
        }],
    }))
}

/// Its place in the document: by content, so that what one stage made and another one read is one thing.
fn reference(one: &Resource) -> String {
    format!("sha256:{}", one.sha256().unwrap_or_default())
}

fn hashes(one: &Resource) -> Value {
    json!([{ "alg": "SHA-256", "content": one.sha256().unwrap_or_default() }])
}

fn name(one: &Resource) -> &str {
    one.note("path").unwrap_or_else(|| one.name.strip_prefix("input:").unwrap_or(&one.name))
}

fn component(one: &Resource) -> Value {
    let kind = one.note("type").unwrap_or_default();
    let mut component = json!({ "bom-ref": reference(one), "name": name(one), "hashes": hashes(one) });
    if kind.starts_with("model/") || kind.starts_with("engine/") || name(one).ends_with(".onnx") {
        component["type"] = json!("machine-learning-model");
    } else if kind.starts_with("dataset/") || one.note("path").is_some() {
        component["type"] = json!("data");
        component["data"] = json!([{ "type": "dataset", "name": name(one) }]);
    } else {
        component["type"] = json!("file");
    }
    component
}

fn ancestor(one: &Resource) -> Value {
    let mut component = component(one);
    // A second mention of the same thing must not have its name.
    component["bom-ref"] = json!(format!("ancestor-{}", reference(one)));
    component
}

fn application(one: &Resource) -> Value {
    json!({
        "type": "application",
        "bom-ref": reference(one),
        "name": one.name.strip_prefix("program:").unwrap_or(&one.name),
        "version": one.note("version").unwrap_or_default(),
        "hashes": hashes(one),
    })
}

/// The models that a stage read.
fn models_before(node: &Node) -> Vec<&Resource> {
    node.inputs().filter(|one| one.note("type").is_some_and(|kind| kind.starts_with("model/"))).collect()
}

fn card(library: &Library, subject: &Subject<'_>, chain: &[&Node]) -> Value {
    let data: BTreeSet<String> = chain
        .iter()
        .flat_map(|node| node.inputs())
        .filter(|one| one.note("type").is_some_and(|kind| kind.starts_with("dataset/")))
        .map(reference)
        .collect();
    // Metrics of the stage itself, and of those that read the model to measure it.
    let mut metrics = Vec::new();
    for node in std::iter::once(subject.node).chain(library.uses(subject.node)) {
        let byproducts = node.provenance.iter().flat_map(|one| &one.run_details.byproducts);
        let told = byproducts.filter(|one| one.name == "metrics");
        let told = told.filter_map(Resource::inline_value::<BTreeMap<String, MetricValue>>);
        for (name, metric) in told.flatten() {
            let unit = metric.unit.map(|unit| format!(" {unit}")).unwrap_or_default();
            let slice = node.stage().unwrap_or_default();
            metrics.push(json!({ "type": name, "value": format!("{}{unit}", metric.value), "slice": slice }));
        }
    }
    let mut card = json!({
        "modelParameters": { "datasets": data.iter().map(|one| json!({ "ref": one })).collect::<Vec<_>>() },
    });
    if !metrics.is_empty() {
        card["quantitativeAnalysis"] = json!({ "performanceMetrics": metrics });
    }
    card
}

fn pipeline(node: &Node) -> String {
    let external = node.provenance.as_ref().map(|one| &one.build_definition.external_parameters);
    let name = external.and_then(|one| one.get("pipeline")?.get("name")?.as_str());
    name.unwrap_or("pipeline").to_owned()
}

fn task(node: &Node) -> Value {
    let details = node.provenance.as_ref().map(|one| &one.run_details);
    let definition = node.provenance.as_ref().map(|one| &one.build_definition);
    let mut params = BTreeMap::new();
    if let Some(value) = definition.and_then(|one| one.external_parameters.get("params")) {
        flatten_value(&mut params, "with", value);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut inputs: Vec<Value> =
        node.inputs().map(|one| json!({ "resource": { "ref": reference(one) } })).collect();
    if !params.is_empty() {
        let params = params.iter().map(|(name, value)| json!({ "name": name, "value": text(value) }));
        inputs.push(json!({ "parameters": params.collect::<Vec<_>>() }));
    }
    let whole = node.statement.subject.iter().filter(|one| one.to_artifact().is_some());
    let outputs = whole.map(|one| json!({ "type": "artifact", "resource": { "ref": reference(one) } }));
    let mut task = json!({
        "bom-ref": format!("task-{}", node.digest.short()),
        "uid": details.map(|one| one.metadata.invocation_id.as_str()).unwrap_or_default(),
        "name": node.stage().unwrap_or_default(),
        "taskTypes": ["build"],
        "inputs": inputs,
        "outputs": outputs.collect::<Vec<_>>(),
    });
    if let Some(program) = program(node) {
        task["resourceReferences"] = json!([{ "ref": reference(program) }]);
    }
    for (key, at) in [
        ("timeStart", details.and_then(|one| one.metadata.started_on)),
        ("timeEnd", details.and_then(|one| one.metadata.finished_on)),
    ] {
        if let Some(at) = at {
            task[key] = json!(format!("{at:.0}"));
        }
    }
    task
}
