//! The stage's work: find, check, build, describe.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use stagewright_sdk::{Context, ErrorClass, Fault, FaultExt, GateStatus, Platform, Result, StageFault};
use stagewright_tensorrt::{
    EngineFile, FORMAT, FileFact, Gpu, Installation, LayerReport, Line, Machine, Reading, Severity, Shapes,
    diagnose, gpus, locate,
    process::{Ended, Job, Stopped, stream},
    report, select,
};

use crate::{
    Arguments, Model, Params, Precision, Profile, ProfilingVerbosity, TimingCache, arguments, profiles,
};

/// What this machine is to the stage.
///
/// Properties `tensorrt`, `gpu` and `compute-capability` are in the action key, because an engine depends on each. (The
/// driver is only recorded: a newer one loads engines of an older.)
/// The fact `tensorrt` is the version, or false where the stage could not run.
pub fn platform(machine: &Machine) -> Platform {
    let mut platform = Platform::default();
    let mut version = None;
    match locate(machine) {
        Ok(found) => version = Some(found.version.to_string()),
        Err(fault) => platform.missing.push(fault.0),
    }
    match gpus(machine).and_then(|list| select(&list, machine.visible_devices.as_deref(), 0)) {
        Ok(gpu) => {
            platform.facts.insert("gpu".to_owned(), Value::from(gpu.name.clone()));
            platform.properties.insert("gpu".to_owned(), gpu.name);
            platform.properties.insert("compute-capability".to_owned(), gpu.compute_capability);
        }
        Err(reason) => {
            platform.facts.insert("gpu".to_owned(), Value::from(false));
            platform.missing.push(no_gpu(reason).0);
        }
    }
    if let Some(version) = &version {
        platform.properties.insert("tensorrt".to_owned(), version.clone());
    }
    let usable = version.filter(|_| platform.missing.is_empty());
    platform.facts.insert("tensorrt".to_owned(), usable.map_or(Value::from(false), Value::from));
    platform
}

fn no_gpu(reason: String) -> StageFault {
    StageFault(Fault {
        class: ErrorClass::Environment,
        message: format!("no NVIDIA GPU: {reason}"),
        hint: None,
    })
    .hint("TensorRT builds an engine on the GPU it is for; skip the stage with `if: ${{ host.tensorrt }}`")
}

/// Runs the stage on a machine.
pub fn run_on(context: &mut Context, params: &Params, machine: &Machine) -> Result<()> {
    let path = context.input("model")?.to_owned();
    let model = Model::read(&path)?;
    model.expect(params.precision)?;
    if let Some(declared) = model.declared.as_deref().filter(|declared| *declared != model.precision.word()) {
        let found = model.precision.word();
        context.warn(format!("the model's metadata says {declared}, its nodes compute in {found}"));
    }
    let (profile, open) = profiles(&model, params)?;
    let installation = locate(machine)?;
    let list = gpus(machine).map_err(no_gpu)?;
    let gpu = select(&list, machine.visible_devices.as_deref(), params.device as usize).map_err(no_gpu)?;
    context.log(format!(
        "TensorRT {} ({}), {}",
        installation.version,
        installation.program.display(),
        gpu.name
    ));

    let folder = context.output("engine")?;
    fs::create_dir_all(&folder).or_environment(format_args!("cannot create {}", folder.display()))?;
    let files = Arguments {
        model: path,
        engine: folder.join("engine.plan"),
        layers: context.scratch_dir().join("layers.json"),
        timing_cache: context.scratch_dir().join("timing.cache"),
    };
    let timing_cache = take_timing_cache(context, params, &files.timing_cache)?;
    let list = arguments(installation.version, params, &files, open.then_some(&profile))?;
    let (reading, ended) = build(context, &installation, &list)?;
    let layers = read_layers(context, params, &files.layers)?;
    check_precision(context, model.precision, &layers);
    let engine = fact(&files.engine)?;
    report_metrics(context, &engine, &ended, &layers);
    let written = EngineFile {
        format: FORMAT.to_owned(),
        tensorrt: installation.version.to_string(),
        gpu: Gpu {
            // trtexec says which GPU it really took.
            name: reading.gpu.unwrap_or(gpu.name),
            compute_capability: reading.compute_capability.unwrap_or(gpu.compute_capability),
            ..gpu
        },
        precision: model.precision.word().to_owned(),
        version_compatible: params.version_compatible,
        hardware_compatibility: word(&params.hardware_compatibility)?,
        flags: list.iter().map(portable).collect(),
        shapes: shapes(&profile),
        onnx: FileFact { sha256: model.sha256, size: model.bytes },
        engine,
        timing_cache,
        build_seconds: ended.seconds,
        layers,
    };
    let mut text = serde_json::to_string_pretty(&written).or_internal("cannot encode engine.json")?;
    text.push('\n');
    let path = folder.join("engine.json");
    fs::write(&path, text).or_environment(format_args!("cannot write {}", path.display()))?;
    if params.timing_cache != TimingCache::Off && files.timing_cache.is_file() {
        let to = context.output("timing-cache")?;
        fs::copy(&files.timing_cache, &to).or_environment(format_args!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// Copies the given timing cache to where `trtexec` may write it.
fn take_timing_cache(context: &Context, params: &Params, to: &Path) -> Result<Option<FileFact>> {
    match (context.optional_input("timing-cache"), params.timing_cache) {
        (None, TimingCache::Complete) => Err(StageFault::user(
            "`timing-cache: complete` wants a timing cache, and the input `timing-cache` is not bound",
        )
        .hint("bind it to the timing cache of an earlier build, or use `timing-cache: on`")),
        (None, _) => Ok(None),
        (Some(_), TimingCache::Off) => Err(StageFault::user(
            "the input `timing-cache` is bound, but `timing-cache: off` leaves it unused",
        )),
        (Some(from), _) => {
            let bytes =
                fs::read(from).or_user(format_args!("cannot read the timing cache {}", from.display()))?;
            fs::write(to, &bytes).or_environment(format_args!("cannot write {}", to.display()))?;
            Ok(Some(FileFact { sha256: hex::encode(Sha256::digest(&bytes)), size: bytes.len() as u64 }))
        }
    }
}

/// Runs `trtexec`; its lines go to the log output and, where they say something new, to the host.
fn build(context: &mut Context, installation: &Installation, list: &[OsString]) -> Result<(Reading, Ended)> {
    let path = context.output("log")?;
    let mut log = File::create(&path).or_environment(format_args!("cannot write {}", path.display()))?;
    let mut reading = Reading::default();
    let mut message = "starting trtexec";
    let libraries = installation.libraries.as_deref();
    let job = Job { program: &installation.program, arguments: list, libraries, folder: None };
    let ended = stream(&job, |line| {
        if let Some(line) = line {
            writeln!(log, "{line}")?;
            if let Some(next) = reading.take(line) {
                message = next;
            }
            let line = Line::parse(line);
            if matches!(line.severity, Severity::Warning | Severity::Error) {
                context.log(format!("trtexec: {}", line.text));
            }
        }
        context.progress(reading.step, Reading::STEPS, "steps", message).map_err(Stopped::Stage)
    });
    let program = installation.program.display();
    let ended = ended.map_err(|stopped| match stopped {
        Stopped::Stage(fault) => fault,
        Stopped::Io(error) => StageFault::environment(format!("cannot run {program}: {error}")),
    })?;
    if !ended.status.success() {
        return Err(diagnose(&reading, &ended.how()));
    }
    let engine_written = list
        .iter()
        .filter_map(|argument| argument.to_str()?.strip_prefix("--saveEngine="))
        .any(|path| fs::metadata(path).is_ok_and(|data| data.len() > 0));
    if !reading.passed || !engine_written {
        // Some releases end with status 0 although nothing was built.
        let what = if reading.passed { "wrote no engine" } else { "ended without saying PASSED" };
        return Err(diagnose(&reading, what));
    }
    Ok((reading, ended))
}

fn read_layers(context: &mut Context, params: &Params, path: &Path) -> Result<LayerReport> {
    if params.profiling_verbosity == ProfilingVerbosity::None {
        return Ok(LayerReport::default());
    }
    // An engine whose layers can't be read is an engine all the same.
    let read = fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| report(&text));
    Ok(read.unwrap_or_else(|reason| {
        context.warn(format!("cannot read the layer report of trtexec: {reason}"));
        LayerReport::default()
    }))
}

/// An INT8 model whose engine has no INT8 layer is not what was asked for, and nobody would see it.
fn check_precision(context: &mut Context, precision: Precision, layers: &LayerReport) {
    let wanted = precision.word();
    let known: usize =
        layers.by_type.iter().filter(|(name, _)| *name != "unknown").map(|(_, count)| count).sum();
    let listed: Vec<String> = layers.by_type.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let (status, reason) = match layers.count(wanted) {
        _ if known == 0 => {
            (GateStatus::NotApplicable, "the engine does not say what its layers compute in".to_owned())
        }
        0 => (GateStatus::Failed, format!("no layer computes in {wanted}: {}", listed.join(", "))),
        count => (GateStatus::Passed, format!("{count} layers compute in {wanted}: {}", listed.join(", "))),
    };
    context.gate("engine-precision", status, reason);
}

fn report_metrics(context: &mut Context, engine: &FileFact, ended: &Ended, layers: &LayerReport) {
    context.metric("engine.size", engine.size as f64 / f64::from(1 << 20), Some("MiB"));
    context.metric("build.time", ended.seconds, Some("s"));
    if !layers.layers.is_empty() {
        context.metric("layers.total", layers.layers.len() as f64, None);
        for name in ["int8", "fp16", "fp32"] {
            context.metric(&format!("layers.{name}"), layers.count(name) as f64, None);
        }
    }
}

fn fact(path: &Path) -> Result<FileFact> {
    let what = || format!("cannot read {}", path.display());
    let mut hasher = Sha256::new();
    let size = io::copy(&mut File::open(path).or_environment(what())?, &mut hasher).or_environment(what())?;
    Ok(FileFact { sha256: hex::encode(hasher.finalize()), size })
}

/// The word that a param's value has in the pipeline.
fn word<T: serde::Serialize>(value: &T) -> Result<String> {
    let value = serde_json::to_value(value).or_internal("cannot encode a param")?;
    value.as_str().map(str::to_owned).ok_or_else(|| StageFault::internal(format!("{value} is not a word")))
}

/// An argument without folders, which differ from run to run.
fn portable(argument: &OsString) -> String {
    let text = argument.to_string_lossy();
    match text.split_once('=') {
        Some((flag, path)) if path.starts_with('/') => {
            let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
            format!("{flag}={}", name.unwrap_or_default())
        }
        _ => text.into_owned(),
    }
}

fn shapes(profile: &Profile) -> BTreeMap<String, Shapes> {
    let shapes = Shapes { min: profile.min, opt: profile.opt, max: profile.max };
    BTreeMap::from([(profile.input.clone(), shapes)])
}
