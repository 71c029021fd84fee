//! The comparison table as Markdown.

use std::fmt::Write;

use crate::results::{Results, Variant};

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
    for variant in results.variants.iter().filter(|variant| !variant.stable) {
        let _ = writeln!(text, "\n**{}: the latency did not settle; measure again on a quiet machine.**", cell(&variant.name));
    }
    text.push_str(&tail(results));
    text.push_str(&agreement(results));
    text.push_str(&operators(results));
    text.push_str("\n## Machine\n\n");
    for (name, value) in &results.environment {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "- {name}: {value}");
    }
    text
}

fn table(results: &Results) -> String {
    let base = results.variants.iter().find(|variant| variant.name == results.baseline);
    let mut text = "| variant | precision | memory MB | latency ms | throughput images/s | accuracy % | file MB |\n\
                    | --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for variant in &results.variants {
        // Of the baseline itself there is nothing to say but 1. (0 − x, because −x of 0 is printed as -0.)
        let base = base.filter(|base| base.name != variant.name);
        let ratio = |own: f64, of: fn(&Variant) -> f64| base.map_or(String::new(), |base| format!(" ({:.2}×)", own / of(base)));
        let points = base.map_or(String::new(), |_| format!(" ({:+.2} pp)", 0.0 - variant.drop[0]));
        let memory = variant.memory.model as f64 / 1e6;
        let latency = variant.latency_ms("p50");
        let size = variant.size as f64 / 1e6;
        let _ = writeln!(
            text,
            "| {} | {} | {memory:.1}{} [{:.0}] | {latency:.3}{} | {:.0}{} | {:.2}{points} | {size:.3}{} |",
            cell(&variant.name),
            cell(&variant.precision),
            ratio(memory, |base| base.memory.model as f64 / 1e6),
            variant.memory.process_peak as f64 / 1e6,
            ratio(latency, |base| base.latency_ms("p50")),
            variant.throughput,
            ratio(variant.throughput, |base| base.throughput),
            variant.top1,
            ratio(size, |base| base.size as f64 / 1e6),
        );
    }
    text
}

fn tail(results: &Results) -> String {
    let mut text = "\n## Latency in ms at batch 1\n\n| variant | mean | p50 | p90 | p99 | p99.9 | max | runs |\n\
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
        let worst = variant.worst_class.as_ref().map(|(class, points)| format!("{} ({:+.2} pp)", cell(class), 0.0 - points));
        let _ = writeln!(
            text,
            "| {} | {:.2} | {drop:+.2} ({low:+.2} to {high:+.2}) | {} |",
            cell(&variant.name),
            variant.agreement,
            worst.unwrap_or_default()
        );
    }
    if results.variants.len() < 2 { String::new() } else { text }
}

fn operators(results: &Results) -> String {
    if results.variants.iter().all(|variant| variant.operators.is_empty()) {
        return String::new();
    }
    let mut text = "\n## Time by operator at batch 1\n\n| variant | share % |\n| --- | --- |\n".to_owned();
    for variant in &results.variants {
        let shares: Vec<String> =
            variant.operators.iter().map(|(name, share)| format!("{} {share:.1}", cell(name))).collect();
        let _ = writeln!(text, "| {} | {} |", cell(&variant.name), shares.join(" · "));
    }
    text
}

/// Text that can't break out of a table cell, nor steer the terminal it is shown on.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(char::is_control, " ").replace('<', "&lt;")
}
