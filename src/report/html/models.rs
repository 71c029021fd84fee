//! Data, training, models: what stages found.

use maud::{Markup, html};

use super::{
    frame::tag,
    plot::{Axis, Bubble, bubbles, lines},
    table::{facts, heat, table},
};
use crate::{
    plan::StageId,
    report::{
        data::{Curves, Series},
        figures::{bytes, count, number},
        findings::{Benchmark, Checklist, DataFindings, GradientLayers, Pruning, Variant},
    },
};

/// Plots of curves.
pub(super) fn curves(all: &[Curves]) -> Markup {
    html! {
        div.plots {
            @for curves in all {
                @let label = curves.unit.as_ref().map_or_else(|| curves.name.clone(), |unit| format!("{} in {unit}", curves.name));
                (lines(
                    &format!("{}: {}", curves.stage, curves.name),
                    &Axis { label: "step", log: false },
                    &Axis { label: &label, log: false },
                    &curves.series,
                ))
            }
        }
    }
}

/// Norms of gradients by layer: the largest of each step is shaded most.
pub(super) fn gradients(stage: &StageId, layers: &GradientLayers) -> Markup {
    let columns: Vec<String> = layers.steps.iter().map(|step| format!("step {step}")).collect();
    let rows: Vec<(String, Vec<Option<f64>>)> = layers
        .parameters
        .iter()
        .zip(&layers.norms)
        .map(|(name, norms)| (name.clone(), norms.iter().copied().map(Some).collect()))
        .collect();
    let largest: Vec<f64> =
        (0..columns.len()).map(|at| layers.norms.iter().map(|row| row[at]).fold(0.0, f64::max)).collect();
    let shade = |_: usize, column: usize, value: f64| match value / largest[column].max(f64::MIN_POSITIVE) {
        part if part > 0.66 => "h3",
        part if part > 0.33 => "h2",
        part if part > 0.1 => "h1",
        _ => "",
    };
    html! {
        details {
            summary { (stage) ": norm of the gradient by layer" }
            (heat(&format!("Norms of gradients of {stage}"), "parameter", &columns, &rows, number, shade))
        }
    }
}

/// What a dataset is and what is wrong with it.
pub(super) fn data(stage: &StageId, found: &DataFindings) -> Markup {
    let splits: Vec<&String> = found.splits.keys().collect();
    let mut heading = vec!["class"];
    heading.extend(splits.iter().map(|split| split.as_str()));
    let numeric: Vec<usize> = (1..heading.len()).collect();
    let classes = found.classes.iter().map(|class| {
        let mut cells = vec![html! { (class.name) }];
        cells.extend(splits.iter().map(|split| html! { (class.samples.get(*split).copied().unwrap_or(0)) }));
        cells
    });
    let channels =
        |values: &[f64]| values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(", ");
    let parts = found.splits.iter().map(|(split, samples)| format!("{samples} {split}")).collect::<Vec<_>>();
    html! {
        h3 { "Dataset, as " (stage) " saw it" }
        (facts(&[
            ("samples", html! { (found.samples) " (" (parts.join(", ")) "), " (bytes(found.bytes)) }),
            ("identity", html! { span.hash { (found.digest) } }),
            ("mean of channels", html! { (channels(&found.mean)) }),
            ("standard deviation", html! { (channels(&found.std)) }),
        ]))
        (table("Findings in the data", &["looked for", "samples", "what counts", "for example"], &[1], &found.problems.iter().map(|problem| vec![
            html! { (problem.what) },
            html! { @if problem.samples == 0 { "0" } @else { strong.warn { (problem.samples) } } },
            html! { (problem.rule) },
            html! { (problem.examples.join(", ")) },
        ]).collect::<Vec<_>>()))
        details open[found.classes.len() <= 12] {
            summary { (count(found.classes.len() as u64, "class").replace("classs", "classes")) }
            (table("Samples by class", &heading, &numeric, &classes.collect::<Vec<_>>()))
        }
    }
}

/// What pruning changed.
pub(super) fn pruning(stage: &StageId, found: &Pruning) -> Markup {
    let rows = found.states.iter().map(|(name, state)| {
        vec![
            html! { (name) },
            html! { (number(state.parameters)) },
            html! { (number(state.macs)) },
            html! { (number(state.sparsity * 100.0)) },
            html! { (bytes(state.file_size.max(0.0) as u64)) },
            html! { (format!("{:.2}", state.top1)) },
        ]
    });
    html! {
        h3 { "Pruning, as " (stage) " did it" }
        (table(
            "Pruning",
            &["network", "parameters", "MACs of one image", "zeros in %", "weights", "validation accuracy in %"],
            &[1, 2, 3, 4, 5],
            &rows.collect::<Vec<_>>(),
        ))
    }
}

/// Models side by side.
pub(super) fn benchmark(stage: &StageId, found: &Benchmark) -> Markup {
    let rows = found.variants.iter().map(|variant| variant_row(found, variant));
    html! {
        h3 { "Models, as " (stage) " measured them" }
        (table(
            "Models",
            &["model", "precision", "accuracy in %", "drop in pp (95 %)", "median in ms", "p99 in ms", "images/s", "file", "speed-up"],
            &[2, 3, 4, 5, 6, 7, 8],
            &rows.collect::<Vec<_>>(),
        ))
        p.soft {
            "Accuracy on " (found.accuracy_samples) " test images; latency at batch 1, throughput at batch " (found.batch)
            "; " (count(found.threads, "thread")) "; compared with " strong { (found.baseline) } "."
        }
        div.plots {
            (bubbles(
                "Accuracy, latency and size",
                &Axis { label: "median latency at batch 1 in ms", log: true },
                &Axis { label: "accuracy in %", log: false },
                &found.variants.iter().map(point).collect::<Vec<_>>(),
                "The area of a circle is the size of the file. The table above has the values.",
            ))
            (latency(found))
        }
        (damage(found))
        @for variant in &found.variants { (confusion(found, variant)) }
    }
}

fn variant_row(found: &Benchmark, variant: &Variant) -> Vec<Markup> {
    let drop = if variant.name == found.baseline {
        html! { "–" }
    } else {
        let [estimate, low, high] = variant.drop;
        html! { (format!("{estimate:+.2} ({low:+.2} to {high:+.2})")) }
    };
    vec![
        html! { (variant.name) @if !variant.stable { " " span.warn title="the figures did not agree between rounds" { "noisy" } } },
        html! { (variant.precision) },
        html! { (format!("{:.2}", variant.top1)) },
        drop,
        html! { (number(variant.latency.p50)) },
        html! { (number(variant.latency.p99)) },
        html! { (number(variant.throughput)) },
        html! { (bytes(variant.size)) },
        html! { (format!("{:.2}×", variant.speedup)) },
    ]
}

/// A model as a point of accuracy, latency and size.
pub(super) fn point(variant: &Variant) -> Bubble {
    Bubble {
        name: variant.name.clone(),
        x: variant.latency.p50,
        y: variant.top1,
        size: variant.size as f64,
        told: format!(
            "{}: {:.2} %, {} ms, {}",
            variant.name,
            variant.top1,
            number(variant.latency.p50),
            bytes(variant.size)
        ),
    }
}

/// How latencies are distributed: measured values where the stage kept them, else its percentiles.
fn latency(found: &Benchmark) -> Markup {
    let series: Vec<Series> = found
        .variants
        .iter()
        .map(|variant| {
            let told = &variant.latency;
            let points = if variant.distribution.is_empty() {
                vec![(told.p50, 50.0), (told.p90, 90.0), (told.p99, 99.0), (told.max, 100.0)]
            } else {
                variant.distribution.clone()
            };
            Series { name: variant.name.clone(), points }
        })
        .collect();
    lines(
        "Latency: share of runs that are not slower",
        &Axis { label: "latency at batch 1 in ms", log: true },
        &Axis { label: "runs in %", log: false },
        &series,
    )
}

/// Accuracy of each class, and what each step of compression cost it.
fn damage(found: &Benchmark) -> Markup {
    let baseline = found.variants.iter().find(|variant| variant.name == found.baseline);
    let Some(baseline) =
        baseline.filter(|one| one.per_class.len() == found.classes.len() && !found.classes.is_empty())
    else {
        return html! {};
    };
    let columns: Vec<String> = found.variants.iter().map(|variant| variant.name.clone()).collect();
    let value = |variant: &Variant, class: usize| variant.per_class.get(class).copied().flatten();
    let rows: Vec<(String, Vec<Option<f64>>)> = found
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| {
            let base = value(baseline, class);
            let cells = found.variants.iter().map(|variant| {
                let own = value(variant, class)?;
                if variant.name == found.baseline { Some(own) } else { Some(own - base?) }
            });
            (name.clone(), cells.collect())
        })
        .collect();
    let base_at = columns.iter().position(|name| *name == found.baseline);
    let shade = |_: usize, column: usize, change: f64| {
        if Some(column) == base_at {
            return "";
        }
        match change {
            change if change <= -5.0 => "w3",
            change if change <= -2.0 => "w2",
            change if change < 0.0 => "w1",
            change if change >= 5.0 => "p3",
            change if change >= 2.0 => "p2",
            change if change > 0.0 => "p1",
            _ => "",
        }
    };
    html! {
        h3 { "What each step did to each class" }
        p.soft { "Accuracy of " strong { (found.baseline) } " in %, and the change of the others in points." }
        (heat("Change by class", "class", &columns, &rows, |value| format!("{value:.1}"), shade))
    }
}

fn confusion(found: &Benchmark, variant: &Variant) -> Markup {
    let Some(counts) = &variant.confusion else { return html! {} };
    let square = counts.len() == found.classes.len() && counts.iter().all(|row| row.len() == counts.len());
    if !square {
        return html! {};
    }
    let totals: Vec<f64> = counts.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let rows: Vec<(String, Vec<Option<f64>>)> = found
        .classes
        .iter()
        .zip(counts)
        .map(|(name, row)| (name.clone(), row.iter().map(|&count| Some(count as f64)).collect()))
        .collect();
    let shade = |row: usize, column: usize, value: f64| {
        let part = value / totals[row].max(1.0);
        match (row == column, part) {
            (_, 0.0) => "",
            (true, part) if part > 0.66 => "p3",
            (true, part) if part > 0.33 => "p2",
            (true, _) => "p1",
            (false, part) if part > 0.25 => "w3",
            (false, part) if part > 0.1 => "w2",
            (false, _) => "w1",
        }
    };
    html! {
        details open[variant.name == found.baseline && found.classes.len() <= 12] {
            summary { "Confusion matrix of " strong { (variant.name) } }
            p.soft { "Rows: the right class. Columns: the class that the model names. In test images." }
            (heat(&format!("Confusion matrix of {}", variant.name), "right class", &found.classes, &rows, |value| format!("{value:.0}"), shade))
        }
    }
}

/// Checks with what they rest on.
pub(super) fn checklist(stage: &StageId, found: &Checklist) -> Markup {
    let verdict = |status: &str| match status {
        "passed" => tag("good", "passed"),
        "failed" => tag("bad", "failed"),
        "not-applicable" => tag("warn", "not measured"),
        other => tag("warn", other),
    };
    html! {
        h3 { (stage) ": candidate " (found.candidate) ", made from " (found.baseline) }
        @for check in &found.checks {
            details.box open[check.status == "failed"] {
                summary { strong { (check.check) } (verdict(&check.status)) span.soft { (check.reason) } }
                @if check.evidence.is_empty() { p.soft { "Nothing was measured." } } @else {
                    (table("Evidence", &["measured", "found", "wanted", "holds"], &[], &check.evidence.iter().map(|one| vec![
                        html! { (one.what) },
                        html! { (one.found) },
                        html! { (one.bound) },
                        html! { @if one.bound.is_empty() { "" } @else if one.holds { span.good { "yes" } } @else { strong.bad { "no" } } },
                    ]).collect::<Vec<_>>()))
                }
            }
        }
        @if !found.memory.is_empty() {
            div.plots {
                @for (name, points) in &found.memory {
                    (lines(
                        &format!("Memory over {name}"),
                        &Axis { label: name, log: false },
                        &Axis { label: "MB", log: false },
                        &[Series { name: format!("Memory over {name}"), points: points.iter().map(|(at, size)| (*at, size / 1e6)).collect() }],
                    ))
                }
            }
        }
    }
}
