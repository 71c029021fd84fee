//! The evidence behind a result in formats of others.
//!
//! Derived from the statements, which stay what counts: only the in-toto bundle holds them with their signatures.

mod cyclonedx;
mod oms;
mod openlineage;
mod prov;

use std::collections::BTreeSet;

pub use cyclonedx::cyclonedx;
pub use oms::oms;
pub use openlineage::openlineage;
pub use prov::prov;

use super::{Kind, Library, LineageError, Node, Resource};
use crate::digest::Digest;

/// What is exported: a result with everything that it was made from.
pub struct Subject<'a> {
    /// The statement on the stage that made it.
    pub node: &'a Node,
    /// SHA-256 of the file or folder that is meant; none for all that the stage made.
    pub sha256: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// Statements on all stages behind it, what was made first before what was made from it.
    fn chain(&self, library: &'a Library) -> Vec<&'a Node> {
        let all: BTreeSet<Digest> = library.ancestry(self.node).iter().map(|node| node.digest).collect();
        library.nodes().iter().filter(|node| all.contains(&node.digest)).collect()
    }

    /// The files and folders that are meant.
    pub(super) fn resources(&self) -> impl Iterator<Item = &'a Resource> {
        let wanted = self.sha256;
        let subjects = self.node.statement.subject.iter();
        subjects.filter(move |one| match wanted {
            Some(hash) => one.sha256() == Some(hash),
            None => one.to_artifact().is_some(),
        })
    }
}

/// All statements behind a result as they were signed: an in-toto bundle, an envelope a line
/// (<https://github.com/in-toto/attestation/blob/main/spec/v1/bundle.md>). The stages with their verdicts, the last run that has the
/// result, and decisions on any of it, in the order of the ledger.
pub fn in_toto(library: &Library, subject: &Subject<'_>) -> Result<Vec<u8>, LineageError> {
    let chain = subject.chain(library);
    let mut wanted: BTreeSet<String> = chain.iter().map(|node| node.digest.hex()).collect();
    let byproducts =
        chain.iter().flat_map(|node| &node.provenance).flat_map(|one| &one.run_details.byproducts);
    wanted
        .extend(byproducts.filter(|one| one.name == "gates").filter_map(Resource::sha256).map(str::to_owned));
    let mut about: BTreeSet<String> = wanted.clone();
    about.extend(subject.resources().filter_map(Resource::sha256).map(str::to_owned));
    let run = subject.resources().filter_map(Resource::sha256).find_map(|hash| library.last_run(hash));
    if let Some(run) = run {
        let told: super::RunPredicate = run.statement.read("the statement on the run")?;
        let verdicts = told.verdicts.iter().map(Digest::hex);
        about.extend(verdicts.clone());
        wanted.extend(verdicts);
        wanted.insert(run.digest.hex());
    }
    let mut bytes = Vec::new();
    for node in library.nodes() {
        let decides = node.kind == Kind::Decision && about.iter().any(|hash| node.is_about(hash));
        if decides || wanted.contains(&node.digest.hex()) {
            bytes.extend(node.envelope.encode()?);
            bytes.push(b'\n');
        }
    }
    Ok(bytes)
}

/// A program or commit that a stage was made with.
fn program(node: &Node) -> Option<&Resource> {
    dependencies(node).find(|one| one.name.starts_with("program:"))
}

/// The commit of the project, in hex.
fn commit(node: &Node) -> Option<&str> {
    dependencies(node).find_map(|one| one.digest.get("gitCommit")).map(String::as_str)
}

fn dependencies(node: &Node) -> impl Iterator<Item = &Resource> {
    node.provenance.iter().flat_map(|one| &one.build_definition.resolved_dependencies)
}
