//! One stage program, one process: start it, agree on a protocol version, hold one JSON-lines conversation within limits,
//! and end its whole process group whatever happens.
//!
//! Nothing here knows what a stage means: callers hand in paths and get back what the program said, checked only against
//! its own manifest and its own output folder.

mod cancel;
mod cgroup;
mod environment;
mod error;
mod group;
mod lines;
mod log;
mod outputs;
mod processes;
mod sandbox;
mod secrets;
mod session;
mod shell;
mod watch;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

pub use cancel::{Cancel, Canceller};
pub use environment::PASSED_VARIABLES;
pub use error::{Exit, PluginError};
pub use group::end_leftover;
pub use outputs::check as check_outputs;
pub use sandbox::{Sandbox, SandboxSupport};
pub use secrets::{MASK, RedactedStream, Redactor, SHORTEST_SECRET, Secrets};
use session::Session;
pub use shell::{Hearing, ShellCall, quoted, run_line, strict_shell, user_shell};
use stagewright_protocol::{
    Event, MAX_LINE_BYTES, Manifest, Platform, Request, Response, RunRequest, RunResult,
};

/// How a program is started.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// The executable, absolute.
    pub program: &'a Path,
    /// Working directory, and `TMPDIR` of the process.
    pub folder: &'a Path,
    /// Environment variables beside those of [`PASSED_VARIABLES`]; they win.
    pub env: &'a BTreeMap<String, String>,
    /// More variables, whose values are taken out of everything the program says.
    pub secrets: &'a Secrets,
    /// File that gets what the program writes to stderr and its log events.
    pub log: Option<&'a Path>,
    /// File that names the process group while it lives, for [`end_leftover`].
    pub mark: Option<&'a Path>,
    /// What it may touch; without one, all that this process may.
    pub sandbox: Option<&'a Sandbox>,
    /// Folders that count towards [`SessionLimits::output`].
    pub folders: &'a [PathBuf],
    /// Set for a shell, which speaks no protocol.
    pub shell: Option<&'a ShellCall>,
    /// When enough is enough.
    pub limits: SessionLimits,
}

/// Bounds of one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// From the start to the hello. Loading native libraries from a cold disk falls into it.
    pub hello: Duration,
    /// From the start to the closing message.
    pub total: Option<Duration>,
    /// Between two messages.
    pub silence: Option<Duration>,
    /// From being asked to stop to being killed; also from the closing message to the exit.
    pub grace: Duration,
    /// Longest line of the protocol, in bytes.
    pub line: usize,
    /// Bytes of the whole conversation.
    pub conversation: u64,
    /// Bytes kept of what it writes to stderr.
    pub log: u64,
    /// Bytes of main memory that its processes may hold together.
    pub memory: Option<u64>,
    /// Bytes that [`Launch::folders`] may hold.
    pub output: Option<u64>,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(30),
            total: None,
            silence: None,
            grace: Duration::from_secs(10),
            line: MAX_LINE_BYTES,
            conversation: 256 << 20,
            log: 64 << 20,
            memory: None,
            output: None,
        }
    }
}

/// A run that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// What the program answered.
    pub result: RunResult,
    /// Absolute path of each output, checked to be there and inside the output folder.
    pub outputs: BTreeMap<String, PathBuf>,
}

/// Asks a program what it is.
pub async fn describe(launch: &Launch<'_>, cancel: &Cancel) -> Result<Manifest, PluginError> {
    match Session::converse(launch, &Request::Describe, &mut |_| (), cancel).await? {
        Response::Manifest { manifest } => Ok(*manifest),
        _ => {
            Err(PluginError::OtherAnswer { program: error::program_name(launch.program), asked: "describe" })
        }
    }
}

/// Asks a program what this machine is to it.
pub async fn probe(launch: &Launch<'_>, cancel: &Cancel) -> Result<Platform, PluginError> {
    match Session::converse(launch, &Request::Probe, &mut |_| (), cancel).await? {
        Response::Platform(platform) => Ok(platform),
        _ => Err(PluginError::OtherAnswer { program: error::program_name(launch.program), asked: "probe" }),
    }
}

/// Has a program carry out one run. When this returns, no process of its group is left.
pub async fn run(
    launch: &Launch<'_>,
    manifest: &Manifest,
    request: RunRequest,
    on_event: &mut (dyn FnMut(Event) + Send),
    cancel: &Cancel,
) -> Result<Finished, PluginError> {
    let folder = request.output_dir.clone();
    match Session::converse(launch, &Request::Run(Box::new(request)), on_event, cancel).await? {
        Response::Result(result) => {
            let outputs = outputs::check(&result, manifest, &folder)
                .map_err(|what| launch.secrets.redactor().text(&what))
                .map_err(|what| PluginError::Lie { program: error::program_name(launch.program), what })?;
            Ok(Finished { result, outputs })
        }
        _ => Err(PluginError::OtherAnswer { program: error::program_name(launch.program), asked: "run" }),
    }
}
