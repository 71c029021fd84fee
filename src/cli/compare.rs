//! `stagewright compare`.

pub mod formats;

use clap::Args;
use stagewright::{
    compare::{Choice, CompareError, Sort, compare},
    config::Config,
    plan::{Direction, Goal, MetricOf},
    record::{RunId, RunName, RunRecord, brief, find_run, list_runs, read_run, sweep_runs},
};

use super::{CliError, Exit, Scene, screen};

/// How many runs are compared where none is named.
const USUAL: usize = 10;

/// Compare runs in a table: params and metrics, one row a run or combination of a matrix
///
/// A run is named by the beginning or end of its id, or as `last`, `last~1`, … Without names these are the runs of the last
/// sweep or search if the last run belongs to one, else the last 10 runs of the last run's pipeline.
#[derive(Args)]
pub struct CompareArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Which runs, and what of them; shared by `compare` and `report compare`.
#[derive(Args)]
pub struct ChoiceArgs {
    /// Runs, in the order wanted
    runs: Vec<RunName>,
    /// The runs of a sweep or search; without an id, of the last one
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "", conflicts_with = "runs")]
    sweep: Option<String>,
    /// Metrics to show: `top1`, or `train:top1` of one stage [default: those of goals and targets, else what differs]
    #[arg(short, long, value_name = "METRIC")]
    metric: Vec<String>,
    /// Params to show: `train.with.lr`, or its end, `lr` [default: what was set, else what differs]
    #[arg(short, long, value_name = "PARAM")]
    param: Vec<String>,
    /// Sort by this column, or by `took`; a goal's best first, other columns' smallest first
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// Sort the other way round
    #[arg(short, long, requires = "sort")]
    reverse: bool,
    /// Metrics that should be small, `bench:latency.p99`; with `--maximize` the best runs are marked
    #[arg(long, value_name = "STAGE:METRIC")]
    minimize: Vec<MetricOf>,
    /// Metrics that should be large, `train:top1`
    #[arg(long, value_name = "STAGE:METRIC")]
    maximize: Vec<MetricOf>,
    /// Only the runs that no other one beats
    #[arg(long)]
    front: bool,
}

/// How a table is printed.
#[derive(Args, Clone, Copy)]
#[group(multiple = false)]
pub struct FormatArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print a Markdown table
    #[arg(long)]
    md: bool,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

/// What a table is written in.
#[derive(Clone, Copy)]
enum Format {
    Text,
    Json,
    Markdown,
    Csv,
}

impl FormatArgs {
    fn format(self) -> Format {
        match self {
            Self { json: true, .. } => Format::Json,
            Self { md: true, .. } => Format::Markdown,
            Self { csv: true, .. } => Format::Csv,
            _ => Format::Text,
        }
    }
}

impl ChoiceArgs {
    /// What to show of the runs.
    pub fn choice(&self) -> Choice {
        let goal = |direction| move |of: &MetricOf| Goal { of: of.clone(), direction };
        let goals = self.maximize.iter().map(goal(Direction::Maximize));
        Choice {
            metrics: listed(&self.metric),
            params: listed(&self.param),
            goals: goals.chain(self.minimize.iter().map(goal(Direction::Minimize))).collect(),
            sort: self.sort.clone().map(|column| Sort { column, reverse: self.reverse }),
            only_front: self.front,
        }
    }
}

pub fn run(scene: &Scene, args: &CompareArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let records = chosen(&config, &args.choice)?;
    let table = compare(&records, &args.choice.choice())?;
    if args.choice.front && table.goals.is_empty() {
        return Err(CliError::user("`--front` needs to know what is better")
            .hint("say it with `--maximize STAGE:METRIC` and `--minimize STAGE:METRIC`"));
    }
    match args.format.format() {
        Format::Text => print!("{}", formats::text(&table)),
        Format::Json => screen::print_json(&table)?,
        Format::Markdown => print!("{}", formats::markdown(&table)),
        Format::Csv => print!("{}", formats::csv(&table)),
    }
    Ok(Exit::Success)
}

/// Cuts at the commas outside of brackets: `train[lr=0.1,seed=0]:top1,size` names two.
fn listed(written: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for text in written {
        let (mut name, mut depth) = (String::new(), 0_u32);
        for c in text.chars() {
            match c {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    names.push(std::mem::take(&mut name));
                    continue;
                }
                _ => {}
            }
            name.push(c);
        }
        names.push(name);
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The records of the runs asked for.
pub fn chosen(config: &Config, args: &ChoiceArgs) -> Result<Vec<RunRecord>, CliError> {
    chosen_runs(config, args)?.into_iter().map(|run| Ok(read_run(&config.state_dir, run)?)).collect()
}

fn chosen_runs(config: &Config, args: &ChoiceArgs) -> Result<Vec<RunId>, CliError> {
    let folder = &config.state_dir;
    if let Some(name) = &args.sweep {
        let name = (!name.is_empty()).then_some(name.as_str());
        return Ok(sweep_runs(folder, name)?.1);
    }
    if !args.runs.is_empty() {
        return args.runs.iter().map(|name| Ok(find_run(folder, name)?)).collect();
    }
    let last = brief(folder, find_run(folder, &RunName::Last(0))?)?;
    if let Some(member) = &last.sweep {
        return Ok(sweep_runs(folder, Some(&member.sweep.to_string()))?.1);
    }
    let mut runs = Vec::new();
    for run in list_runs(folder)?.into_iter().rev() {
        // A record that can't be read is named by `log`; a run meant by its name must be readable.
        if brief(folder, run).is_ok_and(|found| found.file == last.file) {
            runs.push(run);
        }
        if runs.len() == USUAL {
            break;
        }
    }
    runs.reverse();
    Ok(runs)
}

impl From<CompareError> for CliError {
    fn from(error: CompareError) -> Self {
        let message = Self::user(&error);
        match error {
            CompareError::Unknown { hint: Some(hint), .. }
            | CompareError::NoColumn { hint: Some(hint), .. } => message.hint(hint),
            CompareError::Nothing => message.hint("`stagewright run` makes one"),
            _ => message,
        }
    }
}
