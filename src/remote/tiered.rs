//! A near remote before a far one: a folder on a fast disk or in the local network before a bucket.
//!
//! The far one is the truth: it is written first, listed, and asked whether an object is there. What is read comes from the near one
//! where that has it, and is kept there otherwise. Only objects whose name is the digest of their content are kept near: they never
//! change, and a damaged copy shows when it is compared. A near one that fails is passed over.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Key, PART_SIZE, layout,
    objects::{Objects, Page, Part, Pending, Put, UploadId, When},
};

/// Two remotes as one.
#[derive(Debug)]
pub struct Tiered {
    near: Arc<dyn Objects>,
    far: Arc<dyn Objects>,
}

impl Tiered {
    /// `near` keeps copies of what `far` has.
    pub fn new(near: Arc<dyn Objects>, far: Arc<dyn Objects>) -> Self {
        Self { near, far }
    }

    async fn keep(&self, key: &Key, bytes: &Bytes) {
        if layout::is_fixed(key) && bytes.len() as u64 <= PART_SIZE {
            self.note(key, self.near.put(key, bytes.clone(), When::Absent).await.map(drop));
        }
    }

    fn note(&self, key: &Key, done: Result<(), super::RemoteError>) {
        if let Err(error) = done {
            tracing::debug!(%key, %error, near = self.near.place(), "the near copy is passed over");
        }
    }
}

/// A range of an object; none where it lies outside.
fn piece(bytes: &Bytes, range: Option<&Range<u64>>) -> Option<Bytes> {
    let Some(range) = range else { return Some(bytes.clone()) };
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}

impl Objects for Tiered {
    fn place(&self) -> String {
        self.far.place()
    }

    fn head<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<u64>> {
        self.far.head(key)
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Pending<'a, Bytes> {
        Box::pin(async move {
            if layout::is_fixed(key)
                && let Ok(Some(_)) = self.near.head(key).await
            {
                // Read whole, as only so a damaged copy shows; it is small.
                match self.near.get(key, None).await {
                    Ok(bytes) if layout::is_intact(key, &bytes) => {
                        if let Some(piece) = piece(&bytes, range.as_ref()) {
                            return Ok(piece);
                        }
                    }
                    Ok(_) => self.note(key, self.near.delete(key).await),
                    Err(error) => self.note(key, Err(error)),
                }
            }
            let whole = range.is_none();
            let bytes = self.far.get(key, range).await?;
            if whole {
                self.keep(key, &bytes).await;
            }
            Ok(bytes)
        })
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, when: When) -> Pending<'a, Put> {
        Box::pin(async move {
            let done = self.far.put(key, body.clone(), when).await?;
            self.keep(key, &body).await;
            Ok(done)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Pending<'a, Page> {
        self.far.list(prefix, from)
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        Box::pin(async move {
            self.note(key, self.near.delete(key).await);
            self.far.delete(key).await
        })
    }

    fn begin<'a>(&'a self, key: &'a Key) -> Pending<'a, UploadId> {
        self.far.begin(key)
    }

    fn put_part<'a>(
        &'a self,
        key: &'a Key,
        upload: &'a UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Pending<'a, Part> {
        self.far.put_part(key, upload, number, offset, body)
    }

    fn parts<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, Option<Vec<Part>>> {
        self.far.parts(key, upload)
    }

    fn complete<'a>(&'a self, key: &'a Key, upload: &'a UploadId, parts: &'a [Part]) -> Pending<'a, ()> {
        self.far.complete(key, upload, parts)
    }

    fn abort<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, ()> {
        self.far.abort(key, upload)
    }

    fn settle(&self) -> Pending<'_, ()> {
        self.far.settle()
    }

    fn beneath(&self) -> Option<Arc<dyn Objects>> {
        Some(Arc::clone(&self.far))
    }

    fn clock_ahead(&self) -> Option<i64> {
        self.far.clock_ahead()
    }
}
