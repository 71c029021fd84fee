//! Bounds that nobody but us enforces: memory where the kernel gives no control group, and bytes on the disk.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::time::{Instant, sleep_until};

use super::{Launch, cgroup::Cgroup, processes};

/// Shortest time between two looks at memory. A program that takes gigabytes a second gets past its limit by what it takes
/// within it.
const MEMORY_PAUSE: Duration = Duration::from_millis(50);

/// Shortest time between two looks at the folders.
const OUTPUT_PAUSE: Duration = Duration::from_millis(250);

/// A look may take one part in so many of the time.
const SHARE: u32 = 50;

/// Which bound was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// Main memory; the limit in bytes.
    Memory(u64),
    /// Bytes in the run's folders; the limit.
    Output(u64),
}

/// Watches one process group.
pub(super) struct Watch {
    leader: i32,
    memory: Option<u64>,
    group: Option<Cgroup>,
    output: Option<u64>,
    folders: Vec<PathBuf>,
    next_memory: Instant,
    next_output: Instant,
}

impl Watch {
    /// Sets the bounds of a process that was just started.
    pub(super) fn new(launch: &Launch<'_>, leader: Pid, token: &str) -> io::Result<Self> {
        let (limits, pid) = (&launch.limits, leader.as_raw_nonzero().get());
        let group =
            limits.memory.and_then(|bytes| Cgroup::with_memory(&format!("stagewright-{token}"), bytes));
        if let Some(group) = &group {
            group.add(pid)?;
        }
        if let Some(bytes) = limits.output {
            // One file can't outgrow the limit between two looks.
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            prlimit(Some(leader), Resource::Fsize, limit)?;
        }
        Ok(Self {
            leader: pid,
            memory: limits.memory,
            group,
            output: limits.output,
            folders: launch.folders.to_vec(),
            next_memory: Instant::now(),
            next_output: Instant::now() + OUTPUT_PAUSE,
        })
    }

    /// Returns when a bound is broken; never if there is none. Safe to drop and call again.
    pub(super) async fn broken(&mut self) -> Excess {
        loop {
            // Where the kernel holds the processes to their memory, there is nothing to look at.
            let memory = self.memory.filter(|_| self.group.is_none());
            tokio::select! {
                () = sleep_until(self.next_memory), if memory.is_some() => {
                    let limit = memory.unwrap_or(u64::MAX);
                    let began = Instant::now();
                    if processes::memory(self.leader, limit) > limit {
                        return Excess::Memory(limit);
                    }
                    self.next_memory = next(began, MEMORY_PAUSE);
                }
                () = sleep_until(self.next_output), if self.output.is_some() => {
                    let began = Instant::now();
                    if let Some(excess) = self.too_much_output() {
                        return excess;
                    }
                    self.next_output = next(began, OUTPUT_PAUSE);
                }
                else => std::future::pending().await,
            }
        }
    }

    /// What a look at the folders finds now.
    pub(super) fn too_much_output(&self) -> Option<Excess> {
        let limit = self.output?;
        let held: u64 = self.folders.iter().map(|folder| size(folder)).sum();
        (held > limit).then_some(Excess::Output(limit))
    }

    /// The kernel ended the processes for their memory.
    pub(super) fn ran_out(&self) -> Option<Excess> {
        self.memory.filter(|_| self.group.as_ref().is_some_and(Cgroup::ran_out)).map(Excess::Memory)
    }

    /// Kills what is in the control group, if there is one.
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
    }
}

fn next(began: Instant, pause: Duration) -> Instant {
    let now = Instant::now();
    now + pause.max((now - began) * SHARE)
}

/// Bytes that the files of a folder take on the disk, or hold where that is less (a file with holes).
fn size(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten().filter(|item| item.file_type().is_file());
    // A file that vanishes in between takes nothing.
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len().min(meta.blocks() * 512)).sum()
}
