//! From library errors to what a person reads: message, hint, exit code.

use std::{fmt::Display, process::ExitCode};

use console::style;
use stagewright::{
    config::{ConfigError, FILE_NAME},
    store::StoreError,
};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success = 0,
    /// A stage failed, or `verify` found damage.
    Failed = 1,
    /// The command line, the pipeline or the project is wrong.
    User = 2,
    /// All stages have results, but a gate or target failed.
    Gate = 3,
    /// The machine lacks something, or a file can't be read or written.
    Environment = 4,
    /// `lineage verify`: a signature is not its key's.
    BadSignature = 10,
    /// `lineage verify`, `push`, `pull`: a ledger was changed.
    LedgerChanged = 11,
    /// `lineage verify`: stored bytes are not those of their digest.
    BytesDiffer = 12,
    /// `lineage verify`: a statement can't be understood.
    NotReadable = 13,
    /// `lineage verify`: no key that counts has signed.
    NotTrusted = 14,
    /// `lineage verify`: a statement is not signed.
    Unsigned = 15,
    /// `lineage verify`: a statement is missing.
    StatementMissing = 16,
    /// `lineage verify`: bytes are missing.
    BytesMissing = 17,
    /// `lineage verify`: the data is not what was read.
    SourceChanged = 18,
    /// Stopped by the user.
    Cancelled = 130,
}

impl Exit {
    /// The documented table.
    pub const HELP: &str = "Exit codes: 0 success · 1 a stage failed, or verify found damage · 2 the command, pipeline or \
                            project is wrong · 3 a gate or target failed · 4 the machine lacks something, or a file can't be \
                            read or written · 130 stopped by the user";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error on its way to the screen.
#[derive(Debug)]
pub struct CliError {
    message: String,
    hint: Option<String>,
    /// How the program ends.
    pub exit: Exit,
    broken_pipe: bool,
    /// `message` is a whole screen of its own.
    rendered: bool,
}

impl CliError {
    /// The user can mend it.
    pub fn user(message: impl Display) -> Self {
        Self::new(Exit::User, message)
    }

    /// Whoever runs the machine can mend it.
    pub fn environment(message: impl Display) -> Self {
        Self::new(Exit::Environment, message)
    }

    /// A screen that explains itself, for example all diagnostics of a pipeline file.
    pub fn rendered(screen: String, exit: Exit) -> Self {
        Self { rendered: true, ..Self::new(exit, screen) }
    }

    fn new(exit: Exit, message: impl Display) -> Self {
        Self { message: message.to_string(), hint: None, exit, broken_pipe: false, rendered: false }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says first what was being done.
    #[must_use]
    pub fn under(mut self, heading: impl Display) -> Self {
        let between = if self.rendered { "\n" } else { " " };
        self.message = format!("{heading}:{between}{}", self.message);
        self
    }

    /// Whoever reads our output has gone.
    pub fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// What failed, without colours.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Text for stderr, with a final newline.
    pub fn render(&self) -> String {
        if self.rendered {
            return self.message.clone();
        }
        let mut text = format!("{} {}\n", style("error:").for_stderr().red().bold(), self.message);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n{} {hint}\n", style("hint:").for_stderr().cyan()));
        }
        text
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        let broken_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        let exit = if broken_pipe { Exit::Success } else { Exit::Environment };
        Self { broken_pipe, ..Self::new(exit, format_args!("cannot write the output: {error}")) }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::NoProject { .. } => Self::user(&error).hint(format!(
                "`stagewright init` makes one; in a folder that is to be a project an empty {FILE_NAME} is enough"
            )),
            ConfigError::Read { .. } | ConfigError::Write { .. } => Self::environment(&error),
            ConfigError::Refused { .. } => Self::user(&error),
            ConfigError::NoRemote { .. } | ConfigError::NoDefaultRemote { .. } => {
                let hint = super::remote::known_remotes(&error);
                hint.into_iter().fold(Self::user(&error), Self::hint)
            }
            ConfigError::Invalid { .. } => Self::user(&error).hint("`stagewright init --help` shows every key"),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::UserChanged { .. } => Self::user(&error).hint("move the file away or delete it, then run again"),
            StoreError::Unstorable { .. } => Self::user(&error),
            StoreError::Missing(_) | StoreError::Damaged { .. } | StoreError::Format { .. } => Self::environment(&error)
                .hint("`stagewright verify --discard` takes what is damaged out; its stages run again when wanted"),
            StoreError::Io { .. } => Self::environment(&error),
        }
    }
}
