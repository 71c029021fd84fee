//! Which GPU there is, as `nvidia-smi` tells it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Machine, process::capture};

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Gpu {
    /// Model, for example `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Compute capability, for example `9.0`.
    pub compute_capability: String,
    /// Version of the driver.
    pub driver: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Identity of the very device.
    pub uuid: String,
}

/// Fields asked for, in the order of [`Gpu`].
const QUERY: [&str; 2] =
    ["--query-gpu=name,compute_cap,driver_version,memory.total,uuid", "--format=csv,noheader,nounits"];

/// All GPUs, in the order of the bus; why there is none otherwise.
pub fn gpus(machine: &Machine) -> Result<Vec<Gpu>, String> {
    let program =
        machine.program("nvidia-smi").ok_or("nvidia-smi was not found: there is no NVIDIA driver")?;
    let output = capture(&program, &QUERY, None, Duration::from_secs(30))
        .map_err(|error| format!("nvidia-smi: {error}"))?;
    parse_gpus(&output)
}

/// Reads the lines of `nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total,uuid`.
///
/// # Errors
/// The first line that is not a GPU, which is what `nvidia-smi` complains with.
pub fn parse_gpus(output: &str) -> Result<Vec<Gpu>, String> {
    let lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let gpus: Vec<Gpu> = lines.map(parse_gpu).collect::<Result<_, _>>()?;
    if gpus.is_empty() { Err("nvidia-smi lists no GPU".to_owned()) } else { Ok(gpus) }
}

fn parse_gpu(line: &str) -> Result<Gpu, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    match fields.as_slice() {
        [name, capability, driver, memory, uuid] => Ok(Gpu {
            name: (*name).to_owned(),
            compute_capability: (*capability).to_owned(),
            driver: (*driver).to_owned(),
            // A GPU that shares the machine's memory says `[N/A]`.
            memory_mib: memory.parse().unwrap_or(0),
            uuid: (*uuid).to_owned(),
        }),
        _ => Err(format!("nvidia-smi said: {line}")),
    }
}

/// The GPUs that a CUDA program sees, by its numbers: `CUDA_VISIBLE_DEVICES` picks and orders, and ends at the first entry
/// that is not there.
pub fn visible(gpus: &[Gpu], visible: Option<&str>) -> Vec<Gpu> {
    (0..gpus.len()).map_while(|device| select(gpus, visible, device).ok()).collect()
}

/// Memory of one GPU that is in use now, by whatever program, in bytes.
///
/// # Errors
/// `nvidia-smi` is not there or does not tell, which it does not for a GPU that shares the machine's memory.
pub fn memory_used(machine: &Machine, uuid: &str) -> Result<u64, String> {
    let program = machine.program("nvidia-smi").ok_or("nvidia-smi was not found")?;
    let which = format!("--id={uuid}");
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", which.as_str()];
    let output = capture(&program, &query, None, Duration::from_secs(30))
        .map_err(|error| format!("nvidia-smi: {error}"))?;
    let said = output.lines().next().unwrap_or_default().trim();
    said.parse::<u64>().map(|mib| mib << 20).map_err(|_| format!("nvidia-smi said: {said}"))
}

/// The GPU that a CUDA program sees as `device`: `CUDA_VISIBLE_DEVICES` picks and orders by index or UUID.
///
/// # Errors
/// What is asked for and not there.
pub fn select(gpus: &[Gpu], visible: Option<&str>, device: usize) -> Result<Gpu, String> {
    let count = gpus.len();
    let Some(visible) = visible else {
        return gpus
            .get(device)
            .cloned()
            .ok_or_else(|| format!("GPU {device} is asked for, there are {count}"));
    };
    let entries: Vec<&str> = visible.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let Some(entry) = entries.get(device) else {
        return Err(format!("GPU {device} is asked for, CUDA_VISIBLE_DEVICES is `{visible}`"));
    };
    let found = match entry.parse::<usize>() {
        Ok(index) => gpus.get(index),
        Err(_) => gpus.iter().find(|gpu| gpu.uuid.starts_with(entry)),
    };
    found.cloned().ok_or_else(|| {
        format!("CUDA_VISIBLE_DEVICES names `{entry}`, nvidia-smi lists {count} GPUs and not that one")
    })
}
