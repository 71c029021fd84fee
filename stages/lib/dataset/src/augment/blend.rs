//! Inner loops of resampling. They are inlined into code that is compiled for several instruction sets, and take no
//! shortcuts that would make the result depend on which one runs.

use super::resample::Tap;

/// Adding it leaves the rounded value (halves to even) of a number from 0 to 2²² in the lowest bits.
const ROUND: f32 = 8_388_608.0;

/// `above + (below − above) · weight`, for each value of a row; `out` may be longer.
#[inline(always)]
pub(super) fn rows(above: &[u8], below: &[u8], weight: f32, out: &mut [f32]) {
    for ((out, above), below) in out.iter_mut().zip(above).zip(below) {
        let (above, below) = (f32::from(*above), f32::from(*below));
        *out = above + (below - above) * weight;
    }
}

/// `out += weight · row`; `out` may be longer.
#[inline(always)]
pub(super) fn add_row(row: &[u8], weight: f32, out: &mut [f32]) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += f32::from(*value) * weight;
    }
}

/// The RGB pixel at each tap, between the values at its two offsets. `line` has one value after its last pixel.
#[inline(always)]
pub(super) fn pixels(line: &[f32], taps: &[Tap], out: &mut [u8]) {
    for (out, tap) in out.chunks_exact_mut(3).zip(taps) {
        // Four values at once are a vector; the fourth is dropped.
        let (left, right) = (&line[tap.first..tap.first + 4], &line[tap.second..tap.second + 4]);
        let mixed: [f32; 4] =
            std::array::from_fn(|at| left[at] + (right[at] - left[at]) * tap.weight + ROUND);
        let bytes = mixed.map(|value| value.to_bits() as u8);
        out.copy_from_slice(&bytes[..3]);
    }
}

/// The weighted sum of the RGB pixels at the start of `line`, one for each weight.
#[inline(always)]
pub(super) fn sum_pixels(line: &[f32], weights: &[f32], out: &mut [u8]) {
    let mut sum = [0.0; 3];
    for (pixel, weight) in line.chunks_exact(3).zip(weights) {
        for (sum, value) in sum.iter_mut().zip(pixel) {
            *sum += value * weight;
        }
    }
    // The shares add up to 1 but for rounding.
    out.copy_from_slice(&sum.map(|value| (value.clamp(0.0, 255.0) + ROUND).to_bits() as u8));
}
