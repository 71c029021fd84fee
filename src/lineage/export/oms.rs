//! OpenSSF Model Signing (<https://github.com/ossf/model-signing-spec>, v1.0): a model's files with their SHA-256, signed, in a Sigstore
//! bundle that `model_signing verify key` accepts.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Subject;
use crate::{
    digest::Digest,
    lineage::{Blobs, IN_TOTO, LineageError, Resource, STATEMENT_TYPE, Signing, TREE},
};

const PREDICATE: &str = "https://model_signing/signature/v1.0";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What verifiers leave out of a folder whether they are told or not, so it is not signed either.
const IGNORED: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// The signature of one file or folder, by the ECDSA P-256 key of this name, or the first one that can sign here.
pub fn oms(
    blobs: &dyn Blobs,
    subject: &Subject<'_>,
    signing: &Signing,
    key: Option<&str>,
) -> Result<Value, LineageError> {
    let mut all = subject.resources();
    let unknown = || LineageError::Unknown { what: "an output of the stage".to_owned() };
    let one = all.next().ok_or_else(unknown)?;
    let others: Vec<&Resource> = all.filter(|other| other.sha256() != one.sha256()).collect();
    if !others.is_empty() {
        let choices = [one].into_iter().chain(others).map(|one| {
            format!(
                "{} (sha256:{})",
                one.name,
                one.sha256().unwrap_or_default().get(..12).unwrap_or_default()
            )
        });
        return Err(LineageError::Ambiguous {
            what: "the stage made several outputs; the model".to_owned(),
            choices: choices.collect(),
        });
    }
    let files = files(blobs, one)?;
    let mut root = Sha256::new();
    for (_, hash) in &files {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes).map_err(|_| unknown())?;
        root.update(bytes);
    }
    let resources: Vec<Value> = files
        .iter()
        .map(|(name, hash)| json!({ "name": name, "algorithm": "sha256", "digest": hash }))
        .collect();
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": [{
            "name": one.name.rsplit('/').next().unwrap_or_default(),
            "digest": { "sha256": hex::encode(root.finalize()) },
        }],
        "predicateType": PREDICATE,
        "predicate": {
            "resources": resources,
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": false,
                "ignore_paths": IGNORED,
            },
        },
    });
    let payload = serde_json::to_vec(&statement).map_err(LineageError::encode("a statement"))?;
    let (envelope, public) = signing.seal_with_p256(key, IN_TOTO, &payload)?;
    // The format names a key by the hash of its PEM text.
    let hint = Digest::of(public.to_pem()?.as_bytes()).hex();
    Ok(json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": hint }, "tlogEntries": [] },
        "dsseEnvelope": envelope,
    }))
}

/// Names and hashes of the files, in the order in which their hashes make the root: by the parts of their paths.
fn files(blobs: &dyn Blobs, one: &Resource) -> Result<Vec<(String, String)>, LineageError> {
    let artifact = one.to_artifact().filter(|_| one.media_type == TREE);
    let Some(artifact) = artifact else {
        // The path of a file relative to itself.
        return Ok(vec![(".".to_owned(), one.sha256().unwrap_or_default().to_owned())]);
    };
    let listing = blobs.listing(&artifact.digest)?;
    let counts = |path: &str| !IGNORED.contains(&path.split('/').next().unwrap_or_default());
    let mut files: Vec<(String, String)> = listing
        .entries()
        .iter()
        .filter(|entry| counts(&entry.path))
        .map(|entry| (entry.path.clone(), entry.digest.hex()))
        .collect();
    files.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
    Ok(files)
}
