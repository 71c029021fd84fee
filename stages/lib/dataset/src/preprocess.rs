//! The preprocessing contract: artifact type `preprocess`, file `preprocess.json`.

use std::{collections::BTreeSet, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{DatasetError, Filter, Image, MAX_PIXELS, SplitRule, resize_rgb};

/// Value of [`Preprocess::format`].
pub const PREPROCESS_FORMAT: &str = "stagewright/preprocess@1";

/// Largest side of a network's input, in pixels.
const MAX_SIDE: usize = 8192;

/// What is done to an image before a network sees it, and which samples belong to which split.
///
/// A network's input is `[batch, 3, height, width]` f32: `(pixel / 255 − mean) / std` per channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Preprocess {
    /// [`PREPROCESS_FORMAT`].
    pub format: String,
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// How an image of another size gets to `size`.
    pub resize: Resize,
    /// How its pixels are computed.
    pub interpolation: Interpolation,
    /// Order of the channels.
    pub channels: Channels,
    /// Mean per channel, on the scale 0–1.
    pub mean: [f32; 3],
    /// Standard deviation per channel, on the scale 0–1; greater than 0.
    pub std: [f32; 3],
    /// Class names; the index is the label.
    pub classes: Vec<String>,
    /// Which samples are for training, validation and test.
    pub splits: SplitRule,
}

/// How an image of another shape gets to the contract's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Both sides are scaled, whatever becomes of the shape.
    #[default]
    Squash,
    /// Scaled until the size is just covered, then cut to the centre (for a square size: the short side is scaled).
    Crop,
}

/// How target pixels are computed when scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Triangle filter, antialiased when shrinking: Pillow's `BILINEAR`.
    #[default]
    Bilinear,
    /// The source pixel at the target pixel's centre: Pillow's `NEAREST`.
    Nearest,
}

/// Order of an input's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
}

/// Only the field that says how the rest is to be read.
#[derive(Deserialize)]
struct Header {
    format: String,
}

impl Preprocess {
    /// Reads a contract and checks it.
    ///
    /// # Errors
    /// [`DatasetError::Read`]; [`DatasetError::Document`] with the field that is wrong.
    pub fn load(path: &Path) -> Result<Self, DatasetError> {
        let bytes = fs::read(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|error| error.named(path.display()))
    }

    /// Reads a contract out of its JSON text and checks it.
    ///
    /// # Errors
    /// [`DatasetError::Document`] with the field that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, DatasetError> {
        let invalid =
            |reason: String| DatasetError::Document { name: "the preprocessing contract".to_owned(), reason };
        let header: Header = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        if header.format != PREPROCESS_FORMAT {
            let found = header.format;
            return Err(invalid(format!(
                "its format is `{found}`; this release reads `{PREPROCESS_FORMAT}`"
            )));
        }
        let contract: Self = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        contract.check().map_err(invalid)?;
        Ok(contract)
    }

    /// Checks ranges.
    fn check(&self) -> Result<(), String> {
        let [height, width] = self.size;
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
            return Err(format!("`size` is [{height}, {width}]; each side must be 1 to {MAX_SIDE} pixels"));
        }
        if let Some(mean) = self.mean.iter().find(|mean| !(0.0..=1.0).contains(*mean)) {
            return Err(format!(
                "`mean` holds {mean}; the scale is 0 to 1, so divide values of 0–255 by 255"
            ));
        }
        if let Some(std) = self.std.iter().find(|std| !(**std > 0.0 && **std <= 1.0)) {
            return Err(format!(
                "`std` holds {std}; it must be above 0 and at most 1 (values of 0–255 divided by 255)"
            ));
        }
        if self.classes.is_empty() {
            return Err("`classes` is empty".to_owned());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.classes.iter().find(|class| !seen.insert(*class)) {
            return Err(format!("`classes` names `{twice}` twice"));
        }
        self.splits.check()
    }

    /// The image at the contract's size. An image of that size is returned as it is.
    pub fn resize(&self, image: &Image) -> Image {
        let [height, width] = self.size;
        let mut pixels = vec![0; height * width * 3];
        self.resize_into(&image.pixels, [image.height, image.width], &mut pixels);
        Image { width, height, pixels }
    }

    /// The same for bare pixels: from `from` (height, width) into `out`, which has `height × width × 3` values.
    ///
    /// # Panics
    /// If a buffer does not fit its size.
    pub fn resize_into(&self, pixels: &[u8], from: [usize; 2], out: &mut [u8]) {
        let filter = match self.interpolation {
            Interpolation::Bilinear => Filter::Bilinear,
            Interpolation::Nearest => Filter::Nearest,
        };
        if self.resize == Resize::Squash || from == self.size {
            resize_rgb(pixels, from, self.size, filter, out);
            return;
        }
        let scaled = covering(from, self.size);
        if scaled[0].saturating_mul(scaled[1]) > MAX_PIXELS {
            // A sliver of an image: cut first, so that scaling the long side does not take gigabytes.
            let (part, size) = cut_to_shape(pixels, from, self.size);
            resize_rgb(&part, size, self.size, filter, out);
            return;
        }
        let mut whole = vec![0; scaled[0] * scaled[1] * 3];
        resize_rgb(pixels, from, scaled, filter, &mut whole);
        let [height, width] = self.size;
        let (top, left) = (centre(scaled[0], height), centre(scaled[1], width));
        for (row, line) in out.chunks_exact_mut(width * 3).enumerate().take(height) {
            let start = ((top + row) * scaled[1] + left) * 3;
            line.copy_from_slice(&whole[start..start + width * 3]);
        }
    }

    /// Normalizes an image of the contract's size into `out`: `[3, height, width]`, `(pixel / 255 − mean) / std`.
    ///
    /// # Panics
    /// If `image` is not of the contract's size or `out` has not `3 × height × width` values.
    pub fn normalize(&self, image: &Image, out: &mut [f32]) {
        assert_eq!([image.height, image.width], self.size, "the image must have the contract's size");
        self.table().apply(&image.pixels, out);
    }

    /// [`Preprocess::resize`], then [`Preprocess::normalize`].
    ///
    /// # Panics
    /// If `out` has not `3 × height × width` values.
    pub fn apply(&self, image: &Image, out: &mut [f32]) {
        self.normalize(&self.resize(image), out);
    }

    /// What each pixel value becomes, for normalizing many images.
    pub fn table(&self) -> NormalizeTable {
        let mut values = [[0.0; 256]; 3];
        for (channel, values) in values.iter_mut().enumerate() {
            for (pixel, value) in values.iter_mut().enumerate() {
                *value = (pixel as f32 / 255.0 - self.mean[channel]) / self.std[channel];
            }
        }
        NormalizeTable { values }
    }
}

/// Normalized value of every pixel value of every channel.
#[derive(Debug, Clone)]
pub struct NormalizeTable {
    values: [[f32; 256]; 3],
}

impl NormalizeTable {
    /// RGB pixels row by row into planes of red, green, blue.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of 3.
    pub fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        assert_eq!(pixels.len(), out.len(), "as many pixels as values");
        let area = pixels.len() / 3;
        let (red, rest) = out.split_at_mut(area);
        let (green, blue) = rest.split_at_mut(area);
        let planes = red.iter_mut().zip(green).zip(blue);
        for (pixel, ((red, green), blue)) in pixels.chunks_exact(3).zip(planes) {
            *red = self.values[0][usize::from(pixel[0])];
            *green = self.values[1][usize::from(pixel[1])];
            *blue = self.values[2][usize::from(pixel[2])];
        }
    }
}

/// Smallest size of the source's shape that covers the target: one side fits exactly, the other is rounded down as
/// torchvision's `Resize` does.
fn covering(from: [usize; 2], to: [usize; 2]) -> [usize; 2] {
    let [height, width] = from;
    // Compares to[0]/height with to[1]/width without rounding.
    if to[0] * width >= to[1] * height {
        [to[0], (to[0] * width / height).max(to[1])]
    } else {
        [(to[1] * height / width).max(to[0]), to[1]]
    }
}

/// The centre part that has the target's shape, to the pixel.
fn cut_to_shape(pixels: &[u8], from: [usize; 2], to: [usize; 2]) -> (Vec<u8>, [usize; 2]) {
    let [height, width] = from;
    let size = if to[0] * width >= to[1] * height {
        [height, (height * to[1] / to[0]).clamp(1, width)]
    } else {
        [(width * to[0] / to[1]).clamp(1, height), width]
    };
    let (top, left) = (centre(height, size[0]), centre(width, size[1]));
    let rows = pixels.chunks_exact(width * 3).skip(top).take(size[0]);
    (rows.flat_map(|row| &row[left * 3..(left + size[1]) * 3]).copied().collect(), size)
}

/// Start of the centre part; halves go to the even number, as torchvision's `CenterCrop` rounds.
fn centre(whole: usize, part: usize) -> usize {
    let twice = whole - part;
    let half = twice / 2;
    if twice % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}
