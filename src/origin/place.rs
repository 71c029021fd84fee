//! A place that data comes from.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{OriginError, http, s3};
use crate::{
    config::Config,
    digest::Md5,
    store::{LocalStore, StoreError},
    track::{DirEntry, DirListing, ObjectName},
};

/// Attempts where the server or the way to it failed.
const ATTEMPTS: u32 = 3;
/// Before the first attempt more; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// A place that data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A URL of a web server.
    Http(String),
    /// An object of an S3 server.
    S3 {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// A file or folder of this machine, absolute.
    Path(PathBuf),
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How a pointer file calls `tag`: `checksum`, `etag` or `md5`.
    pub kind: &'static str,
    /// What changes with the content; none where the server tells nothing of the kind.
    pub tag: Option<String>,
    /// Bytes, where it is told.
    pub size: Option<u64>,
    /// Files of a folder.
    pub files: Option<u64>,
}

impl Origin {
    /// Reads a URL, or a path, which is relative to a folder.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, OriginError> {
        let wrong = |reason: &str| OriginError::Place { text: text.to_owned(), reason: reason.to_owned() };
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.is_empty() {
                true => Err(wrong("it is empty")),
                false => Ok(Self::Path(folder.join(text))),
            };
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if let Some((_, behind)) = rest.rsplit_once('@').filter(|_| authority.contains('@')) {
            return Err(OriginError::Place {
                text: format!("{scheme}://…@{behind}"),
                reason: "it holds a login, which would be kept in git".to_owned(),
            });
        }
        match scheme {
            "http" | "https" if authority.is_empty() => Err(wrong("it names no host")),
            "http" | "https" => Ok(Self::Http(text.split('#').next().unwrap_or(text).to_owned())),
            "s3" => match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() && !key.ends_with('/') => {
                    Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
                }
                _ => Err(wrong("an object is wanted: `s3://bucket/key`")),
            },
            "file" if rest.starts_with('/') => Ok(Self::Path(PathBuf::from(rest))),
            _ => Err(wrong("`https://`, `http://`, `s3://`, `file:///` or a path is wanted")),
        }
    }

    /// What data from there is called by itself: the last part of the way to it.
    pub fn name(&self) -> Option<String> {
        let last = match self {
            Self::Http(url) => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let (_, path) = rest.split(['?', '#']).next()?.split_once('/')?;
                path.trim_end_matches('/').rsplit('/').next()?.to_owned()
            }
            Self::S3 { key, .. } => key.rsplit('/').next()?.to_owned(),
            Self::Path(path) => path.file_name()?.to_str()?.to_owned(),
        };
        (!last.is_empty() && last != "." && last != "..").then_some(last)
    }

    /// Whether somebody else than this machine has to be asked.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Path(_))
    }

    /// Asks what is there.
    pub async fn look(&self, config: &Config, store: &LocalStore) -> Result<Seen, OriginError> {
        match self {
            Self::Path(path) => identify(path, store),
            _ => self.again(config, None).await,
        }
    }

    /// Brings what is there to a path that must not exist yet, and says what it was.
    pub async fn bring(&self, config: &Config, store: &LocalStore, to: &Path) -> Result<Seen, OriginError> {
        match self {
            Self::Path(path) => {
                copy(path, to, store)?;
                // The copy is what will be kept.
                identify(to, store)
            }
            _ => self.again(config, Some(to)).await,
        }
    }

    async fn again(&self, config: &Config, to: Option<&Path>) -> Result<Seen, OriginError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let done = match self {
                Self::Http(url) => http::get(url, to, config.ca_bundle.as_deref()).await,
                Self::S3 { bucket, key } => s3::get(bucket, key, to, config).await,
                Self::Path(path) => Err(OriginError::Absent { url: path.display().to_string() }),
            };
            match done {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {}
                done => return done,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(OriginError::Absent { url: String::new() })
    }
}

fn identify(path: &Path, store: &LocalStore) -> Result<Seen, OriginError> {
    let read = |path: &Path| Md5::of_file(path).map_err(OriginError::io("read", path));
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(OriginError::Absent { url: path.display().to_string() });
        }
        Err(error) => return Err(OriginError::io("read", path)(error)),
    };
    if !meta.is_dir() {
        let name = ObjectName { md5: read(path)?, folder: false };
        return Ok(Seen { kind: "md5", tag: Some(name.to_string()), size: Some(meta.len()), files: None });
    }
    let (mut entries, mut size) = (Vec::new(), 0);
    for (relative, file) in store.files_below(path)? {
        size += fs::metadata(&file).map_err(OriginError::io("read", &file))?.len();
        entries.push(DirEntry { path: relative, md5: read(&file)? });
    }
    let files = Some(entries.len() as u64);
    let name = ObjectName { md5: DirListing::new(entries).md5(), folder: true };
    Ok(Seen { kind: "md5", tag: Some(name.to_string()), size: Some(size), files })
}

fn copy(from: &Path, to: &Path, store: &LocalStore) -> Result<(), OriginError> {
    let one = |from: &Path, to: &Path| {
        fs::copy(from, to).map(|_| ()).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => OriginError::Absent { url: from.display().to_string() },
            _ => StoreError::io("copy", from)(error).into(),
        })
    };
    if !from.is_dir() {
        return one(from, to);
    }
    for (relative, file) in store.files_below(from)? {
        let to = to.join(relative);
        let folder = to.parent().unwrap_or(&to);
        fs::create_dir_all(folder).map_err(OriginError::io("create", folder))?;
        one(&file, &to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_read_and_named() {
        let mut seen = String::new();
        for text in [
            "https://example.org/a/b.tar?x=1#top",
            "http://example.org",
            "http://",
            "https://me:secret@example.org/x",
            "s3://bucket/a/b",
            "s3://bucket/",
            "s3://bucket/folder/",
            "file:///data/x",
            "file://host/x",
            "gs://bucket/x",
            "../data",
            "..",
            "",
        ] {
            match Origin::parse(text, Path::new("/project")) {
                Ok(origin) => seen.push_str(&format!("{origin:?} {:?}\n", origin.name())),
                Err(error) => seen.push_str(&format!("{error}\n")),
            }
        }
        insta::assert_snapshot!(seen);
    }
}
