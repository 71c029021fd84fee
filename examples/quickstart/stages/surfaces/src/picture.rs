//! A square image in linear light, and what strokes, lamps and sensors do to it.

use crate::random::Random;

/// `size` × `size` pixels, each red, green, blue in [0, 1].
pub struct Picture {
    /// Height and width in pixels.
    pub size: u32,
    /// Row by row.
    pub pixels: Vec<[f32; 3]>,
}

impl Picture {
    /// Pixels from a function of the column and row.
    pub fn from_fn(size: u32, mut pixel: impl FnMut(f32, f32) -> [f32; 3]) -> Self {
        let places = (0..size).flat_map(|y| (0..size).map(move |x| (x as f32, y as f32)));
        Self { size, pixels: places.map(|(x, y)| pixel(x, y)).collect() }
    }

    /// What lengths for an image of 48 pixels are multiplied by, so that images of all sizes look alike.
    pub fn scale(&self) -> f32 {
        self.size as f32 / 48.0
    }

    /// Blends pixels towards white (`amount` > 0) or black (< 0), by |amount| times what `cover` gives for a place.
    pub fn blend(&mut self, amount: f32, mut cover: impl FnMut(f32, f32) -> f32) {
        let size = self.size as usize;
        for (place, pixel) in self.pixels.iter_mut().enumerate() {
            let share = (amount.abs() * cover((place % size) as f32, (place / size) as f32)).clamp(0.0, 1.0);
            let target = if amount > 0.0 { 1.0 } else { 0.0 };
            for channel in pixel {
                *channel += share * (target - *channel);
            }
        }
    }

    /// Draws a line through points with the half-width given at each, its edge one pixel soft.
    pub fn stroke(&mut self, points: &[(f32, f32, f32)], amount: f32) {
        self.blend(amount, |x, y| {
            let covers = points.windows(2).map(|ends| {
                let (distance, half_width) = to_segment((x, y), ends[0], ends[1]);
                // A line thinner than a pixel is fainter instead.
                let strength = (2.0 * half_width).min(1.0);
                strength * (half_width.max(0.5) + 0.5 - distance).clamp(0.0, 1.0)
            });
            covers.fold(0.0, f32::max)
        });
    }

    /// Puts the scene under an uneven lamp.
    pub fn light(&mut self, random: &mut Random) {
        let (dx, dy) = random.direction();
        let (level, slope) = (random.between(0.75, 1.15), random.between(0.0, 0.35));
        let size = self.size as usize;
        let half = self.size as f32 / 2.0;
        for (place, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = ((place % size) as f32 - half, (place / size) as f32 - half);
            let lamp = level * (1.0 + slope * (x * dx + y * dy) / half);
            for channel in pixel {
                *channel *= lamp;
            }
        }
    }

    /// Reads the image out as bytes, with the sensor's noise: partly common to a pixel's channels, partly their own.
    pub fn expose(&self, noise: f32, random: &mut Random) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pixels.len() * 3);
        for pixel in &self.pixels {
            let common = random.bell();
            for channel in pixel {
                let value = channel + noise * (0.8 * common + 0.6 * random.bell());
                bytes.push((value * 255.0 + 0.5).clamp(0.0, 255.0) as u8);
            }
        }
        bytes
    }
}

/// Distance of a place from a segment, and the half-width there.
fn to_segment((x, y): (f32, f32), from: (f32, f32, f32), to: (f32, f32, f32)) -> (f32, f32) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let square = dx * dx + dy * dy;
    let along =
        if square > 0.0 { (((x - from.0) * dx + (y - from.1) * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
    let (px, py) = (from.0 + along * dx - x, from.1 + along * dy - y);
    ((px * px + py * py).sqrt(), from.2 + along * (to.2 - from.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_covers_its_width_and_fades_at_its_edge() {
        let mut picture = Picture::from_fn(16, |_, _| [0.5; 3]);
        picture.stroke(&[(2.0, 8.0, 1.0), (13.0, 8.0, 1.0)], -1.0);
        let column = |x: usize| (5..12).map(|y| picture.pixels[y * 16 + x][0]).collect::<Vec<_>>();
        // Full within half a pixel of the middle plus the half-width, half a pixel of fading beyond.
        assert_eq!(column(8), [0.5, 0.5, 0.25, 0.0, 0.25, 0.5, 0.5]);
        assert_eq!(column(0), [0.5; 7]);
    }

    #[test]
    fn exposure_rounds_and_stays_in_range() {
        let picture =
            Picture { size: 2, pixels: vec![[0.0, 0.5, 1.0], [-1.0, 2.0, 0.2], [0.1; 3], [0.3; 3]] };
        let bytes = picture.expose(0.0, &mut Random::new(0, ""));
        assert_eq!(bytes, [0, 128, 255, 0, 255, 51, 26, 26, 26, 77, 77, 77]);
    }
}
