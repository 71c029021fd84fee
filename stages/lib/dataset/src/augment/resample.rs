//! Scaling of an image, as OpenCV's `resize` does it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{augmenter::Work, blend, frame::at_least, view::View};

/// How a pixel between pixels is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// From the four around it, by distance. Nothing is averaged when shrinking.
    #[default]
    Linear,
    /// The nearest one.
    Nearest,
}

/// How a part is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// OpenCV's `INTER_LINEAR`.
    Linear,
    /// OpenCV's `INTER_NEAREST`.
    Nearest,
    /// OpenCV's `INTER_AREA`: the mean over the area that a pixel covers; between pixels where a side grows.
    Area,
}

/// The two neighbours of a place on one axis, and the share of the second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tap {
    pub first: usize,
    pub second: usize,
    pub weight: f32,
}

/// Neighbours of each of `to` places on an axis of `from` pixels, with pixel centres at the halves.
fn linear_tap(at: usize, from: usize, to: usize) -> Tap {
    let place = ((at as f64 + 0.5) * (from as f64 / to as f64) - 0.5).clamp(0.0, (from - 1) as f64);
    let first = place as usize;
    Tap { first, second: (first + 1).min(from - 1), weight: (place - first as f64) as f32 }
}

/// OpenCV's `INTER_AREA` where a side grows: a pixel keeps its colour over the area that is its own alone.
fn growing_area_tap(at: usize, from: usize, to: usize) -> Tap {
    let (scale, inverse) = (from as f64 / to as f64, to as f64 / from as f64);
    let first = ((at as f64 * scale) as usize).min(from - 1);
    let over = (at + 1) as f64 - (first + 1) as f64 * inverse;
    let weight = if over <= 0.0 { 0.0 } else { over - over.floor() };
    Tap { first, second: (first + 1).min(from - 1), weight: weight as f32 }
}

/// First pixel and the shares of the pixels that a place covers when shrinking.
fn area_taps(at: usize, from: usize, to: usize, weights: &mut Vec<f32>) -> (usize, usize) {
    let scale = from as f64 / to as f64;
    let (start, end) = (at as f64 * scale, (at as f64 * scale + scale).min(from as f64));
    let cell = scale.min(from as f64 - start);
    let last = (end.floor() as usize).min(from - 1);
    let full = (start.ceil() as usize).min(last);
    let mut first = full;
    let begin = weights.len();
    if full as f64 - start > 1e-3 {
        first -= 1;
        weights.push(((full as f64 - start) / cell) as f32);
    }
    weights.extend(std::iter::repeat_n((1.0 / cell) as f32, last - full));
    if end - last as f64 > 1e-3 {
        weights.push(((end - last as f64).min(1.0).min(cell) / cell) as f32);
    }
    (first, weights.len() - begin)
}

/// Scales a view whose rows lie in plain order to `size` (width, height).
pub(super) fn resample(
    data: &[u8],
    view: View,
    scaling: Scaling,
    size: (usize, usize),
    target: &mut [u8],
    work: &mut Work,
) {
    let (width, height) = size;
    let grows = width > view.width || height > view.height;
    let tap: fn(usize, usize, usize) -> Tap = match scaling {
        Scaling::Nearest => return nearest(data, view, size, target),
        Scaling::Area if !grows => return area(data, view, size, target, work),
        Scaling::Area => growing_area_tap,
        Scaling::Linear => linear_tap,
    };
    let taps = at_least(&mut work.taps, width);
    for (x, place) in taps.iter_mut().enumerate() {
        let Tap { first, second, weight } = tap(x, view.width, width);
        *place = Tap { first: 3 * first, second: 3 * second, weight };
    }
    // One more value, so that a pixel can be read as four values.
    let line = at_least(&mut work.line, 3 * view.width + 1);
    pulp::Arch::new().dispatch(Linear { data, view, tap, taps, line, size, target });
}

/// What the loop over the rows works on.
struct Linear<'a> {
    data: &'a [u8],
    view: View,
    /// Neighbours on the vertical axis.
    tap: fn(usize, usize, usize) -> Tap,
    /// Neighbours on the horizontal axis, as indices of values.
    taps: &'a [Tap],
    line: &'a mut [f32],
    size: (usize, usize),
    target: &'a mut [u8],
}

// A closure would not be inlined into the code for each instruction set, and so would run as plain code in all of them.
impl pulp::WithSimd for Linear<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { data, view, tap, taps, line, size: (width, height), target } = self;
        for (y, row) in target.chunks_exact_mut(3 * width).enumerate() {
            let Tap { first, second, weight } = tap(y, view.height, height);
            let (Some(above), Some(below)) = (view.row_in(data, first), view.row_in(data, second)) else {
                return;
            };
            blend::rows(above, below, weight, line);
            blend::pixels(line, taps, row);
        }
    }
}

fn nearest(data: &[u8], view: View, (width, height): (usize, usize), target: &mut [u8]) {
    let place =
        |at: usize, from: usize, to: usize| ((at as f64 * (from as f64 / to as f64)) as usize).min(from - 1);
    for (y, row) in target.chunks_exact_mut(3 * width).enumerate() {
        let from = place(y, view.height, height);
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&view.pixel_at(data, place(x, view.width, width), from, None));
        }
    }
}

fn area(data: &[u8], view: View, (width, height): (usize, usize), target: &mut [u8], work: &mut Work) {
    let Work { line, weights, spans, .. } = work;
    weights.clear();
    spans.clear();
    for x in 0..width {
        let begin = weights.len();
        let (first, count) = area_taps(x, view.width, width, weights);
        spans.push((3 * first, begin, count));
    }
    let line = at_least(line, 3 * view.width + 1);
    pulp::Arch::new().dispatch(Area { data, view, weights, spans, line, size: (width, height), target });
}

/// What the loop over the rows works on.
struct Area<'a> {
    data: &'a [u8],
    view: View,
    /// Shares on the horizontal axis; those of a row are put behind them.
    weights: &'a mut Vec<f32>,
    spans: &'a [(usize, usize, usize)],
    line: &'a mut [f32],
    size: (usize, usize),
    target: &'a mut [u8],
}

impl pulp::WithSimd for Area<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { data, view, weights, spans, line, size: (width, height), target } = self;
        let across = weights.len();
        for (y, row) in target.chunks_exact_mut(3 * width).enumerate() {
            weights.truncate(across);
            let (first, count) = area_taps(y, view.height, height, weights);
            line.fill(0.0);
            for (number, weight) in weights[across..across + count].iter().enumerate() {
                let Some(pixels) = view.row_in(data, first + number) else { return };
                blend::add_row(pixels, *weight, line);
            }
            for (pixel, (first, begin, count)) in row.chunks_exact_mut(3).zip(spans) {
                blend::sum_pixels(&line[*first..], &weights[*begin..*begin + *count], pixel);
            }
        }
    }
}
