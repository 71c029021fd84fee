//! From a pipeline file to a plan, and findings to the screen.

use std::{future::Future, io::IsTerminal, path::Path};

use miette::{GraphicalReportHandler, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use stagewright::{
    config::Config,
    project::{self, Pipeline, ProjectError, Source},
    spec::{Diagnostic, Severity, render_text},
};

use super::{CliError, Exit, Scene, screen};

/// Loads a pipeline; shows its warnings on stderr.
pub fn load(scene: &Scene, named: Option<&Path>) -> Result<Pipeline, CliError> {
    load_in(scene, &scene.config()?, named)
}

/// Loads a pipeline of a project whose settings are known.
pub fn load_in(scene: &Scene, config: &Config, named: Option<&Path>) -> Result<Pipeline, CliError> {
    let file = project::find_pipeline(config, named, &scene.folder)?;
    let pipeline = block_on(project::load(config, &file))??;
    for warning in &pipeline.warnings {
        eprint!("{}", render(warning, &pipeline.source));
    }
    Ok(pipeline)
}

/// Runs a future to its end on this thread, with a pool for what blocks.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::environment(format_args!("cannot start: {error}")))?;
    Ok(runtime.block_on(future))
}

/// A finding with its source lines: drawn on a terminal, plain elsewhere.
pub fn render(finding: &Diagnostic, source: &Source) -> String {
    let file = source.file.display().to_string();
    if !std::io::stderr().is_terminal() {
        return render_text(finding, &file, &source.text) + "\n";
    }
    let mut diagnostic = MietteDiagnostic::new(&finding.message).with_code(finding.code).with_severity(
        match finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        },
    );
    diagnostic.help = finding.hint.clone();
    let labels = finding.labels.iter().map(|(span, remark)| {
        let remark = (!remark.is_empty()).then(|| remark.clone());
        LabeledSpan::new_with_span(remark, (span.start, span.len().max(1)))
    });
    diagnostic.labels = Some(labels.collect());
    let report = Report::new(diagnostic).with_source_code(NamedSource::new(file, source.text.clone()));
    let mut text = String::new();
    let handler = GraphicalReportHandler::new().with_links(false);
    match handler.render_report(&mut text, report.as_ref()) {
        Ok(()) => text,
        Err(_) => render_text(finding, &source.file.display().to_string(), &source.text),
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
            ProjectError::Read { .. } | ProjectError::Params { .. } | ProjectError::Outside { .. } => {
                Self::user(&error)
            }
            ProjectError::Programs(_) => {
                Self::environment(&error).hint("`stagewright doctor` tries every stage program that it finds")
            }
            ProjectError::Invalid { pipeline, findings } => {
                let mut text: String = findings.iter().map(|finding| render(finding, pipeline)).collect();
                let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
                let file = pipeline.file.display();
                text.push_str(&format!(
                    "{file}: {}, nothing was run\n",
                    screen::count(errors as u64, "error")
                ));
                Self::rendered(text, Exit::User)
            }
        }
    }
}
