//! What runs of one project that go on at once must not use at once: a machine that a measurement wants alone, GPUs, and the
//! work tree.
//!
//! Cores and memory are not shared out between runs: each plans with those it was given (`--cpus`). Locks are taken in one
//! order, the action's claim, then the machine, then the GPUs by name, then what the stage writes, so that no two runs wait for each other.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{digest::Digest, plan::Out, plugin::Cancel};

/// How often a lock that is taken is tried again.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// The locks of a project.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    folder: PathBuf,
}

/// A lock; given back when dropped.
#[derive(Debug)]
pub(super) struct Share(File);

impl Drop for Share {
    fn drop(&mut self) {
        // Not left to closing: a process that another thread is just starting may hold a copy of the file for a moment.
        let _ = self.0.unlock();
    }
}

impl Shares {
    pub(super) fn new(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("locks");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// The machine, alone or beside others, and GPUs of one's own. None if the run was cancelled meanwhile; `waits` is called
    /// once if there is something to wait for, with what.
    pub(super) async fn machine(
        &self,
        alone: bool,
        gpus: &[String],
        cancel: &Cancel,
        mut waits: impl FnMut(String),
    ) -> io::Result<Option<Vec<Share>>> {
        let mut held = Vec::new();
        let machine = if alone {
            "another run's stages to end, to have the machine alone"
        } else {
            "another run's stage that has the machine alone"
        };
        let Some(share) = self.wait("machine", !alone, cancel, || waits(machine.to_owned())).await? else {
            return Ok(None);
        };
        held.push(share);
        let mut gpus: Vec<&String> = gpus.iter().collect();
        gpus.sort_unstable();
        for gpu in gpus {
            let told = || waits(format!("another run's stage that uses GPU {gpu}"));
            let Some(share) = self.wait(&format!("gpu-{gpu}"), false, cancel, told).await? else {
                return Ok(None);
            };
            held.push(share);
        }
        Ok(Some(held))
    }

    /// Paths of the work tree that a stage is about to write, for it alone. As for [`Shares::machine`].
    pub(super) async fn outs(
        &self,
        outs: &[Out],
        cancel: &Cancel,
        mut waits: impl FnMut(String),
    ) -> io::Result<Option<Vec<Share>>> {
        let mut names: Vec<(String, &Out)> = outs.iter().map(|out| (out_name(out), out)).collect();
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut held = Vec::new();
        for (name, out) in names {
            let told = || waits(format!("another run's stage that writes {}", out.path.display()));
            let Some(share) = self.wait(&name, false, cancel, told).await? else { return Ok(None) };
            held.push(share);
        }
        Ok(Some(held))
    }

    /// One of them. Blocks, as long as another run's stage writes it.
    pub(super) fn out(&self, out: &Out) -> io::Result<Share> {
        self.block(&out_name(out))
    }

    async fn wait(
        &self,
        name: &str,
        shared: bool,
        cancel: &Cancel,
        mut waits: impl FnMut(),
    ) -> io::Result<Option<Share>> {
        let file = self.open(name)?;
        let mut told = false;
        loop {
            match if shared { file.try_lock_shared() } else { file.try_lock() } {
                Ok(()) => return Ok(Some(Share(file))),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if !std::mem::replace(&mut told, true) {
                waits();
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => return Ok(None),
            }
        }
    }

    /// The work tree, to place outputs in it. Blocks, for the moment that another run takes to do the same.
    pub(super) fn tree(&self) -> io::Result<Share> {
        self.block("tree")
    }

    /// What dead runs left, to remove it. Blocks, for the moment that another run takes to do the same.
    pub(super) fn leftovers(&self) -> io::Result<Share> {
        self.block("leftovers")
    }

    fn block(&self, name: &str) -> io::Result<Share> {
        let file = self.open(name)?;
        file.lock()?;
        Ok(Share(file))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        // A GPU may be named by a text that is no file name.
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        File::options().write(true).create(true).truncate(false).open(self.folder.join(name))
    }
}

fn out_name(out: &Out) -> String {
    format!("out-{}", Digest::of(out.port().as_bytes()).short())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use super::*;
    use crate::plugin::Canceller;

    #[tokio::test]
    async fn one_alone_waits_for_all_and_gpus_are_had_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let shares = Shares::new(folder.path()).unwrap();
        let told = Mutex::new(Vec::new());
        let gpus = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let take = async |alone, names: &[&str], cancel: &Cancel| {
            shares.machine(alone, &gpus(names), cancel, |what| told.lock().unwrap().push(what)).await.unwrap()
        };
        let never = Cancel::never();
        let one = take(false, &["0"], &never).await.unwrap();
        let two = take(false, &["GPU-1/2"], &never).await.unwrap();
        assert!(told.lock().unwrap().is_empty());
        let (handle, cancel) = Canceller::new();
        let cancelling = async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            handle.cancel();
        };
        assert!(tokio::join!(take(false, &["1", "0"], &cancel), cancelling).0.is_none());
        let freeing = async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            drop((one, two));
        };
        let (alone, ()) = tokio::join!(take(true, &["0"], &never), freeing);
        assert!(alone.is_some());
        assert_eq!(
            *told.lock().unwrap(),
            ["another run's stage that uses GPU 0", "another run's stages to end, to have the machine alone"]
        );
    }
}
