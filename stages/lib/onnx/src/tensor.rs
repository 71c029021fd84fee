//! Values in and out of [`TensorProto`].

use half::f16;

use crate::{
    OnnxError,
    proto::{DataType, TensorProto},
};

/// Constructors: name, size of each dimension, values in row-major order.
impl TensorProto {
    /// A tensor of f32.
    pub fn of_f32(name: &str, dims: &[usize], values: &[f32]) -> Self {
        Self::raw(name, DataType::Float, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of half floats; values beyond ±65504 become the largest half float of their sign.
    pub fn of_f16(name: &str, dims: &[usize], values: &[f32]) -> Self {
        let half = |value: f32| f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
        Self::raw(
            name,
            DataType::Float16,
            dims,
            values.iter().flat_map(|&value| half(value).to_le_bytes()).collect(),
        )
    }

    /// A tensor of i64.
    pub fn of_i64(name: &str, dims: &[usize], values: &[i64]) -> Self {
        Self::raw(name, DataType::Int64, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of i32.
    pub fn of_i32(name: &str, dims: &[usize], values: &[i32]) -> Self {
        Self::raw(name, DataType::Int32, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of i8.
    pub fn of_i8(name: &str, dims: &[usize], values: &[i8]) -> Self {
        Self::raw(name, DataType::Int8, dims, values.iter().map(|&value| value.cast_unsigned()).collect())
    }

    /// A tensor of u8.
    pub fn of_u8(name: &str, dims: &[usize], values: &[u8]) -> Self {
        Self::raw(name, DataType::Uint8, dims, values.to_vec())
    }

    fn raw(name: &str, data_type: DataType, dims: &[usize], bytes: Vec<u8>) -> Self {
        Self {
            name: Some(name.to_owned()),
            data_type: Some(data_type as i32),
            dims: dims.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect(),
            raw_data: Some(bytes),
            ..Self::default()
        }
    }
}

impl TensorProto {
    /// Element type, where it is one of the known ones.
    pub fn element_type(&self) -> Option<DataType> {
        DataType::try_from(self.data_type()).ok()
    }

    /// Size of each dimension.
    ///
    /// # Errors
    /// A negative size.
    pub fn shape(&self) -> Result<Vec<usize>, OnnxError> {
        let size = |&size: &i64| {
            usize::try_from(size).map_err(|_| {
                OnnxError::Structure(format!("the tensor `{}` has a dimension of size {size}", self.name()))
            })
        };
        self.dims.iter().map(size).collect()
    }

    /// The values of a `FLOAT`, `FLOAT16` or `DOUBLE` tensor as f32.
    ///
    /// # Errors
    /// Another element type, or a number of values that does not fit the shape.
    pub fn to_f32(&self) -> Result<Vec<f32>, OnnxError> {
        let raw = self.raw_data.as_deref();
        let values: Vec<f32> = match (self.element_type(), raw) {
            (Some(DataType::Float), Some(raw)) => chunks(raw).map(f32::from_le_bytes).collect(),
            (Some(DataType::Float), None) => self.float_data.clone(),
            (Some(DataType::Float16), Some(raw)) => {
                chunks(raw).map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect()
            }
            // Half floats without raw bytes are kept as bits in 32-bit integers; the upper half is unused.
            (Some(DataType::Float16), None) => {
                self.int32_data.iter().map(|&bits| f16::from_bits((bits & 0xffff) as u16).to_f32()).collect()
            }
            (Some(DataType::Double), Some(raw)) => {
                chunks(raw).map(|bytes| f64::from_le_bytes(bytes) as f32).collect()
            }
            (Some(DataType::Double), None) => self.double_data.iter().map(|&value| value as f32).collect(),
            _ => return Err(self.unexpected("a float")),
        };
        self.counted(values)
    }

    /// The values of an `INT64` or `INT32` tensor.
    ///
    /// # Errors
    /// Another element type, or a number of values that does not fit the shape.
    pub fn to_i64(&self) -> Result<Vec<i64>, OnnxError> {
        let raw = self.raw_data.as_deref();
        let values: Vec<i64> = match (self.element_type(), raw) {
            (Some(DataType::Int64), Some(raw)) => chunks(raw).map(i64::from_le_bytes).collect(),
            (Some(DataType::Int64), None) => self.int64_data.clone(),
            (Some(DataType::Int32), Some(raw)) => {
                chunks(raw).map(|bytes| i64::from(i32::from_le_bytes(bytes))).collect()
            }
            (Some(DataType::Int32), None) => self.int32_data.iter().map(|&value| i64::from(value)).collect(),
            _ => return Err(self.unexpected("an integer")),
        };
        self.counted(values)
    }

    /// The values of an `INT8` or `UINT8` tensor.
    ///
    /// # Errors
    /// Another element type, or a number of values that does not fit the shape.
    pub fn to_i16(&self) -> Result<Vec<i16>, OnnxError> {
        let raw = self.raw_data.as_deref();
        let values: Vec<i16> = match (self.element_type(), raw) {
            (Some(DataType::Int8), Some(raw)) => {
                raw.iter().map(|&byte| i16::from(byte.cast_signed())).collect()
            }
            (Some(DataType::Uint8), Some(raw)) => raw.iter().map(|&byte| i16::from(byte)).collect(),
            // Both are below 256 in magnitude: the low 16 bits hold them.
            (Some(DataType::Int8 | DataType::Uint8), None) => {
                self.int32_data.iter().map(|&value| value as i16).collect()
            }
            _ => return Err(self.unexpected("an 8-bit integer")),
        };
        self.counted(values)
    }

    fn unexpected(&self, wanted: &str) -> OnnxError {
        let found =
            self.element_type().map_or_else(|| self.data_type().to_string(), |found| format!("{found:?}"));
        OnnxError::Unsupported(format!(
            "the tensor `{}` is {found}, {wanted} tensor was expected",
            self.name()
        ))
    }

    fn counted<T>(&self, values: Vec<T>) -> Result<Vec<T>, OnnxError> {
        let wanted = self.shape()?.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if wanted == Some(values.len()) {
            return Ok(values);
        }
        Err(OnnxError::Structure(format!(
            "the tensor `{}` of shape {:?} holds {} values",
            self.name(),
            self.dims,
            values.len()
        )))
    }
}

/// Whole chunks of `N` bytes; a rest shows up as a wrong count of values.
fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks(N).map(|chunk| {
        let mut array = [0; N];
        array[..chunk.len()].copy_from_slice(chunk);
        array
    })
}
