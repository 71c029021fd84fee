//! Static INT8 quantization from a prepared model to a quantized one.

use std::{collections::BTreeMap, path::Path};

use stagewright_onnx::{
    Session, SessionOptions, encode_model, infer,
    proto::{DataType, GraphProto, ModelProto},
};
use stagewright_sdk::{Result, StageFault};

use crate::{
    calibrate::Calibrator,
    evaluate::{compare, logits},
    exclude,
    images::Images,
    params::{AutoExclude, Params},
    plan::{Plan, Source, View, plan},
    qdq::{self, Quantized},
    scale::{Noise, Quantizer, Range},
};

/// Images that the noise of activations and the sensitivity of layers are measured on.
const PROBED: usize = 64;

/// A quantized model with everything the report says of it.
pub struct Int8 {
    /// The model.
    pub model: ModelProto,
    /// What was quantized.
    pub plan: Plan,
    /// Activations with a range of their own, worst first.
    pub activations: Vec<Activation>,
    /// Weights with what they lost, worst first.
    pub weights: Vec<(String, Noise)>,
    /// Layers with the signal to noise of the logits if nothing but the layer is quantized, worst first. Empty unless layers
    /// were left out by it.
    pub sensitivity: Vec<(String, f64)>,
}

/// One quantized activation.
pub struct Activation {
    /// Name of the value.
    pub name: String,
    /// Range chosen.
    pub range: Range,
    /// What follows from it.
    pub quantizer: Quantizer,
    /// What rounding alone adds to it.
    pub noise: Noise,
}

/// What quantizing takes.
pub struct Work<'a> {
    /// The prepared f32 model.
    pub model: &'a ModelProto,
    /// Its file, for the text of an error.
    pub path: &'a Path,
    /// Calibration images.
    pub images: &'a Images<'a>,
    /// The params.
    pub params: &'a Params,
    /// Threads of ONNX Runtime.
    pub threads: usize,
}

impl Work<'_> {
    /// Plans, calibrates and writes.
    ///
    /// # Errors
    /// Nothing of the model can be quantized; a pattern of `exclude` fits nothing; ONNX Runtime fails; the run is cancelled.
    pub fn quantize(&self, progress: &mut dyn FnMut(u64, &str) -> Result<()>) -> Result<Int8> {
        let graph = self
            .model
            .graph
            .as_ref()
            .ok_or_else(|| StageFault::internal("the prepared model has no graph"))?;
        let view = View::of(graph);
        let mut excluded = exclude::excluded(graph, &self.params.exclude)?;
        let whole = plan(&view, self.params.target, &excluded);
        if whole.layers.is_empty() {
            let reasons: Vec<String> =
                whole.float.iter().take(3).map(|(node, reason)| format!("{node}: {reason}")).collect();
            return Err(StageFault::user(format!(
                "the model has no operator to quantize ({})",
                reasons.join("; ")
            ))
            .hint("Conv, Gemm and MatMul with constant weights are quantized"));
        }
        // With layers left out, values that took another's range or were removed may need one of their own.
        let wanted = if self.params.auto_exclude.is_some() { f32_values(graph)? } else { own(&whole) };
        let calibrator = Calibrator {
            model: self.model,
            path: self.path,
            images: self.images,
            threads: self.threads,
            batch: self.params.batch_size,
        };
        let ranges = calibrator.ranges(&wanted, self.params, progress)?;
        let mut sensitivity = Vec::new();
        if let Some(rule) = self.params.auto_exclude {
            sensitivity = self.leave_out(&view, &whole, &ranges, rule, &mut excluded, progress)?;
        }
        let plan = plan(&view, self.params.target, &excluded);
        let Quantized { model, activations, weights } = qdq::apply(self.model, &plan, &ranges, self.params)?;
        let quantizers: Vec<(String, Quantizer)> = activations.into_iter().collect();
        let some = self.images.first(PROBED);
        let noises = Calibrator { images: &some, ..calibrator }.noise(&quantizers, progress)?;
        let measured = quantizers.into_iter().zip(noises);
        let mut activations: Vec<Activation> = measured
            .map(|((name, quantizer), noise)| Activation { range: ranges[&name], name, quantizer, noise })
            .collect();
        activations.sort_by(|one, other| one.noise.sqnr().total_cmp(&other.noise.sqnr()));
        let mut weights: Vec<(String, Noise)> = weights.into_iter().collect();
        weights.sort_by(|one, other| one.1.sqnr().total_cmp(&other.1.sqnr()));
        Ok(Int8 { model, plan, activations, weights, sensitivity })
    }

    /// Measures what each layer alone does to the logits, then leaves the worst ones out until the models agree.
    fn leave_out(
        &self,
        view: &View<'_>,
        whole: &Plan,
        ranges: &BTreeMap<String, Range>,
        rule: AutoExclude,
        excluded: &mut BTreeMap<usize, String>,
        progress: &mut dyn FnMut(u64, &str) -> Result<()>,
    ) -> Result<Vec<(String, f64)>> {
        let images = self.images.first(PROBED);
        let labels = vec![0; images.count()];
        let mut run = |model: &ModelProto| -> Result<Vec<f32>> {
            let options = SessionOptions { threads: self.threads, ..SessionOptions::default() };
            let mut session = Session::from_bytes(&encode_model(model), self.path, &options)?;
            logits(&mut session, &images, self.params.batch_size, "measuring sensitivity", progress)
        };
        let reference = run(self.model)?;
        let mut measured: Vec<(usize, String, f64)> = Vec::new();
        for layer in &whole.layers {
            let others: BTreeMap<usize, String> = (0..view.graph.node.len())
                .filter(|&index| index != layer.node)
                .map(|index| (index, String::new()))
                .collect();
            let alone =
                qdq::apply(self.model, &plan(view, self.params.target, &others), ranges, self.params)?;
            let sqnr = compare(&reference, &run(&alone.model)?, &labels).sqnr;
            measured.push((layer.node, view.graph.node[layer.node].label(), sqnr));
        }
        measured.sort_by(|one, other| one.2.total_cmp(&other.2));
        for (node, _, sqnr) in measured.iter().take(rule.max_nodes) {
            let quantized =
                qdq::apply(self.model, &plan(view, self.params.target, excluded), ranges, self.params)?;
            if compare(&reference, &run(&quantized.model)?, &labels).agreement() >= rule.min_agreement {
                break;
            }
            excluded.insert(*node, format!("`auto-exclude`: alone it leaves {sqnr:.1} dB of the logits"));
        }
        Ok(measured.into_iter().map(|(_, label, sqnr)| (label, sqnr)).collect())
    }
}

/// Activations with a range of their own.
fn own(plan: &Plan) -> Vec<String> {
    plan.activations
        .iter()
        .filter(|(_, source)| **source == Source::Own)
        .map(|(name, _)| name.clone())
        .collect()
}

/// All inputs and values between nodes that are f32.
fn f32_values(graph: &GraphProto) -> Result<Vec<String>> {
    let types = infer(graph)?;
    let names = graph
        .input
        .iter()
        .map(|input| input.name())
        .chain(graph.node.iter().flat_map(|node| &node.output).map(String::as_str));
    let is_f32 = |name: &&str| types.get(*name).is_some_and(|kind| kind.element == Some(DataType::Float));
    Ok(names.filter(is_f32).map(str::to_owned).collect())
}
