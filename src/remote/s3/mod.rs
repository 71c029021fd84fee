//! A remote in a bucket of an S3 server.
//!
//! Requests are tried once here; `Session` tries again, so that every kind of remote is retried and paced alike. What is sent
//! carries its SHA-256, which the server compares with what arrived; what comes is compared by whoever knows its digest.

mod client;
mod error;

use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use aws_sdk_s3::{
    Client,
    config::{ProvideCredentials, SharedCredentialsProvider},
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption, StorageClass},
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use self::{client::Clock, error::classify};
use super::{
    Key, RemoteError,
    objects::{Listed, Objects, Page, Part, Pending, Put, UploadId, When},
};
use crate::config::RemoteSettings;

/// An object fetched whole is one of ours that is small; a larger one is a lie about its size.
const MOST_AT_ONCE: i64 = 64 << 20;

/// Where credentials come from.
#[derive(Debug, Clone)]
enum Access {
    /// The SDK's chain.
    Chain,
    /// Whoever opened the remote.
    Given(SharedCredentialsProvider),
    /// Nowhere: requests are not signed.
    Unsigned,
}

/// A remote in a bucket.
#[derive(Debug)]
pub struct S3 {
    settings: RemoteSettings,
    bucket: String,
    prefix: String,
    ca_bundle: Option<PathBuf>,
    clock: Arc<Clock>,
    access: Access,
    /// Made at the first request: reading profiles takes a moment that most commands don't need.
    client: OnceCell<Client>,
}

impl S3 {
    /// The remote with these settings, in that bucket. Nothing is asked yet.
    pub fn new(settings: &RemoteSettings, bucket: &str, prefix: &str, ca_bundle: Option<PathBuf>) -> Self {
        Self {
            settings: settings.clone(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            ca_bundle,
            clock: Arc::default(),
            access: Access::Chain,
            client: OnceCell::new(),
        }
    }

    /// With credentials from there, instead of the SDK's chain.
    #[must_use]
    pub fn with_credentials(self, credentials: impl ProvideCredentials + 'static) -> Self {
        Self { access: Access::Given(SharedCredentialsProvider::new(credentials)), ..self }
    }

    /// Without any credentials, where this is wanted.
    #[must_use]
    pub(in crate::remote) fn unsigned(self, wanted: bool) -> Self {
        if wanted { Self { access: Access::Unsigned, ..self } } else { self }
    }

    async fn client(&self) -> Result<&Client, RemoteError> {
        let make = || async {
            let trust = self.ca_bundle.as_deref();
            let access = self.access.clone();
            client::connect(&self.settings, access, trust, Arc::clone(&self.clock), self.place()).await
        };
        self.client.get_or_try_init(make).await
    }

    fn full(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.settings.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }

    fn storage_class(&self) -> Option<StorageClass> {
        self.settings.storage_class.as_deref().map(StorageClass::from)
    }

    fn lost(&self, action: String) -> RemoteError {
        RemoteError::Transient {
            place: self.place(),
            action,
            reason: "the answer lacks what it should hold".to_owned(),
            throttled: false,
        }
    }
}

fn sha256(body: &Bytes) -> String {
    base64_simd::STANDARD.encode_to_string(Sha256::digest(body))
}

impl Objects for S3 {
    fn place(&self) -> String {
        self.settings.url.to_string()
    }

    fn head<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<u64>> {
        Box::pin(async move {
            let request =
                self.client().await?.head_object().bucket(&self.bucket).key(self.full(key.as_str()));
            match request.send().await {
                Ok(found) => {
                    Ok(Some(found.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(0)))
                }
                Err(error) => match classify(error, self.place(), format!("look for {key}"), Some(key)) {
                    RemoteError::NotFound { .. } => Ok(None),
                    error => Err(error),
                },
            }
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Pending<'a, Bytes> {
        Box::pin(async move {
            let action = || format!("read {key}");
            if range.as_ref().is_some_and(Range::is_empty) {
                return Ok(Bytes::new());
            }
            let header = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end - 1));
            let request = self.client().await?.get_object().bucket(&self.bucket).key(self.full(key.as_str()));
            let answer = request.set_range(header).send().await;
            let answer = answer.map_err(|error| classify(error, self.place(), action(), Some(key)))?;
            if answer.content_length().is_some_and(|size| size > MOST_AT_ONCE) {
                return Err(RemoteError::Refused {
                    place: self.place(),
                    action: action(),
                    reason: format!("the answer is larger than {MOST_AT_ONCE} bytes"),
                });
            }
            let cut = |reason: String| RemoteError::Transient {
                place: self.place(),
                action: action(),
                reason,
                throttled: false,
            };
            let promised = answer.content_length();
            let body = answer.body.collect().await.map_err(|error| cut(error::chain(&error)))?.into_bytes();
            let wanted = match range {
                Some(range) => Some(range.end - range.start),
                None => promised.and_then(|size| u64::try_from(size).ok()),
            };
            match wanted {
                Some(wanted) if wanted != body.len() as u64 => {
                    Err(cut(format!("{} bytes came instead of {wanted}", body.len())))
                }
                _ => Ok(body),
            }
        })
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, when: When) -> Pending<'a, Put> {
        Box::pin(async move {
            let request = self
                .client()
                .await?
                .put_object()
                .bucket(&self.bucket)
                .key(self.full(key.as_str()))
                .checksum_sha256(sha256(&body))
                .set_if_none_match((when == When::Absent).then(|| "*".to_owned()))
                .set_storage_class(self.storage_class())
                .set_server_side_encryption(self.encryption())
                .set_ssekms_key_id(self.settings.kms_key.clone())
                .body(ByteStream::from(body));
            match request.send().await {
                Ok(_) => Ok(Put::Written),
                Err(error) if when == When::Absent && error::is_precondition(&error) => Ok(Put::Existed),
                Err(error) => Err(classify(error, self.place(), format!("write {key}"), None)),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Pending<'a, Page> {
        Box::pin(async move {
            let action = || format!("list {prefix}*");
            let request =
                self.client().await?.list_objects_v2().bucket(&self.bucket).prefix(self.full(prefix));
            let answer = request.set_continuation_token(from.map(str::to_owned)).send().await;
            let answer = answer.map_err(|error| classify(error, self.place(), action(), None))?;
            let own = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
            let mut objects = Vec::with_capacity(answer.contents().len());
            for object in answer.contents() {
                let key =
                    object.key().and_then(|key| key.strip_prefix(&own)).and_then(|key| Key::new(key).ok());
                let size = object.size().and_then(|size| u64::try_from(size).ok());
                // What is no key of ours was put there by someone else.
                if let (Some(key), Some(size)) = (key, size) {
                    let modified = object.last_modified().and_then(|time| SystemTime::try_from(*time).ok());
                    objects.push(Listed { key, size, modified });
                }
            }
            let next = match (answer.is_truncated(), answer.next_continuation_token()) {
                (Some(true), Some(token)) => Some(token.to_owned()),
                (Some(true), None) => return Err(self.lost(action())),
                _ => None,
            };
            Ok(Page { objects, next })
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        Box::pin(async move {
            let request =
                self.client().await?.delete_object().bucket(&self.bucket).key(self.full(key.as_str()));
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) => match classify(error, self.place(), format!("remove {key}"), Some(key)) {
                    RemoteError::NotFound { .. } => Ok(()),
                    error => Err(error),
                },
            }
        })
    }

    fn begin<'a>(&'a self, key: &'a Key) -> Pending<'a, UploadId> {
        Box::pin(async move {
            let action = || format!("begin the upload of {key}");
            let request = self
                .client()
                .await?
                .create_multipart_upload()
                .bucket(&self.bucket)
                .key(self.full(key.as_str()))
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .set_storage_class(self.storage_class())
                .set_server_side_encryption(self.encryption())
                .set_ssekms_key_id(self.settings.kms_key.clone());
            let answer =
                request.send().await.map_err(|error| classify(error, self.place(), action(), None))?;
            answer.upload_id().map(|id| UploadId(id.to_owned())).ok_or_else(|| self.lost(action()))
        })
    }

    fn put_part<'a>(
        &'a self,
        key: &'a Key,
        upload: &'a UploadId,
        number: u32,
        _: u64,
        body: Bytes,
    ) -> Pending<'a, Part> {
        Box::pin(async move {
            let action = || format!("write part {number} of {key}");
            let (size, sha256) = (body.len() as u64, sha256(&body));
            let request = self
                .client()
                .await?
                .upload_part()
                .bucket(&self.bucket)
                .key(self.full(key.as_str()))
                .upload_id(&upload.0)
                .part_number(number.cast_signed())
                .checksum_sha256(&sha256)
                .body(ByteStream::from(body));
            let answer =
                request.send().await.map_err(|error| classify(error, self.place(), action(), Some(key)))?;
            let tag = answer.e_tag().ok_or_else(|| self.lost(action()))?.to_owned();
            Ok(Part { number, size, tag, sha256: Some(sha256) })
        })
    }

    fn parts<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, Option<Vec<Part>>> {
        Box::pin(async move {
            let (mut parts, mut marker) = (Vec::new(), None);
            loop {
                let request = self
                    .client()
                    .await?
                    .list_parts()
                    .bucket(&self.bucket)
                    .key(self.full(key.as_str()))
                    .upload_id(&upload.0)
                    .set_part_number_marker(marker.take());
                let answer = match request.send().await {
                    Ok(answer) => answer,
                    Err(error) => {
                        let action = format!("list the parts of {key}");
                        return match classify(error, self.place(), action, Some(key)) {
                            RemoteError::NotFound { .. } => Ok(None),
                            error => Err(error),
                        };
                    }
                };
                for part in answer.parts() {
                    let number = part.part_number().and_then(|number| u32::try_from(number).ok());
                    let size = part.size().and_then(|size| u64::try_from(size).ok());
                    if let (Some(number), Some(size)) = (number, size) {
                        let (tag, sha256) = (part.e_tag().unwrap_or_default(), part.checksum_sha256());
                        parts.push(Part {
                            number,
                            size,
                            tag: tag.to_owned(),
                            sha256: sha256.map(str::to_owned),
                        });
                    }
                }
                marker = answer.next_part_number_marker().map(str::to_owned);
                if answer.is_truncated() != Some(true) || marker.is_none() {
                    return Ok(Some(parts));
                }
            }
        })
    }

    fn complete<'a>(&'a self, key: &'a Key, upload: &'a UploadId, parts: &'a [Part]) -> Pending<'a, ()> {
        Box::pin(async move {
            let completed = parts.iter().map(|part| {
                CompletedPart::builder()
                    .part_number(part.number.cast_signed())
                    .e_tag(&part.tag)
                    .set_checksum_sha256(part.sha256.clone())
                    .build()
            });
            let whole = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
            let request = self
                .client()
                .await?
                .complete_multipart_upload()
                .bucket(&self.bucket)
                .key(self.full(key.as_str()))
                .upload_id(&upload.0)
                .multipart_upload(whole);
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) => Err(classify(error, self.place(), format!("complete {key}"), Some(key))),
            }
        })
    }

    fn abort<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, ()> {
        Box::pin(async move {
            let request = self
                .client()
                .await?
                .abort_multipart_upload()
                .bucket(&self.bucket)
                .key(self.full(key.as_str()))
                .upload_id(&upload.0);
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    match classify(error, self.place(), format!("drop the upload of {key}"), Some(key)) {
                        RemoteError::NotFound { .. } => Ok(()),
                        error => Err(error),
                    }
                }
            }
        })
    }

    fn settle(&self) -> Pending<'_, ()> {
        // An S3 server answers when the object is safe.
        Box::pin(async { Ok(()) })
    }

    fn clock_ahead(&self) -> Option<i64> {
        match self.clock.0.load(Ordering::Relaxed) {
            client::UNKNOWN => None,
            seconds => Some(seconds),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(AtomicI64::new(client::UNKNOWN))
    }
}
