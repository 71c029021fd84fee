//! `stagewright fmt`.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use console::style;
use similar::{ChangeTag, TextDiff};
use stagewright::{
    dvc,
    spec::{self, FormatError, Sources},
};

use super::{CliError, Exit, Scene, pipeline, screen};

/// Write pipeline files in their canonical form: order of keys, words, quotes, indentation
///
/// Comments, blank lines and the meaning stay. A file with errors is left alone.
#[derive(Args)]
#[command(after_long_help = CODES)]
pub struct FmtArgs {
    /// The files; `-` is stdin to stdout [default: pipeline.yaml and all in pipelines/]
    files: Vec<PathBuf>,
    /// Write nothing; exit with 1 if a file is not in canonical form
    #[arg(long)]
    check: bool,
    /// Write nothing; show what would change
    #[arg(long)]
    diff: bool,
}

const CODES: &str = "\
Exit codes: 0 all files are in canonical form now · 1 with --check or --diff, a file is not · 2 a file has errors and was \
left alone · 4 a file can't be read or written.
";

pub fn run(scene: &Scene, args: &FmtArgs) -> Result<Exit, CliError> {
    if args.files.iter().any(|file| file.as_os_str() == "-") {
        return stdin(args);
    }
    let files = if args.files.is_empty() { all(scene)? } else { args.files.clone() };
    if let Some(file) = files.iter().find(|file| dvc::is_pipeline(file)) {
        return Err(CliError::user(format_args!(
            "{} is a pipeline of DVC, which has no canonical form here",
            file.display()
        ))
        .hint("name files of Stagewright's own language; `stagewright check dvc.yaml` looks for mistakes"));
    }
    let (mut changed, mut wrong) = (0_u64, false);
    for file in &files {
        let path = scene.folder.join(file);
        let text = fs::read_to_string(&path).map_err(|error| {
            CliError::environment(format_args!("cannot read {}: {error}", file.display()))
        })?;
        match spec::format(&text) {
            Ok(formatted) if formatted == text => {}
            Ok(formatted) => {
                changed += 1;
                if args.diff {
                    print!("{}", diff(&file.display().to_string(), &text, &formatted));
                } else if args.check {
                    println!("{} is not in canonical form", file.display());
                } else {
                    write(&path, &formatted)?;
                    println!("{} formatted", file.display());
                }
            }
            Err(error) => {
                wrong = true;
                refuse(&file.display().to_string(), &text, &error);
            }
        }
    }
    let judged = args.check || args.diff;
    if changed == 0 && !wrong {
        println!("{}: in canonical form", screen::count(files.len() as u64, "file"));
    }
    Ok(match (wrong, judged && changed > 0) {
        (true, _) => Exit::User,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Success,
    })
}

/// The pipeline files of the project.
fn all(scene: &Scene) -> Result<Vec<PathBuf>, CliError> {
    let config = scene.config()?;
    let files = stagewright::project::pipeline_files(&config);
    if files.is_empty() {
        return Err(CliError::user("this project has no pipeline file").hint("name the files"));
    }
    // Named as from the folder that the command works in, where that is the project's root.
    let here = std::path::absolute(&scene.folder).unwrap_or_else(|_| scene.folder.clone());
    let inner = |file: PathBuf| if here == config.root { file } else { config.root.join(file) };
    Ok(files.into_iter().map(inner).collect())
}

fn stdin(args: &FmtArgs) -> Result<Exit, CliError> {
    if args.files.len() > 1 {
        return Err(CliError::user("`-` stands alone: stdin is one file"));
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::environment(format_args!("cannot read stdin: {error}")))?;
    match spec::format(&text) {
        Ok(formatted) => {
            let judged = args.check || args.diff;
            if args.diff {
                print!("{}", diff("stdin", &text, &formatted));
            } else if !args.check {
                print!("{formatted}");
            }
            Ok(if judged && formatted != text { Exit::Failed } else { Exit::Success })
        }
        Err(error) => {
            refuse("stdin", &text, &error);
            Ok(Exit::User)
        }
    }
}

fn refuse(name: &str, text: &str, error: &FormatError) {
    if let FormatError::Invalid(findings) = error {
        let sources = Sources::single(name, text);
        for finding in findings {
            eprint!("{}", pipeline::render(finding, &sources));
        }
    }
    eprintln!("{} {name} was left alone: {error}", style("error:").for_stderr().red().bold());
}

/// Whole or not at all: the file may be the only copy of someone's work.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::environment(format_args!("cannot write {}: {error}", path.display()))
    };
    // A link stays one, and what it leads to is written.
    let path = path.canonicalize().map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let mode = fs::metadata(&path).map_err(failed)?.permissions();
    fs::set_permissions(file.path(), mode).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn diff(name: &str, old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = format!("--- {name}\n+++ {name} (canonical)\n");
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        text.push_str(&format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line = format!("{}{}", change.tag(), change.value().trim_end_matches('\n'));
            let shown = match change.tag() {
                ChangeTag::Delete => style(line).red().to_string(),
                ChangeTag::Insert => style(line).green().to_string(),
                ChangeTag::Equal => line,
            };
            text.push_str(&format!("{shown}\n"));
        }
    }
    text
}
