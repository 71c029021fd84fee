//! A remote in a folder: a disk, a network share.
//!
//! An object is a file at its key. What is being written lies in `.stagewright-tmp/` and is renamed into place whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Key, RemoteError,
    objects::{Listed, Objects, Page, Part, Pending, Put, UploadId, When},
};

const TEMPORARY: &str = ".stagewright-tmp";

/// A remote in a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Arc<Path>,
}

impl Folder {
    /// The remote in `root`, which is made when first written to.
    pub fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Runs what blocks where it may.
    fn run<'a, T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, RemoteError> + Send + 'static,
    ) -> Pending<'a, T> {
        let this = self.clone();
        Box::pin(async move {
            // A panic in there is a defect of ours and goes on as one.
            let checked = move || {
                if this.root.is_file() {
                    let reason = "it is a file, and a folder is wanted".to_owned();
                    return Err(RemoteError::SetUp { place: this.place(), reason });
                }
                work(&this)
            };
            let done = tokio::task::spawn_blocking(checked).await;
            done.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => {
                    Err(RemoteError::SetUp { place: "the thread pool".to_owned(), reason: error.to_string() })
                }
            })
        })
    }

    fn temporary(&self) -> Result<PathBuf, RemoteError> {
        let folder = self.root.join(TEMPORARY);
        fs::create_dir_all(&folder).map_err(RemoteError::io("create", &folder))?;
        Ok(folder)
    }

    /// An upload's file; its id comes from the file system or from a note of ours, so it may hold anything.
    fn upload_path(&self, upload: &UploadId) -> Result<PathBuf, RemoteError> {
        let plain = !upload.0.is_empty() && upload.0.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if plain {
            Ok(self.root.join(TEMPORARY).join(format!("upload-{}", upload.0)))
        } else {
            Err(RemoteError::BadKey(upload.0.clone()))
        }
    }
}

fn parent(path: &Path) -> Result<(), RemoteError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(RemoteError::io("create", parent)),
        None => Ok(()),
    }
}

fn is_absent(error: &io::Error) -> bool {
    // `a/b` is as absent when `a` is a file as when it is not there.
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Objects for Folder {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn head<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<u64>> {
        let path = self.path(key);
        self.run(move |_| match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(RemoteError::io("read", &path)(error)),
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Pending<'a, Bytes> {
        let (path, key) = (self.path(key), key.clone());
        self.run(move |this| {
            let file = File::open(&path).map_err(|error| match is_absent(&error) {
                true => RemoteError::NotFound { place: this.place(), key: key.clone() },
                false => RemoteError::io("read", &path)(error),
            })?;
            let size = file.metadata().map_err(RemoteError::io("read", &path))?.len();
            let range = range.unwrap_or(0..size);
            let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            if range.end > size {
                return Err(RemoteError::Format {
                    place: this.place(),
                    key,
                    what: "an object of the size wanted",
                    reason: format!(
                        "it has {size} bytes, and byte {} is wanted",
                        range.end.saturating_sub(1)
                    ),
                });
            }
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start).map_err(RemoteError::io("read", &path))?;
            Ok(bytes.into())
        })
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, when: When) -> Pending<'a, Put> {
        let path = self.path(key);
        self.run(move |this| {
            if when == When::Absent && path.is_file() {
                return Ok(Put::Existed);
            }
            let folder = this.temporary()?;
            let mut file = tempfile::NamedTempFile::new_in(&folder)
                .map_err(RemoteError::io("create a file in", &folder))?;
            file.write_all(&body).map_err(RemoteError::io("write", file.path()))?;
            share(file.as_file(), file.path())?;
            parent(&path)?;
            let done = match when {
                When::Always => file.persist(&path),
                When::Absent => file.persist_noclobber(&path),
            };
            match done {
                Ok(_) => Ok(Put::Written),
                Err(error) if when == When::Absent && error.error.kind() == io::ErrorKind::AlreadyExists => {
                    Ok(Put::Existed)
                }
                Err(error) => Err(RemoteError::io("write", &path)(error.error)),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, _: Option<&'a str>) -> Pending<'a, Page> {
        let prefix = prefix.to_owned();
        self.run(move |this| {
            // The deepest folder that holds everything wanted.
            let (folder, start) = prefix.rsplit_once('/').unwrap_or(("", &prefix));
            let folder =
                if folder.is_empty() { this.root.to_path_buf() } else { this.path(&Key::new(folder)?) };
            let mut objects = Vec::new();
            let fits = |item: &walkdir::DirEntry| {
                item.depth() != 1 || item.file_name().as_encoded_bytes().starts_with(start.as_bytes())
            };
            for item in walkdir::WalkDir::new(&folder).into_iter().filter_entry(fits) {
                let item = match item {
                    Ok(item) => item,
                    Err(error) if error.io_error().is_some_and(is_absent) => continue,
                    Err(error) => return Err(RemoteError::io("read", &folder)(error.into())),
                };
                let relative = item.path().strip_prefix(&*this.root).ok().and_then(Path::to_str);
                let Some(key) = relative.and_then(|path| Key::new(path).ok()) else { continue };
                let ours = !key.as_str().starts_with(TEMPORARY);
                if item.file_type().is_file() && ours && key.as_str().starts_with(&prefix) {
                    let Ok(meta) = item.metadata() else { continue };
                    objects.push(Listed { key, size: meta.len(), modified: meta.modified().ok() });
                }
            }
            objects.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(Page { objects, next: None })
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        let path = self.path(key);
        self.run(move |_| remove(&path))
    }

    fn begin<'a>(&'a self, _: &'a Key) -> Pending<'a, UploadId> {
        self.run(|this| {
            let folder = this.temporary()?;
            let file = tempfile::Builder::new()
                .prefix("upload-")
                .rand_bytes(16)
                .tempfile_in(&folder)
                .and_then(|file| file.keep().map_err(|error| error.error))
                .map_err(RemoteError::io("create a file in", &folder))?;
            share(&file.0, &file.1)?;
            let name = file.1.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Ok(UploadId(name.trim_start_matches("upload-").to_owned()))
        })
    }

    fn put_part<'a>(
        &'a self,
        _: &'a Key,
        upload: &'a UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Pending<'a, Part> {
        let upload = upload.clone();
        self.run(move |this| {
            let path = this.upload_path(&upload)?;
            let file = File::options().write(true).open(&path).map_err(RemoteError::io("write", &path))?;
            file.write_all_at(&body, offset).map_err(RemoteError::io("write", &path))?;
            // Which parts are there is told by the names of empty files, so that a stopped upload can go on.
            let (size, tag) = (body.len() as u64, format!("{number}-{offset}-{}", body.len()));
            let mark = path.with_extension(&tag);
            File::create(&mark).map_err(RemoteError::io("write", &mark))?;
            Ok(Part { number, size, tag, sha256: None })
        })
    }

    fn parts<'a>(&'a self, _: &'a Key, upload: &'a UploadId) -> Pending<'a, Option<Vec<Part>>> {
        let upload = upload.clone();
        self.run(move |this| {
            let path = this.upload_path(&upload)?;
            if !path.is_file() {
                return Ok(None);
            }
            let mut parts: Vec<Part> = marks(&path)?.iter().filter_map(|mark| read_mark(mark)).collect();
            parts.sort_by_key(|part| part.number);
            Ok(Some(parts))
        })
    }

    fn complete<'a>(&'a self, key: &'a Key, upload: &'a UploadId, parts: &'a [Part]) -> Pending<'a, ()> {
        let (path, upload, key) = (self.path(key), upload.clone(), key.clone());
        let size: u64 = parts.iter().map(|part| part.size).sum();
        self.run(move |this| {
            let from = this.upload_path(&upload)?;
            let found = fs::metadata(&from).map_err(RemoteError::io("read", &from))?.len();
            if found != size {
                return Err(RemoteError::Refused {
                    place: this.place(),
                    action: format!("complete {key}"),
                    reason: format!("its parts have {size} bytes, and {found} are there"),
                });
            }
            let file = File::open(&from).map_err(RemoteError::io("read", &from))?;
            file.sync_all().map_err(RemoteError::io("write", &from))?;
            parent(&path)?;
            fs::rename(&from, &path).map_err(RemoteError::io("write", &path))?;
            marks(&from)?.iter().try_for_each(|mark| remove(mark))
        })
    }

    fn abort<'a>(&'a self, _: &'a Key, upload: &'a UploadId) -> Pending<'a, ()> {
        let upload = upload.clone();
        self.run(move |this| {
            let path = this.upload_path(&upload)?;
            marks(&path)?.iter().try_for_each(|mark| remove(mark))?;
            remove(&path)
        })
    }

    fn settle(&self) -> Pending<'_, ()> {
        self.run(|this| match File::open(&this.root) {
            Ok(folder) => {
                rustix::fs::syncfs(&folder).map_err(|error| RemoteError::io("sync", &this.root)(error.into()))
            }
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(RemoteError::io("open", &this.root)(error)),
        })
    }
}

/// A temporary file is private; an object is for all who may read the folder.
fn share(file: &File, path: &Path) -> Result<(), RemoteError> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(RemoteError::io("protect", path))
}

fn remove(path: &Path) -> Result<(), RemoteError> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(RemoteError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Files beside an upload that tell of its parts.
fn marks(upload: &Path) -> Result<Vec<PathBuf>, RemoteError> {
    let (Some(folder), Some(name)) = (upload.parent(), upload.file_name()) else { return Ok(Vec::new()) };
    let items = match fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(RemoteError::io("read", folder)(error)),
    };
    let mut found = Vec::new();
    for item in items {
        let path = item.map_err(RemoteError::io("read", folder))?.path();
        if path.extension().is_some() && path.file_stem() == Some(name) {
            found.push(path);
        }
    }
    Ok(found)
}

fn read_mark(path: &Path) -> Option<Part> {
    let tag = path.extension()?.to_str()?;
    let mut numbers = tag.split('-').map(|part| part.parse::<u64>());
    let (Some(Ok(number)), Some(Ok(_)), Some(Ok(size)), None) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next())
    else {
        return None;
    };
    Some(Part { number: u32::try_from(number).ok()?, size, tag: tag.to_owned(), sha256: None })
}
