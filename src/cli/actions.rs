//! A command inside a job of GitHub Actions: what it tells the job beside what it prints.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use stagewright::{
    ci::{self, Annotations, Base, Context, Event, Places, Summary},
    config::{Config, GithubJob, RemoteSettings},
    plan::StageId,
    project::{Pipeline, ProjectError},
    record::{Outcome, RunEvent, RunOutcome, RunRecord, RunState, read_run},
    remote::Session,
    run::RunSummary,
    spec::{
        PipelineSpec,
        exchange::{self, Located, Report},
    },
    store::LocalStore,
};

use super::{CliError, Scene, check, ci as commands, transfer};

/// GitHub takes 1 MiB of summary for a step, and nothing of a longer one.
const LONGEST_SUMMARY: usize = 1_000_000;

/// A run in a job. While it is going on, nothing that is printed is taken for a command but what this prints.
pub struct RunInJob<'a> {
    job: &'a GithubJob,
    state_dir: PathBuf,
    places: Places,
    token: String,
    folder: Option<PathBuf>,
    logs: BTreeMap<StageId, PathBuf>,
}

impl<'a> RunInJob<'a> {
    /// Begins, if this is a job: masks the secrets first.
    pub fn begin<'s>(
        scene: &'a Scene,
        config: &Config,
        spec: &PipelineSpec,
        secrets: impl Iterator<Item = &'s str>,
    ) -> Option<Self> {
        let job = scene.environment.github.as_ref()?;
        secrets.for_each(|value| print!("{}", ci::mask(value)));
        let token = ci::stop_token();
        print!("{}", exchange::workflow_command("stop-commands", &[], &token));
        Some(Self {
            job,
            state_dir: config.state_dir.clone(),
            places: ci::places(spec, |file| check::name(config, Path::new(file))),
            token,
            folder: None,
            logs: BTreeMap::new(),
        })
    }

    /// Prints commands.
    fn commands(&self, text: &str) {
        print!("::{}::\n{text}{}", self.token, exchange::workflow_command("stop-commands", &[], &self.token));
    }

    /// Shows what a stage said once it has ended.
    pub fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { run, .. } => {
                self.folder = Some(stagewright::record::run_folder(&self.state_dir, *run));
            }
            RunEvent::StageStarted { stage, log, .. } => {
                self.logs.insert(stage.clone(), log.clone());
            }
            RunEvent::StageEnded { stage, outcome, .. } if *outcome != Outcome::Cached => {
                let path =
                    self.folder.as_ref().zip(self.logs.get(stage)).map(|(folder, log)| folder.join(log));
                let text = path.and_then(|path| fs::read(path).ok()).unwrap_or_default();
                if !text.is_empty() {
                    let text = String::from_utf8_lossy(&text);
                    self.commands(&ci::group(&format!("log of {stage} ({outcome})"), &text));
                }
            }
            _ => {}
        }
    }

    /// Ends: annotations, the job's summary, the step's outputs, and, after a run of a branch that is about the `whole` pipeline and
    /// writes to the remote, its metrics for others to compare with.
    pub fn end(
        self,
        scene: &Scene,
        config: &Config,
        summary: &RunSummary,
        remote: Option<(&RemoteSettings, bool)>,
        whole: bool,
    ) -> Result<(), CliError> {
        println!("::{}::", self.token);
        let record = read_run(&config.state_dir, summary.run)?;
        print!("{}", Annotations::of(&record, &self.places).commands());
        let context = context(scene);
        let base = match (&context, remote) {
            (Some(Context { event: Event::PullRequest(pull), .. }), Some((settings, _))) => {
                // What there is to compare with is not worth a failed run.
                commands::base(config, settings, &pull.base, &record.file).unwrap_or_else(|error| {
                    eprintln!("warning: the metrics of {} are not known: {error}", pull.base);
                    None
                })
            }
            _ => None,
        };
        if let Some(path) = &self.job.summary {
            let store = LocalStore::open(&config.store_dir)?;
            let reports = commands::reports(&record, &store);
            let text = ci::summary(&Summary {
                record: &record,
                base: base.as_ref(),
                reports: &reports,
                limit: LONGEST_SUMMARY,
            });
            append(path, &text)?;
        }
        outputs(scene, &named(&record))?;
        if let (Some(Context { event: Event::Other { reference }, .. }), Some((settings, true))) =
            (&context, remote)
            && whole
            && let Err(error) = leave(config, settings, &record, reference)
        {
            eprintln!("warning: the metrics of this run are not kept for pull requests: {}", error.message());
        }
        Ok(())
    }
}

/// The outputs of a run.
fn named(record: &RunRecord) -> Vec<(&'static str, String)> {
    let outcome = match record.state {
        RunState::Ended(RunOutcome::Succeeded) => "succeeded",
        RunState::Ended(RunOutcome::GateFailed) => "gate-failed",
        RunState::Ended(RunOutcome::Failed) => "failed",
        RunState::Ended(RunOutcome::Cancelled) | RunState::Running | RunState::Interrupted => "cancelled",
    };
    let count = |wanted: Outcome| {
        record.stages.iter().filter(|stage| stage.outcome == Some(wanted)).count().to_string()
    };
    let metrics: BTreeMap<&str, BTreeMap<&str, f64>> = record
        .stages
        .iter()
        .filter(|stage| stage.outcome.is_some_and(Outcome::is_success) && !stage.measured.metrics.is_empty())
        .map(|stage| {
            let metrics = stage.measured.metrics.iter().map(|(name, metric)| (name.as_str(), metric.value));
            (stage.stage.0.as_str(), metrics.collect())
        })
        .collect();
    vec![
        ("run", record.run.to_string()),
        ("outcome", outcome.to_owned()),
        ("ran", count(Outcome::Ran)),
        ("cached", count(Outcome::Cached)),
        ("failed", count(Outcome::Failed)),
        ("metrics", json!(metrics).to_string()),
    ]
}

/// Leaves the metrics of a whole run of a branch for pull requests.
fn leave(
    config: &Config,
    settings: &RemoteSettings,
    record: &RunRecord,
    branch: &str,
) -> Result<(), CliError> {
    let Some(base) = Base::of(record, branch) else { return Ok(()) };
    let text = serde_json::to_vec(&base)
        .map_err(|error| CliError::environment(format_args!("cannot encode them: {error}")))?;
    let session = Session::open(settings, config, Arc::new(|_| {}));
    let name = commands::base_name(branch, &record.file);
    Ok(transfer::block_on(session.put_document(&name, text))??)
}

/// What the job is about; none outside of one.
pub fn context(scene: &Scene) -> Option<Context> {
    let job = scene.environment.github.as_ref()?;
    let event = job.event.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    Some(Context::new(job, &event))
}

/// Gives the step outputs, where this is one.
pub fn outputs(scene: &Scene, values: &[(&str, String)]) -> Result<(), CliError> {
    let Some(path) = scene.environment.github.as_ref().and_then(|job| job.output.as_ref()) else {
        return Ok(());
    };
    let text: String = values.iter().map(|(name, value)| ci::output(name, value)).collect();
    append(path, &text)
}

fn append(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error| CliError::environment(format_args!("cannot write {}: {error}", path.display()));
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// A pipeline that did not compile is told of beside its lines as well, where this is a job.
pub fn told(
    scene: &Scene,
    config: &Config,
    compiled: Result<Pipeline, ProjectError>,
) -> Result<Pipeline, CliError> {
    if let (Err(ProjectError::Invalid { sources, findings, .. }), Some(_)) =
        (&compiled, &scene.environment.github)
    {
        let names: Vec<String> =
            sources.files().iter().map(|file| check::name(config, Path::new(file.name()))).collect();
        let findings: Vec<_> = findings.iter().map(|finding| sources.in_one_file(finding)).collect();
        let located = findings.iter().filter_map(|(index, diagnostic)| {
            let text = sources.files().get(*index)?.text();
            Some(Located { diagnostic, file: names.get(*index)?, text })
        });
        print!("{}", exchange::github(&Report { findings: located.collect(), failure: None }));
    }
    Ok(compiled?)
}
