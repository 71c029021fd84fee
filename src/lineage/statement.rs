//! In-toto statements (<https://github.com/in-toto/attestation>, Statement v1) and the predicates that are used here.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{Envelope, IN_TOTO, LineageError};
use crate::{
    digest::Digest,
    store::{Artifact, ArtifactKind},
};

/// `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// How a stage's outputs came to be: SLSA provenance (<https://slsa.dev/spec/v1.1/provenance>).
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// Verdicts of gates (<https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md>).
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// A whole run: every stage with its outcome.
pub const RUN: &str = "https://stagewright.dev/attestation/run/v1";
/// A person's decision on a gate or an artifact.
pub const DECISION: &str = "https://stagewright.dev/attestation/decision/v1";
/// Media type of a folder's canonical listing, whose SHA-256 stands for the folder.
pub const TREE: &str = "application/vnd.stagewright.tree.v1";

/// A statement about subjects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// What it is about; never empty.
    pub subject: Vec<Resource>,
    /// What `predicate` is.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
}

/// [`Statement`] as it is written, from parts that are made while it is: that of a run is long.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written<'a, S, P> {
    #[serde(rename = "_type")]
    statement_type: &'static str,
    subject: S,
    predicate_type: &'a str,
    predicate: P,
}

impl<'a, S: Serialize, P: Serialize> Written<'a, S, P> {
    /// A statement about subjects, of which there is at least one.
    pub(super) fn new(subject: S, predicate_type: &'a str, predicate: P) -> Self {
        Self { statement_type: STATEMENT_TYPE, subject, predicate_type, predicate }
    }
}

/// A resource descriptor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Resource {
    /// Name within the statement.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it is known under.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Hashes in hex, by algorithm.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// Base64 of its bytes, where they are short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// More about it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

impl Resource {
    /// A resource with a SHA-256.
    pub fn new(name: impl Into<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), digest.hex())]);
        Self { name: name.into(), digest, ..Self::default() }
    }

    /// A stored file or folder.
    pub fn artifact(name: impl Into<String>, artifact: &Artifact) -> Self {
        let mut resource = Self::new(name, &artifact.digest).annotate("bytes", artifact.bytes);
        if artifact.kind == ArtifactKind::Tree {
            TREE.clone_into(&mut resource.media_type);
            resource =
                resource.annotate("files", artifact.files).annotate("listing-bytes", artifact.digest.size());
        }
        resource
    }

    /// A short JSON text that the statement carries itself.
    pub fn inline<T: Serialize>(name: &str, value: &T) -> Result<Self, LineageError> {
        let bytes = serde_json::to_vec(value).map_err(LineageError::encode("a part of a statement"))?;
        let resource = Self::new(name, &Digest::of(&bytes));
        Ok(Self {
            content: Some(Base64::encode_string(&bytes)),
            media_type: "application/json".to_owned(),
            ..resource
        })
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotate(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// Its SHA-256 in hex.
    pub fn sha256(&self) -> Option<&str> {
        self.digest.get("sha256").map(String::as_str)
    }

    /// The value of an inline JSON text.
    pub fn inline_value<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&Base64::decode_vec(self.content.as_deref()?).ok()?).ok()
    }

    /// A text among the annotations.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.annotations.get(name)?.as_str()
    }

    /// The artifact that [`Resource::artifact`] described.
    pub fn to_artifact(&self) -> Option<Artifact> {
        let count = |name: &str| self.annotations.get(name).and_then(Value::as_u64);
        let bytes = count("bytes")?;
        let tree = self.media_type == TREE;
        let size = if tree { count("listing-bytes")? } else { bytes };
        let digest = format!("sha256:{}:{size}", self.sha256()?).parse().ok()?;
        let kind = if tree { ArtifactKind::Tree } else { ArtifactKind::File };
        Some(Artifact { kind, digest, files: count("files").unwrap_or(1), bytes })
    }
}

/// Predicate of [`PROVENANCE`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// What was to be done, from what.
    pub build_definition: BuildDefinition,
    /// How it was done.
    pub run_details: RunDetails,
}

/// What was to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildDefinition {
    /// Meaning of the parameters.
    pub build_type: String,
    /// What the user asked for.
    pub external_parameters: Map<String, Value>,
    /// What the orchestrator added.
    #[serde(default)]
    pub internal_parameters: Map<String, Value>,
    /// Everything that went in.
    #[serde(default)]
    pub resolved_dependencies: Vec<Resource>,
}

/// How it was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunDetails {
    /// Who did it.
    pub builder: Builder,
    /// When, in which run.
    #[serde(default)]
    pub metadata: Metadata,
    /// What else came out.
    #[serde(default)]
    pub byproducts: Vec<Resource>,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Builder {
    /// Identity, as far as it may be trusted.
    pub id: String,
    /// Versions of its parts.
    #[serde(default)]
    pub version: BTreeMap<String, String>,
    /// Digests of its parts.
    #[serde(default)]
    pub builder_dependencies: Vec<Resource>,
}

/// When, in which run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Metadata {
    /// Run and stage.
    pub invocation_id: String,
    /// When the program was started.
    pub started_on: Option<Timestamp>,
    /// When its outputs were stored.
    pub finished_on: Option<Timestamp>,
}

/// Predicate of [`TEST_RESULT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestResult {
    /// `PASSED`, `WARNED` or `FAILED`.
    pub result: String,
    /// One inline [`Verdict`] a gate.
    pub configuration: Vec<Resource>,
    /// Gates that passed.
    #[serde(default)]
    pub passed_tests: Vec<String>,
    /// Gates that could not be measured here: they did not pass.
    #[serde(default)]
    pub warned_tests: Vec<String>,
    /// Gates that failed.
    #[serde(default)]
    pub failed_tests: Vec<String>,
}

impl Statement {
    /// A statement about subjects.
    pub fn new<T: Serialize>(
        subject: Vec<Resource>,
        predicate_type: &str,
        predicate: &T,
    ) -> Result<Self, LineageError> {
        let predicate = serde_json::to_value(predicate).map_err(LineageError::encode("a predicate"))?;
        Ok(Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject,
            predicate_type: predicate_type.to_owned(),
            predicate,
        })
    }

    /// Reads the statement in an envelope, and refuses one that a digest could not hold to: every subject needs a SHA-256 in
    /// lower-case hex. `what` names it in errors.
    pub fn from_envelope(what: &str, envelope: &Envelope) -> Result<Self, LineageError> {
        let wrong = |reason: String| LineageError::Statement { what: what.to_owned(), reason };
        if envelope.payload_type() != IN_TOTO {
            return Err(wrong(format!("its payload is `{}`", envelope.payload_type())));
        }
        let statement: Self =
            serde_json::from_slice(&envelope.payload()).map_err(|error| wrong(error.to_string()))?;
        if statement.statement_type != STATEMENT_TYPE {
            return Err(wrong(format!("its type is `{}`", statement.statement_type)));
        }
        if statement.subject.is_empty() {
            return Err(wrong("it has no subject".to_owned()));
        }
        let canonical = |hash: &str| {
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        match statement.subject.iter().find(|subject| !subject.sha256().is_some_and(canonical)) {
            Some(subject) => {
                Err(wrong(format!("the subject `{}` has no SHA-256 in lower-case hex", subject.name)))
            }
            None => Ok(statement),
        }
    }

    /// Reads the predicate.
    pub fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T, LineageError> {
        serde_json::from_value(self.predicate.clone())
            .map_err(|error| LineageError::Statement { what: what.to_owned(), reason: error.to_string() })
    }
}
