//! One image on its way through the drawn transforms.

use crate::Image;

use super::{
    augmenter::{Scratch, Work},
    border::Border,
    color,
    drawn::Drawn,
    dropout::DropoutPlan,
    hsv, resample,
    view::{Lut, View},
    warp,
};

/// Where the pixels are.
#[derive(Debug, Clone, Copy)]
enum Place {
    Source,
    First,
    Second,
}

/// An image as a buffer, a view of it and a table that its values still have to go through. A transform changes the view
/// or the table where that is enough; else it reads through both and writes a new buffer.
pub(super) struct Frame<'a> {
    source: &'a [u8],
    place: Place,
    view: View,
    lut: Option<Lut>,
    scratch: &'a mut Scratch,
}

impl<'a> Frame<'a> {
    /// Starts with RGB pixels row after row.
    pub fn new(pixels: &'a [u8], width: usize, height: usize, scratch: &'a mut Scratch) -> Self {
        assert_eq!(pixels.len(), 3 * width * height, "an image of {width}×{height} RGB pixels");
        Self { source: pixels, place: Place::Source, view: View::whole(width, height), lut: None, scratch }
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.view.width, self.view.height)
    }

    /// Applies one transform.
    pub fn apply(&mut self, drawn: &Drawn) {
        match drawn {
            Drawn::HorizontalFlip => self.view = self.view.flipped_horizontally(),
            Drawn::VerticalFlip => self.view = self.view.flipped_vertically(),
            Drawn::Transpose => self.view = self.view.transposed(),
            Drawn::ResizedCrop(plan) => {
                self.view = self.view.cropped(plan.x, plan.y, plan.width, plan.height);
                let size = (plan.size[1], plan.size[0]);
                if size != self.size() {
                    self.settle();
                    self.rewrite(size, |data, view, _, target, work| {
                        resample::resample(data, view, plan.scaling, size, target, work);
                    });
                }
            }
            Drawn::Crop(plan) => {
                let size = (plan.width, plan.height);
                let within =
                    |start: i64, length: usize, side: usize| start >= 0 && start as usize + length <= side;
                if within(plan.x, plan.width, self.view.width)
                    && within(plan.y, plan.height, self.view.height)
                {
                    self.view = self.view.cropped(plan.x as usize, plan.y as usize, plan.width, plan.height);
                } else {
                    let (border, fill) = (plan.border, plan.fill);
                    // Padding is not an earlier pixel: a constant border must not go through the pending table.
                    self.rewrite(size, |data, view, lut, target, _| {
                        view.read_padded(data, lut, (plan.x, plan.y), size, border, fill, target);
                    });
                }
            }
            Drawn::Affine(plan) => {
                let size = self.size();
                let backward = plan.backward(size.0, size.1);
                self.rewrite(size, |data, view, lut, target, work| {
                    let outside = warp::Outside { border: plan.border, fill: plan.fill };
                    warp::warp(data, view, lut, backward, plan.sampling, outside, target, work);
                });
            }
            Drawn::HueSaturationValue { hue, saturation, value } => {
                let shift = hsv::Shift::new(*hue, *saturation, *value);
                if let Some(shift) = shift {
                    self.rewrite(self.size(), |data, view, lut, target, work| {
                        hsv::shift(data, view, lut, shift, target, work);
                    });
                }
            }
            Drawn::BrightnessContrast { alpha, brightness, by_max, safe } => {
                let reference = if *by_max { 255.0 } else { self.mean() };
                let (mut alpha, mut beta) = (*alpha, brightness * reference);
                if *safe {
                    (alpha, beta) = color::safe_range(alpha, beta);
                }
                let table = color::linear_table(alpha, beta);
                self.lut = Some(match &self.lut {
                    None => table,
                    Some(earlier) => earlier.map(|value| table[usize::from(value)]),
                });
            }
            Drawn::Dropout(plan) => {
                self.settle();
                if matches!(self.place, Place::Source) {
                    self.copy();
                }
                let view = self.view;
                let pixels = match self.place {
                    Place::Second => &mut self.scratch.pixels[1],
                    _ => &mut self.scratch.pixels[0],
                };
                plan.each_pixel(|x, y, color| {
                    let at = view.start(x, y);
                    pixels[at..at + 3].copy_from_slice(&color);
                });
            }
        }
    }

    /// Brings the pixels into plain order and through the pending table, where either is not so.
    fn settle(&mut self) {
        if self.lut.is_some() || self.view.row_in(self.data(), 0).is_none() {
            self.copy();
        }
    }

    fn copy(&mut self) {
        self.rewrite(self.size(), |data, view, lut, target, _| read_all(data, view, lut, target));
    }

    fn data(&self) -> &[u8] {
        match self.place {
            Place::Source => self.source,
            Place::First => &self.scratch.pixels[0],
            Place::Second => &self.scratch.pixels[1],
        }
    }

    /// Lets `work` write the image of the new size (width, height) into the buffer that is free.
    fn rewrite(
        &mut self,
        (width, height): (usize, usize),
        work: impl FnOnce(&[u8], View, Option<&Lut>, &mut [u8], &mut Work),
    ) {
        let [first, second] = &mut self.scratch.pixels;
        let (data, target, next) = match self.place {
            Place::Source => (self.source, first, Place::First),
            Place::First => (first.as_slice(), second, Place::Second),
            Place::Second => (second.as_slice(), first, Place::First),
        };
        let target = at_least(target, 3 * width * height);
        work(data, self.view, self.lut.as_ref(), target, &mut self.scratch.work);
        self.place = next;
        self.view = View::whole(width, height);
        self.lut = None;
    }

    /// Mean of all values.
    fn mean(&mut self) -> f64 {
        let (width, height) = self.size();
        let mut row = std::mem::take(&mut self.scratch.work.row);
        let line = at_least(&mut row, 3 * width);
        let mut sum = 0;
        for y in 0..height {
            self.view.read_row(self.data(), y, self.lut.as_ref(), line);
            sum += line.iter().map(|value| u64::from(*value)).sum::<u64>();
        }
        self.scratch.work.row = row;
        sum as f64 / (3 * width * height) as f64
    }

    /// The image as it is now.
    pub fn into_image(self) -> Image {
        let (width, height) = self.size();
        let mut pixels = vec![0; 3 * width * height];
        read_all(self.data(), self.view, self.lut.as_ref(), &mut pixels);
        Image { width, height, pixels }
    }

    /// Writes three planes (red, green, blue) of values looked up in a table for each channel, and afterwards the holes.
    pub fn write_planes(self, tables: &[[f32; 256]; 3], holes: Option<&DropoutPlan>, out: &mut [f32]) {
        let (width, height) = self.size();
        let composed;
        let through = match &self.lut {
            None => tables,
            Some(lut) => {
                composed = tables.each_ref().map(|table| lut.map(|value| table[usize::from(value)]));
                &composed
            }
        };
        let (red, rest) = out.split_at_mut(width * height);
        let (green, blue) = rest.split_at_mut(width * height);
        let Work { row, .. } = &mut self.scratch.work;
        let line = at_least(row, 3 * width);
        let data = match self.place {
            Place::Source => self.source,
            Place::First => &self.scratch.pixels[0],
            Place::Second => &self.scratch.pixels[1],
        };
        let planes =
            red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
        for (y, ((red, green), blue)) in planes.enumerate() {
            let pixels = match self.view.row_in(data, y) {
                Some(pixels) => pixels,
                None => {
                    self.view.read_row(data, y, None, line);
                    &*line
                }
            };
            let targets = red.iter_mut().zip(green).zip(blue);
            for (pixel, ((red, green), blue)) in pixels.chunks_exact(3).zip(targets) {
                *red = through[0][usize::from(pixel[0])];
                *green = through[1][usize::from(pixel[1])];
                *blue = through[2][usize::from(pixel[2])];
            }
        }
        if let Some(plan) = holes {
            plan.each_pixel(|x, y, color| {
                for (channel, value) in color.into_iter().enumerate() {
                    out[channel * width * height + y * width + x] = tables[channel][usize::from(value)];
                }
            });
        }
    }
}

/// Copies a whole view to `target`.
fn read_all(data: &[u8], view: View, lut: Option<&Lut>, target: &mut [u8]) {
    view.read_padded(data, lut, (0, 0), (view.width, view.height), Border::Replicate, [0; 3], target);
}

/// The first `length` items of a buffer that is made longer if need be. What they hold is left from an earlier use.
pub(super) fn at_least<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    &mut buffer[..length]
}
