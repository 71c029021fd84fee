//! Tables.

use maud::{Markup, html};

/// Rows of cells below a heading, for values that are no text yet. `numeric` says which columns are set flush right.
pub(super) fn table(label: &str, heading: &[&str], numeric: &[usize], rows: &[Vec<Markup>]) -> Markup {
    let class = |at: usize| numeric.contains(&at).then_some("n");
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { @for (at, word) in heading.iter().enumerate() { th scope="col" class=[class(at)] { (word) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 { th scope="row" class=[class(at)] { (cell) } }
                                @else { td class=[class(at)] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Names with values.
pub(super) fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in rows { dt { (name) } dd { (value) } } } }
}

/// A table of numbers with the large ones shaded. `shade` gives a cell's class.
pub(super) fn heat(
    label: &str,
    corner: &str,
    columns: &[String],
    rows: &[(String, Vec<Option<f64>>)],
    write: impl Fn(f64) -> String,
    shade: impl Fn(usize, usize, f64) -> &'static str,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table.heat {
                thead { tr { th scope="col" { (corner) } @for name in columns { th.n scope="col" { (name) } } } }
                tbody {
                    @for (row, (name, values)) in rows.iter().enumerate() {
                        tr {
                            th scope="row" { (name) }
                            @for (column, value) in values.iter().enumerate() {
                                @match value {
                                    Some(value) => td class={ "n " (shade(row, column, *value)) } { (write(*value)) },
                                    None => td.n { "–" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// First digits of a hash, with all of them on demand.
pub(super) fn hash(hex: &str) -> Markup {
    html! { span.hash title=(hex) { (hex.get(..12).unwrap_or(hex)) } }
}
