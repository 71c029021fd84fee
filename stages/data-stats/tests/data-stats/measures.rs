//! Numbers: mean, standard deviation, quality, hash, digest.

use std::fs;

use serde_json::json;
use stagewright_dataset::Image;
use stagewright_stage_data_stats::{moments::Moments, phash, quality::Quality, stats::Balance};

use crate::{expected, fixture_run, fixtures, floats};

fn close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= tolerance, "{what}: {ours:?} instead of {theirs:?}");
    }
}

#[test]
fn sums_are_exact_and_order_free() {
    let expected = expected();
    let own = &expected["own-size"];
    let folder = fixtures().join("data/train");
    let mut images = Vec::new();
    for class in ["cat", "dog"] {
        for entry in fs::read_dir(folder.join(class)).unwrap() {
            let image = Image::decode(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            if (image.width, image.height) == (20, 20) {
                images.push(image);
            }
        }
    }
    for _ in 0..2 {
        let mut total = Moments::default();
        for image in &images {
            total.add(&Moments::of(&image.pixels));
        }
        assert_eq!(own["pixels"], total.pixels);
        assert_eq!(own["sum"], json!(total.sum));
        assert_eq!(own["squares"], json!(total.squares));
        images.reverse();
    }
}

#[test]
fn sums_hold_at_the_ends_of_their_range() {
    // White pixels, more than one block of 32-bit sums holds.
    let count = 70_000;
    let moments = Moments::of(&vec![255; count * 3]);
    assert_eq!(moments.sum, [255 * count as u64; 3]);
    assert_eq!(moments.squares, [65_025 * count as u64; 3]);
    assert_eq!((moments.mean(), moments.std()), ([1.0; 3], [0.0; 3]));
    // A spread of one step around a large mean, where Σx²/n − mean² in floats would cancel.
    let mut moments = Moments { pixels: 2, sum: [509; 3], squares: [254 * 254 + 255 * 255; 3] };
    for _ in 0..30 {
        let same = moments;
        moments.add(&same);
    }
    close(&moments.std(), &[0.5 / 255.0; 3], 1e-15, "standard deviation");
}

#[test]
fn mean_and_deviation_of_the_train_split() {
    let run = fixture_run(json!({})).unwrap();
    let (stats, expected) = (run.json("stats"), expected());
    // Resizing may differ from Pillow by one step of 255 in single pixels.
    close(&floats(&stats["pixels"]["mean"]), &floats(&expected["mean"]), 1e-4, "mean");
    close(&floats(&stats["pixels"]["std"]), &floats(&expected["std"]), 1e-4, "standard deviation");
    let of_images = "mean-of-image-std";
    close(&floats(&stats["pixels"][of_images]), &floats(&expected[of_images]), 1e-4, of_images);
    let contract = run.json("preprocess");
    assert_eq!(contract["size"], expected["size"]);
    close(&floats(&contract["mean"]), &floats(&stats["pixels"]["mean"]), 1e-7, "contract");
    close(&floats(&contract["std"]), &floats(&stats["pixels"]["std"]), 1e-7, "contract");
    assert_eq!(stats["pixels"]["images"], 17);
    assert_eq!(stats["pixels"]["pixels"], 17 * 400);
}

#[test]
fn every_image_measures_as_in_pillow() {
    let expected = expected();
    let images = expected["images"].as_object().unwrap();
    let mut equal = 0;
    for (id, theirs) in images {
        let image = Image::decode(&fs::read(fixtures().join("data").join(id)).unwrap()).unwrap();
        let ours = Quality::of(&image);
        let number = |name: &str| theirs[name].as_f64().unwrap();
        close(&[ours.brightness_p99], &[number("p99")], 1e-9, id);
        close(&[ours.brightness_p5], &[number("p5")], 1e-9, id);
        close(&[ours.entropy], &[number("entropy")], 1e-9, id);
        // Above 64 pixels the image is shrunk first, which may differ by one step.
        let tolerance = if image.width.max(image.height) > 64 { 2e-3 } else { 1e-9 };
        close(&[ours.sharpness], &[number("sharpness")], tolerance, id);
        let hash = u64::from_str_radix(theirs["phash"].as_str().unwrap(), 16).unwrap();
        let distance = (phash(&image) ^ hash).count_ones();
        // Resampling may differ from Pillow by one step, which turns bits of frequencies close to the median.
        assert!(distance <= 4, "{id}: hash differs in {distance} bits");
        equal += usize::from(distance == 0);
    }
    assert!(equal >= 15, "only {equal} hashes are equal");
    assert_eq!(images.len(), 24);
}

#[test]
fn the_digest_is_that_of_the_files() {
    let run = fixture_run(json!({})).unwrap();
    let stats = run.json("stats");
    assert_eq!(stats["dataset"]["digest"], expected()["digest"]);
    let manifest = run.text("manifest");
    assert_eq!(manifest.lines().count(), 24);
    assert!(manifest.lines().is_sorted_by_key(|line| line.split(' ').next_back()), "in the order of ids");
}

#[test]
fn balance_of_classes() {
    let even = Balance::of(&[5, 5, 5, 5]).unwrap();
    close(&[even.entropy, even.evenness, even.effective_classes], &[2.0, 1.0, 4.0], 1e-12, "even");
    assert_eq!(even.imbalance, Some(1.0));
    // Shares ½, ¼, ¼: 1.5 bits.
    let uneven = Balance::of(&[8, 4, 4]).unwrap();
    close(&[uneven.entropy, uneven.evenness], &[1.5, 1.5 / 3f64.log2()], 1e-12, "uneven");
    assert_eq!(uneven.imbalance, Some(2.0));
    let missing = Balance::of(&[3, 0]).unwrap();
    assert_eq!((missing.entropy, missing.imbalance), (0.0, None));
    assert_eq!(Balance::of(&[0, 0]), None);
}
