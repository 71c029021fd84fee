//! Tensors, shapes and the types of values.

/// A constant tensor. The values are in `raw_data` (little-endian, row-major) or in the field of their type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    /// Size of each dimension; empty is a scalar.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Element type, a [`DataType`].
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// Part of a larger tensor.
    #[prost(message, optional, tag = "3")]
    pub segment: Option<Segment>,
    /// Values of `FLOAT` and `COMPLEX64`.
    #[prost(float, repeated, packed = "true", tag = "4")]
    pub float_data: Vec<f32>,
    /// Values of the integer types up to 32 bits, `BOOL`, and bits of the small float types.
    #[prost(int32, repeated, packed = "true", tag = "5")]
    pub int32_data: Vec<i32>,
    /// Values of `STRING`.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub string_data: Vec<Vec<u8>>,
    /// Values of `INT64`.
    #[prost(int64, repeated, packed = "true", tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name, for an initializer.
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    /// Text for people.
    #[prost(string, optional, tag = "12")]
    pub doc_string: Option<String>,
    /// Values as bytes.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    /// Where the values are if `data_location` is external: `location`, `offset`, `length`, `checksum`.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// In this file or another.
    #[prost(enumeration = "DataLocation", optional, tag = "14")]
    pub data_location: Option<i32>,
    /// Values of `DOUBLE` and `COMPLEX128`.
    #[prost(double, repeated, packed = "true", tag = "10")]
    pub double_data: Vec<f64>,
    /// Values of `UINT32` and `UINT64`.
    #[prost(uint64, repeated, packed = "true", tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Key-value pairs.
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// Not said.
    Undefined = 0,
    /// f32.
    Float = 1,
    /// u8.
    Uint8 = 2,
    /// i8.
    Int8 = 3,
    /// u16.
    Uint16 = 4,
    /// i16.
    Int16 = 5,
    /// i32.
    Int32 = 6,
    /// i64.
    Int64 = 7,
    /// UTF-8.
    String = 8,
    /// One byte.
    Bool = 9,
    /// IEEE half.
    Float16 = 10,
    /// f64.
    Double = 11,
    /// u32.
    Uint32 = 12,
    /// u64.
    Uint64 = 13,
    /// Two f32.
    Complex64 = 14,
    /// Two f64.
    Complex128 = 15,
    /// Brain float.
    Bfloat16 = 16,
    /// 8-bit float.
    Float8e4m3fn = 17,
    /// 8-bit float without a negative zero.
    Float8e4m3fnuz = 18,
    /// 8-bit float of wide range.
    Float8e5m2 = 19,
    /// 8-bit float of wide range without a negative zero.
    Float8e5m2fnuz = 20,
    /// 4-bit unsigned.
    Uint4 = 21,
    /// 4-bit signed.
    Int4 = 22,
    /// 4-bit float.
    Float4e2m1 = 23,
    /// 8-bit power of two.
    Float8e8m0 = 24,
    /// 2-bit unsigned.
    Uint2 = 25,
    /// 2-bit signed.
    Int2 = 26,
    /// 6-bit float with 3 bits of mantissa.
    Float6e2m3 = 27,
    /// 6-bit float with 2 bits of mantissa.
    Float6e3m2 = 28,
}

/// Where a tensor's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataLocation {
    /// In the tensor itself.
    Default = 0,
    /// In another file.
    External = 1,
}

/// Which part of a larger tensor this is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Segment {
    /// First element.
    #[prost(int64, optional, tag = "1")]
    pub begin: Option<i64>,
    /// One past the last element.
    #[prost(int64, optional, tag = "2")]
    pub end: Option<i64>,
}

/// A sparse constant.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorProto {
    /// The values that are not default.
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
    /// Where they are.
    #[prost(message, optional, tag = "2")]
    pub indices: Option<TensorProto>,
    /// Shape of the dense tensor.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// A key with its value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringStringEntryProto {
    /// The key.
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    /// The value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// A named value with its type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfoProto {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// Text for people.
    #[prost(string, optional, tag = "3")]
    pub doc_string: Option<String>,
    /// Key-value pairs.
    #[prost(message, repeated, tag = "4")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// Type of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeProto {
    /// Which kind of type.
    #[prost(oneof = "type_proto::Value", tags = "1, 4, 5, 9, 8, 7")]
    pub value: Option<type_proto::Value>,
    /// Meaning of the value, from a standard list.
    #[prost(string, optional, tag = "6")]
    pub denotation: Option<String>,
}

/// Choice inside [`TypeProto`].
pub mod type_proto {
    /// Kind of a type.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// A dense tensor.
        #[prost(message, tag = "1")]
        TensorType(super::TensorType),
        /// A sequence.
        #[prost(message, tag = "4")]
        SequenceType(super::SequenceType),
        /// A map.
        #[prost(message, tag = "5")]
        MapType(super::MapType),
        /// A value that may be absent.
        #[prost(message, tag = "9")]
        OptionalType(super::OptionalType),
        /// A sparse tensor.
        #[prost(message, tag = "8")]
        SparseTensorType(super::SparseTensorType),
        /// A type of another domain.
        #[prost(message, tag = "7")]
        OpaqueType(super::OpaqueType),
    }
}

/// Type of a dense tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    /// Element type, a [`DataType`].
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    /// Shape; absent if not even the rank is known.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// Type of a sequence.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SequenceType {
    /// Type of an element.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// Type of a map.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapType {
    /// Type of the keys, a [`DataType`].
    #[prost(int32, optional, tag = "1")]
    pub key_type: Option<i32>,
    /// Type of the values.
    #[prost(message, optional, boxed, tag = "2")]
    pub value_type: Option<Box<TypeProto>>,
}

/// Type of a value that may be absent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OptionalType {
    /// Type of the value.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// Type of a sparse tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorType {
    /// Element type, a [`DataType`].
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    /// Shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A type of another domain.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpaqueType {
    /// The domain.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// Name of the type in it.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// A shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShapeProto {
    /// The dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// One dimension: a number, a symbol, or unknown.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    /// Its size.
    #[prost(oneof = "dimension::Value", tags = "1, 2")]
    pub value: Option<dimension::Value>,
    /// Meaning of the dimension, from a standard list.
    #[prost(string, optional, tag = "3")]
    pub denotation: Option<String>,
}

/// Choice inside [`Dimension`].
pub mod dimension {
    /// Size of a dimension.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// A number.
        #[prost(int64, tag = "1")]
        DimValue(i64),
        /// A symbol, such as `batch`.
        #[prost(string, tag = "2")]
        DimParam(String),
    }
}
