//! Versions, log lines, failures, GPUs and layers, read from what the programs print.
#![allow(clippy::unwrap_used)]

use stagewright_sdk::ErrorClass;
use stagewright_tensorrt::{Line, Reading, Severity, Version, diagnose, parse_gpus, report, select, visible};

const H100: &str = "NVIDIA H100 80GB HBM3, 9.0, 570.86.15, 81559, GPU-0000-1111";

const INT8_LAYERS: &str = r#"{"Layers": [
  {"Name": "image/q", "LayerType": "Reformat", "Inputs": [{"Name": "image", "Dimensions": [1,3,32,32], "Format/Datatype": "Row major linear FP32"}],
   "Outputs": [{"Name": "q", "Dimensions": [1,3,32,32], "Format/Datatype": "Four wide channel vectorized row major Int8 format"}]},
  {"Name": "conv1 + relu1", "LayerType": "CaskConvolution", "TacticName": "sm80_xmma_fprop_i8",
   "Inputs": [{"Name": "q", "Dimensions": [1,3,32,32], "Format/Datatype": "Four wide channel vectorized row major Int8 format"}],
   "Outputs": [{"Name": "y", "Dimensions": [1,8,32,32], "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}]},
  {"Name": "fc", "LayerType": "gemm", "TacticName": "sm80_gemm_f16", "Inputs": [{"Name": "z", "Dimensions": [1,8], "Format/Datatype": "Half"}],
   "Outputs": [{"Name": "logits", "Dimensions": [1,3], "Format/Datatype": "Float"}]}
], "Bindings": ["image", "logits"]}"#;

const FP32_LAYERS: &str = r#"{"Layers": [{"Name": "mean", "LayerType": "CaskPooling",
  "Inputs": [{"Name": "image", "Dimensions": [1,3,32,32], "Format/Datatype": "Row major linear FP32"}],
  "Outputs": [{"Name": "logits", "Dimensions": [1,3], "Format/Datatype": "Row major linear FP32"}]}], "Bindings": []}"#;

#[test]
fn the_banner_tells_the_version() {
    let version = |number: &str| {
        let banner = format!(
            "&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] [b72] # trtexec --help\n=== Model Options ==="
        );
        Version::from_banner(&banner).map(|version| version.to_string())
    };
    assert_eq!(version("101600").as_deref(), Some("10.16.0"));
    assert_eq!(version("100001").as_deref(), Some("10.0.1"));
    assert_eq!(version("110100").as_deref(), Some("11.1.0"));
    // Before 10 the number was built otherwise.
    assert_eq!(version("8601").as_deref(), Some("8.6.1"));
    assert_eq!(version("x"), None);
    assert_eq!(Version::from_banner("trtexec: error while loading shared libraries"), None);
}

#[test]
fn lines_lose_their_decoration() {
    let line = |raw| {
        let line = Line::parse(raw);
        (line.severity, line.text)
    };
    assert_eq!(
        line("[04/23/2025-08:07:57] [I] [TRT] Total Activation Memory: 0 bytes"),
        (Severity::Info, "Total Activation Memory: 0 bytes")
    );
    assert_eq!(line("[04/23/2025-08:07:57] [E] Error[4]: x"), (Severity::Error, "Error[4]: x"));
    assert_eq!(line("[F] [TRT] internal"), (Severity::Error, "internal"));
    assert_eq!(line("[W] careful"), (Severity::Warning, "careful"));
    assert_eq!(line("[V] [TRT] [shape] kept"), (Severity::Verbose, "[shape] kept"));
    assert_eq!(line("&&&& PASSED TensorRT.trtexec"), (Severity::Info, "&&&& PASSED TensorRT.trtexec"));
    assert_eq!(line(""), (Severity::Info, ""));
}

fn reading(lines: &[&str]) -> Reading {
    let mut reading = Reading::default();
    for line in lines {
        reading.take(line);
    }
    reading
}

#[test]
fn progress_and_device_are_read() {
    let mut reading = Reading::default();
    assert_eq!(reading.take("[11/24/2026-10:00:00] [I] TensorRT version: 10.16.0"), Some("starting"));
    assert_eq!(reading.take("[I] Selected Device: NVIDIA H100 80GB HBM3"), None);
    assert_eq!(reading.take("[I] Compute Capability: 9.0"), None);
    assert_eq!(
        reading.take("[I] Finished parsing network model. Parse time: 0.01"),
        Some("choosing kernels")
    );
    assert_eq!((reading.step, reading.passed), (3, false));
    reading.take("&&&& PASSED TensorRT.trtexec [TensorRT v101600] # trtexec");
    assert!(reading.passed);
    assert_eq!(reading.gpu.as_deref(), Some("NVIDIA H100 80GB HBM3"));
    assert_eq!(reading.compute_capability.as_deref(), Some("9.0"));
}

#[test]
fn each_failure_has_its_reason_its_class_and_its_hint() {
    let cases: [(&[&str], ErrorClass, &str, &str); 10] = [
        (
            &[
                "[E] [TRT] IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: 240, Serialized Engine Version: 239)",
                "[E] Engine deserialization failed",
            ],
            ErrorClass::Environment,
            "Version tag does not match",
            "build it again here",
        ),
        (
            &[
                "[E] [TRT] [defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
                "[E] Engine set up failed",
            ],
            ErrorClass::Environment,
            "trtexec failed with exit code 1: [defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
            "lower `batch.max` or `workspace`",
        ),
        (
            &[
                "[E] [TRT] ModelImporter.cpp:949: While parsing node number 3 [Foo -> \"y\"]:",
                "[E] [TRT] In function importFallbackPluginImporter: [8] No importer registered for op: Foo",
            ],
            ErrorClass::User,
            "No importer registered for op: Foo",
            "another opset",
        ),
        (
            &[
                "[E] Could not load library libnvinfer.so.10: libnvinfer.so.10: cannot open shared object file",
            ],
            ErrorClass::Environment,
            "Could not load library libnvinfer.so.10",
            "TENSORRT_HOME",
        ),
        (
            &["[I] Cannot find any available devices (GPUs)!"],
            ErrorClass::Environment,
            "Cannot find any available devices",
            "nvidia-smi",
        ),
        (
            &["[E] [TRT] Error Code 10: Internal Error (Could not find any implementation for node conv1.)"],
            ErrorClass::User,
            "Could not find any implementation for node conv1",
            "optimization-level",
        ),
        (
            &["[E] [TRT] Error Code 4: tactic is not present in the timing cache"],
            ErrorClass::User,
            "not present in the timing cache",
            "timing-cache: complete",
        ),
        (
            &["[E] Unknown option: --fp16 "],
            ErrorClass::Internal,
            "Unknown option: --fp16",
            "do not fit each other",
        ),
        (
            &["[E] Failed to parse onnx file"],
            ErrorClass::User,
            "Failed to parse onnx file",
            "the log names the node",
        ),
        (
            &["[I] building", "something else"],
            ErrorClass::Environment,
            "something else",
            "all that trtexec said",
        ),
    ];
    for (lines, class, reason, hint) in cases {
        let fault = diagnose(&reading(lines), "failed with exit code 1").0;
        assert_eq!(fault.class, class, "{fault:?}");
        assert!(fault.message.contains(reason), "{fault:?}");
        assert!(fault.hint.as_deref().unwrap_or_default().contains(hint), "{fault:?}");
        assert!(!fault.message.contains("Engine set up failed"), "{fault:?}");
    }
    assert_eq!(
        diagnose(&Reading::default(), "crashed with signal 11").0.message,
        "trtexec crashed with signal 11: it said nothing"
    );
}

#[test]
fn a_flood_of_errors_is_bounded() {
    let lines: Vec<String> = (0..1000).map(|i| format!("[E] error {i}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(reading(&lines).errors.len(), Reading::MOST);
    assert_eq!(reading(&["[E] same", "[E] same"]).errors, ["same"]);
}

#[test]
fn gpus_are_read_and_chosen_as_cuda_chooses() {
    let two = format!("{H100}\nNVIDIA L4, 8.9, 570.86.15, 23034, GPU-2222-3333\n");
    let gpus = parse_gpus(&two).unwrap();
    assert_eq!(
        (gpus[0].name.as_str(), gpus[0].compute_capability.as_str(), gpus[0].memory_mib),
        ("NVIDIA H100 80GB HBM3", "9.0", 81_559)
    );
    let name = |visible, device| select(&gpus, visible, device).map(|gpu| gpu.name);
    assert_eq!(name(None, 1).as_deref(), Ok("NVIDIA L4"));
    assert_eq!(name(Some("1,0"), 0).as_deref(), Ok("NVIDIA L4"));
    assert_eq!(name(Some("GPU-0000"), 0).as_deref(), Ok("NVIDIA H100 80GB HBM3"));
    assert_eq!(name(Some(""), 0), Err("GPU 0 is asked for, CUDA_VISIBLE_DEVICES is ``".to_owned()));
    assert_eq!(
        name(Some("7"), 0),
        Err("CUDA_VISIBLE_DEVICES names `7`, nvidia-smi lists 2 GPUs and not that one".to_owned())
    );
    let visible = |list| visible(&gpus, list).into_iter().map(|gpu| gpu.uuid).collect::<Vec<_>>();
    assert_eq!(visible(None), ["GPU-0000-1111", "GPU-2222-3333"]);
    assert_eq!(visible(Some("1")), ["GPU-2222-3333"]);
    // The first entry that is not there ends the list, as CUDA does it.
    assert_eq!(visible(Some("1,-1,0")), ["GPU-2222-3333"]);
    assert_eq!(name(None, 2), Err("GPU 2 is asked for, there are 2".to_owned()));
    assert_eq!(
        parse_gpus("No devices were found\n"),
        Err("nvidia-smi said: No devices were found".to_owned())
    );
    assert_eq!(parse_gpus(""), Err("nvidia-smi lists no GPU".to_owned()));
    // A board that shares the machine's memory.
    assert_eq!(parse_gpus("Orin, 8.7, 540.4, [N/A], GPU-9").unwrap()[0].memory_mib, 0);
}

#[test]
fn layers_are_counted_by_what_they_compute_in() {
    let read = report(INT8_LAYERS).unwrap();
    assert_eq!(read.layers.len(), 3);
    // The conversion at the input computes nothing; the last layer reads half floats and writes floats.
    assert_eq!((read.count("int8"), read.count("fp16"), read.count("fp32")), (1, 1, 0));
    assert!(read.layers[0].moves_only);
    assert_eq!(read.layers[1].tactic.as_deref(), Some("sm80_xmma_fprop_i8"));
    assert_eq!(read.layers[2].writes.as_deref(), Some("fp32"));
    assert_eq!(report(FP32_LAYERS).unwrap().count("fp32"), 1);
    // Below `detailed` layers are names.
    let names = report(r#"{"Layers": ["conv1", "fc"], "Bindings": []}"#).unwrap();
    assert_eq!((names.layers.len(), names.count("unknown")), (2, 2));
    for (format, wanted) in [
        ("BFloat16", "bf16"),
        ("Row major linear FP8 format", "fp8"),
        ("UInt8", "uint8"),
        ("N/A due to dynamic shapes", "unknown"),
    ] {
        let json = serde_json::json!({"Layers": [{"Name": "x", "LayerType": "gemm", "Inputs": [{"Format/Datatype": format}]}]});
        assert_eq!(report(&json.to_string()).unwrap().count(wanted), 1, "{format}");
    }
    assert!(report("{").is_err());
    assert_eq!(report("{}"), Err("it has no list `Layers`".to_owned()));
    assert_eq!(report(r#"{"Layers": [7]}"#), Err("a layer is 7, not a name or an object".to_owned()));
}
