//! `multi-gpu`: every visible GPU loads the candidate and gives the same answers, those of ONNX Runtime.
//!
//! TensorRT builds an engine of the candidate on each GPU and runs it there on the same images, through `trtexec`. The tests
//! play this against stand-ins, not against real GPUs.

use std::{path::Path, time::Duration};

use stagewright_measure::{Samples, statistics::median};
use stagewright_onnx::Session;
use stagewright_sdk::{Context, Result};
use stagewright_tensorrt::{Answer, Gpu, Load, Machine, Network, Runner, gpus, locate, visible};

use crate::finding::{Case, Finding};

const CHECK: &str = "multi-gpu";

/// Images that every GPU is asked about, where the model does not fix the batch.
const IMAGES: usize = 32;

/// Largest difference of a logit between two GPUs, relative to the largest golden logit: models of GPU differ in the kernels
/// that TensorRT picks, and those in the order they add up in.
const BETWEEN_GPUS: f32 = 0.01;

/// The same against ONNX Runtime, which rounds half floats and 8-bit integers at other places than TensorRT.
const FROM_REFERENCE: f32 = 0.05;

/// Time of each GPU's runs.
const TIME: Duration = Duration::from_secs(1);

/// Images and what ONNX Runtime says to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Inputs one after the other, each `[3, height, width]`.
    pub inputs: Vec<f32>,
    /// Number of images.
    pub images: usize,
    /// Logits, `[images, classes]`.
    pub logits: Vec<f32>,
    /// Number of classes.
    pub classes: usize,
    /// Height and width.
    pub size: [usize; 2],
}

impl Golden {
    /// Asks ONNX Runtime. There are as many images as the model takes at once, if it fixes that.
    ///
    /// # Errors
    /// The model can't be run.
    pub fn ask(session: &mut Session, samples: &Samples<'_>) -> Result<Self> {
        let there = samples.inputs.len() / samples.stride;
        let images = session.input().batch.unwrap_or(IMAGES.min(there));
        // Fewer samples than a fixed batch holds are repeated.
        let inputs: Vec<f32> = samples.inputs[..there * samples.stride]
            .iter()
            .copied()
            .cycle()
            .take(images * samples.stride)
            .collect();
        let logits = session.run_sized(&inputs, images, samples.size)?;
        Ok(Self { inputs, images, logits, classes: session.classes(), size: samples.size })
    }

    /// Largest magnitude of a logit, at least 1.
    fn magnitude(&self) -> f32 {
        self.logits.iter().fold(1.0, |largest, logit| largest.max(logit.abs()))
    }
}

/// Asks every visible GPU.
///
/// # Errors
/// The run is cancelled, or the candidate can't be read. A GPU that can't run it is a finding.
pub fn check(context: &mut Context, machine: &Machine, candidate: &Path, golden: &Golden) -> Result<Finding> {
    let devices = match gpus(machine) {
        Ok(list) => visible(&list, machine.visible_devices.as_deref()),
        Err(reason) => {
            let reason = format!("no GPU is visible here ({reason}), so nothing was compared");
            return Ok(Finding::not_applicable(CHECK, reason));
        }
    };
    let names: Vec<&str> = devices.iter().map(|gpu| gpu.name.as_str()).collect();
    if devices.len() < 2 {
        let which = names.first().map_or_else(String::new, |name| format!(" ({name})"));
        let reason = format!("{} GPU is visible here{which}; two are needed to compare", devices.len());
        return Ok(Finding::not_applicable(CHECK, reason));
    }
    let installation = match locate(machine) {
        Ok(installation) => installation,
        Err(fault) => {
            let reason = format!(
                "{} GPUs are visible ({}), but nothing here runs the candidate on them: {fault}",
                devices.len(),
                names.join(", ")
            );
            return Ok(Finding::not_applicable(CHECK, reason));
        }
    };
    let network = Network::onnx(candidate, golden.size)?;
    let mut answers = Vec::with_capacity(devices.len());
    for device in 0..devices.len() {
        let scratch = context.scratch_dir().join(format!("gpu-{device}"));
        let runner = Runner { installation: installation.clone(), device, scratch };
        let total = devices.len() as u64;
        let answer = runner.run(&network, &golden.inputs, golden.images, Load::of(TIME), || {
            context.progress(device as u64, total, "GPUs", format!("the candidate on GPU {device}"))
        });
        context.check_cancelled()?;
        answers.push(answer.map_err(|fault| fault.to_string()));
    }
    Ok(judge(&devices, golden, &answers))
}

/// Weighs what the GPUs said, or why one could not.
pub fn judge(devices: &[Gpu], golden: &Golden, answers: &[Result<Answer, String>]) -> Finding {
    let mut case = Case::default();
    let reference = Logits { values: &golden.logits, classes: golden.classes };
    let first = match answers.first() {
        Some(Ok(answer)) if answer.classes == golden.classes => Some(answer),
        _ => None,
    };
    let mut slowest = 1.0_f64;
    for (device, (gpu, answer)) in devices.iter().zip(answers).enumerate() {
        let named = format!("GPU {device} ({})", gpu.name);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                case.must(&format!("{named}: running it"), error.clone(), "that it runs".to_owned(), false);
                continue;
            }
        };
        let own = Logits { values: &answer.logits, classes: answer.classes };
        compare(&mut case, &named, "ONNX Runtime", own, reference, golden.magnitude(), FROM_REFERENCE);
        let Some(first) = first else { continue };
        let time = median(&answer.latencies);
        let ratio = time / median(&first.latencies);
        slowest = slowest.max(ratio);
        case.note(
            &format!("{named}: median latency of {} images", golden.images),
            format!("{time:.3} ms, {ratio:.2}× of GPU 0"),
        );
        if device > 0 {
            let theirs = Logits { values: &first.logits, classes: first.classes };
            compare(&mut case, &named, "GPU 0", own, theirs, golden.magnitude(), BETWEEN_GPUS);
        }
    }
    let summary = format!(
        "{} GPUs name the same classes for {} images as each other and as ONNX Runtime; the slowest takes {slowest:.2}× of GPU 0",
        devices.len(),
        golden.images
    );
    case.close(CHECK, summary)
}

/// Logits, `[images, classes]`.
#[derive(Clone, Copy)]
struct Logits<'a> {
    values: &'a [f32],
    classes: usize,
}

/// Holds one's logits against another's: the same best class for every image for which the other's is ahead by more than the
/// tolerance, and no logit further off than that.
fn compare(
    case: &mut Case,
    named: &str,
    other: &str,
    own: Logits<'_>,
    theirs: Logits<'_>,
    magnitude: f32,
    tolerance: f32,
) {
    if own.classes != theirs.classes || own.values.len() != theirs.values.len() {
        let found = format!("{} values of {} classes", own.values.len(), own.classes);
        let bound = format!("{} of {}", theirs.values.len(), theirs.classes);
        case.must(&format!("{named}: logits against {other}"), found, bound, false);
        return;
    }
    let (mut different, mut decided, mut furthest) = (0, 0, 0.0_f32);
    for (own, theirs) in own.values.chunks_exact(own.classes).zip(theirs.values.chunks_exact(theirs.classes))
    {
        for (own, theirs) in own.iter().zip(theirs) {
            let off = (own - theirs).abs();
            // What is no number is as far off as can be, and not to be passed over.
            furthest = furthest.max(if off.is_nan() { f32::INFINITY } else { off });
        }
        if lead(theirs) > tolerance * magnitude {
            decided += 1;
            different += usize::from(best(own) != best(theirs));
        }
    }
    case.must(
        &format!("{named}: images named unlike {other}"),
        format!("{different} of {decided}"),
        "0".to_owned(),
        different == 0,
    );
    case.must(
        &format!("{named}: largest difference from {other}"),
        format!("{:.3} % of the largest logit", 100.0 * furthest / magnitude),
        format!("at most {} %", 100.0 * tolerance),
        furthest <= tolerance * magnitude,
    );
}

/// Index of the largest logit, the first of equal ones; none where one is no number.
fn best(logits: &[f32]) -> Option<usize> {
    let larger = |from: usize, to: usize| if logits[to] > logits[from] { to } else { from };
    let numbers = logits.iter().all(|logit| logit.is_finite());
    numbers.then(|| (0..logits.len()).reduce(larger)).flatten()
}

/// How far the best class is ahead of the second.
fn lead(logits: &[f32]) -> f32 {
    let mut sorted = logits.to_vec();
    sorted.sort_by(|one, other| other.total_cmp(one));
    match sorted.as_slice() {
        [first, second, ..] => first - second,
        _ => 0.0,
    }
}
