//! A process and all that it starts: one process group, ended as one.

use std::{fs, io, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{Exit, Launch, environment::environment};

/// Between closing stdin, which a stage in the middle of a batch may not see at once, and SIGTERM.
const BEFORE_TERM: Duration = Duration::from_millis(500);

/// Tries of a start that fails because another process still has the executable open for writing.
const BUSY_TRIES: u32 = 10;

/// A running process group. Killed when dropped.
pub(super) struct Group {
    child: Child,
    pid: Pid,
    /// Ends when the leader does. It does not reap: until the leader is reaped, its number names this group and no other.
    exited: JoinHandle<io::Result<()>>,
    mark: Option<std::path::PathBuf>,
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
        let mut command = Command::new(launch.program);
        command
            .env_clear()
            .envs(environment(launch.env, launch.folder))
            .current_dir(launch.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut tries = 0;
        let mut child = loop {
            match command.spawn() {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => break other?,
            }
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
        let group = Self { child, pid, exited, mark: launch.mark.map(Path::to_owned), gone: false };
        if let Some(path) = launch.mark {
            fs::write(path, mark(pid.as_raw_nonzero().get()).unwrap_or_default())?;
        }
        Ok((group, streams))
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

    async fn reap(mut self) -> io::Result<Exit> {
        self.kill();
        self.exited().await;
        // Once more for what a dying member of the group has forked in between.
        self.kill();
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
        }
        if let Some(path) = &self.mark {
            // Gone with the private folder in any case.
            let _ = fs::remove_file(path);
        }
    }
}

/// Names a process beyond its number, which the system gives to another one some day: number, start time, boot.
fn mark(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold blanks and parentheses.
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{pid} {started} {}\n", boot.trim()))
}

/// Ends the process group that a mark file names, if it is still the same one: a stage of an orchestrator that was killed
/// may go on writing to folders the next run uses. True if there was one.
pub fn end_leftover(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    let Some(number) = text.split_whitespace().next().and_then(|number| number.parse::<i32>().ok()) else {
        return false;
    };
    let Some(pid) = Pid::from_raw(number) else { return false };
    mark(number).is_some_and(|now| now == text) && kill_process_group(pid, Signal::KILL).is_ok()
}
