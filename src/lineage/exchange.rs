//! Ledgers of several machines: what one has written, the others read.
//!
//! A project's ledger goes to a remote as a log of its own, under a name that is drawn once. Whoever reads it keeps a copy of its lines
//! (`<state>/lineage-v1/others/<name>.jsonl`), and takes the statements into the own ledger, each with the name of the ledger that it
//! comes from. So a log that was cut back, or in which something else stands than before, is found and not merged.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Checkpoint, Entry, Envelope, Kind, Ledger, LineageError, Statement,
    merkle::{self, Hash},
};
use crate::{digest::Digest, store::LocalStore};

/// What the writer of a log says of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Note {
    /// Root over all lines, in hex.
    root: String,
    /// The last checkpoint of the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Envelope>,
}

/// Lines that are to be put behind those that a remote has.
#[derive(Debug)]
pub struct Outgoing {
    /// The lines.
    pub lines: Vec<Vec<u8>>,
    /// The statements behind them, as far as they are in the store.
    pub statements: BTreeSet<Digest>,
    /// Says what the log is then.
    pub note: Value,
}

/// A ledger of another machine, read from a remote and found to continue what was known of it.
#[derive(Debug)]
pub struct Incoming {
    name: String,
    entries: Vec<Entry>,
    known: usize,
    checkpoint: Option<Envelope>,
}

/// What came of another ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Statements that are new here.
    pub statements: u64,
    /// Those of them on runs.
    pub runs: u64,
    /// Those of them that are decisions.
    pub decisions: u64,
    /// Statements that the other ledger names and the remote does not have.
    pub lost: u64,
}

/// Another machine's ledger, as it was when it was read last.
#[derive(Debug)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// The statements of its lines.
    pub statements: Vec<Digest>,
    /// Leaf hashes of its lines.
    pub leaves: Vec<Hash>,
    /// Its last checkpoint.
    pub checkpoint: Option<Envelope>,
}

/// What of a ledger a remote does not have yet. `there` is how many lines it has, and what was noted of them.
pub fn outgoing(
    ledger: &Ledger,
    store: &LocalStore,
    there: Option<(u64, &Value)>,
) -> Result<Option<Outgoing>, LineageError> {
    let leaves = ledger.leaves()?;
    let from = match there {
        None => 0,
        Some((lines, note)) => {
            let diverged =
                |reason: String| LineageError::Diverged { name: "this project".to_owned(), reason };
            let from =
                usize::try_from(lines).ok().filter(|lines| *lines <= leaves.len()).ok_or_else(|| {
                    diverged(format!(
                        "the remote has {lines} lines of it, and only {} are here",
                        leaves.len()
                    ))
                })?;
            let noted: Note =
                serde_json::from_value(note.clone()).map_err(|error| diverged(error.to_string()))?;
            if noted.root != hex::encode(merkle::root(&leaves[..from])) {
                return Err(diverged(format!(
                    "the first {from} lines here are not those that the remote has"
                )));
            }
            from
        }
    };
    let new = &ledger.entries()[from..];
    if new.is_empty() {
        return Ok(None);
    }
    let encode =
        |entry: &Entry| serde_json::to_vec(entry).map_err(LineageError::encode("a line of the ledger"));
    let note = Note { root: hex::encode(merkle::root(&leaves)), checkpoint: ledger.checkpoints()?.pop() };
    Ok(Some(Outgoing {
        lines: new.iter().map(encode).collect::<Result<_, _>>()?,
        statements: new.iter().map(|entry| entry.statement).filter(|one| store.contains(one)).collect(),
        note: serde_json::to_value(&note).map_err(LineageError::encode("a note on the ledger"))?,
    }))
}

/// How many lines of another ledger were read before.
pub fn lines_known(ledger: &Ledger, name: &str) -> Result<u64, LineageError> {
    Ok(ledger.other_lines(name)?.len() as u64)
}

/// Takes lines of another ledger, those behind the known ones, after finding that they continue them.
pub fn incoming(
    ledger: &Ledger,
    name: &str,
    there: (u64, &Value),
    lines: &[Vec<u8>],
) -> Result<Incoming, LineageError> {
    let diverged = |reason: String| LineageError::Diverged { name: name.to_owned(), reason };
    let mut entries = ledger.other_lines(name)?;
    let known = entries.len();
    if there.0 < known as u64 {
        return Err(diverged(format!("it had {known} lines when it was read last, and has {} now", there.0)));
    }
    for line in lines {
        let entry = serde_json::from_slice(line);
        entries.push(entry.map_err(|error| diverged(format!("line {}: {error}", entries.len() + 1)))?);
    }
    let leaves = leaves_of(&entries).ok_or_else(|| diverged("a leaf is not 64 hex digits".to_owned()))?;
    let note: Note = serde_json::from_value(there.1.clone()).map_err(|error| diverged(error.to_string()))?;
    if there.0 != leaves.len() as u64 || note.root != hex::encode(merkle::root(&leaves)) {
        return Err(diverged(format!(
            "its {} lines are not those that it had when it was read last",
            there.0
        )));
    }
    if let Some(envelope) = &note.checkpoint {
        let checkpoint = Checkpoint::from_envelope("the checkpoint of the other ledger", envelope)?;
        let then = usize::try_from(checkpoint.size).ok().and_then(|size| leaves.get(..size));
        if then.is_none_or(|then| merkle::root(then) != checkpoint.root) {
            return Err(diverged("its lines are not those that its checkpoint has signed".to_owned()));
        }
    }
    Ok(Incoming { name: name.to_owned(), entries, known, checkpoint: note.checkpoint })
}

fn leaves_of(entries: &[Entry]) -> Option<Vec<Hash>> {
    entries.iter().map(Entry::leaf_hash).collect()
}

impl Incoming {
    /// The statements behind its new lines.
    pub fn statements(&self) -> BTreeSet<Digest> {
        self.entries[self.known..].iter().map(|entry| entry.statement).collect()
    }

    /// Takes the new statements into the ledger, as far as they are in the store, and remembers the lines.
    pub fn adopt(self, ledger: &mut Ledger, store: &LocalStore) -> Result<Adopted, LineageError> {
        let own = ledger.name()?;
        let mut seen: BTreeSet<Digest> = ledger.entries().iter().map(|entry| entry.statement).collect();
        let (mut adopted, mut new) = (Adopted::default(), Vec::new());
        for (at, entry) in self.entries.iter().enumerate().skip(self.known) {
            if entry.origin.as_deref() == Some(own.as_str()) || !seen.insert(entry.statement) {
                continue;
            }
            if !store.contains(&entry.statement) {
                adopted.lost += 1;
                continue;
            }
            self.check(at, entry, &store.read(&entry.statement)?)?;
            adopted.statements += 1;
            adopted.runs += u64::from(entry.kind == Kind::Run);
            adopted.decisions += u64::from(entry.kind == Kind::Decision);
            let origin = entry.origin.clone().or_else(|| Some(self.name.clone()));
            new.push(Entry { origin, ..entry.clone() });
        }
        ledger.append(&new)?;
        ledger.remember(&self.name, &self.entries[self.known..], self.checkpoint.as_ref())?;
        Ok(adopted)
    }

    /// A line must say what its statement is.
    fn check(&self, at: usize, entry: &Entry, bytes: &[u8]) -> Result<(), LineageError> {
        let diverged = |reason: &str| LineageError::Diverged {
            name: self.name.clone(),
            reason: format!("line {}: {reason}", at + 1),
        };
        if entry.leaf_hash() != Some(merkle::leaf_hash(bytes)) {
            return Err(diverged("its leaf is not that of its statement"));
        }
        let what = format!("the statement {}", entry.statement);
        let statement = Statement::from_envelope(&what, &Envelope::decode(&what, bytes)?)?;
        if Kind::of(&statement.predicate_type) != Some(entry.kind) {
            return Err(diverged("its statement is of another kind"));
        }
        Ok(())
    }
}

impl Ledger {
    /// The name under which others know this ledger: drawn when it is asked for first.
    pub fn name(&self) -> Result<String, LineageError> {
        let path = self.folder().join("name");
        match std::fs::read_to_string(&path) {
            Ok(name) if Uuid::try_parse(name.trim()).is_ok() => Ok(name.trim().to_owned()),
            Ok(_) => Err(LineageError::Ledger { path, line: 1, reason: "it is no UUID".to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let name = Uuid::now_v7().to_string();
                self.write_whole("name", format!("{name}\n").as_bytes())?;
                Ok(name)
            }
            Err(error) => Err(LineageError::io("read", &path)(error)),
        }
    }

    /// The ledgers of other machines, as they were read last.
    pub fn others(&self) -> Result<Vec<Other>, LineageError> {
        let folder = self.folder().join("others");
        let mut names: Vec<String> = match std::fs::read_dir(&folder) {
            Ok(items) => items
                .filter_map(|item| Some(item.ok()?.file_name().to_str()?.strip_suffix(".jsonl")?.to_owned()))
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LineageError::io("read", &folder)(error)),
        };
        names.sort_unstable();
        let read = |name: String| {
            let entries = self.other_lines(&name)?;
            let leaves = leaves_of(&entries).ok_or_else(|| LineageError::Ledger {
                path: self.other_path(&name),
                line: 1,
                reason: "a leaf is not 64 hex digits".to_owned(),
            })?;
            let path = folder.join(format!("{name}.checkpoint.json"));
            let checkpoint = match std::fs::read(&path) {
                Ok(bytes) => Some(Envelope::decode(&path.display().to_string(), &bytes)?),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(LineageError::io("read", &path)(error)),
            };
            let statements = entries.iter().map(|entry| entry.statement).collect();
            Ok(Other { name, statements, leaves, checkpoint })
        };
        names.into_iter().map(read).collect()
    }

    fn other_path(&self, name: &str) -> PathBuf {
        self.folder().join("others").join(format!("{name}.jsonl"))
    }

    fn other_lines(&self, name: &str) -> Result<Vec<Entry>, LineageError> {
        if Uuid::try_parse(name).is_err() {
            let reason = "its name is no UUID".to_owned();
            return Err(LineageError::Diverged { name: name.to_owned(), reason });
        }
        Self::read_lines(&self.other_path(name))
    }

    /// Keeps lines of another ledger, and its checkpoint.
    fn remember(&self, name: &str, new: &[Entry], checkpoint: Option<&Envelope>) -> Result<(), LineageError> {
        let mut bytes = Vec::new();
        for entry in new {
            serde_json::to_writer(&mut bytes, entry).map_err(LineageError::encode("a line of a ledger"))?;
            bytes.push(b'\n');
        }
        self.append_lines(&format!("others/{name}.jsonl"), &bytes)?;
        if let Some(envelope) = checkpoint {
            self.write_whole(&format!("others/{name}.checkpoint.json"), &envelope.encode()?)?;
        }
        Ok(())
    }
}
