//! Params: their schema and what is said to wrong ones.

use std::fs;

use serde_json::{Value, json};
use stagewright_dataset::Image;
use stagewright_sdk::{ErrorClass, Stage, testing::Bench};
use stagewright_stage_data_stats::DataStats;

use crate::{expected, fixture_run, fixtures, floats, put, run, write};

fn refused(params: Value) -> String {
    let fault = run(&fixtures().join("data"), params).err().unwrap().0;
    assert_eq!(fault.class, ErrorClass::User);
    fault.message
}

#[test]
fn wrong_params_are_named() {
    let cases = [
        (
            json!({ "size": "large" }),
            "expected `auto`, a number of pixels, or [height, width], each 1 to 8192",
        ),
        (json!({ "size": 0 }), "expected `auto`, a number of pixels, or [height, width], each 1 to 8192"),
        (
            json!({ "size": [32] }),
            "invalid length 1, expected `auto`, a number of pixels, or [height, width]",
        ),
        (json!({ "size": [32, 32, 3] }), "invalid length 3"),
        (json!({ "size": [-1, 32] }), "invalid value: integer `-1`"),
        (json!({ "near-duplicates": 9 }), "expected `off` or a Hamming distance of 0 to 8 bits"),
        (json!({ "near-duplicates": "on" }), "expected `off` or a Hamming distance of 0 to 8 bits"),
        (json!({ "test-fraction": 0.95 }), "`test-fraction` is 0.95; it must be 0 to 0.9"),
        (json!({ "validation-fraction": -0.5 }), "`validation-fraction` is -0.5; it must be 0 to 0.9"),
        (json!({ "max-size": 0 }), "`max-size` is 0; it must be 1 to 8192 pixels"),
        (json!({ "mean": [123.0, 0.5, 0.5] }), "`mean` holds 123; each value must be 0 to 1"),
        (json!({ "std": [0.2, 0.2, 0.0] }), "`std` holds 0; each value must be above 0, at most 1"),
        (json!({ "on-corrupt": "ignore" }), "unknown variant `ignore`, expected `fail` or `skip`"),
        (json!({ "sise": 3 }), "unknown field `sise`"),
    ];
    for (params, text) in cases {
        let message = refused(params.clone());
        assert!(message.contains(text), "{params}: {message}");
    }
}

#[test]
fn the_schema_documents_every_param_with_its_default() {
    let schema = DataStats::manifest().params;
    let properties = schema["properties"].as_object().unwrap();
    for (name, property) in properties {
        assert!(property["description"].is_string(), "{name} has no description");
        assert!(property.get("default").is_some(), "{name} has no default");
    }
    assert_eq!(properties["size"]["default"], "auto");
    assert_eq!(properties["near-duplicates"]["default"], 0);
    assert_eq!(properties["validation-fraction"]["maximum"], 0.9);
    assert_eq!(schema["additionalProperties"], false);
    // The defaults that a host fills in from the schema are those of a run without any.
    let defaults: Value =
        properties.iter().map(|(name, property)| (name.clone(), property["default"].clone())).collect();
    let filled: <DataStats as Stage>::Params = serde_json::from_value(defaults).unwrap();
    assert_eq!(filled, serde_json::from_value(json!({})).unwrap());
}

#[test]
fn statistics_of_a_network_from_elsewhere() {
    let given = json!({ "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225] });
    let run = fixture_run(given).unwrap();
    let contract = run.json("preprocess");
    assert_eq!(contract["std"], json!([0.229, 0.224, 0.225]));
    let measured = floats(&run.json("stats")["pixels"]["mean"]);
    assert_eq!(
        measured,
        floats(&fixture_run(json!({})).unwrap().json("stats")["pixels"]["mean"]),
        "still measured"
    );
    assert!(run.outcome.warnings().iter().all(|warning| !warning.contains("`std`")));
}

#[test]
fn the_mean_of_image_deviations_is_recognized() {
    let std = floats(&expected()["mean-of-image-std"]);
    let run = fixture_run(json!({ "std": std })).unwrap();
    let warning = run.outcome.warnings().into_iter().find(|warning| warning.contains("`std`")).unwrap();
    let expected = "`std` is the mean of the images' own standard deviations, a different statistic; over all pixels it is [0.2472, 0.2400, 0.2457]";
    assert_eq!(warning, expected);
}

#[test]
fn images_of_one_colour_can_not_be_normalized() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..3 {
        write(
            folder.path(),
            &format!("a/{i}.png"),
            &Image { width: 4, height: 4, pixels: vec![50; 48] }.to_png(),
        );
    }
    let none = |extra: Value| {
        let mut params = json!({ "test-fraction": 0.0, "validation-fraction": 0.0 });
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        run(folder.path(), params)
    };
    let fault = none(json!({})).err().unwrap().0;
    assert!(
        fault.message.starts_with("every pixel of the train split has the same red value"),
        "{}",
        fault.message
    );
    assert_eq!(fault.hint.unwrap(), "check that the images are what they should be, or set `std`");
    none(json!({ "std": [0.2, 0.2, 0.2] })).unwrap();
}

#[test]
fn without_training_samples_there_is_nothing_to_measure() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "test/a/1.png", [4, 4], 1);
    let fault = run(folder.path(), json!({})).err().unwrap().0;
    assert!(fault.message.starts_with("the train split is empty"), "{}", fault.message);
    fs::remove_dir_all(folder.path().join("test")).unwrap();
    write(folder.path(), "a/1.png", b"text");
    let fault = run(folder.path(), json!({})).err().unwrap().0;
    assert_eq!(fault.message, "no file of the dataset is a JPEG or PNG image");
}

#[test]
fn cancelling_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench =
        Bench::new(folder.path(), json!({})).input("data", "d", "dataset/images", fixtures().join("data"));
    let result = bench.run_with_flag::<DataStats>(std::sync::Arc::new(true.into()));
    assert_eq!(result.err().unwrap().0.message, "cancelled");
}
