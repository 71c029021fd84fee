//! The archive of a bundle: the plainest tar there is (POSIX ustar), so that any `tar` unpacks it.
//!
//! There is one spelling for each content: fixed mode, owner and time, members in one order, two empty blocks at the end and nothing
//! behind. The reader holds every byte against that spelling, so whatever else a tar can hold (links, devices, paths that lead out,
//! long names, padding with something in it) is refused before anybody looks at it. Nothing is ever unpacked.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::MemberName;
use crate::{
    digest::{Digest, Hasher},
    lineage::LineageError,
};

const BLOCK: usize = 512;
/// From this size on, the eleven octal digits of ustar do not reach, and it is written in binary, as GNU and BSD do.
const LARGE: u64 = 1 << 33;

/// A member that was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: MemberName,
    /// Where its content begins in the archive.
    pub(super) offset: u64,
    /// Of the content as it is.
    pub(super) digest: Digest,
}

fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size < LARGE {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    // While the sum is taken, its place counts as blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Writes a member. What `content` gives is compared with the digest, so that a damaged store makes no damaged bundle.
pub(super) fn append(
    out: &mut dyn Write,
    name: &MemberName,
    digest: &Digest,
    content: &mut dyn Read,
) -> io::Result<Result<(), Digest>> {
    out.write_all(&header(&name.to_string(), digest.size()))?;
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 1 << 20]);
    let mut content = content.take(digest.size().saturating_add(1));
    loop {
        let length = content.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
        out.write_all(&buffer[..length])?;
    }
    let found = hasher.finish();
    out.write_all(&[0; BLOCK][..padding(digest.size())])?;
    Ok(if found == *digest { Ok(()) } else { Err(found) })
}

/// Writes the end.
pub(super) fn finish(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// Reads the whole archive once: its members with the digests of their contents. An archive that is spelled otherwise than
/// [`append`] does gives the reason.
pub(super) fn scan(path: &Path) -> Result<Result<Vec<Found>, String>, LineageError> {
    let failed = |error| LineageError::io("read", path)(error);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    match members(&mut reader, length) {
        Ok(found) => Ok(Ok(found)),
        Err(Stop::Io(error)) => Err(failed(error)),
        Err(Stop::Spelling(reason)) => Ok(Err(reason)),
    }
}

enum Stop {
    Io(io::Error),
    Spelling(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Spelling("it is cut off".to_owned()),
            _ => Self::Io(error),
        }
    }
}

fn members(reader: &mut impl Read, length: u64) -> Result<Vec<Found>, Stop> {
    let mut found: Vec<Found> = Vec::new();
    let mut offset = 0;
    let mut block = [0; BLOCK];
    loop {
        reader.read_exact(&mut block)?;
        offset += BLOCK as u64;
        if block == [0; BLOCK] {
            reader.read_exact(&mut block)?;
            return match (block == [0; BLOCK], length == offset + BLOCK as u64) {
                (true, true) => Ok(found),
                (true, false) => Err(Stop::Spelling("something stands behind its end".to_owned())),
                (false, _) => Err(Stop::Spelling("an empty block stands between its members".to_owned())),
            };
        }
        let (name, size) = understand(&block).map_err(Stop::Spelling)?;
        if found.last().is_some_and(|last| last.name >= name) {
            return Err(Stop::Spelling(format!("`{name}` is there twice or out of order")));
        }
        if size > length.saturating_sub(offset) {
            return Err(Stop::Spelling(format!(
                "`{name}` says to have {size} bytes, more than the archive has"
            )));
        }
        let (mut hasher, mut left, mut buffer) = (Hasher::new(), size, vec![0; 1 << 16]);
        while left > 0 {
            let piece = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            reader.read_exact(&mut buffer[..piece])?;
            hasher.update(&buffer[..piece]);
            left -= piece as u64;
        }
        let pad = padding(size);
        reader.read_exact(&mut block[..pad])?;
        if block[..pad].iter().any(|byte| *byte != 0) {
            return Err(Stop::Spelling(format!("the padding of `{name}` is not empty")));
        }
        found.push(Found { name, offset, digest: hasher.finish() });
        offset += size + pad as u64;
    }
}

/// Name and size in a header, if it is spelled as [`header`] does.
fn understand(block: &[u8; BLOCK]) -> Result<(MemberName, u64), String> {
    let end = block[..100].iter().position(|byte| *byte == 0).unwrap_or(100);
    let shown = String::from_utf8_lossy(&block[..end]).escape_debug().to_string();
    if &block[257..262] != b"ustar" {
        return Err("it is no tar archive, or not one that `lineage export` wrote".to_owned());
    }
    match block[156] {
        b'0' => {}
        b'1' | b'2' => return Err(format!("`{shown}` is a link, which a bundle never has")),
        b'5' => return Err(format!("`{shown}` is a folder of its own, which a bundle never has")),
        _ => return Err(format!("`{shown}` is no ordinary file")),
    }
    let name: MemberName = std::str::from_utf8(&block[..end])
        .ok()
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| format!("`{shown}` is no name of a bundle's member"))?;
    let field = &block[124..136];
    let size = if field[0] == 0x80 {
        field[4..].iter().fold(0, |size, byte| size << 8 | u64::from(*byte))
    } else {
        let digits = std::str::from_utf8(&field[..11]).unwrap_or_default();
        u64::from_str_radix(digits, 8).map_err(|_| format!("the size of `{shown}` can't be read"))?
    };
    if header(&name.to_string(), size) != *block {
        return Err(format!("the header of `{shown}` is not as `lineage export` writes it"));
    }
    Ok((name, size))
}

/// Reads the content of a member that [`scan`] found.
pub(super) fn read(path: &Path, found: &Found) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(found.offset))?;
    let mut bytes = Vec::new();
    file.take(found.digest.size()).read_to_end(&mut bytes)?;
    Ok(bytes)
}
