//! Scaling pixels.
//!
//! [`Filter::Bilinear`] is the triangle filter over the source pixels that a target pixel covers, computed in fixed
//! point, first along rows and then along columns: Pillow's `BILINEAR`, torchvision's `antialias=True`. It is not
//! OpenCV's `INTER_LINEAR`, which reads four neighbours also when shrinking.

use std::cell::RefCell;

use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3},
};

/// How target pixels come out of source pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The source pixel at the target pixel's centre.
    Nearest,
    /// Triangle filter, widened when shrinking (Pillow's `BILINEAR`).
    Bilinear,
    /// Cubic filter with a = −½, widened when shrinking (Pillow's `BICUBIC`).
    Bicubic,
    /// Sinc of three lobes, widened when shrinking (Pillow's `LANCZOS`).
    Lanczos,
}

impl Filter {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Self::Nearest => ResizeAlg::Nearest,
            Self::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Self::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        }
    }
}

thread_local! {
    // The resizer keeps its buffers between images of one thread.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Scales RGB pixels (`height × width × 3`) from `from` to `to` (height, width each) into `out`.
///
/// # Panics
/// If a buffer does not fit its size.
pub fn resize_rgb(pixels: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter, out: &mut [u8]) {
    resize::<U8x3>(pixels, from, to, filter, out, 3);
}

/// Scales grey pixels (`height × width`) from `from` to `to` (height, width each) into `out`.
///
/// # Panics
/// If a buffer does not fit its size.
pub fn resize_grey(pixels: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter, out: &mut [u8]) {
    resize::<U8>(pixels, from, to, filter, out, 1);
}

/// Typed, because the untyped way would compile the resizer for every pixel type there is, which takes minutes.
fn resize<P: PixelTrait>(
    pixels: &[u8],
    from: [usize; 2],
    to: [usize; 2],
    filter: Filter,
    out: &mut [u8],
    channels: usize,
) {
    assert_eq!(pixels.len(), from[0] * from[1] * channels, "source pixels of {from:?}");
    assert_eq!(out.len(), to[0] * to[1] * channels, "target pixels of {to:?}");
    if from == to {
        out.copy_from_slice(pixels);
        return;
    }
    let source = TypedImageRef::<P>::from_buffer(from[1] as u32, from[0] as u32, pixels);
    let source = source.expect("the length was checked above");
    let target = TypedImage::<P>::from_buffer(to[1] as u32, to[0] as u32, out);
    let mut target = target.expect("the length was checked above");
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).use_alpha(false);
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize_typed(&source, &mut target, &options))
        .expect("both images have one type");
}
