//! Compiles the C++ shim against libtorch's headers and hands the folder of its libraries on as metadata `lib`: a
//! package that links this crate reads it as `DEP_STAGEWRIGHT_TORCH_LIB` and puts it into its binaries' run path.

use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/shim.cpp");
    for name in ["LIBTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_USE_PYTORCH", "LIBTORCH_CXX11_ABI"]
    {
        println!("cargo::rerun-if-env-changed={name}");
    }
    match Libtorch::find() {
        Ok(found) => found.build(),
        Err(error) => println!("cargo::error={error}"),
    }
}

/// A libtorch that can be compiled and linked against.
struct Libtorch {
    include: PathBuf,
    lib: PathBuf,
}

impl Libtorch {
    /// Follows the same variables as torch-sys, so that both build against one libtorch. That crate says nothing of use when
    /// the folder is missing; this one does, and since it does not wait for it, both messages come out.
    fn find() -> Result<Self, String> {
        let root = if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
            Some(installed_pytorch()?)
        } else {
            env::var_os("LIBTORCH").map(PathBuf::from)
        };
        let place = |name: &str| env::var_os(name).map(PathBuf::from).or_else(|| root.clone());
        let (Some(include), Some(lib)) = (place("LIBTORCH_INCLUDE"), place("LIBTORCH_LIB")) else {
            return Err(
                "no libtorch: LIBTORCH is not set. Build inside the workspace, after `cargo xtask native`"
                    .to_owned(),
            );
        };
        let found = Self { include: include.join("include"), lib: lib.join("lib") };
        for needed in [found.include.join("ATen/ATen.h"), found.lib.join("libtorch_cpu.so")] {
            if !needed.is_file() {
                return Err(format!(
                    "no libtorch: {} is missing; run `cargo xtask native` first",
                    needed.display()
                ));
            }
        }
        Ok(found)
    }

    fn build(&self) {
        let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
        let compiled = cc::Build::new()
            .cpp(true)
            .std("c++17")
            .warnings(false)
            .include(&self.include)
            .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
            // Debug assertions of the headers would call into parts of libtorch that a release build of it lacks.
            .define("NDEBUG", None)
            .opt_level(2)
            .file("src/shim.cpp")
            .try_compile("stagewright_torch_shim");
        if let Err(error) = compiled {
            let text = error.to_string().replace('\n', " ");
            println!(
                "cargo::error=cannot compile src/shim.cpp (is a C++ compiler there? Debian: g++, Fedora: gcc-c++): {text}"
            );
            return;
        }
        let lib = self.lib.display();
        println!("cargo::rustc-link-search=native={lib}");
        println!("cargo::rustc-link-lib=torch_cpu");
        println!("cargo::rustc-link-lib=c10");
        println!("cargo::metadata=lib={lib}");
        // For this package's own tests.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}

/// Folder of the `torch` package of the Python in use.
fn installed_pytorch() -> Result<PathBuf, String> {
    let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let script = "import os, torch; print(os.path.dirname(torch.__file__))";
    let answer = Command::new(python)
        .args(["-c", script])
        .output()
        .map_err(|error| format!("LIBTORCH_USE_PYTORCH is set, but {python} does not start: {error}"))?;
    if !answer.status.success() {
        return Err(format!("LIBTORCH_USE_PYTORCH is set, but {python} cannot import torch"));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()))
}
