//! What the stage says at the end.

use std::{collections::BTreeMap, fmt::Write};

use stagewright_model::Checkpoint;
use stagewright_onnx::proto::ModelProto;
use stagewright_sdk::Context;

use crate::{Params, Run};

/// Everything the report is made of.
pub struct Summary<'a> {
    /// The network.
    pub checkpoint: &'a Checkpoint,
    /// The model written.
    pub model: &'a ModelProto,
    /// How it was asked for.
    pub params: &'a Params,
    /// The comparisons.
    pub runs: &'a [Run],
    /// Where the images are from.
    pub samples: &'a str,
    /// Size of the file.
    pub bytes: u64,
    /// Version of ONNX Runtime.
    pub runtime: String,
}

impl Summary<'_> {
    /// Operators by kind.
    fn operators(&self) -> BTreeMap<&str, usize> {
        let mut operators = BTreeMap::new();
        for node in self.model.graph.iter().flat_map(|graph| &graph.node) {
            *operators.entry(node.op_type()).or_insert(0) += 1;
        }
        operators
    }

    fn worst(&self, value: impl Fn(&Run) -> f64, larger_is_worse: bool) -> f64 {
        let values = self.runs.iter().map(value);
        if larger_is_worse { values.fold(0.0, f64::max) } else { values.fold(f64::INFINITY, f64::min) }
    }

    fn max_abs(&self) -> f64 {
        self.worst(|run| run.comparison.max_abs, true)
    }

    fn mean_abs(&self) -> f64 {
        self.worst(|run| run.comparison.mean_abs, true)
    }

    fn cosine(&self) -> f64 {
        self.worst(|run| run.comparison.min_cosine, false)
    }

    /// In percent.
    fn agreement(&self) -> f64 {
        100.0 * self.worst(|run| run.comparison.agreement, false)
    }

    fn tolerance_used(&self) -> f64 {
        self.worst(|run| run.comparison.worst.ratio, true)
    }

    /// The same numbers as metrics of the run, each the worst of all comparisons.
    pub fn metrics(&self, context: &mut Context) {
        context.metric("parity.max-abs", self.max_abs(), None);
        context.metric("parity.mean-abs", self.mean_abs(), None);
        context.metric("parity.cosine", self.cosine(), None);
        context.metric("parity.agreement", self.agreement(), Some("%"));
        context.metric("parity.tolerance-used", self.tolerance_used(), None);
        context.metric("size", self.bytes as f64 / 1e6, Some("MB"));
        context.metric("nodes", self.operators().values().sum::<usize>() as f64, None);
    }

    /// The artifact `metrics`.
    pub fn json(&self) -> serde_json::Value {
        let run = |run: &Run| {
            let comparison = &run.comparison;
            serde_json::json!({
                "batch": run.batch,
                "size": run.size,
                "samples": comparison.samples,
                "max-abs": comparison.max_abs,
                "mean-abs": comparison.mean_abs,
                "cosine": comparison.min_cosine,
                "agreement": 100.0 * comparison.agreement,
                "tolerance-used": comparison.worst.ratio,
            })
        };
        serde_json::json!({
            "parity.max-abs": self.max_abs(),
            "parity.mean-abs": self.mean_abs(),
            "parity.cosine": self.cosine(),
            "parity.agreement": self.agreement(),
            "parity.tolerance-used": self.tolerance_used(),
            "size": self.bytes as f64 / 1e6,
            "nodes": self.operators().values().sum::<usize>(),
            "opset": self.params.opset,
            "onnxruntime": self.runtime,
            "operators": self.operators(),
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }

    /// The report.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# ONNX export\n\n");
        let (params, input) = (self.params, self.checkpoint.architecture.input);
        let side = |size: usize, axis: usize| match params.dynamic_size {
            Some(range) => format!("{}–{}", range.min[axis], range.max[axis]),
            None => size.to_string(),
        };
        let batch = params.fixed_batch.map_or_else(|| "any".to_owned(), |batch| batch.to_string());
        let operators: Vec<String> =
            self.operators().iter().map(|(operator, count)| format!("{count} {operator}")).collect();
        let facts = [
            (
                "input",
                format!(
                    "`{}`: batch {batch}, {} channels, {}×{} pixels, f32",
                    params.input_name,
                    input.channels,
                    side(input.height, 0),
                    side(input.width, 1)
                ),
            ),
            (
                "output",
                format!("`{}`: {} logits, f32", params.output_name, self.checkpoint.architecture.classes),
            ),
            ("operator set", format!("{}, file format {}", params.opset, self.model.ir_version())),
            ("operators", operators.join(", ")),
            (
                "batch norm",
                (if params.fold_batch_norm { "folded into the convolutions" } else { "kept" }).to_owned(),
            ),
            ("size", format!("{:.2} MB", self.bytes as f64 / 1e6)),
        ];
        text.push_str("| | |\n| --- | --- |\n");
        for (name, value) in facts {
            // Writing to a String does not fail.
            let _ = writeln!(text, "| {name} | {value} |");
        }
        let _ = write!(
            text,
            "\n## ONNX Runtime {} against libtorch\n\n{}. A logit may differ by {:e} + {:e} · (largest logit of the sample).\n\n\
             | batch | pixels | samples | max. difference | mean difference | smallest cosine | same prediction | tolerance used |\n\
             | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            self.runtime, self.samples, params.parity.atol, params.parity.rtol
        );
        for Run { batch, size, comparison } in self.runs {
            let _ = writeln!(
                text,
                "| {batch} | {}×{} | {} | {:.3e} | {:.3e} | {:.9} | {:.2} % | {:.4} |",
                size[0],
                size[1],
                comparison.samples,
                comparison.max_abs,
                comparison.mean_abs,
                comparison.min_cosine,
                100.0 * comparison.agreement,
                comparison.worst.ratio
            );
        }
        text
    }
}
