//! Policies: defaults, the file, and what is said about a wrong one.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use stagewright_dataset::augment::Policy;

fn parse(train: Value) -> Result<Policy, String> {
    let text = json!({"format": "stagewright/policy@1", "train": train}).to_string();
    Policy::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn parse_one(transform: Value) -> Result<Policy, String> {
    parse(json!([{"transform": "transpose"}, transform]))
}

/// Every param is written out, with the defaults of Albumentations.
#[test]
fn defaults_are_the_reference() {
    let names = [
        "transpose",
        "horizontal-flip",
        "vertical-flip",
        "shift-scale-rotate",
        "hue-saturation-value",
        "random-brightness-contrast",
        "coarse-dropout",
    ];
    let mut train: Vec<Value> = names.iter().map(|name| json!({"transform": name})).collect();
    train.push(json!({"transform": "random-resized-crop", "size": [4, 5]}));
    train.push(json!({"transform": "random-crop", "height": 4, "width": 5}));
    let policy = parse(Value::Array(train)).unwrap();
    let written = serde_json::to_value(&policy).unwrap();
    let expected = json!([
        {"transform": "transpose", "p": 0.5},
        {"transform": "horizontal-flip", "p": 0.5},
        {"transform": "vertical-flip", "p": 0.5},
        {
            "transform": "shift-scale-rotate", "shift-limit": [-0.0625, 0.0625], "scale-limit": [-0.1, 0.1],
            "rotate-limit": [-45.0, 45.0], "interpolation": "linear", "border-mode": "constant", "fill": [0, 0, 0], "p": 0.5,
        },
        {
            "transform": "hue-saturation-value", "hue-shift-limit": [-20.0, 20.0], "sat-shift-limit": [-30.0, 30.0],
            "val-shift-limit": [-20.0, 20.0], "p": 0.5,
        },
        {
            "transform": "random-brightness-contrast", "brightness-limit": [-0.2, 0.2], "contrast-limit": [-0.2, 0.2],
            "brightness-by-max": true, "ensure-safe-range": false, "p": 0.5,
        },
        {
            "transform": "coarse-dropout", "num-holes-range": [1, 2], "hole-height-range": [0.1, 0.2],
            "hole-width-range": [0.1, 0.2], "fill": {"kind": "color", "rgb": [0, 0, 0]}, "p": 0.5,
        },
        {
            "transform": "random-resized-crop", "size": [4, 5], "scale": [0.08, 1.0], "ratio": [0.75, 1.3333333333333333],
            "interpolation": "linear", "area-for-downscale": false, "p": 1.0,
        },
        {
            "transform": "random-crop", "height": 4, "width": 5, "padding": 0, "pad-if-needed": false,
            "pad-position": "center", "border-mode": "constant", "fill": [0, 0, 0], "p": 1.0,
        },
    ]);
    assert_eq!(written["train"], expected);
    assert_eq!(Policy::parse(written.to_string().as_bytes()).unwrap(), policy);
    assert_eq!(Policy::identity(), parse(json!([])).unwrap());
}

/// Each wrong param is named with its transform, its place, its value and what is allowed.
#[test]
fn wrong_params_are_named() {
    let start = "the augmentation policy is not valid: transform 2 ";
    let cases = [
        (
            json!({"transform": "horizontal-flip", "p": 1.5}),
            "(horizontal-flip): `p` is 1.5, but a probability lies between 0 and 1",
        ),
        (
            json!({"transform": "random-resized-crop", "size": [0, 5]}),
            "(random-resized-crop): `size` is 0, but a side has 1 to 16384 pixels",
        ),
        (
            json!({"transform": "random-resized-crop", "size": [5, 5], "scale": [0.5, 1.2]}),
            "(random-resized-crop): `scale` is [0.5, 1.2], but both bounds must lie between 0 and 1",
        ),
        (
            json!({"transform": "random-resized-crop", "size": [5, 5], "ratio": [0, 2]}),
            "(random-resized-crop): `ratio` is [0, 2], but a ratio of width to height is above 0",
        ),
        (
            json!({"transform": "random-crop", "height": 5, "width": 5, "padding": 2, "pad-if-needed": true}),
            "(random-crop): `padding` is 2, but `pad-if-needed` is on too; give one of them",
        ),
        (
            json!({"transform": "shift-scale-rotate", "shift-limit-y": [-2, 0]}),
            "(shift-scale-rotate): `shift-limit-y` is [-2, 0], but both bounds must lie between -1 and 1",
        ),
        (
            json!({"transform": "shift-scale-rotate", "scale-limit": [-1, 0]}),
            "(shift-scale-rotate): `scale-limit` is [-1, 0], but both bounds must lie between -0.99 and 100",
        ),
        (
            json!({"transform": "shift-scale-rotate", "rotate-limit": [10, -10]}),
            "(shift-scale-rotate): `rotate-limit` is [10, -10], but the first bound must not be above the second",
        ),
        (
            json!({"transform": "hue-saturation-value", "hue-shift-limit": [-200, 0]}),
            "(hue-saturation-value): `hue-shift-limit` is [-200, 0], but both bounds must lie between -180 and 180",
        ),
        (
            json!({"transform": "random-brightness-contrast", "brightness-limit": [0, 20]}),
            "(random-brightness-contrast): `brightness-limit` is [0, 20], but both bounds must lie between -1 and 1",
        ),
        (
            json!({"transform": "coarse-dropout", "num-holes-range": [0, 2]}),
            "(coarse-dropout): `num-holes-range` is [0, 2], but it must be two numbers in order, between 1 and 1024",
        ),
        (
            json!({"transform": "coarse-dropout", "hole-height-range": [0.5, 1.0]}),
            "(coarse-dropout): `hole-height-range` is [0.5, 1], but a range that reaches 1 is in pixels and takes whole numbers; a \
             fraction stays below 1",
        ),
        (
            json!({"transform": "coarse-dropout", "hole-height-range": [2, 8]}),
            "(coarse-dropout): `hole-width-range` is [0.1, 0.2], but `hole-height-range` is [2, 8]: both are in pixels or both are \
             fractions below 1",
        ),
    ];
    for (transform, expected) in cases {
        assert_eq!(parse_one(transform).unwrap_err(), format!("{start}{expected}"));
    }
}

#[test]
fn unknown_words_are_named() {
    let unknown = parse_one(json!({"transform": "mixup"})).unwrap_err();
    assert!(unknown.contains("unknown variant `mixup`, expected one of `random-resized-crop`"), "{unknown}");
    let typo = parse_one(json!({"transform": "shift-scale-rotate", "rotate": [0, 1]})).unwrap_err();
    assert!(typo.contains("unknown field `rotate`, expected one of `shift-limit`"), "{typo}");
    let missing = parse_one(json!({"transform": "random-crop", "height": 5})).unwrap_err();
    assert!(missing.contains("missing field `width`"), "{missing}");
    let color = parse_one(json!({"transform": "shift-scale-rotate", "fill": [0, 0, 256]})).unwrap_err();
    assert!(color.contains("256"), "{color}");
}

#[test]
fn other_formats_are_refused() {
    let refused = |text: &str| Policy::parse(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        refused(r#"{"format":"stagewright/policy@2","train":[],"more":1}"#),
        "the augmentation policy is not valid: its format is `stagewright/policy@2`, and this release reads `stagewright/policy@1`"
    );
    assert!(refused(r#"{"train":[]}"#).contains("it has no `format`"));
    assert!(refused("[1]").starts_with("the augmentation policy is not valid: "));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    assert!(Policy::load(&path).unwrap_err().to_string().contains("policy.json"));
    std::fs::write(&path, "{}").unwrap();
    assert!(Policy::load(&path).unwrap_err().to_string().contains("policy.json is not valid"));
}

/// A crop is held against every size that an image can have by then.
#[test]
fn too_large_crops_are_found() {
    let crop = json!({"transform": "random-crop", "height": 20, "width": 30});
    let policy = parse(json!([{"transform": "transpose"}, crop])).unwrap();
    assert!(policy.check_size(30, 30).is_ok());
    assert_eq!(
        policy.check_size(40, 24).unwrap_err().to_string(),
        "the augmentation policy is not valid: transform 2 (random-crop): a part of 20×30 pixels (height×width) can't be cut out of \
         an image of 40×24 pixels; make it smaller, set `padding`, or turn `pad-if-needed` on"
    );
    for fix in [json!({"padding": 3}), json!({"pad-if-needed": true}), json!({"p": 0})] {
        let mut crop = crop.clone();
        crop.as_object_mut().unwrap().extend(fix.as_object().unwrap().clone());
        parse(json!([{"transform": "transpose"}, crop])).unwrap().check_size(40, 24).unwrap();
    }
    let resized = json!([{"transform": "random-resized-crop", "size": [20, 30]}, crop]);
    assert!(parse(resized).unwrap().check_size(4, 4).is_ok());
}

#[test]
fn doubts_are_voiced() {
    let doubts = |train: Value, size: [usize; 2]| parse(train).unwrap().doubts(size);
    let none: [String; 0] = [];
    assert_eq!(doubts(json!([{"transform": "transpose"}, {"transform": "horizontal-flip"}]), [8, 8]), none);
    let crop = json!({"transform": "random-crop", "height": 8, "width": 8});
    let cases = [
        (json!([{"transform": "transpose"}]), [8, 6], "distorts the image"),
        (json!([{"transform": "vertical-flip", "p": 0}]), [8, 8], "never applied"),
        (json!([{"transform": "vertical-flip"}, {"transform": "vertical-flip"}]), [8, 8], "cancel out"),
        (json!([crop]), [8, 8], "changes nothing"),
        (json!([{"transform": "random-resized-crop", "size": [16, 16]}]), [8, 8], "scales once more, to 8×8"),
        (
            json!([{"transform": "shift-scale-rotate", "shift-limit": [0, 0], "scale-limit": [0, 0], "rotate-limit": [0, 0]}]),
            [8, 8],
            "all limits are 0",
        ),
    ];
    for (train, size, expected) in cases {
        let voiced = doubts(train, size);
        assert!(voiced.len() == 1 && voiced[0].contains(expected), "{voiced:?} instead of {expected}");
    }
}
