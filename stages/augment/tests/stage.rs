//! The stage as the host runs it.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::Arc};

use serde_json::{Value, json};
use stagewright_dataset::{
    Dataset, DatasetError, Image, Preprocess, TrainingImages,
    augment::{Augmenter, Policy, SampleKey, Scratch, augment_batch},
};
use stagewright_sdk::{
    ErrorClass, Stage, StageFault,
    testing::{Bench, Outcome},
};
use stagewright_stage_augment::Augment;

/// 3 classes with 6 training, 2 validation and 2 test images each, 12×10 pixels.
fn dataset(folder: &Path) {
    for (part, count) in [("train", 6), ("validation", 2), ("test", 2)] {
        for (label, class) in ["crack", "ok", "Spot_2"].iter().enumerate() {
            let into = folder.join(part).join(class);
            fs::create_dir_all(&into).unwrap();
            for number in 0..count {
                let seed = 31 * label + 7 * number + part.len();
                let pixels = (0..12 * 10 * 3).map(|at| (at * (3 + seed) % 251) as u8).collect();
                let image = Image { width: 12, height: 10, pixels };
                fs::write(into.join(format!("{number}.png")), image.to_png()).unwrap();
            }
        }
    }
}

fn contract(classes: &[&str]) -> Value {
    json!({
        "format": "stagewright/preprocess@1", "size": [10, 12], "resize": "squash", "interpolation": "bilinear",
        "channels": "rgb", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "classes": classes,
        "splits": {"validation-fraction": 0.1, "test-fraction": 0.2, "seed": 0},
    })
}

fn run_in(folder: &Path, params: Value, contract: &Value, seed: u64) -> Result<Outcome, StageFault> {
    let (data, preprocess) = (folder.join("data"), folder.join("preprocess.json"));
    if !data.exists() {
        dataset(&data);
    }
    fs::write(&preprocess, contract.to_string()).unwrap();
    Bench::new(folder.join(format!("run-{seed}")), params)
        .seed(seed)
        .input("data", "data", "dataset/images", &data)
        .input("preprocess", "preprocess", "preprocess", &preprocess)
        .run::<Augment>()
}

fn run(params: Value) -> Result<Outcome, StageFault> {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), params, &contract(&["Spot_2", "crack", "ok"]), 0)
}

fn fault(params: Value) -> StageFault {
    match run(params) {
        Ok(_) => panic!("this should fail"),
        Err(fault) => fault,
    }
}

#[test]
fn policy_and_preview_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let params = json!({
        "transforms": [
            {"transform": "random-crop", "height": 10, "width": 12, "padding": 2, "border-mode": "reflect-101"},
            {"transform": "horizontal-flip"},
        ],
        "preview-samples": 5, "preview-draws": 3,
    });
    let contract = contract(&["Spot_2", "crack", "ok"]);
    let first = run_in(folder.path(), params.clone(), &contract, 1).unwrap();
    let policy = Policy::load(&first.path("policy")).unwrap();
    assert_eq!(policy.train.len(), 2);
    assert_eq!(first.metric("transforms"), Some(2.0));
    assert_eq!(first.metric("previewed"), Some(15.0));
    assert_eq!(first.warnings(), Vec::<&str>::new());
    assert!(!first.result.outputs.contains_key("dataset"));
    let sheet = |outcome: &Outcome| Image::decode(&fs::read(outcome.path("preview")).unwrap()).unwrap();
    let image = sheet(&first);
    assert!(image.width > 4 * 132 && image.height > 5 * 110, "{}×{}", image.width, image.height);
    // The tile of the first original: Spot_2 is the first class; 12 pixels become 132.
    let dataset = Dataset::open(&folder.path().join("data")).unwrap();
    let originals: Vec<Image> =
        (0..dataset.samples.len()).map(|index| dataset.image(index).unwrap()).collect();
    let tile: Vec<u8> = (0..12 * 10)
        .flat_map(|place| {
            let (x, y) = (16 + 11 * (place % 12) + 5, 16 + 2 * 22 + 6 + 11 * (place / 12) + 5);
            let at = 3 * (y * image.width + x);
            [image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]]
        })
        .collect();
    assert!(
        originals.iter().any(|original| original.pixels == tile),
        "the first tile is no image of the dataset"
    );
    let again = run_in(folder.path(), params.clone(), &contract, 1).unwrap();
    assert_eq!(sheet(&again).pixels, image.pixels);
    let other = run_in(folder.path(), params, &contract, 2).unwrap();
    assert_ne!(sheet(&other).pixels, image.pixels);
}

#[test]
fn materialized_dataset_is_the_policy_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let params = json!({
        "transforms": [{"transform": "random-resized-crop", "size": [7, 9]}, {"transform": "vertical-flip"}],
        "materialize": {"copies": 3, "originals": true},
    });
    let contract = contract(&["Spot_2", "crack", "ok"]);
    let outcome = run_in(folder.path(), params, &contract, 4).unwrap();
    assert_eq!(outcome.metric("materialized"), Some(54.0));
    let before = Dataset::open(&folder.path().join("data")).unwrap();
    let after = Dataset::open(&outcome.path("dataset")).unwrap();
    assert_eq!(after.classes, before.classes);
    let contract = Preprocess::parse(contract.to_string().as_bytes()).unwrap();
    let (old, new) = (before.splits(&contract.splits), after.splits(&contract.splits));
    assert_eq!([new.train.len(), new.validation.len(), new.test.len()], [72, 6, 6]);
    for (old, new) in [(&old.validation, &new.validation), (&old.test, &new.test)] {
        for (old, new) in old.iter().zip(new) {
            assert_eq!(before.image(*old).unwrap().pixels, after.image(*new).unwrap().pixels);
        }
    }
    let policy = Policy::load(&outcome.path("policy")).unwrap();
    let augmenter = Augmenter::new(&policy, &contract).unwrap();
    for (number, index) in old.train.iter().enumerate() {
        let original = before.image(*index).unwrap();
        let group = &new.train[4 * number..4 * number + 4];
        let images: Vec<Image> = group.iter().map(|index| after.image(*index).unwrap()).collect();
        for (copy, made) in (0..3).map(|copy| {
            let key = SampleKey { seed: 4, epoch: copy, sample: *index as u64 };
            (copy, augmenter.augment(&original, key, &mut Scratch::default()))
        }) {
            assert!(
                images.iter().any(|image| image.pixels == made.pixels),
                "copy {copy} of {index} is missing"
            );
        }
        assert!(images.iter().any(|image| image.pixels == original.pixels));
        assert!(group.iter().all(|new| after.samples[*new].label == before.samples[*index].label));
    }
}

/// What `train` gets depends on seed, epoch and sample, not on the order or the threads.
#[test]
fn batches_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let dataset = Dataset::open(folder.path()).unwrap();
    let contract = Preprocess::parse(contract(&["Spot_2", "crack", "ok"]).to_string().as_bytes()).unwrap();
    let all: Vec<usize> = (0..dataset.samples.len()).collect();
    let policy = Policy::parse(
        br#"{"format":"stagewright/policy@1","train":[{"transform":"shift-scale-rotate"},{"transform":"hue-saturation-value"},
            {"transform":"coarse-dropout"}]}"#,
    )
    .unwrap();
    let dataset = Arc::new(dataset);
    let load =
        |memory| TrainingImages::load(&dataset, &all, &policy, memory, |_| Ok::<_, StageFault>(())).unwrap();
    let (images, on_demand) = (load(0), load(2));
    assert!(!images.decodes_each_time() && on_demand.decodes_each_time());
    assert_eq!(images.digest, on_demand.digest);
    let augmenter = Augmenter::new(&policy, &contract).unwrap();
    let length = 3 * 10 * 12;
    let batch = |indices: &[usize], epoch: u64| {
        let mut out = vec![f32::NAN; indices.len() * length];
        augment_batch(&augmenter, &images, indices, 9, epoch, &mut out).unwrap();
        let mut again = vec![f32::NAN; out.len()];
        augment_batch(&augmenter, &on_demand, indices, 9, epoch, &mut again).unwrap();
        assert_eq!(again, out, "decoded each time or held, the same");
        out
    };
    let forward = batch(&all, 3);
    assert!(forward.iter().all(|value| value.is_finite()));
    let backward: Vec<usize> = all.iter().rev().copied().collect();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let rows = alone.install(|| batch(&backward, 3));
    for (row, other) in forward.chunks(length).zip(rows.chunks(length).rev()) {
        assert_eq!(row, other);
    }
    assert_ne!(batch(&all, 4), forward);
    let mut single = vec![0.0; length];
    let key = SampleKey { seed: 9, epoch: 3, sample: 5 };
    let image = dataset.image(all[5]).unwrap();
    augmenter.apply(&image.pixels, image.width, image.height, key, &mut Scratch::default(), &mut single);
    assert_eq!(single, forward[5 * length..6 * length]);
}

/// A crop sees the pixels of the file, not those that the contract's smaller size leaves of them.
#[test]
fn training_images_keep_their_own_size() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let dataset = Arc::new(Dataset::open(folder.path()).unwrap());
    let mut small = contract(&["Spot_2", "crack", "ok"]);
    small["size"] = json!([5, 6]);
    let contract = Preprocess::parse(small.to_string().as_bytes()).unwrap();
    let policy = |crop: &str| {
        let text =
            format!(r#"{{"format":"stagewright/policy@1","train":[{{"transform":"random-crop",{crop}}}]}}"#);
        Policy::parse(text.as_bytes()).unwrap()
    };
    let load =
        |policy: &Policy| TrainingImages::load(&dataset, &[0, 1], policy, 0, |_| Ok::<_, DatasetError>(()));
    let whole = policy(r#""height":10,"width":12"#);
    let images = load(&whole).unwrap();
    let augmenter = Augmenter::new(&whole, &contract).unwrap();
    let mut out = vec![0.0; 2 * 3 * 5 * 6];
    augment_batch(&augmenter, &images, &[0, 1], 0, 0, &mut out).unwrap();
    let mut wanted = vec![0.0; 3 * 5 * 6];
    for (index, row) in out.chunks(wanted.len()).enumerate() {
        contract.table().apply(&contract.resize(&dataset.image(index).unwrap()).pixels, &mut wanted);
        assert_eq!(row, wanted, "image {index}");
    }
    let error = load(&policy(r#""height":11,"width":5"#)).unwrap_err().to_string();
    assert!(error.starts_with("image test/Spot_2/0.png has 10×12 pixels (height×width): "), "{error}");
}

#[test]
fn wrong_params_are_the_users_fault() {
    let cases = [
        (
            json!({"transforms": [{"transform": "horizontal-flip", "p": 2}]}),
            "transform 1 (horizontal-flip): `p` is 2",
        ),
        (json!({"preview-samples": 0}), "`preview-samples` is 0, but it must be 1 to 100"),
        (json!({"preview-draws": 51}), "`preview-draws` is 51, but it must be 1 to 50"),
        (json!({"materialize": {"copies": 0}}), "`materialize.copies` is 0, but it must be 1 to 1000"),
        (
            json!({"transforms": [{"transform": "random-crop", "height": 11, "width": 5}]}),
            "a part of 11×5 pixels (height×width) can't be cut out of an image of 10×12 pixels",
        ),
        (json!({"transform": []}), "unknown field `transform`"),
    ];
    for (params, expected) in cases {
        let fault = fault(params);
        assert!(fault.0.message.contains(expected), "{} instead of {expected}", fault.0.message);
        assert_eq!(fault.0.class, ErrorClass::User);
    }
}

#[test]
fn wrong_inputs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let other = run_in(folder.path(), json!({}), &contract(&["crack", "ok"]), 0).err().unwrap();
    assert!(other.0.message.contains("other classes than the preprocessing contract"), "{}", other.0.message);
    let damaged = folder.path().join("data/train/ok/0.png");
    fs::write(&damaged, b"\x89PNG\r\n\x1a\nshort").unwrap();
    let params = json!({"preview-samples": 18});
    let fault = run_in(folder.path(), params, &contract(&["Spot_2", "crack", "ok"]), 0).err().unwrap();
    assert!(fault.0.message.contains("train/ok/0.png"), "{}", fault.0.message);
    assert_eq!(fault.0.class, ErrorClass::User);
}

#[test]
fn doubts_and_empty_parts_are_warnings() {
    let outcome = run(json!({"transforms": [{"transform": "transpose"}]})).unwrap();
    assert!(outcome.warnings()[0].contains("distorts the image"), "{:?}", outcome.warnings());
}

/// The host checks params against the schema: it must know every transform, its params and their defaults.
#[test]
fn the_schema_documents_every_param() {
    let manifest = Augment::manifest();
    let variants = manifest.params["properties"]["transforms"]["items"]["oneOf"].as_array().unwrap();
    assert_eq!(variants.len(), 9);
    for variant in variants {
        let name = &variant["properties"]["transform"]["const"];
        assert!(name.is_string() && variant["description"].is_string(), "{variant}");
        assert_eq!(variant["additionalProperties"], json!(false), "{name}");
        let properties = variant["properties"].as_object().unwrap();
        let required = variant["required"].as_array().unwrap();
        for (param, schema) in properties.iter().filter(|(param, _)| *param != "transform") {
            assert!(schema["description"].is_string(), "{name}: {param} has no description");
            let optional = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
            let documented = optional || schema.get("default").is_some() || required.contains(&json!(param));
            assert!(documented, "{name}: {param} is neither required nor has it a default");
        }
    }
}
