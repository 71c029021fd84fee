//! The command line for each release of trtexec, against the options that the release parses.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use common::{OPTIONS_10, OPTIONS_10_0, OPTIONS_11};
use serde_json::json;
use stagewright_stage_tensorrt::{Arguments, Params, Profile, Version, arguments};

fn version(major: u32, minor: u32) -> Version {
    Version { major, minor, patch: 0 }
}

fn files() -> Arguments {
    Arguments {
        model: PathBuf::from("/in/model.onnx"),
        engine: PathBuf::from("/out/engine.plan"),
        layers: PathBuf::from("/scratch/layers.json"),
        timing_cache: PathBuf::from("/scratch/timing.cache"),
    }
}

fn profile() -> Profile {
    Profile { input: "image".to_owned(), min: [1, 3, 32, 32], opt: [8, 3, 32, 32], max: [32, 3, 32, 32] }
}

fn params(value: serde_json::Value) -> Params {
    serde_json::from_value(value).unwrap()
}

fn line(version: Version, params: &Params, profile: Option<&Profile>) -> Vec<String> {
    let list = arguments(version, params, &files(), profile).unwrap();
    list.into_iter().map(|argument| argument.into_string().unwrap()).collect()
}

#[test]
fn the_plain_command_line_of_10_and_11_differs_in_one_word() {
    let ten = line(version(10, 16), &Params::default(), Some(&profile()));
    let wanted = [
        "--onnx=/in/model.onnx",
        "--saveEngine=/out/engine.plan",
        "--stronglyTyped",
        "--minShapes=image:1x3x32x32",
        "--optShapes=image:8x3x32x32",
        "--maxShapes=image:32x3x32x32",
        "--builderOptimizationLevel=3",
        "--avgTiming=8",
        "--timingCacheFile=/scratch/timing.cache",
        "--profilingVerbosity=detailed",
        "--exportLayerInfo=/scratch/layers.json",
        "--device=0",
        "--skipInference",
    ];
    assert_eq!(ten, wanted);
    let eleven = line(version(11, 1), &Params::default(), Some(&profile()));
    let without: Vec<&str> = wanted.into_iter().filter(|word| *word != "--stronglyTyped").collect();
    assert_eq!(eleven, without);
}

#[test]
fn every_param_becomes_its_option_and_every_release_knows_it() {
    let all = params(json!({
        "workspace": 2_000_000_000u64, "optimization-level": 5, "avg-timing": 16, "max-aux-streams": 2, "tf32": false,
        "sparsity": true, "version-compatible": true, "exclude-lean-runtime": true, "hardware-compatibility": "ampere-plus",
        "timing-cache": "complete", "profiling-verbosity": "layer-names-only", "device": 1
    }));
    for (release, options) in
        [(version(10, 0), OPTIONS_10_0), (version(10, 16), OPTIONS_10), (version(11, 1), OPTIONS_11)]
    {
        let list = line(release, &all, Some(&profile()));
        for wanted in [
            // 2,000,000,000 bytes are 1907.3 MiB: rounded up, never below what was asked for.
            "--memPoolSize=workspace:1908",
            "--builderOptimizationLevel=5",
            "--avgTiming=16",
            "--maxAuxStreams=2",
            "--noTF32",
            "--sparsity=enable",
            "--versionCompatible",
            "--excludeLeanRuntime",
            "--hardwareCompatibilityLevel=ampere+",
            "--timingCacheFile=/scratch/timing.cache",
            "--errorOnTimingCacheMiss",
            "--profilingVerbosity=layer_names_only",
            "--device=1",
        ] {
            assert!(list.iter().any(|argument| argument == wanted), "{wanted} is not in {list:?}");
        }
        let known: Vec<&str> = options.lines().filter(|line| line.starts_with("--")).collect();
        assert!(known.len() > 90);
        for argument in &list {
            let name = argument.split('=').next().unwrap();
            assert!(known.contains(&name), "trtexec {release} does not know {name}");
        }
    }
    // The other way round: options of weakly typed networks are gone in 11, so they must not be used anywhere.
    assert!(
        OPTIONS_10.lines().any(|line| line == "--fp16") && !OPTIONS_11.lines().any(|line| line == "--fp16")
    );
}

#[test]
fn models_of_fixed_shape_get_no_shapes_and_odd_names_get_quotes() {
    let fixed = line(version(10, 16), &params(json!({"timing-cache": "off"})), None);
    assert!(fixed.iter().all(|argument| !argument.contains("Shapes")));
    assert!(
        fixed.contains(&"--noBuilderCache".to_owned())
            && !fixed.iter().any(|a| a.starts_with("--timingCacheFile"))
    );
    let odd = Profile { input: "serving:0".to_owned(), ..profile() };
    assert!(
        line(version(11, 0), &Params::default(), Some(&odd))
            .contains(&"--optShapes='serving:0':8x3x32x32".to_owned())
    );
}

#[test]
fn what_a_release_does_not_know_is_said() {
    let compatible = params(json!({"hardware-compatibility": "same-compute-capability"}));
    assert!(
        line(version(10, 9), &compatible, None)
            .contains(&"--hardwareCompatibilityLevel=sameComputeCapability".to_owned())
    );
    let fault = arguments(version(10, 8), &compatible, &files(), None).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "`hardware-compatibility: same-compute-capability` needs TensorRT 10.9.0 or later, here is 10.8.0"
    );
    let lean = params(json!({"exclude-lean-runtime": true}));
    let fault = arguments(version(11, 1), &lean, &files(), None).unwrap_err();
    assert_eq!(fault.to_string(), "`exclude-lean-runtime` means nothing without `version-compatible: true`");
}
