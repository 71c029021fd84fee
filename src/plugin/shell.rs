//! One line of a command: a shell runs it in a process group of its own; what it says goes to the log.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stagewright_protocol::{Event, Level};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Cancel, Exit, Launch, PluginError, Redactor,
    error::program_name,
    group::{Group, Streams},
    log::Log,
    session::exceeded,
    watch::{Excess, Watch},
};

/// What the pipes may still hold after the end of the group is read for this long.
const DRAIN: Duration = Duration::from_secs(2);

/// Longest piece of a line that is shown while the command runs, in bytes.
const SHOWN: usize = 400;

/// Longest piece of a command in an error, in characters.
const EXCERPT: usize = 120;

/// How a shell is called, beside what [`Launch`] says.
#[derive(Debug, Clone)]
pub struct ShellCall {
    /// Its options and the line.
    pub arguments: Vec<OsString>,
    /// The folder it runs in; [`Launch::folder`] is only where its temporary files go.
    pub folder: PathBuf,
    /// It gets the whole environment of this process.
    pub inherits: bool,
}

/// The shell that stops at the first error: bash where there is one, else `sh`, which can't see errors inside of a pipe.
pub fn strict_shell() -> (PathBuf, Vec<OsString>) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bash = std::env::split_paths(&path).map(|folder| folder.join("bash")).find(|path| path.is_file());
    match bash {
        Some(bash) => (bash, words(&["--noprofile", "--norc", "-e", "-o", "pipefail", "-c"])),
        None => (PathBuf::from("/bin/sh"), words(&["-e", "-c"])),
    }
}

/// The user's shell, called as DVC calls it.
pub fn user_shell() -> (PathBuf, Vec<OsString>) {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let shell = shell.map_or_else(|| PathBuf::from("/bin/sh"), PathBuf::from);
    let options = match shell.file_name().and_then(OsStr::to_str) {
        Some("bash") => words(&["--noprofile", "--norc", "-c"]),
        Some("zsh") => words(&["--no-rcs", "-c"]),
        _ => words(&["-c"]),
    };
    (shell, options)
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Bounds and ears of a line.
pub struct Hearing<'a> {
    /// When it has to be over, and how long that was from the start of the command.
    pub deadline: Option<(Instant, Duration)>,
    /// Gets what it says line by line, and that it ended.
    pub on_event: &'a mut (dyn FnMut(Event) + Send),
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// Runs a line to its end. When this returns, no process of its group is left.
pub async fn run_line(launch: &Launch<'_>, line: &str, hearing: Hearing<'_>) -> Result<(), PluginError> {
    let Hearing { deadline, on_event, cancel } = hearing;
    let program = program_name(launch.program);
    let io = |action, source| PluginError::Io { program: program.clone(), action, source };
    let redactor = launch.secrets.redactor();
    let log =
        Log::new(launch.log, launch.limits.log, &redactor).map_err(|error| io("open the log of", error))?;
    let (mut group, streams) = Group::start(launch)
        .await
        .map_err(|source| PluginError::NotExecutable { program: launch.program.to_owned(), source })?;
    let mut watch =
        Watch::new(launch, group.leader(), group.token()).map_err(|source| io("limit", source))?;
    let Streams { stdin, stdout, stderr } = streams;
    // It reads nothing: a command that asks questions would wait for ever.
    drop(stdin);
    let heard = Arc::new(Heard::default());
    let ears = [
        tokio::spawn(listen(stdout, log.clone(), Arc::clone(&heard))),
        tokio::spawn(listen(stderr, log.clone(), Arc::clone(&heard))),
    ];
    let mut quiet = launch.limits.silence.map(|silence| Instant::now() + silence);
    let stop = loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => break Some(Stop::Cancelled),
            () = at(deadline.map(|(at, _)| at)) => break Some(Stop::Timeout(deadline.map(|(_, span)| span).unwrap_or_default())),
            () = heard.something.notified() => {
                quiet = launch.limits.silence.map(|silence| Instant::now() + silence);
                heard.tell(&redactor, on_event);
            }
            () = at(quiet) => break Some(Stop::Silent(launch.limits.silence.unwrap_or_default())),
            excess = watch.broken() => break Some(Stop::Excess(excess)),
            () = group.exited() => break None,
        }
    };
    if let Some(Stop::Excess(Excess::Memory(_))) = stop {
        // Time to tidy up is time to take what the machine has left.
        group.kill();
    }
    let excess = watch.too_much_output();
    let exit = match stop {
        None => group.finish(launch.limits.grace).await,
        Some(_) => group.stop(launch.limits.grace).await,
    };
    let excess = watch.ran_out().or(excess);
    watch.kill();
    for mut ear in ears {
        let _ = timeout(DRAIN, &mut ear).await;
        ear.abort();
    }
    log.end();
    heard.tell(&redactor, on_event);
    if let Some(source) = log.failure() {
        return Err(io("write the log of", source));
    }
    let exit = exit.map_err(|source| io("wait for", source))?;
    let (program, tail) = (format!("`{}`", excerpt(line)), log.tail());
    // Memory that ran out is the reason of a bad end, and nothing of a good one.
    let excess = excess.filter(|excess| exit != Exit::Code(0) || matches!(excess, Excess::Output(_)));
    if let (None, Some(excess)) = (&stop, excess) {
        return Err(exceeded(excess, program, tail));
    }
    match stop {
        Some(Stop::Cancelled) => Err(PluginError::Cancelled { program }),
        Some(Stop::Timeout(after)) => Err(PluginError::Timeout { program, after, tail }),
        Some(Stop::Silent(after)) => Err(PluginError::Silent { program, after, tail }),
        Some(Stop::Excess(excess)) => Err(exceeded(excess, program, tail)),
        None if exit.is_file_too_large() && launch.limits.output.is_some() => {
            Err(exceeded(Excess::Output(launch.limits.output.unwrap_or_default()), program, tail))
        }
        None if exit == Exit::Code(0) => Ok(()),
        None => Err(PluginError::Command { line: program, exit, tail }),
    }
}

enum Stop {
    Cancelled,
    Timeout(Duration),
    Silent(Duration),
    Excess(Excess),
}

/// Lines that were said and not told yet.
#[derive(Default)]
struct Heard {
    something: Notify,
    lines: Mutex<Vec<Vec<u8>>>,
}

impl Heard {
    fn tell(&self, redactor: &Redactor, on_event: &mut (dyn FnMut(Event) + Send)) {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        // Of a flood the last lines are shown; the log has all.
        for line in &lines[lines.len().saturating_sub(20)..] {
            let text = String::from_utf8_lossy(line);
            let text: String = text.chars().filter(|c| !c.is_control() || *c == '\t').collect();
            if !text.trim().is_empty() {
                on_event(Event::Log { level: Level::Info, message: redactor.text(&text) });
            }
        }
    }
}

async fn listen(mut stream: impl AsyncRead + Unpin, log: Log, heard: Arc<Heard>) {
    let mut buffer = vec![0; 1 << 16];
    let mut partial = Vec::new();
    // An error reads as the end: there is nothing more to keep either way.
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let bytes = &buffer[..length];
        log.stderr(bytes);
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                // A progress bar begins its line anew.
                b'\n' | b'\r' => lines.push(std::mem::take(&mut partial)),
                byte if partial.len() < SHOWN => partial.push(*byte),
                _ => {}
            }
        }
        heard.lines.lock().unwrap_or_else(PoisonError::into_inner).append(&mut lines);
        heard.something.notify_one();
    }
    if !partial.is_empty() {
        heard.lines.lock().unwrap_or_else(PoisonError::into_inner).push(partial);
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// A command in an error: its first line, shortened.
fn excerpt(line: &str) -> String {
    let first = line.trim().lines().next().unwrap_or_default();
    if first.len() == line.trim().len() && first.chars().count() <= EXCERPT {
        return first.to_owned();
    }
    first.chars().take(EXCERPT).chain(['…']).collect()
}

/// Text as one word of a shell.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_one_word() {
        let said = ["a/b.txt", "a b", "it's", "$HOME", ""].map(|path| quoted(Path::new(path)));
        assert_eq!(said, ["a/b.txt", "'a b'", r"'it'\''s'", "'$HOME'", "''"]);
    }
}
