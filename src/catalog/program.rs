//! What carries a stage out: a stage program as the catalog found it, or a command that the pipeline gives.

use std::{path::PathBuf, sync::Arc};

use stagewright_protocol::{Manifest, Platform};

/// What carries a stage out, with all that is known of it.
#[derive(Debug, Clone)]
pub struct Program {
    /// How it is started.
    pub start: Start,
    /// Its self-description; that of a command is made of what its stage declares.
    pub manifest: Arc<Manifest>,
    /// What this machine is to it; empty for a program that does not probe.
    pub platform: Arc<Platform>,
}

/// How a stage is started.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// An executable that speaks the protocol.
    Program(PathBuf),
    /// A command for the shell.
    Command(Arc<Command>),
}

/// A command, run by a shell in the work tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Lines in order; each is run by a shell of its own, the next one only if it succeeds.
    pub lines: Vec<Vec<Piece>>,
    /// The folder it runs in, relative to the project root.
    pub folder: PathBuf,
    /// How the lines are run.
    pub shell: Shell,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Stands as it is.
    Text(String),
    /// The place of an input, known when the command starts: the name of its binding.
    Input(String),
}

/// How a line is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// By bash with `-e -o pipefail`, else by `sh -e`, in a cleaned environment.
    Strict,
    /// As DVC does: by the user's shell, without options that stop it, in the user's environment.
    User,
}
