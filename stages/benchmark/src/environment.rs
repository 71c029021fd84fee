//! What of the machine matters to a measurement.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use stagewright_sdk::Context;
use stagewright_tensorrt::{Gpu, Machine, gpus, locate, visible};

/// Name of the processor, as the system gives it.
pub fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.split_once(':')?.1.trim().to_owned()))
    };
    field("model name").or_else(|| field("CPU part")).unwrap_or_else(|| "unknown".to_owned())
}

/// The first GPU that a CUDA program sees.
pub fn gpu(machine: &Machine) -> Option<Gpu> {
    visible(&gpus(machine).ok()?, machine.visible_devices.as_deref()).into_iter().next()
}

/// Facts recorded beside every result.
pub fn facts() -> BTreeMap<String, Value> {
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    BTreeMap::from([
        ("cpu".to_owned(), json!(cpu_model())),
        ("cpus".to_owned(), json!(cpus)),
        ("governor".to_owned(), governor.map_or(Value::Null, |text| json!(text.trim()))),
        ("load-average-at-start".to_owned(), load_average().map_or(Value::Null, |load| json!(load))),
        (
            "onnxruntime".to_owned(),
            stagewright_onnx::runtime_version().map_or(Value::Null, |version| json!(version)),
        ),
    ])
}

/// Facts that matter beside those where an engine is measured.
pub fn gpu_facts(machine: &Machine) -> BTreeMap<String, Value> {
    let gpu = gpu(machine);
    let version = locate(machine).map_or(Value::Null, |found| json!(found.version.to_string()));
    BTreeMap::from([
        ("gpu".to_owned(), gpu.as_ref().map_or(Value::Null, |gpu| json!(gpu.name))),
        ("driver".to_owned(), gpu.map_or(Value::Null, |gpu| json!(gpu.driver))),
        ("tensorrt".to_owned(), version),
    ])
}

/// Processes that want to run, averaged over the last minute (proc(5) loadavg).
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Warns if others are using the machine now: the share of processor time that was not idle over a quarter of a second in which
/// this process sleeps.
pub fn warn_if_busy(context: &mut Context) {
    let (Some(before), Some(after)) = (processor_time(), {
        std::thread::sleep(std::time::Duration::from_millis(250));
        processor_time()
    }) else {
        return;
    };
    // The kernel may correct the time spent waiting downwards.
    let (busy, all) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    let share = if all > 0 { 100.0 * busy as f64 / all as f64 } else { 0.0 };
    if share > 20.0 {
        context.warn(format!(
            "other processes take {share:.0} % of the processors, so the latencies will be noisy"
        ));
    }
}

/// Busy and total ticks of all processors since boot (proc(5) stat).
fn processor_time() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|tick| tick.parse().ok())
        .collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all: u64 = ticks.iter().sum();
    Some((all - idle, all))
}
