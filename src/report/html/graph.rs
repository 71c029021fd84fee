//! The graph of stages, drawn once and for all: it needs no script to be looked at and to be clicked through.

use std::fmt::Write;

use maud::{Markup, html};

use super::frame::standing;
use crate::{
    record::Outcome,
    report::{
        data::StageView,
        figures::millis,
        layout::{Edge, Sizes, layout},
    },
};

const SIZES: Sizes = Sizes { node: (176.0, 44.0), between_layers: 44.0, between_nodes: 14.0 };
/// Room for the lines of nodes at the rim.
const RIM: f64 = 4.0;
/// Longest name that fits a node, in characters.
const NAME: usize = 22;

/// A box of the graph, and where it leads.
pub(super) struct Box<'a> {
    /// What is written in it.
    pub(super) name: &'a str,
    /// Class of its colours.
    pub(super) class: &'a str,
    /// Sign and words of its second line.
    pub(super) sub: (&'a str, String),
    /// All that there is to say, for who points at it or can't see it.
    pub(super) told: String,
    /// Id of the element that it leads to.
    pub(super) to: String,
}

/// Stages as boxes that lead to their details, `#s0` and so on.
pub(super) fn graph(stages: &[StageView]) -> Markup {
    let boxes: Vec<Box<'_>> = stages.iter().enumerate().map(|(at, stage)| of(at, stage)).collect();
    let needs: Vec<Vec<usize>> = stages.iter().map(|stage| stage.needs.clone()).collect();
    draw("Graph of the stages; the table below says the same", &boxes, &needs)
}

/// The boxes of [`graph`] one by one, each with its id.
pub(super) fn pieces(stages: &[StageView]) -> Vec<(String, Markup)> {
    let needs: Vec<Vec<usize>> = stages.iter().map(|stage| stage.needs.clone()).collect();
    let places = layout(&needs, &SIZES).nodes;
    let all = stages.iter().zip(places).enumerate();
    all.map(|(at, (stage, (x, y)))| (format!("n{at}"), node(at, &of(at, stage), x, y))).collect()
}

/// A graph of boxes of which each comes from some others.
pub(super) fn draw(label: &str, boxes: &[Box<'_>], needs: &[Vec<usize>]) -> Markup {
    let layout = layout(needs, &SIZES);
    let (width, height) = (layout.size.0 + 2.0 * RIM, layout.size.1 + 2.0 * RIM);
    html! {
        div.graph tabindex="0" role="region" aria-label=(label) {
            svg width=(width) height=(height) viewBox={ (-RIM) " " (-RIM) " " (width) " " (height) } {
                @for edge in &layout.edges {
                    path.edge data-a=(edge.from) data-b=(edge.to) d=(way(edge)) {}
                }
                @for (at, (one, (x, y))) in boxes.iter().zip(&layout.nodes).enumerate() {
                    (node(at, one, *x, *y))
                }
            }
        }
    }
}

fn of(at: usize, stage: &StageView) -> Box<'_> {
    let (class, mark, word) = standing(stage);
    let time = stage
        .duration_ms
        .filter(|_| stage.outcome.is_some_and(|one| one.is_success() || one == Outcome::Failed));
    let took = time.map(|time| format!(" · {}", millis(time))).unwrap_or_default();
    let told = format!("{}: {word}{took}. {}", stage.stage.0, stage.reason);
    Box { name: &stage.stage.0, class, sub: (mark, format!("{word}{took}")), told, to: format!("s{at}") }
}

fn node(at: usize, one: &Box<'_>, x: f64, y: f64) -> Markup {
    html! {
        g id={ "n" (at) } class={ "node " (one.class) } data-s=(at) transform={ "translate(" (format!("{x:.1}")) " " (format!("{y:.1}")) ")" } {
            a href={ "#" (one.to) } aria-label=(one.told) {
                title { (one.told) }
                rect width=(SIZES.node.0) height=(SIZES.node.1) rx="6" {}
                text x="10" y="18" { (shortened(one.name)) }
                text.sub x="10" y="35" { tspan.mark { (one.sub.0) } " " (one.sub.1) }
            }
        }
    }
}

/// Its beginning and its end, which tells combinations of a matrix apart.
fn shortened(name: &str) -> String {
    let all: Vec<char> = name.chars().collect();
    if all.len() <= NAME {
        return name.to_owned();
    }
    let (head, tail) = (NAME / 2, NAME - NAME / 2 - 1);
    let begin: String = all[..head].iter().collect();
    let end: String = all[all.len() - tail..].iter().collect();
    format!("{begin}…{end}")
}

/// A curve that leaves and arrives level.
fn way(edge: &Edge) -> String {
    let mut path = String::new();
    for (index, pair) in edge.points.windows(2).enumerate() {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        if index == 0 {
            // Writing to a text can't fail.
            let _ = write!(path, "M{x:.0},{y:.1}");
        }
        let middle = (x + to_x) / 2.0;
        let _ = if (y - to_y).abs() < 0.05 {
            write!(path, "H{to_x:.0}")
        } else {
            write!(path, "C{middle:.0},{y:.1} {middle:.0},{to_y:.1} {to_x:.0},{to_y:.1}")
        };
    }
    path
}
