//! Stage name → program and its manifest.

mod program;

pub use program::Program;
