//! What is known of one stage program.

use std::{path::PathBuf, sync::Arc};

use stagewright_protocol::{Manifest, Platform};

/// A stage program as the catalog found it.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its self-description.
    pub manifest: Arc<Manifest>,
    /// What this machine is to it; empty for a program that does not probe.
    pub platform: Arc<Platform>,
}
