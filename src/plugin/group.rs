//! A process and all that it starts: one process group, ended as one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{Exit, Launch, environment::environment, processes};

/// Between closing stdin, which a stage in the middle of a batch may not see at once, and SIGTERM.
const BEFORE_TERM: Duration = Duration::from_millis(500);

/// Tries of a start that fails because another process still has the executable open for writing, and the pause between.
const BUSY_TRIES: u32 = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// A running process group. Killed when dropped.
pub(super) struct Group {
    child: Child,
    pid: Pid,
    /// Ends when the leader does. It does not reap: until the leader is reaped, its number names this group and no other.
    exited: JoinHandle<io::Result<()>>,
    mark: Option<PathBuf>,
    /// Marks every process of this start, also one that leaves the group.
    token: String,
    began: Instant,
    gone: bool,
}

/// The three standard streams.
pub(super) struct Streams {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Group {
    pub(super) async fn start(launch: &Launch<'_>) -> io::Result<(Self, Streams)> {
        let token = uuid::Uuid::now_v7().simple().to_string();
        let mut command = Command::new(launch.program);
        command
            .env_clear()
            .envs(environment(
                launch.env,
                launch.folder,
                &token,
                launch.shell.is_some_and(|shell| shell.inherits),
            ))
            .envs(launch.secrets.variables())
            .args(launch.shell.iter().flat_map(|shell| &shell.arguments))
            .current_dir(launch.shell.map_or(launch.folder, |shell| &shell.folder))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let began = Instant::now();
        let mut child = match launch.sandbox {
            Some(sandbox) => sandbox.start(command).await?,
            None => spawn(&mut command)?,
        };
        let none = || io::Error::other("the system gave no handle for the new process");
        let pid =
            child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).ok_or_else(none)?;
        let streams = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Streams { stdin, stdout, stderr },
            _ => return Err(none()),
        };
        let exited = tokio::task::spawn_blocking(move || {
            loop {
                match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => return Ok(()),
                }
            }
        });
        let mark = launch.mark.map(Path::to_owned);
        let group = Self { child, pid, exited, mark, token, began, gone: false };
        if let Some(path) = launch.mark {
            fs::write(path, format!("{}\n{}\n", identity(group.number()).unwrap_or_default(), group.token))?;
        }
        Ok((group, streams))
    }

    /// The leader's process.
    pub(super) fn leader(&self) -> Pid {
        self.pid
    }

    /// The token in the environment of all its processes.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    fn number(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Returns when the leader has exited. Safe to drop and call again.
    pub(super) async fn exited(&mut self) {
        if !self.exited.is_finished() {
            // An error of the watcher means that there is no such child any more, which is an exit as well.
            let _ = (&mut self.exited).await;
        }
    }

    /// Kills whatever is left of the group at once.
    pub(super) fn kill(&self) {
        // ESRCH: nothing is left.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Asks to stop (stdin is closed by the caller), then insists, then kills. Returns the leader's exit.
    pub(super) async fn stop(mut self, grace: Duration) -> io::Result<Exit> {
        if timeout(BEFORE_TERM.min(grace), self.exited()).await.is_err() {
            let _ = kill_process_group(self.pid, Signal::TERM);
            // The leader's exit is not enough: what it started may be tidying up as well, but only as long as it does.
            let _ = timeout(grace, self.exited()).await;
        }
        self.reap().await
    }

    /// Waits for the leader to exit by itself, then ends the rest of the group.
    pub(super) async fn finish(mut self, grace: Duration) -> io::Result<Exit> {
        let _ = timeout(grace, self.exited()).await;
        self.reap().await
    }

    /// Kills what has left the group.
    fn kill_strays(&self) {
        let strays = processes::kill_marked(&self.token, Some((self.number(), self.began.elapsed())));
        if strays > 0 {
            tracing::info!(strays, "ended processes that had left a stage's process group");
        }
    }

    async fn reap(mut self) -> io::Result<Exit> {
        self.kill();
        self.exited().await;
        // Once more for what a dying member of the group has forked in between.
        self.kill();
        self.kill_strays();
        let status = self.child.wait().await?;
        self.gone = true;
        use std::os::unix::process::ExitStatusExt;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(0)),
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.gone {
            self.kill();
            self.kill_strays();
        }
        if let Some(path) = &self.mark {
            // Gone with the private folder in any case.
            let _ = fs::remove_file(path);
        }
    }
}

/// Starts a process. Blocks while another one has the executable open for writing.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
}

/// Names a process beyond its number, which the system gives to another one some day: number, start time, boot.
fn identity(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold blanks and parentheses.
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{pid} {started} {}", boot.trim()))
}

/// Ends the processes that a mark file names, as far as they are still the same: a stage of an orchestrator that was killed may
/// go on writing to folders the next run uses. True if there were any.
pub fn end_leftover(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    let mut lines = text.lines();
    let (known, token) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let number = known.split_whitespace().next().and_then(|number| number.parse::<i32>().ok());
    let mut ended = false;
    if let Some(number) = number
        && let Some(pid) = Pid::from_raw(number)
        && identity(number).is_some_and(|now| now == known)
    {
        ended = kill_process_group(pid, Signal::KILL).is_ok();
    }
    let strays = if token.is_empty() { 0 } else { processes::kill_marked(token, None) };
    ended || strays > 0
}
