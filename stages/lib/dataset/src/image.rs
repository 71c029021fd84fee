//! Pixels of one image, and how files become pixels.

use std::io::Cursor;

use image::{ImageDecoder, ImageEncoder};
use jpeg_decoder::{Decoder, PixelFormat};

use crate::{Format, Inspection, inspect};

/// Most pixels an image may have (100 million): a header of a few bytes can otherwise ask for all memory.
pub const MAX_PIXELS: usize = 100_000_000;

/// An RGB image of 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width × 3` values, row by row, each pixel red, green, blue, 0–255.
    pub pixels: Vec<u8>,
}

impl Image {
    /// An image out of its pixels; `None` unless they are `height × width × 3` values.
    pub fn from_pixels(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        (width.checked_mul(height)?.checked_mul(3)? == pixels.len()).then_some(Self { width, height, pixels })
    }

    /// Decodes a JPEG or PNG file, whatever its name.
    ///
    /// Grey becomes R = G = B, palettes are resolved, 16-bit channels are rounded to 8 bits, transparency is dropped,
    /// CMYK is converted without a colour profile. EXIF orientation is not applied (see [`Inspection::orientation`]).
    ///
    /// # Errors
    /// Why the file is not a whole image, in words that go after its name. A truncated file is an error also where
    /// the decoder would fill the missing part with grey.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let header = inspect(bytes)?;
        if !header.complete {
            return Err("it is truncated: the end of the image is missing".to_owned());
        }
        if header.width.saturating_mul(header.height) > MAX_PIXELS {
            let Inspection { width, height, .. } = header;
            return Err(format!("its {width}×{height} pixels are more than the {MAX_PIXELS} that are read"));
        }
        let image = match header.format {
            Format::Jpeg => decode_jpeg(bytes)?,
            _ => decode_png(bytes)?,
        };
        if (image.width, image.height) != (header.width, header.height) {
            return Err("its header and its pixels differ in size".to_owned());
        }
        Ok(image)
    }

    /// The image as a PNG file (8-bit RGB, no metadata).
    ///
    /// # Panics
    /// If `pixels` are not `height × width × 3` values or a side is zero.
    pub fn to_png(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        let (width, height) = (self.width as u32, self.height as u32);
        encoder
            .write_image(&self.pixels, width, height, image::ExtendedColorType::Rgb8)
            .expect("an image of consistent size can be encoded into memory");
        bytes
    }
}

/// jpeg-decoder and not zune-jpeg, which rounds subsampled colour upwards twice: over CIFAR-10 that shifts the mean by
/// 0.35 of 255, jpeg-decoder by 0.1 (against libjpeg).
fn decode_jpeg(bytes: &[u8]) -> Result<Image, String> {
    let mut decoder = Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(MAX_PIXELS * 4);
    let pixels = decoder.decode().map_err(|error| clean(&error.to_string()))?;
    let info = decoder.info().ok_or("it has no size")?;
    let pixels = match info.pixel_format {
        PixelFormat::RGB24 => pixels,
        PixelFormat::L8 => pixels.into_iter().flat_map(|grey| [grey; 3]).collect(),
        PixelFormat::L16 => pixels.chunks_exact(2).flat_map(|bytes| [round_to_8_bits(bytes); 3]).collect(),
        PixelFormat::CMYK32 => pixels.chunks_exact(4).flat_map(cmyk_to_rgb).collect(),
    };
    Image::from_pixels(usize::from(info.width), usize::from(info.height), pixels)
        .ok_or_else(|| "its pixels do not fit its size".to_owned())
}

/// A 16-bit value in the machine's byte order, to the nearest of 0–255.
fn round_to_8_bits(bytes: &[u8]) -> u8 {
    let wide = u32::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
    ((wide + 128) / 257) as u8
}

/// Each ink and black take their share of the light.
fn cmyk_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let light = |ink: u8| 255 - u32::from(ink);
    [0, 1, 2].map(|ink| ((light(pixel[ink]) * light(pixel[3]) + 127) / 255) as u8)
}

/// The decoder's errors carry line breaks and quotes of their own.
fn clean(text: &str) -> String {
    let text = text.replace('"', "").replace('\n', " ");
    text.trim().trim_end_matches('.').to_owned()
}

fn decode_png(bytes: &[u8]) -> Result<Image, String> {
    let read = |error: image::ImageError| clean(&error.to_string());
    let decoder = image::codecs::png::PngDecoder::new(Cursor::new(bytes)).map_err(read)?;
    let (width, height) = decoder.dimensions();
    let pixels = image::DynamicImage::from_decoder(decoder).map_err(read)?.into_rgb8().into_raw();
    Image::from_pixels(width as usize, height as usize, pixels)
        .ok_or_else(|| "its pixels do not fit its size".to_owned())
}
