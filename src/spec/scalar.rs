//! What a plain YAML scalar means: the core schema of YAML 1.2, refusing what YAML 1.1 would read differently.

use serde_json::Number;

/// Meaning of a plain scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    Text,
    /// Means one thing to YAML 1.1 and another to YAML 1.2, or cannot be held: what is odd, and what to write.
    Surprise {
        message: String,
        hint: String,
    },
}

/// Resolves a plain scalar.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    if matches!(text.to_ascii_lowercase().as_str(), ".inf" | "+.inf" | "-.inf" | ".nan") {
        return Scalar::Surprise {
            message: format!("`{text}` is not a finite number"),
            hint: "write a finite number, or quotes for the text".to_owned(),
        };
    }
    number(text)
}

/// What `yes`, `no`, `on` and `off` are to YAML 1.1; to YAML 1.2 they are text.
pub fn truth_word(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" => Some(true),
        "no" | "off" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Scalar {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(hex) = text.strip_prefix("0x") {
        return radix(text, hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return radix(text, octal, 8);
    }
    if unsigned.len() > 1 && unsigned.starts_with('0') && digits(unsigned) {
        let decimal = unsigned.trim_start_matches('0');
        let decimal = if decimal.is_empty() { "0" } else { decimal };
        let sign = if text.starts_with('-') { "-" } else { "" };
        return Scalar::Surprise {
            message: format!("`{text}` is octal to YAML 1.1 and decimal to YAML 1.2"),
            hint: format!("write `{sign}{decimal}`, or `0o{decimal}` for octal, or quotes for the text"),
        };
    }
    if unsigned.contains('_') && unsigned.starts_with(|c: char| c.is_ascii_digit()) {
        let plain: String = text.chars().filter(|&c| c != '_').collect();
        if digits(plain.trim_start_matches(['+', '-'])) {
            return Scalar::Surprise {
                message: format!("`{text}` is a number to YAML 1.1 and text to YAML 1.2"),
                hint: format!("write `{plain}`, or quotes for the text"),
            };
        }
    }
    if unsigned.contains(':') && sexagesimal(unsigned) {
        return Scalar::Surprise {
            message: format!("`{text}` is a number of base 60 to YAML 1.1 and text to YAML 1.2"),
            hint: "write the number with a unit (`90s`, `30m`), or quotes for the text".to_owned(),
        };
    }
    if digits(unsigned) {
        let integer = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = integer.parse::<i64>() {
            return Scalar::Number(number.into());
        }
        if let Ok(number) = integer.parse::<u64>() {
            return Scalar::Number(number.into());
        }
        return too_large(text);
    }
    if !float_shaped(unsigned) {
        return Scalar::Text;
    }
    match text.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(number) => Scalar::Number(number),
        None => too_large(text),
    }
}

fn too_large(text: &str) -> Scalar {
    Scalar::Surprise {
        message: format!("`{text}` is too large a number"),
        hint: "write a number within 64 bits, or quotes for the text".to_owned(),
    }
}

fn radix(text: &str, digits: &str, radix: u32) -> Scalar {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Scalar::Text;
    }
    u64::from_str_radix(digits, radix)
        .map_or_else(|_| too_large(text), |number| Scalar::Number(number.into()))
}

/// `[0-9]* ( . [0-9]* )? ( [eE] [-+]? [0-9]+ )?` with at least one digit before the exponent.
fn float_shaped(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    all_digits(whole)
        && all_digits(fraction)
        && whole.len() + fraction.len() > 0
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && all_digits(exponent)
        })
}

fn sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let number =
        |part: &str| !part.is_empty() && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(number) && parts.all(|part| number(part) && part.len() <= 2 && part < "60")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_core_schema() {
        let number = |text: &str| match resolve(text) {
            Scalar::Number(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(
            ["12", "-3", "+4", "0", "0x1F", "0o17", "3e-3", ".5", "1.", "18446744073709551615"].map(number),
            ["12", "-3", "4", "0", "31", "15", "0.003", "0.5", "1.0", "18446744073709551615"]
        );
        for text in ["y", "n", "1.2.3", "e5", ".", "-", "2ms", "0xZZ", "a:b", "1:x", "1.5e", "nan", "-0x1"] {
            assert_eq!(resolve(text), Scalar::Text, "{text}");
        }
        assert_eq!(resolve("~"), Scalar::Null);
        assert_eq!(resolve("True"), Scalar::Bool(true));
    }

    #[test]
    fn surprises_are_refused_with_the_choices() {
        assert_eq!(["On", "no", "y"].map(truth_word), [Some(true), Some(false), None]);
        let said =
            ["010", "-007", "1_000", "1:30", ".inf", "1e999", "99999999999999999999"].map(
                |text| match resolve(text) {
                    Scalar::Surprise { message, hint } => format!("{message}: {hint}"),
                    other => format!("{text} is {other:?}"),
                },
            );
        insta::assert_snapshot!(said.join("\n"), @r"
        `010` is octal to YAML 1.1 and decimal to YAML 1.2: write `10`, or `0o10` for octal, or quotes for the text
        `-007` is octal to YAML 1.1 and decimal to YAML 1.2: write `-7`, or `0o7` for octal, or quotes for the text
        `1_000` is a number to YAML 1.1 and text to YAML 1.2: write `1000`, or quotes for the text
        `1:30` is a number of base 60 to YAML 1.1 and text to YAML 1.2: write the number with a unit (`90s`, `30m`), or quotes for the text
        `.inf` is not a finite number: write a finite number, or quotes for the text
        `1e999` is too large a number: write a number within 64 bits, or quotes for the text
        `99999999999999999999` is too large a number: write a number within 64 bits, or quotes for the text
        ");
    }
}
