//! Many runs in one go, for `stagewright run --set KEY=VALUE,VALUE` and `stagewright search`.

use std::{collections::BTreeMap, path::Path};

use console::style;
use serde_json::Value;
use stagewright::{
    compare::{Choice, compare},
    config::Config,
    plan::{ActionKey, Assignment, Overrides, Place},
    plugin::Canceller,
    record::{RunOutcome, RunRecord, read_run},
    run::{self, Preview, RunOptions},
    sweep::{self, Ended, Order, Proposer, Standing, SweepError, SweepEvent, SweepSummary, combinations},
};

use super::{
    CliError, Exit, Scene, compare::formats, display::Display, pipeline, pipeline::PipelineArgs, plan,
    run::RunArgs, screen,
};

/// Runs every combination of the values given.
pub fn run(
    scene: &Scene,
    config: &Config,
    args: &RunArgs,
    assignments: &[Assignment],
) -> Result<Exit, CliError> {
    let (fixed, axes) = parts(assignments)?;
    let mut listed = combinations(&axes)?;
    let draft = pipeline::open_in(scene, config, &args.pipeline)?;
    let store = pipeline::store(config, draft.file())?;
    let (handle, cancel) = Canceller::new();
    let first = listed.all().first().cloned().unwrap_or_default();
    let first = draft.compile(config, &Overrides::new(fixed.entries().iter().cloned().chain(first)))?;
    let options = args.options(scene, config, &first.plan, cancel)?;
    let order = Order { draft: &draft, fixed: &fixed, goals: &[], options: &options, config, store: &store };
    // A combination that does not compile is told of before the first one runs.
    for set in listed.all() {
        order.plan(set)?;
    }
    let summary = carry_out(&order, &mut listed, handle)?;
    report(&config.state_dir, &summary, "sweep")?;
    let outcomes: Vec<RunOutcome> = summary.tried.iter().map(|tried| tried.outcome).collect();
    Ok(match summary.ended {
        Ended::Cancelled => Exit::Cancelled,
        _ if outcomes.contains(&RunOutcome::Failed) => Exit::Failed,
        _ if outcomes.contains(&RunOutcome::GateFailed) => Exit::Gate,
        _ => Exit::Success,
    })
}

/// Shows what the runs of a sweep would do.
pub fn preview(
    scene: &Scene,
    config: &Config,
    args: &PipelineArgs,
    options: &RunOptions,
    assignments: &[Assignment],
) -> Result<Exit, CliError> {
    let (fixed, axes) = parts(assignments)?;
    let listed = combinations(&axes)?;
    let draft = pipeline::open_in(scene, config, args)?;
    let store = pipeline::store(config, draft.file())?;
    preview_all(
        &Order { draft: &draft, fixed: &fixed, goals: &[], options, config, store: &store },
        listed.all(),
    )
}

/// Shows what runs with these values would do, one after the other: a stage that an earlier one makes is reused.
pub fn preview_all(order: &Order<'_>, sets: &[Vec<(Place, Value)>]) -> Result<Exit, CliError> {
    let of = u32::try_from(sets.len()).unwrap_or(u32::MAX);
    let mut promised: BTreeMap<ActionKey, u32> = BTreeMap::new();
    let (mut all, mut shared) = (Vec::new(), 0);
    for (number, set) in (1..).zip(sets) {
        let plan = order.plan(set)?.plan;
        let mut rows = Vec::new();
        for stage in run::preview(&plan, order.options, order.store, order.config)? {
            let key = stage.key.filter(|_| matches!(stage.preview, Preview::Miss { .. }));
            match key.map(|key| *promised.entry(key).or_insert(number)) {
                Some(maker) if maker != number => {
                    shared += 1;
                    let why = format!("made by then in {maker} of {of}");
                    rows.push(vec![stage.stage.0.clone(), style("shared").cyan().to_string(), why]);
                }
                _ => {
                    rows.push(plan::row(&stage));
                    all.push(stage);
                }
            }
        }
        println!("{}\n{}", heading(number, of, set), screen::table(&rows));
    }
    let shared = if shared > 0 { format!(", {shared} shared") } else { String::new() };
    println!("{}, {}{shared}", screen::count(u64::from(of), "run"), plan::summary(&all));
    let fails = all.iter().any(|stage| matches!(stage.preview, Preview::Fails { .. }));
    Ok(if fails { Exit::User } else { Exit::Success })
}

/// Values that hold for all combinations, and those that make them.
pub fn parts(assignments: &[Assignment]) -> Result<(Overrides, Vec<Assignment>), CliError> {
    let (fixed, axes): (Vec<_>, Vec<_>) =
        assignments.iter().cloned().partition(|assignment| assignment.values.len() == 1);
    Ok((Overrides::single(&fixed)?, axes))
}

/// Runs trials, each on the screen like a run of its own under a heading.
pub fn carry_out(
    order: &Order<'_>,
    proposer: &mut dyn Proposer,
    handle: Canceller,
) -> Result<SweepSummary, CliError> {
    let mut display = Display::new();
    let mut watch = |event: SweepEvent<'_>| match event {
        SweepEvent::Trial { number, of, set } => {
            display = Display::new();
            let gap = if number > 1 { "\n" } else { "" };
            println!("{gap}{}", heading(number, of, set));
        }
        SweepEvent::Run(event) => display.event(event),
    };
    let summary = pipeline::block_on(async {
        tokio::spawn(super::run::stop_on_signals(handle));
        sweep::drive(order, proposer, &mut watch).await
    })??;
    Ok(summary)
}

/// `2 of 6  train.with.lr=0.1`.
pub fn heading(number: u32, of: u32, set: &[(Place, Value)]) -> String {
    format!("{}  {}", style(format!("{number} of {of}")).bold(), settings(set))
}

/// `train.with.lr=0.1 params.epochs=3`.
pub fn settings(set: &[(Place, Value)]) -> String {
    let words: Vec<String> =
        set.iter().map(|(place, value)| format!("{place}={}", screen::value(value))).collect();
    words.join(" ")
}

/// The table of all trials, and how to get it again.
pub fn report(state_dir: &Path, summary: &SweepSummary, what: &str) -> Result<(), CliError> {
    if summary.tried.is_empty() {
        return Ok(());
    }
    let records: Vec<RunRecord> =
        summary.tried.iter().map(|tried| read_run(state_dir, tried.run)).collect::<Result<_, _>>()?;
    let table = compare(&records, &Choice::default())?;
    print!("\n{}", formats::text(&table));
    let runs = screen::count(summary.tried.len() as u64, "run");
    let short = summary.sweep.short();
    println!("{what} {short}: {runs}; `stagewright compare --sweep {short}` shows them again");
    Ok(())
}

/// How a search ends: well if any trial met all gates and targets and gave every goal.
pub fn exit(summary: &SweepSummary) -> Exit {
    let any = |wanted: fn(&Standing) -> bool| summary.tried.iter().any(|tried| wanted(&tried.standing));
    match summary.ended {
        Ended::Cancelled => Exit::Cancelled,
        Ended::Failed => Exit::Failed,
        Ended::Done if any(|standing| matches!(standing, Standing::Feasible(_))) => Exit::Success,
        Ended::Done if any(|standing| matches!(standing, Standing::Infeasible(_))) => Exit::Gate,
        Ended::Done => Exit::Failed,
    }
}

impl From<SweepError> for CliError {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Trial { set, source } => Self::from(*source).under(format_args!("with {set}")),
            SweepError::Run(error) => error.into(),
            SweepError::Search(fault) => {
                let hint = fault.hint;
                Self::user(&fault).hint(hint)
            }
            SweepError::TooMany { .. } => {
                Self::user(&error).hint("give fewer values, or let `stagewright search` choose among them")
            }
        }
    }
}
