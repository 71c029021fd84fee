//! Finding and loading ONNX Runtime.

use std::{
    env,
    ffi::CStr,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ort::environment::Environment;

use crate::OnnxError;

struct Loaded {
    environment: Environment,
    version: String,
}

/// The process's one environment; `ort` allows no second, and keeps it in use until the process ends.
fn loaded() -> Result<&'static Loaded, OnnxError> {
    static LOADED: OnceLock<Result<Loaded, OnnxError>> = OnceLock::new();
    LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
}

pub(crate) fn environment() -> Result<&'static Environment, OnnxError> {
    loaded().map(|loaded| &loaded.environment)
}

/// Version of the ONNX Runtime that is in use here, such as `1.32.0`. Loads it.
pub fn runtime_version() -> Result<String, OnnxError> {
    loaded().map(|loaded| loaded.version.clone())
}

fn load() -> Result<Loaded, OnnxError> {
    let path = find()?;
    let failed = |reason: String| OnnxError::Library(format!("{}: {reason}", path.display()));
    silence();
    let builder = ort::init_from(&path).map_err(|error| failed(error.to_string()))?;
    let environment = builder
        .with_name("stagewright")
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let version = version(&path).map_err(failed)?;
    Ok(Loaded { environment, version })
}

/// Keeps the library from making files for its telemetry in the user's home, which it does while it starts: before
/// `with_telemetry` can say that none is wanted.
#[allow(unsafe_code, reason = "the library asks the environment of the process")]
fn silence() {
    // SAFETY: Rust's own threads read the environment under the lock that this takes, and of C libraries none has been given
    // work yet that would read it in another thread: this one is being loaded.
    unsafe { env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

/// Where the library is: a variable that is set wins, then an installed tree, then the folder of the set-up step.
fn find() -> Result<PathBuf, OnnxError> {
    if let Some(path) = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Ok(path);
        }
        return Err(OnnxError::Library(format!(
            "ORT_DYLIB_PATH names {}, which is not a file",
            path.display()
        )));
    }
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("lib")));
    let folders: Vec<PathBuf> =
        beside.into_iter().chain([PathBuf::from(env!("STAGEWRIGHT_ONNXRUNTIME_DIR"))]).collect();
    if let Some(path) = folders.iter().find_map(|folder| newest_in(folder)) {
        return Ok(path);
    }
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(OnnxError::Library(format!(
        "ORT_DYLIB_PATH is not set and there is no libonnxruntime.so in {}",
        folders.join(" or ")
    )))
}

/// `libonnxruntime.so`, or the one with the highest version behind that name.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join("libonnxruntime.so");
    if plain.is_file() {
        return Some(plain);
    }
    let version = |path: &Path| -> Option<Vec<u32>> {
        let name = path.file_name()?.to_str()?.strip_prefix("libonnxruntime.so.")?;
        name.split('.').map(|part| part.parse().ok()).collect()
    };
    let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter_map(|path| Some((version(&path)?, path))).max().map(|(_, path)| path)
}

/// Asks the library itself: `ort` has no call for it.
#[allow(unsafe_code, reason = "one call of the C API that `ort` does not wrap")]
fn version(path: &Path) -> Result<String, String> {
    // SAFETY: the library is loaded already (this only raises its reference count), so no initializer runs; the symbol
    // has had this signature since the first release; the string is static and NUL-terminated by its contract.
    unsafe {
        let library = libloading::Library::new(path).map_err(|error| error.to_string())?;
        let base: libloading::Symbol<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase> =
            library.get(b"OrtGetApiBase").map_err(|error| error.to_string())?;
        let base = base();
        if base.is_null() {
            return Err("OrtGetApiBase gave nothing".to_owned());
        }
        let text = ((*base).GetVersionString)();
        if text.is_null() {
            return Err("GetVersionString gave nothing".to_owned());
        }
        Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}
