//! `stagewright approve`.

use clap::Args;
use jiff::Timestamp;
use stagewright::{
    lineage::{self, Decision, Proposal, Resource},
    store::LocalStore,
};

use super::{CliError, Exit, Scene, gc, signing};

/// Approve a result: sign, as a person, that it may be used
///
/// The approval is a statement about its bytes and a line of the ledger; `lineage show` and `lineage verify` tell of it. Look first:
/// `stagewright lineage verify` says whether the evidence holds, `stagewright report run` what was found.
#[derive(Args)]
pub struct ApproveArgs {
    /// A file or folder anywhere (its content counts), a SHA-256 or its beginning, or a stage for all it made
    subject: String,
    /// Name of the key that signs, in the trust policy [default: the only one that can sign here]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub fn run(scene: &Scene, args: &ApproveArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let (policy, signing, name) = signing::decider(scene, &config, args.name.as_deref())?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let (_, library) = lineage::open(&config, &store)?;
    let (node, hash) = library.find(&args.subject, &scene.folder, &store)?;
    let subjects = node.statement.subject.iter();
    let subject: Vec<Resource> = match &hash {
        Some(hash) => subjects.filter(|one| one.sha256() == Some(hash.as_str())).cloned().collect(),
        None => subjects.filter(|one| one.to_artifact().is_some()).cloned().collect(),
    };
    if subject.is_empty() {
        return Err(CliError::user(format_args!("`{}` made nothing that could be approved", args.subject)));
    }
    let decision = Decision::Approved { reason: args.reason.clone() };
    let proposal = Proposal { subject: subject.clone(), decision, at: Timestamp::now() };
    let decided = lineage::decide(&config, &store, &policy, &signing, &name, proposal)?;
    let stage = node.stage().unwrap_or("?");
    for one in &subject {
        println!(
            "approved by {}: {} of stage {stage}  sha256:{}",
            decided.by,
            one.name,
            one.sha256().unwrap_or_default()
        );
    }
    Ok(Exit::Success)
}
