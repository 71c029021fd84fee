//! A folder → a plan in one call: reads the files that the spec names, asks the catalog, compiles.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::{
    catalog::{Catalog, CatalogError, Described, Host},
    config::Config,
    plan::{self, CompileInputs, PathKind, Plan},
    record::git_state,
    spec::{self, Diagnostic, PipelineSpec, types::ParamsSpec},
};

/// A pipeline that compiled.
#[derive(Debug)]
pub struct Pipeline {
    /// The compiled plan.
    pub plan: Plan,
    /// Warnings about the file, with their places.
    pub warnings: Vec<Diagnostic>,
    /// What was read.
    pub source: Source,
}

/// A pipeline file's text, to show findings in.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path relative to the project root.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No pipeline file was named, and there is not exactly one.
    #[error("{} pipeline files to choose from in {folder}", if choices.is_empty() { "no".to_owned() } else { choices.len().to_string() })]
    NoPipeline {
        /// The project's root.
        folder: PathBuf,
        /// What could have been meant, relative to the root.
        choices: Vec<PathBuf>,
    },
    /// A file can't be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A pipeline file outside the project.
    #[error("{path} is not inside the project {root}")]
    Outside {
        /// The file.
        path: PathBuf,
        /// The project's root.
        root: PathBuf,
    },
    /// A params file is not a map.
    #[error("{path} holds no params: {reason}")]
    Params {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Stage programs that the pipeline uses are there and do not work.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Programs(Vec<CatalogError>),
    /// The pipeline file is wrong.
    #[error("{} has {} finding(s)", pipeline.file.display(), findings.len())]
    Invalid {
        /// The file's text.
        pipeline: Source,
        /// What is wrong, in the order of the file; warnings among it.
        findings: Vec<Diagnostic>,
    },
}

/// The pipeline file meant: the one named, else `pipeline.yaml`, else the only one in `pipelines/`.
pub fn find_pipeline(config: &Config, named: Option<&Path>, folder: &Path) -> Result<PathBuf, ProjectError> {
    if let Some(named) = named {
        let path = folder.join(named);
        let absolute = fs::canonicalize(&path)
            .map_err(|error| ProjectError::Read { path: path.clone(), reason: error.to_string() })?;
        let root = fs::canonicalize(&config.root)
            .map_err(|error| ProjectError::Read { path: config.root.clone(), reason: error.to_string() })?;
        let relative = absolute.strip_prefix(&root).map(Path::to_owned);
        return relative.map_err(|_| ProjectError::Outside { path, root });
    }
    let top = PathBuf::from("pipeline.yaml");
    if config.root.join(&top).is_file() {
        return Ok(top);
    }
    let mut choices: Vec<PathBuf> = fs::read_dir(config.root.join("pipelines"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(Path::new("pipelines").join(entry.ok()?.file_name())))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    choices.sort();
    match choices.len() {
        1 => Ok(choices.remove(0)),
        _ => Err(ProjectError::NoPipeline { folder: config.root.clone(), choices }),
    }
}

/// Reads and compiles the pipeline file `file` (relative to the project root).
pub async fn load(config: &Config, file: &Path) -> Result<Pipeline, ProjectError> {
    let path = config.root.join(file);
    let text =
        fs::read_to_string(&path).map_err(|error| ProjectError::Read { path, reason: error.to_string() })?;
    let source = Source { file: file.to_owned(), text };
    let invalid = |findings| ProjectError::Invalid { pipeline: source.clone(), findings };
    let spec = spec::parse(&file.display().to_string(), &source.text).map_err(invalid)?;

    let catalog = Catalog::find(config);
    let used = spec.stages.iter().map(|stage| stage.uses.program.value.as_str());
    let described = catalog.describe(used.collect::<std::collections::BTreeSet<_>>()).await;
    let params = read_params(config, &spec.params)?;
    let plan = compile(config, &spec, file, described, params).map_err(|error| match error {
        Refusal::Findings(findings) => invalid(findings),
        Refusal::Programs(faults) => ProjectError::Programs(faults),
    })?;
    Ok(Pipeline { plan, warnings: spec.warnings.clone(), source })
}

enum Refusal {
    Findings(Vec<Diagnostic>),
    Programs(Vec<CatalogError>),
}

fn compile(
    config: &Config,
    spec: &PipelineSpec,
    file: &Path,
    described: Described,
    params: Value,
) -> Result<Plan, Refusal> {
    let host = described.host_facts(&Host::detect());
    // A program that is there and broken is the machine's fault, one that is not there the pipeline's (or a slip of
    // the pen), which the plan says with its place.
    let (broken, unknown): (Vec<_>, Vec<_>) =
        described.faults.into_values().partition(|fault| !matches!(fault, CatalogError::Unknown { .. }));
    drop(unknown);
    if !broken.is_empty() {
        return Err(Refusal::Programs(broken));
    }
    let git = git_state(&config.root).map_or(
        Value::Null,
        |state| json!({ "commit": state.commit, "branch": state.branch, "dirty": state.dirty }),
    );
    let path_kind = |path: &Path| match fs::metadata(config.root.join(path)) {
        Ok(meta) if meta.is_dir() => PathKind::Folder,
        Ok(_) => PathKind::File,
        Err(_) => PathKind::Missing,
    };
    plan::compile(
        spec,
        CompileInputs {
            params,
            catalog: &described.programs,
            host: &host,
            git,
            env: BTreeMap::new(),
            file: file.to_owned(),
            path_exists: &path_kind,
        },
    )
    .map_err(Refusal::Findings)
}

/// Inline params as they are; those of files merged, later files over earlier ones, map by map.
fn read_params(config: &Config, params: &ParamsSpec) -> Result<Value, ProjectError> {
    match params {
        ParamsSpec::None => Ok(json!({})),
        ParamsSpec::Inline(value) => Ok(value.literal().unwrap_or_else(|| json!({}))),
        ParamsSpec::Files(files) => {
            let mut merged = Map::new();
            for file in files {
                let path = config.root.join(&file.value);
                let text = fs::read_to_string(&path)
                    .map_err(|error| ProjectError::Read { path: path.clone(), reason: error.to_string() })?;
                let value: Value = serde_yaml::from_str(&text).map_err(|error| ProjectError::Params {
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
                match value {
                    Value::Object(fields) => merge(&mut merged, fields),
                    Value::Null => {}
                    _ => {
                        return Err(ProjectError::Params {
                            path,
                            reason: "a map of params is wanted".to_owned(),
                        });
                    }
                }
            }
            Ok(Value::Object(merged))
        }
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
