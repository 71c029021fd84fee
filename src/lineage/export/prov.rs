//! W3C PROV (<https://www.w3.org/submissions/prov-json/>): results are entities, stages are activities, keys that signed are agents.

use serde_json::{Map, Value, json};

use super::{Subject, program};
use crate::lineage::{Library, Resource, TrustPolicy};

/// The provenance of a result as PROV-JSON.
pub fn prov(library: &Library, subject: &Subject<'_>, policy: Option<&TrustPolicy>) -> Value {
    let mut sections: Map<String, Value> = Map::new();
    let mut add = |section: &str, id: String, value: Value| {
        let part = sections.entry(section.to_owned()).or_insert_with(|| json!({}));
        if let Some(part) = part.as_object_mut() {
            part.entry(id).or_insert(value);
        }
    };
    let entity = |one: &Resource| format!("sha256:{}", one.sha256().unwrap_or_default());
    let label = |one: &Resource| one.note("path").unwrap_or(&one.name).to_owned();
    for node in subject.chain(library) {
        let activity = format!("statement:{}", node.digest.hex());
        let metadata = node.provenance.as_ref().map(|one| &one.run_details.metadata);
        let mut about = json!({ "prov:label": node.stage().unwrap_or_default() });
        for (key, at) in [
            ("prov:startTime", metadata.and_then(|one| one.started_on)),
            ("prov:endTime", metadata.and_then(|one| one.finished_on)),
        ] {
            if let Some(at) = at {
                about[key] = json!(at.to_string());
            }
        }
        add("activity", activity.clone(), about);
        let outputs: Vec<&Resource> =
            node.statement.subject.iter().filter(|one| one.to_artifact().is_some()).collect();
        for output in &outputs {
            add("entity", entity(output), json!({ "prov:label": label(output) }));
            add(
                "wasGeneratedBy",
                format!("_:g-{}-{}", node.digest.short(), output.sha256().unwrap_or_default()),
                json!({ "prov:entity": entity(output), "prov:activity": activity }),
            );
        }
        for input in node.inputs() {
            let hash = input.sha256().unwrap_or_default();
            add("entity", entity(input), json!({ "prov:label": label(input) }));
            add(
                "used",
                format!("_:u-{}-{hash}", node.digest.short()),
                json!({ "prov:activity": activity, "prov:entity": entity(input) }),
            );
            for output in &outputs {
                add(
                    "wasDerivedFrom",
                    format!("_:d-{hash}-{}", output.sha256().unwrap_or_default()),
                    json!({ "prov:generatedEntity": entity(output), "prov:usedEntity": entity(input) }),
                );
            }
        }
        for signature in node.envelope.signatures() {
            let agent = format!("key:{}", signature.keyid);
            let name = policy.and_then(|policy| policy.name_of(&signature.keyid)).unwrap_or("unknown key");
            add("agent", agent.clone(), json!({ "prov:label": name }));
            let mut association = json!({ "prov:activity": activity, "prov:agent": agent });
            if let Some(program) = program(node) {
                let plan = entity(program);
                let about = json!({ "prov:label": program.name, "prov:type": { "$": "prov:Plan", "type": "prov:QUALIFIED_NAME" } });
                add("entity", plan.clone(), about);
                association["prov:plan"] = json!(plan);
            }
            let id = format!("_:a-{}-{}", node.digest.short(), signature.keyid);
            add("wasAssociatedWith", id, association);
        }
    }
    let prefixes = json!({
        "sha256": "https://stagewright.dev/sha256/",
        "statement": "https://stagewright.dev/statement/",
        "key": "https://stagewright.dev/key/",
    });
    sections.insert("prefix".to_owned(), prefixes);
    Value::Object(sections)
}
