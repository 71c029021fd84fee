//! Perceptual hash: images that look alike have equal or nearly equal hashes.
//!
//! The rule is imagehash's `phash`: grey, 32×32 (Lanczos), two-dimensional cosine transform (type II), its 8×8 lowest
//! frequencies; a bit is set where a value is above their median.

use std::{f64::consts::PI, sync::OnceLock};

use stagewright_dataset::{Filter, Image, resize_grey};

use crate::quality::luma;

const SIDE: usize = 32;
const KEPT: usize = 8;

/// Hash of an image; bit 63 is the lowest frequency, rows first.
pub fn phash(image: &Image) -> u64 {
    let mut grey = vec![0; SIDE * SIDE];
    resize_grey(&luma(&image.pixels), [image.height, image.width], [SIDE, SIDE], Filter::Lanczos, &mut grey);
    let cosine = cosines();
    // Along columns first, then along rows, lowest frequencies only.
    let mut columns = [[0.0; SIDE]; KEPT];
    for (frequency, out) in columns.iter_mut().enumerate() {
        for (row, line) in grey.chunks_exact(SIDE).enumerate() {
            let factor = cosine[frequency][row];
            for (out, &value) in out.iter_mut().zip(line) {
                *out += factor * f64::from(value);
            }
        }
    }
    let mut low = [0.0; KEPT * KEPT];
    for (row, line) in columns.iter().enumerate() {
        for (column, cosine) in cosine.iter().enumerate() {
            let value: f64 = line.iter().zip(cosine).map(|(value, factor)| value * factor).sum();
            // Rounding noise must not decide the bits of an image of one colour.
            low[row * KEPT + column] = (value * 1e6).round() / 1e6;
        }
    }
    let mut sorted = low;
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[KEPT * KEPT / 2 - 1] + sorted[KEPT * KEPT / 2]) / 2.0;
    low.iter().fold(0, |hash, &value| hash << 1 | u64::from(value > median))
}

/// 2·cos(π·k·(2n+1)/2N) for the kept frequencies k.
fn cosines() -> &'static [[f64; SIDE]; KEPT] {
    static TABLE: OnceLock<[[f64; SIDE]; KEPT]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = [[0.0; SIDE]; KEPT];
        for (frequency, line) in table.iter_mut().enumerate() {
            for (at, value) in line.iter_mut().enumerate() {
                *value = 2.0 * (PI * frequency as f64 * (2 * at + 1) as f64 / (2 * SIDE) as f64).cos();
            }
        }
        table
    })
}
