//! What can go wrong in libtorch, in words.

/// Why a network can't be built, run or trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// Memory of the machine or of the GPU ran out.
    #[error("out of memory while {doing}: {reason}")]
    OutOfMemory {
        /// What was being computed.
        doing: String,
        /// libtorch's first line.
        reason: String,
    },
    /// Any other complaint of libtorch.
    #[error("libtorch failed while {doing}: {reason}")]
    Library {
        /// What was being computed.
        doing: String,
        /// libtorch's first line.
        reason: String,
    },
    /// The tensors are not those of the architecture.
    #[error("the weights do not fit the architecture: {reason}")]
    Weights {
        /// Which tensor, and what is wrong with it.
        reason: String,
    },
    /// The architecture is no graph that can be walked, or has a layer this release does not know.
    #[error("the architecture can't be run: {reason}")]
    Architecture {
        /// Which layer, and what is wrong with it.
        reason: String,
    },
    /// A batch has another number of values than its shape says.
    #[error("a batch of {images} images wants {wanted} values, but {found} were given")]
    Batch {
        /// Images, counted by their labels.
        images: usize,
        /// Values that makes.
        wanted: usize,
        /// Values there are.
        found: usize,
    },
    /// A label that is no class.
    #[error("label {label} is out of range: the network has {classes} classes, counted from 0")]
    Label {
        /// The label.
        label: i64,
        /// Classes of the network.
        classes: i64,
    },
    /// Training left the range in which it can go on.
    #[error("{0}")]
    Diverged(crate::Divergence),
}

impl TorchError {
    /// Wraps an error of tch, keeping the first line: below it libtorch prints its C++ stack.
    pub(crate) fn while_doing(doing: impl Into<String>) -> impl FnOnce(tch::TchError) -> Self {
        move |error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            let reason = first.strip_prefix("Internal torch error: ").unwrap_or(first).to_owned();
            let doing = doing.into();
            let out_of_memory = ["out of memory", "can't allocate memory", "not enough memory"];
            if out_of_memory.iter().any(|words| text.contains(words)) {
                Self::OutOfMemory { doing, reason }
            } else {
                Self::Library { doing, reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_failures_are_told_from_other_errors() {
        let say =
            |text: &str| TorchError::while_doing("running `conv1`")(tch::TchError::Torch(text.to_owned()));
        assert!(matches!(
            say(
                "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried\nstack"
            ),
            TorchError::OutOfMemory { .. }
        ));
        assert_eq!(
            say("expected 4-dimensional input\nException raised from …").to_string(),
            "libtorch failed while running `conv1`: expected 4-dimensional input"
        );
    }
}
