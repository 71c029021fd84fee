//! Finding `trtexec` and its version.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stagewright_sdk::StageFault;

use crate::process::capture;

/// What of the environment is looked at, so that a test can give another.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Folders of programs, as `PATH`.
    pub path: OsString,
    /// Folder of a TensorRT that was unpacked by hand, as `TENSORRT_HOME`.
    pub tensorrt_home: Option<PathBuf>,
    /// Folders to look in after all others.
    pub fallbacks: Vec<PathBuf>,
    /// GPUs a CUDA program sees, as `CUDA_VISIBLE_DEVICES`.
    pub visible_devices: Option<String>,
}

impl Machine {
    /// This machine. `TENSORRT_HOME`, `PATH` and the folder of NVIDIA's packages are looked through, in this order.
    pub fn from_env() -> Self {
        Self {
            path: env::var_os("PATH").unwrap_or_default(),
            tensorrt_home: env::var_os("TENSORRT_HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            fallbacks: ["/usr/src/tensorrt/bin", "/usr/local/tensorrt/bin", "/usr/local/nvidia/bin"]
                .map(PathBuf::from)
                .to_vec(),
            visible_devices: env::var("CUDA_VISIBLE_DEVICES").ok(),
        }
    }

    /// Where a program is: the first of the folders that holds an executable file of that name.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let home = self.tensorrt_home.iter().map(|home| home.join("bin"));
        let folders = home.chain(env::split_paths(&self.path)).chain(self.fallbacks.iter().cloned());
        folders
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// A version of TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl Version {
    /// Reads the banner that `trtexec` starts with, for example
    /// `&&&& RUNNING TensorRT.trtexec [TensorRT v101600] [b72] # trtexec --help`.
    ///
    /// From TensorRT 10 on the number is major·10000 + minor·100 + patch, before it was major·1000 + minor·100 + patch.
    pub fn from_banner(text: &str) -> Option<Self> {
        let digits = text.split("[TensorRT v").nth(1)?.split(']').next()?;
        let number: u32 = digits.parse().ok()?;
        let thousand = if number < 10_000 { 1_000 } else { 10_000 };
        Some(Self { major: number / thousand, minor: number % thousand / 100, patch: number % 100 })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A `trtexec` that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// Folder of its libraries if it lies beside the program's, as in an unpacked archive.
    pub libraries: Option<PathBuf>,
}

/// Oldest version whose options are known here.
const OLDEST: Version = Version { major: 10, minor: 0, patch: 0 };

/// Finds `trtexec` and asks for its version.
///
/// # Errors
/// None is there, it does not start, does not say its version, or is older than 10.
pub fn locate(machine: &Machine) -> Result<Installation, StageFault> {
    let program = machine.program("trtexec").ok_or_else(|| {
        StageFault::environment("trtexec was not found in TENSORRT_HOME/bin, PATH or /usr/src/tensorrt/bin").hint(
            "install TensorRT 10 or 11 on a machine with an NVIDIA GPU (package libnvinfer-bin, or an archive with TENSORRT_HOME set), \
             or skip the stage with `if: ${{ host.tensorrt }}`",
        )
    })?;
    let shown = program.display();
    let libraries = libraries_beside(&program);
    let output = capture(&program, &["--help"], libraries.as_deref(), Duration::from_secs(60))
        .map_err(|error| StageFault::environment(format!("cannot ask {shown} for its version: {error}")))?;
    let version = Version::from_banner(&output).ok_or_else(|| {
        let said = output.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        StageFault::environment(format!("{shown} does not say its version; it said: {said}"))
            .hint("is it NVIDIA's trtexec, and are its libraries found? Try `trtexec --help`")
    })?;
    if version < OLDEST {
        return Err(StageFault::environment(format!("{shown} is of TensorRT {version}; 10 or 11 is needed"))
            .hint("install a newer TensorRT, or set TENSORRT_HOME to the folder of one"));
    }
    Ok(Installation { program, version, libraries })
}

/// `…/lib` beside `…/bin/trtexec`, where the TensorRT libraries of an unpacked archive are.
fn libraries_beside(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?.parent()?.join("lib");
    let holds = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libnvinfer.so");
    folder.read_dir().ok()?.flatten().any(holds).then_some(folder)
}
