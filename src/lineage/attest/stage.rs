//! One executed stage → its provenance, and the verdicts of its gates.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Attestor, BUILD_TYPE, LOCAL_BUILDER, test};
use crate::{
    digest::Digest,
    lineage::{
        BuildDefinition, Builder, Kind, LineageError, Metadata, PROVENANCE, Provenance, Resource, RunDetails,
        Statement,
    },
    plan::Source,
    record::{ActionResult, StoredOutput},
    store::{Artifact, ArtifactKind},
};

/// Folders with at most this many files have each file as a subject of its own, so that one that is deployed alone is found.
const FILES_AS_SUBJECTS: u64 = 256;

/// One input that a stage read.
#[derive(Debug, Clone)]
pub struct StageInput {
    /// The port.
    pub port: String,
    /// Name that the stage saw.
    pub name: String,
    /// Port type.
    pub artifact_type: String,
    /// Role of a dataset.
    pub role: Option<String>,
    /// The content.
    pub artifact: Artifact,
    /// Where it came from.
    pub source: Source,
}

impl Attestor {
    /// Makes the statements of a result that is about to be stored: the verdicts of its gates, if it has any, and its
    /// provenance, which names them. Gives their blobs, the provenance first.
    pub fn stage(&self, result: &ActionResult, inputs: &[StageInput]) -> Result<Vec<Digest>, LineageError> {
        let outputs = self.outputs(result)?;
        let mut byproducts = Vec::new();
        byproducts.extend(result.log.as_ref().map(|log| Resource::new("log", log)));
        byproducts.push(self.inline("metrics", &result.measured.metrics)?);
        let mut statements = Vec::new();
        if !result.measured.gates.is_empty() {
            let verdicts: Vec<_> = result.measured.gates.iter().map(test::Verdict::of_gate).collect();
            let tested = inputs.iter().filter(|input| matches!(input.source, Source::Output { .. }));
            let mut subject = outputs.clone();
            subject.extend(tested.map(|input| {
                Resource::artifact(format!("input:{}/{}", input.port, input.name), &input.artifact)
            }));
            let statement = self.verdicts(unique(subject), Some(&result.stage), &verdicts)?;
            let digest = self.publish(&statement, super::subjects(&statement), Kind::Test)?;
            byproducts.push(Resource::new("gates", &digest));
            statements.push(digest);
        }
        let provenance = Provenance {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE.to_owned(),
                external_parameters: self.external(result),
                internal_parameters: self.internal(result),
                resolved_dependencies: self.dependencies(result, inputs),
            },
            run_details: RunDetails {
                builder: self.builder(),
                metadata: Metadata {
                    invocation_id: format!("{}/{}", result.run, result.stage),
                    started_on: Some(result.started),
                    finished_on: Some(result.ended),
                },
                byproducts,
            },
        };
        // A stage without an output would have no subject; what it leaves is its log.
        let subject = if outputs.is_empty() {
            result.log.iter().map(|log| Resource::new("log", log)).collect()
        } else {
            outputs
        };
        let statement = Statement::new(subject, PROVENANCE, &provenance)?;
        statements.insert(0, self.publish(&statement, super::subjects(&statement), Kind::Stage)?);
        Ok(statements)
    }

    /// Every output, and every file of a small folder.
    fn outputs(&self, result: &ActionResult) -> Result<Vec<Resource>, LineageError> {
        let mut subjects = Vec::new();
        for (port, StoredOutput { artifact_type, file_name, artifact, executable: _ }) in &result.outputs {
            let name = format!("{port}/{file_name}");
            let subject = Resource::artifact(&name, artifact)
                .annotate("port", port.as_str())
                .annotate("type", artifact_type.as_str());
            subjects.push(subject);
            if artifact.kind == ArtifactKind::Tree && artifact.files <= FILES_AS_SUBJECTS {
                for entry in self.store.tree(&artifact.digest)?.entries() {
                    subjects.push(Resource::new(format!("{name}/{}", entry.path), &entry.digest));
                }
            }
        }
        Ok(unique(subjects))
    }

    fn external(&self, result: &ActionResult) -> Map<String, Value> {
        let material = &result.material;
        let env = json!(material.env);
        let parameters = json!({
            "pipeline": { "name": self.facts.pipeline, "file": self.facts.file.display().to_string() },
            "stage": result.stage,
            "program": material.program,
            "params": self.redactor.value(&material.params),
            "env": self.redactor.value(&env),
        });
        parameters.as_object().cloned().unwrap_or_default()
    }

    fn internal(&self, result: &ActionResult) -> Map<String, Value> {
        let material = &result.material;
        let parameters = json!({
            "action-key": result.key.0,
            "cache-version": material.cache_version,
            "seed": material.seed,
            "threads": result.threads,
            "platform": material.platform,
            "host": self.host(&result.host),
            "run": result.run,
            "slsa-build-level": 1,
        });
        parameters.as_object().cloned().unwrap_or_default()
    }

    fn dependencies(&self, result: &ActionResult, inputs: &[StageInput]) -> Vec<Resource> {
        let mut dependencies = Vec::new();
        for StageInput { port, name, artifact_type, role, artifact, source } in inputs {
            let mut resource = Resource::artifact(format!("input:{port}/{name}"), artifact)
                .annotate("port", port.as_str())
                .annotate("type", artifact_type.as_str());
            if let Some(role) = role {
                resource = resource.annotate("role", role.as_str());
            }
            dependencies.push(match source {
                Source::Placed { path, stages, port } => {
                    let resource = resource.annotate("path", path.display().to_string());
                    match (&stages[..], port) {
                        ([stage], Some(port)) => {
                            resource.annotate("stage", stage.0.as_str()).annotate("output", port.as_str())
                        }
                        _ => resource,
                    }
                }
                Source::Path(path) => resource.annotate("path", path.display().to_string()),
                Source::Output { stage, port } => {
                    resource.annotate("stage", stage.0.as_str()).annotate("output", port.as_str())
                }
            });
        }
        let program = &result.program;
        dependencies.push(
            Resource::new(format!("program:{}", program.name), &program.digest)
                .annotate("version", program.version.as_str()),
        );
        dependencies.extend(self.pipeline_resource());
        dependencies.extend(self.source_resource());
        unique(dependencies)
    }

    pub(super) fn builder(&self) -> Builder {
        let version = BTreeMap::from([("stagewright".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
        let program = self.orchestrator.as_ref().map(|digest| Resource::new("stagewright", digest));
        Builder { id: LOCAL_BUILDER.to_owned(), version, builder_dependencies: program.into_iter().collect() }
    }
}

/// Names are unique within a list, as the specification wants: a second one gets a number.
pub(super) fn unique(mut resources: Vec<Resource>) -> Vec<Resource> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for resource in &mut resources {
        let count = seen.entry(resource.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            resource.name = format!("{}#{count}", resource.name);
        }
    }
    resources
}
