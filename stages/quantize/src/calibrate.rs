//! Measuring activations on calibration images.

use std::{collections::BTreeMap, path::Path};

use rayon::prelude::*;
use stagewright_onnx::{
    Dim, Probe, ValueType,
    attributes::int,
    infer, node,
    proto::{DataType, GraphProto, ModelProto},
    value_info,
};
use stagewright_sdk::{Result, StageFault};

use crate::{
    histogram::Histogram,
    images::Images,
    params::{Method, Params},
    scale::{Noise, Quantizer, Range},
};

/// Bytes of activations that one batch may take.
const BATCH_BYTES: usize = 256 << 20;

/// Runs a model on images and looks at values inside.
pub struct Calibrator<'a> {
    /// The f32 model.
    pub model: &'a ModelProto,
    /// Its file, for the text of an error.
    pub path: &'a Path,
    /// Images to run.
    pub images: &'a Images<'a>,
    /// Threads of ONNX Runtime.
    pub threads: usize,
    /// Largest batch.
    pub batch: usize,
}

impl Calibrator<'_> {
    /// Range of each value by the method of the params: one pass for the extremes, for the other methods a second one that
    /// counts on a grid laid over them.
    ///
    /// # Errors
    /// ONNX Runtime fails; a value is not finite; the run is cancelled.
    pub fn ranges(
        &self,
        values: &[String],
        params: &Params,
        progress: &mut dyn FnMut(u64, &str) -> Result<()>,
    ) -> Result<BTreeMap<String, Range>> {
        let extremes = self.extremes(values, progress)?;
        if params.method == Method::Minmax {
            return Ok(values.iter().cloned().zip(extremes).collect());
        }
        let mut histograms: Vec<Histogram> = extremes.into_iter().map(Histogram::new).collect();
        self.look(values, "counting values", progress, |found| {
            histograms.par_iter_mut().zip(found).for_each(|(histogram, values)| histogram.add(values));
        })?;
        let range = |histogram: &Histogram| match params.method {
            Method::Entropy => histogram.entropy(),
            _ => histogram.percentile(params.percentile),
        };
        let ranges: Vec<Range> = histograms.par_iter().map(range).collect();
        Ok(values.iter().cloned().zip(ranges).collect())
    }

    /// Signal to noise of each value if it were quantized alone.
    ///
    /// # Errors
    /// As [`Calibrator::ranges`].
    pub fn noise(
        &self,
        quantizers: &[(String, Quantizer)],
        progress: &mut dyn FnMut(u64, &str) -> Result<()>,
    ) -> Result<Vec<Noise>> {
        let names: Vec<String> = quantizers.iter().map(|(name, _)| name.clone()).collect();
        let mut noises = vec![Noise::default(); quantizers.len()];
        self.look(&names, "measuring noise", progress, |found| {
            noises.par_iter_mut().zip(found).zip(quantizers).for_each(|((noise, values), (_, quantizer))| {
                values.iter().for_each(|&value| noise.add(value, quantizer.rounded(value)));
            });
        })?;
        Ok(noises)
    }

    fn extremes(
        &self,
        values: &[String],
        progress: &mut dyn FnMut(u64, &str) -> Result<()>,
    ) -> Result<Vec<Range>> {
        let mut model = self.model.clone();
        let graph = graph_of(&mut model)?;
        graph.output.clear();
        for (index, value) in values.iter().enumerate() {
            for (operator, suffix) in [("ReduceMin", "min"), ("ReduceMax", "max")] {
                let output = format!("stagewright/{suffix}/{index}");
                graph.node.push(node(operator, &output, &[value], &[&output], vec![int("keepdims", 0)]));
                graph.output.push(value_info(&output, DataType::Float, &[]));
            }
        }
        let mut ranges = vec![Range { min: f32::INFINITY, max: f32::NEG_INFINITY }; values.len()];
        let batch = self.batch_for(values)?;
        let mut probe = Probe::open(&model, self.path, self.threads, true)?;
        let mut broken = None;
        self.images.each(batch, |done, images, shape| {
            progress(done, "finding ranges")?;
            Ok(probe.run(images, shape, |index, found| {
                let (range, Some(&value)) = (&mut ranges[index / 2], found.first()) else { return };
                if !value.is_finite() {
                    broken.get_or_insert(index / 2);
                }
                if index % 2 == 0 {
                    range.min = range.min.min(value);
                } else {
                    range.max = range.max.max(value);
                }
            })?)
        })?;
        match broken {
            None => Ok(ranges),
            Some(index) => Err(StageFault::user(format!(
                "the value `{}` is not finite on the calibration images",
                values[index]
            ))
            .hint("the f32 model overflows: look at the layer that makes it, and at the preprocessing")),
        }
    }

    /// Runs all images and gives the values of each batch to `read`.
    fn look(
        &self,
        values: &[String],
        what: &str,
        progress: &mut dyn FnMut(u64, &str) -> Result<()>,
        mut read: impl FnMut(&[&[f32]]),
    ) -> Result<()> {
        let mut model = self.model.clone();
        expose(graph_of(&mut model)?, values);
        let batch = self.batch_for(values)?;
        let mut probe = Probe::open(&model, self.path, self.threads, true)?;
        self.images.each(batch, |done, images, shape| {
            progress(done, what)?;
            Ok(probe.run_all(images, shape, &mut read)?)
        })
    }

    /// As many images as the values of one batch fit into memory for.
    fn batch_for(&self, values: &[String]) -> Result<usize> {
        let mut model = self.model.clone();
        let graph = graph_of(&mut model)?;
        let types = infer(graph)?;
        let elements = |value: &ValueType| -> usize {
            let sizes =
                value.dims.iter().flatten().skip(1).map(|dim| {
                    if let Dim::Size(size) = dim { usize::try_from(*size).unwrap_or(1) } else { 1 }
                });
            sizes.fold(1, usize::saturating_mul)
        };
        let bytes: usize =
            values.iter().filter_map(|value| types.get(value)).map(|value| 4 * elements(value)).sum();
        Ok((BATCH_BYTES / bytes.max(1)).clamp(1, self.batch.max(1)))
    }
}

fn graph_of(model: &mut ModelProto) -> Result<&mut GraphProto> {
    model.graph.as_mut().ok_or_else(|| StageFault::internal("the prepared model has no graph"))
}

/// Makes values the outputs of a graph. An input can't be an output itself, so a copy of it is.
pub fn expose(graph: &mut GraphProto, values: &[String]) {
    graph.output.clear();
    for (index, value) in values.iter().enumerate() {
        let is_input = graph.input.iter().any(|input| input.name() == value);
        let name = if is_input { format!("stagewright/copy/{index}") } else { value.clone() };
        if is_input {
            graph.node.push(node("Identity", &name, &[value], &[&name], vec![]));
        }
        let mut output = value_info(&name, DataType::Float, &[]);
        // The rank is not known here; ONNX Runtime infers it.
        if let Some(stagewright_onnx::proto::type_proto::Value::TensorType(tensor)) =
            output.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        {
            tensor.shape = None;
        }
        graph.output.push(output);
    }
}
