//! The comparison table as Markdown.

use std::fmt::Write;

use stagewright_tensorrt::nsys;

use crate::results::{GpuProfile, Results, Variant};

/// What an engine's `runtime` is.
const TENSORRT: &str = "tensorrt";

/// Renders the results for people.
pub fn markdown(results: &Results) -> String {
    let mut text = "# Comparison\n\n".to_owned();
    text.push_str(&table(results));
    let _ = write!(
        text,
        "\nRatios refer to **{}**. Accuracy on {} test images. Latency at batch 1 from a normalized input in memory to logits; \
         throughput at batch {}; {} per model; nearest-rank percentiles of `{}` measurements, all variants in turns. Memory is what \
         the model adds to a process of its own at its peak; in brackets the whole process.\n",
        cell(&results.baseline),
        results.accuracy_samples,
        results.batch,
        if results.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", results.threads) },
        results.duration,
    );
    if results.variants.iter().any(|variant| variant.runtime == TENSORRT) {
        text.push_str(
            "\nA TensorRT engine is run by trtexec in a process of its own: its latency is that of the transfer to the GPU, the \
             computation and the transfer back, with one input again and again; its memory is the GPU's, CUDA context included.\n",
        );
    }
    for variant in results.variants.iter().filter(|variant| !variant.stable) {
        let _ = writeln!(
            text,
            "\n**{}: the latency did not settle; measure again on a quiet machine.**",
            cell(&variant.name)
        );
    }
    text.push_str(&tail(results));
    text.push_str(&agreement(results));
    text.push_str(&operators(results));
    text.push_str(&gpu(results));
    text.push_str("\n## Machine\n\n");
    for (name, value) in &results.environment {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "- {name}: {value}");
    }
    text
}

fn table(results: &Results) -> String {
    let base = results.variants.iter().find(|variant| variant.name == results.baseline);
    let mut text =
        "| variant | precision | memory MB | latency ms | throughput images/s | accuracy % | file MB |\n\
                    | --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    for variant in &results.variants {
        // Of the baseline itself there is nothing to say but 1. (0 − x, because −x of 0 is printed as -0.)
        let base = base.filter(|base| base.name != variant.name);
        let ratio = |own: f64, of: fn(&Variant) -> f64| {
            base.map_or(String::new(), |base| format!(" ({:.2}×)", own / of(base)))
        };
        let points = base.map_or(String::new(), |_| format!(" ({:+.2} pp)", 0.0 - variant.drop[0]));
        let latency = variant.latency_ms("p50");
        let size = variant.size as f64 / 1e6;
        let _ = writeln!(
            text,
            "| {} | {}{} | {} | {latency:.3}{} | {:.0}{} | {:.2}{points} | {size:.3}{} |",
            cell(&variant.name),
            cell(&variant.precision),
            if variant.runtime == TENSORRT { " (TensorRT)" } else { "" },
            memory(variant, base),
            ratio(latency, |base| base.latency_ms("p50")),
            variant.throughput,
            ratio(variant.throughput, |base| base.throughput),
            variant.top1,
            ratio(size, |base| base.size as f64 / 1e6),
        );
    }
    text
}

/// What the model adds, how that compares to the baseline, and the whole process.
fn memory(variant: &Variant, base: Option<&Variant>) -> String {
    match (variant.memory, variant.gpu_memory) {
        (Some(own), _) => {
            let ratio = base
                .and_then(|base| base.memory)
                .map_or(String::new(), |base| format!(" ({:.2}×)", own.model as f64 / base.model as f64));
            format!("{:.1}{ratio} [{:.0}]", own.model as f64 / 1e6, own.process_peak as f64 / 1e6)
        }
        (None, Some(bytes)) => format!("{:.1} on the GPU", bytes as f64 / 1e6),
        (None, None) => "not measured".to_owned(),
    }
}

fn tail(results: &Results) -> String {
    let mut text =
        "\n## Latency in ms at batch 1\n\n| variant | mean | p50 | p90 | p99 | p99.9 | max | runs |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    for variant in &results.variants {
        let _ = write!(text, "| {} |", cell(&variant.name));
        for figure in ["mean", "p50", "p90", "p99", "p99-9", "max"] {
            let _ = write!(text, " {:.3} |", variant.latency_ms(figure));
        }
        let _ = writeln!(text, " {} |", variant.latency_ms("runs"));
    }
    text
}

fn agreement(results: &Results) -> String {
    let mut text = "\n## Against the baseline\n\n| variant | same class % | accuracy lost pp (95 % interval) | class that lost most |\n\
                    | --- | ---: | ---: | --- |\n"
        .to_owned();
    for variant in results.variants.iter().filter(|variant| variant.name != results.baseline) {
        let [drop, low, high] = variant.drop;
        let worst = variant.worst_class.as_ref().filter(|(_, points)| *points > 0.0);
        let worst = worst.map(|(class, points)| format!("{} ({:+.2} pp)", cell(class), -points));
        let _ = writeln!(
            text,
            "| {} | {:.2} | {drop:+.2} ({low:+.2} to {high:+.2}) | {} |",
            cell(&variant.name),
            variant.agreement,
            worst.as_deref().unwrap_or("none")
        );
    }
    if results.variants.len() < 2 { String::new() } else { text }
}

fn operators(results: &Results) -> String {
    if results.variants.iter().all(|variant| variant.operators.is_empty()) {
        return String::new();
    }
    let mut text = "\n## Time by operator at batch 1\n\n| variant | share % |\n| --- | --- |\n".to_owned();
    for variant in results.variants.iter().filter(|variant| !variant.operators.is_empty()) {
        let shares: Vec<String> =
            variant.operators.iter().map(|(name, share)| format!("{} {share:.1}", cell(name))).collect();
        let _ = writeln!(text, "| {} | {} |", cell(&variant.name), shares.join(" · "));
    }
    text
}

/// How busy the GPU is, against the targets; one line where no variant is an engine.
fn gpu(results: &Results) -> String {
    let mut text = format!("\n## GPU at batch {}, by NVIDIA Nsight Systems\n\n", results.batch);
    let engines: Vec<&Variant> =
        results.variants.iter().filter(|variant| variant.runtime == TENSORRT).collect();
    if engines.is_empty() {
        text.push_str(
            "Not run here: no variant is a TensorRT engine, and ONNX models are measured on the processor.\n",
        );
        return text;
    }
    let _ = writeln!(
        text,
        "| variant | GPU use % (target above {}) | kernel share % (target above {}) | memcpy share % (target below {}) |\n\
         | --- | ---: | ---: | ---: |",
        nsys::GPU_USE_TARGET,
        nsys::KERNEL_TARGET,
        nsys::MEMCPY_TARGET,
    );
    let mark = |value: f64, met: bool| format!("{value:.1} ({})", if met { "met" } else { "**missed**" });
    for variant in engines {
        let name = cell(&variant.name);
        let _ = match &variant.gpu_profile {
            GpuProfile::Measured { gpu_use, kernel_share, memcpy_share, .. } => writeln!(
                text,
                "| {name} | {} | {} | {} |",
                mark(*gpu_use, *gpu_use > nsys::GPU_USE_TARGET),
                mark(*kernel_share, *kernel_share > nsys::KERNEL_TARGET),
                mark(*memcpy_share, *memcpy_share < nsys::MEMCPY_TARGET),
            ),
            GpuProfile::NotRun { reason } => {
                writeln!(text, "| {name} | not run here: {} | | |", cell(reason))
            }
        };
    }
    text.push_str(
        "\nGPU use is the share of a window of steady state in which a kernel, a copy or a fill runs; the other two are shares \
         of all of that work's time. The window is the second half of the profiled run.\n",
    );
    text
}

/// Text that can't break out of a table cell, nor steer the terminal it is shown on.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(char::is_control, " ").replace('<', "&lt;")
}
