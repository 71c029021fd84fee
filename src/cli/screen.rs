//! How numbers and tables look.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::CliError;

/// `12.3 s`, `4 min 05 s`, `1 h 02 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() < 1000 => format!("{} ms", time.as_millis()),
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `999 B`, `12.3 kB`, `4.5 GB`: decimal units, as disks and networks use.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A number with four significant digits and no needless zeros.
pub fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !(-4..9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - magnitude).clamp(0, 8) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A plain value as it stands in a pipeline file, text without its quotes.
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Prints a value as indented JSON.
pub fn print_json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::environment(format_args!("cannot encode the answer: {error}")))?;
    println!("{text}");
    Ok(())
}

/// `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How long ago something was, in at most 10 characters: `12 s ago`, `3 h ago`, `2026-11-24`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - at.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..864_000 => format!("{} d ago", seconds / 86_400),
        // The date in the notation of the standard comes first.
        _ => at.to_string().chars().take(10).collect(),
    }
}

/// Cuts lines that are wider than the terminal; without one they stay whole.
pub fn fit(text: &str) -> String {
    if !io::stdout().is_terminal() {
        return text.to_owned();
    }
    let width = usize::from(console::Term::stdout().size().1);
    text.lines().map(|line| console::truncate_str(line, width, "…") + "\n").collect()
}

/// Columns padded to their widest cell, two spaces between, nothing trailing. Styled cells count by what is seen.
pub fn table(rows: &[Vec<String>]) -> String {
    table_with(rows, &[])
}

/// As [`table`], with numbers in some columns: those are set flush right.
pub fn table_with(rows: &[Vec<String>], numeric: &[bool]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| console::measure_text_width(cell))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let flush_right = numeric.get(at).copied().unwrap_or(false);
            let side = if flush_right { console::Alignment::Right } else { console::Alignment::Left };
            line.push_str(&console::pad_str(cell, width, side, None));
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations() {
        let shown = [0, 250, 1_000, 59_940, 60_000, 3_599_000, 3_725_000]
            .map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["0 ms", "250 ms", "1.0 s", "59.9 s", "1 min 00 s", "59 min 59 s", "1 h 02 min"]);
    }

    #[test]
    fn sizes() {
        let shown = [0, 999, 1_000, 999_949, 999_951, 4_500_000_000, 2_000_000_000_000].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "4.5 GB", "2.0 TB"]);
    }

    #[test]
    fn numbers() {
        let shown = [0.0, 1.0, 93.126, 0.001234567, 123456.7, -2.5, 1e-9, 1e12].map(number);
        assert_eq!(shown, ["0", "1", "93.13", "0.001235", "123457", "-2.5", "1.000e-9", "1.000e12"]);
    }

    #[test]
    fn how_long_ago() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let shown = [-5, 0, 59, 60, 3599, 7200, 86_399, 86_400, 863_999, 864_000]
            .map(|seconds| ago(now - jiff::SignedDuration::from_secs(seconds), now));
        let expected = [
            "0 s ago",
            "0 s ago",
            "59 s ago",
            "1 min ago",
            "59 min ago",
            "2 h ago",
            "23 h ago",
            "1 d ago",
            "9 d ago",
        ];
        assert_eq!(shown[..9], expected);
        assert_eq!(shown[9], "2026-11-14");
    }

    #[test]
    fn numbers_stand_flush_right() {
        let rows = [vec!["a".to_owned(), "9".to_owned()], vec!["b".to_owned(), "10.5".to_owned()]];
        assert_eq!(table_with(&rows, &[false, true]), "a     9\nb  10.5\n");
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [
            vec!["a".to_owned(), "long".to_owned(), String::new()],
            vec!["bcd".to_owned(), "x".to_owned(), "y".to_owned()],
        ];
        insta::assert_snapshot!(table(&rows), @r"
        a    long
        bcd  x     y
        ");
    }
}
