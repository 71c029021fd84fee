//! The ledger against its blobs and its signed checkpoints.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Case, FaultKind, Log, Verification, judge, made, name, proofs};
use crate::{
    digest::Digest,
    lineage::{
        Checkpoint, Envelope, Kind, Ledger, LineageError, Other, RunPredicate, Standing, merkle, merkle::Hash,
    },
    store::StoreError,
};

pub(super) const LINK: &str = "the ledger";

pub(super) fn verify(case: &Case<'_>, found: &mut Verification) {
    for (digest, error) in &case.library.broken {
        let link = format!("statement {}", digest.short());
        let kind = match error {
            LineageError::Store(StoreError::Missing(_)) => FaultKind::Incomplete,
            LineageError::Store(_) => FaultKind::Bytes,
            _ => FaultKind::Malformed,
        };
        found.fault(kind, link, error.to_string());
    }
    match case.log {
        Log::Ledger(ledger) => whole(case, ledger, found),
        Log::Proofs(log) => proofs::verify(case, log, found),
    }
}

fn whole(case: &Case<'_>, ledger: &Ledger, found: &mut Verification) {
    let leaves = match ledger.leaves() {
        Ok(leaves) => leaves,
        Err(error) => return found.fault(FaultKind::Ledger, LINK, error.to_string()),
    };
    for (index, entry) in ledger.entries().iter().enumerate() {
        // Blobs that can't be read have been told of.
        if let Ok(bytes) = case.blobs.read(&entry.statement)
            && merkle::leaf_hash(&bytes) != leaves[index]
        {
            let what =
                format!("line {} has another leaf than its statement {}", index + 1, entry.statement.short());
            found.fault(FaultKind::Ledger, LINK, what);
        }
    }
    match ledger.checkpoints() {
        Err(error) => found.fault(FaultKind::Ledger, LINK, error.to_string()),
        Ok(checkpoints) => {
            for (index, envelope) in checkpoints.iter().enumerate() {
                let who = format!("checkpoint {}", index + 1);
                // The last one vouches for all before it, which may be older than the project's first key.
                if index + 1 == checkpoints.len() {
                    judge(case, envelope, time(case, ledger, envelope), &who, found);
                } else if case.policy.is_some_and(|policy| {
                    policy.judge(envelope, None).iter().any(|one| matches!(one, Standing::Wrong(_)))
                }) {
                    found.fault(FaultKind::Signature, &who, "its signature is not over these bytes");
                }
                match Checkpoint::from_envelope(&who, envelope) {
                    Ok(checkpoint) => head(&leaves, checkpoint.size, &checkpoint.root, who, found),
                    Err(error) => found.fault(FaultKind::Malformed, who, error.to_string()),
                }
            }
            if checkpoints.is_empty() && !leaves.is_empty() {
                found.notes.push("the ledger has no checkpoint yet: no run has come to its end".to_owned());
            }
        }
    }
    let others = match ledger.others() {
        Ok(others) => others,
        Err(error) => return found.fault(FaultKind::Ledger, LINK, error.to_string()),
    };
    for other in &others {
        copy(case, other, found);
    }
    let origins: BTreeMap<&Digest, &str> = ledger
        .entries()
        .iter()
        .filter_map(|entry| Some((&entry.statement, entry.origin.as_deref()?)))
        .collect();
    for node in case.library.nodes().iter().filter(|node| node.kind == Kind::Run) {
        // A run of another machine has seen the ledger of that one.
        let leaves = match origins.get(&node.digest) {
            None => &leaves,
            Some(origin) => match others.iter().find(|other| other.name == **origin) {
                Some(other) => &other.leaves,
                None => {
                    let what =
                        format!("{} was made elsewhere, and the ledger {origin} is not here", name(node));
                    found.notes.push(what);
                    continue;
                }
            },
        };
        let told = node.statement.read::<RunPredicate>(&name(node));
        let root = told.as_ref().ok().and_then(|told| hex::decode(&told.ledger.root).ok());
        match (told, root) {
            (Ok(told), Some(root)) => head(leaves, told.ledger.size, &root, name(node), found),
            _ => {
                found.fault(FaultKind::Malformed, name(node), "it does not say what the ledger was before it")
            }
        }
    }
}

/// What somebody has seen of a ledger must be its beginning.
fn head(leaves: &[Hash], size: u64, root: &[u8], who: String, found: &mut Verification) {
    let Some(then) = usize::try_from(size).ok().and_then(|size| leaves.get(..size)) else {
        let what = format!("{who} has seen {size} statements, and {} are left", leaves.len());
        return found.fault(FaultKind::Ledger, LINK, what);
    };
    if merkle::root(then) != *root {
        let what = format!("its first {size} statements are not those that {who} has seen");
        found.fault(FaultKind::Ledger, LINK, what);
    }
}

/// The copy of another machine's ledger against its own checkpoint.
fn copy(case: &Case<'_>, other: &Other, found: &mut Verification) {
    let link = format!("the ledger {} of another machine", other.name);
    let Some(envelope) = &other.checkpoint else {
        return found.notes.push(format!("{link} has no checkpoint"));
    };
    let who = format!("the checkpoint of {link}");
    match Checkpoint::from_envelope(&who, envelope) {
        Ok(checkpoint) => {
            // The last statement that it covers says when it was made.
            let last = usize::try_from(checkpoint.size).ok().and_then(|size| size.checked_sub(1));
            let node = last.and_then(|last| case.library.blob(&other.statements.get(last)?.hex()));
            judge(case, envelope, node.and_then(|node| made(case.library, node)), &who, found);
            head(&other.leaves, checkpoint.size, &checkpoint.root, who, found);
        }
        Err(error) => found.fault(FaultKind::Malformed, who, error.to_string()),
    }
}

/// When the run ended that made a checkpoint: the last statement in it is that run's.
pub(super) fn time(case: &Case<'_>, ledger: &Ledger, envelope: &Envelope) -> Option<Timestamp> {
    let checkpoint = Checkpoint::from_envelope(LINK, envelope).ok()?;
    let last = usize::try_from(checkpoint.size).ok()?.checked_sub(1)?;
    made(case.library, case.library.blob(&ledger.entries().get(last)?.statement.hex())?)
}

/// Is a checkpoint that was kept elsewhere the beginning of this ledger?
pub(super) fn since(ledger: &Ledger, kept: &Checkpoint, found: &mut Verification) {
    let Ok(leaves) = ledger.leaves() else { return };
    let now = Checkpoint::of(&leaves);
    let size = usize::try_from(kept.size).unwrap_or(usize::MAX);
    let proof = merkle::consistency_proof(&leaves, size);
    if !merkle::is_consistent(kept.size, &kept.root, now.size, &now.root, &proof) {
        let what = format!(
            "it has {} statements and is no continuation of the kept checkpoint of {}",
            now.size, kept.size
        );
        found.fault(FaultKind::Ledger, LINK, what);
    }
}
