//! `stagewright search`.

use clap::{Args, ValueEnum};
use console::style;
use stagewright::{
    plan::{Axis, Direction, Goal, MetricOf, Overrides, Place, Search},
    plugin::Canceller,
    spec::{range_of_text, types},
    sweep::{self, Order},
};

use super::{CliError, Exit, Scene, pipeline, run::RunArgs, sweep as trials};

/// Search for good values of params: runs the pipeline with values from declared ranges
///
/// What is tried and what is better stands under `search:` of the pipeline, or is given here. Gates and targets are
/// constraints: a run that misses one is no candidate. Each trial is a run of its own; started again, a search with the same
/// seed proposes the same trials and reuses those that are done.
#[derive(Args)]
pub struct SearchArgs {
    /// Values to try for a param, as under `search.over`: 'train.with.lr={log: [1e-4, 1e-1]}', 'params.width=[16, 32]'
    #[arg(long, value_name = "KEY=RANGE")]
    over: Vec<String>,
    /// Most trials [default: 20, or all of a grid]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    trials: Option<u32>,
    /// How trials are chosen [default: tpe]
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,
    /// Seed of all that is drawn at random [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Metrics that should be small, in place of the pipeline's goals
    #[arg(long, value_name = "STAGE:METRIC")]
    minimize: Vec<MetricOf>,
    /// Metrics that should be large, in place of the pipeline's goals
    #[arg(long, value_name = "STAGE:METRIC")]
    maximize: Vec<MetricOf>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Strategy {
    /// Every combination
    Grid,
    /// Combinations drawn at random
    Random,
    /// Combinations near those that turned out well
    Tpe,
}

impl From<Strategy> for types::Strategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Grid => Self::Grid,
            Strategy::Random => Self::Random,
            Strategy::Tpe => Self::Tpe,
        }
    }
}

pub fn run(scene: &Scene, args: &SearchArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let fixed = Overrides::single(&args.run.pipeline.assignments()?).map_err(|error| {
        CliError::from(error).hint("`--set` gives a value that all trials have; `--over` gives values to try")
    })?;
    let draft = pipeline::open_in(scene, &config, &args.run.pipeline)?;
    let plan = draft.compile(&config, &fixed)?.plan;
    let search = args.asked(plan.search.clone())?;
    let mut proposer = sweep::proposer(&search)?;
    let store = pipeline::store(&config, draft.file())?;
    let (handle, cancel) = Canceller::new();
    let options = args.run.options(scene, &config, &plan, cancel)?;
    let order = Order {
        draft: &draft,
        fixed: &fixed,
        goals: &search.goals,
        options: &options,
        config: &config,
        store: &store,
    };
    for goal in &search.goals {
        known_stage(&plan, goal)?;
    }
    sweep::check(&order, &search)?;
    if args.run.dry_run {
        let (proposals, more) = sweep::foreseen(&search)?;
        let sets: Vec<_> = proposals.into_iter().map(|proposal| proposal.set).collect();
        let exit = trials::preview_all(&order, &sets)?;
        if more > 0 {
            println!("up to {more} more, chosen by what these give");
        }
        return Ok(exit);
    }
    let summary = trials::carry_out(&order, proposer.as_mut(), handle)?;
    trials::report(&config.state_dir, &summary, "search")?;
    Ok(trials::exit(&summary))
}

fn known_stage(plan: &stagewright::plan::Plan, goal: &Goal) -> Result<(), CliError> {
    if plan.actions.iter().any(|action| action.id == goal.of.stage) {
        return Ok(());
    }
    let known: Vec<&str> = plan.actions.iter().map(|action| action.id.0.as_str()).collect();
    Err(CliError::user(format_args!("the goal {} names no stage of the pipeline", style(&goal.of).bold()))
        .hint(format!("it has {}", known.join(", "))))
}

impl SearchArgs {
    /// The pipeline's search with what the command line says instead.
    fn asked(&self, declared: Option<Search>) -> Result<Search, CliError> {
        let mut search = declared.unwrap_or(Search {
            axes: Vec::new(),
            strategy: types::Strategy::Tpe,
            trials: None,
            seed: 0,
            goals: Vec::new(),
        });
        for text in &self.over {
            let axis = axis(text)?;
            match search.axes.iter_mut().find(|known| known.place == axis.place) {
                Some(known) => *known = axis,
                None => search.axes.push(axis),
            }
        }
        search.strategy = self.strategy.map_or(search.strategy, Into::into);
        search.trials = self.trials.or(search.trials);
        search.seed = self.seed.unwrap_or(search.seed);
        if !self.minimize.is_empty() || !self.maximize.is_empty() {
            let goal = |direction| move |of: &MetricOf| Goal { of: of.clone(), direction };
            let large = self.maximize.iter().map(goal(Direction::Maximize));
            search.goals = large.chain(self.minimize.iter().map(goal(Direction::Minimize))).collect();
        }
        Ok(search)
    }
}

/// `KEY=RANGE`.
fn axis(text: &str) -> Result<Axis, CliError> {
    // An `=` inside the brackets of a combination, `train[seed=0].with.lr=…`, is not ours.
    let after = text.find("].").filter(|close| text.find('[').is_some_and(|open| open < *close)).unwrap_or(0);
    let Some(equals) = text[after..].find('=').map(|at| at + after) else {
        return Err(CliError::user(format_args!("`--over {text}` is no KEY=RANGE"))
            .hint("write for example `--over 'train.with.lr={log: [1e-4, 1e-1]}'`"));
    };
    let (key, range) = (&text[..equals], &text[equals + 1..]);
    let place: Place = key.parse()?;
    let range = range_of_text(key, range).map_err(|error| {
        let message = CliError::user(format_args!("`--over {text}`: {}", error.message));
        match error.hint {
            Some(hint) => message.hint(hint),
            None => message,
        }
    })?;
    Ok(Axis::new(place, &range))
}
