//! The stage as a pipeline runs it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stagewright_sdk::{ErrorClass, Stage, testing::Bench};
use stagewright_stage_surfaces::{Class, Params, Surfaces, paint};

/// Every file below a folder with its content, by path from there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(folder, folder, &mut found);
    found
}

fn make(seed: u64, params: Value) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let outcome = Bench::new(folder.path(), params).seed(seed).run::<Surfaces>().unwrap();
    let found = files(&outcome.path("data"));
    assert_eq!(outcome.metric("images"), Some(found.len() as f64));
    found
}

#[test]
fn a_run_gives_both_splits_of_every_class_as_pngs_of_the_size() {
    let found = make(0, json!({"size": 20, "train-per-class": 3, "test-per-class": 2}));
    assert_eq!(found.len(), 4 * (3 + 2));
    for class in ["crack", "good", "scratch", "spot"] {
        for name in [format!("train/{class}/00002.png"), format!("test/{class}/00001.png")] {
            let image = image::load_from_memory(&found[&name]).unwrap();
            assert_eq!(
                (image.width(), image.height(), image.color()),
                (20, 20, image::ColorType::Rgb8),
                "{name}"
            );
        }
    }
    let different: std::collections::BTreeSet<_> = found.values().collect();
    assert_eq!(different.len(), found.len(), "two images are the same");
}

#[test]
fn an_image_depends_on_seed_and_name_and_not_on_how_many_there_are() {
    let few = make(5, json!({"size": 16, "train-per-class": 2, "test-per-class": 1}));
    let more = make(5, json!({"size": 16, "train-per-class": 3, "test-per-class": 2}));
    assert!(few.iter().all(|(name, bytes)| more[name] == *bytes));
    let other = make(6, json!({"size": 16, "train-per-class": 2, "test-per-class": 1}));
    assert!(few.iter().all(|(name, bytes)| other[name] != *bytes));
}

/// The same bits on every machine and in every release of the same cache version. If this fails on purpose, raise the
/// cache version in the manifest.
#[test]
fn pixels_are_the_same_for_ever() {
    let mut hasher = Sha256::new();
    for class in Class::ALL {
        for index in 0..8 {
            hasher.update(paint(&Params::default(), class, 1, &format!("golden/{index}")));
        }
    }
    assert_eq!(
        hex::encode(hasher.finalize()),
        "6a58b3fcc89a9c1abfbe60df4a35df8a1c0655138eec13b47d021ec61c7aaf3b"
    );
    assert_eq!(Surfaces::manifest().cache_version, 1);
}

#[test]
fn a_defect_changes_few_pixels_and_a_good_surface_none() {
    let plain = Params { contrast: 0.0, noise: 0.0, ..Params::default() };
    let damaged = Params { contrast: 1.0, noise: 0.0, ..Params::default() };
    for class in Class::ALL {
        for index in 0..20 {
            let name = format!("{index}");
            let (before, after) = (paint(&plain, class, 3, &name), paint(&damaged, class, 3, &name));
            let changed =
                before.chunks(3).zip(after.chunks(3)).filter(|(a, b)| a[1].abs_diff(b[1]) > 12).count();
            match class {
                Class::Good => assert_eq!(before, after),
                _ => assert!(
                    (4..600).contains(&changed),
                    "{} {index} changes {changed} of 2304 pixels",
                    class.name()
                ),
            }
        }
    }
}

#[test]
fn cracks_are_dark_and_most_scratches_bright() {
    let plain = Params { contrast: 0.0, noise: 0.0, ..Params::default() };
    let damaged = Params { contrast: 1.0, noise: 0.0, ..Params::default() };
    let brighter = |class| {
        let shift = |index: u32| -> i64 {
            let name = index.to_string();
            let (before, after) = (paint(&plain, class, 9, &name), paint(&damaged, class, 9, &name));
            before.iter().zip(&after).map(|(a, b)| i64::from(*b) - i64::from(*a)).sum()
        };
        (0..60).filter(|index| shift(*index) > 0).count()
    };
    assert_eq!(brighter(Class::Crack), 0);
    assert!((38..=56).contains(&brighter(Class::Scratch)));
    assert!((8..=30).contains(&brighter(Class::Spot)));
}

#[test]
fn the_manifest_documents_every_param() {
    let manifest = Surfaces::manifest();
    let properties = manifest.params["properties"].as_object().unwrap();
    for (name, default) in [
        ("size", json!(48)),
        ("train-per-class", json!(300)),
        ("test-per-class", json!(100)),
        ("contrast", json!(0.9)),
        ("noise", json!(0.02)),
        ("marks", json!(3)),
    ] {
        let property = &properties[name];
        assert_eq!(property["default"], default, "{name}");
        assert!(property["description"].is_string() && property["minimum"].is_number(), "{property}");
    }
    assert_eq!(properties.len(), 6);
    assert_eq!(manifest.outputs["data"].artifact_type, "dataset/images");
}

#[test]
fn bad_params_are_refused_with_the_range() {
    for (params, message, hint) in [
        (json!({"size": 8}), "`size` is 8", Some("it can be 16 to 512")),
        (json!({"noise": 0.9}), "`noise` is 0.9", Some("it can be 0 to 0.5")),
        (json!({"test-per-class": 0}), "`test-per-class` is 0", Some("it can be 1 to 100000")),
        (json!({"colour": 1}), "`with` does not fit the params: unknown field `colour`", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let Err(fault) = Bench::new(folder.path(), params).run::<Surfaces>() else { panic!("{message}") };
        assert!(fault.0.message.starts_with(message), "{}", fault.0.message);
        assert_eq!(fault.0.class, ErrorClass::User);
        assert_eq!(fault.0.hint.as_deref(), hint);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_the_machines_fault() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(folder.path(), json!({"size": 16, "train-per-class": 1, "test-per-class": 1}));
    fs::write(folder.path().join("out/data"), "a file in the way").unwrap();
    let Err(fault) = bench.run::<Surfaces>() else { panic!("wrote through a file") };
    assert_eq!(fault.0.class, ErrorClass::Environment);
    assert!(fault.0.message.contains("out/data/train/crack: "), "{}", fault.0.message);
}
