//! The arguments of `trtexec`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use stagewright_sdk::StageFault;
use stagewright_tensorrt::Version;

use crate::{HardwareCompatibility, Params, Profile, ProfilingVerbosity, TimingCache};

/// Files that a build reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The ONNX file.
    pub model: PathBuf,
    /// Where the engine goes.
    pub engine: PathBuf,
    /// Where the description of its layers goes.
    pub layers: PathBuf,
    /// Timing cache, read if it is there and written.
    pub timing_cache: PathBuf,
}

const MIB: u64 = 1 << 20;

/// The command line for a version of TensorRT. `profile` is none for a model whose shapes are all fixed: `trtexec` refuses
/// shapes then.
///
/// # Errors
/// A param that this version does not know.
pub fn arguments(
    version: Version,
    params: &Params,
    files: &Arguments,
    profile: Option<&Profile>,
) -> Result<Vec<OsString>, StageFault> {
    let mut list = Vec::new();
    list.push(file("--onnx=", &files.model));
    list.push(file("--saveEngine=", &files.engine));
    // 11 has only strongly typed networks, and the option there is an empty, deprecated word.
    if version.major == 10 {
        list.push("--stronglyTyped".into());
    }
    if let Some(profile) = profile {
        for (flag, dims) in [("min", &profile.min), ("opt", &profile.opt), ("max", &profile.max)] {
            let dims: Vec<String> = dims.iter().map(u32::to_string).collect();
            list.push(format!("--{flag}Shapes={}:{}", quoted(&profile.input), dims.join("x")).into());
        }
    }
    if params.workspace > 0 {
        // Without a suffix the size is in MiB, in every version.
        list.push(format!("--memPoolSize=workspace:{}", params.workspace.div_ceil(MIB)).into());
    }
    list.push(format!("--builderOptimizationLevel={}", params.optimization_level).into());
    list.push(format!("--avgTiming={}", params.avg_timing).into());
    if let Some(streams) = params.max_aux_streams {
        list.push(format!("--maxAuxStreams={streams}").into());
    }
    if !params.tf32 {
        list.push("--noTF32".into());
    }
    if params.sparsity {
        list.push("--sparsity=enable".into());
    }
    if params.version_compatible {
        list.push("--versionCompatible".into());
    }
    if params.exclude_lean_runtime {
        if !params.version_compatible {
            return Err(StageFault::user(
                "`exclude-lean-runtime` means nothing without `version-compatible: true`",
            )
            .hint("only a version-compatible engine carries a lean runtime"));
        }
        list.push("--excludeLeanRuntime".into());
    }
    match params.hardware_compatibility {
        HardwareCompatibility::None => {}
        HardwareCompatibility::AmperePlus => list.push("--hardwareCompatibilityLevel=ampere+".into()),
        HardwareCompatibility::SameComputeCapability => {
            let since = Version { major: 10, minor: 9, patch: 0 };
            if version < since {
                let message = format!(
                    "`hardware-compatibility: same-compute-capability` needs TensorRT {since} or later, here is {version}"
                );
                return Err(
                    StageFault::user(message).hint("use `ampere-plus` or `none`, or a newer TensorRT")
                );
            }
            list.push("--hardwareCompatibilityLevel=sameComputeCapability".into());
        }
    }
    match params.timing_cache {
        TimingCache::Off => list.push("--noBuilderCache".into()),
        TimingCache::On => list.push(file("--timingCacheFile=", &files.timing_cache)),
        TimingCache::Complete => {
            list.push(file("--timingCacheFile=", &files.timing_cache));
            list.push("--errorOnTimingCacheMiss".into());
        }
    }
    let verbosity = match params.profiling_verbosity {
        ProfilingVerbosity::Detailed => "detailed",
        ProfilingVerbosity::LayerNamesOnly => "layer_names_only",
        ProfilingVerbosity::None => "none",
    };
    list.push(format!("--profilingVerbosity={verbosity}").into());
    list.push(file("--exportLayerInfo=", &files.layers));
    list.push(format!("--device={}", params.device).into());
    // Timing the engine is the benchmark's work.
    list.push("--skipInference".into());
    Ok(list)
}

fn file(flag: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push(path);
    argument
}

/// A name that holds a separator of the shape syntax goes between single quotes.
fn quoted(name: &str) -> String {
    if name.contains([':', ',']) { format!("'{name}'") } else { name.to_owned() }
}
