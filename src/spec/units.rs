//! Values with units: `2ms`, `16GiB`, `0.5pp`.

use std::time::Duration;

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Base unit ms.
    Time,
    /// Base unit byte.
    Bytes,
    /// Base unit percent (of a whole, or percentage points).
    Proportion,
    /// Pixels.
    Pixels,
    /// Degrees.
    Angle,
}

impl Dimension {
    /// Units to choose from, in prose.
    pub fn choices(self) -> &'static str {
        match self {
            Self::Time => "`ms`, `s`, `m`, `h`",
            Self::Bytes => "`B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`",
            Self::Proportion => "`%`, `pp`",
            Self::Pixels => "`px`",
            Self::Angle => "`deg`",
        }
    }

    /// What it is called, with its article.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Time => "a time",
            Self::Bytes => "a size",
            Self::Proportion => "a proportion",
            Self::Pixels => "a number of pixels",
            Self::Angle => "an angle",
        }
    }
}

/// Unit as written, dimension, factor to the base unit.
const UNITS: &[(&str, Dimension, f64)] = &[
    ("us", Dimension::Time, 1e-3),
    ("ms", Dimension::Time, 1.0),
    ("s", Dimension::Time, 1e3),
    ("m", Dimension::Time, 60e3),
    ("min", Dimension::Time, 60e3),
    ("h", Dimension::Time, 3600e3),
    ("d", Dimension::Time, 86400e3),
    ("B", Dimension::Bytes, 1.0),
    ("kB", Dimension::Bytes, 1e3),
    ("MB", Dimension::Bytes, 1e6),
    ("GB", Dimension::Bytes, 1e9),
    ("TB", Dimension::Bytes, 1e12),
    ("KiB", Dimension::Bytes, 1024.0),
    ("MiB", Dimension::Bytes, 1_048_576.0),
    ("GiB", Dimension::Bytes, 1_073_741_824.0),
    ("TiB", Dimension::Bytes, 1_099_511_627_776.0),
    ("%", Dimension::Proportion, 1.0),
    ("pp", Dimension::Proportion, 1.0),
    ("px", Dimension::Pixels, 1.0),
    ("deg", Dimension::Angle, 1.0),
];

/// Units as manifests write them, beside those above.
const SCHEMA_UNITS: &[(&str, Dimension, f64)] = &[
    ("bytes", Dimension::Bytes, 1.0),
    ("percent", Dimension::Proportion, 1.0),
    ("points", Dimension::Proportion, 1.0),
    ("fraction", Dimension::Proportion, 100.0),
    ("seconds", Dimension::Time, 1e3),
    ("minutes", Dimension::Time, 60e3),
];

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    /// In the base unit of the dimension.
    base: f64,
    /// What it measures.
    pub dimension: Dimension,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// No number in front.
    #[error("`{0}` does not start with a number")]
    NoNumber(String),
    /// A number and nothing else.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// Something that is not a unit behind the number.
    #[error("`{unit}` in `{text}` is not a unit")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What stands behind the number.
        unit: String,
        /// What may have been meant.
        meant: Option<&'static str>,
    },
}

impl Quantity {
    /// Reads a number directly followed by a unit (one space is allowed).
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let digits =
            text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
        // An exponent only where digits follow it: `1e3ms`.
        let exponent = text[digits..].strip_prefix(['e', 'E']).map(|rest| {
            let signed = rest.trim_start_matches(['+', '-']);
            let count = signed.len() - signed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (count, rest.len() - signed.len())
        });
        let end = match exponent {
            Some((count, sign)) if count > 0 => digits + 1 + sign + count,
            _ => digits,
        };
        let (number, unit) = text.split_at(end);
        let value: f64 = number
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(|| UnitError::NoNumber(text.to_owned()))?;
        let unit = unit.trim_start();
        if unit.is_empty() {
            return Err(UnitError::NoUnit(text.to_owned()));
        }
        let &(_, dimension, factor) = UNITS.iter().find(|(name, ..)| *name == unit).ok_or_else(|| {
            let meant = match unit {
                "KB" | "K" | "k" | "kb" | "Kb" => Some("kB` (1000) or `KiB` (1024)"),
                "M" | "mb" | "Mb" => Some("MB` (10⁶) or `MiB` (2²⁰)"),
                "G" | "gb" | "Gb" => Some("GB` (10⁹) or `GiB` (2³⁰)"),
                "sec" | "secs" | "second" | "seconds" => Some("s`"),
                "hr" | "hour" | "hours" => Some("h`"),
                "mins" | "minute" | "minutes" => Some("m`"),
                "percent" => Some("%`"),
                _ => None,
            };
            UnitError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned(), meant }
        })?;
        Ok(Self { base: value * factor, dimension })
    }

    /// The amount in a unit (as pipelines or manifests write it); none if that unit measures something else.
    pub fn in_unit(self, unit: &str) -> Option<f64> {
        let (dimension, factor) = unit_named(unit)?;
        let amount = self.base / factor;
        (dimension == self.dimension).then(|| tidy(amount))
    }

    /// As a duration, if it is a time that is not negative.
    pub fn duration(self) -> Option<Duration> {
        (self.dimension == Dimension::Time)
            .then(|| Duration::try_from_secs_f64(self.base / 1e3).ok())
            .flatten()
    }

    /// As whole bytes, if it is a size that is not negative.
    pub fn bytes(self) -> Option<u64> {
        let fits = self.dimension == Dimension::Bytes && (0.0..1.8e19).contains(&self.base);
        fits.then(|| self.base.round() as u64)
    }
}

/// Whole numbers that binary fractions missed by a hair (`0.29s` is 290 ms).
fn tidy(amount: f64) -> f64 {
    let whole = amount.round();
    if (amount - whole).abs() <= whole.abs() * 4.0 * f64::EPSILON { whole } else { amount }
}

impl UnitError {
    /// What to write instead, for a value of the given dimension.
    pub fn hint(&self, dimension: Dimension) -> String {
        match self {
            Self::UnknownUnit { meant: Some(meant), .. } => format!("write `{meant}"),
            _ => format!("write a number with one of the units {}", dimension.choices()),
        }
    }
}

/// Dimension of a unit and its factor to the base unit.
pub fn unit_named(unit: &str) -> Option<(Dimension, f64)> {
    UNITS
        .iter()
        .chain(SCHEMA_UNITS)
        .find(|(name, ..)| *name == unit)
        .map(|&(_, dimension, factor)| (dimension, factor))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn amount(text: &str, unit: &str) -> Option<f64> {
        Quantity::parse(text).unwrap().in_unit(unit)
    }

    #[test]
    fn units_convert_within_their_dimension() {
        assert_eq!(amount("2ms", "ms"), Some(2.0));
        assert_eq!(amount("0.29s", "ms"), Some(290.0));
        assert_eq!(amount("30m", "s"), Some(1800.0));
        assert_eq!(amount("1.5 h", "minutes"), Some(90.0));
        assert_eq!(amount("16GiB", "bytes"), Some(17_179_869_184.0));
        assert_eq!(amount("1kB", "B"), Some(1000.0));
        assert_eq!(amount("0.5pp", "percent"), Some(0.5));
        assert_eq!(amount("2%", "fraction"), Some(0.02));
        assert_eq!(amount("1e3ms", "s"), Some(1.0));
        assert_eq!(amount("-3pp", "pp"), Some(-3.0));
        assert_eq!(amount("2ms", "bytes"), None);
        assert_eq!(Quantity::parse("90s").unwrap().duration(), Some(Duration::from_secs(90)));
        assert_eq!(Quantity::parse("-90s").unwrap().duration(), None);
        assert_eq!(Quantity::parse("2KiB").unwrap().bytes(), Some(2048));
    }

    #[test]
    fn what_is_no_quantity_says_why() {
        let said = |text: &str| {
            let error = Quantity::parse(text).unwrap_err();
            format!("{error}: {}", error.hint(Dimension::Bytes))
        };
        insta::assert_snapshot!([said("64"), said("64MIB"), said("64 KB"), said("much"), said("")].join("\n"), @r"
        `64` has no unit: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`
        `MIB` in `64MIB` is not a unit: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`
        `KB` in `64 KB` is not a unit: write `kB` (1000) or `KiB` (1024)
        `much` does not start with a number: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`
        `` does not start with a number: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`
        ");
    }
}
