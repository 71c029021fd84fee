//! One run a project.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    time::Duration,
};

use super::RunError;
use crate::{config::Config, plugin::Cancel};

/// How often a waiting run looks again.
const POLL: Duration = Duration::from_millis(200);

/// Holds the project for one process. The system takes the lock back whatever way the process ends, so there is no
/// stale lock.
#[derive(Debug)]
pub struct ProjectLock(File);

impl Drop for ProjectLock {
    fn drop(&mut self) {
        // Closing would do, but for a process that another thread is just starting: until it has become the other program
        // it holds a copy of the file, and the lock with it.
        let _ = self.0.unlock();
    }
}

/// Takes the project, or says who has it.
pub fn lock_project(config: &Config) -> Result<ProjectLock, RunError> {
    let folder = &config.state_dir;
    fs::create_dir_all(folder).map_err(RunError::io("create", folder))?;
    let path = folder.join("run.lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(RunError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The number is only for the message.
            let _ = file.read_to_string(&mut text);
            return Err(RunError::Busy { pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(RunError::io("lock", &path)(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(RunError::io("write", &path))?;
    Ok(ProjectLock(file))
}

pub(super) async fn acquire(config: &Config, wait: bool, cancel: &Cancel) -> Result<ProjectLock, RunError> {
    loop {
        match lock_project(config) {
            Err(RunError::Busy { .. }) if wait => {}
            other => return other,
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = cancel.cancelled() => return Err(RunError::CancelledWaiting),
        }
    }
}
