//! Logs: lists of lines that only grow. Each is written by one project; what is there is never changed, more is put behind it.
//!
//! ```text
//! documents-v1/logs/<name>/head.json               how many lines there are, in which pieces, and a note of the writer
//! documents-v1/logs/<name>/<first>-<hash>.jsonl    a piece: the lines from number <first> on
//! ```
//!
//! The head is written last, so it never names a piece that is not there.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Key, RemoteError, Session, TransferEvent};
use crate::{digest::Digest, store::LocalStore};

/// The only format of a head that this release reads.
const FORMAT: u32 = 1;
/// Bytes of a piece, about; well below what one request may write.
const PIECE: usize = 4 << 20;
/// Bytes of a piece above which it is a lie.
const LARGEST_PIECE: u64 = 64 << 20;
const FOLDER: &str = "documents-v1/logs/";

/// What a log consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LogHead {
    format: u32,
    /// Number of lines.
    pub lines: u64,
    pieces: Vec<Piece>,
    /// What the writer says of it.
    pub note: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Piece {
    first: u64,
    lines: u64,
    digest: Digest,
}

/// What matters here of a line.
#[derive(Deserialize)]
struct Line {
    statement: Digest,
}

impl Piece {
    fn name(&self, log: &str) -> String {
        format!("logs/{log}/{:012}-{}.jsonl", self.first, self.digest.short())
    }
}

impl Session {
    /// Names of the logs that the remote has.
    pub async fn logs(&self) -> Result<BTreeSet<String>, RemoteError> {
        let keys = self.list(FOLDER).await?;
        let name =
            |key: &Key| Some(key.as_str().strip_prefix(FOLDER)?.strip_suffix("/head.json")?.to_owned());
        Ok(keys.iter().filter_map(|(key, _)| name(key)).filter(|name| !name.contains('/')).collect())
    }

    /// The head of a log; none where there is no such log.
    pub async fn log_head(&self, log: &str) -> Result<Option<LogHead>, RemoteError> {
        let name = format!("logs/{log}/head.json");
        let Some(text) = self.document(&name).await? else { return Ok(None) };
        let wrong = |reason: String| self.wrong(&name, reason);
        let head: LogHead = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if head.format != FORMAT {
            return Err(wrong(format!("its format is {}; this release reads {FORMAT}", head.format)));
        }
        let mut next = 0;
        for piece in &head.pieces {
            if piece.first != next || piece.lines == 0 || piece.digest.size() > LARGEST_PIECE {
                return Err(wrong(format!("its pieces do not follow each other at line {next}")));
            }
            next += piece.lines;
        }
        if next != head.lines {
            return Err(wrong(format!("it says to have {} lines, and its pieces have {next}", head.lines)));
        }
        Ok(Some(head))
    }

    /// The lines from a number on.
    pub async fn log_lines(&self, log: &str, head: &LogHead, from: u64) -> Result<Vec<Vec<u8>>, RemoteError> {
        let mut lines = Vec::new();
        for piece in head.pieces.iter().filter(|piece| piece.first + piece.lines > from) {
            let name = piece.name(log);
            let wrong = |reason: &str| self.wrong(&name, reason.to_owned());
            let text = self.document(&name).await?.ok_or_else(|| wrong("it is not there any more"))?;
            if Digest::of(&text) != piece.digest {
                return Err(wrong("its content is not what the head of the log says"));
            }
            let of_piece: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
            if of_piece.len() as u64 != piece.lines || !text.ends_with(b"\n") {
                return Err(wrong("it has not as many lines as the head of the log says"));
            }
            let skipped = usize::try_from(from.saturating_sub(piece.first)).unwrap_or(usize::MAX);
            lines.extend(of_piece.iter().skip(skipped).map(|line| line[..line.len() - 1].to_vec()));
        }
        Ok(lines)
    }

    /// Blobs that the lines of all logs name: the statements.
    pub(super) async fn logged(&self) -> Result<BTreeSet<Digest>, RemoteError> {
        let mut named = BTreeSet::new();
        for log in self.logs().await? {
            let Some(head) = self.log_head(&log).await? else { continue };
            for line in self.log_lines(&log, &head, 0).await? {
                let line: Line = serde_json::from_slice(&line)
                    .map_err(|error| self.wrong(&format!("logs/{log}"), error.to_string()))?;
                named.insert(line.statement);
            }
        }
        Ok(named)
    }

    /// Brings blobs of the store to the remote, and then puts the lines that name them behind those that `head` tells of, as they were read
    /// by whoever makes sure that they continue them. So the log never names a blob that is not there.
    pub async fn push_log(
        self: &Arc<Self>,
        (store, blobs): (&LocalStore, &BTreeSet<Digest>),
        log: &str,
        head: Option<LogHead>,
        lines: &[Vec<u8>],
        note: Value,
    ) -> Result<(), RemoteError> {
        self.begin_writing().await?;
        self.sharing(async |lease| {
            self.push_blobs(store, blobs).await?;
            lease.check()?;
            self.extend_log(log, head, lines, note).await
        })
        .await
    }

    async fn extend_log(
        &self,
        log: &str,
        head: Option<LogHead>,
        lines: &[Vec<u8>],
        note: Value,
    ) -> Result<(), RemoteError> {
        let mut head =
            head.unwrap_or(LogHead { format: FORMAT, lines: 0, pieces: Vec::new(), note: Value::Null });
        let mut rest = lines;
        while !rest.is_empty() {
            let (mut text, mut count) = (Vec::new(), 0);
            while let Some(line) = rest.get(count).filter(|_| text.len() < PIECE) {
                text.extend_from_slice(line);
                text.push(b'\n');
                count += 1;
            }
            let piece = Piece { first: head.lines, lines: count as u64, digest: Digest::of(&text) };
            self.put_document(&piece.name(log), text).await?;
            head.lines += count as u64;
            head.pieces.push(piece);
            rest = &rest[count..];
        }
        head.note = note;
        let name = format!("logs/{log}/head.json");
        let text = serde_json::to_vec(&head).map_err(|error| self.wrong(&name, error.to_string()))?;
        self.put_document(&name, text).await
    }

    /// Brings blobs of the store to the remote, without those that it has.
    async fn push_blobs(
        self: &Arc<Self>,
        store: &LocalStore,
        blobs: &BTreeSet<Digest>,
    ) -> Result<(), RemoteError> {
        let present = self.present(blobs).await?;
        let missing: Vec<Digest> = blobs.difference(&present).copied().collect();
        let (objects, bytes) = (missing.len() as u64, missing.iter().map(Digest::size).sum());
        self.tell(TransferEvent::Planned { objects, bytes });
        self.send(store, missing, Vec::new()).await.map(drop)
    }

    /// Brings those of the blobs into the store that the remote has.
    pub async fn fetch_present(
        self: &Arc<Self>,
        store: &LocalStore,
        blobs: &BTreeSet<Digest>,
    ) -> Result<(), RemoteError> {
        let wanted: BTreeSet<Digest> = blobs.iter().copied().filter(|blob| !store.contains(blob)).collect();
        let there = self.present(&wanted).await?;
        self.fetch_blobs(store, &there).await.map(drop)
    }

    fn wrong(&self, name: &str, reason: String) -> RemoteError {
        let key = Key::ours(format!("documents-v1/{name}"));
        RemoteError::Format { place: self.place(), key, what: "a part of a ledger", reason }
    }
}
