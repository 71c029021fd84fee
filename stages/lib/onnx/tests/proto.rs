//! The schema against the Python package's: a model with every field of it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use stagewright_onnx::{OnnxError, decode_model, encode_model, proto, read_model};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/onnx").join(name)
}

#[test]
fn a_model_with_every_field_survives_the_round_trip_byte_for_byte() {
    let path = fixture("every_field.onnx");
    let bytes = std::fs::read(&path).unwrap();
    let model = decode_model(&bytes, &path).unwrap();
    let again = encode_model(&model);
    assert_eq!(again.len(), bytes.len(), "fields were lost or added");
    assert!(
        again == bytes,
        "the bytes differ first at {:?}",
        again.iter().zip(&bytes).position(|(one, other)| one != other)
    );
}

#[test]
fn scalars_that_hold_their_default_are_kept() {
    let attribute = proto::AttributeProto { i: Some(0), ..proto::AttributeProto::default() };
    let bytes = prost::Message::encode_to_vec(&attribute);
    assert_eq!(bytes, [0x18, 0], "field 3, value 0: proto2 tells an absent field from a zero");
}

#[test]
fn what_is_not_a_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let message =
        |path: &Path| read_model(path).unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "");
    assert_eq!(
        message(&folder.path().join("none.onnx")),
        "cannot read /none.onnx: No such file or directory (os error 2)"
    );
    assert_eq!(message(&write("empty.onnx", b"")), "/empty.onnx is not an ONNX model: the file is empty");
    // A ZIP archive, as torch.save writes: the first byte is no field of a model.
    assert!(
        message(&write("weights.onnx", b"PK\x03\x04 and so on"))
            .starts_with("/weights.onnx is not an ONNX model: ")
    );
    // Well-formed protobuf of something else.
    assert_eq!(
        message(&write("other.onnx", &[0x08, 0x01])),
        "/other.onnx is not an ONNX model: it has no graph or names no operator set"
    );
}

#[test]
fn weights_in_a_side_file_are_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |key: &str, value: &str| proto::StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    let model = |location: &str| {
        let mut tensor = proto::TensorProto::of_f32("w", &[2], &[]);
        tensor.raw_data = None;
        tensor.data_location = Some(proto::DataLocation::External as i32);
        tensor.external_data = vec![entry("location", location), entry("offset", "4"), entry("length", "8")];
        let graph = proto::GraphProto { initializer: vec![tensor], ..Default::default() };
        let opset_import = vec![proto::OperatorSetIdProto { version: Some(18), ..Default::default() }];
        encode_model(&proto::ModelProto { graph: Some(graph), opset_import, ..Default::default() })
    };
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model("model.data")).unwrap();
    let missing = read_model(&path).unwrap_err();
    assert!(
        matches!(&missing, OnnxError::ExternalData { tensor, location, .. } if tensor == "w" && location == "model.data"),
        "{missing}"
    );
    assert!(missing.hint().unwrap().contains("external_data=False"));

    let values: Vec<u8> = [9.0f32, 1.5, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(folder.path().join("model.data"), &values).unwrap();
    let read = read_model(&path).unwrap();
    assert_eq!(read.graph.unwrap().initializer[0].to_f32().unwrap(), [1.5, -2.0]);

    std::fs::write(folder.path().join("model.data"), &values[..8]).unwrap();
    assert!(read_model(&path).unwrap_err().to_string().ends_with("it has 8 bytes, the tensor is at 4"));

    std::fs::write(&path, model("../../etc/passwd")).unwrap();
    assert!(read_model(&path).unwrap_err().to_string().ends_with("only a file beside the model is read"));
}
