//! What a JPEG file says of itself, and whether it is all there; without decoding it.
//!
//! The marker structure is that of ITU-T T.81, annex B.

use crate::exif;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP1: u8 = 0xE1;
const EXIF: &[u8] = b"Exif\0\0";

/// Header of a JPEG file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JpegHeader {
    pub width: usize,
    pub height: usize,
    /// 1 grey, 3 colour, 4 CMYK.
    pub components: u8,
    /// Bits of a sample.
    pub precision: u8,
    /// EXIF orientation, 1 to 8, where there is one.
    pub orientation: Option<u8>,
    /// True when the file goes on to its end-of-image marker.
    pub complete: bool,
}

/// Walks the markers of a file from its start to its end.
pub(crate) fn scan(bytes: &[u8]) -> Result<JpegHeader, String> {
    let mut header: Option<JpegHeader> = None;
    let mut orientation = None;
    let mut complete = false;
    let mut at = 2;
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = after;
        match marker {
            EOI => {
                complete = true;
                break;
            }
            // Markers without a body: start of image, restart, temporary.
            SOI | 0xD0..=0xD7 | 0x01 => continue,
            _ => {}
        }
        let Some(body) = segment(bytes, at) else { break };
        match marker {
            // Start of frame; C4, C8 and CC in the same range are tables and extensions.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && header.is_none() => {
                header = Some(frame(body).ok_or("its frame header is too short")?);
            }
            APP1 if body.starts_with(EXIF) && orientation.is_none() => {
                orientation = exif::orientation(&body[EXIF.len()..]);
            }
            _ => {}
        }
        at += 2 + body.len();
        if marker == SOS {
            at = entropy_end(bytes, at);
        }
    }
    let header = header.ok_or("it ends before its frame header")?;
    Ok(JpegHeader { orientation, complete, ..header })
}

/// Next marker at or after `at`, and the position after it.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        while *bytes.get(at)? == 0xFF {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        if marker != 0 {
            return Some((marker, at));
        }
    }
}

/// Body of the segment whose length stands at `at`; `None` if the file ends inside it.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    bytes.get(at + 2..at + length.max(2))
}

fn frame(body: &[u8]) -> Option<JpegHeader> {
    let &[precision, h1, h0, w1, w0, components, ..] = body else { return None };
    Some(JpegHeader {
        width: usize::from(u16::from_be_bytes([w1, w0])),
        height: usize::from(u16::from_be_bytes([h1, h0])),
        components,
        precision,
        orientation: None,
        complete: false,
    })
}

/// Position of the first marker after entropy-coded data: an 0xFF that neither stuffs a byte nor restarts.
fn entropy_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(step) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) {
        at += step;
        match bytes.get(at + 1) {
            Some(0x00 | 0xD0..=0xD7) => at += 2,
            Some(0xFF) => at += 1,
            _ => return at,
        }
    }
    bytes.len()
}
