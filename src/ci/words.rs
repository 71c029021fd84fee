//! Numbers, times and names in Markdown.

use crate::record::MetricValue;

/// Text of unknown origin as Markdown: nothing in it is markup, starts a cell, or calls for a person's attention.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // `@name` would tell that person.
            '@' => out.push_str("&#64;"),
            '\n' | '\r' => out.push_str("<br>"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '~' | '#' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// `12.3 s`, `4 min 05 s`, `1 h 02 min`.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{:.1} s", ms as f64 / 1000.0),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Four significant digits.
pub(super) fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !(-4..9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - magnitude).clamp(0, 8) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number with its unit.
pub(super) fn measured(metric: &MetricValue) -> String {
    match &metric.unit {
        Some(unit) => format!("{} {}", number(metric.value), plain(unit)),
        None => number(metric.value),
    }
}

/// How a metric differs from what it was; nothing where the two can't be compared or are the same.
pub(super) fn change(was: &MetricValue, is: &MetricValue) -> String {
    let by = is.value - was.value;
    if was.unit != is.unit || by == 0.0 || !by.is_finite() {
        return String::new();
    }
    let sign = if by > 0.0 { "+" } else { "" };
    // Percentages differ by percentage points.
    if is.unit.as_deref() == Some("%") {
        return format!("{sign}{} pp", number(by));
    }
    match was.value {
        0.0 => format!("{sign}{}", number(by)),
        was => format!("{sign}{} %", number((1000.0 * by / was.abs()).round() / 10.0)),
    }
}
