//! What shape each layer gives.

use std::{collections::BTreeMap, fmt};

use crate::{Architecture, ArchitectureError, INPUT, Layer, Op, validate::MAX_SIDE};

/// Shape of one activation, without the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A feature map, `[channels, height, width]`.
    Map {
        /// Channels.
        channels: usize,
        /// Height in cells.
        height: usize,
        /// Width in cells.
        width: usize,
    },
    /// A vector, `[features]`.
    Features(usize),
}

impl Shape {
    /// Number of values.
    pub fn elements(&self) -> usize {
        match *self {
            Self::Map { channels, height, width } => channels * height * width,
            Self::Features(features) => features,
        }
    }

    /// Length of the first dimension: channels of a map, features of a vector.
    pub fn channels(&self) -> usize {
        match *self {
            Self::Map { channels, .. } => channels,
            Self::Features(features) => features,
        }
    }

    /// The dimensions as a list.
    pub fn dims(&self) -> Vec<usize> {
        match *self {
            Self::Map { channels, height, width } => vec![channels, height, width],
            Self::Features(features) => vec![features],
        }
    }
}

/// `16×32×32` or `10 features`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map { channels, height, width } => write!(f, "{channels}×{height}×{width}"),
            Self::Features(features) => write!(f, "{features} features"),
        }
    }
}

impl Architecture {
    /// Output shape of every layer, and of [`INPUT`], by name.
    ///
    /// # Errors
    /// Whatever [`Architecture::validate`] finds wrong.
    pub fn shapes(&self) -> Result<BTreeMap<String, Shape>, ArchitectureError> {
        self.validate()?;
        self.walk()
    }

    /// Shapes of the layers in order; names, edges and numbers have been checked.
    pub(crate) fn walk(&self) -> Result<BTreeMap<String, Shape>, ArchitectureError> {
        let input = self.input;
        let mut shapes = BTreeMap::new();
        let image = Shape::Map { channels: input.channels, height: input.height, width: input.width };
        if image.dims().iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return Err(ArchitectureError::Value {
                layer: INPUT.to_owned(),
                kind: "input",
                problem: format!("its shape is {image}, each number must be 1 to {MAX_SIDE}"),
            });
        }
        shapes.insert(INPUT.to_owned(), image);
        for layer in &self.layers {
            let wanted = if matches!(layer.op, Op::Add) { 2 } else { 1 };
            if layer.inputs.len() != wanted {
                return Err(ArchitectureError::InputCount {
                    layer: layer.name.clone(),
                    kind: layer.op.kind(),
                    found: layer.inputs.len(),
                    wanted,
                });
            }
            let shape = output_shape(layer, |index| shapes[&layer.inputs[index]])?;
            shapes.insert(layer.name.clone(), shape);
        }
        Ok(shapes)
    }
}

fn output_shape(layer: &Layer, input: impl Fn(usize) -> Shape) -> Result<Shape, ArchitectureError> {
    let first = input(0);
    let mismatch = |index: usize, wanted: String| ArchitectureError::Mismatch {
        layer: layer.name.clone(),
        kind: layer.op.kind(),
        input: layer.inputs[index].clone(),
        wanted,
        found: input(index).to_string(),
    };
    let map = || match first {
        Shape::Map { channels, height, width } => Ok((channels, height, width)),
        Shape::Features(_) => Err(mismatch(0, "a feature map".to_owned())),
    };
    Ok(match layer.op {
        Op::Conv2d { r#in, out, kernel, stride, padding, .. } => {
            let (channels, height, width) = map()?;
            if channels != r#in {
                return Err(mismatch(0, format!("{in} channels")));
            }
            let [height, width] = slide(layer, [height, width], kernel, stride, padding)?;
            Shape::Map { channels: out, height, width }
        }
        Op::MaxPool2d { kernel, stride, padding } => {
            let (channels, height, width) = map()?;
            let [height, width] = slide(layer, [height, width], kernel, stride, padding)?;
            Shape::Map { channels, height, width }
        }
        Op::BatchNorm { features, .. } => {
            let (channels, ..) = map()?;
            if channels != features {
                return Err(mismatch(0, format!("{features} channels")));
            }
            first
        }
        Op::AdaptiveAvgPool2d { output: [height, width] } => Shape::Map { channels: map()?.0, height, width },
        Op::Add => {
            if input(1) != first {
                return Err(mismatch(
                    1,
                    format!("two inputs of one shape, {first} as `{}` gives", layer.inputs[0]),
                ));
            }
            first
        }
        Op::Flatten => Shape::Features(first.elements()),
        Op::Linear { r#in, out, .. } => {
            if first != Shape::Features(r#in) {
                return Err(mismatch(0, format!("{in} features")));
            }
            Shape::Features(out)
        }
        Op::Relu | Op::Gelu | Op::Silu | Op::Dropout { .. } => first,
    })
}

/// Output size of a sliding window: ⌊(size + 2·padding − kernel) / stride⌋ + 1, as PyTorch with dilation 1.
fn slide(
    layer: &Layer,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Result<[usize; 2], ArchitectureError> {
    let along = |axis: usize| {
        (size[axis] + 2 * padding[axis]).checked_sub(kernel[axis]).map(|room| room / stride[axis] + 1)
    };
    let kind = layer.op.kind();
    let Some((height, width)) = along(0).zip(along(1)) else {
        let window = format!("{}×{}", kernel[0], kernel[1]);
        let found = format!("{}×{}", size[0], size[1]);
        return Err(ArchitectureError::Window { layer: layer.name.clone(), kind, window, found });
    };
    if height.max(width) > MAX_SIDE {
        // Padding makes maps grow; the limit keeps every product of sizes inside 64 bits.
        let problem = format!("its output map is {height}×{width}, at most {MAX_SIDE} a side is read");
        return Err(ArchitectureError::Value { layer: layer.name.clone(), kind, problem });
    }
    Ok([height, width])
}
