//! One process and its lines, raw.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde_json::Value;
use stagewright_protocol::MAX_LINE_BYTES;

/// Bytes of a whole conversation; the engine allows more, but no conformance case has that much to say.
const MAX_BYTES: u64 = 64 << 20;

/// Lines of stderr that are kept.
const TAIL: usize = 8;

/// Between closing stdin and SIGTERM, as in the engine.
const BEFORE_TERM: Duration = Duration::from_millis(500);

/// How often an exit is looked for.
const STEP: Duration = Duration::from_millis(5);

/// What came from the program.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// A JSON object with a `kind`.
    Message(Value),
    /// A line that is none, shortened.
    Junk(String),
    /// It closed its standard output.
    End,
    /// Nothing within the time given.
    Nothing,
    /// More than any program has to say.
    Flood(&'static str),
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ended {
    /// Signal that ended it, if one did that was not ours.
    pub signal: Option<i32>,
    /// It ended only by SIGTERM.
    pub termed: bool,
    /// It had to be killed.
    pub killed: bool,
    /// Other processes of its group were left.
    pub leftovers: bool,
    /// How long the end took.
    pub took: Duration,
    /// Last lines of its stderr.
    pub tail: Vec<String>,
}

pub(super) struct Talk {
    child: Child,
    group: Option<Pid>,
    stdin: Option<ChildStdin>,
    lines: Receiver<Heard>,
    stderr: Option<JoinHandle<Vec<String>>>,
}

impl Talk {
    /// Starts the program in its own process group, working in `folder`, with these variables and no others.
    pub fn start(program: &Path, folder: &Path, env: &BTreeMap<OsString, OsString>) -> io::Result<Self> {
        let mut child = Command::new(program)
            .env_clear()
            .envs(env)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (sender, lines) = sync_channel(1024);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || listen(stdout, &sender));
        }
        let stderr = child.stderr.take().map(|stderr| thread::spawn(move || tail(stderr)));
        let stdin = child.stdin.take();
        Ok(Self { child, group, stdin, lines, stderr })
    }

    /// Says one message. A program that does not listen shows by what it says.
    pub fn say(&mut self, message: &Value) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(format!("{message}\n").as_bytes());
        }
    }

    /// The next line, waiting for it at most this long.
    pub fn hear(&mut self, within: Duration) -> Heard {
        match self.lines.recv_timeout(within) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// Closes the program's stdin: the order to stop.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Lets the program end by itself, for `grace` at most.
    pub fn finish(self, grace: Duration) -> Ended {
        self.end(grace, false)
    }

    /// Asks it to stop, then insists, then kills.
    pub fn stop(self, grace: Duration) -> Ended {
        self.end(grace, true)
    }

    fn end(mut self, grace: Duration, terminate: bool) -> Ended {
        self.stdin = None;
        let start = Instant::now();
        let mut ended = Ended::default();
        let mut exited = self.wait(if terminate { BEFORE_TERM.min(grace) } else { grace });
        if exited.is_none() && terminate {
            ended.termed = true;
            self.signal(Signal::TERM);
            exited = self.wait(grace);
        }
        ended.took = start.elapsed();
        match exited {
            Some(status) => {
                // Our own SIGTERM is no crash.
                ended.signal = status.signal().filter(|&signal| !(ended.termed && signal == 15));
                ended.leftovers = self.group.is_some_and(|group| test_kill_process_group(group).is_ok());
            }
            None => ended.killed = true,
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        // A process that left the group may keep stderr open for ever.
        let deadline = Instant::now() + Duration::from_secs(1);
        if let Some(stderr) = self.stderr.take() {
            while !stderr.is_finished() && Instant::now() < deadline {
                thread::sleep(STEP);
            }
            if stderr.is_finished() {
                ended.tail = stderr.join().unwrap_or_default();
            }
        }
        ended
    }

    fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            // Its output must not hold it up.
            while let Ok(heard) = self.lines.try_recv() {
                drop(heard);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(STEP);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // ESRCH: nothing is left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn listen(stdout: impl Read, lines: &SyncSender<Heard>) {
    let mut reader = BufReader::new(stdout);
    let mut left = MAX_BYTES;
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line);
        let heard = match read {
            Ok(0) | Err(_) => return,
            Ok(length) if length > MAX_LINE_BYTES => Heard::Flood("a line longer than the protocol allows"),
            Ok(length) => {
                left = left.saturating_sub(length as u64);
                if left == 0 { Heard::Flood("more than 64 MiB") } else { message(&line) }
            }
        };
        let flood = matches!(heard, Heard::Flood(_));
        // Nobody listens any more, or nobody should.
        if lines.send(heard).is_err() || flood {
            return;
        }
    }
}

fn message(line: &[u8]) -> Heard {
    match serde_json::from_slice::<Value>(line) {
        Ok(message) if message.get("kind").is_some_and(Value::is_string) => Heard::Message(message),
        _ => {
            let text: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
            let cut: String = text.chars().take(80).collect();
            Heard::Junk(if cut.len() < text.len() { format!("{cut}…") } else { text })
        }
    }
}

fn tail(stderr: impl Read) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(1 << 16).read_until(b'\n', &mut line) {
            Ok(1..) => {
                if lines.len() == TAIL {
                    lines.remove(0);
                }
                lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            _ => return lines,
        }
    }
}
