//! What the stage says at the end.

use std::fmt::Write;

use serde_json::{Value, json};
use stagewright_sdk::{Context, GateStatus};

use crate::{
    evaluate::Evaluation,
    fp16::Halved,
    int8::Int8,
    params::{Params, Precision},
};

/// Rows of the tables of single tensors.
const ROWS: usize = 12;

/// What was done inside.
pub enum Inside {
    /// 8-bit integers.
    Int8(Box<Int8>),
    /// Half floats.
    Fp16(Box<Halved>),
}

/// Everything the report is made of.
pub struct Summary<'a> {
    /// The params.
    pub params: &'a Params,
    /// What was done.
    pub inside: Inside,
    /// Calibration images, with the digest of their ids.
    pub calibration: Option<(usize, String)>,
    /// Accuracy, with the split it was measured on.
    pub evaluation: Option<(Evaluation, &'static str)>,
    /// Size of the f32 file.
    pub bytes_before: u64,
    /// Size of the file written.
    pub bytes: u64,
    /// Version of ONNX Runtime.
    pub runtime: String,
}

impl Summary<'_> {
    fn precision(&self) -> &'static str {
        match self.params.precision {
            Precision::Int8 => "int8",
            Precision::Fp16 => "fp16",
        }
    }

    fn float(&self) -> &[(String, String)] {
        match &self.inside {
            Inside::Int8(int8) => &int8.plan.float,
            Inside::Fp16(halved) => &halved.float,
        }
    }

    /// Numbers that are metrics of the run and fields of the artifact `metrics`: name, value, unit.
    fn numbers(&self) -> Vec<(&'static str, f64, Option<&'static str>)> {
        let mut numbers = vec![
            ("size", self.bytes as f64 / 1e6, Some("MB")),
            ("size-ratio", self.bytes_before as f64 / self.bytes.max(1) as f64, None),
            ("nodes.float", self.float().len() as f64, None),
        ];
        if let Inside::Int8(int8) = &self.inside {
            numbers.push(("layers.quantized", int8.plan.layers.len() as f64, None));
            numbers.extend(
                int8.activations
                    .first()
                    .map(|worst| ("sqnr.activations-worst", worst.noise.sqnr(), Some("dB"))),
            );
            numbers
                .extend(int8.weights.first().map(|worst| ("sqnr.weights-worst", worst.1.sqnr(), Some("dB"))));
        }
        if let Some((count, _)) = &self.calibration {
            numbers.push(("calibration.samples", *count as f64, None));
        }
        if let Some((evaluation, _)) = &self.evaluation {
            numbers.extend([
                ("top1.fp32", 100.0 * evaluation.reference_top1, Some("%")),
                ("top1", 100.0 * evaluation.top1, Some("%")),
                ("top1.drop", evaluation.drop(), Some("pp")),
                ("agreement", 100.0 * evaluation.agreement(), Some("%")),
                ("flips", evaluation.flips as f64, None),
                ("sqnr.logits", evaluation.sqnr, Some("dB")),
            ]);
        }
        // A signal without noise has no finite ratio.
        numbers.retain(|(_, value, _)| value.is_finite());
        numbers
    }

    /// Reports the metrics and, if a largest loss was given, whether it was kept.
    pub fn metrics(&self, context: &mut Context) {
        for (name, value, unit) in self.numbers() {
            context.metric(name, value, unit);
        }
        let Some(most) = self.params.max_drop else { return };
        match &self.evaluation {
            Some((evaluation, split)) => {
                let status = if evaluation.drop() <= most { GateStatus::Passed } else { GateStatus::Failed };
                let reason = format!(
                    "{:.2} % instead of {:.2} % on {} {split} samples: a loss of {:.2} pp, at most {most} allowed",
                    100.0 * evaluation.top1,
                    100.0 * evaluation.reference_top1,
                    evaluation.samples,
                    evaluation.drop()
                );
                context.gate("accuracy-drop", status, reason);
            }
            None => context.gate(
                "accuracy-drop",
                GateStatus::NotApplicable,
                "no labelled images were bound to `calibration`",
            ),
        }
    }

    /// The artifact `metrics`.
    pub fn json(&self) -> Value {
        let mut metrics = serde_json::Map::new();
        for (name, value, _) in self.numbers() {
            metrics.insert(name.to_owned(), json!(value));
        }
        metrics.insert("precision".to_owned(), json!(self.precision()));
        metrics.insert("onnxruntime".to_owned(), json!(self.runtime));
        if let Inside::Int8(int8) = &self.inside {
            let activation = |activation: &crate::int8::Activation| {
                json!({
                    "name": activation.name,
                    "min": activation.range.min,
                    "max": activation.range.max,
                    "scale": activation.quantizer.scale,
                    "zero-point": activation.quantizer.zero,
                    // null where nothing was lost.
                    "sqnr": finite(activation.noise.sqnr()),
                })
            };
            metrics.insert("target".to_owned(), json!(self.params.target));
            metrics.insert("method".to_owned(), json!(self.params.method));
            metrics.insert("activations".to_owned(), int8.activations.iter().map(activation).collect());
            metrics.insert(
                "weights".to_owned(),
                int8.weights
                    .iter()
                    .map(|(name, noise)| json!({ "name": name, "sqnr": finite(noise.sqnr()) }))
                    .collect(),
            );
            metrics.insert(
                "sensitivity".to_owned(),
                int8.sensitivity
                    .iter()
                    .map(|(node, sqnr)| json!({ "node": node, "sqnr": finite(*sqnr) }))
                    .collect(),
            );
        }
        if let Some((_, digest)) = &self.calibration {
            metrics.insert("calibration.ids-sha256".to_owned(), json!(digest));
        }
        metrics.insert(
            "float".to_owned(),
            self.float().iter().map(|(node, reason)| json!({ "node": node, "reason": reason })).collect(),
        );
        Value::Object(metrics)
    }

    /// The report. Writing to a String does not fail, so results of `write!` are not looked at.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("# Quantization to {}\n\n| | |\n| --- | --- |\n", self.precision().to_uppercase());
        if let Inside::Int8(_) = &self.inside {
            let Params { target, method, percentile, per_channel, .. } = self.params;
            let name = |value: Value| value.as_str().unwrap_or_default().to_owned();
            let method = match name(json!(method)).as_str() {
                "percentile" => format!("percentile {percentile}"),
                other => other.to_owned(),
            };
            let scales =
                if *per_channel { "one scale for each output channel" } else { "one scale for each weight" };
            let _ = writeln!(
                text,
                "| target | {} |\n| ranges | {method} |\n| weights | {scales} |",
                name(json!(target))
            );
        }
        if let Some((count, digest)) = &self.calibration {
            let _ = writeln!(
                text,
                "| calibration | {count} images of the training split, ids SHA-256 `{digest}` |"
            );
        }
        let _ = writeln!(
            text,
            "| size | {:.2} MB, {:.2}× smaller than {:.2} MB |",
            self.bytes as f64 / 1e6,
            self.bytes_before as f64 / self.bytes.max(1) as f64,
            self.bytes_before as f64 / 1e6
        );
        let _ = writeln!(text, "| ONNX Runtime | {} |", self.runtime);
        self.accuracy(&mut text);
        match &self.inside {
            Inside::Int8(int8) => tensors(int8, &mut text),
            Inside::Fp16(halved) => {
                let _ = write!(
                    text,
                    "\n## Weights\n\n{} weights became half floats; {} were larger than the largest half float and became it, {} became 0.\n",
                    halved.weights, halved.saturated, halved.vanished
                );
            }
        }
        text.push_str("\n## Operators left in f32\n\n");
        if self.float().is_empty() {
            text.push_str("None.\n");
        }
        for (node, reason) in self.float() {
            let _ = writeln!(text, "- `{node}`: {reason}");
        }
        text
    }

    fn accuracy(&self, text: &mut String) {
        let Some((evaluation, split)) = &self.evaluation else {
            text.push_str("\nAccuracy was not measured: no labelled images were bound to `calibration`.\n");
            return;
        };
        let _ = write!(
            text,
            "\n## Accuracy on {} {split} samples\n\n| | FP32 | {} |\n| --- | ---: | ---: |\n| top-1 | {:.2} % | {:.2} % |\n\n\
             Loss {:.2} percentage points. Both predict the same on {:.2} % of the images ({} flips, {} of them from right to wrong). \
             Logits: {:.1} dB signal to noise, largest difference {:.3}.\n",
            evaluation.samples,
            self.precision().to_uppercase(),
            100.0 * evaluation.reference_top1,
            100.0 * evaluation.top1,
            evaluation.drop(),
            100.0 * evaluation.agreement(),
            evaluation.flips,
            evaluation.lost,
            evaluation.sqnr,
            evaluation.max_abs,
        );
    }
}

fn finite(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { Value::Null }
}

fn tensors(int8: &Int8, text: &mut String) {
    let more =
        |count: usize| if count > ROWS { format!(", the {ROWS} worst of {count}") } else { String::new() };
    let _ = write!(
        text,
        "\n## Activations{}\n\nSignal to noise if the value alone were rounded.\n\n| value | range | scale | zero point | SQNR dB |\n| --- | --- | ---: | ---: | ---: |\n",
        more(int8.activations.len())
    );
    for activation in int8.activations.iter().take(ROWS) {
        let (range, quantizer) = (activation.range, activation.quantizer);
        let _ = writeln!(
            text,
            "| `{}` | {:.4} … {:.4} | {:.6} | {} | {:.1} |",
            activation.name,
            range.min,
            range.max,
            quantizer.scale,
            quantizer.zero,
            activation.noise.sqnr()
        );
    }
    let _ =
        write!(text, "\n## Weights{}\n\n| weight | SQNR dB |\n| --- | ---: |\n", more(int8.weights.len()));
    for (name, noise) in int8.weights.iter().take(ROWS) {
        let _ = writeln!(text, "| `{name}` | {:.1} |", noise.sqnr());
    }
    if !int8.sensitivity.is_empty() {
        let _ = write!(
            text,
            "\n## Sensitivity{}\n\nSignal to noise of the logits if nothing but this operator is quantized.\n\n| operator | dB |\n| --- | ---: |\n",
            more(int8.sensitivity.len())
        );
        for (node, sqnr) in int8.sensitivity.iter().take(ROWS) {
            let _ = writeln!(text, "| `{node}` | {sqnr:.1} |");
        }
    }
}
