//! A runtime that is not there. A process of its own: the library is looked for once.
#![allow(clippy::unwrap_used, unsafe_code, missing_docs)]

use stagewright_onnx::{OnnxError, runtime_version};

#[test]
fn a_variable_that_names_no_library_is_the_machines_fault() {
    // SAFETY: the only test of this process, and nothing has started a thread that reads the environment.
    unsafe { std::env::set_var("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so") };
    let error = runtime_version().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot load ONNX Runtime: ORT_DYLIB_PATH names /nowhere/libonnxruntime.so, which is not a file"
    );
    assert!(error.is_environment() && matches!(error, OnnxError::Library(_)));
    assert!(error.hint().unwrap().contains("cargo xtask native"));
}
