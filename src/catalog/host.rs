//! The machine.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

/// What this machine offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Operating system, for example `linux`.
    pub os: String,
    /// Processor architecture, for example `x86_64`.
    pub arch: String,
    /// Cores this process may use.
    pub cpus: u32,
    /// Bytes of main memory this process may use; 0 when not known.
    pub memory: u64,
    /// Names of the GPUs for `CUDA_VISIBLE_DEVICES`.
    pub gpus: Vec<String>,
}

impl Host {
    /// Looks at the machine; starts nothing.
    pub fn detect() -> Self {
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let devices = fs::read_dir("/dev").into_iter().flatten().flatten();
        let devices = devices.filter_map(|item| item.file_name().into_string().ok()).collect::<Vec<_>>();
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism()
                .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
            memory: memory(),
            gpus: gpu_names(&devices, visible.as_deref()),
        }
    }

    /// Facts for `${{ host.<name> }}`.
    pub fn facts(&self) -> BTreeMap<String, Value> {
        BTreeMap::from([
            ("os".to_owned(), json!(self.os)),
            ("arch".to_owned(), json!(self.arch)),
            ("cpus".to_owned(), json!(self.cpus)),
            ("memory".to_owned(), json!(self.memory)),
            ("gpus".to_owned(), json!(self.gpus.len())),
        ])
    }
}

/// Names of the usable GPUs: the NVIDIA devices among the names in `/dev`, as far as `CUDA_VISIBLE_DEVICES` allows them. Its
/// own names are kept, because they may be UUIDs.
pub fn gpu_names(devices: &[String], visible: Option<&str>) -> Vec<String> {
    let numbers = devices.iter().filter_map(|name| name.strip_prefix("nvidia")?.parse::<u32>().ok());
    let count = numbers.count();
    match visible {
        None => (0..count).map(|index| index.to_string()).collect(),
        Some(list) => {
            let names = list.split(',').map(str::trim);
            // CUDA itself stops at the first name that is none of its devices, such as -1.
            names
                .take_while(|name| !name.is_empty() && *name != "-1")
                .take(count)
                .map(str::to_owned)
                .collect()
        }
    }
}

/// Bytes of main memory: that of the machine, or less where a control group limits it.
fn memory() -> u64 {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    match (total, limit) {
        (Some(total), Some(limit)) => total.min(limit),
        (total, limit) => total.or(limit).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_devices_that_are_visible() {
        let devices: Vec<String> =
            ["null", "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia2"].map(String::from).into();
        assert_eq!(gpu_names(&devices, None), ["0", "1", "2"]);
        assert_eq!(gpu_names(&devices, Some("2, GPU-8a")), ["2", "GPU-8a"]);
        assert_eq!(gpu_names(&devices, Some("1,-1,2")), ["1"]);
        assert!(gpu_names(&devices, Some("")).is_empty());
        assert!(gpu_names(&["null".to_owned()], Some("0")).is_empty());
    }

    #[test]
    fn this_machine_has_something() {
        let host = Host::detect();
        assert!(host.cpus > 0 && host.memory > 1 << 26, "{host:?}");
    }
}
