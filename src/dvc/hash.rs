//! Digests as DVC takes them: MD5 of files, and of the listing of a folder.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use crate::{
    digest::{Digest, Hasher},
    store::{Artifact, ArtifactKind, LocalStore, StoreError, Tree},
};

/// A file is read in pieces of this size, each of which DVC 2 takes for text or not by itself.
const PIECE: usize = 1 << 20;

/// How files are digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// DVC 3: the bytes as they are.
    Plain,
    /// DVC 2: text with the line ends of Unix.
    DosToUnix,
}

/// What a lock file says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// Hex digits, with `.dir` behind them for a folder.
    pub md5: String,
    /// Bytes in all.
    pub size: u64,
    /// Number of files, for a folder.
    pub files: Option<u64>,
    /// The listing, for a folder.
    pub listing: Option<Vec<u8>>,
}

/// Why a digest can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// A file can't be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what it was any more.
    #[error("{0} changed meanwhile")]
    Changed(PathBuf),
}

/// Digests that are known, by the content's SHA-256, so that no content is read twice for them. Kept in a file.
#[derive(Debug)]
pub struct Hashes {
    file: PathBuf,
    known: HashMap<String, String>,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    md5: HashMap<String, String>,
}

/// Version of the file.
const FORMAT: u32 = 1;

impl Hashes {
    /// Reads what is known; an unreadable file is an empty one, since it only saves time.
    pub fn load(state_dir: &Path) -> Self {
        let file = state_dir.join("dvc-v1").join("md5.json");
        let kept = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let known = kept.filter(|kept| kept.format == FORMAT).map(|kept| kept.md5).unwrap_or_default();
        Self { file, known, changed: false }
    }

    /// Writes what is known now.
    pub fn save(&mut self) -> Result<(), HashError> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let failed = |source| HashError::Io { path: self.file.clone(), source };
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let kept = Kept { format: FORMAT, md5: self.known.clone() };
        serde_json::to_writer(io::BufWriter::new(file.as_file()), &kept)
            .map_err(|error| failed(error.into()))?;
        file.persist(&self.file).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// What DVC says of a path of the work tree as it is now.
    pub(super) fn of_path(
        &mut self,
        path: &Path,
        scheme: Scheme,
        store: &LocalStore,
    ) -> Result<Fact, HashError> {
        let (artifact, listing) = store.survey(path)?;
        match listing {
            None => self.file(&artifact.digest, path, scheme),
            Some(tree) => self.tree(&tree, |entry| path.join(entry), scheme),
        }
    }

    /// The same of content that is known by its digest, whether in the store or at a path.
    pub(super) fn of_artifact(
        &mut self,
        artifact: &Artifact,
        path: &Path,
        store: &LocalStore,
    ) -> Result<Fact, HashError> {
        let stored = |digest: &Digest, path: PathBuf| {
            if store.contains(digest) { store.blob_path(digest) } else { path }
        };
        match artifact.kind {
            ArtifactKind::File => {
                self.file(&artifact.digest, &stored(&artifact.digest, path.to_owned()), Scheme::Plain)
            }
            ArtifactKind::Tree => {
                let tree = if store.contains(&artifact.digest) {
                    store.tree(&artifact.digest)?
                } else {
                    store.survey(path)?.1.unwrap_or_default()
                };
                if tree.artifact().digest != artifact.digest {
                    return Err(HashError::Changed(path.to_owned()));
                }
                let digests: HashMap<String, Digest> =
                    tree.entries().iter().map(|entry| (entry.path.clone(), entry.digest)).collect();
                let place = |entry: &str| match digests.get(entry) {
                    Some(digest) => stored(digest, path.join(entry)),
                    None => path.join(entry),
                };
                self.tree(&tree, place, Scheme::Plain)
            }
        }
    }

    /// The digest of a file with this content.
    pub(super) fn md5(&mut self, digest: &Digest, path: &Path, scheme: Scheme) -> Result<String, HashError> {
        let key = match scheme {
            Scheme::Plain => digest.hex(),
            Scheme::DosToUnix => format!("{}-dos2unix", digest.hex()),
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let (found, md5) =
            read(path, scheme).map_err(|source| HashError::Io { path: path.to_owned(), source })?;
        if found != *digest {
            return Err(HashError::Changed(path.to_owned()));
        }
        self.changed = true;
        self.known.insert(key, md5.clone());
        Ok(md5)
    }

    fn file(&mut self, digest: &Digest, path: &Path, scheme: Scheme) -> Result<Fact, HashError> {
        let md5 = self.md5(digest, path, scheme)?;
        Ok(Fact { md5, size: digest.size(), files: None, listing: None })
    }

    fn tree(
        &mut self,
        tree: &Tree,
        place: impl Fn(&str) -> PathBuf,
        scheme: Scheme,
    ) -> Result<Fact, HashError> {
        let mut lines = Vec::new();
        let mut size = 0;
        // A tree is sorted by the bytes of the paths, as DVC sorts.
        for entry in tree.entries() {
            size += entry.digest.size();
            let md5 = self.md5(&entry.digest, &place(&entry.path), scheme)?;
            lines.push(format!("{{\"md5\": \"{md5}\", \"relpath\": {}}}", ascii_json(&entry.path)));
        }
        let listing = format!("[{}]", lines.join(", ")).into_bytes();
        let md5 = format!("{}.dir", hex::encode(Md5::digest(&listing)));
        Ok(Fact { md5, size, files: Some(tree.entries().len() as u64), listing: Some(listing) })
    }
}

/// SHA-256 and MD5 of a file in one go.
fn read(path: &Path, scheme: Scheme) -> io::Result<(Digest, String)> {
    let (mut sha, mut md5) = (Hasher::new(), Md5::new());
    let mut file = File::open(path)?;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        (&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok((sha.finish(), hex::encode(md5.finalize())));
        }
        sha.update(&piece);
        match scheme {
            Scheme::DosToUnix if is_text(&piece) => md5.update(dos_to_unix(&piece)),
            _ => md5.update(&piece),
        }
    }
}

/// By the first 512 bytes: no NUL, and at most 30 of 100 that are no ASCII text.
fn is_text(piece: &[u8]) -> bool {
    let head = &piece[..piece.len().min(512)];
    let text = |byte: &u8| matches!(byte, 0x20..=0x7e | b'\n' | b'\r' | b'\t' | 0x0c | 0x08);
    let odd = head.iter().filter(|byte| !text(byte)).count();
    !head.contains(&0) && odd * 100 <= head.len() * 30
}

fn dos_to_unix(piece: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(piece.len());
    let mut bytes = piece.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&b'\n') {
            out.push(byte);
        }
    }
    out
}

/// A text as Python's `json` writes it: everything outside of printable ASCII escaped, in UTF-16 and lower case.
fn ascii_json(text: &str) -> String {
    let mut out = String::from('"');
    for unit in text.chars() {
        match unit {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(unit),
            other => {
                let mut buffer = [0; 2];
                for half in other.encode_utf16(&mut buffer) {
                    out.push_str(&format!("\\u{half:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn md5_of(bytes: &[u8], scheme: Scheme) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let (sha, md5) = read(file.path(), scheme).unwrap();
        assert_eq!(sha, Digest::of(bytes));
        md5
    }

    /// Values that DVC gave.
    #[test]
    fn text_is_folded_by_the_old_scheme_only() {
        assert_eq!(md5_of(b"a\r\nb\r\n", Scheme::DosToUnix), "dd8c6a395b5dd36c56d23275028f526c");
        assert!(md5_of(b"a\r\nb\r\n", Scheme::Plain).starts_with("59b0d777"));
        assert!(md5_of(b"hello\r\nworld\r\n", Scheme::Plain).starts_with("7ac062d8"));
        let binary = b"a\0\r\n";
        assert_eq!(md5_of(binary, Scheme::DosToUnix), md5_of(binary, Scheme::Plain));
    }

    #[test]
    fn names_are_escaped_as_python_does() {
        assert_eq!(ascii_json("a \"\\\u{7f}\u{1}\n"), r#""a \"\\\u007f\u0001\n""#);
        assert_eq!(ascii_json("ünï-日本-😀.txt"), r#""\u00fcn\u00ef-\u65e5\u672c-\ud83d\ude00.txt""#);
    }
}
