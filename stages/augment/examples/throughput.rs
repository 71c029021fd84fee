//! Augments images on one thread and prints how long that took.
//!
//! `throughput <policy.json> <images.rgb> <width> <height> <seconds>`: the images are RGB bytes, one image after the other.
//! Prints one line of JSON: images augmented, seconds, and a checksum that keeps the work from being optimized away.
//! `tests/benches/augment_vs_albumentations.py` runs it in turn with Albumentations.

use std::{error::Error, fs, path::PathBuf, time::Instant};

use stagewright_dataset::{
    Preprocess,
    augment::{Augmenter, Policy, SampleKey, Scratch},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [policy, images, width, height, seconds] = arguments.as_slice() else {
        return Err("usage: throughput <policy.json> <images.rgb> <width> <height> <seconds>".into());
    };
    let policy = Policy::load(&PathBuf::from(policy))?;
    let images = fs::read(images)?;
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let seconds: f64 = seconds.parse()?;
    let contract = Preprocess::parse(
        serde_json::json!({
            "format": "stagewright/preprocess@1", "size": [height, width], "resize": "squash", "interpolation": "bilinear",
            "channels": "rgb", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "classes": ["a", "b"],
            "splits": {"validation-fraction": 0.1, "test-fraction": 0.2, "seed": 0},
        })
        .to_string()
        .as_bytes(),
    )?;
    let augmenter = Augmenter::new(&policy, &contract)?;
    let mut scratch = Scratch::default();
    let mut out = vec![0.0; 3 * width * height];
    let mut run = |sample: u64, pixels: &[u8]| {
        let key = SampleKey { seed: 0, epoch: 0, sample };
        augmenter.apply(pixels, width, height, key, &mut scratch, &mut out);
        f64::from(out[0])
    };
    let pixels: Vec<&[u8]> = images.chunks_exact(3 * width * height).collect();
    let mut checksum: f64 = pixels.iter().map(|pixels| run(u64::MAX, pixels)).sum();
    let (start, mut done) = (Instant::now(), 0u64);
    while start.elapsed().as_secs_f64() < seconds {
        for pixels in &pixels {
            checksum += run(done, pixels);
            done += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({"images": done, "seconds": seconds, "checksum": checksum}));
    Ok(())
}
