//! A remote whose machine is cut off after so many writes.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use stagewright::remote::{Key, Objects, Page, Part, Pending, Put, RemoteError, UploadId, When};

/// Passes on everything until the writes are used up; from then on nothing that would change something is done.
#[derive(Debug)]
pub struct Dying {
    inner: Arc<dyn Objects>,
    left: AtomicUsize,
}

impl Dying {
    pub fn after(writes: usize, inner: Arc<dyn Objects>) -> Arc<Self> {
        Arc::new(Self { inner, left: AtomicUsize::new(writes) })
    }

    /// All writes that were allowed were made, and one more was wanted.
    pub fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn write<'a, T: Send + 'a>(&'a self, then: impl FnOnce() -> Pending<'a, T>) -> Pending<'a, T> {
        let alive = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, alive) {
            Ok(_) => then(),
            Err(_) => Box::pin(std::future::ready(Err(RemoteError::Refused {
                place: self.inner.place(),
                action: "write".to_owned(),
                reason: "the machine is cut off".to_owned(),
            }))),
        }
    }
}

impl Objects for Dying {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn head<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<u64>> {
        self.inner.head(key)
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Pending<'a, Bytes> {
        self.inner.get(key, range)
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, when: When) -> Pending<'a, Put> {
        self.write(move || self.inner.put(key, body, when))
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Pending<'a, Page> {
        self.inner.list(prefix, from)
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        self.write(move || self.inner.delete(key))
    }

    fn begin<'a>(&'a self, key: &'a Key) -> Pending<'a, UploadId> {
        self.write(move || self.inner.begin(key))
    }

    fn put_part<'a>(
        &'a self,
        key: &'a Key,
        upload: &'a UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Pending<'a, Part> {
        self.write(move || self.inner.put_part(key, upload, number, offset, body))
    }

    fn parts<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, Option<Vec<Part>>> {
        self.inner.parts(key, upload)
    }

    fn complete<'a>(&'a self, key: &'a Key, upload: &'a UploadId, parts: &'a [Part]) -> Pending<'a, ()> {
        self.write(move || self.inner.complete(key, upload, parts))
    }

    fn abort<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, ()> {
        self.write(move || self.inner.abort(key, upload))
    }

    fn settle(&self) -> Pending<'_, ()> {
        self.inner.settle()
    }
}
