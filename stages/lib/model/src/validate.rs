//! Whether an architecture makes sense: names, edges, group counts, and that every shape fits the next layer.

use std::collections::BTreeMap;

use crate::{Architecture, FORMAT, INPUT, Op, shapes::Shape};

/// Why an architecture is not a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// The `format` field is not one that this release reads.
    #[error("its format is `{found}`, this release reads `{FORMAT}`")]
    Format {
        /// What the file says.
        found: String,
    },
    /// There is no layer at all.
    #[error("it has no layers")]
    Empty,
    /// A name is used twice, or it is the reserved [`INPUT`], or empty.
    #[error("layer {index} has the name `{name}`, which {problem}")]
    Name {
        /// Position in the list, from 0.
        index: usize,
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A layer reads something that is not there yet.
    #[error("layer `{layer}` reads `{input}`, which {problem}")]
    UnknownInput {
        /// The layer that reads.
        layer: String,
        /// What it reads.
        input: String,
        /// Why it can't.
        problem: &'static str,
    },
    /// A layer has too few or too many inputs.
    #[error("layer `{layer}` ({kind}) has {found} inputs, it takes {wanted}")]
    InputCount {
        /// The layer.
        layer: String,
        /// Its kind.
        kind: &'static str,
        /// How many it has.
        found: usize,
        /// How many it takes.
        wanted: usize,
    },
    /// A number of a layer is out of range.
    #[error("layer `{layer}` ({kind}): {problem}")]
    Value {
        /// The layer.
        layer: String,
        /// Its kind.
        kind: &'static str,
        /// Which number, its value and its range.
        problem: String,
    },
    /// A layer can't take what it reads.
    #[error("layer `{layer}` ({kind}) wants {wanted}, but `{input}` gives {found}")]
    Mismatch {
        /// The layer that reads.
        layer: String,
        /// Its kind.
        kind: &'static str,
        /// What it reads.
        input: String,
        /// What it wants.
        wanted: String,
        /// What it is given.
        found: String,
    },
    /// The window of a layer is larger than the map it slides over.
    #[error("layer `{layer}` ({kind}): a {window} window does not fit into {found}, padding included")]
    Window {
        /// The layer.
        layer: String,
        /// Its kind.
        kind: &'static str,
        /// Height × width of the window.
        window: String,
        /// The map it slides over.
        found: String,
    },
    /// The output is not a layer, or does not give the logits.
    #[error("its output `{output}` {problem}")]
    Output {
        /// Name in the `output` field.
        output: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Architecture {
    /// Checks format, names, edges, numbers and shapes; the first thing found wrong is the error.
    ///
    /// After it has succeeded, every layer reads only layers before it, all shapes fit and the output is
    /// `[classes]` per image.
    pub fn validate(&self) -> Result<(), ArchitectureError> {
        if self.format != FORMAT {
            return Err(ArchitectureError::Format { found: self.format.clone() });
        }
        if self.layers.is_empty() {
            return Err(ArchitectureError::Empty);
        }
        self.check_names()?;
        for layer in &self.layers {
            check_numbers(&layer.name, &layer.op)?;
        }
        let shapes = self.walk()?;
        let bad_output = |problem: String| ArchitectureError::Output { output: self.output.clone(), problem };
        match shapes.get(&self.output) {
            None => Err(bad_output("is not a layer".to_owned())),
            Some(Shape::Features(width)) if *width == self.classes => Ok(()),
            Some(found) => {
                Err(bad_output(format!("gives {found}, the network has {} classes", self.classes)))
            }
        }
    }

    fn check_names(&self) -> Result<(), ArchitectureError> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let all: BTreeMap<&str, usize> =
            self.layers.iter().enumerate().map(|(index, layer)| (layer.name.as_str(), index)).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            let problem = if layer.name.is_empty() {
                Some("is empty")
            } else if layer.name == INPUT {
                Some("is reserved for the network's input")
            } else if seen.contains_key(layer.name.as_str()) {
                Some("another layer has already")
            } else {
                None
            };
            if let Some(problem) = problem {
                return Err(ArchitectureError::Name { index, name: layer.name.clone(), problem });
            }
            for input in &layer.inputs {
                if input != INPUT && !seen.contains_key(input.as_str()) {
                    let problem = match all.get(input.as_str()) {
                        Some(_) => "comes later: layers must be in topological order",
                        None => "is not a layer",
                    };
                    let (layer, input) = (layer.name.clone(), input.clone());
                    return Err(ArchitectureError::UnknownInput { layer, input, problem });
                }
            }
            seen.insert(&layer.name, index);
        }
        Ok(())
    }
}

/// Most channels or output features of a layer. The bounds keep every product of sizes inside 64 bits.
const MAX_CHANNELS: usize = 1 << 20;
/// Most input features of a linear layer.
const MAX_FEATURES: usize = 1 << 26;
/// Largest side of a map, stride, or padding, in cells.
pub(crate) const MAX_SIDE: usize = 1 << 16;
/// Largest side of a kernel.
const MAX_KERNEL: usize = 1 << 10;

/// Checks what can be said of a layer's numbers without knowing what it reads.
fn check_numbers(layer: &str, op: &Op) -> Result<(), ArchitectureError> {
    let bad =
        |problem: String| Err(ArchitectureError::Value { layer: layer.to_owned(), kind: op.kind(), problem });
    let sized = |name: &str, values: &[usize], smallest: usize, largest: usize| match values
        .iter()
        .find(|value| !(smallest..=largest).contains(*value))
    {
        Some(value) => bad(format!("`{name}` ({value}) must be {smallest} to {largest}")),
        None => Ok(()),
    };
    match *op {
        Op::Conv2d { r#in, out, kernel, stride, padding, groups, .. } => {
            sized("in", &[r#in], 1, MAX_CHANNELS)?;
            sized("out", &[out], 1, MAX_CHANNELS)?;
            sized("groups", &[groups], 1, MAX_CHANNELS)?;
            sized("kernel", &kernel, 1, MAX_KERNEL)?;
            sized("stride", &stride, 1, MAX_SIDE)?;
            sized("padding", &padding, 0, MAX_SIDE)?;
            for (name, value) in [("in", r#in), ("out", out)] {
                if value % groups != 0 {
                    return bad(format!("`{name}` ({value}) is not a multiple of `groups` ({groups})"));
                }
            }
        }
        Op::BatchNorm { features, eps, momentum } => {
            sized("features", &[features], 1, MAX_CHANNELS)?;
            if !(eps.is_finite() && eps > 0.0) {
                return bad(format!("`eps` ({eps}) must be above 0"));
            }
            if !(0.0..=1.0).contains(&momentum) {
                return bad(format!("`momentum` ({momentum}) must be 0 to 1"));
            }
        }
        Op::MaxPool2d { kernel, stride, padding } => {
            sized("kernel", &kernel, 1, MAX_KERNEL)?;
            sized("stride", &stride, 1, MAX_SIDE)?;
            // A window may not lie in the padding alone: its maximum would be −∞.
            if (0..2).any(|axis| padding[axis] > kernel[axis] / 2) {
                return bad(format!("`padding` {padding:?} is more than half of `kernel` {kernel:?}"));
            }
        }
        Op::AdaptiveAvgPool2d { output } => sized("output", &output, 1, MAX_SIDE)?,
        Op::Dropout { p } if !(0.0..=1.0).contains(&p) => return bad(format!("`p` ({p}) must be 0 to 1")),
        Op::Linear { r#in, out, .. } => {
            sized("in", &[r#in], 1, MAX_FEATURES)?;
            sized("out", &[out], 1, MAX_CHANNELS)?;
        }
        Op::Dropout { .. } | Op::Relu | Op::Gelu | Op::Silu | Op::Add | Op::Flatten => {}
    }
    Ok(())
}
