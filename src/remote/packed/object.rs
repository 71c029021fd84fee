//! Objects whose name is the digest of their bytes, too large for one request.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::remote::{
    Key, PART_SIZE, RemoteError, Session,
    objects::When,
    session::{each, part_size},
};

impl Session {
    /// Reads an object of that size whole, in pieces where it is large. What comes is not compared with anything here.
    pub(in crate::remote) async fn read_object(
        self: &Arc<Self>,
        key: &Key,
        size: u64,
    ) -> Result<Vec<u8>, RemoteError> {
        if size <= PART_SIZE {
            let bytes = self.ask(size, |objects| objects.get(key, None)).await?;
            if bytes.len() as u64 != size {
                return Err(self.corrupt(key, format!("{} bytes came instead of {size}", bytes.len())));
            }
            return Ok(bytes.into());
        }
        let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        for start in (0..size).step_by(PART_SIZE as usize) {
            let range = start..(start + PART_SIZE).min(size);
            let piece = self.ask(range.end - start, |objects| objects.get(key, Some(range.clone())));
            whole.extend_from_slice(&piece.await?);
        }
        Ok(whole)
    }

    /// Writes an object, in parts where it is large; `told` is called with the bytes that have arrived.
    pub(in crate::remote) async fn write_object(
        self: &Arc<Self>,
        key: &Key,
        bytes: Bytes,
        told: impl Fn(u64) + Send + Sync + Clone + 'static,
    ) -> Result<(), RemoteError> {
        let size = bytes.len() as u64;
        if size <= PART_SIZE {
            self.ask(size, |objects| objects.put(key, bytes.clone(), When::Always)).await?;
            told(size);
            return Ok(());
        }
        let part = part_size(size);
        let upload = self.ask(0, |objects| objects.begin(key)).await?;
        let parts = Arc::new(Mutex::new(Vec::new()));
        let sent = each((1..).zip((0..size).step_by(part as usize)), |(number, start)| {
            let piece = bytes.slice(start as usize..(start + part).min(size) as usize);
            let (session, key, upload) = (Arc::clone(self), key.clone(), upload.clone());
            let (parts, told) = (Arc::clone(&parts), told.clone());
            async move {
                let put = session.ask(piece.len() as u64, |objects| {
                    objects.put_part(&key, &upload, number, start, piece.clone())
                });
                let done = put.await?;
                parts.lock().unwrap_or_else(PoisonError::into_inner).push(done);
                told(piece.len() as u64);
                Ok(())
            }
        })
        .await;
        if let Err(error) = sent {
            // Nobody goes on with it. That it can't be dropped is less news than why it failed.
            let _ = self.ask(0, |objects| objects.abort(key, &upload)).await;
            return Err(error);
        }
        let mut parts = std::mem::take(&mut *parts.lock().unwrap_or_else(PoisonError::into_inner));
        parts.sort_by_key(|part| part.number);
        let completed = self.ask(0, |objects| objects.complete(key, &upload, &parts)).await;
        // An answer that was lost leaves nothing to complete the second time, but the object.
        match (completed, self.head(key).await?) {
            (_, Some(found)) if found == size => Ok(()),
            (Err(error), _) => Err(error),
            (Ok(()), found) => Err(self.corrupt(
                key,
                format!("{} bytes of {size} are there after the upload", found.unwrap_or_default()),
            )),
        }
    }
}
