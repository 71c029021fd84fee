//! Time share of each operator, from ONNX Runtime's profile (a JSON list of events in Chrome's trace format).

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use stagewright_measure::{Samples, time_one};
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{FaultExt, Result};

/// Runs that are profiled.
const RUNS: usize = 50;

/// Operators named; the rest is summed up.
const NAMED: usize = 10;

#[derive(Deserialize)]
struct TraceEvent {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: BTreeMap<String, serde_json::Value>,
}

/// Runs a model at batch 1 under ONNX Runtime's profiler: share of the time by operator in percent, largest first.
///
/// # Errors
/// The model can't be run, or the profile can't be read.
pub fn profile(
    model: &Path,
    samples: &Samples<'_>,
    threads: usize,
    scratch: &Path,
) -> Result<Vec<(String, f64)>> {
    let prefix = scratch.join("profile");
    let options = SessionOptions {
        threads,
        profile: Some(prefix),
        size: Some(samples.size),
        ..SessionOptions::default()
    };
    let mut session = Session::open(model, &options)?;
    for turn in 0..RUNS {
        time_one(&mut session, samples, 1, turn)?;
    }
    let path = session.end_profiling()?;
    let text =
        std::fs::read(&path).or_environment(format_args!("cannot read the profile {}", path.display()))?;
    shares(&text)
}

/// Shares by operator out of a profile's bytes.
fn shares(profile: &[u8]) -> Result<Vec<(String, f64)>> {
    let events: Vec<TraceEvent> =
        serde_json::from_slice(profile).or_internal("ONNX Runtime's profile is not readable")?;
    let mut times: BTreeMap<String, f64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.cat == "Node" && event.name.ends_with("_kernel_time")) {
        let operator = event.args.get("op_name").and_then(|name| name.as_str()).unwrap_or("unnamed");
        *times.entry(operator.to_owned()).or_default() += event.dur;
    }
    let all: f64 = times.values().sum();
    let mut shares: Vec<(String, f64)> =
        times.into_iter().map(|(name, time)| (name, 100.0 * time / all)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rest: f64 = shares.iter().skip(NAMED).map(|(_, share)| share).sum();
    shares.truncate(NAMED);
    if rest > 0.0 {
        shares.push(("others".to_owned(), rest));
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kernel_times_are_summed_by_operator() {
        let profile = br#"[
            {"cat":"Session","name":"model_run","dur":900,"args":{}},
            {"cat":"Node","name":"a_kernel_time","dur":30,"args":{"op_name":"Conv","provider":"CPU"}},
            {"cat":"Node","name":"a_fence_before","dur":70,"args":{"op_name":"Conv"}},
            {"cat":"Node","name":"b_kernel_time","dur":45,"args":{"op_name":"Conv"}},
            {"cat":"Node","name":"c_kernel_time","dur":25,"args":{"op_name":"Gemm"}}
        ]"#;
        assert_eq!(shares(profile).unwrap(), [("Conv".to_owned(), 75.0), ("Gemm".to_owned(), 25.0)]);
        assert!(shares(b"[{]").is_err());
    }
}
