//! A way of walking over the pixels of a buffer.

use super::border::Border;

/// A lookup table for a channel's value.
pub(super) type Lut = [u8; 256];

/// Which byte of a buffer holds which pixel. Flips, transposition and crops are changes of a view; no pixel moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub width: usize,
    pub height: usize,
    /// Byte of the pixel (0, 0).
    offset: isize,
    /// Bytes from a pixel to its right neighbour.
    pixel: isize,
    /// Bytes from a pixel to the one below.
    row: isize,
}

impl View {
    /// RGB pixels row after row.
    pub fn whole(width: usize, height: usize) -> Self {
        Self { width, height, offset: 0, pixel: 3, row: 3 * width as isize }
    }

    /// Left and right exchanged.
    pub fn flipped_horizontally(self) -> Self {
        Self { offset: self.offset + (self.width as isize - 1) * self.pixel, pixel: -self.pixel, ..self }
    }

    /// Top and bottom exchanged.
    pub fn flipped_vertically(self) -> Self {
        Self { offset: self.offset + (self.height as isize - 1) * self.row, row: -self.row, ..self }
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self { width: self.height, height: self.width, offset: self.offset, pixel: self.row, row: self.pixel }
    }

    /// The part of `width`×`height` pixels whose corner is (x, y); it must lie inside.
    pub fn cropped(self, x: usize, y: usize, width: usize, height: usize) -> Self {
        debug_assert!(x + width <= self.width && y + height <= self.height);
        Self { width, height, offset: self.start(x, y) as isize, ..self }
    }

    /// Index of a pixel's first byte.
    pub fn start(&self, x: usize, y: usize) -> usize {
        (self.offset + x as isize * self.pixel + y as isize * self.row) as usize
    }

    /// A row as it lies in the buffer, where its pixels lie side by side in this order.
    pub fn row_in<'d>(&self, data: &'d [u8], y: usize) -> Option<&'d [u8]> {
        (self.pixel == 3).then(|| {
            let start = self.start(0, y);
            &data[start..start + 3 * self.width]
        })
    }

    /// Copies a row to `out` (3·width bytes), through the table if there is one.
    pub fn read_row(&self, data: &[u8], y: usize, lut: Option<&Lut>, out: &mut [u8]) {
        let out = &mut out[..3 * self.width];
        if let Some(row) = self.row_in(data, y) {
            match lut {
                None => out.copy_from_slice(row),
                Some(lut) => out.iter_mut().zip(row).for_each(|(to, from)| *to = lut[usize::from(*from)]),
            }
            return;
        }
        if self.pixel == -3 {
            let end = self.start(0, y) + 3;
            let row = &data[end - 3 * self.width..end];
            for (to, from) in out.chunks_exact_mut(3).zip(row.rchunks_exact(3)) {
                to.copy_from_slice(from);
            }
        } else {
            let mut at = self.start(0, y) as isize;
            for to in out.chunks_exact_mut(3) {
                to.copy_from_slice(&data[at as usize..at as usize + 3]);
                at += self.pixel;
            }
        }
        if let Some(lut) = lut {
            out.iter_mut().for_each(|value| *value = lut[usize::from(*value)]);
        }
    }

    /// Copies `width`×`height` pixels whose corner is (x, y) of this view, of which some may lie outside, to `out`.
    #[allow(clippy::too_many_arguments)] // the rectangle is four of them
    pub fn read_padded(
        &self,
        data: &[u8],
        lut: Option<&Lut>,
        (x, y): (i64, i64),
        (width, height): (usize, usize),
        border: Border,
        fill: [u8; 3],
        out: &mut [u8],
    ) {
        let first = (-x).clamp(0, width as i64) as usize;
        let last = (self.width as i64 - x).clamp(first as i64, width as i64) as usize;
        for (line, row) in out[..3 * width * height].chunks_exact_mut(3 * width).enumerate() {
            let Some(from) = border.locate(y + line as i64, self.height) else {
                row.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&fill));
                continue;
            };
            if last > first {
                let inside = self.cropped((x + first as i64) as usize, from, last - first, 1);
                inside.read_row(data, 0, lut, &mut row[3 * first..3 * last]);
            }
            for column in (0..first).chain(last..width) {
                let pixel = match border.locate(x + column as i64, self.width) {
                    None => fill,
                    Some(at) => self.pixel_at(data, at, from, lut),
                };
                row[3 * column..3 * column + 3].copy_from_slice(&pixel);
            }
        }
    }

    /// One pixel, through the table if there is one.
    pub fn pixel_at(&self, data: &[u8], x: usize, y: usize, lut: Option<&Lut>) -> [u8; 3] {
        let at = self.start(x, y);
        let pixel = [data[at], data[at + 1], data[at + 2]];
        match lut {
            None => pixel,
            Some(lut) => pixel.map(|value| lut[usize::from(value)]),
        }
    }
}
