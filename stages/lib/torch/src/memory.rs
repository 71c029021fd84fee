//! How the C allocator, from which libtorch takes tensors on a processor, treats memory that was given back.
#![allow(unsafe_code, reason = "one call into the C library")]

/// Tells the C allocator to keep freed memory for the next tensors instead of returning it to the system. A training step
/// allocates and frees the same activations every time, and getting each page zeroed anew costs a sixth of the step
/// (ResNet-20, batch 128: 64 MB a step). Memory held stays what the largest step needed. Nothing happens on a C library
/// other than glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // Numbers of glibc's <malloc.h>.
        const TRIM_THRESHOLD: c_int = -1;
        const MMAP_THRESHOLD: c_int = -3;
        // The most that glibc takes: blocks above it are mapped one by one, and given back at once.
        const LARGEST_KEPT: c_int = 32 << 20;
        // SAFETY: mallopt takes any pair of integers, at any time, and answers 0 for what it does not like.
        unsafe {
            mallopt(MMAP_THRESHOLD, LARGEST_KEPT);
            mallopt(TRIM_THRESHOLD, c_int::MAX);
        }
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    fn page_faults() -> u64 {
        // Field 10 of the line, counted behind the program's name in parentheses.
        let text = fs::read_to_string("/proc/thread-self/stat").unwrap();
        text.rsplit(')').next().unwrap().split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn memory_is_kept_between_tensors() {
        super::keep_freed_memory();
        let tensor = || tch::Tensor::ones([4 << 20], (tch::Kind::Float, tch::Device::Cpu));
        tch::set_num_threads(1);
        // Small remainders from aligning a block keep blocks apart until glibc's cache of them is full, at seven.
        (0..16).for_each(|_| drop(tensor()));
        let before = page_faults();
        for _ in 0..4 {
            drop(tensor());
        }
        // Four times 16 MiB are 16,384 pages if they come from the system each time.
        let faults = page_faults() - before;
        assert!(faults < 1000, "{faults} page faults");
    }
}
