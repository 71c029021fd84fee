//! Files to pixels.

use std::fs;

use stagewright_dataset::{ColorMode, Format, Image, inspect};

use crate::{bytes, expected, fixtures, largest_difference};

fn file(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("images").join(name)).unwrap()
}

#[test]
fn every_kind_of_file_decodes_as_in_pillow() {
    let decode = expected("decode");
    for (name, expected) in decode.as_object().unwrap() {
        let image = Image::decode(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(image.width as u64, expected["width"], "{name}");
        assert_eq!(image.height as u64, expected["height"], "{name}");
        let difference = largest_difference(&image.pixels, &bytes(&expected["pixels"]));
        // JPEG leaves the rounding of the transform and the upsampling of colour to the decoder.
        let tolerance = if expected["exact"] == true { 0 } else { 3 };
        assert!(difference <= tolerance, "{name}: differs by {difference}");
    }
    assert_eq!(decode.as_object().unwrap().len(), 15);
}

#[test]
fn headers_are_read_without_decoding() {
    let cases = [
        ("rgb.png", Format::Png, ColorMode::Rgb, 8, None),
        ("bits-1.png", Format::Png, ColorMode::Grey, 1, None),
        ("grey-16.png", Format::Png, ColorMode::Grey, 16, None),
        ("grey-alpha.png", Format::Png, ColorMode::GreyAlpha, 8, None),
        ("rgba.png", Format::Png, ColorMode::Rgba, 8, None),
        ("rotated.png", Format::Png, ColorMode::Rgb, 8, Some(6)),
        ("420.jpg", Format::Jpeg, ColorMode::Rgb, 8, None),
        ("grey.jpg", Format::Jpeg, ColorMode::Grey, 8, None),
        ("cmyk.jpg", Format::Jpeg, ColorMode::Cmyk, 8, None),
        ("progressive.jpg", Format::Jpeg, ColorMode::Rgb, 8, None),
        ("rotated.jpg", Format::Jpeg, ColorMode::Rgb, 8, Some(6)),
    ];
    for (name, format, mode, bits, orientation) in cases {
        let found = inspect(&file(name)).unwrap();
        let seen = (found.format, found.mode, found.bits, found.orientation, found.complete);
        assert_eq!(seen, (format, mode, bits, orientation, true), "{name}");
        let size = if format == Format::Jpeg { (12, 16) } else { (8, 6) };
        assert_eq!((found.width, found.height), size, "{name}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for name in ["444.jpg", "progressive.jpg", "rgb.png", "grey-16.png"] {
        let whole = file(name);
        for length in 0..whole.len() {
            let result = Image::decode(&whole[..length]);
            assert!(result.is_err(), "{name} cut to {length} of {} bytes was taken for whole", whole.len());
        }
        let reason = Image::decode(&whole[..whole.len() - 20]).unwrap_err();
        assert!(reason.contains("truncated"), "{name}: {reason}");
    }
}

#[test]
fn damaged_bytes_never_panic() {
    for name in ["444.jpg", "progressive.jpg", "rgb.png", "palette.png", "rotated.jpg"] {
        let whole = file(name);
        for at in 0..whole.len() {
            for value in [0, 0xFF, whole[at] ^ 0x10] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let _ = Image::decode(&damaged);
            }
        }
    }
}

#[test]
fn errors_say_what_the_file_is() {
    let cases: [(&[u8], &str); 5] = [
        (b"", "the file is empty"),
        (b"GIF89a....", "it is neither JPEG nor PNG: it starts with the mark of GIF"),
        (b"<html>", "it is neither JPEG nor PNG: it starts with the mark of text, as HTML or SVG does"),
        (b"\x01\x02\x03\x04\x05", "it is neither JPEG nor PNG: it starts with 01 02 03 04"),
        (b"\xff\xd8\xff\xe0", "it ends before its frame header"),
    ];
    for (bytes, reason) in cases {
        assert_eq!(Image::decode(bytes).unwrap_err(), reason);
    }
    // A header that claims 60000×60000 pixels in a file of a few bytes.
    let mut bomb = file("rgb.png");
    bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let reason = Image::decode(&bomb).unwrap_err();
    assert_eq!(reason, "its 60000×60000 pixels are more than the 100000000 that are read");
    bomb[16..24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 6]);
    assert_eq!(Image::decode(&bomb).unwrap_err(), "its size is 0×6 pixels");
}

#[test]
fn an_image_survives_png() {
    let image = Image::decode(&file("rgb.png")).unwrap();
    assert_eq!(Image::decode(&image.to_png()).unwrap(), image);
    assert_eq!(Image::from_pixels(8, 6, vec![0; 8 * 6 * 3 - 1]), None);
}
