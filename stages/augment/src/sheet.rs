//! The layout of the preview sheet.

use stagewright_dataset::{Filter, Image, resize_rgb};

use crate::font::{GLYPH_HEIGHT, text_width, write_text};

/// One image of the sheet: tiles of one size, the first of them the original.
pub(crate) struct Row {
    pub class: String,
    pub id: String,
    pub tiles: Vec<Image>,
}

const BACKGROUND: [u8; 3] = [250, 250, 248];
const INK: [u8; 3] = [32, 34, 38];
const FAINT: [u8; 3] = [140, 142, 148];
const RULE: [u8; 3] = [206, 206, 202];

/// Small tiles are enlarged to at least this side, large ones are brought down to the other.
const SMALLEST_TILE: usize = 128;
const LARGEST_TILE: usize = 160;

const MARGIN: usize = 16;
const GUTTER: usize = 6;
/// Between the originals and the draws; a rule runs down its middle.
const DIVIDE: usize = 21;
const TEXT_SCALE: usize = 2;
const LINE: usize = GLYPH_HEIGHT * TEXT_SCALE + 6;

/// Draws all rows, with the class and the id of the image above each.
pub(crate) fn draw_sheet(rows: &[Row]) -> Image {
    let rows_of_tiles: Vec<Vec<Image>> =
        rows.iter().map(|row| row.tiles.iter().map(tile).collect()).collect();
    let (wide, high) =
        rows_of_tiles.iter().flatten().map(|tile| (tile.width, tile.height)).max().unwrap_or((1, 1));
    let columns = rows_of_tiles.iter().map(Vec::len).max().unwrap_or(1);
    let left = |column: usize| match column {
        0 => MARGIN,
        _ => MARGIN + wide + DIVIDE + (column - 1) * (wide + GUTTER),
    };
    let step = LINE + high + 2 * GUTTER;
    let top = MARGIN + LINE + GUTTER;
    let width = left(columns - 1) + wide + MARGIN;
    let height = top + rows.len() * step - 2 * GUTTER + MARGIN;
    let pixels = BACKGROUND.iter().copied().cycle().take(3 * width * height).collect();
    let mut sheet = Image { width, height, pixels };

    write_text(&mut sheet, left(0), MARGIN, TEXT_SCALE, FAINT, "original", left(0) + wide);
    if columns > 1 {
        write_text(&mut sheet, left(1), MARGIN, TEXT_SCALE, FAINT, "draws", width - MARGIN);
        let rule = left(1) - DIVIDE / 2 - 1;
        for y in MARGIN..height - MARGIN {
            let at = 3 * (y * width + rule);
            sheet.pixels[at..at + 3].copy_from_slice(&RULE);
        }
    }
    for (number, (row, tiles)) in rows.iter().zip(&rows_of_tiles).enumerate() {
        let y = top + number * step;
        let (scale, drop) =
            if text_width(&row.class, TEXT_SCALE) <= wide { (TEXT_SCALE, 0) } else { (1, GLYPH_HEIGHT - 2) };
        write_text(&mut sheet, left(0), y + drop, scale, INK, &row.class, left(0) + wide);
        if columns > 1 && text_width(&row.id, 1) <= width - MARGIN - left(1) {
            write_text(&mut sheet, left(1), y + GLYPH_HEIGHT - 2, 1, FAINT, &row.id, width - MARGIN);
        }
        for (column, tile) in tiles.iter().enumerate() {
            paste(&mut sheet, tile, left(column), y + LINE);
        }
    }
    sheet
}

/// The image at the size of a tile: enlarged by a whole number so that its pixels can be seen, or shrunk.
fn tile(image: &Image) -> Image {
    let side = image.width.max(image.height);
    if side > LARGEST_TILE {
        let scaled = |length: usize| (length * LARGEST_TILE / side).max(1);
        let (width, height) = (scaled(image.width), scaled(image.height));
        let mut pixels = vec![0; 3 * width * height];
        resize_rgb(
            &image.pixels,
            [image.height, image.width],
            [height, width],
            Filter::Bilinear,
            &mut pixels,
        );
        return Image { width, height, pixels };
    }
    let times = SMALLEST_TILE.div_ceil(side).min(LARGEST_TILE / side);
    let (width, height) = (image.width * times, image.height * times);
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        let row = &image.pixels[3 * image.width * (y / times)..][..3 * image.width];
        row.chunks_exact(3).for_each(|pixel| (0..times).for_each(|_| pixels.extend_from_slice(pixel)));
    }
    Image { width, height, pixels }
}

fn paste(sheet: &mut Image, tile: &Image, x: usize, y: usize) {
    for (line, row) in tile.pixels.chunks_exact(3 * tile.width).enumerate() {
        let at = 3 * ((y + line) * sheet.width + x);
        sheet.pixels[at..at + row.len()].copy_from_slice(row);
    }
}
