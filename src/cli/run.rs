//! `stagewright run`.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use clap::Args;
use stagewright::{
    config::{Config, Environment},
    dvc::{self, Lock},
    plan::Plan,
    plugin::{Cancel, Canceller, Secrets},
    record::{RecordError, RunEvent, RunOutcome},
    run::{self, Force, RunError, RunOptions, RunSummary, SecretFault, Selection, VerifyHits},
    spec::units::{Dimension, Quantity},
    store::LocalStore,
};

use super::{
    CliError, Exit, Scene,
    actions::RunInJob,
    display::Display,
    lockfile, pipeline,
    pipeline::PipelineArgs,
    plan, signing, sweep,
    sync::{Sync, SyncArgs},
};

/// Run a pipeline: stages whose result is stored are reused, the others run
///
/// `--set KEY=A,B` runs every combination of the values given, each as a run of its own, and compares them.
///
/// Ctrl-C stops the stages in order (a second one kills them); what has ended is kept, and training resumes where it was.
#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[command(flatten)]
    pub select: SelectArgs,
    /// Say what would run and why, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on with stages that do not depend on one that failed
    #[arg(short, long)]
    keep_going: bool,
    /// Run nothing: a stage without a stored result fails
    #[arg(long)]
    reuse_only: bool,
    /// Stop in order after this long, such as 90s or 5h, as Ctrl-C does
    #[arg(long, value_name = "TIME", value_parser = span)]
    stop_after: Option<Duration>,
    /// Keep the private folders of the stages in .stagewright/kept/<run>/ for a look
    #[arg(long)]
    keep_folders: bool,
    /// Cores to use [default: all]
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: Option<u32>,
    /// End a stage that says nothing for this long, such as 90s or 10m, where the pipeline does not say how long it may
    #[arg(long, value_name = "TIME", value_parser = span)]
    silence: Option<Duration>,
    /// Carry this share of the reused results out again at the end and compare, such as 5%; a difference fails the run, and the
    /// stored result is kept
    #[arg(long, value_name = "SHARE", value_parser = share)]
    verify_hits: Option<f64>,
    /// Draws the results to verify [default: another one in each run]
    #[arg(long, value_name = "N", requires = "verify_hits")]
    verify_seed: Option<u64>,
    /// Let stages write anywhere and use the network; the record says so
    #[arg(long)]
    no_sandbox: bool,
    #[command(flatten)]
    pub sync: SyncArgs,
}

/// Which stages, shared by `run`, `plan` and `status`.
#[derive(Args, Clone)]
pub struct SelectArgs {
    /// Only these stages; what they read must be stored
    #[arg(long, value_name = "STAGE,…")]
    only: Vec<String>,
    /// Only these stages and all that depends on them
    #[arg(long, value_name = "STAGE,…")]
    from: Vec<String>,
    /// Only these stages and all they depend on
    #[arg(long, value_name = "STAGE,…")]
    until: Vec<String>,
    /// Run these stages although a result is stored; without a name, all
    #[arg(short, long, value_name = "STAGE,…", num_args = 0..)]
    force: Option<Vec<String>>,
}

impl SelectArgs {
    /// These stages and all they depend on; all stages when there are none.
    pub fn until(stages: &[String]) -> Self {
        Self { only: Vec::new(), from: Vec::new(), until: stages.to_vec(), force: None }
    }

    /// No stage is left out.
    pub fn is_all(&self) -> bool {
        self.only.is_empty() && self.from.is_empty() && self.until.is_empty()
    }

    /// Options of a run with this selection and everything else at its default.
    pub fn options(&self) -> RunOptions {
        let force = match &self.force {
            None => Force::None,
            Some(names) if names.is_empty() => Force::All,
            Some(names) => Force::Named(each(names)),
        };
        let select = Selection { only: each(&self.only), from: each(&self.from), until: each(&self.until) };
        RunOptions { select, force, ..RunOptions::default() }
    }
}

/// The names in lists: a comma divides, but not between the brackets of `train[seed=0,lr=0.1]`.
fn each(written: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for list in written {
        let (mut name, mut depth) = (String::new(), 0_usize);
        for c in list.chars() {
            match c {
                ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                c => {
                    depth = match c {
                        '[' => depth + 1,
                        ']' => depth.saturating_sub(1),
                        _ => depth,
                    };
                    name.push(c);
                }
            }
        }
        names.push(name);
    }
    names.retain(|name| !name.is_empty());
    names
}

impl RunArgs {
    /// How the runs asked for are driven.
    pub fn options(
        &self,
        scene: &Scene,
        config: &Config,
        plan: &Plan,
        cancel: Cancel,
    ) -> Result<RunOptions, CliError> {
        Ok(RunOptions {
            secrets: secrets(&scene.environment, plan)?,
            keep_going: self.keep_going,
            reuse_only: self.reuse_only,
            keep_folders: self.keep_folders,
            cpus: self.cpus,
            silence: self.silence,
            sandbox: !self.no_sandbox,
            verify_hits: self.verify_hits.map(|share| VerifyHits { share, seed: self.verify_seed }),
            cancel,
            signing: signing::open(scene, config)?,
            waivers: signing::waivers(config)?,
            ..self.select.options()
        })
    }
}

pub fn run(scene: &Scene, args: &RunArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    if args.dry_run {
        return plan::show(scene, &config, &args.pipeline, &args.select);
    }
    let assignments = args.pipeline.assignments()?;
    if assignments.iter().any(|assignment| assignment.values.len() > 1) {
        if args.stop_after.is_some() {
            return Err(CliError::user(
                "`--stop-after` stops one run, and several values of `--set` make many",
            )
            .hint("run the combinations one by one"));
        }
        return sweep::run(scene, &config, args, &assignments);
    }
    let (draft, loaded, ahead) = pipeline::load_with_draft(scene, &config, &args.pipeline, true)?;
    let store = pipeline::store(&config, &loaded.plan.file)?;
    let (handle, cancel) = Canceller::new();
    let options = RunOptions {
        lock: loaded.lock.clone(),
        ahead: Some(ahead),
        ..args.options(scene, &config, &loaded.plan, cancel)?
    };
    let remote = args.sync.resolve(&config)?;
    let mut job = RunInJob::begin(scene, &config, draft.spec(), options.secrets.values());
    // As large as the plan, and read no more.
    drop(draft);
    let mut display = Display::new();
    let mut tell = |event: &RunEvent| {
        display.event(event);
        if let Some(job) = &mut job {
            // What the job prints stands behind the line that it is about.
            display.flush();
            job.event(event);
        }
    };
    let summary = pipeline::block_on(async {
        tokio::spawn(stop_on_signals(handle.clone()));
        if let Some(limit) = args.stop_after {
            tokio::spawn(stop_after(limit, handle));
        }
        let supplier = remote.as_ref().and_then(|remote| remote.supplier(&config));
        let options = RunOptions { supplier, ..options };
        run::execute(&loaded.plan, &options, &store, &config, &mut tell).await
    })??;
    // A value of `--set` is nowhere in the files that the lock file stands beside.
    if loaded.lock.is_none() && assignments.is_empty() {
        lockfile::after_run(&config, &loaded.plan, &summary)?;
    }
    let locked =
        loaded.lock.as_deref().map(|lock| update_lock(lock, &loaded.plan, &summary, &store)).transpose()?;
    if let Some(line) = locked.flatten() {
        println!("{line}");
    }
    let pushed = remote.as_ref().map_or(Ok(()), |remote| remote.push(&config, &store, &summary));
    // A push that failed is no reason to keep from the job what the run came to.
    if let Some(job) = job {
        // The report of a staged workflow is about all that can be reused, whatever it leaves out.
        let whole = args.reuse_only || args.select.is_all();
        job.end(scene, &config, &summary, remote.as_ref().map(Sync::remote), whole)?;
    }
    pushed?;
    Ok(match summary.outcome {
        RunOutcome::Succeeded => Exit::Success,
        RunOutcome::GateFailed => Exit::Gate,
        RunOutcome::Failed => Exit::Failed,
        RunOutcome::Cancelled => Exit::Cancelled,
    })
}

/// Brings `dvc.lock` up to date with what has a result now.
fn update_lock(
    lock: &Lock,
    plan: &Plan,
    summary: &RunSummary,
    store: &LocalStore,
) -> Result<Option<String>, CliError> {
    let ended: HashMap<_, _> = summary.stages.iter().map(|stage| (&stage.stage, stage)).collect();
    let results: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|action| Some((&**action, ended.get(&action.id)?.result.as_deref()?)))
        .collect();
    let updated = dvc::update(lock, &results, store).map_err(CliError::environment)?;
    let mut lines: Vec<String> = updated.notes.iter().map(|note| format!("warning: {note}")).collect();
    if updated.written {
        lines.push(format!("{} is up to date with it", lock.path().display()));
    }
    Ok((!lines.is_empty()).then(|| lines.join("\n")))
}

/// Stops the run in order when its time is over.
async fn stop_after(limit: Duration, handle: Canceller) {
    tokio::time::sleep(limit).await;
    eprintln!("the time that `--stop-after` gives is over: stopping the stages");
    handle.cancel();
}

/// A share of a whole.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let share = percent.map(|percent| percent / 100.0).filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a share above 0 % and up to 100 % is wanted, such as `5%`".to_owned())
}

/// A span of time with its unit, as in a pipeline file.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "a time above 0 with its unit is wanted, such as `90s` or `10m`".to_owned();
    let time = Quantity::parse(text).ok().filter(|time| time.dimension == Dimension::Time);
    time.and_then(|time| time.duration()).filter(|time| !time.is_zero()).ok_or_else(wrong)
}

/// Values of the secrets that the pipeline names, as far as they are set.
fn secrets(environment: &Environment, plan: &Plan) -> Result<Secrets, CliError> {
    let names: BTreeSet<&String> = plan.actions.iter().flat_map(|action| &action.secrets).collect();
    let mut found = Vec::new();
    for name in names {
        if let Some(value) = environment.secret(name).map_err(CliError::user)? {
            found.push((name.clone(), value));
        }
    }
    Ok(found.into_iter().collect())
}

/// The first Ctrl-C or SIGTERM stops the run in order; a second one ends this process, and with it the stages' input, which
/// they take as the order to stop.
pub async fn stop_on_signals(handle: Canceller) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    for attempt in 0.. {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if attempt > 0 {
            std::process::exit(Exit::Cancelled as i32);
        }
        eprintln!("stopping the stages; once more to end at once");
        handle.cancel();
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store(error) => error.into(),
            RunError::Record(error) => error.into(),
            RunError::Lineage(error) => error.into(),
            RunError::NoStage { ref known, .. } => {
                let known = known.join(", ");
                Self::user(&error).hint(format!("it has {known}"))
            }
            RunError::Secrets(ref faults) => {
                let hint = faults.first().map(SecretFault::hint);
                Self::user(&error).hint(hint.unwrap_or_default())
            }
            RunError::Dirty { .. } => Self::user(&error)
                .hint("commit them first; `dirty = \"refuse\"` of [git] in stagewright.toml says that a run wants it"),
            RunError::NothingSelected | RunError::Key { .. } => Self::user(&error),
            RunError::Io { .. } | RunError::CancelledWaiting => Self::environment(&error),
        }
    }
}

impl From<RecordError> for CliError {
    fn from(error: RecordError) -> Self {
        match &error {
            RecordError::NoRun { .. } | RecordError::Name { .. } => Self::user(&error),
            RecordError::NoRuns => Self::user(&error).hint("`stagewright run` makes one"),
            RecordError::Unnamed { .. } | RecordError::TooFar { .. } => {
                Self::user(&error).hint("`stagewright log -n 0` lists all runs")
            }
            RecordError::Ambiguous { .. } => Self::user(&error).hint("give more of the id"),
            RecordError::NoSweep { name: None } => Self::user(&error)
                .hint("`stagewright run --set KEY=VALUE,VALUE` makes a sweep, `stagewright search` a search"),
            RecordError::NoSweep { name: Some(_) } => {
                Self::user(&error).hint("`stagewright log --json` shows the ids")
            }
            RecordError::NewerRecord { .. } | RecordError::NewerResult { .. } => {
                Self::environment(&error).hint("use that release, or a later one")
            }
            _ => Self::environment(&error),
        }
    }
}
