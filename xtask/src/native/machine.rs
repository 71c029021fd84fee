//! What the machine must have, each with the package that brings it.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use crate::{
    Outcome,
    step::{answers, bytes, say},
};

/// How to call pip: a program and its first arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Pip(pub Vec<String>);

impl Pip {
    /// A command that runs pip, to be given a subcommand.
    pub fn command(&self) -> Command {
        let mut words = self.0.iter();
        let mut command = Command::new(words.next().map_or("pip", String::as_str));
        command.args(words);
        command
    }
}

/// The wheels are for one platform.
pub fn check_platform() -> Outcome {
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Ok(());
    }
    Err(format!(
        "there are no pinned libraries for {} on {}, only for Linux with glibc on x86-64; set LIBTORCH to a folder with \
         libtorch 2.13.0 and ORT_DYLIB_PATH to an ONNX Runtime library of your own",
        std::env::consts::OS,
        std::env::consts::ARCH
    ))
}

/// The bindings to libtorch are C++.
pub fn check_compiler() -> Outcome {
    compiler(&std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned()))
}

fn compiler(words: &str) -> Outcome {
    // CXX may carry a wrapper or flags: `ccache g++`.
    let mut parts = words.split_whitespace();
    let mut command = Command::new(parts.next().unwrap_or("c++"));
    if answers(command.args(parts).arg("--version")) {
        return Ok(());
    }
    Err(format!(
        "no C++ compiler: `{words} --version` does not run. Install one (Debian, Ubuntu: apt-get install g++; \
         Fedora: dnf install gcc-c++), or name it in CXX"
    ))
}

/// The first pip that runs.
pub fn find_pip() -> Outcome<Pip> {
    let ways = [&["python3", "-m", "pip"][..], &["python", "-m", "pip"], &["pip3"], &["pip"]];
    first_that_runs(&ways)
}

fn first_that_runs(ways: &[&[&str]]) -> Outcome<Pip> {
    let found = ways
        .iter()
        .map(|words| Pip(words.iter().map(|word| (*word).to_owned()).collect()))
        .find(|pip| answers(pip.command().arg("--version")));
    found.ok_or_else(|| {
        let tried = ways.iter().map(|words| format!("`{}`", words.join(" "))).collect::<Vec<_>>().join(", ");
        format!(
            "no pip, which fetches the native libraries: none of {tried} runs. Install it (Debian, Ubuntu: apt-get install \
             python3-pip; Fedora: dnf install python3-pip), or set LIBTORCH and ORT_DYLIB_PATH to libraries of your own"
        )
    })
}

/// Room for the wheels, for pip's copy of them while it fetches, and for what comes out, which is about as large.
pub fn check_space(folder: &Path, wheels: u64) -> Outcome {
    let failed =
        |error| format!("cannot find out how much room is on the disk of {}: {error}", folder.display());
    let disk = rustix::fs::statvfs(folder).map_err(failed)?;
    enough(folder, wheels.saturating_mul(3), disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn enough(folder: &Path, needed: u64, free: u64) -> Outcome {
    if free >= needed {
        return Ok(());
    }
    Err(format!(
        "the disk of {} has {} free, and the native libraries need {} while they are fetched; make room there",
        folder.display(),
        bytes(free),
        bytes(needed)
    ))
}

/// Waits until no other call is at work in this folder; held until dropped, by the system also when the program is killed.
pub fn lock(path: &Path) -> Outcome<File> {
    let failed = |error| format!("cannot lock {}: {error}", path.display());
    let file = fs::OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    if file.try_lock().is_err() {
        say("Waiting", format_args!("for another call that holds {}", path.display()));
        file.lock().map_err(failed)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let error = compiler("no-such-compiler -m64").expect_err("no compiler");
        assert!(
            error.contains("`no-such-compiler -m64 --version`") && error.contains("apt-get install g++"),
            "{error}"
        );
        let error =
            first_that_runs(&[&["no-such-python", "-m", "pip"], &["no-such-pip"]]).expect_err("no pip");
        assert!(error.contains("none of `no-such-python -m pip`, `no-such-pip` runs"), "{error}");
        assert!(error.contains("python3-pip"), "{error}");
        // A program that starts but fails is no pip.
        assert_eq!(first_that_runs(&[&["false"], &["true"]]), Ok(Pip(vec!["true".to_owned()])));
    }

    #[test]
    fn a_full_disk_is_named_with_both_figures() {
        let folder = Path::new("/somewhere");
        assert_eq!(enough(folder, 5, 5), Ok(()));
        let error = enough(folder, 1_700_000_000, 300_000_000).expect_err("too full");
        assert!(error.contains("/somewhere has 300 MB free") && error.contains("need 1.7 GB"), "{error}");
        assert_eq!(check_space(Path::new("/"), 1), Ok(()));
        assert!(check_space(Path::new("/"), u64::MAX).is_err());
    }

    #[test]
    fn the_lock_is_exclusive() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let held = lock(&path).expect("free");
        let other = File::open(&path).expect("there");
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }
}
