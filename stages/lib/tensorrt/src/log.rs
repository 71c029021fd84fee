//! What `trtexec` says: its lines, how far it has come, what it found, and why it failed.

use stagewright_sdk::StageFault;

/// Seriousness of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// `[V]`.
    Verbose,
    /// `[I]`, and lines without a mark.
    Info,
    /// `[W]`.
    Warning,
    /// `[E]`, and `[F]` for errors inside TensorRT.
    Error,
}

/// One line without its decoration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// How serious it is.
    pub severity: Severity,
    /// The text after date, mark and `[TRT]`.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// Reads `[04/23/2025-08:07:24] [I] [TRT] text`; every part before the text may be missing.
    pub fn parse(line: &'a str) -> Self {
        let mut rest = line.trim();
        let mut severity = Severity::Info;
        while let Some((mark, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            match mark {
                "V" => severity = Severity::Verbose,
                "I" => severity = Severity::Info,
                "W" => severity = Severity::Warning,
                "E" | "F" => severity = Severity::Error,
                "TRT" => {}
                date if date.len() == 19 && date.as_bytes()[2] == b'/' && date.as_bytes()[10] == b'-' => {}
                _ => break,
            }
            rest = after.trim_start();
        }
        Self { severity, text: rest }
    }
}

/// What has been read off the lines so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Errors in order, each once, at most [`Reading::MOST`].
    pub errors: Vec<String>,
    /// Warnings in order, each once, at most [`Reading::MOST`].
    pub warnings: Vec<String>,
    /// Model of the GPU that was used.
    pub gpu: Option<String>,
    /// Its compute capability.
    pub compute_capability: Option<String>,
    /// It ended with `PASSED`.
    pub passed: bool,
    /// Steps that have begun, of [`Reading::STEPS`].
    pub step: u64,
    last_line: Option<String>,
}

/// Beginnings of lines that a step starts with, in the order they come.
const MILESTONES: [(&str, &str); 5] = [
    ("TensorRT version", "starting"),
    ("Start parsing network model", "parsing the model"),
    ("Finished parsing network model", "choosing kernels"),
    ("Engine generation completed", "writing the engine"),
    ("Engine built in", "reading the engine's layers"),
];

impl Reading {
    /// Most errors and warnings that are kept.
    pub const MOST: usize = 8;
    /// Number of steps that are told apart.
    pub const STEPS: u64 = MILESTONES.len() as u64;

    /// Takes a line in; gives what begins with it, if anything does.
    pub fn take(&mut self, raw: &str) -> Option<&'static str> {
        let line = Line::parse(raw);
        if line.text.is_empty() {
            return None;
        }
        self.last_line = Some(line.text.to_owned());
        match line.severity {
            Severity::Error => keep(&mut self.errors, line.text),
            Severity::Warning => keep(&mut self.warnings, line.text),
            Severity::Info | Severity::Verbose => {}
        }
        if let Some(name) = line.text.strip_prefix("Selected Device: ") {
            self.gpu = Some(name.to_owned());
        }
        if let Some(capability) = line.text.strip_prefix("Compute Capability: ") {
            self.compute_capability = Some(capability.to_owned());
        }
        // Said without a mark, and the only word on it.
        if line.text.contains("Cannot find any available devices")
            || line.text.starts_with("Cannot find device ID")
        {
            keep(&mut self.errors, line.text);
        }
        if line.text.starts_with("&&&& PASSED") {
            self.passed = true;
        }
        let reached = MILESTONES.iter().position(|(start, _)| line.text.starts_with(start))?;
        self.step = self.step.max(reached as u64 + 1);
        Some(MILESTONES[reached].1)
    }
}

fn keep(list: &mut Vec<String>, text: &str) {
    if list.len() < Reading::MOST && !list.iter().any(|known| known == text) {
        list.push(text.to_owned());
    }
}

/// Words in an error, whose fault it is, and what to do.
struct Pattern {
    words: &'static [&'static str],
    fault: fn(String) -> StageFault,
    hint: &'static str,
}

const PATTERNS: [Pattern; 10] = [
    Pattern {
        words: &[
            "not compatible with this version of tensorrt",
            "incompatible device",
            "engine deserialization failed",
            "failed to deserialize",
            "serialization error",
            "magic tag does not match",
            "version tag does not match",
        ],
        fault: StageFault::environment,
        hint: "an engine runs only with the TensorRT and on the model of GPU it was built for: build it again here",
    },
    Pattern {
        words: &["out of memory", "outofmemory", "cudaerrormemoryallocation", "insufficient memory"],
        fault: StageFault::environment,
        hint: "free memory on the GPU, or lower `batch.max` or `workspace`",
    },
    Pattern {
        words: &["could not load library", "cannot open shared object", "unable to load library"],
        fault: StageFault::environment,
        hint: "TensorRT's libraries are not found: set TENSORRT_HOME, or LD_LIBRARY_PATH to their folder",
    },
    Pattern {
        words: &[
            "cannot find any available devices",
            "cannot find device id",
            "cuda initialization failure",
            "driver version is insufficient",
            "no cuda-capable device",
        ],
        fault: StageFault::environment,
        hint: "check `nvidia-smi`, the param `device`, CUDA_VISIBLE_DEVICES and that the driver is new enough for this TensorRT",
    },
    Pattern {
        words: &["not present in the timing cache", "timing cache miss", "timing cache"],
        fault: StageFault::user,
        hint: "`timing-cache: complete` needs a cache of the same model, GPU and TensorRT version; use `on` to measure what is missing",
    },
    Pattern {
        words: &[
            "no importer registered for op",
            "unsupported_node",
            "plugin not found",
            "unsupported operation",
        ],
        fault: StageFault::user,
        hint: "this TensorRT has no such operator: export the model at another opset, or replace the layer",
    },
    Pattern {
        words: &["could not find any implementation for node"],
        fault: StageFault::user,
        hint: "raise `workspace` or `optimization-level`, or check the number types around that node",
    },
    Pattern {
        words: &[
            "failed to parse onnx",
            "failed to parse input model",
            "parsing model failed",
            "while parsing node",
        ],
        fault: StageFault::user,
        hint: "the log names the node; check the model with `onnx.checker` or export it again",
    },
    Pattern {
        words: &["unknown option", "invalid usage", "unknown hardwarecompatibilitylevel"],
        fault: StageFault::internal,
        hint: "this stage and this version of trtexec do not fit each other",
    },
    Pattern {
        words: &[
            "no space left",
            "failed to write",
            "cannot open file",
            "failed to open",
            "permission denied",
        ],
        fault: StageFault::environment,
        hint: "check free space and rights in the store's file system",
    },
];

/// The fault of a run of `trtexec` that failed: the errors that `trtexec` gave, whose they are, what to do. `how` says how the program
/// ended.
pub fn diagnose(reading: &Reading, how: &str) -> StageFault {
    // The last errors only say that there was one.
    let empty =
        ["engine set up failed", "failed to create engine from model or file", "engine could not be created"];
    let telling = |text: &&String| !empty.iter().any(|words| text.to_lowercase().starts_with(words));
    let mut reasons: Vec<&str> = reading.errors.iter().filter(telling).map(String::as_str).take(4).collect();
    if reasons.is_empty() {
        reasons = reading.errors.iter().map(String::as_str).take(1).collect();
    }
    if reasons.is_empty() {
        reasons.extend(reading.last_line.as_deref());
    }
    let message = format!(
        "trtexec {how}: {}",
        if reasons.is_empty() { "it said nothing".to_owned() } else { reasons.join("; ") }
    );
    let said = reading.errors.join("\n").to_lowercase();
    let fits = |pattern: &&Pattern| pattern.words.iter().any(|words| said.contains(words));
    match PATTERNS.iter().find(fits) {
        Some(pattern) => (pattern.fault)(message).hint(pattern.hint),
        None => StageFault::environment(message).hint("the log holds all that trtexec said"),
    }
}
