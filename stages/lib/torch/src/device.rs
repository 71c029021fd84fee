//! Where to compute.

use std::sync::OnceLock;

use tch::{Cuda, Device};

use crate::shim;

/// How memory on a GPU is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CudaAllocator {
    /// libtorch's own caching allocator.
    Caching,
    /// CUDA's stream-ordered pool (`cudaMallocAsync`).
    Async,
}

static CUDA: OnceLock<Result<(), String>> = OnceLock::new();

/// Loads libtorch's CUDA half, once, with an allocator. The first call in a process decides; any question about CUDA
/// counts as one. To be called before other threads start, since the allocator is chosen by an environment variable.
///
/// # Errors
/// Why there is no CUDA to be used: libtorch without its CUDA half, or one that does not load.
pub fn load_cuda(allocator: CudaAllocator) -> Result<(), String> {
    CUDA.get_or_init(|| shim::load_cuda(allocator == CudaAllocator::Async)).clone()
}

/// Is there a GPU that libtorch can use?
pub fn cuda_available() -> bool {
    load_cuda(CudaAllocator::Caching).is_ok() && Cuda::is_available()
}

/// Number of GPUs that libtorch can use.
pub fn cuda_count() -> usize {
    if cuda_available() { usize::try_from(Cuda::device_count()).unwrap_or(0) } else { 0 }
}

/// The device for a choice: `cpu`, `cuda` (the first GPU), `cuda:<index>`, or `auto` (the first GPU if there is one,
/// else the processor).
///
/// # Errors
/// A choice that is none of these, or a GPU that is not there, with the reason.
pub fn pick(choice: &str) -> Result<Device, String> {
    match choice {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(if cuda_available() { Device::Cuda(0) } else { Device::Cpu }),
        "cuda" => gpu(0),
        _ => match choice.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(index)) => gpu(index),
            _ => Err(format!("device `{choice}` is none of auto, cpu, cuda, cuda:<index>")),
        },
    }
}

fn gpu(index: usize) -> Result<Device, String> {
    if let Err(reason) = load_cuda(CudaAllocator::Caching) {
        return Err(format!(
            "no CUDA: this libtorch is for processors only ({reason}); `cargo xtask native --cuda` fetches the other"
        ));
    }
    match cuda_count() {
        0 => {
            Err("no CUDA: libtorch is built for it, but finds no GPU it can use (driver, container settings)"
                .to_owned())
        }
        count if index >= count => Err(format!("no GPU {index}: libtorch sees {count}, counted from 0")),
        _ => Ok(Device::Cuda(index)),
    }
}
