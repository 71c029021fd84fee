//! A folder → a plan in one call: reads the files that the spec names, asks the catalog, compiles.

mod hash_files;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use hash_files::HashFiles;

use crate::{
    catalog::{Catalog, CatalogError, Described, Host},
    config::Config,
    dvc::{self, Lock, LockError},
    plan::{self, CompileInputs, Overrides, PathKind, Plan},
    record::git_state,
    release::{self, ReleaseError},
    spec::{self, Diagnostic, PipelineSpec, Sources},
    store::LocalStore,
};

/// A pipeline that compiled.
#[derive(Debug)]
pub struct Pipeline {
    /// The compiled plan.
    pub plan: Plan,
    /// The lock file, for a pipeline of DVC.
    pub lock: Option<Arc<Lock>>,
    /// Warnings about the file, with their places.
    pub warnings: Vec<Diagnostic>,
    /// What was read.
    pub sources: Sources,
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
    /// Stage programs that the pipeline uses are there and do not work.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Programs(Vec<CatalogError>),
    /// The releases that a target compares with can't be read.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The lock file of a DVC pipeline can't be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The pipeline file is wrong.
    #[error("{} has {} finding(s)", file.display(), findings.len())]
    Invalid {
        /// The pipeline file, relative to the project root.
        file: PathBuf,
        /// The texts of all its files.
        sources: Sources,
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
    let mut choices = in_folder(config);
    match choices.len() {
        1 => Ok(choices.remove(0)),
        _ => Err(ProjectError::NoPipeline { folder: config.root.clone(), choices }),
    }
}

/// All pipeline files there are, relative to the project root: `pipeline.yaml` and those in `pipelines/`.
pub fn pipeline_files(config: &Config) -> Vec<PathBuf> {
    let top = PathBuf::from("pipeline.yaml");
    let top = config.root.join(&top).is_file().then_some(top);
    top.into_iter().chain(in_folder(config)).collect()
}

fn in_folder(config: &Config) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(config.root.join("pipelines"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(Path::new("pipelines").join(entry.ok()?.file_name())))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    found.sort();
    found
}

/// The store, looking at the work tree as the tool does whose file this is: to DVC, what `.dvcignore` names is not there.
pub fn store_for(store: LocalStore, config: &Config, file: &Path) -> LocalStore {
    if dvc::is_pipeline(file) { store.hiding(dvc::hidden(&config.root)) } else { store }
}

/// Everything a plan is made of, read and asked for once; [`Draft::compile`] makes plans of it, with other overrides each
/// time.
#[derive(Debug)]
pub struct Draft {
    spec: PipelineSpec,
    file: PathBuf,
    described: Described,
    host: BTreeMap<String, Value>,
    git: Value,
}

/// Reads the pipeline file `file` (relative to the project root) and what it names.
pub async fn open(config: &Config, file: &Path) -> Result<Draft, ProjectError> {
    let path = config.root.join(file);
    let text =
        fs::read_to_string(&path).map_err(|error| ProjectError::Read { path, reason: error.to_string() })?;
    let mut read = |path: &str| fs::read_to_string(config.root.join(path)).map_err(|error| error.to_string());
    let spec = if dvc::is_pipeline(file) {
        dvc::read(&file.to_string_lossy(), &text, &mut read)
    } else {
        spec::read(&file.to_string_lossy(), &text, &mut read)
    };

    let catalog = Catalog::find(config);
    let used = spec
        .stages
        .iter()
        .filter_map(|stage| Some(stage.uses()?.program.value.as_str()))
        .filter(|name| !name.is_empty());
    let mut described = catalog.describe(used.collect::<std::collections::BTreeSet<_>>()).await;
    // A program that is there and broken is the machine's fault, one that is not there the pipeline's (or a slip of
    // the pen), which the plan says with its place.
    let broken: Vec<_> = std::mem::take(&mut described.faults)
        .into_values()
        .filter(|fault| !matches!(fault, CatalogError::Unknown { .. }))
        .collect();
    if !broken.is_empty() {
        return Err(ProjectError::Programs(broken));
    }
    Ok(Draft::new(config, file, spec, described))
}

/// Reads and compiles the pipeline file `file` (relative to the project root).
pub async fn load(config: &Config, file: &Path, overrides: &Overrides) -> Result<Pipeline, ProjectError> {
    open(config, file).await?.compile(config, overrides)
}

impl Draft {
    /// A draft of what was read and asked for already; looks at the machine and the repository.
    pub fn new(config: &Config, file: &Path, spec: PipelineSpec, described: Described) -> Self {
        let host = described.host_facts(&Host::detect());
        let git = git_state(&config.root).map_or(
            Value::Null,
            |state| json!({ "commit": state.commit, "branch": state.branch, "dirty": state.dirty }),
        );
        Self { spec, file: file.to_owned(), described, host, git }
    }

    /// The pipeline file, relative to the project root.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// State of the repository.
    pub fn git(&self) -> &Value {
        &self.git
    }

    /// The pipeline as written, once no more plans are wanted.
    pub fn into_spec(self) -> PipelineSpec {
        self.spec
    }

    /// The pipeline as written.
    pub fn spec(&self) -> &PipelineSpec {
        &self.spec
    }

    /// Compiles a plan; looks at the work tree for the paths that stages read.
    pub fn compile(&self, config: &Config, overrides: &Overrides) -> Result<Pipeline, ProjectError> {
        let path_kind = |path: &Path| match fs::metadata(config.root.join(path)) {
            Ok(meta) if meta.is_dir() => PathKind::Folder,
            Ok(_) => PathKind::File,
            Err(_) => PathKind::Missing,
        };
        let lock = dvc::is_pipeline(&self.file)
            .then(|| Lock::open(&config.root, &self.file, &self.spec, &config.state_dir).map(Arc::new))
            .transpose()?;
        let hash = HashFiles::new(&config.root);
        let release = match plan::compares_with_release(&self.spec) {
            true => release::last(&config.root)?.map(|release| release.manifest.metrics()),
            false => None,
        };
        let plan = plan::compile(
            &self.spec,
            CompileInputs {
                overrides,
                catalog: &self.described.programs,
                host: &self.host,
                git: self.git.clone(),
                env: BTreeMap::new(),
                file: self.file.clone(),
                path_exists: &path_kind,
                hash_files: &|patterns| hash.digest(patterns),
                release,
            },
        )
        .map_err(|findings| ProjectError::Invalid {
            file: self.file.clone(),
            sources: self.spec.sources.clone(),
            findings,
        })?;
        Ok(Pipeline { plan, lock, warnings: self.spec.warnings.clone(), sources: self.spec.sources.clone() })
    }
}
