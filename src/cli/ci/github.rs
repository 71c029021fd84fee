//! `stagewright ci github`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use console::style;
use similar::TextDiff;
use stagewright::{
    ci::{self, Access, Shape, Target},
    config::{Config, LOCK_NAME, RemoteName},
    dvc,
    plan::Overrides,
    project, record, track,
};

use super::super::{CliError, Exit, Scene, pipeline};

/// Make a workflow of GitHub Actions that runs a pipeline
///
/// Jobs share results through the remote alone. A branch's jobs write to it, a pull request reads it, and one from a fork gets no
/// credentials at all. docs/github-actions.md says what to set up in the repository.
#[derive(Args)]
#[command(after_long_help = EXITS)]
pub struct GithubArgs {
    /// The pipeline file [default: pipeline.yaml, else the only one in pipelines/]
    pipeline: Option<PathBuf>,
    /// How stages are spread over jobs
    #[arg(long, value_enum, default_value_t = ShapeName::Single)]
    shape: ShapeName,
    /// Where the workflow goes [default: .github/workflows/<pipeline>.yml of the repository]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write nothing; show how the file differs from what it should be
    #[arg(long)]
    check: bool,
    /// The remote through which jobs share results [default: the default one]
    #[arg(long, value_name = "NAME")]
    remote: Option<RemoteName>,
    /// Labels of the machine for stages without `runs-on`
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',', default_value = "ubuntu-24.04")]
    runner: Vec<String>,
    /// The branch whose runs others build upon
    #[arg(long, value_name = "NAME", default_value = "main")]
    branch: String,
    /// The action that installs Stagewright, as OWNER/REPO@COMMIT or, of the repository itself, $/FOLDER [default: $/ where the repository has an
    /// action.yml]
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Commit the lock file beside the pipeline after a run of the branch, where it changed
    #[arg(long)]
    commit_lock: bool,
    /// How jobs get at the remote
    #[arg(long, value_enum, default_value_t = Credentials::Oidc)]
    credentials: Credentials,
}

const EXITS: &str = "Exit codes: 0 written, or up to date · 1 `--check`: the file is missing or another one · 2 the pipeline can't be \
                     made into such a workflow · 4 a file can't be read or written";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShapeName {
    /// One job runs all stages
    Single,
    /// One job decides what is to run; then a job for each stage
    Staged,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Credentials {
    /// A role of AWS that GitHub's own identity assumes; no key is kept anywhere
    Oidc,
    /// Keys from the repository's secrets, for servers that know no such identity
    Secrets,
}

pub fn run(scene: &Scene, args: &GithubArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let file = project::find_pipeline(&config, args.pipeline.as_deref(), &scene.folder)?;
    let draft = pipeline::block_on(project::open(&config, &file))??;
    let compiled = draft.compile(&config, &Overrides::default())?;
    let jobs = ci::jobs(draft.spec(), &compiled.plan)?;

    let remote = match (&args.remote, &config.sync.remote) {
        (None, None) => None,
        _ => Some(config.remote(args.remote.as_ref())?),
    };
    let root = record::work_tree(&config.root).unwrap_or_else(|| config.root.clone());
    let folder = inside(&root, &config.root).filter(|folder| !folder.as_os_str().is_empty());
    let output = match &args.output {
        Some(path) => scene.path(path)?,
        None => {
            let stem = file.file_stem().unwrap_or_default();
            root.join(".github/workflows").join(stem).with_extension("yml")
        }
    };
    let target = Target {
        shape: match args.shape {
            ShapeName::Single => Shape::Single,
            ShapeName::Staged => Shape::Staged,
        },
        pipeline: file.display().to_string(),
        command: again(args, &file, &config, &root, &output),
        folder: folder.map(|folder| folder.display().to_string()),
        branch: args.branch.clone(),
        runner: args.runner.clone(),
        action: action(args, &root)?,
        remote,
        named: args.remote.is_some(),
        access: Access::of(remote, args.credentials == Credentials::Secrets, &args.runner)?,
        lock: lock(args, &file),
        data: remote.is_some() && !track::find(&config.root, &[])?.is_empty(),
    };
    let text = ci::workflow(&compiled.plan, &jobs, &target)?.to_yaml();
    let shown = inside(&config.root, &output).unwrap_or_else(|| output.clone());
    let there = match fs::read_to_string(&output) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(CliError::environment(format_args!("cannot read {}: {error}", output.display())));
        }
    };
    if there.as_deref() == Some(text.as_str()) {
        println!("{} is up to date", shown.display());
        return Ok(Exit::Success);
    }
    if args.check {
        return Ok(stale(&shown, there.as_deref(), &text));
    }
    let failed = |error| CliError::environment(format_args!("cannot write {}: {error}", output.display()));
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(&output, &text).map_err(failed)?;
    println!("wrote {}", shown.display());
    for line in to_set_up(&target) {
        println!("{line}");
    }
    Ok(Exit::Success)
}

/// Says how the file differs from what it should be.
fn stale(shown: &Path, there: Option<&str>, text: &str) -> Exit {
    let name = shown.display().to_string();
    match there {
        None => println!("{name} is missing; the same command without --check writes it"),
        Some(there) => {
            let diff = TextDiff::from_lines(there, text);
            print!("{}", diff.unified_diff().context_radius(3).header(&name, "what it should be"));
            println!(
                "{name} is not what the pipeline makes of it; the same command without --check writes it"
            );
        }
    }
    Exit::Failed
}

/// What is to be set in the repository for the workflow to work.
fn to_set_up(target: &Target<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    match &target.access {
        Access::Free => {}
        Access::Aws { region } => {
            lines.push(
                "set in the repository (Settings, Secrets and variables, Actions, Variables):".to_owned(),
            );
            lines.push("  STAGEWRIGHT_WRITE_ROLE  the role that runs of the branch assume".to_owned());
            lines.push("  STAGEWRIGHT_READ_ROLE   the role that pull requests assume".to_owned());
            if region.is_none() {
                lines.push("  AWS_REGION              region of the bucket".to_owned());
            }
        }
        Access::Secrets => {
            lines.push(
                "set in the repository (Settings, Secrets and variables, Actions, Secrets):".to_owned(),
            );
            lines.push(
                "  STAGEWRIGHT_WRITE_KEY_ID, STAGEWRIGHT_WRITE_KEY  keys for runs of the branch".to_owned(),
            );
            lines
                .push("  STAGEWRIGHT_READ_KEY_ID, STAGEWRIGHT_READ_KEY    keys for pull requests".to_owned());
        }
    }
    if target.remote.is_none() {
        lines.push(format!(
            "{} no remote: every run starts from nothing; `stagewright remote add NAME URL` names one",
            style("warning:").yellow().bold()
        ));
    }
    lines
}

/// The lock file to commit.
fn lock(args: &GithubArgs, file: &Path) -> Option<String> {
    let name = if dvc::is_pipeline(file) { dvc::LOCK_NAME } else { LOCK_NAME };
    args.commit_lock.then(|| file.with_file_name(name).display().to_string())
}

/// The action that installs the program.
fn action(args: &GithubArgs, root: &Path) -> Result<String, CliError> {
    match &args.action {
        Some(action) => Ok(action.clone()),
        None if root.join("action.yml").is_file() => Ok("$/".to_owned()),
        None => Err(CliError::user("which action installs Stagewright in the jobs?")
            .hint("`--action OWNER/stagewright@<commit>` names it, by the full commit id")),
    }
}

/// The command that makes the same file again, from the project's folder.
fn again(args: &GithubArgs, file: &Path, config: &Config, root: &Path, output: &Path) -> String {
    let mut words = vec!["stagewright ci github".to_owned(), file.display().to_string()];
    if args.shape == ShapeName::Staged {
        words.push("--shape staged".to_owned());
    }
    if args.output.is_some() {
        let place = inside(&config.root, output).or_else(|| inside(root, output));
        words.push(format!("--output {}", place.unwrap_or_else(|| output.to_owned()).display()));
    }
    if args.commit_lock {
        words.push("--commit-lock".to_owned());
    }
    words.extend(args.remote.as_ref().map(|remote| format!("--remote {remote}")));
    if args.runner != ["ubuntu-24.04"] {
        words.push(format!("--runner {}", args.runner.join(",")));
    }
    if args.branch != "main" {
        words.push(format!("--branch {}", args.branch));
    }
    // `$` is a letter of the shell's.
    words.extend(args.action.as_ref().map(|action| match action.contains('$') {
        true => format!("--action '{action}'"),
        false => format!("--action {action}"),
    }));
    if args.credentials == Credentials::Secrets {
        words.push("--credentials secrets".to_owned());
    }
    words.join(" ")
}

/// The way from one folder to a place in it; both may be reached over links.
fn inside(root: &Path, place: &Path) -> Option<PathBuf> {
    if let Ok(way) = place.strip_prefix(root) {
        return Some(way.to_owned());
    }
    let root = root.canonicalize().ok()?;
    // What is not there yet lies in something that is.
    let (mut known, mut rest) = (place, PathBuf::new());
    while !known.exists() {
        let name = known.file_name()?;
        rest = if rest.as_os_str().is_empty() { PathBuf::from(name) } else { Path::new(name).join(rest) };
        known = known.parent()?;
    }
    let known = known.canonicalize().ok()?;
    let place = if rest.as_os_str().is_empty() { known } else { known.join(rest) };
    place.strip_prefix(root).map(Path::to_owned).ok()
}
