//! Accuracy over latency, area by file size, as SVG: sharp at any size and readable without scripts.

use std::fmt::Write;

use crate::results::{Results, Variant};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 62.0;
/// Distance of the axes' ends from the frame: a circle at an end stays inside.
const INSET: f64 = 28.0;
/// Pixels that a letter takes in the mean, and a line.
const LETTER: f64 = 7.0;
const LINE: f64 = 15.0;
/// Letters of the longest name that is written out.
const LONGEST: usize = 28;
/// Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// A linear axis with round ticks.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Covers the values with a margin; `floor` and `ceiling` are never passed.
    fn new(values: impl Iterator<Item = f64> + Clone, floor: f64, ceiling: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let margin = ((high - low) * 0.25).max(high.abs() * 0.02).max(1e-3);
        let (low, high) = ((low - margin).max(floor), (high + margin).min(ceiling));
        let rough = (high - low) / 6.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|index| self.low + index as f64 * self.step)
    }

    fn label(&self, value: f64) -> String {
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{value:.decimals$}")
    }
}

/// Draws the plot.
pub fn svg(results: &Results) -> String {
    let shown: Vec<&Variant> = results
        .variants
        .iter()
        .filter(|variant| variant.top1.is_finite() && variant.latency_ms("p50").is_finite())
        .collect();
    if shown.is_empty() {
        return format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} 60\" width=\"{WIDTH}\" height=\"60\">\
             <text x=\"20\" y=\"36\">nothing was measured</text></svg>\n"
        );
    }
    let x_axis = Axis::new(shown.iter().map(|variant| variant.latency_ms("p50")), 0.0, f64::INFINITY);
    let y_axis = Axis::new(shown.iter().map(|variant| variant.top1), 0.0, 100.0);
    let x = |value: f64| LEFT + INSET + x_axis.share(value) * (WIDTH - LEFT - RIGHT - 2.0 * INSET);
    let y =
        |value: f64| HEIGHT - BOTTOM - INSET - y_axis.share(value) * (HEIGHT - TOP - BOTTOM - 2.0 * INSET);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Accuracy, latency and size of {} models</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#c8c8c8\"/>\n",
        shown.len(),
        WIDTH - LEFT - RIGHT,
        HEIGHT - TOP - BOTTOM,
    );
    for tick in x_axis.ticks() {
        let (at, foot) = (x(tick), HEIGHT - BOTTOM);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{foot}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444\">{}</text>",
            foot + 20.0,
            x_axis.label(tick)
        );
    }
    for tick in y_axis.ticks() {
        let at = y(tick);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.5,
            y_axis.label(tick)
        );
    }
    let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">latency at batch 1, median, ms (left is better)</text>\
         <text transform=\"translate(18 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">accuracy, % (up is better)</text>\
         <text x=\"{LEFT}\" y=\"24\" font-weight=\"600\">Accuracy, latency and size (the area is the file size)</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 18.0,
    );
    points(&mut out, &shown, x, y);
    out.push_str("</svg>\n");
    out
}

fn points(out: &mut String, shown: &[&Variant], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
    let largest = shown.iter().map(|variant| variant.size).max().unwrap_or(1).max(1) as f64;
    let mut labels: Vec<Label> = Vec::new();
    let mut texts = String::new();
    for (index, variant) in shown.iter().enumerate() {
        let (at_x, at_y) = (x(variant.latency_ms("p50")), y(variant.top1));
        let radius = (26.0 * (variant.size as f64 / largest).sqrt()).max(4.0);
        let colour = COLOURS[index % COLOURS.len()];
        let text = format!("{} · {:.2} MB", shortened(&variant.name), variant.size as f64 / 1e6);
        let wide = LETTER * text.chars().count() as f64;
        // Labels stand right of their point, left of it near the right edge, and below one another where they would meet.
        let right = at_x + radius + 6.0 + wide < WIDTH;
        let left = if right { at_x + radius + 6.0 } else { at_x - radius - 6.0 - wide };
        let mut label = Label { left, right: left + wide, y: at_y + 4.5 };
        while let Some(other) = labels.iter().find(|other| other.meets(&label)) {
            label.y = other.y + LINE;
        }
        let _ = writeln!(
            out,
            "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"{radius:.1}\" fill=\"{colour}\" fill-opacity=\"0.35\" stroke=\"{colour}\"/>"
        );
        let _ = writeln!(
            texts,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{}</text>",
            if right { label.left } else { label.right },
            label.y,
            if right { "start" } else { "end" },
            escaped(&text),
        );
        labels.push(label);
    }
    // Above all circles.
    out.push_str(&texts);
}

/// Where a label stands.
struct Label {
    left: f64,
    right: f64,
    y: f64,
}

impl Label {
    fn meets(&self, other: &Self) -> bool {
        // Half a pixel less than a line, so that one moved down by a line is clear of it whatever is rounded.
        self.left < other.right && other.left < self.right && (self.y - other.y).abs() < LINE - 0.5
    }
}

/// A name that leaves room for the plot.
fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    // XML has no word for these, not even escaped.
    let plain: String =
        text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect();
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
