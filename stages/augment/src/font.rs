//! A small bitmap font for captions.

use stagewright_dataset::Image;

/// Rows of a glyph; the last is for descenders.
pub(crate) const GLYPH_HEIGHT: usize = 8;
const GLYPH_WIDTH: usize = 5;
/// Columns from a glyph to the next.
const ADVANCE: usize = GLYPH_WIDTH + 1;

/// Eight rows of five bits, the upper left pixel in the highest.
#[rustfmt::skip]
const GLYPHS: &[(char, u64)] = &[
    ('0', 0x74_675c_c5c0), ('1', 0x23_0842_11c0), ('2', 0x74_4222_23e0), ('3', 0xf8_8820_c5c0),
    ('4', 0x11_952f_8840), ('5', 0xfc_3c10_c5c0), ('6', 0x32_21e8_c5c0), ('7', 0xf8_4444_2100),
    ('8', 0x74_62e8_c5c0), ('9', 0x74_62f0_8980), ('A', 0x74_63f8_c620), ('B', 0xf4_63e8_c7c0),
    ('C', 0x74_6108_45c0), ('D', 0xe4_a318_cb80), ('E', 0xfc_21e8_43e0), ('F', 0xfc_21e8_4200),
    ('G', 0x74_6178_c5e0), ('H', 0x8c_63f8_c620), ('I', 0x71_0842_11c0), ('J', 0x38_8421_4980),
    ('K', 0x8c_a98a_4a20), ('L', 0x84_2108_43e0), ('M', 0x8e_eb58_c620), ('N', 0x8c_7359_c620),
    ('O', 0x74_6318_c5c0), ('P', 0xf4_63e8_4200), ('Q', 0x74_631a_c9a0), ('R', 0xf4_63ea_4a20),
    ('S', 0x7c_20e0_87c0), ('T', 0xf9_0842_1080), ('U', 0x8c_6318_c5c0), ('V', 0x8c_6318_a880),
    ('W', 0x8c_635a_d540), ('X', 0x8c_5445_4620), ('Y', 0x8c_62a2_1080), ('Z', 0xf8_4444_43e0),
    ('a', 0x00_1c17_c5e0), ('b', 0x84_2d98_c7c0), ('c', 0x00_1d08_45c0), ('d', 0x08_5b38_c5e0),
    ('e', 0x00_1d1f_c1c0), ('f', 0x32_51c4_2100), ('g', 0x00_1f18_bc2e), ('h', 0x84_2d98_c620),
    ('i', 0x20_1842_11c0), ('j', 0x10_0c21_0a4c), ('k', 0x84_254c_5240), ('l', 0x61_0842_11c0),
    ('m', 0x00_355a_c620), ('n', 0x00_2d98_c620), ('o', 0x00_1d18_c5c0), ('p', 0x00_3d18_fa10),
    ('q', 0x00_1b38_bc21), ('r', 0x00_2d98_4200), ('s', 0x00_1d07_07c0), ('t', 0x42_3884_24c0),
    ('u', 0x00_2318_cda0), ('v', 0x00_2318_a880), ('w', 0x00_231a_d540), ('x', 0x00_22a2_2a20),
    ('y', 0x00_2318_bc2e), ('z', 0x00_3e22_23e0), ('-', 0x00_01f0_0000), ('_', 0x00_0000_001f),
    ('.', 0x00_0000_3180), ('/', 0x08_4444_4200), ('#', 0x52_beaf_a940), ('(', 0x11_1084_1040),
    (')', 0x41_0421_1100), ('+', 0x01_09f2_1000), (',', 0x00_0000_3088), ('=', 0x00_3e0f_8000),
];

/// An empty box, for a letter that is not in the font.
const UNKNOWN: u64 = 0xfc_6318_c7e0;

fn glyph(letter: char) -> u64 {
    if letter == ' ' {
        return 0;
    }
    GLYPHS.iter().find(|(known, _)| *known == letter).map_or(UNKNOWN, |(_, rows)| *rows)
}

/// Width of a line of text in pixels.
pub(crate) fn text_width(text: &str, scale: usize) -> usize {
    text.chars().count() * ADVANCE * scale
}

/// Writes a line of text whose upper left corner is (x, y), each dot of the font `scale` pixels wide. Letters that would
/// reach over the column `end` are left out.
pub(crate) fn write_text(
    image: &mut Image,
    x: usize,
    y: usize,
    scale: usize,
    color: [u8; 3],
    text: &str,
    end: usize,
) {
    for (number, letter) in text.chars().enumerate() {
        let left = x + number * ADVANCE * scale;
        if left + GLYPH_WIDTH * scale > end.min(image.width) {
            return;
        }
        let rows = glyph(letter);
        for dot in (0..GLYPH_WIDTH * GLYPH_HEIGHT).filter(|dot| rows >> (39 - dot) & 1 == 1) {
            let (column, row) = (left + dot % GLYPH_WIDTH * scale, y + dot / GLYPH_WIDTH * scale);
            for line in (row..row + scale).filter(|line| *line < image.height) {
                let at = 3 * (line * image.width + column);
                image.pixels[at..at + 3 * scale]
                    .chunks_exact_mut(3)
                    .for_each(|pixel| pixel.copy_from_slice(&color));
            }
        }
    }
}
