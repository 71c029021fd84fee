//! From a pipeline file to a plan, and findings to the screen.

use std::{
    future::Future,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use miette::{GraphicalReportHandler, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use stagewright::{
    config::Config,
    dvc,
    plan::{Assignment, OverrideError, Overrides},
    project::{self, Draft, Pipeline, ProjectError},
    run::ReadAhead,
    spec::{Diagnostic, Severity, Sources},
    store::LocalStore,
};

use super::{CliError, Exit, Scene, actions, screen};

/// Which pipeline, and with which values.
#[derive(Args, Clone)]
pub struct PipelineArgs {
    /// The pipeline file [default: pipeline.yaml, else the only one in pipelines/]
    pipeline: Option<PathBuf>,
    /// Another value for a param of the pipeline (params.epochs=3) or of a stage (train.with.lr=0.01)
    #[arg(short = 'S', long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl PipelineArgs {
    /// The file that was named.
    pub fn file(&self) -> Option<&Path> {
        self.pipeline.as_deref()
    }

    /// What `--set` gives, as written.
    pub fn assignments(&self) -> Result<Vec<Assignment>, CliError> {
        Ok(self.set.iter().map(|text| text.parse()).collect::<Result<_, OverrideError>>()?)
    }

    /// What `--set` gives a pipeline file, one value for each place.
    pub fn overrides(&self, file: &Path) -> Result<Overrides, CliError> {
        self.refuse_for_dvc(file)?;
        Ok(Overrides::single(&self.assignments()?)?)
    }

    /// A command of DVC reads params.yaml itself: with another value only here, the record would say what did not happen.
    fn refuse_for_dvc(&self, file: &Path) -> Result<(), CliError> {
        match self.set.first() {
            Some(set) if dvc::is_pipeline(file) => Err(CliError::user(format_args!(
                "`--set {set}` can't change a param of {}: its commands read the file of params themselves",
                file.display()
            ))
            .hint("write the value into params.yaml, or the file that the stage names under `params`")),
            _ => Ok(()),
        }
    }
}

/// Loads a pipeline; shows its warnings on stderr.
pub fn load(scene: &Scene, args: &PipelineArgs) -> Result<Pipeline, CliError> {
    load_in(scene, &scene.config()?, args)
}

/// Loads a pipeline of a project whose settings are known, and meanwhile reads what its stages gave last.
pub fn load_ahead(
    scene: &Scene,
    config: &Config,
    args: &PipelineArgs,
    for_run: bool,
) -> Result<(Pipeline, Arc<ReadAhead>), CliError> {
    let file = project::find_pipeline(config, args.pipeline.as_deref(), &scene.folder)?;
    let ahead = ReadAhead::start(config, &file, for_run);
    Ok((load_file(config, args, &file)?, Arc::new(ahead)))
}

/// The project's store, for working with this pipeline file.
pub fn store(config: &Config, file: &Path) -> Result<LocalStore, CliError> {
    Ok(project::store_for(LocalStore::open(&config.store_dir)?, config, file))
}

/// Loads a pipeline of a project whose settings are known.
pub fn load_in(scene: &Scene, config: &Config, args: &PipelineArgs) -> Result<Pipeline, CliError> {
    let file = project::find_pipeline(config, args.pipeline.as_deref(), &scene.folder)?;
    load_file(config, args, &file)
}

fn load_file(config: &Config, args: &PipelineArgs, file: &Path) -> Result<Pipeline, CliError> {
    let overrides = args.overrides(file)?;
    let pipeline = block_on(project::load(config, file, &overrides))??;
    for warning in &pipeline.warnings {
        eprint!("{}", render(warning, &pipeline.sources));
    }
    Ok(pipeline)
}

/// As [`load_ahead`], with the pipeline as it was read. In a job of GitHub Actions, errors stand beside its lines as well.
pub fn load_with_draft(
    scene: &Scene,
    config: &Config,
    args: &PipelineArgs,
    for_run: bool,
) -> Result<(Draft, Pipeline, Arc<ReadAhead>), CliError> {
    let file = project::find_pipeline(config, args.pipeline.as_deref(), &scene.folder)?;
    let ahead = ReadAhead::start(config, &file, for_run);
    let overrides = args.overrides(&file)?;
    let draft = block_on(project::open(config, &file))??;
    let pipeline = actions::told(scene, config, draft.compile(config, &overrides))?;
    for warning in &pipeline.warnings {
        eprint!("{}", render(warning, &pipeline.sources));
    }
    Ok((draft, pipeline, Arc::new(ahead)))
}

/// Reads a pipeline of which several plans are to be made; shows its warnings on stderr.
pub fn open_in(scene: &Scene, config: &Config, args: &PipelineArgs) -> Result<Draft, CliError> {
    let file = project::find_pipeline(config, args.pipeline.as_deref(), &scene.folder)?;
    args.refuse_for_dvc(&file)?;
    let draft = block_on(project::open(config, &file))??;
    for warning in &draft.spec().warnings {
        eprint!("{}", render(warning, &draft.spec().sources));
    }
    Ok(draft)
}

/// True when the project has no pipeline file to choose.
pub fn has_none(scene: &Scene, config: &Config) -> bool {
    let found = project::find_pipeline(config, None, &scene.folder);
    matches!(found, Err(ProjectError::NoPipeline { choices, .. }) if choices.is_empty())
}

/// Runs a future to its end on this thread, with a pool for what blocks.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::environment(format_args!("cannot start: {error}")))?;
    Ok(runtime.block_on(future))
}

/// A finding with its source lines: drawn on a terminal, plain elsewhere.
pub fn render(finding: &Diagnostic, sources: &Sources) -> String {
    let plain = || sources.render(finding) + "\n";
    // What is drawn is one file; a finding in several is plain.
    let located: Vec<_> =
        finding.labels.iter().filter_map(|(span, remark)| Some((sources.locate(span)?, remark))).collect();
    let Some(file) = located.first().map(|(place, _)| place.file).or(sources.files().first()) else {
        return plain();
    };
    if !std::io::stderr().is_terminal() || located.iter().any(|(place, _)| place.file != file) {
        return plain();
    }
    let mut diagnostic = MietteDiagnostic::new(&finding.message).with_code(finding.code).with_severity(
        match finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        },
    );
    diagnostic.help = finding.hint.clone();
    let labels = located.iter().map(|(place, remark)| {
        let remark = (!remark.is_empty()).then(|| (*remark).clone());
        LabeledSpan::new_with_span(remark, (place.range.start, place.range.len().max(1)))
    });
    diagnostic.labels = Some(labels.collect());
    let report =
        Report::new(diagnostic).with_source_code(NamedSource::new(file.name(), file.text().to_owned()));
    let mut text = String::new();
    let handler = GraphicalReportHandler::new().with_links(false);
    match handler.render_report(&mut text, report.as_ref()) {
        Ok(()) => text,
        Err(_) => plain(),
    }
}

impl From<OverrideError> for CliError {
    fn from(error: OverrideError) -> Self {
        let message = Self::user(&error);
        match error.hint() {
            Some(hint) => message.hint(hint),
            None => message,
        }
    }
}

impl From<ProjectError> for CliError {
    fn from(error: ProjectError) -> Self {
        match &error {
            ProjectError::NoPipeline { choices, .. } if choices.is_empty() => {
                Self::user("this project has no pipeline file")
                    .hint("name one, or let `stagewright init` make pipelines/first.yaml")
            }
            ProjectError::NoPipeline { choices, .. } => {
                let names: Vec<String> = choices.iter().map(|path| path.display().to_string()).collect();
                Self::user("which pipeline file?").hint(format!("name one of {}", names.join(", ")))
            }
            ProjectError::Read { .. } | ProjectError::Outside { .. } => Self::user(&error),
            ProjectError::Release(error) => error.into(),
            ProjectError::Lock(_) => Self::user(&error)
                .hint("`git checkout` brings the last good one back; without it every stage runs"),
            ProjectError::Programs(_) => {
                Self::environment(&error).hint("`stagewright doctor` tries every stage program that it finds")
            }
            ProjectError::Invalid { file, sources, findings } => {
                let mut text: String = findings.iter().map(|finding| render(finding, sources)).collect();
                let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
                let file = file.display();
                text.push_str(&format!(
                    "{file}: {}, nothing was run\n",
                    screen::count(errors as u64, "error")
                ));
                Self::rendered(text, Exit::User)
            }
        }
    }
}
