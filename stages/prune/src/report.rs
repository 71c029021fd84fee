//! What is written about a pruning: a Markdown page for people, one JSON object for programs.

use std::fmt::Write;

use serde::Serialize;
use stagewright_model::{ArchitectureError, Checkpoint};

use crate::{
    method::How,
    params::{Latency, Method},
    tune::Epoch,
};

/// Figures of one state of the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// Trainable values.
    pub parameters: u64,
    /// Those that are not 0.
    pub nonzero: u64,
    /// Share of zeros in the weights of convolutions and linear layers, 0 to 1.
    pub sparsity: f64,
    /// Multiply–accumulates of one image.
    pub macs: u64,
    /// Floating-point operations of one image, 2·MACs.
    pub flops: u64,
    /// Bytes of the file of weights.
    pub file_size: u64,
    /// Percentage of validation images classified right, where there are any.
    pub top1: Option<f64>,
    /// Mean cross-entropy over them.
    pub loss: Option<f64>,
}

/// One convolution or linear layer before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerRow {
    /// Name.
    pub layer: String,
    /// Shape of its weight before and after.
    pub weight: [Vec<usize>; 2],
    /// Trainable values before and after.
    pub parameters: [u64; 2],
    /// Multiply–accumulates before and after.
    pub macs: [u64; 2],
    /// Share of zeros in its weight before and after.
    pub sparsity: [f64; 2],
}

/// Accuracy with one layer, or layers that share their channels, pruned.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Curve {
    /// The layers.
    pub layers: Vec<String>,
    /// Percentage of the sampled validation images classified right, for each amount.
    pub top1: Vec<f64>,
}

/// Everything there is to report.
pub struct Report<'a> {
    /// How it was pruned.
    pub method: &'a Method,
    /// What was zeroed or taken out.
    pub how: &'a How,
    /// Before, after pruning, and after fine-tuning where there was any.
    pub states: Vec<(&'static str, State)>,
    /// Layers before and after all.
    pub layers: Vec<LayerRow>,
    /// Median milliseconds before and after.
    pub latency: Option<[f64; 2]>,
    /// How latency was measured.
    pub latency_params: &'a Latency,
    /// Where, and on how many threads.
    pub machine: String,
    /// Validation images that accuracy was measured with.
    pub validation_images: usize,
    /// Epochs of fine-tuning and the one that was kept.
    pub tuning: Option<(&'a [Epoch], u32)>,
    /// Shares and curves.
    pub sensitivity: Option<(&'a [f64], Vec<Curve>)>,
}

/// Counts what can be counted of a network; accuracy is left open.
pub fn count(checkpoint: &Checkpoint) -> Result<State, ArchitectureError> {
    let cost = checkpoint.architecture.cost()?;
    let trainable = checkpoint
        .tensors
        .iter()
        .filter(|(name, _)| !name.ends_with("running_mean") && !name.ends_with("running_var"));
    let nonzero =
        trainable.flat_map(|(_, tensor)| &tensor.data).filter(|value| **value != 0.0).count() as u64;
    let weights = checkpoint
        .tensors
        .iter()
        .filter(|(name, tensor)| name.ends_with(".weight") && tensor.shape.len() > 1);
    let weights: Vec<f32> = weights.flat_map(|(_, tensor)| tensor.data.iter().copied()).collect();
    Ok(State {
        parameters: cost.parameters,
        nonzero,
        sparsity: zeros(&weights),
        macs: cost.macs,
        flops: cost.flops(),
        file_size: crate::measure::file_size(checkpoint),
        top1: None,
        loss: None,
    })
}

/// Compares the layers of two networks with the same layers.
pub fn rows(before: &Checkpoint, after: &Checkpoint) -> Result<Vec<LayerRow>, ArchitectureError> {
    let (old, new) = (before.architecture.cost()?, after.architecture.cost()?);
    let mut rows = Vec::new();
    for (old, new) in old.layers.iter().zip(&new.layers) {
        let name = format!("{}.weight", old.name);
        let (Some(was), Some(is)) = (before.tensors.get(&name), after.tensors.get(&name)) else { continue };
        if was.shape.len() < 2 {
            continue;
        }
        rows.push(LayerRow {
            layer: old.name.clone(),
            weight: [was.shape.clone(), is.shape.clone()],
            parameters: [old.parameters, new.parameters],
            macs: [old.macs, new.macs],
            sparsity: [zeros(&was.data), zeros(&is.data)],
        });
    }
    Ok(rows)
}

fn zeros(values: &[f32]) -> f64 {
    values.iter().filter(|value| **value == 0.0).count() as f64 / values.len().max(1) as f64
}

impl Report<'_> {
    /// The page.
    pub fn markdown(&self) -> String {
        let mut page = String::from("# Pruning\n\n");
        // Writing into a string does not fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        match (self.method, self.how) {
            (Method::Structured { ratio, round_to, .. }, How::Channels(plan)) => {
                let all: usize = plan.groups.iter().map(|group| group.group.classes.len()).sum();
                let gone: usize = plan.groups.iter().map(|group| group.removed.len()).sum();
                writeln!(
                    page,
                    "Structured: {gone} of {all} channels (counted once where layers share them) were taken out; ratio {ratio}, widths are multiples of {round_to}."
                )?;
                if plan.is_empty() {
                    writeln!(
                        page,
                        "\nNothing was taken out: every layer is narrower than two multiples of `round-to`, ignored, or the ratio is too small."
                    )?;
                }
            }
            (_, How::Masks(masks)) => {
                writeln!(
                    page,
                    "Unstructured, global, by magnitude: {} of {} weights of convolutions and linear layers were set to 0.",
                    masks.pruned, masks.ranked
                )?;
                writeln!(
                    page,
                    "\n**This makes the network no faster on dense kernels.** Zeros are multiplied like any other number, and the file of weights keeps its size; it only compresses better. Only a runtime with sparse kernels gains, or weights in a 2:4 pattern on a GPU that has it. For a faster network use `method: {{ kind: structured }}`."
                )?;
            }
            _ => {}
        }
        self.summary(page)?;
        self.table_of_layers(page)?;
        if let How::Channels(plan) = self.how {
            writeln!(
                page,
                "\n## Channels\n\nLayers in one row write into the same sums and so share their channels.\n"
            )?;
            writeln!(page, "| layers | channels | taken out | why not |\n| --- | ---: | ---: | --- |")?;
            for group in &plan.groups {
                let (count, gone) = (group.group.classes.len(), group.removed.len());
                writeln!(
                    page,
                    "| {} | {count} | {gone} | {} |",
                    group.group.writers.join(", "),
                    group.kept_because.unwrap_or("")
                )?;
            }
        }
        if let Some((epochs, best)) = self.tuning {
            writeln!(
                page,
                "\n## Fine-tuning\n\n| epoch | training loss | validation top-1 % |\n| ---: | ---: | ---: |"
            )?;
            for epoch in epochs {
                writeln!(
                    page,
                    "| {} | {:.4} | {} |",
                    epoch.epoch,
                    epoch.train_loss,
                    percent(epoch.validation_top1)
                )?;
            }
            match best {
                0 => writeln!(
                    page,
                    "\nNo epoch was better than the pruned network as it was, so that is kept."
                )?,
                best => writeln!(page, "\nThe weights after epoch {best} are kept.")?,
            }
        }
        self.curves(page)
    }

    fn summary(&self, page: &mut String) -> std::fmt::Result {
        let names: Vec<&str> = self.states.iter().map(|(name, _)| *name).collect();
        writeln!(
            page,
            "\n## Before and after\n\n| | {} |\n| --- |{}",
            names.join(" | "),
            " ---: |".repeat(names.len())
        )?;
        let mut line = |what: &str, cell: &dyn Fn(&State) -> String| {
            let cells: Vec<String> = self.states.iter().map(|(_, state)| cell(state)).collect();
            writeln!(page, "| {what} | {} |", cells.join(" | "))
        };
        line("parameters", &|state| state.parameters.to_string())?;
        line("parameters that are not 0", &|state| state.nonzero.to_string())?;
        line("sparsity of weights", &|state| format!("{:.1} %", 100.0 * state.sparsity))?;
        line("MACs of one image", &|state| state.macs.to_string())?;
        line("FLOPs of one image (2·MACs)", &|state| state.flops.to_string())?;
        line("file of weights, bytes", &|state| state.file_size.to_string())?;
        line("validation top-1 %", &|state| percent(state.top1))?;
        line("validation loss", &|state| state.loss.map_or("–".to_owned(), |loss| format!("{loss:.4}")))?;
        match self.validation_images {
            0 => writeln!(page, "\nAccuracy was not measured: the contract keeps no validation images.")?,
            count => writeln!(page, "\nAccuracy is that of {count} validation images.")?,
        }
        if let Some([before, after]) = self.latency {
            let Latency { batch, warm_up, repetitions } = self.latency_params;
            writeln!(
                page,
                "\nMeasured latency, batch {batch}: **{before:.3} ms before, {after:.3} ms after** ({:.2}×), the median of {repetitions} forward passes each through libtorch in fp32, in turns after {warm_up} to warm up, {}.",
                before / after,
                self.machine
            )?;
        }
        Ok(())
    }

    fn table_of_layers(&self, page: &mut String) -> std::fmt::Result {
        writeln!(page, "\n## Layers\n")?;
        writeln!(
            page,
            "| layer | weight | parameters | MACs | sparsity |\n| --- | --- | ---: | ---: | ---: |"
        )?;
        for row in &self.layers {
            let [was, is] = row
                .weight
                .each_ref()
                .map(|shape| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×"));
            let weight = if was == is { was } else { format!("{was} → {is}") };
            let change =
                |[was, is]: [u64; 2]| if was == is { was.to_string() } else { format!("{was} → {is}") };
            let [was, is] = row.sparsity.map(|share| format!("{:.1} %", 100.0 * share));
            let sparsity = if was == is { was } else { format!("{was} → {is}") };
            writeln!(
                page,
                "| {} | {weight} | {} | {} | {sparsity} |",
                row.layer,
                change(row.parameters),
                change(row.macs)
            )?;
        }
        Ok(())
    }

    fn curves(&self, page: &mut String) -> std::fmt::Result {
        let Some((amounts, curves)) = &self.sensitivity else { return Ok(()) };
        let heads: Vec<String> = amounts.iter().map(|amount| format!("{:.0} %", 100.0 * amount)).collect();
        writeln!(
            page,
            "\n## Sensitivity\n\nTop-1 % on a sample of the validation images with only these layers pruned by so much, not fine-tuned.\n"
        )?;
        writeln!(page, "| layers | {} |\n| --- |{}", heads.join(" | "), " ---: |".repeat(heads.len()))?;
        for curve in curves {
            let cells: Vec<String> = curve.top1.iter().map(|top1| format!("{top1:.2}")).collect();
            writeln!(page, "| {} | {} |", curve.layers.join(", "), cells.join(" | "))?;
        }
        Ok(())
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.2}"))
}
