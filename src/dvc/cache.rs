//! DVC's cache: it calls a result up to date only if it has the objects.
//!
//! ```text
//! <cache>/files/md5/ab/cdef…       content by MD5, mode 0444, which is how DVC tells that it is whole
//! <cache>/files/md5/ab/cdef….dir   the listing of a folder
//! ```

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Where an object is or would be.
fn place(cache: &Path, md5: &str) -> PathBuf {
    let (shard, rest) = md5.split_at(2.min(md5.len()));
    cache.join("files").join("md5").join(shard).join(rest)
}

/// Whether the cache has an object.
pub(super) fn has(cache: &Path, md5: &str) -> bool {
    place(cache, md5).exists()
}

/// Adds a file's content, shared with the store where the file system allows it.
pub(super) fn add_file(cache: &Path, md5: &str, content: &Path) -> io::Result<()> {
    let to = place(cache, md5);
    if to.exists() {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(cache);
    fs::create_dir_all(folder)?;
    // A blob of the store is read-only as well, so both may be one file.
    if fs::metadata(content)?.permissions().mode() & 0o777 == 0o444 && fs::hard_link(content, &to).is_ok() {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::copy(&mut fs::File::open(content)?, file.as_file_mut())?;
    finish(file, &to)
}

/// Adds the listing of a folder.
pub(super) fn add_listing(cache: &Path, md5: &str, listing: &[u8]) -> io::Result<()> {
    let to = place(cache, md5);
    if to.exists() {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(cache);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(listing)?;
    finish(file, &to)
}

fn finish(file: tempfile::NamedTempFile, to: &Path) -> io::Result<()> {
    file.as_file().set_permissions(fs::Permissions::from_mode(0o444))?;
    file.persist(to).map_err(|error| error.error)?;
    Ok(())
}
