//! What is known of an upload in parts, so that it can go on after a kill.
//!
//! A file in the store's `tmp/`, where `gc` takes old ones: a line on the upload, then one a part. A torn line costs one part.

use std::{
    fs::File,
    io::{Read, Write},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    RemoteError,
    objects::{Part, UploadId},
};
use crate::{digest::Digest, store::LocalStore};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    upload: String,
    part_size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sent {
    number: u32,
    size: u64,
    tag: String,
    sha256: Option<String>,
}

/// The note on the upload of one blob to one place.
#[derive(Debug)]
pub(super) struct Note {
    path: PathBuf,
    /// None while another process holds the note: both upload, each on its own.
    file: Option<Mutex<File>>,
}

impl Note {
    /// Takes the note for this process.
    pub(super) fn take(store: &LocalStore, place: &str, digest: &Digest) -> Result<Self, RemoteError> {
        let place = Digest::of(place.as_bytes()).short();
        let path = store.folder().join("tmp").join(format!("out-{}-{place}", digest.hex()));
        let open = File::options().read(true).append(true).create(true).open(&path);
        let file = open.map_err(RemoteError::io("open", &path))?;
        let file = file.try_lock().is_ok().then(|| Mutex::new(file));
        Ok(Self { path, file })
    }

    /// The upload that an earlier process began with parts of this size, and the parts that it sent.
    pub(super) fn read(&self, part_size: u64) -> Option<(UploadId, Vec<Part>)> {
        let mut text = String::new();
        let mut file = self.file.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        file.read_to_string(&mut text).ok()?;
        let mut lines = text.lines();
        let head: Head =
            serde_json::from_str(lines.next()?).ok().filter(|head: &Head| head.part_size == part_size)?;
        let parts = lines.filter_map(|line| serde_json::from_str(line).ok());
        let parts = parts.map(|Sent { number, size, tag, sha256 }| Part { number, size, tag, sha256 });
        Some((UploadId(head.upload), parts.collect()))
    }

    /// Notes a new upload.
    pub(super) fn begin(&self, upload: &UploadId, part_size: u64) -> Result<(), RemoteError> {
        if let Some(file) = &self.file {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.set_len(0).map_err(RemoteError::io("write", &self.path))?;
        }
        self.line(&Head { upload: upload.0.clone(), part_size })
    }

    /// Notes a part that was sent.
    pub(super) fn sent(&self, part: &Part) -> Result<(), RemoteError> {
        let Part { number, size, tag, sha256 } = part.clone();
        self.line(&Sent { number, size, tag, sha256 })
    }

    fn line(&self, value: &impl Serialize) -> Result<(), RemoteError> {
        let Some(file) = &self.file else { return Ok(()) };
        let failed = |error: serde_json::Error| RemoteError::io("write", &self.path)(error.into());
        let mut line = serde_json::to_vec(value).map_err(failed)?;
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).map_err(RemoteError::io("write", &self.path))
    }

    /// The upload is over.
    pub(super) fn forget(&self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
