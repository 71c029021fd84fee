//! One blob to a remote.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{
    Key, PART_SIZE, RemoteError, Session, TransferEvent,
    note::Note,
    objects::{Part, UploadId, When},
    session::{blocking, each, part_size},
};
use crate::{
    digest::Digest,
    store::{LocalStore, StoreError},
};

impl Session {
    /// Uploads a blob to where it is to lie. What is sent is compared with the digest, so a damaged store spoils no remote.
    pub(super) async fn upload(
        self: Arc<Self>,
        store: LocalStore,
        digest: Digest,
        key: Key,
    ) -> Result<(), RemoteError> {
        if digest.size() > PART_SIZE {
            return self.upload_parts(store, digest, key).await;
        }
        let _memory = self.memory(digest.size()).await;
        let bytes: Bytes = blocking(move || store.read(&digest)).await?.into();
        self.ask(digest.size(), |objects| objects.put(&key, bytes.clone(), When::Always)).await?;
        self.tell(TransferEvent::Moved { bytes: digest.size() });
        self.tell(TransferEvent::Finished);
        Ok(())
    }

    async fn upload_parts(
        self: Arc<Self>,
        store: LocalStore,
        digest: Digest,
        key: Key,
    ) -> Result<(), RemoteError> {
        let path = store.blob_path(&digest);
        let part = part_size(digest.size());
        let note = Arc::new(Note::take(&store, &format!("{}/{key}", self.place()), &digest)?);
        let (upload, have) = self.begin_or_go_on(&key, &note, digest.size(), part).await?;
        self.tell(TransferEvent::Moved { bytes: have.values().map(|part| part.size).sum() });
        let hashed = {
            let path = path.clone();
            tokio::spawn(blocking(move || Digest::of_file(&path)))
        };
        let wanted: Vec<u32> =
            (0..digest.size().div_ceil(part)).filter_map(|index| u32::try_from(index + 1).ok()).collect();
        let parts = Arc::new(Mutex::new(have));
        let missing: Vec<u32> = {
            let parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().copied().filter(|number| !parts.contains_key(number)).collect()
        };
        let file = Arc::new(File::open(&path).map_err(RemoteError::io("read", &path))?);
        each(missing, |number| {
            let (session, file, path) = (Arc::clone(&self), Arc::clone(&file), path.clone());
            let (key, upload, parts, note) =
                (key.clone(), upload.clone(), Arc::clone(&parts), Arc::clone(&note));
            async move {
                let start = u64::from(number - 1) * part;
                let size = part.min(digest.size() - start);
                let _memory = session.memory(size).await;
                let read = blocking(move || {
                    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
                    file.read_exact_at(&mut bytes, start).map(|()| Bytes::from(bytes))
                });
                let bytes = read.await.map_err(RemoteError::io("read", &path))?;
                let put = session
                    .ask(size, |objects| objects.put_part(&key, &upload, number, start, bytes.clone()));
                let done = put.await?;
                note.sent(&done)?;
                parts.lock().unwrap_or_else(PoisonError::into_inner).insert(number, done);
                session.tell(TransferEvent::Moved { bytes: size });
                Ok(())
            }
        })
        .await?;
        let found = hashed.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let found = found.map_err(RemoteError::io("read", &path))?;
        if found != digest {
            self.ask(0, |objects| objects.abort(&key, &upload)).await?;
            note.forget();
            let reason = format!("its content is {found}");
            return Err(StoreError::Damaged { digest, reason }.into());
        }
        let parts: Vec<Part> = std::mem::take(&mut *parts.lock().unwrap_or_else(PoisonError::into_inner))
            .into_values()
            .collect();
        let completed = self.ask(0, |objects| objects.complete(&key, &upload, &parts)).await;
        note.forget();
        // An answer that was lost leaves nothing to complete the second time, but the object.
        match (completed, self.head(&key).await?) {
            (_, Some(size)) if size == digest.size() => {}
            (Err(error), _) => return Err(error),
            (Ok(()), found) => {
                let found = found.map_or_else(
                    || "nothing is there after the upload".to_owned(),
                    |size| format!("{size} bytes are there after the upload"),
                );
                return Err(self.corrupt(&key, found));
            }
        }
        self.tell(TransferEvent::Finished);
        Ok(())
    }

    /// The upload that an earlier process began, with the parts that the remote has of it, or a new one.
    async fn begin_or_go_on(
        &self,
        key: &Key,
        note: &Note,
        size: u64,
        part: u64,
    ) -> Result<(UploadId, BTreeMap<u32, Part>), RemoteError> {
        if let Some((upload, sent)) = note.read(part)
            && let Ok(Some(there)) = self.ask(0, |objects| objects.parts(key, &upload)).await
        {
            let fits = |found: &Part| {
                let start = u64::from(found.number.saturating_sub(1)) * part;
                found.number > 0 && start < size && found.size == part.min(size - start)
            };
            // Not every server says how it calls its parts, so what counts is what it said when they were sent.
            let known = |found: Part| {
                sent.iter().find(|part| (part.number, part.size) == (found.number, found.size)).cloned()
            };
            let have =
                there.into_iter().filter(fits).filter_map(known).map(|part| (part.number, part)).collect();
            return Ok((upload, have));
        }
        let upload = self.ask(0, |objects| objects.begin(key)).await?;
        note.begin(&upload, part)?;
        Ok((upload, BTreeMap::new()))
    }
}
