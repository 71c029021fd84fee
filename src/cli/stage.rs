//! `stagewright stage`.

mod new;
mod test;

use clap::{Args, Subcommand};
use console::style;
use serde_json::Value;
use stagewright::{
    catalog::{Catalog, Program},
    plan,
    spec::nearest,
};
use stagewright_protocol::{Determinism, Manifest, Port};

use super::{CliError, Exit, Scene, pipeline::block_on, screen};

/// List the stage programs there are, describe one, start a new one, test one
#[derive(Args)]
pub struct StageArgs {
    #[command(subcommand)]
    command: StageCommand,
}

#[derive(Subcommand)]
enum StageCommand {
    /// One line for every stage program
    List,
    /// Ports, params, metrics and resources of a stage
    Describe {
        /// Name as written after `uses:`
        name: String,
        /// Print the manifest as JSON
        #[arg(long)]
        json: bool,
    },
    New(new::NewArgs),
    Test(test::TestArgs),
}

pub fn run(scene: &Scene, args: &StageArgs) -> Result<Exit, CliError> {
    let catalog = || Ok::<_, CliError>(Catalog::find(&scene.config()?));
    match &args.command {
        StageCommand::List => list(&catalog()?),
        StageCommand::Describe { name, json } => describe(&catalog()?, name, *json),
        // Whoever writes a stage program need not be in a project.
        StageCommand::New(args) => new::run(scene, args),
        StageCommand::Test(args) => test::run(scene, args),
    }
}

fn list(catalog: &Catalog) -> Result<Exit, CliError> {
    let described = block_on(catalog.describe_all())?;
    if described.programs.is_empty() && described.faults.is_empty() {
        return Err(CliError::environment("no stage programs were found").hint(
            "they are called stagewright-stage-<name> and are looked for beside stagewright, in `stages.paths` of \
             stagewright.toml, and in PATH",
        ));
    }
    let rows: Vec<Vec<String>> = described
        .programs
        .iter()
        .map(|(name, program)| {
            vec![
                style(name).bold().to_string(),
                program.manifest.version.clone(),
                program.manifest.summary.clone(),
            ]
        })
        .collect();
    print!("{}", screen::table(&rows));
    for fault in described.faults.values() {
        println!("{} {fault}", style("broken:").red().bold());
    }
    Ok(if described.faults.is_empty() { Exit::Success } else { Exit::Environment })
}

/// The program of a stage name, asked what it is.
pub fn described(catalog: &Catalog, name: &str) -> Result<Program, CliError> {
    let mut described = block_on(catalog.describe([name]))?;
    if let Some(fault) = described.faults.remove(name) {
        let error = CliError::environment(&fault);
        return Err(match nearest::nearest(name, catalog.names().keys().map(String::as_str)) {
            Some(known) => error.hint(format!("did you mean `{known}`?")),
            None => error.hint("`stagewright stage list` shows those there are"),
        });
    }
    described
        .programs
        .remove(name)
        .ok_or_else(|| CliError::environment(format_args!("`{name}` gave no description")))
}

fn describe(catalog: &Catalog, name: &str, json: bool) -> Result<Exit, CliError> {
    let program = described(catalog, name)?;
    if json {
        let text = serde_json::to_string_pretty(&*program.manifest)
            .map_err(|error| CliError::environment(format_args!("cannot encode the manifest: {error}")))?;
        println!("{text}");
        return Ok(Exit::Success);
    }
    print!("{}", page(&program.manifest));
    for missing in &program.platform.missing {
        println!("\n{} {}", style("not usable here:").yellow().bold(), missing.message);
        if let Some(hint) = &missing.hint {
            println!("{} {hint}", style("hint:").cyan());
        }
    }
    Ok(Exit::Success)
}

fn page(manifest: &Manifest) -> String {
    let mut text = format!(
        "{} {} (cache version {})\n{}\n",
        style(&manifest.name).bold(),
        manifest.version,
        manifest.cache_version,
        manifest.summary
    );
    let ports = |ports: &std::collections::BTreeMap<String, Port>| {
        let rows: Vec<Vec<String>> = ports.iter().map(|(name, port)| port_row(name, port)).collect();
        screen::table(&rows)
    };
    text.push_str(&format!("\n{}\n{}", style("inputs").bold(), ports(&manifest.inputs)));
    text.push_str(&format!("\n{}\n{}", style("outputs").bold(), ports(&manifest.outputs)));
    text.push_str(&format!("\n{}\n", style("params").bold()));
    params(&manifest.params, 1, &mut text);
    if !manifest.metrics.is_empty() {
        let rows: Vec<Vec<String>> = manifest
            .metrics
            .iter()
            .map(|(name, meaning)| vec![format!("  {name}"), meaning.clone()])
            .collect();
        text.push_str(&format!("\n{}\n{}", style("metrics").bold(), screen::table(&rows)));
    }
    let wants = &manifest.resources;
    let cpus =
        if wants.cpus == 0 { "all cpus".to_owned() } else { screen::count(u64::from(wants.cpus), "cpu") };
    let alone = if wants.exclusive { ", the machine to itself" } else { "" };
    let alike = match manifest.determinism {
        Determinism::Bitwise => "the same bytes every time",
        Determinism::Tolerance => "the same within a tolerance",
        Determinism::None => "a measurement: it varies",
    };
    text.push_str(&format!("\nwants {cpus}{alone}; result: {alike}\n"));
    text
}

fn port_row(name: &str, port: &Port) -> Vec<String> {
    let mut notes = Vec::new();
    if !port.required {
        notes.push("optional");
    }
    if port.many {
        notes.push("list");
    }
    if port.refuses_test_data {
        notes.push("no test data");
    }
    let notes = if notes.is_empty() { String::new() } else { format!("({}) ", notes.join(", ")) };
    vec![format!("  {name}"), port.artifact_type.clone(), format!("{notes}{}", port.summary)]
}

/// Params as an indented list: name, type, default, unit, range; below it what it means.
fn params(schema: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for (name, param) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        text.push_str(&format!("{indent}{}  {}\n", style(name).cyan(), plan::param_facts(param)));
        if let Some(meaning) = param.get("description").and_then(Value::as_str) {
            text.push_str(&format!("{indent}    {}\n", meaning.replace('\n', " ")));
        }
        if let Some(source) = param.get("x-source").and_then(Value::as_str) {
            text.push_str(&format!("{indent}    source: {source}\n"));
        }
        nested(param, depth + 1, text);
    }
}

/// What a param is made of: the fields of a map, the items of a list, the choices of a union.
fn nested(param: &Value, depth: usize, text: &mut String) {
    params(param, depth, text);
    if let Some(items) = param.get("items") {
        nested(items, depth, text);
    }
    let choices = ["oneOf", "anyOf"].iter().filter_map(|word| param.get(word)?.as_array()).flatten();
    for choice in choices {
        if choice.get("properties").is_some() {
            let meaning =
                choice.get("description").and_then(Value::as_str).unwrap_or("one choice:").replace('\n', " ");
            text.push_str(&format!("{}– {meaning}\n", "  ".repeat(depth)));
            params(choice, depth + 1, text);
        }
    }
}
