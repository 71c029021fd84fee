//! Models, graphs, nodes, attributes, functions.

use super::{SparseTensorProto, StringStringEntryProto, TensorProto, TypeProto, ValueInfoProto};

/// A whole model: what an `.onnx` file holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelProto {
    /// Version of the file format.
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    /// Operator sets the graph uses, with their versions.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Name of the tool that made the file.
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    /// Version of the tool.
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    /// Namespace of the model, reverse DNS.
    #[prost(string, optional, tag = "4")]
    pub domain: Option<String>,
    /// Version of the model itself.
    #[prost(int64, optional, tag = "5")]
    pub model_version: Option<i64>,
    /// Text for people, Markdown.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// The graph that is executed.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Key-value pairs of the producer.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Training methods.
    #[prost(message, repeated, tag = "20")]
    pub training_info: Vec<TrainingInfoProto>,
    /// Functions local to the model.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
    /// Device configurations that nodes refer to.
    #[prost(message, repeated, tag = "26")]
    pub configuration: Vec<DeviceConfigurationProto>,
}

/// One operator set with its version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSetIdProto {
    /// Name of the set; empty is ONNX's own.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// Version of the set.
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// A graph: nodes in topological order, constants, inputs and outputs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GraphProto {
    /// Nodes, each after those it reads.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph; the checker wants one.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// Named constants (weights).
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Named sparse constants.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
    /// Text for people.
    #[prost(string, optional, tag = "10")]
    pub doc_string: Option<String>,
    /// Inputs with their types.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs with their types.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of values in between, where known.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// Scale and zero point by value, for graphs without quantization nodes.
    #[prost(message, repeated, tag = "14")]
    pub quantization_annotation: Vec<TensorAnnotation>,
    /// Key-value pairs.
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// One application of an operator.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeProto {
    /// Names of the values read; an empty name leaves out an optional input.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the values made.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node, for people and tools.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// Operator, such as `Conv`.
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// Operator set; empty is ONNX's own.
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
    /// Overload of a model-local function.
    #[prost(string, optional, tag = "8")]
    pub overload: Option<String>,
    /// Attributes.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Text for people.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// Key-value pairs.
    #[prost(message, repeated, tag = "9")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// How the node is spread over devices.
    #[prost(message, repeated, tag = "10")]
    pub device_configurations: Vec<NodeDeviceConfigurationProto>,
}

/// A named constant of a node; `type` says which of the value fields holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttributeProto {
    /// Name of the attribute.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Inside a function: the function's attribute this one takes its value from.
    #[prost(string, optional, tag = "21")]
    pub ref_attr_name: Option<String>,
    /// Text for people.
    #[prost(string, optional, tag = "13")]
    pub doc_string: Option<String>,
    /// Which value field holds.
    #[prost(enumeration = "AttributeType", optional, tag = "20")]
    pub r#type: Option<i32>,
    /// `FLOAT`.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// `INT`.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// `STRING`, UTF-8.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub s: Option<Vec<u8>>,
    /// `TENSOR`.
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    /// `GRAPH`.
    #[prost(message, optional, tag = "6")]
    pub g: Option<GraphProto>,
    /// `SPARSE_TENSOR`.
    #[prost(message, optional, tag = "22")]
    pub sparse_tensor: Option<SparseTensorProto>,
    /// `TYPE_PROTO`.
    #[prost(message, optional, tag = "14")]
    pub tp: Option<TypeProto>,
    /// `FLOATS`.
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    /// `INTS`.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// `STRINGS`.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// `TENSORS`.
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorProto>,
    /// `GRAPHS`.
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
    /// `SPARSE_TENSORS`.
    #[prost(message, repeated, tag = "23")]
    pub sparse_tensors: Vec<SparseTensorProto>,
    /// `TYPE_PROTOS`.
    #[prost(message, repeated, tag = "15")]
    pub type_protos: Vec<TypeProto>,
}

/// Kind of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// Not said.
    Undefined = 0,
    /// One f32.
    Float = 1,
    /// One i64.
    Int = 2,
    /// One string.
    String = 3,
    /// One tensor.
    Tensor = 4,
    /// One graph.
    Graph = 5,
    /// Many f32.
    Floats = 6,
    /// Many i64.
    Ints = 7,
    /// Many strings.
    Strings = 8,
    /// Many tensors.
    Tensors = 9,
    /// Many graphs.
    Graphs = 10,
    /// One sparse tensor.
    SparseTensor = 11,
    /// Many sparse tensors.
    SparseTensors = 12,
    /// One type.
    TypeProto = 13,
    /// Many types.
    TypeProtos = 14,
}

/// A function local to a model.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FunctionProto {
    /// Name of the function: the `op_type` of a node that calls it.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Names of the inputs.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// Names of the outputs.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Names of attributes without a default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// Attributes with a default.
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    /// The body.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    /// Text for people.
    #[prost(string, optional, tag = "8")]
    pub doc_string: Option<String>,
    /// Operator sets the body uses.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Operator set the function belongs to.
    #[prost(string, optional, tag = "10")]
    pub domain: Option<String>,
    /// Distinguishes functions of the same name.
    #[prost(string, optional, tag = "13")]
    pub overload: Option<String>,
    /// Types of values in the body.
    #[prost(message, repeated, tag = "12")]
    pub value_info: Vec<ValueInfoProto>,
    /// Key-value pairs.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// How a model is trained further.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrainingInfoProto {
    /// Sets up the state.
    #[prost(message, optional, tag = "1")]
    pub initialization: Option<GraphProto>,
    /// One step.
    #[prost(message, optional, tag = "2")]
    pub algorithm: Option<GraphProto>,
    /// State set by the initialization, by output name.
    #[prost(message, repeated, tag = "3")]
    pub initialization_binding: Vec<StringStringEntryProto>,
    /// State set by a step, by output name.
    #[prost(message, repeated, tag = "4")]
    pub update_binding: Vec<StringStringEntryProto>,
}

/// Quantization parameters of one value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorAnnotation {
    /// The value.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// `SCALE_TENSOR` and `ZERO_POINT_TENSOR` → names of initializers.
    #[prost(message, repeated, tag = "2")]
    pub quant_parameter_tensor_names: Vec<StringStringEntryProto>,
}

/// A set of devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeviceConfigurationProto {
    /// Name that nodes refer to.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Number of devices.
    #[prost(int32, optional, tag = "2")]
    pub num_devices: Option<i32>,
    /// Names of the devices.
    #[prost(string, repeated, tag = "3")]
    pub device: Vec<String>,
}

/// How one node is spread over a set of devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeDeviceConfigurationProto {
    /// Name of the configuration.
    #[prost(string, optional, tag = "1")]
    pub configuration_id: Option<String>,
    /// Sharding of its values.
    #[prost(message, repeated, tag = "2")]
    pub sharding_spec: Vec<ShardingSpecProto>,
    /// Stage of a pipeline of devices.
    #[prost(int32, optional, tag = "3")]
    pub pipeline_stage: Option<i32>,
}

/// How one value is sharded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardingSpecProto {
    /// The value.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// Devices, or negative keys of groups.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub device: Vec<i64>,
    /// Groups of devices by key.
    #[prost(message, repeated, tag = "3")]
    pub index_to_device_group_map: Vec<IntIntListEntryProto>,
    /// Sharded dimensions.
    #[prost(message, repeated, tag = "4")]
    pub sharded_dim: Vec<ShardedDimProto>,
}

/// One key with its integers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntIntListEntryProto {
    /// The key.
    #[prost(int64, optional, tag = "1")]
    pub key: Option<i64>,
    /// The integers.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// How one dimension is sharded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardedDimProto {
    /// The dimension.
    #[prost(int64, optional, tag = "1")]
    pub axis: Option<i64>,
    /// Its parts.
    #[prost(message, repeated, tag = "2")]
    pub simple_sharding: Vec<SimpleShardedDimProto>,
}

/// An even split of a dimension.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SimpleShardedDimProto {
    /// Size of the dimension.
    #[prost(oneof = "simple_sharded_dim::Dim", tags = "1, 2")]
    pub dim: Option<simple_sharded_dim::Dim>,
    /// Number of shards.
    #[prost(int64, optional, tag = "3")]
    pub num_shards: Option<i64>,
}

/// Choice inside [`SimpleShardedDimProto`].
pub mod simple_sharded_dim {
    /// Size of a dimension.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Dim {
        /// A number.
        #[prost(int64, tag = "1")]
        DimValue(i64),
        /// A symbol.
        #[prost(string, tag = "2")]
        DimParam(String),
    }
}
