//! What can be wrong with statements, keys and the ledger.

use std::path::{Path, PathBuf};

use crate::{digest::Digest, record::RecordError, store::StoreError};

/// Why lineage can't be written or read. What a verification finds is no error but a finding ([`super::Fault`]).
#[derive(Debug, thiserror::Error)]
pub enum LineageError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, for example `write`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A text is no key that can be used here.
    #[error("{what} is not a usable key: {reason}")]
    Key {
        /// The file, or what else it came from.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A private key is protected and the passphrase is missing or wrong.
    #[error("the key {what} could not be unlocked: {reason}")]
    Locked {
        /// The file.
        what: String,
        /// Why not.
        reason: String,
    },
    /// No folder for private keys can be found.
    #[error(
        "there is no folder for private keys: neither STAGEWRIGHT_KEYS nor XDG_CONFIG_HOME nor HOME is set"
    )]
    NoKeysFolder,
    /// A private key would lie among files that are shared.
    #[error("{folder} is inside the project {root}, and private keys do not belong there")]
    KeysInProject {
        /// Folder of the private keys.
        folder: PathBuf,
        /// Root of the project.
        root: PathBuf,
    },
    /// The command that signs failed.
    #[error("the signing command `{command}` {reason}")]
    Command {
        /// Its words.
        command: String,
        /// What went wrong.
        reason: String,
    },
    /// The trust policy can't be read.
    #[error("{path} is not a valid trust policy:\n{reason}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place where it has one.
        reason: String,
    },
    /// The trust policy has no key of this name or id.
    #[error("the trust policy has no key `{name}`")]
    NoKey {
        /// The name or id.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A name is taken.
    #[error("the trust policy has a key `{name}` already")]
    KeyExists {
        /// The name.
        name: String,
    },
    /// The policy wants signatures, and no key can be used.
    #[error("the trust policy requires signatures, and nothing can sign here: {reason}")]
    SignatureRequired {
        /// Why no key can be used.
        reason: String,
    },
    /// A signature of this kind needs an ECDSA P-256 key.
    #[error("no ECDSA P-256 key can sign here: {reason}")]
    NoP256 {
        /// Why not.
        reason: String,
    },
    /// A stored statement is not one.
    #[error("{what} is not a statement: {reason}")]
    Statement {
        /// Which.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A value has no JSON form.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// What was to be written.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A line of the ledger can't be read.
    #[error("{path} line {line} is not an entry of the ledger: {reason}")]
    Ledger {
        /// The ledger.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why not.
        reason: String,
    },
    /// Nothing recorded has this content.
    #[error("no statement names {what}")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// Several statements could be meant.
    #[error("{what} could be any of {}", choices.join(", "))]
    Ambiguous {
        /// What was asked for.
        what: String,
        /// What it could be.
        choices: Vec<String>,
    },
    /// No recorded run has such a gate.
    #[error("no recorded run has a target or gate `{name}`")]
    NoGate {
        /// As written.
        name: String,
        /// Gates that failed in recorded runs.
        failed: Vec<String>,
    },
    /// A gate did not fail, so there is nothing to waive.
    #[error("`{gate}` did not fail in the last run that has it")]
    NotFailed {
        /// As written.
        gate: String,
    },
    /// A ledger on a remote is no continuation of what is known of it, or the other way round.
    #[error("the ledger of {name} on the remote and what is known of it here do not fit together: {reason}")]
    Diverged {
        /// Name of the ledger, or `this project`.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// No checkpoint of the ledger has seen a statement.
    #[error("no checkpoint of the ledger covers all of these statements")]
    NoCheckpoint,
    /// A statement's blob is not in the store.
    #[error("the statement {0} is not in the store")]
    Lost(Digest),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl LineageError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn encode(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| Self::Encode { what, reason: error.to_string() }
    }
}
