//! As much of the ONNX format as a comparison needs: the graph's initializers and its nodes' operators, read out of the protobuf
//! encoding (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>).

use super::tensors::{Model, Tensor, floats};
use crate::digest::Digest;

/// Numbers of the fields that are read.
mod field {
    pub const MODEL_GRAPH: u64 = 7;
    pub const GRAPH_NODE: u64 = 1;
    pub const GRAPH_INITIALIZER: u64 = 5;
    pub const NODE_OPERATOR: u64 = 4;
    pub const TENSOR_DIMS: u64 = 1;
    pub const TENSOR_TYPE: u64 = 2;
    pub const TENSOR_FLOATS: u64 = 4;
    pub const TENSOR_NAME: u64 = 8;
    pub const TENSOR_RAW: u64 = 9;
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed width.
    Fixed(&'a [u8]),
}

/// Reads a model; none if it is none. Tensors whose bytes lie in another file are known by name, type and shape only.
pub(super) fn read(bytes: &[u8]) -> Option<Model> {
    let mut model = Model::default();
    let mut seen = false;
    for part in Fields(bytes) {
        if let (field::MODEL_GRAPH, Field::Bytes(graph)) = part? {
            seen = true;
            for part in Fields(graph) {
                match part? {
                    (field::GRAPH_NODE, Field::Bytes(node)) => {
                        *model.operators.entry(operator(node)?).or_default() += 1;
                    }
                    (field::GRAPH_INITIALIZER, Field::Bytes(initializer)) => {
                        let (name, tensor) = tensor(initializer)?;
                        model.tensors.insert(name, tensor);
                    }
                    _ => {}
                }
            }
        }
    }
    seen.then_some(model)
}

fn operator(node: &[u8]) -> Option<String> {
    let mut found = String::new();
    for part in Fields(node) {
        if let (field::NODE_OPERATOR, Field::Bytes(name)) = part? {
            found = String::from_utf8(name.to_vec()).ok()?;
        }
    }
    Some(found)
}

fn tensor(bytes: &[u8]) -> Option<(String, Tensor)> {
    let (mut name, mut kind, mut shape, mut raw, mut typed) =
        (String::new(), 0, Vec::new(), None, Vec::new());
    for part in Fields(bytes) {
        match part? {
            (field::TENSOR_DIMS, Field::Number(dim)) => shape.push(dim),
            (field::TENSOR_DIMS, Field::Bytes(packed)) => {
                let mut rest = packed;
                while !rest.is_empty() {
                    let (dim, after) = varint(rest)?;
                    shape.push(dim);
                    rest = after;
                }
            }
            (field::TENSOR_TYPE, Field::Number(number)) => kind = number,
            (field::TENSOR_NAME, Field::Bytes(text)) => name = String::from_utf8(text.to_vec()).ok()?,
            (field::TENSOR_RAW, Field::Bytes(data)) => raw = Some(data),
            (field::TENSOR_FLOATS, Field::Bytes(data) | Field::Fixed(data)) => typed.extend_from_slice(data),
            _ => {}
        }
    }
    let data = raw.unwrap_or(&typed);
    let values = if kind == 1 { floats(data) } else { None };
    // What is stored in other fields or files is part of the message, if only as a reference.
    let digest = if data.is_empty() { Digest::of(bytes) } else { Digest::of(data) };
    Some((name, Tensor { kind: type_name(kind), shape, digest, values }))
}

fn type_name(kind: u64) -> String {
    let name = match kind {
        1 => "f32",
        2 => "u8",
        3 => "i8",
        5 => "i16",
        6 => "i32",
        7 => "i64",
        9 => "bool",
        10 => "f16",
        11 => "f64",
        16 => "bf16",
        17 => "f8e4m3fn",
        19 => "f8e5m2",
        21 => "u4",
        22 => "i4",
        other => return format!("type {other}"),
    };
    name.to_owned()
}

/// The fields of a message; none for bytes that are no message.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let found = self.field();
        if found.is_none() {
            self.0 = &[];
        }
        Some(found)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let (key, rest) = varint(self.0)?;
        let (value, rest) = match key & 7 {
            0 => {
                let (number, rest) = varint(rest)?;
                (Field::Number(number), rest)
            }
            1 => (Field::Fixed(rest.get(..8)?), rest.get(8..)?),
            2 => {
                let (length, rest) = varint(rest)?;
                let length = usize::try_from(length).ok()?;
                (Field::Bytes(rest.get(..length)?), rest.get(length..)?)
            }
            5 => (Field::Fixed(rest.get(..4)?), rest.get(4..)?),
            _ => return None,
        };
        self.0 = rest;
        Some((key >> 3, value))
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn bytes(number: u64, data: &[u8]) -> Vec<u8> {
        // Short messages: one byte a length, one byte a key.
        [&[(number << 3 | 2) as u8, data.len() as u8], data].concat()
    }

    fn graph() -> Vec<u8> {
        let weight = [
            vec![8, 2, 8, 1],
            vec![16, 1],
            bytes(field::TENSOR_NAME, b"w"),
            bytes(field::TENSOR_RAW, &[1.5_f32.to_le_bytes(), 0.0_f32.to_le_bytes()].concat()),
        ];
        let scale = [
            vec![16, 1],
            bytes(field::TENSOR_NAME, b"s"),
            bytes(field::TENSOR_FLOATS, &0.5_f32.to_le_bytes()),
        ];
        let node = |name: &[u8]| bytes(field::GRAPH_NODE, &bytes(field::NODE_OPERATOR, name));
        let parts = [
            node(b"Conv"),
            node(b"Relu"),
            node(b"Conv"),
            bytes(field::GRAPH_INITIALIZER, &weight.concat()),
            bytes(field::GRAPH_INITIALIZER, &scale.concat()),
        ];
        [vec![8, 9], bytes(field::MODEL_GRAPH, &parts.concat())].concat()
    }

    #[test]
    fn a_model_is_read() {
        let model = read(&graph()).unwrap();
        assert_eq!((model.operators["Conv"], model.operators["Relu"]), (2, 1));
        assert_eq!(
            (&model.tensors["w"].shape, &model.tensors["w"].values),
            (&vec![2, 1], &Some(vec![1.5, 0.0]))
        );
        assert_eq!(model.tensors["s"].values, Some(vec![0.5]));
        assert!(read(b"").is_none() && read(b"\x08\x09").is_none() && read(b"{}").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_are_trusted(at in 0_usize..200, byte: u8, cut in 0_usize..200) {
            let mut bytes = graph();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut.max(1));
            let _ = read(&bytes);
        }
    }
}
