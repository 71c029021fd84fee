//! How many processor threads libtorch computes with.

/// Sets the number of threads for operations started from the calling thread (at least 1). The result of a training is
/// the same bit for bit only for the same number.
pub fn set_threads(count: usize) {
    tch::set_num_threads(i32::try_from(count.max(1)).unwrap_or(i32::MAX));
}
