//! The reference network: a residual network for small images.

use crate::{Architecture, FORMAT, INPUT, InputShape, Layer, Op};

/// Shape of a residual network of basic blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNet {
    /// Shape of one image.
    pub input: InputShape,
    /// Number of classes, at least 1.
    pub classes: usize,
    /// Blocks of each stage, each at least 1.
    pub depths: Vec<usize>,
    /// Channels of each stage, as many as `depths`, each at least 1. The stem has as many as the first stage.
    pub widths: Vec<usize>,
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResNetError {
    /// The lists do not belong together.
    #[error(
        "`depths` has {depths} entries and `widths` has {widths}; each stage of the network needs one of both"
    )]
    Lengths {
        /// Entries of `depths`.
        depths: usize,
        /// Entries of `widths`.
        widths: usize,
    },
    /// There is no stage at all.
    #[error("`depths` and `widths` are empty; a network has at least one stage")]
    Empty,
    /// A number that must be positive is 0.
    #[error("`{name}` is 0, it must be at least 1")]
    Zero {
        /// Which number.
        name: &'static str,
    },
    /// Every stage after the first halves the image; too many leave nothing.
    #[error(
        "{stages} stages halve an image of {height}×{width} pixels {halvings} times; there are not so many pixels"
    )]
    TooDeep {
        /// Stages asked for.
        stages: usize,
        /// Halvings they do.
        halvings: usize,
        /// Image height.
        height: usize,
        /// Image width.
        width: usize,
    },
}

/// Builds the network: a 3×3 stem, `depths.len()` stages of `BasicBlock`s (two 3×3 convolutions with batch norm and
/// a shortcut; 1×1 convolution and batch norm on the shortcut where the shape changes), the first block of every
/// stage but the first with stride 2, global average pooling and a linear layer. Layers are named as torchvision names
/// them (`conv1`, `bn1`, `layer1.0.conv1`, `layer2.0.downsample.0`, `fc`), so weights move between the two by name.
///
/// `depths: [3, 3, 3]` with `widths: [16, 32, 64]` is the ResNet-20 of He et al. 2015 (arXiv:1512.03385, section 4.2)
/// with projection shortcuts.
pub fn resnet(config: &ResNet) -> Result<Architecture, ResNetError> {
    check(config)?;
    let mut layers = Builder { layers: Vec::new() };
    let stem = config.widths[0];
    let mut x = layers.conv("conv1", INPUT, [config.input.channels, stem], 3, 1);
    x = layers.norm("bn1", &x, stem);
    x = layers.relu("relu", &x);
    let mut channels = stem;
    for (stage, (&depth, &width)) in config.depths.iter().zip(&config.widths).enumerate() {
        for block in 0..depth {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = layers.basic_block(&format!("layer{}.{block}", stage + 1), &x, [channels, width], stride);
            channels = width;
        }
    }
    x = layers.push("avgpool", Op::AdaptiveAvgPool2d { output: [1, 1] }, &[&x]);
    x = layers.push("flatten", Op::Flatten, &[&x]);
    let output = layers.push("fc", Op::Linear { r#in: channels, out: config.classes, bias: true }, &[&x]);
    Ok(Architecture {
        format: FORMAT.to_owned(),
        name: "resnet".to_owned(),
        input: config.input,
        classes: config.classes,
        layers: layers.layers,
        output,
    })
}

fn check(config: &ResNet) -> Result<(), ResNetError> {
    if config.depths.len() != config.widths.len() {
        return Err(ResNetError::Lengths { depths: config.depths.len(), widths: config.widths.len() });
    }
    if config.depths.is_empty() {
        return Err(ResNetError::Empty);
    }
    let InputShape { channels, height, width } = config.input;
    let zero = |name, value: usize| if value == 0 { Err(ResNetError::Zero { name }) } else { Ok(()) };
    zero("classes", config.classes)?;
    zero("channels", channels)?;
    zero("height", height)?;
    zero("width", width)?;
    config.depths.iter().try_for_each(|&depth| zero("depths", depth))?;
    config.widths.iter().try_for_each(|&width| zero("widths", width))?;
    let stages = config.depths.len();
    let halvings = stages - 1;
    if halvings >= usize::BITS as usize || height.min(width) >> halvings == 0 {
        return Err(ResNetError::TooDeep { stages, halvings, height, width });
    }
    Ok(())
}

struct Builder {
    layers: Vec<Layer>,
}

impl Builder {
    fn push(&mut self, name: &str, op: Op, inputs: &[&str]) -> String {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        self.layers.push(Layer { name: name.to_owned(), op, inputs });
        name.to_owned()
    }

    /// A square convolution without bias that keeps the size up to its stride.
    fn conv(
        &mut self,
        name: &str,
        input: &str,
        [r#in, out]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> String {
        let padding = [kernel / 2; 2];
        let op = Op::Conv2d {
            r#in,
            out,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding,
            groups: 1,
            bias: false,
        };
        self.push(name, op, &[input])
    }

    /// Batch norm with PyTorch's defaults.
    fn norm(&mut self, name: &str, input: &str, features: usize) -> String {
        self.push(name, Op::BatchNorm { features, eps: 1e-5, momentum: 0.1 }, &[input])
    }

    fn relu(&mut self, name: &str, input: &str) -> String {
        self.push(name, Op::Relu, &[input])
    }

    fn basic_block(&mut self, prefix: &str, input: &str, channels: [usize; 2], stride: usize) -> String {
        let width = channels[1];
        let name = |part: &str| format!("{prefix}.{part}");
        let mut x = self.conv(&name("conv1"), input, channels, 3, stride);
        x = self.norm(&name("bn1"), &x, width);
        x = self.relu(&name("relu1"), &x);
        x = self.conv(&name("conv2"), &x, [width, width], 3, 1);
        x = self.norm(&name("bn2"), &x, width);
        let shortcut = if stride == 1 && channels[0] == width {
            input.to_owned()
        } else {
            let projected = self.conv(&name("downsample.0"), input, channels, 1, stride);
            self.norm(&name("downsample.1"), &projected, width)
        };
        x = self.push(&name("add"), Op::Add, &[&x, &shortcut]);
        self.relu(&name("relu2"), &x)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(depths: &[usize], widths: &[usize]) -> ResNet {
        let input = InputShape { channels: 3, height: 32, width: 32 };
        ResNet { input, classes: 10, depths: depths.to_vec(), widths: widths.to_vec() }
    }

    fn parameters(architecture: &Architecture) -> usize {
        let trainable = |name: &str| !name.starts_with("running");
        let tensors = architecture.layers.iter().flat_map(|layer| layer.op.tensors());
        tensors.filter(|(name, _)| trainable(name)).map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn resnet20_has_the_parameters_that_pytorch_counts() {
        // sum(p.numel()) of the same network in PyTorch: 272,474 with projection shortcuts.
        let architecture = resnet(&config(&[3, 3, 3], &[16, 32, 64])).unwrap();
        assert_eq!(parameters(&architecture), 272_474);
        architecture.validate().unwrap();
    }

    #[test]
    fn resnet18_has_the_parameters_that_torchvision_counts() {
        // torchvision's resnet18(num_classes=10) with its 7×7 stem (9,408 weights) replaced by a 3×3 one (1,728).
        let architecture = resnet(&config(&[2, 2, 2, 2], &[64, 128, 256, 512])).unwrap();
        assert_eq!(parameters(&architecture), 11_181_642 - 9_408 + 1_728);
    }

    #[test]
    fn names_are_torchvisions() {
        let architecture = resnet(&config(&[1, 1], &[4, 8])).unwrap();
        let names: Vec<&str> = architecture.layers.iter().map(|layer| layer.name.as_str()).collect();
        for name in [
            "conv1",
            "bn1",
            "layer1.0.conv1",
            "layer1.0.bn2",
            "layer2.0.downsample.0",
            "layer2.0.downsample.1",
            "fc",
        ] {
            assert!(names.contains(&name), "{name} is missing in {names:?}");
        }
        assert!(!names.contains(&"layer1.0.downsample.0"), "the first stage keeps its shape: {names:?}");
    }

    #[test]
    fn impossible_networks_are_named() {
        let message =
            |depths: &[usize], widths: &[usize]| resnet(&config(depths, widths)).unwrap_err().to_string();
        assert_eq!(
            message(&[1, 1], &[8]),
            "`depths` has 2 entries and `widths` has 1; each stage of the network needs one of both"
        );
        assert_eq!(message(&[], &[]), "`depths` and `widths` are empty; a network has at least one stage");
        assert_eq!(message(&[0], &[8]), "`depths` is 0, it must be at least 1");
        assert_eq!(
            message(&[1; 7], &[8; 7]),
            "7 stages halve an image of 32×32 pixels 6 times; there are not so many pixels"
        );
    }
}
