//! A comparison as text, Markdown and CSV.

use console::style;
use serde_json::Value;
use stagewright::{
    compare::{Column, ColumnKind, Comparison, Row},
    record::RunState,
};

use crate::cli::{display, screen};

/// For a terminal.
pub fn text(table: &Comparison) -> String {
    let marked = !table.goals.is_empty();
    let trials = table.rows.iter().any(|row| row.trial.is_some());
    let mut heading = vec![if marked { String::new() } else { "run".to_owned() }];
    if marked {
        heading.push("run".to_owned());
    }
    if trials {
        heading.push("trial".to_owned());
    }
    let first = heading.len();
    heading.extend(
        shortened(&table.columns)
            .into_iter()
            .zip(&table.columns)
            .map(|(name, column)| headed(&name, column, false)),
    );
    heading.extend(["outcome".to_owned(), "took".to_owned()]);
    let mut numeric = vec![false; first];
    if trials {
        numeric[first - 1] = true;
    }
    numeric.extend((0..table.columns.len()).map(|at| is_numeric(table, at)));
    let mut rows = vec![heading.iter().map(|word| style(word).dim().to_string()).collect::<Vec<_>>()];
    for row in &table.rows {
        let mut cells = Vec::new();
        if marked {
            cells.push(if row.front { style("*").green().bold().to_string() } else { String::new() });
        }
        cells.push(row.run.short());
        if trials {
            cells.push(row.trial.map(|trial| trial.to_string()).unwrap_or_default());
        }
        cells.extend(row.values.iter().map(|value| cell(value.as_ref())));
        cells.push(display::state(row.state).to_string());
        cells.push(screen::duration(std::time::Duration::from_millis(row.duration_ms)));
        rows.push(cells);
    }
    let mut text = screen::fit(&screen::table_with(&rows, &numeric));
    text.push_str(&notes(table));
    text
}

/// What stands below the table.
fn notes(table: &Comparison) -> String {
    let mut text = String::new();
    if !table.goals.is_empty() {
        let goals: Vec<String> =
            table.goals.iter().map(|goal| format!("{} {}", goal.direction, goal.of)).collect();
        let best = table.rows.iter().filter(|row| row.front).count();
        text.push_str(&match best {
            0 => format!("\nno run met every gate and has all of: {}\n", goals.join(", ")),
            1 if goals.len() == 1 => format!("\n* the best: {}\n", goals[0]),
            _ if goals.len() == 1 => format!("\n* the best, {best} of {}: {}\n", table.compared, goals[0]),
            _ => format!("\n* Pareto front, {best} of {}: {}\n", table.compared, goals.join(", ")),
        });
    }
    let more = [(table.more_params, "param", "--param"), (table.more_metrics, "metric", "--metric")];
    for (count, what, option) in more.into_iter().filter(|(count, ..)| *count > 0) {
        text.push_str(&format!("{} not shown; `{option}` chooses\n", screen::count(count as u64, what)));
    }
    text
}

/// `train.with.optimizer.lr` → `lr`, where no other column ends like that.
fn shortened(columns: &[Column]) -> Vec<String> {
    let tail = |name: &str, parts: usize| {
        let words: Vec<&str> = name.split('.').collect();
        words[words.len().saturating_sub(parts)..].join(".")
    };
    let is_param = |column: &Column| matches!(column.kind, ColumnKind::Set | ColumnKind::Param { .. });
    let short = |column: &Column| {
        if !is_param(column) {
            return column.name.clone();
        }
        let parts = column.name.split('.').count();
        let unique = |wanted: &String| {
            // A position in a list says nothing alone.
            let position = wanted.starts_with(|c: char| c.is_ascii_digit());
            let same = |other: &&Column| {
                other.name == *wanted || is_param(other) && other.name.ends_with(&format!(".{wanted}"))
            };
            !position && columns.iter().filter(same).count() < 2
        };
        (1..=parts).map(|parts| tail(&column.name, parts)).find(unique).unwrap_or_else(|| column.name.clone())
    };
    columns.iter().map(short).collect()
}

/// A heading with the column's unit.
fn headed(name: &str, column: &Column, parentheses: bool) -> String {
    match &column.unit {
        Some(unit) if parentheses => format!("{name} ({unit})"),
        Some(unit) => format!("{name} {unit}"),
        None => name.to_owned(),
    }
}

fn is_numeric(table: &Comparison, at: usize) -> bool {
    table.rows.iter().all(|row| row.values[at].as_ref().is_none_or(Value::is_number))
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) => match value.as_f64() {
            Some(number) => screen::number(number),
            None => screen::value(value),
        },
    }
}

/// Everything a row says besides its values, for the formats that programs read.
fn facts(row: &Row) -> [String; 3] {
    let state = match row.state {
        RunState::Ended(outcome) => outcome.to_string(),
        RunState::Running => "running".to_owned(),
        RunState::Interrupted => "interrupted".to_owned(),
    };
    [state, format!("{:.3}", row.duration_ms as f64 / 1e3), if row.front { "*" } else { "" }.to_owned()]
}

/// A Markdown table.
pub fn markdown(table: &Comparison) -> String {
    let escape = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let marked = !table.goals.is_empty();
    let mut heading: Vec<String> = vec!["run".to_owned()];
    heading.extend(table.columns.iter().map(|column| headed(&column.name, column, true)));
    heading.push("outcome".to_owned());
    if marked {
        heading.push("front".to_owned());
    }
    let rule = |at: usize| match at.checked_sub(1) {
        Some(at) if at < table.columns.len() && is_numeric(table, at) => "---:",
        _ => "---",
    };
    let rules: Vec<&str> = (0..heading.len()).map(rule).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(heading.iter().map(|word| escape(word)).collect());
    text.push_str(&format!("| {} |\n", rules.join(" | ")));
    for row in &table.rows {
        let [state, _, front] = facts(row);
        let mut cells = vec![row.run.short()];
        cells.extend(row.values.iter().map(|value| escape(&cell(value.as_ref()))));
        cells.push(state);
        if marked {
            cells.push(front);
        }
        text.push_str(&line(cells));
    }
    text
}

/// CSV (RFC 4180) with values in full precision.
pub fn csv(table: &Comparison) -> String {
    let quote = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let mut heading = vec!["run".to_owned(), "trial".to_owned()];
    heading.extend(table.columns.iter().map(|column| headed(&column.name, column, true)));
    heading.extend(["outcome", "seconds", "front"].map(str::to_owned));
    let line = |cells: &[String]| cells.iter().map(|text| quote(text)).collect::<Vec<_>>().join(",") + "\r\n";
    let mut text = line(&heading);
    for row in &table.rows {
        let mut cells =
            vec![row.run.to_string(), row.trial.map(|trial| trial.to_string()).unwrap_or_default()];
        cells.extend(row.values.iter().map(|value| value.as_ref().map(screen::value).unwrap_or_default()));
        cells.extend(facts(row));
        text.push_str(&line(&cells));
    }
    text
}
