//! `stagewright stage new`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stagewright::author::scaffold::{self, Language, ScaffoldError};

use super::super::{CliError, Exit, Scene};

/// Start a stage program: a small project that builds, runs and passes `stage test`
#[derive(Args)]
pub struct NewArgs {
    /// Name as it will stand after `uses:`: lower-case letters, digits and `-`
    name: String,
    /// What it is written in
    #[arg(long, value_enum)]
    lang: Lang,
    /// Folder to make [default: stages/<NAME>]
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// A Cargo project with the SDK in it
    Rust,
    /// One executable script with the SDK as one file beside it; needs Python 3.9 and no package
    Python,
}

pub fn run(scene: &Scene, args: &NewArgs) -> Result<Exit, CliError> {
    let shown = args.path.clone().unwrap_or_else(|| PathBuf::from("stages").join(&args.name));
    let language = match args.lang {
        Lang::Rust => Language::Rust,
        Lang::Python => Language::Python,
    };
    let files = scaffold::create(&args.name, language, &scene.folder.join(&shown))?;
    // What is below vendor/ is not for reading.
    for file in files.iter().filter(|file| !file.starts_with("vendor")) {
        println!("made {}", shown.join(file).display());
    }
    let program = scaffold::program_file(&args.name);
    let (build, place) = match args.lang {
        Lang::Rust => {
            println!("made {}", shown.join("vendor").display());
            ("cargo test && cargo build --release", "target/release")
        }
        Lang::Python => ("python3 -m unittest", "."),
    };
    let test = PathBuf::from(place).join(&program);
    println!(
        "\nin {}: {build}\nthen: stagewright stage test {} --input text=README.md\nREADME.md says how a project uses it",
        shown.display(),
        if place == "." { program } else { test.display().to_string() },
    );
    Ok(Exit::Success)
}

impl From<ScaffoldError> for CliError {
    fn from(error: ScaffoldError) -> Self {
        match &error {
            ScaffoldError::Name { .. } => Self::user(&error)
                .hint("it starts with a lower-case letter and goes on with those, digits and `-`"),
            ScaffoldError::Exists { .. } => Self::user(&error).hint("name another folder with --path"),
            ScaffoldError::Write { .. } | ScaffoldError::Manifest { .. } => Self::environment(&error),
        }
    }
}
