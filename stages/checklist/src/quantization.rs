//! `quantization-verified`: the candidate is a quantized model, its numbers are sane, and it answers as its origin does.

use std::{collections::BTreeSet, path::Path};

use stagewright_measure::{Predictions, statistics::Discordant};
use stagewright_onnx::{
    metadata,
    proto::{DataType, GraphProto, ModelProto, TensorProto},
    read_model,
};
use stagewright_sdk::Result;

use crate::{
    finding::{Case, Finding},
    params::Quantization,
};

const CHECK: &str = "quantization-verified";

/// Counts of a model's quantization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Scales {
    quantize: usize,
    dequantize: usize,
    /// Values of all scales.
    values: usize,
    /// Those not finite or not above 0.
    bad: usize,
    /// Scales that are computed at run time and can't be looked at.
    dynamic: usize,
}

impl Scales {
    /// Operators that quantize or are quantized.
    fn nodes(&self) -> usize {
        self.quantize + self.dequantize + self.dynamic
    }
}

/// Compares the candidate with its origin.
///
/// # Errors
/// A model can't be read.
pub fn check(
    candidate: &Path,
    bounds: &Quantization,
    baseline: &Predictions,
    own: &Predictions,
) -> Result<Finding> {
    let model = read_model(candidate)?;
    let scales = scales(&model)?;
    let precision = metadata(&model, "stagewright.precision")
        .unwrap_or(if has_halves(&model) { "fp16" } else { "unknown" })
        .to_owned();
    if scales.nodes() == 0 && precision != "fp16" {
        let reason = format!(
            "the candidate is not quantized: precision {precision}, no operator in it quantizes and no weight is a half float"
        );
        return Ok(Finding::not_applicable(CHECK, reason));
    }
    let mut case = Case::default();
    case.note("precision", precision);
    if scales.nodes() > 0 {
        case.note(
            "QuantizeLinear and DequantizeLinear",
            format!("{} and {}", scales.quantize, scales.dequantize),
        );
        let found = format!("{} of {}", scales.values - scales.bad, scales.values);
        case.must("scales that are finite and above 0", found, "all".to_owned(), scales.bad == 0);
        if scales.dynamic > 0 {
            case.note("scales computed at run time", scales.dynamic.to_string());
        }
    }
    let not_finite = own.not_finite();
    case.must(
        "images with logits that are not finite",
        not_finite.to_string(),
        "0".to_owned(),
        not_finite == 0,
    );
    let pairs = Discordant::count(&baseline.correct(), &own.correct());
    let drop = pairs.drop();
    case.must(
        "accuracy lost on the test split",
        format!(
            "{:+.2} pp (95 % interval {:+.2} to {:+.2}, McNemar p = {:.3})",
            drop.estimate,
            drop.low,
            drop.high,
            pairs.mcnemar()
        ),
        format!("at most {} pp", bounds.max_drop),
        drop.estimate <= bounds.max_drop,
    );
    let agreement = own.agreement_percent(baseline);
    case.must(
        "images for which both name the same class",
        format!("{agreement:.2} %"),
        format!("at least {} %", bounds.min_agreement),
        agreement >= bounds.min_agreement,
    );
    let summary = format!(
        "accuracy {:.2} % against {:.2} % on {} test images, the same class for {agreement:.2} %",
        own.top1_percent(),
        baseline.top1_percent(),
        own.len()
    );
    Ok(case.close(CHECK, summary))
}

fn scales(model: &ModelProto) -> Result<Scales> {
    let mut counts = Scales::default();
    let Some(graph) = &model.graph else { return Ok(counts) };
    // A pair of nodes shares its scale.
    let mut seen = BTreeSet::new();
    for node in &graph.node {
        match node.op_type() {
            "QuantizeLinear" => counts.quantize += 1,
            "DequantizeLinear" => counts.dequantize += 1,
            "DynamicQuantizeLinear" => {
                counts.dynamic += 1;
                continue;
            }
            _ => continue,
        }
        let Some(name) = node.input_at(1).filter(|name| seen.insert(*name)) else { continue };
        match constant(graph, name) {
            Some(tensor) => {
                let values = tensor.to_f32()?;
                counts.bad += values.iter().filter(|scale| !(scale.is_finite() && **scale > 0.0)).count();
                counts.values += values.len();
            }
            None => counts.dynamic += 1,
        }
    }
    Ok(counts)
}

/// A value that the graph holds: an initializer, or the output of a `Constant`.
fn constant<'a>(graph: &'a GraphProto, name: &str) -> Option<&'a TensorProto> {
    let node =
        || graph.node.iter().find(|node| node.op_type() == "Constant" && node.output_at(0) == Some(name));
    let initializer = graph.initializer.iter().find(|tensor| tensor.name() == name);
    initializer.or_else(|| node()?.attribute.iter().find_map(|attribute| attribute.t.as_ref()))
}

fn has_halves(model: &ModelProto) -> bool {
    let tensors = model.graph.iter().flat_map(|graph| &graph.initializer);
    tensors.into_iter().any(|tensor| tensor.element_type() == Some(DataType::Float16))
}
