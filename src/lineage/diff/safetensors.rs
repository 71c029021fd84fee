//! The safetensors format: 8 bytes with the length of a JSON header, the header, the bytes of the tensors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::tensors::{Model, Tensor, floats};
use crate::digest::Digest;

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [usize; 2],
}

/// Reads a file; none if it is no such file.
pub(super) fn read(bytes: &[u8]) -> Option<Model> {
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let end = 8_usize.checked_add(usize::try_from(length).ok()?)?;
    let header: BTreeMap<String, Value> = serde_json::from_slice(bytes.get(8..end)?).ok()?;
    let data = bytes.get(end..)?;
    let mut model = Model::default();
    for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let Described { dtype, shape, data_offsets: [from, to] } = serde_json::from_value(value).ok()?;
        let own = data.get(from..to)?;
        let values = if dtype == "F32" { floats(own) } else { None };
        let tensor = Tensor { kind: dtype.to_ascii_lowercase(), shape, digest: Digest::of(own), values };
        model.tensors.insert(name, tensor);
    }
    Some(model)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn tensors_are_read_and_other_bytes_are_not() {
        let header = r#"{"__metadata__":{"x":"y"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"q":{"dtype":"I8","shape":[2],"data_offsets":[8,10]}}"#;
        let data = [1.0_f32.to_le_bytes(), 0.0_f32.to_le_bytes()].concat();
        let model = read(&file(header, &[&data[..], &[3, 4]].concat())).unwrap();
        assert_eq!(model.tensors["w"].values, Some(vec![1.0, 0.0]));
        assert_eq!((model.tensors["q"].kind.as_str(), model.tensors["q"].values.is_none()), ("i8", true));
        for spoiled in [&b""[..], b"12345678", &file(header, &data[..4]), &file("{", b""), &[255; 16]] {
            assert!(read(spoiled).is_none());
        }
    }
}
