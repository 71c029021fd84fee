//! `stagewright stage test`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;
use console::style;
use serde_json::{Value, json};
use stagewright::{
    author::conformance::{self, CaseResult, ConformanceError, Subject, Verdict},
    catalog::Catalog,
};

use super::super::{CliError, Exit, Scene, screen};

/// Try the protocol's conformance cases on a stage program
///
/// Each case starts the program and holds one conversation with it. It works in folders of its own below the system's folder
/// for temporary files, with an empty HOME and a cleaned environment.
#[derive(Args)]
#[command(after_long_help = CODES)]
pub struct TestArgs {
    /// The executable, or the name of a stage as after `uses:`
    program: String,
    /// A file or folder for an input port; repeat it for other ports and for a port that takes several
    #[arg(long, value_name = "PORT=PATH", value_parser = port)]
    input: Vec<(String, PathBuf)>,
    /// Params as `with:` gives them: a map in YAML, or @FILE
    #[arg(long, value_name = "YAML")]
    params: Option<String>,
    /// Longest time for one run
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Longest time for any other answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Print one JSON object instead of the list
    #[arg(long)]
    json: bool,
}

const CODES: &str = "\
Exit codes: 0 no case failed · 1 a case failed · 2 the command is wrong · 4 the program can't be started. Cases that could \
not be tried are listed with what they need.
";

fn port(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((port, path)) if !port.is_empty() && !path.is_empty() => Ok((port.to_owned(), path.into())),
        _ => Err("write PORT=PATH, for example data=data/images".to_owned()),
    }
}

pub fn run(scene: &Scene, args: &TestArgs) -> Result<Exit, CliError> {
    let mut subject = Subject::new(program(scene, &args.program)?);
    subject.run_limit = Duration::from_secs(args.timeout);
    subject.patience = Duration::from_secs(args.patience);
    if let Some(written) = &args.params {
        subject.params = params(scene, written)?;
    }
    let mut inputs: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (port, path) in &args.input {
        inputs.entry(port.clone()).or_default().push(scene.folder.join(path));
    }
    subject.inputs = inputs;
    let results = conformance::test(&subject)?;
    let failed = results.iter().any(|case| matches!(case.verdict, Verdict::Failed { .. }));
    if args.json {
        println!("{}", document(&subject, &results)?);
    } else {
        print!("{}", page(&results));
    }
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

/// A path to a program, or the place of the program of a stage.
fn program(scene: &Scene, named: &str) -> Result<PathBuf, CliError> {
    let path = scene.folder.join(named);
    if named.contains('/') || path.is_file() {
        return Ok(path);
    }
    let catalog = Catalog::find(&scene.config()?);
    catalog.names().get(named).cloned().ok_or_else(|| {
        CliError::user(format_args!("`{named}` is neither a file nor a stage"))
            .hint("`stagewright stage list` shows the stages there are")
    })
}

fn params(scene: &Scene, written: &str) -> Result<Value, CliError> {
    let (what, text) = match written.strip_prefix('@') {
        None => ("--params".to_owned(), written.to_owned()),
        Some(file) => {
            let path = scene.folder.join(file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| CliError::user(format_args!("cannot read {}: {error}", path.display())))?;
            (file.to_owned(), text)
        }
    };
    let value: Value = serde_yaml::from_str(&text)
        .map_err(|error| CliError::user(format_args!("{what} is not YAML: {error}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(CliError::user(format_args!("{what} is not a map of params")))
    }
}

fn page(results: &[CaseResult]) -> String {
    let width = results.iter().map(|case| case.name.len()).max().unwrap_or(0);
    let indent = " ".repeat(width + 11);
    let mut text = String::new();
    for case in results {
        let (word, lines) = match &case.verdict {
            Verdict::Passed(remark) => (style("ok     ").green(), vec![remark.clone()]),
            Verdict::Skipped(why) => (style("skipped").yellow(), vec![why.clone()]),
            Verdict::Failed { why, hint, tail } => {
                let mut lines: Vec<String> = why.lines().map(str::to_owned).collect();
                lines.extend(tail.iter().map(|line| format!("| {line}")));
                lines.extend(hint.iter().map(|hint| format!("hint: {hint}")));
                (style("failed ").red().bold(), lines)
            }
        };
        text.push_str(&format!("{word}  {:width$}  {}\n", case.name, case.proves));
        for line in lines.iter().filter(|line| !line.is_empty()) {
            text.push_str(&format!("{indent}{}\n", style(line).dim()));
        }
    }
    let count =
        |wanted: fn(&Verdict) -> bool| results.iter().filter(|case| wanted(&case.verdict)).count() as u64;
    let parts = [
        (count(|verdict| matches!(verdict, Verdict::Passed(_))), "passed"),
        (count(|verdict| matches!(verdict, Verdict::Failed { .. })), "failed"),
        (count(|verdict| matches!(verdict, Verdict::Skipped(_))), "skipped"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    text.push_str(&format!("{}: {}\n", screen::count(results.len() as u64, "case"), parts.join(", ")));
    text
}

fn document(subject: &Subject, results: &[CaseResult]) -> Result<String, CliError> {
    let cases: Vec<Value> = results
        .iter()
        .map(|case| {
            let mut entry = json!({ "case": case.name, "proves": case.proves });
            match &case.verdict {
                Verdict::Passed(remark) => {
                    entry["verdict"] = "passed".into();
                    entry["remark"] = remark.as_str().into();
                }
                Verdict::Skipped(why) => {
                    entry["verdict"] = "skipped".into();
                    entry["why"] = why.as_str().into();
                }
                Verdict::Failed { why, hint, tail } => {
                    entry["verdict"] = "failed".into();
                    entry["why"] = why.as_str().into();
                    entry["hint"] = hint.as_deref().into();
                    entry["stderr"] = tail.as_slice().into();
                }
            }
            entry
        })
        .collect();
    let document = json!({ "format": 1, "program": subject.program.display().to_string(), "cases": cases });
    serde_json::to_string_pretty(&document)
        .map_err(|error| CliError::environment(format_args!("cannot encode the result: {error}")))
}

impl From<ConformanceError> for CliError {
    fn from(error: ConformanceError) -> Self {
        match &error {
            ConformanceError::NotExecutable { .. } => Self::environment(&error)
                .hint("name an executable file; a script needs its mode (chmod +x) and its interpreter"),
            ConformanceError::NoPort { known, .. } if known.is_empty() => {
                Self::user(&error).hint("it takes no input")
            }
            ConformanceError::NoPort { known, .. } => {
                Self::user(&error).hint(format!("it has {}", known.join(", ")))
            }
            ConformanceError::Input { .. } => Self::user(&error),
            ConformanceError::Folder { .. } => Self::environment(&error),
        }
    }
}
