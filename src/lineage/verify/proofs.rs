//! Statements against the proofs of a bundle: each stands in a ledger that trusted keys have signed.

use std::collections::BTreeSet;

use super::{Case, FaultKind, Verification, judge, made, name};
use crate::lineage::{
    Checkpoint, Kind, LineageError, RunPredicate,
    bundle::{LogProofs, ProvenEntry, hashes},
    merkle,
};

const LINK: &str = "the proofs of the log";

pub(super) fn verify(case: &Case<'_>, log: &LogProofs, found: &mut Verification) {
    let checkpoint = match Checkpoint::from_envelope("the checkpoint", &log.checkpoint) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return found.fault(FaultKind::Malformed, "the checkpoint", error.to_string()),
    };
    // The last statement that it covers says when it was made.
    let last = log.entries.iter().find(|entry| Some(entry.index) == checkpoint.size.checked_sub(1));
    let last = last.and_then(|entry| case.library.blob(&entry.statement.hex()));
    let time = last.and_then(|node| made(case.library, node));
    judge(case, &log.checkpoint, time, "the checkpoint", found);
    let mut places = BTreeSet::new();
    for entry in &log.entries {
        if !places.insert(entry.index) {
            found.fault(FaultKind::Ledger, LINK, format!("two statements have the place {}", entry.index));
        }
        statement(case, &checkpoint, entry, found);
    }
    for run in case.library.nodes().iter().filter(|node| node.kind == Kind::Run) {
        let entry = log.entries.iter().find(|entry| entry.statement == run.digest);
        if let Some(origin) = entry.and_then(|entry| entry.origin.as_ref()) {
            let run = name(run);
            found
                .notes
                .push(format!("{run} was made elsewhere, and the ledger {origin} is not in the bundle"));
            continue;
        }
        if let Err(what) = head(&checkpoint, log, run.statement.read(&name(run))) {
            found.fault(FaultKind::Ledger, name(run), what);
        }
    }
}

fn statement(case: &Case<'_>, checkpoint: &Checkpoint, entry: &ProvenEntry, found: &mut Verification) {
    let short = entry.statement.short();
    // One that can't be read has been told of.
    let Ok(bytes) = case.blobs.read(&entry.statement) else { return };
    if entry.index >= checkpoint.size {
        match case.library.blob(&entry.statement.hex()) {
            Some(node) if node.kind == Kind::Decision => found.notes.push(format!(
                "{} is newer than the signed log, so its own signature is all that speaks for it",
                name(node)
            )),
            _ => found.fault(
                FaultKind::Ledger,
                LINK,
                format!("the statement {short} is newer than the signed log"),
            ),
        }
        return;
    }
    let leaf = merkle::leaf_hash(&bytes);
    let included = hashes(&entry.proof).is_some_and(|proof| {
        merkle::is_included(&leaf, entry.index, checkpoint.size, &proof, &checkpoint.root)
    });
    if !included {
        let what = format!("they do not show that the statement {short} stands in the log");
        found.fault(FaultKind::Ledger, LINK, what);
    }
}

/// What a run has seen of the ledger must be the beginning of the checkpoint's.
fn head(
    checkpoint: &Checkpoint,
    log: &LogProofs,
    told: Result<RunPredicate, LineageError>,
) -> Result<(), String> {
    let told = told.map_err(|error| error.to_string())?.ledger;
    let mut root = [0; 32];
    hex::decode_to_slice(&told.root, &mut root)
        .map_err(|_| "it does not say what the ledger was before it".to_owned())?;
    let proof = log.heads.iter().find(|head| head.size == told.size);
    let proof = proof.and_then(|head| hashes(&head.proof));
    let consistent = proof.is_some_and(|proof| {
        merkle::is_consistent(told.size, &root, checkpoint.size, &checkpoint.root, &proof)
    });
    if consistent {
        Ok(())
    } else {
        Err("the log is not shown to continue the ledger that it has seen".to_owned())
    }
}
