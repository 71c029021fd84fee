//! What can be wrong with evidence.

use std::fmt;

use serde::Serialize;

/// Kinds of fault, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A signature is not its key's over these bytes.
    Signature,
    /// The ledger was cut, reordered or rewritten.
    Ledger,
    /// Stored bytes are not those of their digest.
    Bytes,
    /// A statement says nothing that can be understood.
    Malformed,
    /// Not enough signatures by trusted keys.
    Untrusted,
    /// No signature at all.
    Unsigned,
    /// A statement that another one leads to is not there.
    Incomplete,
    /// Bytes are not in the store.
    Missing,
    /// The data in the work tree is not what the stage read.
    Source,
    /// A gate failed.
    Gate,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Signature => "bad signature",
            Self::Ledger => "ledger changed",
            Self::Bytes => "bytes differ",
            Self::Malformed => "not readable",
            Self::Untrusted => "not trusted",
            Self::Unsigned => "unsigned",
            Self::Incomplete => "incomplete",
            Self::Missing => "missing bytes",
            Self::Source => "source changed",
            Self::Gate => "gate failed",
        })
    }
}

/// One fault, with the link of the chain that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// Kind.
    pub kind: FaultKind,
    /// Where in the chain.
    pub link: String,
    /// What was found.
    pub what: String,
}
