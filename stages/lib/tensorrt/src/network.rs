//! What `trtexec` is to run, and what has to be known of it beforehand.

use std::path::{Path, PathBuf};

use stagewright_onnx::{classifier, read_model};
use stagewright_sdk::{Result, StageFault};

use crate::EngineFile;

/// Where the network comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An engine that was built before.
    Engine(PathBuf),
    /// A model that an engine is built from in the same run, its number types kept.
    Onnx(PathBuf),
}

/// An image classifier: one f32 input `[batch, channels, height, width]`, one output of logits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Where it comes from.
    pub source: Source,
    /// Name of its input.
    pub input: String,
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Smallest batch it takes.
    pub least: usize,
    /// Largest batch it takes; none where there is no bound.
    pub most: Option<usize>,
    /// It leaves a dimension open, so `trtexec` has to be told the shape; it refuses one otherwise.
    pub open: bool,
}

impl Network {
    /// The engine in a folder, for images of a height and width.
    ///
    /// # Errors
    /// `engine.json` or `engine.plan` is missing or not readable, or the engine does not take such images.
    pub fn engine(folder: &Path, size: [usize; 2]) -> Result<(Self, EngineFile)> {
        let file = EngineFile::read(folder)?;
        let plan = folder.join("engine.plan");
        if !plan.is_file() {
            return Err(StageFault::user(format!("{} is missing", plan.display()))
                .hint("bind the `engine` output of a tensorrt stage"));
        }
        let mut shapes = file.shapes.iter();
        let (Some((input, shapes)), None) = (shapes.next(), shapes.next()) else {
            let count = file.shapes.len();
            return Err(StageFault::user(format!("{} has {count} inputs; one is wanted", folder.display())));
        };
        let [least, most] = [shapes.min, shapes.max].map(|dims| dims.map(|dim| dim as usize));
        let fits = (0..2).all(|side| (least[side + 2]..=most[side + 2]).contains(&size[side]));
        if !fits || least[1] != most[1] {
            let message = format!(
                "the engine {} takes {:?} to {:?}, images are {}×{}",
                folder.display(),
                &least[1..],
                &most[1..],
                size[0],
                size[1]
            );
            return Err(StageFault::user(message)
                .hint("build it from a model that was exported with this preprocessing contract"));
        }
        // The stage names shapes exactly where the model leaves one open.
        let open = file.flags.iter().any(|flag| flag.starts_with("--minShapes="));
        let network = Self {
            source: Source::Engine(plan),
            input: input.clone(),
            image: [least[1], size[0], size[1]],
            least: least[0],
            most: Some(most[0]),
            open,
        };
        Ok((network, file))
    }

    /// An ONNX file, for images of a height and width.
    ///
    /// # Errors
    /// It is no image classifier, or does not take such images.
    pub fn onnx(path: &Path, size: [usize; 2]) -> Result<Self> {
        let interface = classifier(&read_model(path)?)?;
        let fixed = interface.dims.map(|dim| usize::try_from(dim).ok());
        let wanted = [Some(size[0]), Some(size[1])];
        if (0..2).any(|side| fixed[side + 2].is_some() && fixed[side + 2] != wanted[side]) {
            let message =
                format!("{} takes {:?}, images are {}×{}", path.display(), interface.dims, size[0], size[1]);
            return Err(StageFault::user(message));
        }
        Ok(Self {
            source: Source::Onnx(path.to_owned()),
            input: interface.input,
            image: [fixed[1].unwrap_or(3), size[0], size[1]],
            least: fixed[0].unwrap_or(1),
            most: fixed[0],
            open: fixed.iter().any(Option::is_none),
        })
    }

    /// Values in one image.
    pub fn stride(&self) -> usize {
        self.image.iter().product()
    }

    /// Checks that it takes this many images at once.
    ///
    /// # Errors
    /// It does not. `name` is what the message calls it.
    pub fn check_batch(&self, name: &str, batch: usize) -> Result<()> {
        let most = self.most.unwrap_or(usize::MAX);
        if (self.least..=most).contains(&batch) {
            return Ok(());
        }
        let range = if self.least == most { format!("{most}") } else { format!("{} to {most}", self.least) };
        Err(StageFault::user(format!("`{name}` takes {range} images at once, {batch} are to be run"))
            .hint("build the engine with another `batch` in its stage `tensorrt`, or run another batch"))
    }
}
