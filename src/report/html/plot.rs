//! Plots as SVG, each with its table behind it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::report::{data::Series, figures::number};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 42.0;

/// Points that a curve is drawn with; of more, every other one is left out until they are this many.
const POINTS: usize = 400;
/// Colours and dashes there are.
const STYLES: usize = 8;

/// One axis.
pub(super) struct Axis<'a> {
    /// What it shows, with its unit.
    pub(super) label: &'a str,
    /// Each step is a factor.
    pub(super) log: bool,
}

/// A point with a size of its own.
pub(super) struct Bubble {
    pub(super) name: String,
    pub(super) x: f64,
    pub(super) y: f64,
    /// Area on the page; the largest of a plot gets the largest circle.
    pub(super) size: f64,
    /// What the point stands for, in words.
    pub(super) told: String,
}

/// Values to places on the page.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
    start: f64,
    end: f64,
}

impl Scale {
    /// Of the values that can be shown, with some air; none if there are none.
    fn new(values: impl Iterator<Item = f64>, log: bool, start: f64, end: f64) -> Option<Self> {
        let fits = |value: &f64| value.is_finite() && (!log || *value > 0.0);
        let (low, high) = values
            .filter(fits)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        let (low, high) = match (log, low == high) {
            (true, true) => (low / 2.0, high * 2.0),
            (true, false) => {
                let air = (high / low).powf(0.04);
                (low / air, high * air)
            }
            (false, true) => {
                let air = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
                (low - air, high + air)
            }
            (false, false) => {
                let air = (high - low) * 0.04;
                (low - air, high + air)
            }
        };
        Some(Self { low, high, log, start, end })
    }

    fn at(&self, value: f64) -> f64 {
        let part = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.start + part * (self.end - self.start)
    }

    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }

    /// Round values in reach.
    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let first = self.low.log10().floor() as i32;
            let last = self.high.log10().ceil() as i32;
            let steps: &[f64] = if last - first > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let all =
                (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
            let ticks: Vec<f64> = all.filter(|tick| (self.low..=self.high).contains(tick)).collect();
            if ticks.len() > 2 {
                return ticks;
            }
            // Within less than a decade, even steps are easier to read.
        }
        let rough = (self.high - self.low) / 6.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let first = (self.low / step).ceil();
        let ticks = (0..16).map(|at| (first + f64::from(at)) * step).take_while(|tick| *tick <= self.high);
        // Not a zero that is almost one.
        ticks.map(|tick| if tick.abs() < step * 1e-9 { 0.0 } else { tick }).collect()
    }
}

/// Curves over a common axis.
pub(super) fn lines(title: &str, x: &Axis<'_>, y: &Axis<'_>, series: &[Series]) -> Markup {
    let thinned: Vec<Series> = series.iter().map(thin).collect();
    let points = || thinned.iter().flat_map(|one| &one.points);
    let scales = (
        Scale::new(points().map(|point| point.0), x.log, LEFT, WIDTH - RIGHT),
        Scale::new(points().map(|point| point.1), y.log, HEIGHT - BOTTOM, TOP),
    );
    let (Some(across), Some(up)) = scales else { return html! {} };
    let path = |one: &Series| {
        let shown = one.points.iter().filter(|(at, value)| across.shows(*at) && up.shows(*value));
        let words = shown.enumerate().map(|(index, &(at, value))| {
            format!("{}{:.1},{:.1}", if index == 0 { "M" } else { "L" }, across.at(at), up.at(value))
        });
        words.collect::<String>()
    };
    html! {
        figure {
            figcaption { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) "; the table below has the values" } {
                (axes(&across, &up, x.label, y.label))
                @for (index, one) in thinned.iter().enumerate() {
                    path class={ "curve k" (index % STYLES) } d=(path(one)) {}
                    @if one.points.len() <= 40 {
                        @for (at, value) in one.points.iter().filter(|(at, value)| across.shows(*at) && up.shows(*value)) {
                            circle class={ "dot k" (index % STYLES) } cx=(place(across.at(*at))) cy=(place(up.at(*value))) r="3" {
                                title { (one.name) ": " (number(*value)) " at " (number(*at)) }
                            }
                        }
                    }
                }
            }
            @if series.len() > 1 || series.iter().any(|one| !title.ends_with(&one.name)) { (legend(&thinned)) }
            details {
                summary { "Values as a table" }
                (values(title, x.label, series, &thinned))
            }
        }
    }
}

/// Points with sizes over two axes. Their values stand in a table of the page that says so in `behind`.
pub(super) fn bubbles(title: &str, x: &Axis<'_>, y: &Axis<'_>, points: &[Bubble], behind: &str) -> Markup {
    let scales = (
        Scale::new(points.iter().map(|point| point.x), x.log, LEFT + 24.0, WIDTH - RIGHT - 90.0),
        Scale::new(points.iter().map(|point| point.y), y.log, HEIGHT - BOTTOM - 24.0, TOP + 24.0),
    );
    let (Some(across), Some(up)) = scales else { return html! {} };
    let largest = points.iter().map(|point| point.size).fold(0.0, f64::max);
    let radius = |point: &Bubble| 4.0 + 16.0 * (point.size.max(0.0) / largest.max(f64::MIN_POSITIVE)).sqrt();
    let shown: Vec<(usize, &Bubble)> =
        points.iter().enumerate().filter(|(_, point)| across.shows(point.x) && up.shows(point.y)).collect();
    let labels = spread(&shown.iter().map(|(_, point)| up.at(point.y)).collect::<Vec<_>>(), &|at| {
        across.at(shown[at].1.x)
    });
    html! {
        figure {
            figcaption { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) "; " (behind) } {
                (axes(&across, &up, x.label, y.label))
                @for ((index, point), label) in shown.iter().zip(labels) {
                    circle class={ "bubble k" (index % STYLES) } cx=(place(across.at(point.x))) cy=(place(up.at(point.y))) r=(place(radius(point))) {
                        title { (point.told) }
                    }
                    text x=(place(across.at(point.x) + radius(point) + 4.0)) y=(place(label + 4.0)) { (point.name) }
                }
            }
            p.soft { (behind) }
        }
    }
}

/// Heights for labels, moved apart where two points are close.
fn spread(heights: &[f64], x: &dyn Fn(usize) -> f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let mut found = heights.to_vec();
    for (at, &one) in order.iter().enumerate() {
        for &other in &order[..at] {
            if (x(one) - x(other)).abs() < 120.0 && found[one] - found[other] < 13.0 {
                found[one] = found[other] + 13.0;
            }
        }
    }
    found
}

fn place(value: f64) -> String {
    format!("{value:.1}")
}

fn axes(across: &Scale, up: &Scale, x: &str, y: &str) -> Markup {
    let floor = HEIGHT - BOTTOM;
    html! {
        @for tick in up.ticks() {
            line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(place(up.at(tick))) y2=(place(up.at(tick))) {}
            text.sub x=(LEFT - 6.0) y=(place(up.at(tick) + 4.0)) text-anchor="end" { (number(tick)) }
        }
        @for tick in across.ticks() {
            line.axis x1=(place(across.at(tick))) x2=(place(across.at(tick))) y1=(floor) y2=(floor + 4.0) {}
            text.sub x=(place(across.at(tick))) y=(floor + 17.0) text-anchor="middle" { (number(tick)) }
        }
        line.axis x1=(LEFT) x2=(LEFT) y1=(TOP) y2=(floor) {}
        line.axis x1=(LEFT) x2=(WIDTH - RIGHT) y1=(floor) y2=(floor) {}
        text.sub x=(place((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 6.0) text-anchor="middle" { (x) }
        text.sub transform={ "translate(13 " (place((TOP + floor) / 2.0)) ") rotate(-90)" } text-anchor="middle" { (y) }
    }
}

fn legend(series: &[Series]) -> Markup {
    html! {
        ul.legend {
            @for (index, one) in series.iter().enumerate() {
                li {
                    svg viewBox="0 0 28 10" aria-hidden="true" { path class={ "curve k" (index % STYLES) } d="M0,5L28,5" {} }
                    (one.name)
                }
            }
        }
    }
}

fn values(title: &str, x: &str, all: &[Series], shown: &[Series]) -> Markup {
    let mut rows: BTreeMap<u64, (f64, Vec<Option<f64>>)> = BTreeMap::new();
    for (column, one) in shown.iter().enumerate() {
        for &(at, value) in &one.points {
            // Bits of a number that is not negative sort as the number does.
            let row = rows.entry(at.max(0.0).to_bits()).or_insert_with(|| (at, vec![None; shown.len()]));
            row.1[column] = Some(value);
        }
    }
    let left_out: usize = all.iter().map(|one| one.points.len()).sum::<usize>()
        - shown.iter().map(|one| one.points.len()).sum::<usize>();
    html! {
        div.scroll tabindex="0" role="region" aria-label={ "Values of " (title) } {
            table {
                thead { tr { th scope="col" { (x) } @for one in shown { th.n scope="col" { (one.name) } } } }
                tbody {
                    @for (at, cells) in rows.values() {
                        tr {
                            th scope="row" { (number(*at)) }
                            @for cell in cells { td.n { (cell.map_or_else(|| "–".to_owned(), number)) } }
                        }
                    }
                }
            }
        }
        @if left_out > 0 { p.soft { (left_out) " more points are in the run's record." } }
    }
}

fn thin(series: &Series) -> Series {
    let step = series.points.len().div_ceil(POINTS).max(1);
    let last = series.points.len().saturating_sub(1);
    let kept = series.points.iter().enumerate().filter(|(at, _)| at % step == 0 || *at == last);
    Series { name: series.name.clone(), points: kept.map(|(_, point)| *point).collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn axis(log: bool) -> Axis<'static> {
        Axis { label: "step", log }
    }

    #[test]
    fn ticks_are_round_and_in_reach() {
        let scale = |values: &[f64], log| Scale::new(values.iter().copied(), log, 0.0, 100.0).unwrap();
        assert_eq!(scale(&[0.0, 10.0], false).ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(scale(&[5.0], false).ticks().len(), 5);
        assert_eq!(scale(&[0.3, 30.0], true).ticks(), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        assert!(Scale::new([f64::NAN, -1.0].into_iter(), true, 0.0, 1.0).is_none());
    }

    #[test]
    fn values_that_cannot_be_drawn_are_left_out() {
        let series = [Series {
            name: "loss".to_owned(),
            points: vec![(1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 0.0)],
        }];
        let text = lines("loss", &axis(false), &axis(true), &series).into_string();
        assert!(!text.contains("NaN,") && !text.contains(",NaN") && !text.contains("inf"), "{text}");
        assert_eq!(text.matches("<circle").count(), 2);
        assert_eq!(lines("x", &axis(false), &axis(false), &[]).into_string(), "");
    }

    #[test]
    fn long_curves_are_thinned_and_say_so() {
        let points = (0..5000).map(|at| (f64::from(at), f64::from(at))).collect();
        let text =
            lines("x", &axis(false), &axis(false), &[Series { name: "x".to_owned(), points }]).into_string();
        assert!(text.contains("more points are in the run's record"));
        assert!(text.len() < 60_000, "{}", text.len());
    }
}
