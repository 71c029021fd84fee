//! `stagewright show`.

use clap::Args;
use console::style;
use stagewright::{
    config::Config,
    record::{Outcome, RunName, RunRecord, RunState, StageRecord, find_run, read_run},
    store::ArtifactKind,
};

use super::{CliError, Exit, Scene, display, isolation, screen, signing, verified};

/// Show a run: its stages, metrics, gates and artifacts
///
/// Without arguments, the last run. A run is named by the beginning or end of its id, or as `last`, `last~1`, …
#[derive(Args)]
pub struct ShowArgs {
    /// A run, or a stage of the last run, for example `last~1`, `train` or `train[seed=0]`
    #[arg(value_name = "RUN|STAGE")]
    what: Option<String>,
    /// A stage of that run
    #[arg(conflicts_with = "run")]
    stage: Option<String>,
    /// The run [default: the last one]
    #[arg(long, value_name = "RUN")]
    run: Option<RunName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the stage's log
    #[arg(long, requires = "what")]
    log: bool,
}

pub fn run(scene: &Scene, args: &ShowArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let (record, stage) = meant(&config, args)?;
    match stage {
        None if args.log => {
            return Err(CliError::user("a run as a whole has no log").hint("name one of its stages as well"));
        }
        None if args.json => screen::print_json(&record)?,
        None => print!("{}{}", whole(&record), signatures(&config, &record)?),
        Some(name) => {
            let stage = record.stages.iter().find(|stage| stage.stage.0 == name).ok_or_else(|| {
                let known: Vec<&str> = record.stages.iter().map(|stage| stage.stage.0.as_str()).collect();
                CliError::user(format_args!("run {} has no stage `{name}`", record.run))
                    .hint(format!("it has {}", known.join(", ")))
            })?;
            if args.log {
                print!("{}", log(&config, &record, stage)?);
            } else if args.json {
                screen::print_json(stage)?;
            } else {
                print!("{}", one(stage));
            }
        }
    }
    Ok(Exit::Success)
}

/// The run and the stage meant. One name alone is a stage of the last run if there is such a stage, else a run.
fn meant<'a>(config: &Config, args: &'a ShowArgs) -> Result<(RunRecord, Option<&'a str>), CliError> {
    let read = |name: &RunName| -> Result<RunRecord, CliError> {
        Ok(read_run(&config.state_dir, find_run(&config.state_dir, name)?)?)
    };
    match (&args.run, args.what.as_deref(), args.stage.as_deref()) {
        (Some(run), stage, _) => Ok((read(run)?, stage)),
        (None, None, _) => Ok((read(&RunName::default())?, None)),
        (None, Some(run), Some(stage)) => Ok((read(&run.parse()?)?, Some(stage))),
        (None, Some(what), None) => {
            let last = read(&RunName::default())?;
            let is_stage = last.stages.iter().any(|stage| stage.stage.0 == what);
            match what.parse::<RunName>() {
                Ok(name) if !is_stage => Ok((read(&name)?, None)),
                _ => Ok((last, Some(what))),
            }
        }
    }
}

/// One line about a run as a whole.
pub fn headline(record: &RunRecord) -> String {
    let state = match record.state {
        RunState::Ended(outcome) => outcome.to_string(),
        RunState::Running => "running".to_owned(),
        RunState::Interrupted => "killed before its end".to_owned(),
    };
    let when = record.started.map_or_else(|| "at an unknown time".to_owned(), |at| format!("{at:.0}"));
    let took = screen::duration(std::time::Duration::from_millis(record.duration_ms()));
    format!("run {}  {}  {}  {when}  {took}", record.run, style(&record.pipeline).bold(), state)
}

fn whole(record: &RunRecord) -> String {
    let mut text = headline(record) + "\n";
    if let Some(git) = &record.git {
        let commit = git.commit.as_deref().unwrap_or("no commit");
        let branch = git.branch.as_deref().map(|branch| format!(" on {branch}")).unwrap_or_default();
        let dirty = if git.dirty { ", with uncommitted changes" } else { "" };
        text.push_str(&format!("git {}{branch}{dirty}\n", commit.get(..12).unwrap_or(commit)));
    }
    if let Some(isolation) = &record.isolation {
        text.push_str(&isolation::lines(isolation));
    }
    if let Some(member) = &record.sweep {
        let (trial, of) = (member.trial, member.of);
        text.push_str(&format!("run {trial} of {of} of the sweep {}\n", member.sweep.short()));
    }
    for setting in &record.set {
        text.push_str(&format!("set {}\n", super::log::setting(setting)));
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = record.stages.iter().map(row).collect();
    text.push_str(&screen::table(&rows));
    for stage in &record.stages {
        for gate in &stage.measured.gates {
            text.push_str(&format!(
                "{} {}  {}: {}\n",
                stage.stage,
                display::verdict(gate.status),
                gate.name,
                gate.reason
            ));
        }
    }
    for hit in &record.verified {
        text.push_str(&(verified::lines(hit, 0) + "\n"));
    }
    for target in &record.targets {
        text.push_str(&format!(
            "target {}  {}: {}\n",
            display::verdict(target.status),
            target.target,
            target.reason
        ));
    }
    for waived in &record.waived {
        text.push_str(&(display::waiver(waived) + "\n"));
    }
    text
}

/// Whether the run's statements are signed, and by whom.
fn signatures(config: &Config, record: &RunRecord) -> Result<String, CliError> {
    let Some(statement) = &record.statement else { return Ok(String::new()) };
    let policy = signing::policy(config)?;
    let name = |id: &String| {
        let known = policy.as_ref().and_then(|policy| policy.name_of(id));
        known.map_or_else(|| id.get(..12).unwrap_or(id).to_owned(), str::to_owned)
    };
    let names: Vec<String> = record.signed_by.iter().map(name).collect();
    let who =
        if names.is_empty() { "unsigned".to_owned() } else { format!("signed by {}", names.join(", ")) };
    Ok(format!("\nstatement {statement}, {who}\n"))
}

fn row(stage: &StageRecord) -> Vec<String> {
    let outcome = match stage.outcome {
        Some(outcome) => display::coloured(outcome, outcome.to_string()).to_string(),
        None => "not ended".to_owned(),
    };
    let ended =
        stage.duration_ms.filter(|_| !matches!(stage.outcome, Some(Outcome::Skipped | Outcome::Blocked)));
    let took = ended.map(|ms| screen::duration(std::time::Duration::from_millis(ms))).unwrap_or_default();
    let metrics: Vec<String> = stage
        .measured
        .metrics
        .iter()
        .take(3)
        .map(|(name, metric)| format!("{name} {}", display::measured(metric.value, metric.unit.as_deref())))
        .collect();
    let reason = match (stage.outcome, &stage.made_in) {
        (Some(Outcome::Cached), Some(run)) => format!("{} (made in {})", stage.reason, run.short()),
        _ => stage.reason.clone(),
    };
    vec![stage.stage.0.clone(), outcome, took, reason, metrics.join(" · ")]
}

fn one(stage: &StageRecord) -> String {
    let mut rows = vec![row(stage)[..4].to_vec()];
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if let Some(key) = &stage.key {
        add("action key", key.to_string());
    }
    if let Some(run) = &stage.made_in {
        add("made in run", run.to_string());
    }
    for statement in &stage.statements {
        add("statement", statement.to_string());
    }
    let mut text = screen::table(&rows[..1]) + &screen::table(&rows[1..]);
    let section = |text: &mut String, title: &str, rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            text.push_str(&format!("\n{}\n{}", style(title).bold(), screen::table(&rows)));
        }
    };
    let inputs = |wanted: bool| {
        let fields = stage.material.iter().filter(move |(field, _)| field.starts_with("inputs.") == wanted);
        fields.map(|(field, value)| vec![field.clone(), screen::value(value)]).collect()
    };
    section(&mut text, "params", inputs(false));
    section(&mut text, "inputs", inputs(true));
    let outputs = stage.outputs.iter().map(|(port, output)| {
        let artifact = &output.artifact;
        let files = if artifact.kind == ArtifactKind::Tree {
            screen::count(artifact.files, "file")
        } else {
            String::new()
        };
        vec![
            port.clone(),
            output.artifact_type.clone(),
            artifact.digest.to_string(),
            screen::bytes(artifact.bytes),
            files,
        ]
    });
    section(&mut text, "outputs", outputs.collect());
    let metrics = stage.measured.metrics.iter();
    section(
        &mut text,
        "metrics",
        metrics
            .map(|(name, metric)| vec![name.clone(), display::measured(metric.value, metric.unit.as_deref())])
            .collect(),
    );
    let gates = stage.measured.gates.iter();
    section(
        &mut text,
        "gates",
        gates
            .map(|gate| {
                vec![gate.name.clone(), display::verdict(gate.status).to_string(), gate.reason.clone()]
            })
            .collect(),
    );
    section(
        &mut text,
        "warnings",
        stage.measured.warnings.iter().map(|warning| vec![warning.clone()]).collect(),
    );
    if let Some(failure) = &stage.failure {
        text.push_str(&format!("\n{}\n", display::failure_text(failure)));
    }
    text
}

fn log(config: &Config, record: &RunRecord, stage: &StageRecord) -> Result<String, CliError> {
    let run = stage.made_in.unwrap_or(record.run);
    let source = if run == record.run {
        Some(stage.log.clone())
    } else {
        // A reused result was made in an earlier run, which has the log.
        let earlier = read_run(&config.state_dir, run)?;
        earlier.stages.iter().find(|other| other.key == stage.key).map(|other| other.log.clone())
    };
    let Some(path) = source.flatten() else {
        return Err(CliError::user(format_args!(
            "`{}` has no log: its program was not started",
            stage.stage
        )));
    };
    let path = config.state_dir.join("runs-v1").join(run.to_string()).join(path);
    std::fs::read_to_string(&path)
        .map_err(|error| CliError::environment(format_args!("cannot read {}: {error}", path.display())))
}
