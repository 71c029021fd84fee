//! `stagewright check`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use stagewright::{
    config::Config,
    project::{self, Pipeline, ProjectError},
    record,
    spec::{
        Diagnostic, Severity,
        exchange::{self, Failure, Located, Report},
    },
};

use super::{CliError, Exit, Scene, pipeline, screen};

/// Check a pipeline file: syntax, stages, ports, params, paths; runs nothing
#[derive(Args)]
#[command(after_long_help = FORMATS)]
pub struct CheckArgs {
    /// The pipeline file [default: pipeline.yaml, else the only one in pipelines/]
    pipeline: Option<PathBuf>,
    /// How findings are told
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

const FORMATS: &str = "\
Exit codes: 0 no error · 2 the pipeline is wrong · 4 the check could not be made. Warnings do not count.

In a GitHub workflow `--format github` puts findings beside the lines they are about, and `--format sarif > check.sarif` \
gives the file that github/codeql-action/upload-sarif takes. Paths are relative to the root of the git work tree.
";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the source lines, for people
    Human,
    /// One JSON object on stdout
    Json,
    /// SARIF 2.1.0 on stdout, for code hosts and editors
    Sarif,
    /// Workflow commands of GitHub Actions on stdout
    Github,
}

pub fn run(scene: &Scene, args: &CheckArgs) -> Result<Exit, CliError> {
    if args.format != Format::Human {
        return told_to_a_program(scene, args);
    }
    let loaded = pipeline::load(scene, args.pipeline.as_deref())?;
    for warning in &loaded.plan.warnings {
        println!("warning: {warning}");
    }
    println!("{}", praise(&loaded));
    Ok(Exit::Success)
}

fn praise(loaded: &Pipeline) -> String {
    let plan = &loaded.plan;
    let skipped = plan.actions.iter().filter(|action| action.skip.is_some()).count() as u64;
    let skips = if skipped > 0 {
        format!(", {} skipped here", screen::count(skipped, "stage"))
    } else {
        String::new()
    };
    format!(
        "{}: {} and {}{skips}; all is well",
        loaded.source.file.display(),
        screen::count(plan.actions.len() as u64, "stage"),
        screen::count(plan.targets.len() as u64, "target"),
    )
}

/// The report goes to stdout whatever comes of the check; stderr says in one line what came of it.
fn told_to_a_program(scene: &Scene, args: &CheckArgs) -> Result<Exit, CliError> {
    let write = |report: &Report<'_>| {
        let text = match args.format {
            Format::Json => exchange::json(report),
            Format::Sarif => exchange::sarif(report),
            Format::Github | Format::Human => exchange::github(report),
        };
        print!("{text}");
    };
    let checked = scene.config().and_then(|config| {
        let file = project::find_pipeline(&config, args.pipeline.as_deref(), &scene.folder)?;
        let loaded = pipeline::block_on(project::load(&config, &file))?;
        Ok((config, loaded))
    });
    let (config, loaded) = match checked {
        Ok(checked) => checked,
        Err(error) => return Err(told(error, &write)),
    };
    let (findings, source, exit, line) = match loaded {
        Ok(loaded) => {
            let line = praise(&loaded);
            let Pipeline { plan, warnings: mut findings, source } = loaded;
            findings.extend(plan.warnings.into_iter().map(|text| Diagnostic::warning("plan::warning", text)));
            (findings, source, Exit::Success, line)
        }
        Err(ProjectError::Invalid { pipeline, findings }) => {
            let errors = findings.iter().filter(|found| found.severity == Severity::Error).count() as u64;
            let line = format!("{}: {}", pipeline.file.display(), screen::count(errors, "error"));
            (findings, pipeline, Exit::User, line)
        }
        Err(error) => return Err(told(error.into(), &write)),
    };
    let file = name(&config, &source.file);
    let located = |diagnostic| Located { diagnostic, file: &file, text: &source.text };
    write(&Report { findings: findings.iter().map(located).collect(), failure: None });
    eprintln!("{line}");
    Ok(exit)
}

/// Reports what kept the check from its end, and hands the error on.
fn told(error: CliError, write: &dyn Fn(&Report<'_>)) -> CliError {
    let failure = Failure { message: error.message().to_owned(), hint: error.hint_text().map(str::to_owned) };
    write(&Report { findings: Vec::new(), failure: Some(failure) });
    error
}

/// The file as a code host knows it: relative to the work tree, which the project may be a folder of.
fn name(config: &Config, file: &Path) -> String {
    let absolute = config.root.join(file);
    let place = record::work_tree(&config.root)
        .and_then(|tree| Some((tree.canonicalize().ok()?, absolute.canonicalize().ok()?)))
        .and_then(|(tree, absolute)| absolute.strip_prefix(tree).map(Path::to_owned).ok())
        .unwrap_or_else(|| file.to_owned());
    place.display().to_string()
}
