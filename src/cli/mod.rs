//! Arguments, terminal, hints, exit codes. One file a command.

mod actions;
mod add;
mod approve;
mod check;
mod checkout;
mod ci;
mod compare;
mod diff;
mod display;
mod doctor;
mod error;
mod exchange;
mod fmt;
mod gc;
mod graph;
mod handover;
mod hook;
mod import_url;
mod init;
mod install;
mod isolation;
mod key;
mod lineage;
mod lockfile;
mod log;
mod lsp;
mod pipeline;
mod plan;
mod pull;
mod push;
mod release;
mod remote;
mod report;
mod run;
mod runs;
mod schema;
mod screen;
mod search;
mod show;
mod signing;
mod stage;
mod status;
mod sweep;
mod sync;
mod transfer;
mod ui;
mod verified;
mod verify;
mod waive;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
pub use error::{CliError, Exit};
use stagewright::config::{Config, Environment};

/// Declarative pipelines for machine-learning models: typed, content-addressed, provable
#[derive(Parser)]
#[command(name = "stagewright", version, max_term_width = 100, after_help = Exit::HELP)]
struct Args {
    /// Work in this folder instead of the current one
    #[arg(short = 'C', long, global = true, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::InitArgs),
    Check(check::CheckArgs),
    Fmt(fmt::FmtArgs),
    Plan(plan::PlanArgs),
    Run(run::RunArgs),
    Search(search::SearchArgs),
    Status(status::StatusArgs),
    Show(show::ShowArgs),
    Log(log::LogArgs),
    Diff(diff::DiffArgs),
    Compare(compare::CompareArgs),
    Runs(runs::RunsArgs),
    Report(report::ReportArgs),
    Ui(ui::UiArgs),
    Graph(graph::GraphArgs),
    Stage(stage::StageArgs),
    Schema(schema::SchemaArgs),
    Lsp(lsp::LspArgs),
    Key(key::KeyArgs),
    Lineage(lineage::LineageArgs),
    Approve(approve::ApproveArgs),
    Waive(waive::WaiveArgs),
    Ci(ci::CiArgs),
    Doctor(doctor::DoctorArgs),
    Add(add::AddArgs),
    Checkout(checkout::CheckoutArgs),
    ImportUrl(import_url::ImportUrlArgs),
    Update(import_url::UpdateArgs),
    Import(handover::ImportArgs),
    Export(handover::ExportArgs),
    Remote(remote::RemoteArgs),
    Release(release::ReleaseArgs),
    Push(push::PushArgs),
    Pull(pull::PullArgs),
    Fetch(pull::FetchArgs),
    Gc(gc::GcArgs),
    Verify(verify::VerifyArgs),
    Install(install::InstallArgs),
    #[command(hide = true)]
    Hook(hook::HookArgs),
}

/// What every command gets: where it works and which variables are set.
pub struct Scene {
    folder: PathBuf,
    environment: Environment,
}

impl Scene {
    /// Settings of the project that the folder is in.
    fn config(&self) -> Result<Config, CliError> {
        Ok(Config::discover(&self.folder, &self.environment)?)
    }

    /// A path as the user means it, absolute.
    fn path(&self, path: &Path) -> Result<PathBuf, CliError> {
        let failed =
            |error| CliError::environment(format_args!("cannot tell where {} is: {error}", path.display()));
        std::path::absolute(self.folder.join(path)).map_err(failed)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    end_with_the_reader();
    let args = Args::parse();
    let environment = Environment::read();
    start_log(environment.log.as_deref());
    let folder = args.directory.unwrap_or_else(|| PathBuf::from("."));
    let scene = Scene { folder, environment };
    let done = match args.command {
        Command::Init(args) => init::run(&scene, &args),
        Command::Check(args) => check::run(&scene, &args),
        Command::Fmt(args) => fmt::run(&scene, &args),
        Command::Plan(args) => plan::run(&scene, &args),
        Command::Run(args) => run::run(&scene, &args),
        Command::Search(args) => search::run(&scene, &args),
        Command::Status(args) => status::run(&scene, &args),
        Command::Show(args) => show::run(&scene, &args),
        Command::Log(args) => log::run(&scene, &args),
        Command::Diff(args) => diff::run(&scene, &args),
        Command::Compare(args) => compare::run(&scene, &args),
        Command::Runs(args) => runs::run(&scene, &args),
        Command::Report(args) => report::run(&scene, &args),
        Command::Ui(args) => ui::run(&scene, &args),
        Command::Graph(args) => graph::run(&scene, &args),
        Command::Stage(args) => stage::run(&scene, &args),
        Command::Schema(args) => schema::run(&scene, &args),
        Command::Lsp(args) => lsp::run(&scene, &args),
        Command::Key(args) => key::run(&scene, &args),
        Command::Lineage(args) => lineage::run(&scene, &args),
        Command::Approve(args) => approve::run(&scene, &args),
        Command::Waive(args) => waive::run(&scene, &args),
        Command::Ci(args) => ci::run(&scene, &args),
        Command::Doctor(args) => doctor::run(&scene, &args),
        Command::Add(args) => add::run(&scene, &args),
        Command::Checkout(args) => checkout::run(&scene, &args),
        Command::ImportUrl(args) => import_url::import(&scene, &args),
        Command::Update(args) => import_url::update(&scene, &args),
        Command::Import(args) => handover::import(&scene, &args),
        Command::Export(args) => handover::export(&scene, &args),
        Command::Remote(args) => remote::run(&scene, &args),
        Command::Release(args) => release::run(&scene, &args),
        Command::Push(args) => push::run(&scene, &args),
        Command::Pull(args) => pull::pull(&scene, &args),
        Command::Fetch(args) => pull::fetch(&scene, &args),
        Command::Gc(args) => gc::run(&scene, &args),
        Command::Verify(args) => verify::run(&scene, &args),
        Command::Install(args) => install::run(&scene, &args),
        Command::Hook(args) => hook::run(&scene, &args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            // A reader that went away (`| head`) is no failure of ours.
            if !error.is_broken_pipe() {
                let _ = write!(io::stderr(), "{}", error.render());
            }
            error.exit.into()
        }
    }
}

/// `println!` panics once the reader has gone (`| head`). That ends the program, and is no failure of anybody's.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(Exit::Success as i32);
        }
        usual(panic);
    }));
}

fn start_log(filter: Option<&str>) {
    if let Some(filter) = filter {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    }
}
