//! The graph of stages, drawn once and for all: it needs no script to be looked at and to be clicked through.

use std::fmt::Write;

use maud::{Markup, html};

use super::frame::sign;
use crate::report::{
    data::StageView,
    figures::millis,
    layout::{Edge, Sizes, layout},
};

const SIZES: Sizes = Sizes { node: (176.0, 44.0), between_layers: 44.0, between_nodes: 14.0 };
/// Room for the lines of nodes at the rim.
const RIM: f64 = 4.0;
/// Longest name that fits a node, in characters.
const NAME: usize = 22;

/// Stages as boxes that lead to their details, `#s0` and so on.
pub(super) fn graph(stages: &[StageView]) -> Markup {
    let needs: Vec<Vec<usize>> = stages.iter().map(|stage| stage.needs.clone()).collect();
    let layout = layout(&needs, &SIZES);
    let (width, height) = (layout.size.0 + 2.0 * RIM, layout.size.1 + 2.0 * RIM);
    html! {
        div.graph tabindex="0" role="region" aria-label="Graph of the stages; the table below says the same" {
            svg width=(width) height=(height) viewBox={ (-RIM) " " (-RIM) " " (width) " " (height) } {
                @for edge in &layout.edges {
                    path.edge data-a=(edge.from) data-b=(edge.to) d=(way(edge)) {}
                }
                @for (at, (stage, (x, y))) in stages.iter().zip(&layout.nodes).enumerate() {
                    (node(at, stage, *x, *y))
                }
            }
        }
    }
}

fn node(at: usize, stage: &StageView, x: f64, y: f64) -> Markup {
    let (class, mark) = sign(stage.outcome);
    let word = stage.outcome.map_or_else(|| "not ended".to_owned(), |outcome| outcome.to_string());
    let time = stage
        .duration_ms
        .filter(|_| stage.outcome.is_some_and(|one| one.is_success() || one.to_string() == "failed"));
    let took = time.map(|time| format!(" · {}", millis(time))).unwrap_or_default();
    let told = format!("{}: {word}{took}. {}", stage.stage.0, stage.reason);
    html! {
        g class={ "node " (class) } data-s=(at) transform={ "translate(" (format!("{x:.1}")) " " (format!("{y:.1}")) ")" } {
            a href={ "#s" (at) } aria-label=(told) {
                title { (told) }
                rect width=(SIZES.node.0) height=(SIZES.node.1) rx="6" {}
                text x="10" y="18" { (shortened(&stage.stage.0)) }
                text.sub x="10" y="35" { tspan.mark { (mark) } " " (word) (took) }
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
