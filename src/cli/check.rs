//! `stagewright check`.

use std::path::Path;

use clap::{Args, ValueEnum};
use stagewright::{
    config::Config,
    project::{self, Pipeline, ProjectError},
    record,
    spec::{
        Diagnostic,
        exchange::{self, Failure, Located, Report},
    },
};

use super::{CliError, Exit, Scene, pipeline, pipeline::PipelineArgs, screen};

/// Check a pipeline file: syntax, stages, ports, params, paths; runs nothing
#[derive(Args)]
#[command(after_long_help = FORMATS)]
pub struct CheckArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
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
    let loaded = pipeline::load(scene, &args.pipeline)?;
    for warning in &loaded.plan.warnings {
        println!("warning: {warning}");
    }
    for action in &loaded.plan.actions {
        let Some(condition) = &action.condition else { continue };
        let asked: Vec<String> = condition.asks.iter().map(|stage| format!("`{stage}`")).collect();
        let when = match &asked[..] {
            [] => "during the run".to_owned(),
            asked => format!("after {}", asked.join(", ")),
        };
        println!("`{}`: `if: {}` is decided {when}", action.id, condition.text);
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
        plan.file.display(),
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
        let file = project::find_pipeline(&config, args.pipeline.file(), &scene.folder)?;
        let overrides = args.pipeline.overrides(&file)?;
        let loaded = pipeline::block_on(project::load(&config, &file, &overrides))?;
        Ok((config, loaded))
    });
    let (config, loaded) = match checked {
        Ok(checked) => checked,
        Err(error) => return Err(told(error, &write)),
    };
    let (findings, sources, exit, line) = match loaded {
        Ok(loaded) => {
            let line = praise(&loaded);
            let Pipeline { plan, warnings: mut findings, sources, lock: _ } = loaded;
            findings.extend(plan.warnings.into_iter().map(|text| Diagnostic::warning("plan::warning", text)));
            (findings, sources, Exit::Success, line)
        }
        Err(ProjectError::Invalid { file, sources, findings }) => {
            let errors = findings.iter().filter(|found| found.is_error()).count() as u64;
            let line = format!("{}: {}", file.display(), screen::count(errors, "error"));
            (findings, sources, Exit::User, line)
        }
        Err(error) => return Err(told(error.into(), &write)),
    };
    let names: Vec<String> =
        sources.files().iter().map(|file| name(&config, Path::new(file.name()))).collect();
    let findings: Vec<_> = findings.iter().map(|finding| sources.in_one_file(finding)).collect();
    let findings = findings
        .iter()
        .filter_map(|(index, diagnostic)| {
            let text = sources.files().get(*index)?.text();
            Some(Located { diagnostic, file: names.get(*index)?, text })
        })
        .collect();
    write(&Report { findings, failure: None });
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
pub fn name(config: &Config, file: &Path) -> String {
    let absolute = config.root.join(file);
    let place = record::work_tree(&config.root)
        .and_then(|tree| Some((tree.canonicalize().ok()?, absolute.canonicalize().ok()?)))
        .and_then(|(tree, absolute)| absolute.strip_prefix(tree).map(Path::to_owned).ok())
        .unwrap_or_else(|| file.to_owned());
    place.display().to_string()
}
