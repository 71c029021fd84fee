//! How a blob is cut into chunks, and how a chunk lies in a pack.

use std::{fs::File, io};

use fastcdc::v2020::StreamCDC;

/// Largest chunk in bytes, cut by whatever release.
pub(super) const LARGEST_CHUNK: u32 = 1 << 20;

/// Strength of zstd: its default.
const LEVEL: i32 = 3;

/// How finely a blob is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::remote) enum Grain {
    /// Into chunks of 64 KiB in the mean.
    Content,
    /// Into chunks of 2 KiB in the mean: in a listing of a folder, every file that changed changes a line somewhere.
    Listing,
}

impl Grain {
    /// Blobs up to this many bytes are one chunk.
    pub(super) fn whole(self) -> u64 {
        match self {
            Self::Content => 128 << 10,
            Self::Listing => 8 << 10,
        }
    }

    /// The chunks of a file one after the other.
    pub(super) fn cut(self, file: File) -> impl Iterator<Item = io::Result<Vec<u8>>> {
        let (least, mean, most) = match self {
            Self::Content => (16 << 10, 64 << 10, 256 << 10),
            Self::Listing => (512, 2 << 10, 8 << 10),
        };
        StreamCDC::new(file, least, mean, most)
            .map(|chunk| chunk.map(|chunk| chunk.data).map_err(io::Error::from))
    }
}

/// Packs chunks; one for each thread.
pub(super) struct Encoder(Option<zstd::bulk::Compressor<'static>>);

impl Encoder {
    pub(super) fn new() -> Self {
        Self(zstd::bulk::Compressor::new(LEVEL).ok())
    }

    /// The chunk as it is to lie in a pack: packed where that saves at least a thirty-second, else as it is.
    pub(super) fn encode(&mut self, raw: &[u8]) -> Vec<u8> {
        let packed = self.0.as_mut().and_then(|zstd| zstd.compress(raw).ok());
        match packed {
            Some(packed) if packed.len() < raw.len() - raw.len() / 32 => packed,
            _ => raw.to_vec(),
        }
    }
}

/// The chunk of `raw` bytes that these bytes of a pack are. However much they would unpack to, no more memory is used than was
/// promised.
pub(super) fn decode(stored: &[u8], raw: u32) -> Result<Vec<u8>, String> {
    let size = raw as usize;
    if stored.len() == size {
        return Ok(stored.to_vec());
    }
    let bytes = zstd::bulk::decompress(stored, size)
        .map_err(|error| format!("it does not unpack to the {raw} bytes that the index names ({error})"))?;
    if bytes.len() == size {
        Ok(bytes)
    } else {
        Err(format!("it unpacks to {} bytes instead of the {raw} that the index names", bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Seek, Write};

    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn cut(bytes: &[u8], grain: Grain) -> Vec<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        grain.cut(file).map(Result::unwrap).collect()
    }

    #[test]
    fn chunks_make_the_whole_and_an_insertion_changes_few() {
        for (grain, length) in [(Grain::Content, 4 << 20), (Grain::Listing, 200 << 10)] {
            let bytes = noise(7, length);
            let chunks = cut(&bytes, grain);
            assert_eq!(chunks.concat(), bytes);
            assert!(chunks.len() > 40, "{}", chunks.len());
            let mut changed = bytes.clone();
            changed.splice(length / 2..length / 2, [1, 2, 3]);
            let known: std::collections::HashSet<&Vec<u8>> = chunks.iter().collect();
            let again = cut(&changed, grain);
            assert!(again.iter().filter(|chunk| !known.contains(chunk)).count() <= 2);
        }
    }

    #[test]
    fn what_does_not_get_smaller_is_kept_as_it_is() {
        let (noise, zeros) = (noise(3, 100_000), vec![0; 100_000]);
        assert_eq!(Encoder::new().encode(&noise), noise);
        assert!(Encoder::new().encode(&zeros).len() < 1000);
    }

    #[test]
    fn a_bomb_goes_no_further_than_its_promise() {
        let bomb = zstd::bulk::compress(&vec![0; 50_000_000], 19).unwrap();
        assert!(bomb.len() < 10_000);
        assert!(decode(&bomb, 60_000).is_err());
        let twice = [bomb.clone(), bomb].concat();
        assert!(decode(&twice, 1 << 20).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(bytes in prop::collection::vec(0u8..4, 1..3000)) {
            let stored = Encoder::new().encode(&bytes);
            prop_assert!(stored.len() <= bytes.len());
            prop_assert_eq!(decode(&stored, bytes.len() as u32), Ok(bytes));
        }

        #[test]
        fn decode_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), raw in 0u32..4096) {
            if let Ok(found) = decode(&bytes, raw) {
                prop_assert_eq!(found.len(), raw as usize);
            }
        }
    }
}
