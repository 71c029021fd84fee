//! Recognizing an image classifier: what every stage that takes `model/onnx` needs of it.

use crate::{
    Dim, OnnxError,
    infer::ValueType,
    proto::{DataType, ModelProto},
};

/// Interface of an image classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classifier {
    /// Name of the image input.
    pub input: String,
    /// Its dimensions: batch, channels, height, width; −1 where open.
    pub dims: [i64; 4],
    /// Name of the output of logits.
    pub output: String,
    /// Number of classes, if the model says it.
    pub classes: Option<usize>,
}

/// Finds the image input and the output of logits.
///
/// # Errors
/// Another number of inputs or outputs, other types or dimensions; says what was found.
pub fn classifier(model: &ModelProto) -> Result<Classifier, OnnxError> {
    let unsupported = |what: String| {
        OnnxError::Unsupported(format!(
            "the model {what}; one f32 image input [batch, channels, height, width] and one f32 output [batch, classes] are expected"
        ))
    };
    let graph = model.graph.as_ref().ok_or_else(|| unsupported("has no graph".to_owned()))?;
    // Before IR version 4 initializers are listed among the inputs as well.
    let is_constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name() == name);
    let inputs: Vec<_> = graph.input.iter().filter(|input| !is_constant(input.name())).collect();
    let names = |values: &[&crate::proto::ValueInfoProto]| {
        values.iter().map(|value| value.name().to_owned()).collect::<Vec<_>>().join(", ")
    };
    let outputs: Vec<_> = graph.output.iter().collect();
    let ([input], [output]) = (inputs.as_slice(), outputs.as_slice()) else {
        return Err(unsupported(format!(
            "has the inputs [{}] and the outputs [{}]",
            names(&inputs),
            names(&outputs)
        )));
    };
    let open = |dim: &Dim| if let Dim::Size(size) = dim { *size } else { -1 };
    let reads = ValueType::from(*input);
    let dims = match (reads.element, reads.dims.as_deref()) {
        (Some(DataType::Float), Some([batch, channels, height, width])) => {
            [batch, channels, height, width].map(open)
        }
        (element, dims) => {
            return Err(unsupported(format!(
                "has an input `{}` of type {element:?} and shape {dims:?}",
                input.name()
            )));
        }
    };
    let gives = ValueType::from(*output);
    let classes = match (gives.element, gives.dims.as_deref()) {
        (Some(DataType::Float), Some([_, classes])) => usize::try_from(open(classes)).ok(),
        (Some(DataType::Float), None) => None,
        (element, dims) => {
            return Err(unsupported(format!(
                "has an output `{}` of type {element:?} and shape {dims:?}",
                output.name()
            )));
        }
    };
    Ok(Classifier { input: input.name().to_owned(), dims, output: output.name().to_owned(), classes })
}
