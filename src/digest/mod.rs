//! Identity of bytes and values.

mod canonical;
mod md5;

use std::{fmt, fs::File, io, path::Path, str::FromStr};

pub(crate) use canonical::Encoder;
pub use canonical::{CanonicalError, canonical_json};
pub use md5::Md5;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Identity of a blob: hash algorithm, hash, and size in bytes.
///
/// Written `sha256:<64 hex>:<size>`; the size makes a truncated blob visible without hashing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    hash: [u8; 32],
    size: u64,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: `sha256:<64 lower-case hex digits>:<size in bytes>` is wanted")]
pub struct DigestError(String);

impl Digest {
    /// Digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: Sha256::digest(bytes).into(), size: bytes.len() as u64 }
    }

    /// Digest of a file, read in pieces of 1 MiB.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut hasher = Hasher::new();
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match io::Read::read(&mut file, &mut buffer)? {
                0 => return Ok(hasher.finish()),
                length => hasher.update(&buffer[..length]),
            }
        }
    }

    /// Digest of a JSON value in its canonical encoding ([`canonical_json`]).
    pub fn of_value(value: &serde_json::Value) -> Result<Self, CanonicalError> {
        Ok(Self::of(&canonical_json(value)?))
    }

    /// The hash as 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        hex::encode(self.hash)
    }

    /// `sha256:<hex>:<size>`.
    fn spelled(&self) -> String {
        let mut text = String::with_capacity(96);
        text.push_str("sha256:");
        for byte in self.hash {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        text.push(':');
        text.push_str(&self.size.to_string());
        text
    }

    /// First 12 hex digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.hash[..6])
    }

    /// Size of the content in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The raw SHA-256.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

/// Hashes content that arrives in pieces.
#[derive(Default)]
pub struct Hasher {
    state: Sha256,
    size: u64,
}

impl Hasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Digest of all that was added.
    pub fn finish(self) -> Digest {
        Digest { hash: self.state.finalize().into(), size: self.size }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.spelled())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError(text.to_owned());
        let (hash, size) =
            text.strip_prefix("sha256:").and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
        // Hex digits of the other case spell the same hash another way.
        if hash.len() != 64
            || hash.bytes().any(|byte| byte.is_ascii_uppercase())
            || (size.len() > 1 && size.starts_with('0'))
            || size.starts_with('+')
        {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes).map_err(|_| wrong())?;
        Ok(Self { hash: bytes, size: size.parse().map_err(|_| wrong())? })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.spelled())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Records and ledgers are full of digests: no text is made of each first.
        struct Spelled;
        impl de::Visitor<'_> for Spelled {
            type Value = Digest;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a digest")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Spelled)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn golden_vectors() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855:0";
        assert_eq!(Digest::of(b"").to_string(), empty);
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:3";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse::<Digest>().unwrap(), Digest::of(b"abc"));
    }

    #[test]
    fn refuses_every_other_spelling() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in [
            hash.to_owned(),
            format!("sha256:{hash}"),
            format!("md5:{hash}:3"),
            format!("sha256:{}:3", hash.to_uppercase()),
            format!("sha256:{hash}:03"),
            format!("sha256:{hash}:+3"),
            format!("sha256:{}:3", &hash[1..]),
            format!("sha256:{hash}:18446744073709551616"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn pieces_and_files_agree_with_the_whole() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let mut hasher = Hasher::new();
        bytes.chunks(77_777).for_each(|piece| hasher.update(piece));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        assert_eq!(hasher.finish(), Digest::of(&bytes));
        assert_eq!(Digest::of_file(file.path()).unwrap(), Digest::of(&bytes));
    }
}
