//! What can go wrong with a stage program.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use stagewright_protocol::Fault;

/// Why a conversation with a stage program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The system can't start it.
    #[error("cannot start {program}: {source}")]
    NotExecutable {
        /// The executable.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its first line is no hello, or there is none.
    #[error("{program} is not a stage program: {why}")]
    NoHello {
        /// Its file name.
        program: String,
        /// What came instead.
        why: String,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// No protocol version in common.
    #[error("{program} ({speaker}) speaks protocol {theirs}, this release of stagewright speaks {ours}")]
    OtherVersion {
        /// Its file name.
        program: String,
        /// What it calls itself.
        speaker: String,
        /// Its versions.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// It ended without a closing message.
    #[error("{program} died before it answered: {exit}")]
    Died {
        /// Its file name.
        program: String,
        /// How it ended.
        exit: Exit,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// A command for the shell failed.
    #[error("the command {line} failed: {exit}")]
    Command {
        /// Its line, quoted and shortened.
        line: String,
        /// How its shell ended.
        exit: Exit,
        /// Last lines of what it said.
        tail: Vec<String>,
    },
    /// It closed its end of the conversation and went on running.
    #[error("{program} closed its standard output without an answer")]
    Mute {
        /// Its file name.
        program: String,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// A line is no message.
    #[error("{program} wrote a line to standard output that is not a protocol message: {line}")]
    Junk {
        /// Its file name.
        program: String,
        /// The line, shortened.
        line: String,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// It says more than anyone should.
    #[error("{program} flooded the protocol with {what}")]
    Flood {
        /// Its file name.
        program: String,
        /// Which limit it broke.
        what: String,
    },
    /// Its result is not what lies in its output folder, or not what its manifest declares.
    #[error("{program} gave a false result: {what}")]
    Lie {
        /// Its file name.
        program: String,
        /// What is false.
        what: String,
    },
    /// It took longer than allowed.
    #[error("{program} took longer than {} and was stopped", human(*.after))]
    Timeout {
        /// Its file name.
        program: String,
        /// The limit.
        after: Duration,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// It said nothing for longer than allowed.
    #[error("{program} said nothing for {} and was stopped", human(*.after))]
    Silent {
        /// Its file name.
        program: String,
        /// The limit.
        after: Duration,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// Its processes hold more memory than allowed.
    #[error("{program} took more than its {} of memory and was stopped", size(*.limit))]
    Memory {
        /// Its file name.
        program: String,
        /// The limit in bytes.
        limit: u64,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// It wrote more to its folders than allowed.
    #[error("{program} wrote more than its {} to the disk and was stopped", size(*.limit))]
    Output {
        /// Its file name.
        program: String,
        /// The limit in bytes.
        limit: u64,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// The user stopped it.
    #[error("{program} was cancelled")]
    Cancelled {
        /// Its file name.
        program: String,
    },
    /// It answered another request than the one it was asked.
    #[error("{program} answered `{asked}` with another kind of message")]
    OtherAnswer {
        /// Its file name.
        program: String,
        /// The request.
        asked: &'static str,
    },
    /// An orderly error of the stage.
    #[error("{}", .fault.message)]
    Fault {
        /// What it said.
        fault: Fault,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// The system fails us, not the program.
    #[error("cannot {action} {program}: {source}")]
    Io {
        /// Its file name.
        program: String,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl PluginError {
    /// Last lines that the program wrote to stderr, where they help.
    pub fn tail(&self) -> &[String] {
        match self {
            Self::NoHello { tail, .. }
            | Self::Died { tail, .. }
            | Self::Command { tail, .. }
            | Self::Mute { tail, .. }
            | Self::Junk { tail, .. }
            | Self::Timeout { tail, .. }
            | Self::Silent { tail, .. }
            | Self::Memory { tail, .. }
            | Self::Output { tail, .. }
            | Self::Fault { tail, .. } => tail,
            Self::NotExecutable { .. }
            | Self::OtherVersion { .. }
            | Self::Flood { .. }
            | Self::Lie { .. }
            | Self::Cancelled { .. }
            | Self::OtherAnswer { .. }
            | Self::Io { .. } => &[],
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// Killed by a signal that was not ours.
    Signal(i32),
}

impl Exit {
    /// SIGKILL from nowhere: what the kernel does when memory runs out.
    pub fn is_out_of_memory(self) -> bool {
        self == Self::Signal(9)
    }

    /// SIGXFSZ: a file has outgrown the limit on files.
    pub(super) fn is_file_too_large(self) -> bool {
        self == Self::Signal(25)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(formatter, "{name} (signal {signal})"),
                None => write!(formatter, "signal {signal}"),
            },
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}

pub(super) fn program_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A span of time as people say it.
fn human(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..120 => format!("{} s", span.as_secs_f64()),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// A number of bytes as people say it, exact where it is a whole number of a unit.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    let text = format!("{value:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}
