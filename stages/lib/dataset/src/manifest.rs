//! The list of a dataset's samples with their digests, and the one digest over all of it.

use crate::{Dataset, leaf_hash, merkle_root};

/// Every sample as a line `<sha-256 of its bytes> <label> <id>`, in the order of ids.
///
/// The dataset's digest is the root of the Merkle tree (RFC 6962) whose leaves are these lines without line ends.
/// So two copies of a dataset have one digest exactly if ids, labels and bytes agree, and a sample can be shown to be
/// part of a dataset without the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleManifest {
    lines: Vec<String>,
}

impl SampleManifest {
    /// Out of the SHA-256 of each sample's bytes ([`Dataset::bytes`]), in the order of [`Dataset::samples`].
    ///
    /// # Panics
    /// If there is not one digest per sample.
    pub fn new(dataset: &Dataset, digests: &[[u8; 32]]) -> Self {
        assert_eq!(dataset.len(), digests.len(), "one digest per sample");
        let line = |(sample, digest): (&crate::Sample, &[u8; 32])| {
            format!("{} {} {}", hex::encode(digest), sample.label, sample.id)
        };
        Self { lines: dataset.samples.iter().zip(digests).map(line).collect() }
    }

    /// Lowercase hex of the Merkle root.
    pub fn root(&self) -> String {
        let leaves: Vec<[u8; 32]> = self.lines.iter().map(|line| leaf_hash(line.as_bytes())).collect();
        hex::encode(merkle_root(&leaves))
    }

    /// All lines, each ended by `\n`.
    pub fn to_text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }
}
