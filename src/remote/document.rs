//! Small texts by name beside the results: what machines leave for each other that is no result.

use super::{Key, RemoteError, Session, objects::When};

impl Session {
    /// The text of that name, as the last one left it. None where there is none.
    pub async fn document(&self, name: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        let key = key(name)?;
        match self.ask(0, |objects| objects.get(&key, None)).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(RemoteError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves a text under a name, in place of the one that is there. Fails for a remote that may not be written.
    pub async fn put_document(&self, name: &str, text: Vec<u8>) -> Result<(), RemoteError> {
        let key = key(name)?;
        self.begin_writing().await?;
        self.ask(0, |objects| objects.put(&key, text.clone().into(), When::Always)).await.map(|_| ())
    }
}

fn key(name: &str) -> Result<Key, RemoteError> {
    Key::new(format!("documents-v1/{name}"))
}
