//! The orientation tag of EXIF (CIPA DC-008, tag 0x0112 of the first image file directory).

const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// Orientation 1 to 8 out of a TIFF block; `None` when there is none or the block is damaged.
pub(crate) fn orientation(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.get(..2)? {
        b"MM" => true,
        b"II" => false,
        _ => return None,
    };
    let u16_at = |at: usize| -> Option<u16> {
        let bytes = [*tiff.get(at)?, *tiff.get(at.checked_add(1)?)?];
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let offset = tiff.get(4..8)?;
    let offset = [offset[0], offset[1], offset[2], offset[3]];
    let directory = if big { u32::from_be_bytes(offset) } else { u32::from_le_bytes(offset) } as usize;
    let entries = usize::from(u16_at(directory)?);
    (0..entries)
        .map(|entry| directory + 2 + entry * 12)
        .find(|&at| u16_at(at) == Some(ORIENTATION) && u16_at(at + 2) == Some(SHORT))
        .and_then(|at| u16_at(at + 8))
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
}
