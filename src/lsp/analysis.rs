//! What the compiler makes of an open file: findings, plan, values.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    catalog::{Catalog, CatalogError, Described, Program},
    config::Config,
    dvc,
    plan::{self, Overrides, Plan},
    project::{Draft, ProjectError},
    spec::{self, Diagnostic, PipelineSpec, Sources},
};

/// A project whose stage programs were asked what they are.
pub(super) struct Project {
    pub config: Config,
    /// Programs that answered.
    pub programs: BTreeMap<String, Program>,
    /// Programs that are there and do not work, by stage name.
    faults: BTreeMap<String, String>,
    /// Facts for `host`.
    pub host: BTreeMap<String, Value>,
}

/// What came of one file.
#[derive(Default)]
pub(super) struct Analysis {
    /// The pipeline as far as it could be read.
    pub spec: PipelineSpec,
    /// All findings, their places among [`PipelineSpec::sources`].
    pub findings: Vec<Diagnostic>,
    /// The plan, if nothing is wrong.
    pub plan: Option<Plan>,
    /// State of the repository.
    pub git: Value,
}

impl Project {
    /// Asks every stage program that is found.
    pub async fn open(config: Config) -> Self {
        let described = Catalog::find(&config).describe_all().await;
        let host = described.host_facts(&crate::catalog::Host::detect());
        let Described { programs, faults } = described;
        let faults = faults
            .into_iter()
            .filter(|(_, fault)| !matches!(fault, CatalogError::Unknown { .. }))
            .map(|(name, fault)| (name, fault.to_string()))
            .collect();
        Self { config, programs, faults, host }
    }

    /// Checks a pipeline file as it is in the editor. `open` gives the texts of other files that are open.
    pub fn analyze(&self, file: &Path, text: &str, open: &dyn Fn(&Path) -> Option<String>) -> Analysis {
        let mut read = |name: &str| {
            let path = self.config.root.join(name);
            match open(&path) {
                Some(text) => Ok(text),
                None => std::fs::read_to_string(&path).map_err(|error| error.to_string()),
            }
        };
        let name = file.to_string_lossy();
        let spec = if dvc::is_pipeline(file) {
            dvc::read(&name, text, &mut read)
        } else {
            spec::read(&name, text, &mut read)
        };
        let described = Described { programs: self.programs.clone(), faults: BTreeMap::new() };
        let draft = Draft::new(&self.config, file, spec, described);
        let git = draft.git().clone();
        let (mut findings, plan) = match draft.compile(&self.config, &Overrides::default()) {
            Ok(pipeline) => {
                let mut findings = pipeline.warnings;
                let told = pipeline.plan.warnings.iter();
                findings.extend(told.map(|text| Diagnostic::warning("plan::warning", text.clone())));
                (findings, Some(pipeline.plan))
            }
            Err(ProjectError::Invalid { findings, .. }) => (findings, None),
            Err(error) => (vec![Diagnostic::error("plan::project", error.to_string())], None),
        };
        let spec = draft.into_spec();
        self.tell_broken(&spec, &mut findings);
        Analysis { spec, findings, plan, git }
    }

    /// That there is no program is not the whole truth where there is one that does not work.
    fn tell_broken(&self, spec: &PipelineSpec, findings: &mut Vec<Diagnostic>) {
        for stage in &spec.stages {
            let Some(uses) = stage.uses().map(|uses| &uses.program) else { continue };
            if let Some(fault) = self.faults.get(uses.as_str()) {
                findings.retain(|found| {
                    found.code != "plan::unknown-program" || found.start() != uses.span.start
                });
                findings.push(
                    Diagnostic::error("plan::broken-program", fault.clone())
                        .at(uses.span.clone(), "")
                        .hint("`stagewright doctor` tries every stage program that it finds"),
                );
            }
        }
    }

    /// JSON Schema of the language.
    pub fn language() -> Value {
        plan::schema(&BTreeMap::new())
    }
}

/// A pipeline outside of any project: only its form can be checked.
pub(super) fn form(name: &str, text: &str) -> Analysis {
    let spec = spec::read(name, text, &mut |_| Err("this file is not in a project".to_owned()));
    let findings = spec.errors.iter().chain(&spec.warnings).cloned().collect();
    Analysis { spec, findings, plan: None, git: Value::Null }
}

impl Analysis {
    /// The files read.
    pub fn sources(&self) -> &Sources {
        &self.spec.sources
    }
}

/// The path of a file relative to a project's root.
pub(super) fn relative(root: &Path, file: &Path) -> Option<PathBuf> {
    let canonical = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    canonical(file).strip_prefix(canonical(root)).map(Path::to_owned).ok()
}
