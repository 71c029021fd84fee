//! A rate of bytes as people write it.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(NonZeroU64);

const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl Rate {
    /// The rate of so many bytes a second; none for 0.
    pub fn new(bytes: u64) -> Option<Self> {
        NonZeroU64::new(bytes).map(Self)
    }

    /// Bytes a second, at least 1.
    pub fn bytes(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Reads `20MiB/s`, also with a space before the unit, a fraction, and without `/s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let units = UNITS.map(|(unit, _)| unit).join(", ");
            format!("`{text}` is no rate: a number and a unit ({units}) are wanted, for example `20MiB/s`")
        };
        let amount = text.trim();
        let amount = amount.strip_suffix("/s").unwrap_or(amount);
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((amount.strip_suffix(unit)?, *factor)))
            .ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let bytes = number * factor as f64;
        // What rounds to nothing would stop everything.
        if !(1.0..=1e15).contains(&bytes) {
            return Err(wrong());
        }
        Self::new(bytes as u64).ok_or_else(wrong)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let whole = UNITS.iter().rev().filter(|(_, factor)| bytes.is_multiple_of(*factor));
        match whole.max_by_key(|(_, factor)| *factor) {
            Some((unit, factor)) => write!(formatter, "{}{unit}/s", bytes / factor),
            None => write!(formatter, "{bytes}B/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        let bytes = |text: &str| text.parse::<Rate>().map(Rate::bytes);
        for (text, wanted) in [
            ("20MiB/s", 20 << 20),
            ("1.5 MB", 1_500_000),
            ("8kB/s", 8000),
            ("1B/s", 1),
            (" 2 GiB/s ", 2 << 30),
        ] {
            assert_eq!(bytes(text), Ok(wanted));
        }
        for wrong in ["", "20", "MiB/s", "0MB", "-1MB", "nanMB", "infGB", "0.1B", "5 knots", "1e30GB"] {
            assert!(bytes(wrong).unwrap_err().contains("is no rate"), "{wrong}");
        }
        for text in ["20MiB/s", "3MB/s", "7B/s", "1GiB/s"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }
}
