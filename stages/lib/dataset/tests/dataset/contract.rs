//! The preprocessing contract: resizing and normalizing as Pillow and PyTorch do, reading and checking.

use std::fs;

use serde_json::{Value, json};
use stagewright_dataset::{Dataset, DatasetError, Decoded, Image, Interpolation, Preprocess, Resize};

use crate::{bytes, expected, fixtures, largest_difference};

pub fn text() -> Value {
    json!({
        "format": "stagewright/preprocess@1",
        "size": [4, 3],
        "resize": "squash",
        "interpolation": "bilinear",
        "channels": "rgb",
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2470, 0.2435, 0.2616],
        "classes": ["cat", "dog"],
        "splits": { "validation-fraction": 0.1, "test-fraction": 0.2, "seed": 0 }
    })
}

pub fn contract() -> Preprocess {
    Preprocess::parse(text().to_string().as_bytes()).unwrap()
}

fn source() -> Image {
    Image::decode(&fs::read(fixtures().join("source.png")).unwrap()).unwrap()
}

#[test]
fn resizes_as_pillow() {
    let cases = expected("resize");
    for case in cases.as_array().unwrap() {
        let mut contract = contract();
        contract.size = serde_json::from_value(case["size"].clone()).unwrap();
        contract.resize = serde_json::from_value(case["resize"].clone()).unwrap();
        contract.interpolation = serde_json::from_value(case["interpolation"].clone()).unwrap();
        let image = contract.resize(&source());
        assert_eq!([image.height, image.width], contract.size);
        let tolerance = if contract.interpolation == Interpolation::Nearest { 0 } else { 1 };
        let difference = largest_difference(&image.pixels, &bytes(&case["pixels"]));
        let (size, resize, interpolation) = (contract.size, contract.resize, contract.interpolation);
        assert!(difference <= tolerance, "{size:?} {resize:?} {interpolation:?}: differs by {difference}");
    }
    assert_eq!(cases.as_array().unwrap().len(), 24);
}

#[test]
fn a_sliver_is_cropped_without_much_memory() {
    let sliver = Image { width: 200_000, height: 1, pixels: [9, 8, 7].repeat(200_000) };
    let mut contract = contract();
    contract.size = [64, 48];
    contract.resize = Resize::Crop;
    let image = contract.resize(&sliver);
    assert_eq!(image.pixels, [9, 8, 7].repeat(64 * 48));
}

#[test]
fn normalizes_as_pytorch() {
    let source = source();
    let rows = source.pixels.chunks(source.width * 3).take(4);
    let corner = Image { width: 3, height: 4, pixels: rows.flat_map(|row| &row[..9]).copied().collect() };
    let mut out = vec![0.0; 36];
    contract().apply(&corner, &mut out);
    let expected = expected("normalized");
    for (at, (ours, theirs)) in out.iter().zip(expected.as_array().unwrap()).enumerate() {
        let theirs = theirs.as_f64().unwrap() as f32;
        assert!((ours - theirs).abs() <= 1e-6, "value {at}: {ours} instead of {theirs}");
    }
}

#[test]
fn decoded_images_are_those_of_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    for (class, count) in [("cat", 130), ("dog", 70)] {
        fs::create_dir(folder.path().join(class)).unwrap();
        for i in 0..count {
            let pixels = (0..5 * 4 * 3).map(|at| (at * 7 + i * 3) as u8).collect();
            let image = Image { width: 5, height: 4, pixels };
            fs::write(folder.path().join(format!("{class}/{i:03}.png")), image.to_png()).unwrap();
        }
    }
    let dataset = Dataset::open(folder.path()).unwrap();
    let contract = contract();
    let indices: Vec<usize> = (0..200).rev().collect();
    let mut seen = Vec::new();
    let decoded = Decoded::load(&dataset, &contract, &indices, |done| {
        seen.push(done);
        Ok::<_, DatasetError>(())
    })
    .unwrap();
    assert_eq!(decoded.len(), 200);
    assert!(seen.is_sorted() && seen.first() == Some(&0) && seen.last() == Some(&200), "{seen:?}");
    let mut batch = vec![0.0; 200 * 36];
    decoded.normalized_batch(&(0..200).collect::<Vec<_>>(), &contract, &mut batch);
    for (at, &index) in indices.iter().enumerate() {
        let image = dataset.image(index).unwrap();
        assert_eq!(decoded.image(at), contract.resize(&image).pixels);
        assert_eq!(decoded.ids[at], dataset.samples[index].id);
        assert_eq!(decoded.labels[at], dataset.samples[index].label as i64);
        let (mut one, mut other) = (vec![0.0; 36], vec![0.0; 36]);
        decoded.normalized(at, &contract, &mut one);
        contract.apply(&image, &mut other);
        assert_eq!(one, other);
        assert_eq!(one, batch[at * 36..(at + 1) * 36]);
    }

    // The error of a stopped or a failing load is the caller's.
    let stopped = Decoded::load(&dataset, &contract, &indices, |done| {
        if done > 0 { Err(stagewright_sdk::StageFault::environment("cancelled")) } else { Ok(()) }
    });
    assert_eq!(stopped.unwrap_err().to_string(), "cancelled");
    for broken in ["cat/007.png", "dog/001.png"] {
        fs::write(folder.path().join(broken), "x").unwrap();
    }
    let all: Vec<usize> = (0..200).collect();
    let failed = Decoded::load(&dataset, &contract, &all, |_| Ok::<_, DatasetError>(()));
    assert!(failed.unwrap_err().to_string().starts_with("image cat/007.png can't be decoded"));
}

#[test]
fn reading_back_what_was_written() {
    let contract = contract();
    assert_eq!(
        serde_json::to_value(&contract).unwrap()["splits"],
        text()["splits"],
        "no `exclude` unless there is one"
    );
    assert_eq!(Preprocess::parse(&serde_json::to_vec(&contract).unwrap()).unwrap(), contract);
}

#[test]
fn every_wrong_field_is_named() {
    let cases: [(&str, Value, &str); 12] = [
        (
            "/format",
            json!("stagewright/preprocess@2"),
            "its format is `stagewright/preprocess@2`; this release reads `stagewright/preprocess@1`",
        ),
        ("/size", json!([0, 3]), "`size` is [0, 3]; each side must be 1 to 8192 pixels"),
        ("/resize", json!("pad"), "unknown variant `pad`, expected `squash` or `crop`"),
        ("/interpolation", json!("cubic"), "unknown variant `cubic`, expected `bilinear` or `nearest`"),
        ("/channels", json!("bgr"), "unknown variant `bgr`, expected `rgb`"),
        (
            "/mean",
            json!([125.3, 0.4, 0.4]),
            "`mean` holds 125.3; the scale is 0 to 1, so divide values of 0–255 by 255",
        ),
        ("/std", json!([0.2, 0.0, 0.2]), "`std` holds 0; it must be above 0 and at most 1"),
        ("/classes", json!([]), "`classes` is empty"),
        ("/classes", json!(["a", "b", "a"]), "`classes` names `a` twice"),
        (
            "/splits/test-fraction",
            json!(1.0),
            "`splits.test-fraction` is 1; it must be at least 0 and below 1",
        ),
        ("/splits/validation-fraction", json!(-0.1), "`splits.validation-fraction` is -0.1; it must be"),
        ("/splits/seed", json!(-1), "invalid value: integer `-1`, expected u64"),
    ];
    for (pointer, value, reason) in cases {
        let mut document = text();
        *document.pointer_mut(pointer).unwrap() = value;
        let error = Preprocess::parse(document.to_string().as_bytes()).unwrap_err().to_string();
        let expected = format!("the preprocessing contract is not valid: {reason}");
        assert!(error.starts_with(&expected), "{error}\ninstead of\n{expected}");
    }
    let mut document = text();
    document["gamma"] = json!(2.2);
    let error = Preprocess::parse(document.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("unknown field `gamma`"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocess.json");
    fs::write(&path, "{").unwrap();
    let error = Preprocess::load(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{} is not valid: EOF", path.display())), "{error}");
}
