//! `stagewright import dvc` and `stagewright export dvc`.

use clap::{Args, Subcommand};
use stagewright::{
    dvc::{self, Handover, HandoverError},
    store::LocalStore,
};

use super::{CliError, Exit, Scene, gc, screen};

/// Turn a project of another tool over
#[derive(Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    from: ImportFrom,
}

#[derive(Subcommand)]
enum ImportFrom {
    /// From DVC 3: its remotes, its cache and its pointer files. Nothing of DVC's is changed, so both tools can go on in the project.
    Dvc,
}

/// Give a project to another tool
#[derive(Args)]
pub struct ExportArgs {
    #[command(subcommand)]
    to: ExportTo,
}

#[derive(Subcommand)]
enum ExportTo {
    /// To DVC 3: remotes in its layout, and in its cache all that pointer files and dvc.lock name. No credentials are written.
    Dvc,
}

pub fn import(scene: &Scene, args: &ImportArgs) -> Result<Exit, CliError> {
    let ImportFrom::Dvc = args.from;
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let done = dvc::turn_over(&config.root, &store)?;
    let tracked = (done.pointers > 0).then_some("`stagewright status` compares them with the work tree");
    let ran = (!done.pipelines.is_empty()).then_some("`stagewright run dvc.yaml` runs one as it is");
    show(&done, "taken over", [tracked, ran]);
    Ok(Exit::Success)
}

pub fn export(scene: &Scene, args: &ExportArgs) -> Result<Exit, CliError> {
    let ExportTo::Dvc = args.to;
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let done = dvc::give_back(&config, &store)?;
    show(&done, "given back", [Some("`dvc checkout` places them"), None]);
    Ok(Exit::Success)
}

fn show(done: &Handover, word: &str, next: [Option<&str>; 2]) {
    for remote in &done.remotes {
        println!("remote {remote}");
    }
    let objects = screen::count(done.objects, "object");
    println!("{objects} {word}, {} were there", done.known);
    let [tracked, ran] = next.map(|next| next.map(|next| format!("; {next}")).unwrap_or_default());
    println!("{}{tracked}", screen::count(done.pointers as u64, "pointer file"));
    if !done.pipelines.is_empty() {
        let names: Vec<String> = done.pipelines.iter().map(|path| path.display().to_string()).collect();
        println!("pipelines: {}{ran}", names.join(", "));
    }
    if !done.left.is_empty() {
        println!("left behind:");
        let rows: Vec<Vec<String>> =
            done.left.iter().map(|(what, why)| vec![what.clone(), why.clone()]).collect();
        print!("{}", screen::table(&rows));
    }
}

impl From<HandoverError> for CliError {
    fn from(error: HandoverError) -> Self {
        match error {
            HandoverError::Config(error) => error.into(),
            HandoverError::Track(error) => error.into(),
            HandoverError::NoProject { ref root } => Self::user(&error).hint(format!(
                "`stagewright -C FOLDER import dvc` looks elsewhere than in {}",
                root.display()
            )),
            HandoverError::Io { .. } => Self::environment(&error),
        }
    }
}
