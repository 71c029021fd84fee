//! Readers, decoding, contract and splits against values that Pillow, numpy and PyTorch gave (`make.py` beside the
//! fixtures), and the texts of errors.
#![allow(clippy::unwrap_used, missing_docs)]

mod contract;
mod decode;
mod digest;
mod readers;
mod split;

use std::{fs, path::PathBuf};

use serde_json::Value;

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/dataset")
}

/// What the reference gave for `key`.
pub fn expected(key: &str) -> Value {
    let text = fs::read_to_string(fixtures().join("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[key].clone()
}

/// Bytes out of hex text.
pub fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Largest difference of two images.
pub fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}
