//! `stress`: requests at a fixed rate for a time, answers compared with golden ones.
//!
//! The load is open: a request is due when its time comes, whether or not the one before is answered, and its latency counts from
//! then. A closed loop would wait for a slow answer and so leave out the requests that would have suffered
//! from it (coordinated omission).

use std::time::{Duration, Instant};

use stagewright_measure::{
    Samples,
    statistics::{median, percentile, sorted},
};
use stagewright_onnx::Session;
use stagewright_sdk::{Context, Result, StageFault};

use crate::{
    finding::{Case, Finding},
    params::{Extent, Stress},
};

const CHECK: &str = "stress";

/// Largest difference of a logit from the golden one, relative to the golden logits' largest magnitude: threads may add up in
/// another order.
const TOLERANCE: f32 = 1e-4;

/// Fewest requests a second.
const LEAST_RATE: f64 = 0.001;

/// Growth of p99 below this many milliseconds is the system's scheduler: one slice of another process.
const DRIFT_FLOOR_MS: f64 = 5.0;

/// Without a bound on p99, this times the median of a model at rest …
const REST_FACTOR: f64 = 20.0;

/// … but no less than this, which is a few slices of the system's scheduler.
const LEAST_BOUND_MS: f64 = 20.0;

/// Without a rate, this share of what the model manages without a pause.
const SHARE: f64 = 0.25;

/// What happened under load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    /// Latency of each request in milliseconds, from when it was due, in order.
    pub latencies: Vec<f64>,
    /// Requests that were never sent, because the test took twice its time.
    pub unsent: u64,
    /// Requests that were answered wrongly.
    pub wrong: usize,
    /// Requests that failed, with the first failure's text.
    pub errors: usize,
    /// First failure.
    pub first_error: Option<String>,
}

/// Sends `rate` requests a second for `time`. `answer` handles the request with this number and says whether the answer is
/// right. Where the handler is so slow that twice the time is over before all are sent, the rest is left out and counted.
///
/// # Errors
/// `tick`, called between requests, says stop.
pub fn drive(
    rate: f64,
    time: Duration,
    mut answer: impl FnMut(usize) -> Result<bool>,
    mut tick: impl FnMut(Duration) -> Result<()>,
) -> Result<Load> {
    let mut load = Load::default();
    let began = Instant::now();
    for number in 0.. {
        let due = Duration::try_from_secs_f64(number as f64 / rate).unwrap_or(Duration::MAX);
        if due >= time {
            break;
        }
        let now = began.elapsed();
        if now >= time * 2 {
            load.unsent = (time.as_secs_f64() * rate).ceil() as u64 - number as u64;
            break;
        }
        tick(now)?;
        if now < due {
            std::thread::sleep(due - now);
        }
        match answer(number) {
            Ok(true) => {}
            Ok(false) => load.wrong += 1,
            Err(error) => {
                load.errors += 1;
                load.first_error.get_or_insert_with(|| error.to_string());
            }
        }
        load.latencies.push((began.elapsed().saturating_sub(due)).as_secs_f64() * 1e3);
    }
    Ok(load)
}

/// Puts a model under load.
///
/// # Errors
/// The model can't be run at all, or the run is cancelled.
pub fn check(
    context: &mut Context,
    session: &mut Session,
    samples: &Samples<'_>,
    wanted: &Stress,
    extent: Extent,
) -> Result<Finding> {
    let image = |number: usize| {
        let index = number % (samples.inputs.len() / samples.stride);
        &samples.inputs[index * samples.stride..(index + 1) * samples.stride]
    };
    let count = samples.inputs.len() / samples.stride;
    let mut golden = Vec::with_capacity(count);
    let mut rest = Vec::new();
    for number in 0..count {
        let began = Instant::now();
        golden.push(session.run_sized(image(number), 1, samples.size)?);
        rest.push(began.elapsed().as_secs_f64() * 1e3);
    }
    // Not below a microsecond, so that the rate is a number.
    let at_rest = median(&rest).max(1e-3);
    let rate = wanted.rate.unwrap_or(SHARE * 1e3 / at_rest);
    if !(rate >= LEAST_RATE && rate.is_finite()) {
        return Err(StageFault::user(format!(
            "`stress.rate` is {rate}; it must be at least {LEAST_RATE} requests a second"
        )));
    }
    let max_p99 = wanted.max_p99.unwrap_or((REST_FACTOR * at_rest).max(LEAST_BOUND_MS));
    let whole = extent.stress.as_millis() as u64;
    let message = format!("stress at {rate:.0}/s");
    let load = drive(
        rate,
        extent.stress,
        |number| Ok(matches(&session.run_sized(image(number), 1, samples.size)?, &golden[number % count])),
        // One less than whole at most: the last report of a count is never dropped, and this one is made for every request.
        |now| {
            context.progress(
                (now.as_millis() as u64).min(whole.saturating_sub(1)),
                whole,
                "ms",
                message.as_str(),
            )
        },
    )?;
    Ok(judge(&load, rate, max_p99, wanted.max_drift.unwrap_or(extent.drift), at_rest))
}

fn matches(logits: &[f32], golden: &[f32]) -> bool {
    let magnitude = golden.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs())).max(1.0);
    logits.len() == golden.len()
        && logits.iter().zip(golden).all(|(own, golden)| (own - golden).abs() <= TOLERANCE * magnitude)
}

/// Weighs what happened under load.
pub fn judge(load: &Load, rate: f64, max_p99: f64, max_drift: f64, at_rest: f64) -> Finding {
    let requests = load.latencies.len();
    let p99_of = |times: &[f64]| percentile(&sorted(times), 99.0);
    let p99 = p99_of(&load.latencies);
    let tenth = (requests / 10).max(1).min(requests);
    let (first, last) = (p99_of(&load.latencies[..tenth]), p99_of(&load.latencies[requests - tenth..]));
    let drift = if last - first < DRIFT_FLOOR_MS { 0.0 } else { last / first - 1.0 };
    let mut case = Case::default();
    case.note("load", format!("{requests} requests at {rate:.1}/s"));
    let errors = match &load.first_error {
        Some(text) => format!("{} ({text})", load.errors),
        None => load.errors.to_string(),
    };
    case.must(
        "requests not sent in twice the time",
        load.unsent.to_string(),
        "0".to_owned(),
        load.unsent == 0,
    );
    case.must("requests that failed", errors, "0".to_owned(), load.errors == 0);
    case.must("answers unlike the golden ones", load.wrong.to_string(), "0".to_owned(), load.wrong == 0);
    case.must(
        "p99 from due to answered",
        format!("{p99:.2} ms"),
        format!("at most {max_p99:.2} ms"),
        p99 <= max_p99,
    );
    case.must(
        "growth of p99 from the first tenth to the last",
        format!("{:.0} % ({first:.2} to {last:.2} ms)", 100.0 * drift),
        format!("at most {:.0} %", 100.0 * max_drift),
        drift <= max_drift,
    );
    case.note("median of the model at rest", format!("{at_rest:.2} ms"));
    case.close(
        CHECK,
        format!("{requests} requests at {rate:.0}/s: p99 {p99:.2} ms, none failed, every answer right"),
    )
}
