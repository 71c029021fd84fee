//! `stagewright lineage show`.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};
use stagewright::{
    digest::Digest,
    lineage::{self, Decided, Library, Node, Resource, RunPredicate, Standing, TrustPolicy},
    store::LocalStore,
};

use super::tree;
use crate::cli::{CliError, Exit, Scene, signing};

/// Show what an artifact was made from, up to the data, and what was made from it
#[derive(Args)]
pub struct ShowArgs {
    /// A file or folder anywhere (its content counts), a SHA-256 or its beginning, or a stage
    artifact: String,
    /// Print JSON
    #[arg(long, conflicts_with = "mermaid")]
    json: bool,
    /// Print a Mermaid diagram, for Markdown on code hosts
    #[arg(long)]
    mermaid: bool,
}

pub fn run(scene: &Scene, args: &ShowArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let (_, library) = lineage::open(&config, &store)?;
    let policy = signing::policy(&config)?;
    let (node, hash) = library.find(&args.artifact, &scene.folder, &store)?;
    for (digest, error) in &library.broken {
        eprintln!("warning: statement {} can't be read: {error}", digest.short());
    }
    let view = View { library: &library, policy: policy.as_ref() };
    if args.json {
        let all: Vec<Value> = library.ancestry(node).into_iter().map(|node| view.json(node)).collect();
        let uses: Vec<Value> = library.descent(node)[1..].iter().map(|node| view.json(node)).collect();
        let shown = json!({ "artifact": hash, "made-by": all, "used-by": uses });
        let text = serde_json::to_string_pretty(&shown)
            .map_err(|error| CliError::environment(format_args!("cannot encode the lineage: {error}")))?;
        println!("{text}");
    } else if args.mermaid {
        print!("{}", tree::mermaid(&view, node));
    } else {
        print!("{}", tree::draw(&view, node, hash.as_deref()));
    }
    Ok(Exit::Success)
}

/// Statements, and whose signatures count.
pub struct View<'a> {
    pub library: &'a Library,
    policy: Option<&'a TrustPolicy>,
}

impl View<'_> {
    /// Who signed, in words.
    pub fn signed(&self, node: &Node) -> String {
        if node.envelope.signatures().is_empty() {
            return "unsigned".to_owned();
        }
        let Some(policy) = self.policy else { return "signed, no trust policy here".to_owned() };
        let made = node.provenance.as_ref().and_then(|one| one.run_details.metadata.finished_on);
        let words = policy.judge(&node.envelope, made).into_iter().map(|standing| match standing {
            Standing::Trusted(name) => format!("signed by {name}"),
            Standing::Revoked { name, .. } => format!("signed by {name}, REVOKED"),
            Standing::Unknown(id) => format!("signed by the UNKNOWN key {}", id.get(..12).unwrap_or(&id)),
            Standing::Wrong(name) => format!("BAD SIGNATURE of {name}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Decisions that count on what a stage made, or on one output of it; and on its gates and the targets of its last run.
    pub fn decisions(&self, node: &Node, hash: Option<&str>) -> Vec<Decided> {
        let subjects = node.statement.subject.iter().filter_map(Resource::sha256);
        let mut about: BTreeSet<String> =
            subjects.filter(|one| hash.is_none_or(|hash| hash == *one)).map(str::to_owned).collect();
        let byproducts = node.provenance.iter().flat_map(|one| &one.run_details.byproducts);
        about.extend(
            byproducts.filter(|one| one.name == "gates").filter_map(Resource::sha256).map(str::to_owned),
        );
        let run = about.iter().find_map(|hash| self.library.last_run(hash));
        let told = run.and_then(|run| run.statement.read::<RunPredicate>("the statement on the run").ok());
        about.extend(told.iter().flat_map(|told| &told.verdicts).map(Digest::hex));
        let mut decided: Vec<Decided> =
            about.iter().flat_map(|hash| lineage::decisions_about(self.library, self.policy, hash)).collect();
        decided.sort_by_key(|one| (one.at, one.statement));
        decided.dedup_by_key(|one| one.statement);
        decided
    }

    fn json(&self, node: &Node) -> Value {
        let input = |input: &Resource| {
            let origin = self.library.origin(node, input).map(|origin| origin.digest.to_string());
            json!({
                "name": input.name, "sha256": input.sha256(), "path": input.note("path"),
                "stage": input.note("stage"), "statement": origin,
            })
        };
        let outputs = node.statement.subject.iter();
        json!({
            "statement": node.digest,
            "stage": node.stage(),
            "signed": self.signed(node),
            "outputs": outputs.map(|one| json!({ "name": one.name, "sha256": one.sha256() })).collect::<Vec<_>>(),
            "inputs": node.inputs().map(input).collect::<Vec<_>>(),
            "decisions": self.decisions(node, None),
            "provenance": node.provenance,
        })
    }
}
