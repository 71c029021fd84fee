#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn hash(number: u8) -> Hash {
    [number; 32]
}

fn sample() -> Index {
    let mut index = Index::default();
    let chunk = |number, offset, stored, raw| ChunkEntry { hash: hash(number), pack: 9, offset, stored, raw };
    index.add(PackEntry { hash: hash(200), size: 1000 }, [chunk(1, 19, 100, 100), chunk(2, 119, 50, 80)]);
    index.add(PackEntry { hash: hash(100), size: 500 }, [chunk(3, 19, 481, 4000)]);
    index.recipes.push(Recipe { blob: hash(8), size: 180, chunks: vec![(hash(1), 100), (hash(2), 80)] });
    index.recipes.push(Recipe { blob: hash(7), size: 4100, chunks: vec![(hash(3), 4000), (hash(1), 100)] });
    index
}

#[test]
fn an_index_is_read_as_it_was_written_whatever_the_order() {
    let bytes = sample().encode();
    assert_eq!(bytes.len(), sample().len());
    let read = Index::decode(&bytes).unwrap();
    assert_eq!(read.packs.iter().map(|pack| pack.size).collect::<Vec<_>>(), [500, 1000]);
    assert_eq!(
        read.chunks.iter().map(|chunk| (chunk.hash[0], chunk.pack)).collect::<Vec<_>>(),
        [(3, 0), (1, 1), (2, 1)]
    );
    assert_eq!(read.recipes.iter().map(|recipe| recipe.blob[0]).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(read.encode(), bytes);
}

#[test]
fn an_index_that_lies_is_refused_with_the_reason() {
    let lie = |change: fn(&mut Index)| {
        let mut index = Index::decode(&sample().encode()).unwrap();
        change(&mut index);
        // Not sorted: what was changed has to stay.
        let mut out = MAGIC.to_vec();
        for count in [index.packs.len(), index.chunks.len(), index.recipes.len()] {
            out.extend_from_slice(&(count as u32).to_le_bytes());
        }
        for pack in &index.packs {
            out.extend_from_slice(&pack.hash);
            out.extend_from_slice(&pack.size.to_le_bytes());
        }
        for chunk in &index.chunks {
            out.extend_from_slice(&chunk.hash);
            [chunk.pack, chunk.offset, chunk.stored, chunk.raw]
                .iter()
                .for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        }
        for recipe in &index.recipes {
            out.extend_from_slice(&recipe.blob);
            out.extend_from_slice(&recipe.size.to_le_bytes());
            out.extend_from_slice(&(recipe.chunks.len() as u32).to_le_bytes());
            for (hash, raw) in &recipe.chunks {
                out.extend_from_slice(hash);
                out.extend_from_slice(&raw.to_le_bytes());
            }
        }
        Index::decode(&out).unwrap_err()
    };
    let mut reasons = vec![
        lie(|index| index.chunks[2].stored = 900),
        lie(|index| index.chunks[2].offset = u32::MAX),
        lie(|index| index.chunks[2].offset = 118),
        lie(|index| index.chunks[1].offset = 18),
        lie(|index| index.chunks[1].pack = 2),
        lie(|index| index.chunks[0].pack = 1),
        lie(|index| index.chunks[0].raw = u32::MAX),
        lie(|index| index.chunks[0].raw = 480),
        lie(|index| index.chunks[0].stored = 0),
        lie(|index| index.packs[0].size = u32::MAX),
        lie(|index| index.packs[0].hash = [255; 32]),
        lie(|index| index.recipes[0].size = u64::MAX),
        lie(|index| index.recipes[0].size = 1),
        lie(|index| index.recipes[0].chunks.clear()),
        lie(|index| index.recipes[0].chunks[0].1 = 0),
        lie(|index| index.recipes[0].chunks[0].1 = u32::MAX),
        lie(|index| index.recipes[0].blob = [9; 32]),
    ];
    let bytes = sample().encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Index::decode(&bytes).unwrap_err()
    };
    // Another version, and counts of more than there is.
    reasons.extend([with(18, b'2'), with(0, b'x'), with(23, 255), with(27, 255), with(31, 255)]);
    reasons.push(Index::decode(&[&bytes[..], b"more"].concat()).unwrap_err());
    reasons.push(Index::decode(&bytes[..bytes.len() - 1]).unwrap_err());
    insta::assert_snapshot!(reasons.join("\n"));
}

proptest! {
    #[test]
    fn decode_never_panics(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let mut bytes = sample().encode();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % 60);
        if let Ok(index) = Index::decode(&bytes) {
            for chunk in &index.chunks {
                prop_assert!(chunk.offset + chunk.stored <= index.packs[chunk.pack as usize].size);
            }
        }
    }
}
