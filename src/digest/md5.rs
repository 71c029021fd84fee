//! MD5, which DVC names content by. Nothing here trusts it: it only finds what SHA-256 then identifies.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use ::md5::{Digest as _, Md5 as Hasher};

use super::Digest;

/// An MD5 hash, written as 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Md5([u8; 16]);

impl Md5 {
    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Hasher::digest(bytes).into())
    }

    /// Of a file, read in pieces of 1 MiB.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        Ok(Self::with_digest_of_file(path)?.0)
    }

    /// Of a file, with its digest, in one reading.
    pub fn with_digest_of_file(path: &Path) -> io::Result<(Self, Digest)> {
        let (mut md5, mut sha256) = (Hasher::new(), super::Hasher::new());
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((Self(md5.finalize().into()), sha256.finish())),
                length => {
                    md5.update(&buffer[..length]);
                    sha256.update(&buffer[..length]);
                }
            }
        }
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Md5 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 16];
        let plain = text.len() == 32 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if plain && hex::decode_to_slice(text, &mut bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(format!("`{text}` is no MD5: 32 lower-case hex digits are wanted"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn golden_vectors() {
        assert_eq!(Md5::of(b"").to_string(), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(Md5::of(b"hello\r\nworld\r\n").to_string(), "7ac062d8a84466e70d9b899c0821a51c");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 3_000_000]).unwrap();
        let (md5, digest) = Md5::with_digest_of_file(file.path()).unwrap();
        assert_eq!((md5, digest), (Md5::of(&vec![7; 3_000_000]), Digest::of(&vec![7; 3_000_000])));
    }

    #[test]
    fn refuses_every_other_spelling() {
        for text in
            ["", "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427", "../../etc/passwd"]
        {
            assert!(text.parse::<Md5>().is_err(), "{text}");
        }
        assert_eq!("d41d8cd98f00b204e9800998ecf8427e".parse(), Ok(Md5::of(b"")));
    }
}
