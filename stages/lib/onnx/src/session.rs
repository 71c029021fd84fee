//! Running an image classifier.

use std::path::{Path, PathBuf};

use ort::{
    logging::LogLevel,
    session::builder::{GraphOptimizationLevel, SessionBuilder},
    value::{TensorElementType, TensorRef, ValueType},
};

use crate::{OnnxError, library::environment};

/// How a [`Session`] runs.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionOptions {
    /// Threads inside an operator, at least 1.
    pub threads: usize,
    /// Prefix of the file that the time of every operator is written to, see [`Session::end_profiling`].
    pub profile: Option<PathBuf>,
    /// Lets ONNX Runtime rewrite the graph for this machine (fusion, layouts, quantized kernels); off, every node runs
    /// as it is written.
    pub optimize: bool,
    /// Height and width to use where the model leaves them open.
    pub size: Option<[usize; 2]>,
    /// Lets idle threads spin for a while before they sleep: lower latency for more processor time.
    pub spinning: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { threads: 1, profile: None, optimize: true, size: None, spinning: true }
    }
}

/// What a model reads: `[batch, channels, height, width]` f32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputInfo {
    /// Name of the input.
    pub name: String,
    /// Batch size, if the model fixes it.
    pub batch: Option<usize>,
    /// Number of channels, if the model fixes it.
    pub channels: Option<usize>,
    /// Height in pixels, if the model fixes it.
    pub height: Option<usize>,
    /// Width in pixels, if the model fixes it.
    pub width: Option<usize>,
}

/// A loaded model: one image input, one output of logits.
pub struct Session {
    inner: ort::session::Session,
    path: PathBuf,
    input: InputInfo,
    classes: usize,
    size: Option<[usize; 2]>,
}

/// A builder with what every session here has in common.
pub(crate) fn builder(
    threads: usize,
    optimize: GraphOptimizationLevel,
    path: &Path,
) -> Result<SessionBuilder, OnnxError> {
    let failed = |error: ort::Error<SessionBuilder>| OnnxError::session(path, error);
    SessionBuilder::new(environment()?)
        .map_err(|error| OnnxError::session(path, error))?
        .with_intra_threads(threads.max(1))
        .map_err(failed)?
        .with_inter_threads(1)
        .map_err(failed)?
        .with_optimization_level(optimize)
        .map_err(failed)?
        .with_log_level(LogLevel::Error)
        .map_err(failed)
}

impl Session {
    /// Loads a model file.
    ///
    /// # Errors
    /// The library is not found; the file is not a model or has an operator that ONNX Runtime does not know; the model is
    /// not an image classifier: one f32 input of four dimensions, one f32 output of two.
    pub fn open(path: &Path, options: &SessionOptions) -> Result<Self, OnnxError> {
        if !path.is_file() {
            return Err(OnnxError::Read {
                path: path.to_owned(),
                reason: "there is no such file".to_owned(),
            });
        }
        Self::build(path, options, |builder| builder.commit_from_file(path))
    }

    /// Loads a model from memory; `path` is only for the text of an error.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn from_bytes(bytes: &[u8], path: &Path, options: &SessionOptions) -> Result<Self, OnnxError> {
        Self::build(path, options, |builder| builder.commit_from_memory(bytes))
    }

    fn build(
        path: &Path,
        options: &SessionOptions,
        commit: impl FnOnce(&mut SessionBuilder) -> ort::Result<ort::session::Session>,
    ) -> Result<Self, OnnxError> {
        let level =
            if options.optimize { GraphOptimizationLevel::All } else { GraphOptimizationLevel::Disable };
        let mut builder = builder(options.threads, level, path)?;
        let failed = |error: ort::Error<SessionBuilder>| OnnxError::session(path, error);
        if let Some(prefix) = &options.profile {
            builder = builder.with_profiling(prefix).map_err(failed)?;
        }
        if !options.spinning {
            builder = builder.with_intra_op_spinning(false).map_err(failed)?;
        }
        let inner = commit(&mut builder).map_err(|error| OnnxError::session(path, error))?;
        let input = input_info(&inner, path)?;
        let classes = output_classes(&inner, path)?;
        let size = match (input.height, input.width) {
            (Some(height), Some(width)) => Some([height, width]),
            _ => options.size.or_else(|| contract_size(&inner)),
        };
        let mut session = Self { inner, path: path.to_owned(), input, classes: classes.unwrap_or(0), size };
        if classes.is_none() {
            session.classes = session.probe_classes()?;
        }
        Ok(session)
    }

    /// Runs images through the model.
    ///
    /// `input` holds `batch` images one after the other, each `[channels, height, width]`. A model whose batch size is
    /// fixed runs as often as it takes. Gives the logits, `[batch, classes]`.
    ///
    /// # Errors
    /// The length of `input` is not that of `batch` images; a fixed batch size does not divide `batch`; ONNX Runtime fails.
    pub fn run(&mut self, input: &[f32], batch: usize) -> Result<Vec<f32>, OnnxError> {
        let size = match self.size {
            Some(size) => size,
            None => self.square(input.len(), batch)?,
        };
        self.run_sized(input, batch, size)
    }

    /// As [`Session::run`], for images of a given height and width.
    ///
    /// # Errors
    /// As [`Session::run`]; also a size that the model does not take.
    pub fn run_sized(
        &mut self,
        input: &[f32],
        batch: usize,
        [height, width]: [usize; 2],
    ) -> Result<Vec<f32>, OnnxError> {
        let channels = self.input.channels.unwrap_or(3);
        let pixels = channels * height * width;
        if batch == 0 || input.len() != batch * pixels {
            let reason =
                format!("{} values are not {batch} images of {channels}×{height}×{width}", input.len());
            return Err(OnnxError::run(&self.path, reason));
        }
        let step = self.input.batch.unwrap_or(batch);
        if !batch.is_multiple_of(step) {
            let reason = format!("it takes {step} images at a time, which does not divide {batch}");
            return Err(OnnxError::run(&self.path, reason));
        }
        let mut logits = Vec::with_capacity(batch * self.classes);
        for images in input.chunks_exact(step * pixels) {
            let failed =
                |error: ort::Error| OnnxError::Run { path: self.path.clone(), reason: error.to_string() };
            let tensor =
                TensorRef::from_array_view(([step, channels, height, width], images)).map_err(failed)?;
            let outputs = self.inner.run(ort::inputs![tensor]).map_err(failed)?;
            let (shape, values) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
            // 0 while the number of classes is being found out.
            let classes = if self.classes == 0 { values.len() / step } else { self.classes };
            if values.len() != step * classes {
                let reason = format!(
                    "its output has shape {shape:?} for {step} images, [{step}, {classes}] was expected"
                );
                return Err(OnnxError::run(&self.path, reason));
            }
            logits.extend_from_slice(values);
        }
        Ok(logits)
    }

    /// What the model reads.
    pub fn input(&self) -> &InputInfo {
        &self.input
    }

    /// Width of the output.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Value of a metadata key of the model.
    pub fn metadata(&self, key: &str) -> Option<String> {
        custom(&self.inner, key)
    }

    /// Ends profiling and gives the path of the file with the times (a JSON list of events in Chrome's trace format).
    ///
    /// # Errors
    /// Profiling was not asked for, or the file can't be written.
    pub fn end_profiling(&mut self) -> Result<PathBuf, OnnxError> {
        let name = self.inner.end_profiling().map_err(|error| OnnxError::run(&self.path, error))?;
        if name.is_empty() {
            return Err(OnnxError::run(&self.path, "profiling was not asked for when it was opened"));
        }
        Ok(PathBuf::from(name))
    }

    /// Where neither the model nor its metadata nor the caller says: images are taken as square.
    fn square(&self, values: usize, batch: usize) -> Result<[usize; 2], OnnxError> {
        let pixels = values / batch.max(1) / self.input.channels.unwrap_or(3);
        let side = pixels.isqrt();
        if side * side == pixels && side > 0 {
            return Ok([side, side]);
        }
        Err(OnnxError::run(
            &self.path,
            format!("it leaves height and width open, and {pixels} pixels are not a square image"),
        ))
    }

    fn probe_classes(&mut self) -> Result<usize, OnnxError> {
        let size = self.size.unwrap_or([32, 32]);
        let batch = self.input.batch.unwrap_or(1);
        let image = vec![0.0; batch * self.input.channels.unwrap_or(3) * size[0] * size[1]];
        Ok(self.run_sized(&image, batch, size)?.len() / batch)
    }
}

fn custom(session: &ort::session::Session, key: &str) -> Option<String> {
    session.metadata().ok().and_then(|metadata| metadata.custom(key))
}

/// Size in the preprocessing contract that the model carries.
fn contract_size(session: &ort::session::Session) -> Option<[usize; 2]> {
    let contract: serde_json::Value =
        serde_json::from_str(&custom(session, "stagewright.preprocess")?).ok()?;
    let side = |index: usize| usize::try_from(contract["size"][index].as_u64()?).ok();
    Some([side(0)?, side(1)?])
}

fn input_info(session: &ort::session::Session, path: &Path) -> Result<InputInfo, OnnxError> {
    let unsupported = |what: String| {
        OnnxError::Unsupported(format!(
            "{} {what}; one f32 image input [batch, channels, height, width] was expected",
            path.display()
        ))
    };
    let [input] = session.inputs() else {
        return Err(unsupported(format!("has {} inputs", session.inputs().len())));
    };
    let ValueType::Tensor { ty, shape, .. } = input.dtype() else {
        return Err(unsupported(format!("has an input `{}` that is no tensor", input.name())));
    };
    if *ty != TensorElementType::Float32 || shape.len() != 4 {
        return Err(unsupported(format!(
            "has an input `{}` of type {ty:?} and shape {shape:?}",
            input.name()
        )));
    }
    let size = |index: usize| usize::try_from(shape[index]).ok();
    Ok(InputInfo {
        name: input.name().to_owned(),
        batch: size(0),
        channels: size(1),
        height: size(2),
        width: size(3),
    })
}

/// Number of classes, if the model says it.
fn output_classes(session: &ort::session::Session, path: &Path) -> Result<Option<usize>, OnnxError> {
    let unsupported = |what: String| {
        OnnxError::Unsupported(format!(
            "{} {what}; one f32 output of logits [batch, classes] was expected",
            path.display()
        ))
    };
    let [output] = session.outputs() else {
        return Err(unsupported(format!("has {} outputs", session.outputs().len())));
    };
    match output.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } if shape.len() == 2 => {
            Ok(usize::try_from(shape[1]).ok())
        }
        // The rank is unknown: found out by running.
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } if shape.is_empty() => Ok(None),
        ValueType::Tensor { ty, shape, .. } => {
            Err(unsupported(format!("has an output `{}` of type {ty:?} and shape {shape:?}", output.name())))
        }
        _ => Err(unsupported(format!("has an output `{}` that is no tensor", output.name()))),
    }
}
