//! `stagewright log`.

use clap::Args;
use console::style;
use jiff::Timestamp;
use stagewright::{
    config::Config,
    record::{Outcome, RunBrief, RunId, RunState, Setting, brief, list_runs},
};

use super::{CliError, Exit, Scene, display, screen};

/// List the runs there were, the newest first
///
/// A run's name in other commands is the end of its id as shown here, its beginning, or `last`, `last~1`, …
#[derive(Args)]
pub struct LogArgs {
    /// At most this many runs; 0 is all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    count: usize,
    /// Only runs of this pipeline, by its name or file
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(scene: &Scene, args: &LogArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let mut briefs = Vec::new();
    for run in list_runs(&config.state_dir)?.into_iter().rev() {
        if args.count > 0 && briefs.len() == args.count {
            break;
        }
        if let Some(found) = read(&config, run)?
            && args.pipeline.as_ref().is_none_or(|name| *name == found.pipeline || found.file == *name)
        {
            briefs.push(found);
        }
    }
    if args.json {
        screen::print_json(&briefs)?;
    } else if briefs.is_empty() {
        println!("no runs yet; `stagewright run` makes one");
    } else {
        print!("{}", screen::fit(&table(&briefs, Timestamp::now())));
    }
    Ok(Exit::Success)
}

/// A run in short. One that can't be read is told of and left out: a damaged record must not hide the others.
fn read(config: &Config, run: RunId) -> Result<Option<RunBrief>, CliError> {
    match brief(&config.state_dir, run) {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            eprintln!("{} run {run} is left out: {error}", style("warning:").for_stderr().yellow().bold());
            Ok(None)
        }
    }
}

fn table(briefs: &[RunBrief], now: Timestamp) -> String {
    let set = briefs.iter().any(|brief| !brief.set.is_empty() || brief.sweep.is_some());
    let git = briefs.iter().any(|brief| brief.git.is_some());
    let mut heading = vec!["run", "when", "pipeline", "outcome", "stages", "took"];
    heading.extend(git.then_some("commit"));
    heading.extend(set.then_some("set"));
    let mut rows = vec![heading.iter().map(|word| style(word).dim().to_string()).collect::<Vec<_>>()];
    for brief in briefs {
        let took = screen::duration(std::time::Duration::from_millis(brief.duration_ms));
        let mut row = vec![
            brief.run.short(),
            brief.started.map_or_else(|| "?".to_owned(), |at| screen::ago(at, now)),
            brief.pipeline.clone(),
            display::state(brief.state).to_string(),
            counts(brief),
            took,
        ];
        if git {
            row.push(brief.git.as_ref().map_or_else(String::new, |git| {
                let commit = git.commit.as_deref().unwrap_or("none");
                let changed = if git.dirty { "+" } else { "" };
                format!("{}{changed}", commit.get(..7).unwrap_or(commit))
            }));
        }
        if set {
            row.push(trial(brief));
        }
        rows.push(row);
    }
    screen::table(&rows)
}

/// `2 ran, 1 cached, 1 failed`.
fn counts(brief: &RunBrief) -> String {
    let parts: Vec<String> = brief
        .counts
        .iter()
        .map(|(outcome, count)| {
            let text = format!("{count} {outcome}");
            if *outcome == Outcome::Failed { display::coloured(*outcome, text).to_string() } else { text }
        })
        .collect();
    match brief.state {
        RunState::Running if parts.is_empty() => "none ended yet".to_owned(),
        _ => parts.join(", "),
    }
}

/// `3/8 lr=0.1`: the run's place in its sweep, and what was set, named by its end: `show` and `--json` have it in full.
fn trial(brief: &RunBrief) -> String {
    let mut words: Vec<String> =
        brief.sweep.iter().map(|member| format!("{}/{}", member.trial, member.of)).collect();
    words.extend(brief.set.iter().map(|found| {
        let end = found.key.rsplit('.').next().unwrap_or_default();
        format!("{end}={}", screen::value(&found.value))
    }));
    words.join(" ")
}

/// `train.with.lr=0.1`.
pub fn setting(setting: &Setting) -> String {
    format!("{}={}", setting.key, screen::value(&setting.value))
}
