//! The ONNX file format as Rust types: the whole schema as of IR version 14, so that a model that passes through keeps
//! every field. Field numbers are those of the ONNX specification (`onnx.proto`, package `onnx`, proto2).
//!
//! Every scalar is an `Option`, because proto2 tells a field that is absent from one that holds its default, and the
//! ONNX checker looks at the difference (an attribute of type `INT` must have its `i`, even if it is 0). Each optional
//! field has a getter of its own name that gives the value or the default: `node.op_type()`.

mod graph;
mod types;

pub use graph::{
    AttributeProto, AttributeType, DeviceConfigurationProto, FunctionProto, GraphProto, IntIntListEntryProto,
    ModelProto, NodeDeviceConfigurationProto, NodeProto, OperatorSetIdProto, ShardedDimProto,
    ShardingSpecProto, SimpleShardedDimProto, TensorAnnotation, TrainingInfoProto, simple_sharded_dim,
};
pub use types::{
    DataLocation, DataType, Dimension, MapType, OpaqueType, OptionalType, Segment, SequenceType,
    SparseTensorProto, SparseTensorType, StringStringEntryProto, TensorProto, TensorShapeProto, TensorType,
    TypeProto, ValueInfoProto, dimension, type_proto,
};
