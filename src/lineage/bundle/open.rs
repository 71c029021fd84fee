//! From an archive to a bundle whose every byte is accounted for.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::{
    MemberName,
    archive::{self, Found},
    content::{self, FORMAT, GUIDE, Index, LogProofs},
};
use crate::{
    digest::Digest,
    lineage::{Blobs, Fault, FaultKind, Library, LineageError, TrustPolicy},
    store::StoreError,
};

/// Bytes of a member that is read into memory, above which it is a lie: a listing of a million files has about 200 MB.
const LARGEST_TEXT: u64 = 1 << 30;

/// A bundle that is what its index says.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    found: BTreeMap<MemberName, Found>,
    /// By SHA-256: statements and blobs alike.
    by_hash: BTreeMap<String, MemberName>,
    pub(super) index: Index,
    /// The proofs that its statements stand in the ledger.
    pub log: LogProofs,
}

/// What came of opening a bundle.
pub enum Opened {
    /// It is what its index says.
    Sound(Box<Bundle>),
    /// It is not.
    Faulty(Vec<Fault>),
}

impl Bundle {
    /// Reads an archive whole. What is wrong with it is no error but a fault; errors are those of the file system.
    pub fn open(path: &Path) -> Result<Opened, LineageError> {
        let fault = |kind: FaultKind, link: &str, what: String| {
            Opened::Faulty(vec![Fault { kind, link: link.to_owned(), what }])
        };
        let found = match archive::scan(path)? {
            Ok(found) => found,
            Err(reason) => return Ok(fault(FaultKind::Malformed, "the archive", reason)),
        };
        let found: BTreeMap<MemberName, Found> =
            found.into_iter().map(|found| (found.name.clone(), found)).collect();
        let index = match read_text(path, found.get(&MemberName::Index)).and_then(|bytes| index(&bytes)) {
            Ok(index) => index,
            Err(reason) => return Ok(fault(FaultKind::Malformed, "index.json", reason)),
        };
        let faults = compare(&index, &found);
        if !faults.is_empty() {
            return Ok(Opened::Faulty(faults));
        }
        let log = read_text(path, found.get(&MemberName::Log))
            .and_then(|bytes| serde_json::from_slice::<LogProofs>(&bytes).map_err(|error| error.to_string()));
        let log = match log {
            Ok(log) => log,
            Err(reason) => return Ok(fault(FaultKind::Malformed, "log.json", reason)),
        };
        let proven: BTreeSet<String> = log.entries.iter().map(|entry| entry.statement.hex()).collect();
        let unproven = found.keys().find(|name| match name {
            MemberName::Statement(hash) => !proven.contains(hash),
            _ => false,
        });
        if let Some(name) = unproven {
            let what = "log.json has no proof that it stands in the log".to_owned();
            return Ok(fault(FaultKind::Ledger, &name.to_string(), what));
        }
        let by_hash = found
            .keys()
            .filter_map(|name| match name {
                MemberName::Statement(hash) | MemberName::Blob(hash) => Some((hash.clone(), name.clone())),
                _ => None,
            })
            .collect();
        Ok(Opened::Sound(Box::new(Self { path: path.to_owned(), found, by_hash, index, log })))
    }

    /// Whether the artifacts' bytes are in it.
    pub fn has_bytes(&self) -> bool {
        self.index.blobs == content::Blobs::Included
    }

    /// Number of its members.
    pub fn members(&self) -> usize {
        self.found.len()
    }

    /// The statements in it.
    pub fn library(&self) -> Library {
        Library::of(self.log.entries.iter().map(|entry| entry.statement), self)
    }

    /// The trust policy that it brings along; none where the project had none.
    pub fn policy(&self) -> Result<Option<TrustPolicy>, LineageError> {
        let Some(found) = self.found.get(&MemberName::Policy) else { return Ok(None) };
        let text = |found: &Found| {
            let wrong = |reason: String| LineageError::Policy { path: found.name.to_string().into(), reason };
            let bytes = read_text(&self.path, Some(found)).map_err(wrong)?;
            String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))
        };
        let key = |path: &Path| {
            let name = path.to_str().and_then(|path| path.parse::<MemberName>().ok());
            let missing = || LineageError::Policy {
                path: path.to_owned(),
                reason: "the policy names this key, and it is not in the bundle".to_owned(),
            };
            text(name.and_then(|name| self.found.get(&name)).ok_or_else(missing)?)
        };
        TrustPolicy::decode(Path::new("trust"), &text(found)?, &key).map(Some)
    }

    fn member(&self, sha256: &str) -> Option<&Found> {
        self.found.get(self.by_hash.get(sha256)?)
    }
}

impl Blobs for Bundle {
    fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let found = self.member(&digest.hex()).ok_or(StoreError::Missing(*digest))?;
        let damaged = |reason: String| StoreError::Damaged { digest: *digest, reason };
        if found.digest != *digest {
            return Err(damaged(format!("its content is {}", found.digest)));
        }
        read_text(&self.path, Some(found)).map_err(damaged)
    }

    fn hash_again(&self, digest: &Digest) -> io::Result<Digest> {
        self.member(&digest.hex()).map(|found| found.digest).ok_or(io::ErrorKind::NotFound.into())
    }

    fn has(&self, sha256: &str) -> bool {
        self.by_hash.contains_key(sha256)
    }
}

/// Reads a member into memory; what it has become since it was found is told.
fn read_text(path: &Path, found: Option<&Found>) -> Result<Vec<u8>, String> {
    let found = found.ok_or("it is not in the archive")?;
    if found.digest.size() > LARGEST_TEXT {
        return Err(format!("{} bytes are too many for what it is", found.digest.size()));
    }
    let bytes = archive::read(path, found).map_err(|error| format!("it can't be read: {error}"))?;
    if Digest::of(&bytes) == found.digest {
        Ok(bytes)
    } else {
        Err("the file changed while it was read".to_owned())
    }
}

fn index(bytes: &[u8]) -> Result<Index, String> {
    let index: Index = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if index.format != FORMAT {
        return Err(format!("its format is `{}`; this release reads `{FORMAT}`", index.format));
    }
    match index.encode() {
        Ok(again) if again == bytes => Ok(index),
        _ => Err("it is not spelled as `lineage export` does".to_owned()),
    }
}

/// The members against the index, and names that are digests against their contents.
fn compare(index: &Index, found: &BTreeMap<MemberName, Found>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |kind: FaultKind, name: String, what: String| {
        faults.push(Fault { kind, link: name, what });
    };
    let mut named: BTreeMap<String, Digest> = BTreeMap::new();
    for member in &index.members {
        if named.insert(member.name.clone(), member.digest).is_some() {
            fault(FaultKind::Malformed, member.name.clone(), "the index names it twice".to_owned());
        }
    }
    for (name, member) in found.iter().filter(|(name, _)| **name != MemberName::Index) {
        match named.remove(&name.to_string()) {
            None => fault(FaultKind::Malformed, name.to_string(), "the index does not name it".to_owned()),
            Some(digest) if digest != member.digest => {
                let what = format!("it should be {digest} and is {}", member.digest);
                fault(FaultKind::Bytes, name.to_string(), what);
            }
            Some(_) => {
                if let MemberName::Statement(hash) | MemberName::Blob(hash) = name
                    && *hash != member.digest.hex()
                {
                    fault(FaultKind::Bytes, name.to_string(), format!("its content is {}", member.digest));
                }
            }
        }
    }
    for name in named.into_keys() {
        let kind = if name.starts_with("statements/") { FaultKind::Incomplete } else { FaultKind::Missing };
        fault(kind, name, "the index names it, and it is not in the archive".to_owned());
    }
    let guide = found.get(&MemberName::Guide).map(|found| found.digest);
    if guide != Some(Digest::of(GUIDE.as_bytes())) {
        let what = "it does not say what `lineage export` writes there".to_owned();
        fault(FaultKind::Malformed, MemberName::Guide.to_string(), what);
    }
    faults
}
