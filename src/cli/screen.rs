//! How numbers and tables look.

use std::io::{self, IsTerminal};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
pub use stagewright::report::figures::{bytes, count, duration, number};

use super::CliError;

/// A plain value as it stands in a pipeline file, text without its quotes.
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value as indented JSON that ends in a line break.
pub fn json<T: Serialize>(value: &T) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::environment(format_args!("cannot encode the answer: {error}")))?;
    Ok(text + "\n")
}

/// Prints a value as indented JSON.
pub fn print_json<T: Serialize>(value: &T) -> Result<(), CliError> {
    print!("{}", json(value)?);
    Ok(())
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
