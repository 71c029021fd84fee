//! Re-hashing everything.

use std::{collections::BTreeMap, fs, path::PathBuf};

use rayon::prelude::*;

use super::{ArtifactKind, Entry, LocalStore, StoreError};
use crate::digest::Digest;

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Blobs read and hashed.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Action results read.
    pub entries: usize,
    /// Files a killed process left in `tmp/`; harmless, `gc` takes them.
    pub leftovers: usize,
    /// What is wrong.
    pub damage: Vec<Damage>,
}

/// One fault of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A blob's bytes are not what its name says.
    #[error("{path} holds other bytes than its name says (found sha256:{found})")]
    Blob {
        /// The blob's file.
        path: PathBuf,
        /// Hash of what it holds, in hex.
        found: String,
    },
    /// A result can't be read.
    #[error("{path} is not a readable action result: {reason}")]
    Entry {
        /// The entry's file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A result leads to a blob that is not there. The stage runs again when it is next wanted.
    #[error("{path} leads to the blob {digest}, which is missing")]
    Missing {
        /// The entry's file.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
}

impl LocalStore {
    /// Hashes every blob and follows every result to its blobs. Changes nothing.
    pub fn verify(&self, progress: impl Fn(u64) + Sync) -> Result<VerifyReport, StoreError> {
        let blobs = self.files_of("blobs-v1")?;
        let hashed: Vec<(PathBuf, Digest)> = blobs
            .into_par_iter()
            .map(|path| {
                let digest = Digest::of_file(&path).map_err(StoreError::io("read", &path))?;
                progress(digest.size());
                Ok((path, digest))
            })
            .collect::<Result<_, StoreError>>()?;
        let mut report = VerifyReport {
            blobs: hashed.len(),
            bytes: hashed.iter().map(|(_, digest)| digest.size()).sum(),
            leftovers: self.files_of("tmp")?.len(),
            ..VerifyReport::default()
        };
        let mut sound = BTreeMap::new();
        for (path, digest) in hashed {
            if path == self.blob_path(&digest) {
                sound.insert(digest, path);
            } else {
                report.damage.push(Damage::Blob { path, found: digest.hex() });
            }
        }
        for path in self.files_of("actions-v1")? {
            report.entries += 1;
            self.verify_entry(path, &sound, &mut report.damage)?;
        }
        Ok(report)
    }

    fn verify_entry(
        &self,
        path: PathBuf,
        sound: &BTreeMap<Digest, PathBuf>,
        damage: &mut Vec<Damage>,
    ) -> Result<(), StoreError> {
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
        let entry: Entry = match serde_json::from_slice(&bytes) {
            Ok(entry) => entry,
            Err(error) => {
                damage.push(Damage::Entry { path, reason: error.to_string() });
                return Ok(());
            }
        };
        for artifact in entry.artifacts {
            let mut wanted = vec![artifact.digest];
            if artifact.kind == ArtifactKind::Tree && sound.contains_key(&artifact.digest) {
                match self.tree(&artifact.digest) {
                    Ok(tree) => wanted.extend(tree.entries().iter().map(|entry| entry.digest)),
                    Err(error) => {
                        damage.push(Damage::Entry { path: path.clone(), reason: error.to_string() })
                    }
                }
            }
            let lost = wanted.into_iter().filter(|digest| !sound.contains_key(digest));
            damage.extend(lost.map(|digest| Damage::Missing { path: path.clone(), digest }));
        }
        Ok(())
    }

    /// Takes damaged blobs and results out of the store, so that the stages that made them run again when wanted.
    pub fn discard(&self, damage: &[Damage]) -> Result<(), StoreError> {
        for fault in damage {
            let (Damage::Blob { path, .. } | Damage::Entry { path, .. } | Damage::Missing { path, .. }) =
                fault;
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
