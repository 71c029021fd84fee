//! What an image file says of itself before it is decoded.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{exif, jpeg};

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Kind of an image, by its first bytes and not by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// JPEG (JFIF, EXIF).
    Jpeg,
    /// PNG.
    Png,
    /// Raw pixels of a binary dataset.
    Raw,
}

impl Format {
    /// The format that the first bytes show.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(PNG_SIGNATURE) {
            Some(Self::Png)
        } else {
            None
        }
    }

    /// True when a file of this format may have this extension (compared without case).
    pub fn fits_extension(self, extension: &str) -> bool {
        let extension = extension.to_ascii_lowercase();
        match self {
            Self::Jpeg => matches!(extension.as_str(), "jpg" | "jpeg"),
            Self::Png => extension == "png",
            Self::Raw => true,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Raw => "raw",
        })
    }
}

/// How a file stores colour. Pixels are always decoded to RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColorMode {
    /// One grey channel.
    Grey,
    /// Grey with transparency.
    GreyAlpha,
    /// Red, green, blue (or YCbCr).
    Rgb,
    /// Colour with transparency.
    Rgba,
    /// Indices into a palette.
    Palette,
    /// Cyan, magenta, yellow, black: converted without a colour profile.
    Cmyk,
}

impl fmt::Display for ColorMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Grey => "grey",
            Self::GreyAlpha => "grey with alpha",
            Self::Rgb => "RGB",
            Self::Rgba => "RGB with alpha",
            Self::Palette => "palette",
            Self::Cmyk => "CMYK",
        })
    }
}

/// Header of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// By the first bytes.
    pub format: Format,
    /// Pixels, as stored.
    pub width: usize,
    /// Pixels, as stored.
    pub height: usize,
    /// How colour is stored.
    pub mode: ColorMode,
    /// Bits of one channel of one pixel (of an index, with a palette).
    pub bits: u8,
    /// EXIF orientation 1–8, where the file has one; 1 is upright. Pixels are never turned by it.
    pub orientation: Option<u8>,
    /// False when the file ends before the mark that ends the image.
    pub complete: bool,
}

/// Reads an image's header.
///
/// # Errors
/// Why it is not a JPEG or PNG image with a size, in words that go after the file's name.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let inspection = match Format::of(bytes) {
        Some(Format::Jpeg) => inspect_jpeg(bytes)?,
        Some(Format::Png) => inspect_png(bytes)?,
        _ => return Err(format!("it is neither JPEG nor PNG: it starts with {}", first_bytes(bytes))),
    };
    if inspection.width == 0 || inspection.height == 0 {
        return Err(format!("its size is {}×{} pixels", inspection.width, inspection.height));
    }
    Ok(inspection)
}

fn first_bytes(bytes: &[u8]) -> String {
    let known = [
        (&b"GIF8"[..], "GIF"),
        (b"BM", "BMP"),
        (b"RIFF", "RIFF, as WebP does"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"<", "text, as HTML or SVG does"),
    ];
    match known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, name)) => format!("the mark of {name}"),
        None => {
            let hex: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            hex.join(" ")
        }
    }
}

fn inspect_jpeg(bytes: &[u8]) -> Result<Inspection, String> {
    let header = jpeg::scan(bytes)?;
    let mode = match header.components {
        1 => ColorMode::Grey,
        3 => ColorMode::Rgb,
        4 => ColorMode::Cmyk,
        other => return Err(format!("its frame header says {other} colour components")),
    };
    Ok(Inspection {
        format: Format::Jpeg,
        width: header.width,
        height: header.height,
        mode,
        bits: header.precision,
        orientation: header.orientation,
        complete: header.complete,
    })
}

/// Walks the chunks of a PNG file (W3C PNG, 3rd edition, section 5).
fn inspect_png(bytes: &[u8]) -> Result<Inspection, String> {
    let mut at = PNG_SIGNATURE.len();
    let mut header = None;
    let mut orientation = None;
    let mut complete = false;
    while let Some((kind, body, after)) = chunk(bytes, at) {
        at = after;
        match kind {
            b"IHDR" => header = Some(png_header(body).ok_or("its header is damaged")?),
            b"eXIf" => orientation = exif::orientation(body),
            b"IEND" => {
                complete = true;
                break;
            }
            _ => {}
        }
    }
    let header: Inspection = header.ok_or("it ends before its header")?;
    Ok(Inspection { orientation, complete, ..header })
}

/// Type and body of the chunk at `at`, and where the next one starts; `None` if the file ends inside it.
fn chunk(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8], usize)> {
    let length = bytes.get(at..at + 4)?;
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let kind = bytes.get(at + 4..at + 8)?;
    let end = (at + 8).checked_add(length)?;
    let body = bytes.get(at + 8..end)?;
    // A checksum of four bytes follows.
    bytes.get(end..end + 4)?;
    Some((kind, body, end + 4))
}

fn png_header(body: &[u8]) -> Option<Inspection> {
    let &[w3, w2, w1, w0, h3, h2, h1, h0, bits, color, ..] = body else { return None };
    let mode = match color {
        0 => ColorMode::Grey,
        2 => ColorMode::Rgb,
        3 => ColorMode::Palette,
        4 => ColorMode::GreyAlpha,
        6 => ColorMode::Rgba,
        _ => return None,
    };
    Some(Inspection {
        format: Format::Png,
        width: u32::from_be_bytes([w3, w2, w1, w0]) as usize,
        height: u32::from_be_bytes([h3, h2, h1, h0]) as usize,
        mode,
        bits,
        orientation: None,
        complete: false,
    })
}
