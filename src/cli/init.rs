//! `stagewright init`.

use std::{fs, path::Path};

use clap::Args;
use stagewright::config::{FILE_NAME, STATE_FOLDER};

use super::{CliError, Exit, Scene, key};

/// Make a project in this folder: settings, an example pipeline, ignore rules, a key that signs
///
/// Nothing that exists is overwritten.
#[derive(Args)]
#[command(after_long_help = CONFIG)]
pub struct InitArgs {}

const CONFIG: &str = "\
Every key of stagewright.toml, with its default:

  [store]
  path = \".stagewright/store\"   # where artifacts are kept; relative to the file

  [stages]
  paths = []                    # folders with stage programs, searched after the one stagewright is in

  [cache]
  salt = \"\"                     # another value makes every stage run again
  keep-days = 30                # `stagewright gc` keeps results used within this many days

  [lineage]
  host-facts = [\"os\", \"arch\", \"cpus\", \"memory\", \"gpus\"]   # what statements tell of the machine

  [git]
  dirty = \"record\"              # or \"refuse\": what a run does where files differ from their commit

  [sync]
  remote = \"lab\"                # the remote that is meant when none is named; `stagewright remote` writes it
  run = \"off\"                   # or \"pull\", \"pull-and-push\": what `stagewright run` does with it

  [remotes.lab]                 # docs/remotes.md has every key
  url = \"s3://bucket/prefix\"    # or a folder, relative to the file
";

const SETTINGS: &str = "\
# Settings of this Stagewright project; `stagewright init --help` shows every key.
";

const PIPELINE: &str = r#"# A pipeline: from a folder of images to a trained model.
# `stagewright stage list` shows the stages there are, `stagewright stage describe train` the params of one.
version: 1
name: first

params:
  epochs: 10

stages:
  stats:
    uses: data-stats
    inputs:
      data: data # a folder with one folder of JPEG or PNG files per class

  train:
    uses: train
    inputs:
      data: data
      preprocess: ${{ stages.stats.outputs.preprocess }}
    with:
      epochs: ${{ params.epochs }}
    outputs:
      metrics: results/metrics.json
"#;

pub fn run(scene: &Scene, _: &InitArgs) -> Result<Exit, CliError> {
    let folder = &scene.folder;
    let mut lines = Vec::new();
    for (name, text) in [(FILE_NAME, SETTINGS), ("pipelines/first.yaml", PIPELINE)] {
        let state = if write_new(&folder.join(name), text)? { "made" } else { "kept" };
        lines.push(format!("{state} {name}"));
    }
    lines.push(format!("{} .gitignore", ignore(&folder.join(".gitignore"))?));
    match key::first(scene, &scene.config()?) {
        Ok(Some(made)) => lines.push(made),
        Ok(None) => lines.push("kept trust/policy.toml".to_owned()),
        // A project works without signatures; `key new` says more when somebody wants them.
        Err(error) => lines.push(format!("made no key, so statements will not be signed: {error}")),
    }
    println!("{}", lines.join("\n"));
    println!("\nput images into data/<class>/, then: stagewright check pipelines/first.yaml");
    Ok(Exit::Success)
}

fn write_new(path: &Path, text: &str) -> Result<bool, CliError> {
    if path.exists() {
        return Ok(false);
    }
    let failed = |error| CliError::environment(format_args!("cannot write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)?;
    Ok(true)
}

/// Adds the state folder to a `.gitignore`, once.
fn ignore(path: &Path) -> Result<&'static str, CliError> {
    let failed = |error| CliError::environment(format_args!("cannot write {}: {error}", path.display()));
    let rule = format!("/{STATE_FOLDER}/");
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    if old.lines().any(|line| line.trim() == rule) {
        return Ok("kept");
    }
    let separator = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    fs::write(path, format!("{old}{separator}{rule}\n")).map_err(failed)?;
    Ok(if old.is_empty() { "made" } else { "extended" })
}
