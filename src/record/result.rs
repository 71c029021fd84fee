//! What one action gave: the body of an entry of the action cache.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stagewright_protocol::Gate;

use super::{MetricValue, RecordError, RunId};
use crate::{
    digest::Digest,
    plan::{ActionKey, KeyMaterial, StageId},
    store::{Artifact, ArtifactKind, Entry, LocalStore, StoreError},
};

/// Version of [`ActionResult`]'s encoding.
///
/// 1: first release.
pub const RESULT_VERSION: u32 = 1;

/// Result of an action, with all that says where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActionResult {
    /// [`RESULT_VERSION`].
    pub format: u32,
    /// Digest of `material`.
    pub key: ActionKey,
    /// What the key was made of.
    pub material: KeyMaterial,
    /// Stage that ran; another stage with an equal key may reuse the result.
    pub stage: StageId,
    /// Outputs by port.
    pub outputs: BTreeMap<String, StoredOutput>,
    /// Everything measured, gates and warnings: what a reuse replays.
    pub measured: Measured,
    /// Run in which the stage ran; its event log has the curves.
    pub run: RunId,
    /// When the program was started (that of the last attempt).
    pub started: Timestamp,
    /// When its outputs were stored.
    pub ended: Timestamp,
    /// The program that ran.
    pub program: ProgramStamp,
    /// What the stage said, as a blob.
    pub log: Option<Digest>,
    /// Threads it was granted; a measurement depends on them.
    pub threads: u32,
    /// Where it ran.
    pub host: super::HostState,
    /// Blobs of the statements on it, the provenance first; none in results of releases that made none.
    #[serde(default)]
    pub attestations: Vec<Digest>,
    /// Listings of the folders of the work tree that it was made from, as blobs.
    #[serde(default)]
    pub sources: Vec<Digest>,
}

/// One output in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredOutput {
    /// Port type.
    #[serde(rename = "type")]
    pub artifact_type: String,
    /// File or folder name that the stage gave it, last part only; consumers see it under this name.
    pub file_name: String,
    /// The content.
    pub artifact: Artifact,
    /// A single file that can be executed. In a folder, its listing says which can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Numbers, verdicts and warnings of a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measured {
    /// Last value of each metric.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricValue>,
    /// Checks the stage made.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Warnings it gave, in order.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Identity of a stage program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProgramStamp {
    /// Name from the manifest.
    pub name: String,
    /// Version from the manifest.
    pub version: String,
    /// Digest of the executable.
    pub digest: Digest,
}

impl ActionResult {
    /// The entry to store.
    pub fn to_entry(&self) -> Result<Entry, RecordError> {
        let mut artifacts: Vec<Artifact> = self.outputs.values().map(|output| output.artifact).collect();
        let blobs = self.log.iter().chain(&self.attestations).chain(&self.sources);
        artifacts.extend(blobs.map(|&digest| Artifact {
            kind: ArtifactKind::File,
            digest,
            files: 1,
            bytes: digest.size(),
        }));
        let body = serde_json::to_value(self)
            .map_err(|error| RecordError::Encode { what: "an action result", reason: error.to_string() })?;
        Ok(Entry { artifacts, body })
    }

    /// The result that is stored for a key, if any. The caller treats one that can't be read as a miss.
    pub fn stored(store: &LocalStore, key: &ActionKey) -> Result<Option<Result<Self, String>>, StoreError> {
        // At once as a result, for speed; where it is none, the slow way tells why.
        if let Ok(Some(Entry { body, .. })) = store.entry_of::<Self>(&key.0)
            && body.format <= RESULT_VERSION
        {
            return Ok(Some(Ok(body)));
        }
        match store.entry(&key.0) {
            Ok(None) => Ok(None),
            Ok(Some(entry)) => Ok(Some(Self::from_entry(&entry).map_err(|error| error.to_string()))),
            Err(StoreError::Format { reason, .. }) => Ok(Some(Err(reason))),
            Err(error) => Err(error),
        }
    }

    /// Reads the body of an entry. The caller treats a newer format as a miss, not as a failure.
    pub fn from_entry(entry: &Entry) -> Result<Self, RecordError> {
        let format = entry.body.get("format").and_then(serde_json::Value::as_u64);
        if let Some(format) = format.filter(|format| *format > u64::from(RESULT_VERSION)) {
            return Err(RecordError::NewerResult { format, readable: RESULT_VERSION });
        }
        serde_json::from_value(entry.body.clone())
            .map_err(|error| RecordError::Decode { what: "an action result", reason: error.to_string() })
    }
}
