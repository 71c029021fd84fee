//! `stagewright graph`.

use clap::{Args, ValueEnum};
use stagewright::plan::{Action, Plan, Source};

use super::{CliError, Exit, Scene, pipeline, pipeline::PipelineArgs};

/// Draw the pipeline: which stage feeds which
#[derive(Args)]
pub struct GraphArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// One stage a line with what it reads
    Text,
    /// For Markdown on code hosts
    Mermaid,
    /// For Graphviz
    Dot,
}

/// An edge: from a stage or path, over a port, to a stage.
struct Edge {
    from: String,
    is_path: bool,
    label: String,
    to: String,
}

pub fn run(scene: &Scene, args: &GraphArgs) -> Result<Exit, CliError> {
    let loaded = pipeline::load(scene, &args.pipeline)?;
    let text = match args.format {
        Format::Text => text(&loaded.plan),
        Format::Mermaid => mermaid(&loaded.plan),
        Format::Dot => dot(&loaded.plan),
    };
    print!("{text}");
    Ok(Exit::Success)
}

fn edges(action: &Action) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (port, bindings) in &action.inputs {
        for binding in bindings {
            let (from, is_path, label) = match &binding.source {
                Source::Path(path) => (path.display().to_string(), true, port.clone()),
                Source::Placed { path, stages, .. } => {
                    edges.extend(stages.iter().map(|stage| Edge {
                        from: stage.0.clone(),
                        is_path: false,
                        label: path.display().to_string(),
                        to: action.id.0.clone(),
                    }));
                    continue;
                }
                Source::Output { stage, port: output } if output == port => {
                    (stage.0.clone(), false, port.clone())
                }
                Source::Output { stage, port: output } => {
                    (stage.0.clone(), false, format!("{output} → {port}"))
                }
            };
            edges.push(Edge { from, is_path, label, to: action.id.0.clone() });
        }
    }
    let needs = action.needs.iter().map(|stage| Edge {
        from: stage.0.clone(),
        is_path: false,
        label: "needs".to_owned(),
        to: action.id.0.clone(),
    });
    let asked = action.condition.iter().flat_map(|condition| &condition.asks).map(|stage| Edge {
        from: stage.0.clone(),
        is_path: false,
        label: "if".to_owned(),
        to: action.id.0.clone(),
    });
    edges.extend(needs.chain(asked));
    edges
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for action in &plan.actions {
        text.push_str(&format!("{} ({})\n", action.id, action.program.manifest.name));
        if let Some(reason) = &action.skip {
            text.push_str(&format!("    skipped: {reason}\n"));
        }
        for edge in edges(action) {
            text.push_str(&format!("    ← {} ({})\n", edge.from, edge.label));
        }
    }
    text
}

fn mermaid(plan: &Plan) -> String {
    let mut names: Vec<String> = plan.actions.iter().map(|action| action.id.0.clone()).collect();
    let mut text = "flowchart LR\n".to_owned();
    for (index, name) in names.iter().enumerate() {
        text.push_str(&format!("  n{index}[\"{}\"]\n", mermaid_text(name)));
    }
    for edge in plan.actions.iter().flat_map(|action| edges(action)) {
        let from = position(&mut names, &edge.from).unwrap_or_else(|| {
            names.push(edge.from.clone());
            let index = names.len() - 1;
            text.push_str(&format!("  n{index}[(\"{}\")]\n", mermaid_text(&edge.from)));
            index
        });
        let Some(to) = position(&mut names, &edge.to) else { continue };
        text.push_str(&format!("  n{from} -- \"{}\" --> n{to}\n", mermaid_text(&edge.label)));
    }
    text
}

fn position(names: &mut [String], name: &str) -> Option<usize> {
    names.iter().position(|known| known == name)
}

fn mermaid_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

fn dot(plan: &Plan) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(&plan.name));
    for action in &plan.actions {
        text.push_str(&format!("  {};\n", quoted(&action.id.0)));
    }
    for edge in plan.actions.iter().flat_map(|action| edges(action)) {
        if edge.is_path {
            text.push_str(&format!("  {} [shape=cylinder];\n", quoted(&edge.from)));
        }
        text.push_str(&format!(
            "  {} -> {} [label={}];\n",
            quoted(&edge.from),
            quoted(&edge.to),
            quoted(&edge.label)
        ));
    }
    text.push_str("}\n");
    text
}
