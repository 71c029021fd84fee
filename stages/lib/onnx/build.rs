//! Tells the crate where `cargo xtask native` puts ONNX Runtime, the last place it is looked for at run time.

fn main() {
    // stages/lib/onnx is three levels below the workspace.
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = std::path::Path::new(&manifest).ancestors().nth(3).unwrap_or(std::path::Path::new("."));
    println!("cargo:rustc-env=STAGEWRIGHT_ONNXRUNTIME_DIR={}", root.join(".native/onnxruntime").display());
    println!("cargo:rerun-if-changed=build.rs");
}
