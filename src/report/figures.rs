//! How numbers, sizes and times are written.

use std::time::Duration;

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

/// `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A value with its unit, `71.25 %`.
pub(super) fn measured(value: f64, unit: Option<&str>) -> String {
    unit.map_or_else(|| number(value), |unit| format!("{} {unit}", number(value)))
}

/// A span of milliseconds.
pub(super) fn millis(span: u64) -> String {
    duration(Duration::from_millis(span))
}

#[cfg(test)]
mod tests {
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
}
