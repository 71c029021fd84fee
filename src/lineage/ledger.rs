//! The ledger: every statement that was made or reused in this project, in order, as the leaves of one Merkle tree.
//!
//! ```text
//! <state>/lineage-v1/ledger.jsonl        a statement a line; lines are appended and never changed
//! <state>/lineage-v1/checkpoints.jsonl   size and root after each run, signed
//! <state>/lineage-v1/name                under which others know it, once it was pushed
//! <state>/lineage-v1/others/             lines and last checkpoints of other machines' ledgers, as they were pulled
//! ```
//!
//! The statements themselves are blobs of the store. A leaf is the envelope's bytes, hashed as RFC 6962 says, so a line that is
//! taken out, exchanged or moved changes the root that a checkpoint has signed. What a thief of the whole folder could still
//! do is to cut it back to an earlier checkpoint; a checkpoint that was kept elsewhere shows that.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::{
    Envelope, LineageError, Signing,
    merkle::{self, Hash},
};
use crate::{digest::Digest, record::RunId};

/// Payload type of a checkpoint: three lines as in <https://c2sp.org/tlog-checkpoint>.
pub const CHECKPOINT: &str = "application/vnd.stagewright.checkpoint.v1";

const ORIGIN: &str = "stagewright.dev/ledger/v1";

/// What a statement is, so that a search need not open all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Provenance of a stage's outputs.
    Stage,
    /// Verdicts of gates.
    Test,
    /// A whole run.
    Run,
    /// An approval or a waiver.
    Decision,
}

impl Kind {
    /// What a predicate of this type makes of a statement.
    pub(super) fn of(predicate_type: &str) -> Option<Self> {
        match predicate_type {
            super::PROVENANCE => Some(Self::Stage),
            super::TEST_RESULT => Some(Self::Test),
            super::RUN => Some(Self::Run),
            super::DECISION => Some(Self::Decision),
            _ => None,
        }
    }
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entry {
    /// The envelope's blob.
    pub statement: Digest,
    /// What it is.
    pub kind: Kind,
    /// Run in which it was made; for one that was made elsewhere, the run that reused it.
    pub run: Option<RunId>,
    /// SHA-256 of each subject, in hex. None for a run, which is about every output of every stage: with them, each run would add
    /// a line as long as its pipeline, and all lines are read by each run.
    pub subjects: Vec<String>,
    /// Leaf hash of the envelope's bytes, in hex.
    pub leaf: String,
    /// Name of the ledger that it was taken over from; none for one that was written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Entry {
    /// The line for an envelope.
    pub fn new(bytes: &[u8], kind: Kind, run: Option<RunId>, subjects: Vec<String>) -> Self {
        Self {
            statement: Digest::of(bytes),
            kind,
            run,
            subjects,
            leaf: hex::encode(merkle::leaf_hash(bytes)),
            origin: None,
        }
    }

    /// The leaf hash; none if it is not 64 hex digits.
    pub fn leaf_hash(&self) -> Option<Hash> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.leaf, &mut hash).ok()?;
        Some(hash)
    }
}

/// Size and root of the ledger at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of statements.
    pub size: u64,
    /// Root over their leaf hashes.
    pub root: Hash,
}

impl Checkpoint {
    /// Of these leaves.
    pub fn of(leaves: &[Hash]) -> Self {
        Self { size: leaves.len() as u64, root: merkle::root(leaves) }
    }

    /// The text that is signed.
    pub fn encode(&self) -> String {
        format!("{ORIGIN}\n{}\n{}\n", self.size, Base64::encode_string(&self.root))
    }

    /// Reads a checkpoint out of its envelope; whether to believe it is another question. `what` names it in errors.
    pub fn from_envelope(what: &str, envelope: &Envelope) -> Result<Self, LineageError> {
        let wrong = || LineageError::Statement {
            what: what.to_owned(),
            reason: "it is no checkpoint of a ledger".to_owned(),
        };
        let payload = envelope.payload();
        let text = std::str::from_utf8(&payload).map_err(|_| wrong())?;
        let mut lines = text.lines();
        let (Some(ORIGIN), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(wrong());
        };
        let mut hash = [0; 32];
        Base64::decode(root, &mut hash).map_err(|_| wrong())?;
        let checkpoint = Self { size: size.parse().map_err(|_| wrong())?, root: hash };
        if envelope.payload_type() != CHECKPOINT || checkpoint.encode() != text {
            return Err(wrong());
        }
        Ok(checkpoint)
    }
}

/// The ledger of a project.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
    entries: Vec<Entry>,
    /// How far the file was read: entries and bytes. Behind it are lines of ours, and of others that were not seen yet.
    read: (usize, u64),
}

impl Ledger {
    /// Reads it; a project without a run has an empty one.
    pub fn load(state_dir: &Path) -> Result<Self, LineageError> {
        let mut ledger =
            Self { folder: state_dir.join("lineage-v1"), entries: Vec::new(), read: Default::default() };
        ledger.catch_up()?;
        Ok(ledger)
    }

    /// The file of a project's ledger.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("lineage-v1").join("ledger.jsonl")
    }

    /// Reads what was appended since; all before it stays as it is, so, for speed, it is not read again.
    fn catch_up(&mut self) -> Result<(), LineageError> {
        let path = self.folder.join("ledger.jsonl");
        let (known, from) = self.read;
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => drop(other.map_err(LineageError::io("read", &path))?),
        }
        self.entries.truncate(known);
        for line in whole_lines(&bytes) {
            let entry = serde_json::from_slice(line).map_err(|error| LineageError::Ledger {
                path: path.clone(),
                line: self.entries.len() + 1,
                reason: error.to_string(),
            })?;
            self.entries.push(entry);
        }
        self.read = (self.entries.len(), from + whole_length(&bytes) as u64);
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the lines of a file; none where there is no such file.
    pub(super) fn read_lines(path: &Path) -> Result<Vec<Entry>, LineageError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LineageError::io("read", path)(error)),
        };
        let read = |(index, line): (usize, &[u8])| {
            serde_json::from_slice(line).map_err(|error| LineageError::Ledger {
                path: path.to_owned(),
                line: index + 1,
                reason: error.to_string(),
            })
        };
        whole_lines(&bytes).enumerate().map(read).collect()
    }

    /// Appends lines to a file beside the ledger.
    pub(super) fn append_lines(&self, name: &str, bytes: &[u8]) -> Result<(), LineageError> {
        self.append_to(name, bytes, true)
    }

    /// Writes a file beside the ledger whole, in place of the one that is there.
    pub(super) fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), LineageError> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(LineageError::io("create", folder))?;
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_data()?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map(drop).map_err(LineageError::io("write", &path))
    }

    /// The statements in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The leaf hashes in order.
    pub fn leaves(&self) -> Result<Vec<Hash>, LineageError> {
        let leaf = |(index, entry): (usize, &Entry)| {
            entry.leaf_hash().ok_or_else(|| LineageError::Ledger {
                path: self.folder.join("ledger.jsonl"),
                line: index + 1,
                reason: "its leaf is not 64 hex digits".to_owned(),
            })
        };
        self.entries.iter().enumerate().map(leaf).collect()
    }

    /// Appends lines; safe between processes. What others appended meanwhile is not seen.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), LineageError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut bytes, entry).map_err(LineageError::encode("a line of the ledger"))?;
            bytes.push(b'\n');
        }
        self.append_to("ledger.jsonl", &bytes, false)?;
        self.entries.extend_from_slice(entries);
        Ok(())
    }

    /// Signs the ledger as it stands on disk, and keeps the checkpoint.
    pub fn checkpoint(&mut self, signing: &Signing) -> Result<Checkpoint, LineageError> {
        self.catch_up()?;
        let checkpoint = Checkpoint::of(&self.leaves()?);
        let mut line = signing.seal(CHECKPOINT, checkpoint.encode().as_bytes())?.encode()?;
        line.push(b'\n');
        self.append_to("checkpoints.jsonl", &line, true)?;
        Ok(checkpoint)
    }

    /// The checkpoints in order.
    pub fn checkpoints(&self) -> Result<Vec<Envelope>, LineageError> {
        let path = self.folder.join("checkpoints.jsonl");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LineageError::io("read", &path)(error)),
        };
        let read = |(index, line): (usize, &[u8])| {
            Envelope::decode(&format!("{} line {}", path.display(), index + 1), line)
        };
        whole_lines(&bytes).enumerate().map(read).collect()
    }

    fn append_to(&self, name: &str, bytes: &[u8], sync: bool) -> Result<(), LineageError> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(LineageError::io("create", folder))?;
        let open = File::options().read(true).append(true).create(true).open(&path);
        let mut file = open.map_err(LineageError::io("open", &path))?;
        file.lock().map_err(LineageError::io("lock", &path))?;
        let done = drop_torn_line(&mut file).and_then(|()| file.write_all(bytes));
        let done = done.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        // Not left to closing: a process that is just being started may hold a copy of the file for a moment.
        let _ = file.unlock();
        done.map_err(LineageError::io("write", &path))
    }
}

/// A line that a killed process left unfinished never was one.
fn drop_torn_line(file: &mut File) -> std::io::Result<()> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut byte = [0];
    while end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            break;
        }
        end -= 1;
    }
    if end < file.seek(SeekFrom::End(0))? { file.set_len(end) } else { Ok(()) }
}

/// Bytes of the lines that have an end.
fn whole_length(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes[..whole_length(bytes)].split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry::new(text.as_bytes(), Kind::Stage, None, vec![Digest::of(b"x").hex()])
    }

    #[test]
    fn lines_are_kept_in_order_and_a_torn_one_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::load(folder.path()).unwrap();
        ledger.append(&[entry("a"), entry("b")]).unwrap();
        let path = folder.path().join("lineage-v1/ledger.jsonl");
        File::options().append(true).open(&path).unwrap().write_all(b"{\"statement\":").unwrap();
        assert_eq!(Ledger::load(folder.path()).unwrap().entries(), [entry("a"), entry("b")]);
        ledger.append(&[entry("c")]).unwrap();
        let again = Ledger::load(folder.path()).unwrap();
        assert_eq!(again.entries(), [entry("a"), entry("b"), entry("c")]);
        assert_eq!(again.entries(), ledger.entries());
    }

    #[test]
    fn a_checkpoint_is_of_what_is_on_disk_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        Ledger::load(folder.path()).unwrap().append(&[entry("a")]).unwrap();
        let (mut one, mut other) =
            (Ledger::load(folder.path()).unwrap(), Ledger::load(folder.path()).unwrap());
        other.append(&[entry("b")]).unwrap();
        one.append(&[entry("c")]).unwrap();
        assert_eq!(one.entries(), [entry("a"), entry("c")]);
        other.append(&[entry("d")]).unwrap();
        let made = one.checkpoint(&Signing::default()).unwrap();
        let all = [entry("a"), entry("b"), entry("c"), entry("d")];
        assert_eq!(one.entries(), all);
        assert_eq!(made, Checkpoint::of(&Ledger::load(folder.path()).unwrap().leaves().unwrap()));
        one.append(&[entry("e")]).unwrap();
        one.checkpoint(&Signing::default()).unwrap();
        assert_eq!(one.entries(), Ledger::load(folder.path()).unwrap().entries());
    }

    #[test]
    fn a_checkpoint_survives_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::load(folder.path()).unwrap();
        ledger.append(&[entry("a"), entry("b")]).unwrap();
        let made = ledger.checkpoint(&Signing::default()).unwrap();
        assert_eq!(made, Checkpoint::of(&ledger.leaves().unwrap()));
        let envelope = ledger.checkpoints().unwrap().remove(0);
        assert_eq!(Checkpoint::from_envelope("c", &envelope).unwrap(), made);
        let other = Envelope::unsigned(CHECKPOINT, (made.encode() + "more\n").as_bytes());
        assert!(Checkpoint::from_envelope("c", &other).is_err());
    }
}
