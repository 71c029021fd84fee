//! Tells the programs of this package where libtorch is: where it was built against, and `../lib` of an installed tree.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match std::env::var("DEP_STAGEWRIGHT_TORCH_LIB") {
        Ok(folder) => {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
            println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
        }
        // Cargo gives the folder to direct dependents only.
        Err(_) => {
            println!("cargo::error=this package links libtorch; it must depend on stagewright-torch directly")
        }
    }
}
