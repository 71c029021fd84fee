//! What is in a bundle, and under which names.

use std::{fmt, str::FromStr};

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    lineage::{Envelope, LineageError, merkle::Hash},
};

/// The only format that this release writes and reads.
pub(super) const FORMAT: &str = "stagewright/bundle@1";

/// What `README.txt` says: how to check a bundle without Stagewright. Part of the format, so it does not change without it.
pub(super) const GUIDE: &str = "\
This archive holds the evidence behind a machine-learning artifact.

  stagewright lineage verify --bundle THIS_FILE

checks all of it without a project, a network or an account. Without stagewright:

  index.json         every member with its SHA-256 and size; `subject` says what the bundle is about
  statements/        in-toto statements in DSSE envelopes, named by their SHA-256; any DSSE library checks their signatures
  trust/             the public keys, and the policy that says which of them count and since when
  log.json           a signed checkpoint of the log that all statements stand in, with a proof (RFC 6962) for each statement here
  blobs/             the artifacts' bytes, named by their SHA-256: `sha256sum blobs/*` shows that each is what its name says

The keys in here are the project's own. Whoever has reason to doubt them compares their ids, the SHA-256 of each public key in DER, or
has stagewright judge by a policy of their own: `--trust FOLDER`.
";

/// Name of a member; their order is that of the archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MemberName {
    /// `index.json`
    Index,
    /// `README.txt`
    Guide,
    /// `log.json`
    Log,
    /// `trust/policy.toml`
    Policy,
    /// `trust/keys/NAME.pem`
    Key(String),
    /// `statements/SHA256.json`
    Statement(String),
    /// `blobs/SHA256`
    Blob(String),
}

impl fmt::Display for MemberName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => formatter.write_str("index.json"),
            Self::Guide => formatter.write_str("README.txt"),
            Self::Log => formatter.write_str("log.json"),
            Self::Policy => formatter.write_str("trust/policy.toml"),
            Self::Key(name) => write!(formatter, "trust/keys/{name}.pem"),
            Self::Statement(hash) => write!(formatter, "statements/{hash}.json"),
            Self::Blob(hash) => write!(formatter, "blobs/{hash}"),
        }
    }
}

impl FromStr for MemberName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hash = |text: &str| {
            let sound =
                text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            sound.then(|| text.to_owned()).ok_or(())
        };
        match text {
            "index.json" => return Ok(Self::Index),
            "README.txt" => return Ok(Self::Guide),
            "log.json" => return Ok(Self::Log),
            "trust/policy.toml" => return Ok(Self::Policy),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("trust/keys/").and_then(|rest| rest.strip_suffix(".pem")) {
            return crate::lineage::trust::check_name(name)
                .map(|()| Self::Key(name.to_owned()))
                .map_err(|_| ());
        }
        if let Some(name) = text.strip_prefix("statements/").and_then(|rest| rest.strip_suffix(".json")) {
            return hash(name).map(Self::Statement);
        }
        hash(text.strip_prefix("blobs/").ok_or(())?).map(Self::Blob)
    }
}

/// `index.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Index {
    /// [`FORMAT`].
    pub(super) format: String,
    /// What the bundle is about.
    pub(super) subject: Vec<IndexSubject>,
    /// Whether the artifacts' bytes are in it.
    pub(super) blobs: Blobs,
    /// Every other member, in the order of the archive.
    pub(super) members: Vec<IndexMember>,
}

/// Whether the artifacts' bytes are in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Blobs {
    /// They are.
    Included,
    /// Only their digests, in the statements; listings of folders are in it all the same.
    Named,
}

/// A result that a bundle is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct IndexSubject {
    /// The statement on the stage that made it.
    pub(super) statement: Digest,
    /// SHA-256 of the file or folder that is meant; none for all that the stage made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) sha256: Option<String>,
}

/// A member as the index tells of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct IndexMember {
    pub(super) name: String,
    pub(super) digest: Digest,
}

impl Index {
    /// Its only spelling.
    pub(super) fn encode(&self) -> Result<Vec<u8>, LineageError> {
        encode(self, "the index of a bundle")
    }
}

pub(super) fn encode<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, LineageError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(LineageError::encode(what))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// `log.json`: proofs that the statements stand in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LogProofs {
    /// The signed checkpoint that the proofs lead to.
    pub checkpoint: Envelope,
    /// The statements in the order of the ledger.
    pub entries: Vec<ProvenEntry>,
    /// For each size of the ledger that a run in here has seen: that it is the beginning of the checkpoint's.
    pub heads: Vec<ProvenHead>,
}

/// A statement with its place in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProvenEntry {
    /// The envelope's blob.
    pub statement: Digest,
    /// Line of the ledger, from 0.
    pub index: u64,
    /// The hashes from its leaf to the checkpoint's root, in base64; empty for one that is newer than the checkpoint.
    pub proof: Vec<String>,
    /// Name of the other machine's ledger that it was taken over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// An earlier size of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProvenHead {
    /// Number of statements.
    pub size: u64,
    /// The hashes that show it, in base64.
    pub proof: Vec<String>,
}

/// The hashes of a proof; none where a text is no hash.
pub(in crate::lineage) fn hashes(proof: &[String]) -> Option<Vec<Hash>> {
    let hash = |text: &String| {
        let mut hash = [0; 32];
        let decoded = Base64::decode(text, &mut hash).ok()?;
        (decoded.len() == 32).then_some(hash)
    };
    proof.iter().map(hash).collect()
}

pub(super) fn texts(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(|hash| Base64::encode_string(hash)).collect()
}
