//! What makes a single image suspicious.
//!
//! Rules and thresholds are those of cleanvision (2026), measured on the image at its own size. They were tuned on
//! photographs: on images of 32×32 pixels, `blurry` means little.

use serde::Serialize;
use stagewright_dataset::{Filter, Image, resize_rgb};

/// 99th percentile of brightness below which an image is dark.
pub const DARK_BELOW: f64 = 0.32;
/// 1 − 5th percentile of brightness below which an image is light.
pub const LIGHT_BELOW: f64 = 0.05;
/// min(width/height, height/width) below which the shape is odd.
pub const ASPECT_BELOW: f64 = 0.35;
/// A tenth of the entropy in bits (at most 1) below which there is little information.
pub const INFORMATION_BELOW: f64 = 0.3;
/// Sum of edge score and histogram score (at most 1) below which an image is blurry.
pub const BLUR_BELOW: f64 = 0.29;
/// Histogram scores up to here count as 0.
const HISTOGRAM_SCORE_FLOOR: f64 = 0.18;
/// Longer side to which an image is shrunk before its edges are looked at, in pixels.
const BLUR_SIDE: f64 = 64.0;

/// Measures of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quality {
    /// 99th percentile of √(0.241 R² + 0.691 G² + 0.068 B²) / 255.
    pub brightness_p99: f64,
    /// 5th percentile of the same.
    pub brightness_p5: f64,
    /// Entropy in bits of the histogram of all channels together (of the one channel, if the image is grey).
    pub entropy: f64,
    /// 1 − exp(−σ(edges)/100) + 1 − exp(−σ(histogram)/100), the second 0 up to 0.18, the sum at most 1.
    pub sharpness: f64,
    /// min(width/height, height/width).
    pub aspect: f64,
    /// True when R = G = B everywhere.
    pub grey: bool,
}

impl Quality {
    /// Measures an image.
    pub fn of(image: &Image) -> Self {
        let grey = image.pixels.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]);
        let (width, height) = (image.width as f64, image.height as f64);
        let mut brightness: Vec<u32> = image.pixels.chunks_exact(3).map(brightness_squared).collect();
        Self {
            brightness_p99: percentile(&mut brightness, 0.99),
            brightness_p5: percentile(&mut brightness, 0.05),
            entropy: entropy(&image.pixels, grey),
            sharpness: sharpness(image),
            aspect: (width / height).min(height / width),
            grey,
        }
    }

    /// Too dark to see much.
    pub fn is_dark(&self) -> bool {
        self.brightness_p99 < DARK_BELOW
    }

    /// Overexposed.
    pub fn is_light(&self) -> bool {
        1.0 - self.brightness_p5 < LIGHT_BELOW
    }

    /// Long and thin.
    pub fn is_odd_aspect(&self) -> bool {
        self.aspect < ASPECT_BELOW
    }

    /// Nearly one colour.
    pub fn is_low_information(&self) -> bool {
        (0.1 * self.entropy).min(1.0) < INFORMATION_BELOW
    }

    /// Without edges.
    pub fn is_blurry(&self) -> bool {
        self.sharpness < BLUR_BELOW
    }
}

/// 1000 · brightness² on the scale of 255, which orders pixels as brightness does.
fn brightness_squared(pixel: &[u8]) -> u32 {
    let square = |value: u8| u32::from(value) * u32::from(value);
    241 * square(pixel[0]) + 691 * square(pixel[1]) + 68 * square(pixel[2])
}

/// Brightness at a percentile, linear between the two nearest pixels as numpy does.
fn percentile(values: &mut [u32], fraction: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let position = last as f64 * fraction;
    let below = position.floor() as usize;
    let (_, low, above) = values.select_nth_unstable(below);
    let brightness = |value: u32| (f64::from(value) / 1000.0).sqrt() / 255.0;
    let low = brightness(*low);
    let high = above.iter().min().map_or(low, |&value| brightness(value));
    low + (high - low) * (position - below as f64)
}

fn entropy(pixels: &[u8], grey: bool) -> f64 {
    let mut histogram = vec![0u64; 768];
    for pixel in pixels.chunks_exact(3) {
        histogram[usize::from(pixel[0])] += 1;
        if !grey {
            histogram[256 + usize::from(pixel[1])] += 1;
            histogram[512 + usize::from(pixel[2])] += 1;
        }
    }
    let total: u64 = histogram.iter().sum();
    let share = |&count: &u64| count as f64 / total as f64;
    histogram.iter().filter(|&&count| count > 0).map(share).map(|share| -share * share.log2()).sum()
}

/// Grey values as Pillow computes them: ITU-R 601-2 luma in fixed point.
pub(crate) fn luma(pixels: &[u8]) -> Vec<u8> {
    let grey = |pixel: &[u8]| {
        let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
        ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
    };
    pixels.chunks_exact(3).map(grey).collect()
}

fn sharpness(image: &Image) -> f64 {
    let ratio = image.width.max(image.height) as f64 / BLUR_SIDE;
    let (size, grey) = if ratio > 1.0 {
        let shrink = |side: usize| floor_divide(side as f64, ratio).max(1.0) as usize;
        let size = [shrink(image.height), shrink(image.width)];
        let mut pixels = vec![0; size[0] * size[1] * 3];
        resize_rgb(&image.pixels, [image.height, image.width], size, Filter::Bicubic, &mut pixels);
        (size, luma(&pixels))
    } else {
        ([image.height, image.width], luma(&image.pixels))
    };
    let score = |deviation: f64| 1.0 - (-0.01 * deviation).exp();
    let edges: Vec<f64> = find_edges(&grey, size).into_iter().map(f64::from).collect();
    let mut histogram = vec![0.0; 256];
    for value in grey {
        histogram[usize::from(value)] += 1.0;
    }
    let spread = score(deviation(&histogram));
    let spread = if spread <= HISTOGRAM_SCORE_FLOOR { 0.0 } else { spread };
    (score(deviation(&edges)) + spread).min(1.0)
}

/// Python's `//` on floats: exact where plain division would round below a whole number.
fn floor_divide(value: f64, by: f64) -> f64 {
    let whole = (value - value % by) / by;
    let floor = whole.floor();
    if whole - floor > 0.5 { floor + 1.0 } else { floor }
}

/// Pillow's `FIND_EDGES`: 8 times the pixel less its neighbours; the border stays as it is.
fn find_edges(grey: &[u8], [height, width]: [usize; 2]) -> Vec<u8> {
    let mut edges = grey.to_vec();
    for row in 1..height.saturating_sub(1) {
        for column in 1..width.saturating_sub(1) {
            let at = row * width + column;
            let around: i32 = [at - width - 1, at - 1, at + width - 1]
                .iter()
                .flat_map(|&start| &grey[start..start + 3])
                .map(|&value| i32::from(value))
                .sum();
            edges[at] = (9 * i32::from(grey[at]) - around).clamp(0, 255) as u8;
        }
    }
    edges
}

/// Standard deviation of the population.
fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt()
}
