//! The environment of a stage program: cleaned, so that a result depends on what is declared.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::processes::TOKEN;

/// Variables passed on from the orchestrator's environment, and why. Nothing else is, unless the pipeline declares it.
pub const PASSED_VARIABLES: &[(&str, &str)] = &[
    ("PATH", "finds interpreters and tools such as trtexec"),
    ("HOME", "caches of tools and drivers"),
    ("LANG", "encoding of messages"),
    ("LC_ALL", "encoding of messages"),
    ("TZ", "times in messages"),
    ("LD_LIBRARY_PATH", "native libraries on Linux"),
    ("DYLD_LIBRARY_PATH", "native libraries on macOS"),
    ("ORT_DYLIB_PATH", "ONNX Runtime of the user's choice"),
    ("CUDA_VISIBLE_DEVICES", "GPUs the user allows; narrowed for a stage that asks for a number of them"),
    ("CUDA_DEVICE_ORDER", "numbering of the GPUs"),
    ("CUDA_HOME", "where CUDA is installed"),
    ("CUDA_CACHE_PATH", "compiled kernels"),
    ("NVIDIA_VISIBLE_DEVICES", "GPUs a container was given"),
    ("VIRTUAL_ENV", "a stage program in Python"),
    ("RUST_BACKTRACE", "more in the log of a stage that panics"),
];

/// The whole environment of a process that works in `folder`. One that inherits gets all of ours and nothing taken away.
pub(super) fn environment(
    declared: &BTreeMap<String, String>,
    folder: &Path,
    token: &str,
    inherits: bool,
) -> BTreeMap<OsString, OsString> {
    if inherits {
        let own = std::env::vars_os();
        let token = [(TOKEN.into(), token.into())];
        return own
            .chain(token)
            .chain(declared.iter().map(|(name, value)| (name.into(), value.into())))
            .collect();
    }
    let passed = PASSED_VARIABLES.iter().filter_map(|(name, _)| {
        let value = std::env::var_os(name)?;
        Some((OsString::from(name), value))
    });
    let mut all: BTreeMap<OsString, OsString> = passed.collect();
    // Temporary files belong to the private folder, which is removed after the run.
    all.insert("TMPDIR".into(), folder.as_os_str().to_owned());
    all.insert(TOKEN.into(), token.into());
    all.extend(declared.iter().map(|(name, value)| (name.into(), value.into())));
    all
}
