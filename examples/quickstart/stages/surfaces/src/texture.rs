//! Sheet metal, wood, fabric and concrete, out of smooth random fields.

use crate::{picture::Picture, random::Random};

/// An undamaged surface of a random material.
pub fn surface(size: u32, random: &mut Random) -> Picture {
    let field = Field(random.next());
    let (along_x, along_y) = random.direction();
    let (shift_u, shift_v) = (random.between(0.0, 500.0), random.between(0.0, 500.0));
    let to_grain = {
        let scale = 48.0 / size as f32;
        move |x: f32, y: f32| {
            let (x, y) = (x * scale, y * scale);
            (x * along_x + y * along_y + shift_u, y * along_x - x * along_y + shift_v)
        }
    };
    match random.below(4) {
        0 => metal(size, field, to_grain, random),
        1 => wood(size, field, to_grain, random),
        2 => fabric(size, field, to_grain, random),
        _ => concrete(size, field, to_grain, random),
    }
}

/// Brushed: streaks along the grain.
fn metal(size: u32, field: Field, to_grain: impl Fn(f32, f32) -> (f32, f32), random: &mut Random) -> Picture {
    let (base, depth) = (random.between(0.45, 0.7), random.between(0.04, 0.12));
    let warmth = random.between(-0.04, 0.04);
    Picture::from_fn(size, |x, y| {
        let (u, v) = to_grain(x, y);
        let streaks = 0.6 * field.at(u * 0.05, v * 0.9) + 0.4 * field.at(u * 0.12, v * 2.3 + 80.0);
        let light = base + depth * streaks;
        [light * (1.0 + warmth), light, light * (1.02 - warmth)]
    })
}

/// Year rings seen from the side, wavering, with fine fibres.
fn wood(size: u32, field: Field, to_grain: impl Fn(f32, f32) -> (f32, f32), random: &mut Random) -> Picture {
    let (base, depth) = (random.between(0.45, 0.75), random.between(0.06, 0.15));
    let spacing = random.between(5.0, 10.0);
    let red = random.between(0.95, 1.1);
    Picture::from_fn(size, |x, y| {
        let (u, v) = to_grain(x, y);
        let ring = (v / spacing + 1.2 * field.at(u * 0.03, v * 0.06)).rem_euclid(1.0);
        // Slowly darker through a ring, then a sudden edge.
        let ring = smooth((ring * 1.2).min(1.0)) - smooth(((ring - 0.85) / 0.15).clamp(0.0, 1.0));
        let fibres = field.at(u * 0.09, v * 1.4 + 40.0);
        let light = base - depth * (ring - 0.5) + 0.05 * fibres;
        [light * red, light * 0.76, light * 0.52]
    })
}

/// A plain weave: threads over and under each other.
fn fabric(
    size: u32,
    field: Field,
    to_grain: impl Fn(f32, f32) -> (f32, f32),
    random: &mut Random,
) -> Picture {
    let (base, depth) = (random.between(0.35, 0.65), random.between(0.07, 0.16));
    let pitch = random.between(3.2, 5.5);
    let tint = [random.between(0.75, 1.2), random.between(0.8, 1.1), random.between(0.75, 1.2)];
    Picture::from_fn(size, |x, y| {
        let (u, v) = to_grain(x, y);
        let (u, v) = (u / pitch + 0.08 * field.at(u * 0.1, v * 0.1), v / pitch);
        let over = (u.floor() + v.floor()).rem_euclid(2.0) < 1.0;
        let across = if over { v.rem_euclid(1.0) } else { u.rem_euclid(1.0) };
        // A thread is brightest along its middle.
        let thread = 1.0 - 4.0 * (across - 0.5) * (across - 0.5);
        let light = base + depth * (thread - 0.6) + 0.05 * field.at(u * 0.4, v * 0.4 + 30.0);
        tint.map(|tint| light * tint)
    })
}

/// Grains of all sizes, with pores.
fn concrete(
    size: u32,
    field: Field,
    to_grain: impl Fn(f32, f32) -> (f32, f32),
    random: &mut Random,
) -> Picture {
    let (base, depth) = (random.between(0.45, 0.7), random.between(0.07, 0.15));
    let warmth = random.between(0.0, 0.08);
    Picture::from_fn(size, |x, y| {
        let (u, v) = to_grain(x, y);
        let grains = 0.45 * field.at(u * 0.08, v * 0.08)
            + 0.3 * field.at(u * 0.25, v * 0.25 + 20.0)
            + 0.25 * field.at(u * 0.8, v * 0.8 + 60.0);
        let pores = (field.at(u * 0.5, v * 0.5 + 90.0) - 0.62).max(0.0);
        let light = base + depth * grains - 0.5 * pores;
        [light * (1.0 + warmth), light, light * (1.0 - warmth)]
    })
}

/// A smooth field of random values in [-1, 1]: random numbers at whole places, blended between them.
#[derive(Clone, Copy)]
struct Field(u64);

impl Field {
    fn at(self, u: f32, v: f32) -> f32 {
        let (left, top) = (u.floor(), v.floor());
        let (right_share, bottom_share) = (smooth(u - left), smooth(v - top));
        let (left, top) = (left as i64, top as i64);
        let row = |y| {
            let (from, to) = (self.corner(left, y), self.corner(left + 1, y));
            from + right_share * (to - from)
        };
        let (upper, lower) = (row(top), row(top + 1));
        upper + bottom_share * (lower - upper)
    }

    fn corner(self, x: i64, y: i64) -> f32 {
        let place =
            (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        let hash = (place ^ self.0).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (hash >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// 0 to 1 with level ends.
fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_smooth_and_centred() {
        let field = Field(7);
        let values: Vec<f32> = (0..40_000).map(|i| field.at(i as f32 * 0.05, i as f32 * 0.031)).collect();
        assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
        assert!(values.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.3));
        assert!((values.iter().sum::<f32>() / 40_000.0).abs() < 0.05);
    }

    #[test]
    fn surfaces_are_neither_black_nor_burnt_out() {
        for index in 0..40 {
            let picture = surface(32, &mut Random::new(index, "surface"));
            let mean = picture.pixels.iter().map(|pixel| pixel[1]).sum::<f32>() / 1024.0;
            assert!((0.15..0.8).contains(&mean), "surface {index} has mean {mean}");
        }
    }
}
