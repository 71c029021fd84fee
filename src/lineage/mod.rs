//! Where each artifact came from, signed.
//!
//! ```text
//! action result ─attest→ in-toto Statement (SLSA provenance, test-result, run) ─signing→ DSSE envelope ─→ blob of the store
//!                                                                                          └→ line of the ledger (Merkle tree)
//! ```
//!
//! A stage's statements are stored before the action-cache entry that names them, so an entry never names what is not there. A
//! run ends with a statement that names every stage, and a signed checkpoint of the ledger. What is said follows public
//! specifications, so tools of others can read and check it; `docs/lineage.md` tells the rest.
//!
//! Nothing in here runs a stage or prints.

mod attest;
mod blobs;
pub mod bundle;
mod decision;
mod diff;
mod envelope;
mod error;
mod exchange;
pub mod export;
mod impact;
mod key;
mod keyring;
mod ledger;
mod library;
pub mod merkle;
mod redact;
mod signing;
mod source;
mod statement;
mod trust;
mod verify;

pub use attest::{
    Attestor, BUILD_TYPE, LOCAL_BUILDER, RunEnd, RunFacts, RunPredicate, RunStage, StageInput, TreeHead,
    Verdict,
};
pub use blobs::Blobs;
pub use decision::{
    Decided, Decision, DecisionPredicate, FailedGate, Gate, Proposal, Ruling, Seen, Waiver, Waivers, decide,
    decisions, decisions_about, find_failed_gate,
};
pub use diff::{
    DataChange, LineageDiff, ModelChanges, SampleChanges, StageChanges, TensorChange, TensorFacts, diff,
};
pub use envelope::{Envelope, IN_TOTO, Signature, pre_authentication_encoding};
pub use error::LineageError;
pub use exchange::{Adopted, Incoming, Other, Outgoing, incoming, lines_known, outgoing};
pub use impact::{Impact, impact};
pub use key::{Algorithm, KeyId, PrivateKey, PublicKey};
pub use keyring::{Keyring, Secret, SigningCommand, StoredKey};
pub use ledger::{CHECKPOINT, Checkpoint, Entry, Kind, Ledger};
pub use library::{Library, Node, open};
pub use redact::Redactor;
pub use signing::Signing;
pub use statement::{
    BuildDefinition, Builder, DECISION, Metadata, PROVENANCE, Provenance, RUN, Resource, RunDetails,
    STATEMENT_TYPE, Statement, TEST_RESULT, TREE, TestResult,
};
pub use trust::{FOLDER, Revocation, Standing, TrustPolicy, TrustedKey};
pub use verify::{
    Case, Fault, FaultKind, Log, Verification, WorkTree, verify_all, verify_chain, verify_chains, verify_run,
    verify_since,
};
