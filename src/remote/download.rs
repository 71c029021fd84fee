//! One object from a remote into the store.

use std::{io, sync::Arc, time::Duration};

use super::{
    Key, PART_SIZE, RemoteError, Session, TransferEvent, layout,
    session::{blocking, each, part_size},
};
use crate::{
    digest::{Digest, Md5},
    store::LocalStore,
};

/// How often a process looks whether another one has finished with the object that both want.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// An object as its name promises it.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    pub(super) key: Key,
    pub(super) size: u64,
    pub(super) content: Content,
}

/// What an object's name says of its content.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// It is this blob.
    Blob(Digest),
    /// It has this MD5, as in DVC's layout.
    Md5(Md5),
}

impl Content {
    /// Letters and digits that tell it from all others.
    fn name(&self) -> String {
        match self {
            Self::Blob(digest) => digest.hex(),
            Self::Md5(md5) => md5.to_string(),
        }
    }

    /// The blob that these bytes are, or how they break the promise.
    fn check(
        &self,
        found: Digest,
        md5: impl FnOnce() -> io::Result<Md5>,
    ) -> io::Result<Result<Digest, String>> {
        let (right, shown) = match self {
            Self::Blob(digest) => (found == *digest, format!("its content is {found}")),
            Self::Md5(wanted) => {
                let md5 = md5()?;
                (md5 == *wanted, format!("its content has the MD5 {md5}"))
            }
        };
        Ok(if right { Ok(found) } else { Err(shown) })
    }
}

impl Session {
    /// Downloads a blob into the store, which has it only when it is what its name says.
    pub(super) async fn download(
        self: Arc<Self>,
        store: LocalStore,
        digest: Digest,
    ) -> Result<(), RemoteError> {
        if digest.size() > PART_SIZE {
            // Before disk is set aside for a size that only a listing claims.
            let key = layout::blob(&digest);
            match self.head(&key).await? {
                None => return Err(RemoteError::NotFound { place: self.place(), key }),
                Some(size) if size != digest.size() => {
                    return Err(self.corrupt(&key, format!("{size} bytes")));
                }
                Some(_) => {}
            }
            if store.is_sound(&digest) {
                self.tell(TransferEvent::Moved { bytes: digest.size() });
                self.tell(TransferEvent::Finished);
                return Ok(());
            }
        }
        let promise =
            Promise { key: layout::blob(&digest), size: digest.size(), content: Content::Blob(digest) };
        self.keep_promise(store, promise).await.map(drop)
    }

    /// Downloads an object. A damaged copy is asked for once more: it may have been damaged on the way.
    pub(super) async fn keep_promise(
        self: Arc<Self>,
        store: LocalStore,
        promise: Promise,
    ) -> Result<Digest, RemoteError> {
        let first = self.download_once(&store, &promise).await;
        let done = match first {
            Err(RemoteError::Corrupt { .. }) => self.download_once(&store, &promise).await,
            other => other,
        };
        if done.is_ok() {
            self.tell(TransferEvent::Finished);
        }
        done
    }

    async fn download_once(
        self: &Arc<Self>,
        store: &LocalStore,
        promise: &Promise,
    ) -> Result<Digest, RemoteError> {
        if promise.size > PART_SIZE {
            return self.download_parts(store, promise).await;
        }
        let bytes = {
            let _memory = self.memory(promise.size).await;
            self.ask(promise.size, |objects| objects.get(&promise.key, None)).await?
        };
        if bytes.len() as u64 != promise.size {
            return Err(
                self.corrupt(&promise.key, format!("{} bytes came instead of {}", bytes.len(), promise.size))
            );
        }
        let (store, content) = (store.clone(), promise.content);
        let stored = blocking(move || {
            let found = content.check(Digest::of(&bytes), || Ok(Md5::of(&bytes)));
            match found.map_err(RemoteError::io("read", store.folder()))? {
                Ok(_) => Ok(Ok(store.put(&bytes)?)),
                Err(found) => Ok::<_, RemoteError>(Err(found)),
            }
        });
        let stored = stored.await?.map_err(|found| self.corrupt(&promise.key, found))?;
        self.tell(TransferEvent::Moved { bytes: promise.size });
        Ok(stored)
    }

    async fn download_parts(
        self: &Arc<Self>,
        store: &LocalStore,
        promise: &Promise,
    ) -> Result<Digest, RemoteError> {
        let incoming = loop {
            match store.receive(&promise.content.name(), promise.size)? {
                Some(incoming) => break Arc::new(incoming),
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        };
        let missing = incoming.missing(part_size(promise.size));
        let left: u64 = missing.iter().map(|range| range.end - range.start).sum();
        self.tell(TransferEvent::Moved { bytes: promise.size - left });
        each(missing, |range| {
            let (session, incoming, key) = (Arc::clone(self), Arc::clone(&incoming), promise.key.clone());
            async move {
                let size = range.end - range.start;
                let _memory = session.memory(size).await;
                let bytes = session.ask(size, |objects| objects.get(&key, Some(range.clone()))).await?;
                blocking(move || incoming.write(range.start, &bytes)).await?;
                session.tell(TransferEvent::Moved { bytes: size });
                Ok(())
            }
        })
        .await?;
        let Some(incoming) = Arc::into_inner(incoming) else {
            return Err(self.corrupt(&promise.key, "a piece is still being written".to_owned()));
        };
        let (store, content) = (store.clone(), promise.content);
        let accepted = blocking(move || {
            store.accept(incoming, |path| content.check(Digest::of_file(path)?, || Md5::of_file(path)))
        });
        accepted.await?.map_err(|found| self.corrupt(&promise.key, found))
    }

    pub(super) fn corrupt(&self, key: &Key, found: String) -> RemoteError {
        RemoteError::Corrupt { place: self.place(), key: key.clone(), found }
    }
}
