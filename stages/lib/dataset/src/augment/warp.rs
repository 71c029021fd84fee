//! Affine motion of an image, as OpenCV's `warpAffine` does it.

use super::{
    augmenter::Work,
    border::Border,
    frame::at_least,
    resample::Sampling,
    view::{Lut, View},
};

/// What lies outside the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside {
    pub border: Border,
    pub fill: [u8; 3],
}

/// Bits of the weights between two pixels. Four weights add up to 2¹³, so that a channel's sum stays below 2²¹: the
/// three channels fit side by side into 64 bits and are summed at once.
const WEIGHT_BITS: u32 = 13;
const LANE_BITS: u32 = 21;

fn spread(pixel: &[u8]) -> u64 {
    u64::from(pixel[0]) | u64::from(pixel[1]) << LANE_BITS | u64::from(pixel[2]) << (2 * LANE_BITS)
}

/// Moves an image: the pixel (x, y) of the result is the one at `backward`·(x, y, 1). The size stays.
#[allow(clippy::too_many_arguments)] // an image is three of them
pub(super) fn warp(
    data: &[u8],
    view: View,
    lut: Option<&Lut>,
    backward: [[f64; 3]; 2],
    sampling: Sampling,
    outside: Outside,
    target: &mut [u8],
    work: &mut Work,
) {
    match sampling {
        Sampling::Nearest => nearest(data, view, lut, backward, outside, target),
        Sampling::Linear => {
            let Work { grid, row, .. } = work;
            fill_grid(data, view, lut, outside, row, grid);
            linear(grid, view, backward, outside, target);
        }
    }
}

fn nearest(
    data: &[u8],
    view: View,
    lut: Option<&Lut>,
    backward: [[f64; 3]; 2],
    outside: Outside,
    target: &mut [u8],
) {
    for (y, row) in target.chunks_exact_mut(3 * view.width).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let [across, down] =
                backward.map(|[a, b, c]| (a * x as f64 + b * y as f64 + c).round_ties_even() as i64);
            let place =
                outside.border.locate(across, view.width).zip(outside.border.locate(down, view.height));
            let color = place.map_or(outside.fill, |(x, y)| view.pixel_at(data, x, y, lut));
            pixel.copy_from_slice(&color);
        }
    }
}

/// Makes the image with one pixel more on each side, every pixel spread over 64 bits.
fn fill_grid(
    data: &[u8],
    view: View,
    lut: Option<&Lut>,
    outside: Outside,
    row: &mut Vec<u8>,
    grid: &mut Vec<u64>,
) {
    let stride = view.width + 2;
    let fill = spread(&outside.fill);
    let row = at_least(row, 3 * view.width);
    let grid = at_least(grid, stride * (view.height + 2));
    for (line, cells) in grid.chunks_exact_mut(stride).enumerate() {
        let Some(y) = outside.border.locate(line as i64 - 1, view.height) else {
            cells.fill(fill);
            continue;
        };
        view.read_row(data, y, lut, row);
        for (cell, pixel) in cells[1..].iter_mut().zip(row.chunks_exact(3)) {
            *cell = spread(pixel);
        }
        for (cell, x) in [(0, -1), (stride - 1, view.width as i64)] {
            let inside = outside.border.locate(x, view.width);
            cells[cell] = inside.map_or(fill, |x| spread(&row[3 * x..3 * x + 3]));
        }
    }
}

/// A coordinate with 32 bits after the point.
fn fixed(value: f64) -> i64 {
    (value * 4_294_967_296.0).round() as i64
}

fn linear(grid: &[u64], view: View, backward: [[f64; 3]; 2], outside: Outside, target: &mut [u8]) {
    let (width, height) = (view.width as i64, view.height as i64);
    let stride = view.width + 2;
    let half = 1 << (31 - WEIGHT_BITS);
    let steps = backward.map(|[step, _, _]| fixed(step));
    for (y, row) in target.chunks_exact_mut(3 * view.width).enumerate() {
        let mut place = backward.map(|[_, b, c]| fixed(b * y as f64 + c) + half);
        for pixel in row.chunks_exact_mut(3) {
            let [x, y] = place.map(|place| place >> 32);
            let [across, down] =
                place.map(|place| (place >> (32 - WEIGHT_BITS)) as u64 & ((1 << WEIGHT_BITS) - 1));
            place = [place[0] + steps[0], place[1] + steps[1]];
            // Left of and above the image is its frame of one pixel; unsigned, so that one comparison does for two.
            let near = (x + 1) as u64 <= width as u64 && (y + 1) as u64 <= height as u64;
            let taps = if near {
                let at = (y + 1) as usize * stride + (x + 1) as usize;
                let (above, below) = (&grid[at..at + 2], &grid[at + stride..at + stride + 2]);
                [above[0], above[1], below[0], below[1]]
            } else if outside.border == Border::Constant {
                pixel.copy_from_slice(&outside.fill);
                continue;
            } else {
                [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| {
                    let place =
                        outside.border.locate(x, view.width).zip(outside.border.locate(y, view.height));
                    place.map_or(0, |(x, y)| grid[(y + 1) * stride + x + 1])
                })
            };
            let both = (across * down + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
            let sum = taps[0] * ((1 << WEIGHT_BITS) + both - across - down)
                + taps[1] * (across - both)
                + taps[2] * (down - both)
                + taps[3] * both
                + ROUND;
            pixel[0] = (sum >> WEIGHT_BITS) as u8;
            pixel[1] = (sum >> (WEIGHT_BITS + LANE_BITS)) as u8;
            pixel[2] = (sum >> (WEIGHT_BITS + 2 * LANE_BITS)) as u8;
        }
    }
}

/// Half a unit of the result in each channel.
const ROUND: u64 = {
    let half = 1u64 << (WEIGHT_BITS - 1);
    half | half << LANE_BITS | half << (2 * LANE_BITS)
};
