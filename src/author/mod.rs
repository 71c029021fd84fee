//! For whoever writes a stage program: a project to start from, and the conformance cases of the protocol.

pub mod conformance;
pub mod scaffold;
