//! A control group (version 2) for one stage, where the system lets us make one: then the kernel itself holds its processes to
//! their memory, and ends them all together.
//!
//! That is so for root of a machine or of a container that may write its groups, and in a scope that was handed over
//! (`systemd-run --user --scope -p Delegate=yes`). Elsewhere memory is watched instead.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The kernel takes a group's last process out of it a moment after it died.
const PATIENCE: Duration = Duration::from_secs(1);

/// A group; removed when dropped, and every process in it killed.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// A group whose processes may hold so many bytes of main memory together.
    pub(super) fn with_memory(name: &str, bytes: u64) -> Option<Self> {
        Self::below(&own()?, name, bytes)
    }

    fn below(parent: &Path, name: &str, bytes: u64) -> Option<Self> {
        // Refused where processes are in the parent itself, and needless where it is on already.
        let _ = set(&parent.join("cgroup.subtree_control"), "+memory");
        let folder = parent.join(name);
        fs::create_dir(&folder).ok()?;
        let group = Self { folder };
        // Without this file the memory controller is not to be had here; the group goes with the drop.
        let limit = group.folder.join("memory.max");
        if set(&limit, &bytes.to_string()).is_err() {
            return None;
        }
        // The limit is one on memory, not on what may be swapped out; the second is not everywhere.
        let _ = set(&group.folder.join("memory.swap.max"), "0");
        let _ = set(&group.folder.join("memory.oom.group"), "1");
        Some(group)
    }

    /// Takes a process in; what it starts from now on is in here as well.
    pub(super) fn add(&self, pid: i32) -> io::Result<()> {
        set(&self.folder.join("cgroup.procs"), &pid.to_string())
    }

    /// The kernel has killed something in here because the memory was used up.
    pub(super) fn ran_out(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| {
            line.strip_prefix("oom_kill ")
                .is_some_and(|count| count.trim().parse::<u64>().is_ok_and(|count| count > 0))
        })
    }

    /// Kills every process in here.
    pub(super) fn kill(&self) {
        // Since Linux 5.14; the process group and the search for strays stand behind it.
        let _ = set(&self.folder.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        let until = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.folder).is_err() && self.folder.exists() {
            if Instant::now() > until {
                tracing::warn!(folder = %self.folder.display(), "the control group could not be removed");
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Sets a control, which the kernel has made; never makes a file.
fn set(control: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(control)?.write_all(value.as_bytes())
}

/// Folder of the group that this process is in.
fn own() -> Option<PathBuf> {
    find(&fs::read_to_string("/proc/self/cgroup").ok()?, &fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn find(groups: &str, mounts: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = mounts.lines().find_map(|line| {
        // Fields up to the dash are of the mount, those behind it of the file system.
        let (mount, system) = line.split_once(" - ")?;
        (system.split(' ').next() == Some("cgroup2")).then(|| mount.split(' ').nth(4)).flatten()
    })?;
    Some(Path::new(mount).join(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_own_group_is_found_among_mounts_of_both_versions() {
        let groups = "4:memory:/other\n0::/user.slice/app.scope\n";
        let mounts = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            31 23 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(find(groups, mounts), Some("/sys/fs/cgroup/unified/user.slice/app.scope".into()));
        assert_eq!(find("4:memory:/other\n", mounts), None);
        assert_eq!(find(groups, "30 23 0:26 / /sys rw - cgroup cgroup rw\n"), None);
    }

    #[test]
    fn a_system_without_the_memory_controller_gives_none_and_keeps_nothing() {
        let parent = tempfile::tempdir().unwrap();
        assert!(Cgroup::below(parent.path(), "stage", 1 << 20).is_none());
        assert!(!parent.path().join("stage").exists());
        assert!(Cgroup::below(&parent.path().join("absent"), "stage", 1 << 20).is_none());
    }

    #[test]
    fn a_real_group_ends_what_takes_too_much() {
        let Some(group) = Cgroup::with_memory("stagewright-test", 64 << 20) else {
            eprintln!("skipped: no control group with a memory limit can be made here");
            return;
        };
        let script = "read go; x=$(head -c 500000000 /dev/zero | tr '\\0' x); echo survived";
        let mut child = std::process::Command::new("bash")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        group.add(child.id() as i32).unwrap();
        drop(child.stdin.take());
        assert!(!child.wait().unwrap().success());
        assert!(group.ran_out());
        let folder = group.folder.clone();
        drop(group);
        assert!(!folder.exists());
    }
}
