//! The files that trtexec exports and the table that nsys prints, in the variants that their releases write.
#![allow(clippy::unwrap_used)]

use stagewright_tensorrt::{nsys::weigh, parse_output, parse_times};

/// As `exportJSONOutput` in trtexec 8.6 to 11.1 lays it out.
const OUTPUT: &str = "[\n  { \"name\" : \"logits\"\n  , \"dimensions\" : \"2x3\"\n  , \"values\" : [ 1.5, -0.25, 3e-05, -nan, inf, 7 ]\n  }\n]\n";

#[test]
fn outputs_are_read_with_what_json_has_no_word_for() {
    let [output] = parse_output(OUTPUT).unwrap().try_into().unwrap();
    assert_eq!((output.name.as_str(), output.dims.as_slice()), ("logits", [2, 3].as_slice()));
    assert_eq!(output.values[..3], [1.5, -0.25, 3e-5]);
    assert!(output.values[3].is_nan() && output.values[4].is_nan() && output.values[5] == 7.0);
}

#[test]
fn outputs_of_other_shapes_are_read_too() {
    let nested = r#"[{"name": "a \"nan\" \\", "dimensions": [2, 2], "values": [[1, 2], [NaN, -Infinity]]},
                     {"name": "scalar", "dimensions": "", "values": [1E+2]}]"#;
    let outputs = parse_output(nested).unwrap();
    assert_eq!(outputs[0].name, r#"a "nan" \"#);
    assert_eq!(outputs[0].values[..2], [1.0, 2.0]);
    assert!(outputs[0].values[2..].iter().all(|value| value.is_nan()));
    assert_eq!((outputs[1].dims.len(), outputs[1].values.as_slice()), (0, [100.0].as_slice()));
    assert!(parse_output("[]").unwrap().is_empty());
}

#[test]
fn odd_outputs_are_refused_with_the_reason() {
    let reason = |text: &str| parse_output(text).unwrap_err();
    assert_eq!(reason("{}"), "it is not a list of outputs");
    assert_eq!(reason(r#"[{"values": []}]"#), "an output has no `name`");
    assert_eq!(reason(r#"[{"name": "y", "dimensions": "2x3"}]"#), "`y` has no `values`");
    assert_eq!(
        reason(r#"[{"name": "y", "dimensions": "2x3", "values": [1]}]"#),
        "`y` has the dimensions [2, 3] and 1 values"
    );
    assert_eq!(
        reason(r#"[{"name": "y", "dimensions": "2xq", "values": [1]}]"#),
        "the dimensions of `y` are \"2xq\""
    );
    assert_eq!(reason(r#"[{"name": "y", "dimensions": "1", "values": ["x"]}]"#), "`y` has the value \"x\"");
    assert!(reason("[{").contains("EOF"));
}

#[test]
fn times_are_those_from_input_to_output_in_every_release() {
    let current = r#"[
  { "startEnqMs" : 200.1, "endEnqMs" : 200.2, "startH2dMs" : 200.1, "endH2dMs" : 200.2, "startComputeMs" : 200.2, "endComputeMs" : 200.9, "startD2hMs" : 200.9, "endD2hMs" : 201, "h2dMs" : 0.1, "computeMs" : 0.7, "d2hMs" : 0.1, "latencyMs" : 0.9 }
, { "h2dMs" : 0.1, "computeMs" : 0.8, "d2hMs" : 0.1, "latencyMs" : 1, "endToEndMs" : 1.7 }
]"#;
    assert_eq!(parse_times(current).unwrap(), [0.9, 1.0]);
    // Before 8; and without transfers.
    let old = r#"[{"startInMs": 1, "inMs": 0.25, "computeMs": 0.5, "outMs": 0.125}, {"computeMs": 0.5}]"#;
    assert_eq!(parse_times(old).unwrap(), [0.875, 0.5]);
    assert_eq!(parse_times("[]"), Err("it has no run".to_owned()));
    assert_eq!(parse_times("7"), Err("it is not a list of runs".to_owned()));
    assert_eq!(
        parse_times(r#"[{"latencyMs": nan}]"#),
        Err(r#"run 0 has no time: {"latencyMs":null}"#.to_owned())
    );
}

const TRACE: &str = include_str!("../../../../tests/fixtures/tensorrt/stand-in/trace.csv");

#[test]
fn the_gpu_is_weighed_in_the_second_half_of_the_trace() {
    // Work from 0.1 ms to 2.1 ms; the window is the last 1 ms. In it: a kernel of 0.5 ms (0.05 ms of it lie before), a copy
    // of 0.2 ms half under it, a fill of 0.05 ms, a kernel of 0.1 ms. Busy: 0.65 + 0.1 of 1 ms.
    let used = weigh(TRACE).unwrap();
    assert!((used.window - 1.0).abs() < 1e-9);
    assert!((used.gpu - 75.0).abs() < 1e-9, "{used:?}");
    assert!((used.kernels - 100.0 * 0.6 / 0.85).abs() < 1e-9, "{used:?}");
    assert!((used.copies - 100.0 * 0.2 / 0.85).abs() < 1e-9, "{used:?}");
}

#[test]
fn the_table_is_found_behind_other_words_and_in_other_units() {
    let notice = format!(
        "\nNOTICE: Existing SQLite export found: profile.sqlite\n\nProcessing [x] with [y]...\n{TRACE}\nDone\n"
    );
    assert_eq!(weigh(&notice), weigh(TRACE));
    // Other columns, another order, microseconds.
    let other = "Name,Start (us),Duration (us),GreenCtx\nk,0,100,\nk,100,50,\n[CUDA memcpy HtoD],150,50,\n";
    let used = weigh(other).unwrap();
    assert_eq!((used.gpu, used.kernels, used.copies, used.window), (100.0, 50.0, 50.0, 0.1));
    assert_eq!(
        weigh("Generating\n"),
        Err("the report of nsys has no table with Start, Duration and Name".to_owned())
    );
    let empty = TRACE.lines().next().unwrap();
    assert_eq!(weigh(empty), Err("the trace of nsys shows no work on the GPU".to_owned()));
    assert_eq!(
        weigh("Start (h),Duration (h),Name\n1,1,k\n"),
        Err("the report of nsys counts in `h`".to_owned())
    );
}
