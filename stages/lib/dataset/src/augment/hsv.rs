//! The way through HSV and back, in the numbers of OpenCV's 8-bit conversion.

use super::{
    augmenter::Work,
    frame::at_least,
    view::{Lut, View},
};

/// Pixels that are worked on at once.
const LANES: usize = 32;

/// Added and taken away again, it rounds a number between −2²² and 2²² to the nearest whole one, halves to even.
const ROUND: f32 = 12_582_912.0;

/// Shifts in whole steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shift {
    /// 0 to 179; fractions of a step never change a whole hue, which is cut down.
    hue: f32,
    saturation: f32,
    value: f32,
}

impl Shift {
    /// `None` where nothing is to be done. Saturation and value are cut towards zero, the hue downwards, going round.
    pub fn new(hue: f64, saturation: f64, value: f64) -> Option<Self> {
        if hue == 0.0 && saturation == 0.0 && value == 0.0 {
            return None;
        }
        Some(Self {
            hue: hue.rem_euclid(180.0).floor().min(179.0) as f32,
            saturation: saturation.trunc() as f32,
            value: value.trunc() as f32,
        })
    }
}

/// Shifts all pixels of a view.
pub(super) fn shift(
    data: &[u8],
    view: View,
    lut: Option<&Lut>,
    shift: Shift,
    target: &mut [u8],
    work: &mut Work,
) {
    let line = at_least(&mut work.row, 3 * view.width);
    pulp::Arch::new().dispatch(Rows { data, view, lut, shift, line, target });
}

/// What the loop over the rows works on.
struct Rows<'a> {
    data: &'a [u8],
    view: View,
    lut: Option<&'a Lut>,
    shift: Shift,
    line: &'a mut [u8],
    target: &'a mut [u8],
}

// A closure would not be inlined into the code for each instruction set, and so would run as plain code in all of them.
impl pulp::WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { data, view, lut, shift, line, target } = self;
        for (y, row) in target.chunks_exact_mut(3 * view.width).enumerate() {
            view.read_row(data, y, lut, line);
            for (from, to) in line.chunks(3 * LANES).zip(row.chunks_mut(3 * LANES)) {
                shift_block(from, shift, to);
            }
        }
    }
}

#[inline(always)]
fn shift_block(from: &[u8], shift: Shift, to: &mut [u8]) {
    let mut channels = [[0.0f32; LANES]; 3];
    let [red, green, blue] = &mut channels;
    for (((pixel, red), green), blue) in from.chunks_exact(3).zip(red).zip(green).zip(blue) {
        *red = f32::from(pixel[0]);
        *green = f32::from(pixel[1]);
        *blue = f32::from(pixel[2]);
    }
    let [red, green, blue] = &mut channels;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        [*red, *green, *blue] = shift_pixel([*red, *green, *blue], shift);
    }
    let [red, green, blue] = &channels;
    for (((pixel, red), green), blue) in to.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
        pixel[0] = red.to_bits() as u8;
        pixel[1] = green.to_bits() as u8;
        pixel[2] = blue.to_bits() as u8;
    }
}

#[inline(always)]
fn round(value: f32) -> f32 {
    (value + ROUND) - ROUND
}

/// `yes` or `no`, both computed: a branch would keep the compiler from doing several pixels at once.
#[inline(always)]
fn select(condition: bool, yes: f32, no: f32) -> f32 {
    let mask = u32::from(condition).wrapping_neg();
    f32::from_bits(yes.to_bits() & mask | no.to_bits() & !mask)
}

/// One pixel, red, green and blue from 0 to 255. What comes out has the new value in its lowest eight bits.
#[inline(always)]
fn shift_pixel([red, green, blue]: [f32; 3], shift: Shift) -> [f32; 3] {
    // OpenCV divides by a table of 12-bit fixed-point reciprocals and rounds the product down after adding a half, all in
    // whole numbers below 2²⁴, which f32 holds exactly. ⌊(n + 2048) / 4096⌋ is n / 4096 + 2⁻¹³ rounded to nearest.
    let scale_down = |product: f32| round((product + 0.5) * (1.0 / 4096.0));
    let value = red.max(green).max(blue);
    let spread = value - red.min(green).min(blue);
    // Black and grey: the divisor does not matter, because the numerator is 0.
    let saturation = scale_down(spread * round(1_044_480.0 / value.max(1.0)));
    let from_green = select(value == green, blue - red + 2.0 * spread, red - green + 4.0 * spread);
    let around = select(value == red, green - blue, from_green);
    let hue = scale_down(around * round(122_880.0 / spread.max(1.0)));
    let hue = hue + select(hue < 0.0, 180.0, 0.0);

    let hue = hue + shift.hue;
    let hue = hue - select(hue >= 180.0, 180.0, 0.0);
    let moved = (saturation + shift.saturation).clamp(0.0, 255.0);
    let saturation = select(saturation == 0.0, 0.0, moved);
    let value = (value + shift.value).clamp(0.0, 255.0);

    // Back, with OpenCV's order of operations in f32.
    let hue = hue * (6.0 / 180.0);
    let saturation = saturation * (1.0 / 255.0);
    let value = value * (1.0 / 255.0);
    // The hue is a multiple of 1/30: rounded down, it is what is nearest to it less 29/60.
    let sector = round(hue - 29.0 / 60.0);
    let within = hue - sector;
    let high = finish(value);
    let low = finish(value * (1.0 - saturation));
    let falling = finish(value * (1.0 - saturation * within));
    let rising = finish(value * (1.0 - saturation + saturation * within));
    let choose = |by_sector: [f32; 6]| {
        let upper = select(sector < 5.0, by_sector[4], by_sector[5]);
        let upper = select(sector < 4.0, by_sector[3], upper);
        let lower = select(sector < 2.0, by_sector[1], by_sector[2]);
        let lower = select(sector < 1.0, by_sector[0], lower);
        select(sector < 3.0, lower, upper)
    };
    [
        choose([high, falling, low, low, rising, high]),
        choose([rising, high, high, falling, low, low]),
        choose([low, low, rising, high, high, falling]),
    ]
}

/// From 0…1 to 0…255, rounded, with the whole number in the lowest bits of the result. (OpenCV rounds in its plain code
/// and cuts in its vector code, so that its own results differ by 1 along a row.)
#[inline(always)]
fn finish(part: f32) -> f32 {
    part * 255.0 + ROUND
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reciprocals and products in f32 are the whole numbers of OpenCV's tables.
    #[test]
    fn reciprocals_are_exact() {
        for divisor in 1..=255u32 {
            for numerator in [1_044_480.0f64, 122_880.0] {
                let expected = (numerator / f64::from(divisor)).round_ties_even();
                assert_eq!(
                    f64::from(round(numerator as f32 / divisor as f32)),
                    expected,
                    "{numerator} / {divisor}"
                );
            }
        }
        for product in (-614_400..=1_048_576i64).step_by(7) {
            let expected = (product + 2048) >> 12;
            assert_eq!(round((product as f32 + 0.5) * (1.0 / 4096.0)) as i64, expected, "{product}");
        }
    }
}
