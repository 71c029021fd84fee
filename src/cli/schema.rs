//! `stagewright schema`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::Value;
use stagewright::{catalog::Catalog, plan};

use super::{CliError, Exit, Scene, pipeline::block_on, stage};

/// Print the JSON Schema of pipeline files, for editors
///
/// It is made from the language and from what the stage programs found here declare: ports, params, ranges, defaults.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = EDITORS)]
pub struct SchemaArgs {
    /// The language alone, without the stage programs found here: the same on every machine
    #[arg(long)]
    language: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Only of the stages that use one program: ports and params of its manifest
    Stage {
        /// Name as written after `uses:`
        name: String,
    },
}

const EDITORS: &str = "\
Any editor with a YAML language server completes and checks pipelines with it. Write it to a file of the project:

  stagewright schema > pipelines/pipeline.schema.json

and name that file in the first line of a pipeline, relative to it:

  # yaml-language-server: $schema=pipeline.schema.json

or in the settings of VS Code, for all pipelines at once:

  \"yaml.schemas\": { \"pipelines/pipeline.schema.json\": \"pipelines/*.yaml\" }

`stagewright lsp` knows more than a schema can say: which stages there are, what fits a port, what a param resolves to.
";

pub fn run(scene: &Scene, args: &SchemaArgs) -> Result<Exit, CliError> {
    let schema = match &args.part {
        Some(Part::Stage { name }) => {
            let catalog = Catalog::find(&scene.config()?);
            plan::stage_schema(&stage::described(&catalog, name)?)
        }
        None if args.language => plan::schema(&BTreeMap::new()),
        None => {
            let catalog = Catalog::find(&scene.config()?);
            let described = block_on(catalog.describe_all())?;
            for fault in described.faults.values() {
                eprintln!("warning: left out: {fault}");
            }
            plan::schema(&described.programs)
        }
    };
    println!("{}", pretty(&schema)?);
    Ok(Exit::Success)
}

fn pretty(schema: &Value) -> Result<String, CliError> {
    serde_json::to_string_pretty(schema)
        .map_err(|error| CliError::environment(format_args!("cannot encode the schema: {error}")))
}
