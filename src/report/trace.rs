//! Where one artifact came from and what came of it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    gather::Statements,
    lineage::{StatementView, views},
};
use crate::{
    digest::Digest,
    lineage::{Decided, Kind, LineageError, Node, Resource, decisions_about, impact},
    record::RunId,
    release::Release,
    store::LocalStore,
};

/// Stages that the start of a search lists.
const LISTED: usize = 500;

/// Everything that statements tell of an artifact.
#[derive(Debug, Clone)]
pub struct Trace {
    /// When it was looked up.
    pub made: Timestamp,
    /// What was asked for, in the words of whoever asked.
    pub asked: String,
    /// SHA-256 of the artifact in hex; none where a stage was asked for, with all that it made.
    pub sha256: Option<String>,
    /// Statements on what it was made from, on itself, and on what was made of it, producers first.
    pub statements: Vec<StatementView>,
    /// The statement on what made it, as a position; none for data that no stage made.
    pub made_by: Option<usize>,
    /// Statements on what it was made from.
    pub above: BTreeSet<usize>,
    /// Stages that read it as a part of the data: positions, and the path.
    pub read_as: Vec<(usize, String)>,
    /// Releases that hold it or something made of it, the newest first.
    pub releases: Vec<String>,
    /// Runs that have it, or something made of it, as a result, the newest first.
    pub runs: Vec<RunId>,
    /// Decisions of people about it.
    pub decisions: Vec<Decided>,
    /// Folders whose listing is lost, so that nobody can tell whether it was in them.
    pub untold: Vec<String>,
}

/// Where a search in the lineage starts: the last statement on each stage.
#[derive(Debug, Clone)]
pub struct TraceStart {
    /// When it was looked up.
    pub made: Timestamp,
    /// The statements, the newest first.
    pub statements: Vec<StatementView>,
    /// Stages that are not listed.
    pub more: usize,
}

/// The last statement on each stage.
pub fn trace_start(from: Statements<'_>, now: Timestamp) -> TraceStart {
    let mut seen = BTreeSet::new();
    let nodes = from.library.nodes().iter().rev();
    let nodes: Vec<&Node> = nodes.filter(|node| node.stage().is_some_and(|name| seen.insert(name))).collect();
    let more = nodes.len().saturating_sub(LISTED);
    let listed = nodes.into_iter().take(LISTED).collect();
    let mut statements = views(from.library, from.policy, listed);
    statements.reverse();
    TraceStart { made: now, statements, more }
}

/// Everything that is known of what a text names: a stage, or an artifact by its SHA-256 or the beginning of it.
pub fn trace(
    from: Statements<'_>,
    store: &LocalStore,
    releases: &[Release],
    asked: &str,
    now: Timestamp,
) -> Result<Trace, LineageError> {
    let Statements { library, policy, .. } = from;
    let (maker, sha256) = library.named(asked)?;
    let above: Vec<&Node> = maker.map(|node| library.ancestry(node)).unwrap_or_default();
    let mut read_as: Vec<(Digest, String)> = Vec::new();
    let mut untold = Vec::new();
    let below: Vec<&Node> = match (&sha256, maker) {
        (None, Some(node)) => library.descent(node)[1..].to_vec(),
        (Some(hash), maker) => {
            let mut below: Vec<&Node> =
                library.readers(hash).into_iter().flat_map(|reader| library.descent(reader)).collect();
            if maker.is_none() {
                let found = impact(library, hash, store);
                if found.found.is_empty() {
                    return Err(LineageError::Unknown { what: format!("sha256:{hash}") });
                }
                read_as.extend(found.found.into_iter().map(|(node, path)| (node.digest, path)));
                below.extend(found.descends);
                untold.extend(found.untold);
            }
            below
        }
        (None, None) => Vec::new(),
    };
    let results: BTreeSet<&str> = {
        let own = maker.filter(|_| sha256.is_none()).into_iter();
        let made = own.chain(below.iter().copied()).flat_map(|node| &node.statement.subject);
        made.filter_map(Resource::sha256).chain(sha256.as_deref()).collect()
    };
    let holds = |hash: &str| results.contains(hash);
    let released = releases.iter().rev().filter(|release| {
        let mut outputs = release.manifest.stages.values().flat_map(|stage| stage.outputs.values());
        outputs.any(|output| holds(&output.artifact.digest.hex()))
    });
    let runs = library.nodes().iter().rev().filter(|node| {
        node.kind == Kind::Run && node.statement.subject.iter().filter_map(Resource::sha256).any(holds)
    });
    let runs = runs.filter_map(|node| node.statement.predicate.get("run")?.as_str()?.parse().ok());
    let mut about: Vec<&str> = sha256.as_deref().into_iter().collect();
    if about.is_empty() {
        about.extend(maker.iter().flat_map(|node| &node.statement.subject).filter_map(Resource::sha256));
    }
    let mut decisions: Vec<Decided> =
        about.iter().flat_map(|hash| decisions_about(library, policy, hash)).collect();
    decisions.sort_by_key(|one| (one.at, one.statement));
    decisions.dedup_by_key(|one| one.statement);
    let releases: Vec<String> = released.map(|release| release.manifest.name.clone()).collect();
    let runs: Vec<RunId> = runs.collect::<BTreeSet<_>>().into_iter().rev().collect();
    let mut statements = views(library, policy, above.iter().copied().chain(below).collect());
    let made_by = maker.and_then(|node| statements.iter().position(|one| one.statement == node.digest));
    if let (Some(made_by), Some(hash)) = (made_by, &sha256) {
        connect(&mut statements, made_by, hash);
    }
    let place = |digest: Digest| statements.iter().position(|one| one.statement == digest);
    Ok(Trace {
        made: now,
        asked: asked.to_owned(),
        made_by,
        above: above.iter().skip(1).filter_map(|node| place(node.digest)).collect(),
        read_as: read_as.into_iter().filter_map(|(digest, path)| Some((place(digest)?, path))).collect(),
        sha256,
        statements,
        releases,
        runs,
        decisions,
        untold,
    })
}

/// Equal bytes that were made twice were perhaps read as the first maker left them: for whoever asks for the bytes, their readers
/// follow the maker that is shown.
fn connect(statements: &mut [StatementView], made_by: usize, sha256: &str) {
    for reader in 0..statements.len() {
        let inputs = statements[reader].inputs.iter_mut();
        let mut lost = inputs.filter(|input| input.origin.is_none() && input.sha256 == sha256).peekable();
        if reader == made_by || lost.peek().is_none() {
            continue;
        }
        lost.for_each(|input| input.origin = Some(made_by));
        statements[made_by].used_by.push(reader);
    }
}
