//! The canonical encoding of a JSON value, over which action keys are computed.
//!
//! - Objects: keys sorted by their UTF-8 bytes, no white space. Arrays in order. `null`, `true`, `false` as in JSON.
//! - Strings: in double quotes; `"` and `\` escaped with `\`; characters below U+0020 as `\u00xx` in lower-case hex;
//!   everything else as its UTF-8 bytes.
//! - Numbers: an integer (no fraction, within ±2⁵³, whether written `1`, `1.0` or `1e0`) as decimal digits; any other
//!   number as `f` and the 16 lower-case hex digits of its IEEE 754 binary64 bits. Integers beyond ±2⁵³ that JSON
//!   holds exactly (u64, i64) as decimal digits.
//!
//! So `1` and `1.0` are one value, as they are to YAML users, and nothing depends on how a library prints floats. The
//! encoding is our own and not JSON where a number has a fraction: it is only ever hashed, never parsed.

use serde_json::{Number, Value};

/// Why a value has no canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is not finite, so it has no canonical encoding")]
pub struct CanonicalError(String);

/// Largest magnitude up to which every integer is exact in binary64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Canonical encoding of a value; see the module's text.
pub fn canonical_json(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write_value(value, &mut out)?;
    Ok(out)
}

/// Writes an object of the canonical encoding field by field, from values that are borrowed: what every stage of every run needs
/// is not copied into a [`Value`] first. Keys come in their order.
#[derive(Default)]
pub(crate) struct Encoder {
    out: Vec<u8>,
    /// Objects and lists that are open: whether they hold something yet.
    open: Vec<bool>,
}

impl Encoder {
    /// The whole object.
    pub(crate) fn object(
        fill: impl FnOnce(&mut Self) -> Result<(), CanonicalError>,
    ) -> Result<Vec<u8>, CanonicalError> {
        let mut encoder = Self::default();
        encoder.nested(b"{}", fill)?;
        Ok(encoder.out)
    }

    /// A field that holds an object.
    pub(crate) fn map(
        &mut self,
        key: &str,
        fill: impl FnOnce(&mut Self) -> Result<(), CanonicalError>,
    ) -> Result<(), CanonicalError> {
        self.key(key);
        self.nested(b"{}", fill)
    }

    /// A field that holds a list.
    pub(crate) fn list(
        &mut self,
        key: &str,
        fill: impl FnOnce(&mut Self) -> Result<(), CanonicalError>,
    ) -> Result<(), CanonicalError> {
        self.key(key);
        self.nested(b"[]", fill)
    }

    /// An object in a list.
    pub(crate) fn item(
        &mut self,
        fill: impl FnOnce(&mut Self) -> Result<(), CanonicalError>,
    ) -> Result<(), CanonicalError> {
        self.separate();
        self.nested(b"{}", fill)
    }

    /// A text in a list.
    pub(crate) fn text_item(&mut self, text: &str) {
        self.separate();
        write_string(text, &mut self.out);
    }

    /// A field that holds any value.
    pub(crate) fn value(&mut self, key: &str, value: &Value) -> Result<(), CanonicalError> {
        self.key(key);
        write_value(value, &mut self.out)
    }

    /// A field that holds a text, or nothing.
    pub(crate) fn text(&mut self, key: &str, text: Option<&str>) {
        self.key(key);
        match text {
            Some(text) => write_string(text, &mut self.out),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    /// A field that holds a whole number.
    pub(crate) fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        self.out.extend_from_slice(number.to_string().as_bytes());
    }

    fn key(&mut self, key: &str) {
        self.separate();
        write_string(key, &mut self.out);
        self.out.push(b':');
    }

    fn separate(&mut self) {
        if let Some(filled) = self.open.last_mut()
            && std::mem::replace(filled, true)
        {
            self.out.push(b',');
        }
    }

    fn nested(
        &mut self,
        [start, end]: &[u8; 2],
        fill: impl FnOnce(&mut Self) -> Result<(), CanonicalError>,
    ) -> Result<(), CanonicalError> {
        self.out.push(*start);
        self.open.push(false);
        fill(self)?;
        self.open.pop();
        self.out.push(*end);
        Ok(())
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            // Sorted here and not by the map, whose order is a feature flag of serde_json.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            out.push(b'{');
            for (index, (key, item)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_value(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_number(number: &Number, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if let Some(integer) = number.as_i64() {
        out.extend_from_slice(integer.to_string().as_bytes());
    } else if let Some(integer) = number.as_u64() {
        out.extend_from_slice(integer.to_string().as_bytes());
    } else {
        let float = number
            .as_f64()
            .filter(|float| float.is_finite())
            .ok_or_else(|| CanonicalError(number.to_string()))?;
        if float.fract() == 0.0 && float.abs() <= EXACT {
            out.extend_from_slice((float as i64).to_string().as_bytes());
        } else {
            out.extend_from_slice(format!("f{:016x}", float.to_bits()).as_bytes());
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(canonical_json(value).unwrap()).unwrap()
    }

    #[test]
    fn golden_vectors() {
        assert_eq!(
            text(&json!({"b": 1.0, "a": [true, null, "ä\"\n"]})),
            r#"{"a":[true,null,"ä\"\u000a"],"b":1}"#
        );
        assert_eq!(text(&json!(0.1)), "f3fb999999999999a");
        assert_eq!(text(&json!(-0.0)), "0");
        assert_eq!(text(&json!(1e2)), "100");
        assert_eq!(text(&json!(9007199254740993u64)), "9007199254740993");
        assert_eq!(text(&json!(u64::MAX)), "18446744073709551615");
        assert_eq!(text(&json!(1e300)), "f7e37e43c8800759c");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::num::f64::NORMAL.prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn different_values_differ(a in values(), b in values()) {
            let same_meaning = a == b || text(&a) == text(&b) && serde_json::to_string(&a).unwrap().len()
                != serde_json::to_string(&b).unwrap().len() && numbers_equal(&a, &b);
            prop_assert_eq!(text(&a) == text(&b), same_meaning);
        }

        #[test]
        fn survives_a_trip_through_text(value in values()) {
            let again: Value = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
            prop_assert_eq!(text(&value), text(&again));
        }
    }

    /// `1` and `1.0` are one value to us and two to serde_json.
    fn numbers_equal(a: &Value, b: &Value) -> bool {
        a.as_f64().is_some() && a.as_f64() == b.as_f64()
    }
}
