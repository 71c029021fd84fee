//! The stage `surfaces`: photographs, so to speak, of sheet metal, wood, fabric and concrete, some of them damaged. It stands
//! in for the images that a user would bring, and shows what a stage program is made of: [`Params`] that document
//! themselves, a manifest that says what comes out, and a run that reports progress, metrics and clear errors.
//!
//! Every image has a random generator of its own, seeded by the run's seed and the image's name, and is computed with operations
//! that IEEE 754 rounds alike everywhere (no sine, no exponential). So an image does not depend on how many others
//! there are, on the machine, or on the order in which they are made.

mod defect;
mod picture;
mod random;
mod texture;

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_sdk::{
    Context, Determinism, FaultExt, Manifest, ManifestExt, Port, PortExt, Result, Stage, StageFault, manifest,
};

pub use defect::Class;
use random::Random;

/// What `with:` takes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Params {
    /// Height and width of the images.
    #[schemars(range(min = 16, max = 512), extend("x-unit" = "px"))]
    pub size: u32,
    /// Images of each class in `train/`.
    #[schemars(range(min = 1, max = 100_000))]
    pub train_per_class: u32,
    /// Images of each class in `test/`.
    #[schemars(range(min = 1, max = 100_000))]
    pub test_per_class: u32,
    /// How much the clearest defects stand out; each has a random share of it. Lower is harder.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub contrast: f64,
    /// Standard deviation of the sensor's noise, as a fraction of full brightness. Higher is harder.
    #[schemars(range(min = 0.0, max = 0.5), extend("x-unit" = "fraction"))]
    pub noise: f64,
    /// Most harmless marks (dust, nicks, smudges) that an image of any class carries. Higher is harder.
    #[schemars(range(min = 0, max = 50))]
    pub marks: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { size: 48, train_per_class: 300, test_per_class: 100, contrast: 0.9, noise: 0.02, marks: 3 }
    }
}

impl Params {
    /// The host checks the ranges of the schema; a program that is called in another way must hold too.
    fn check(&self) -> Result<()> {
        let ranges = [
            ("size", f64::from(self.size), 16.0, 512.0),
            ("train-per-class", f64::from(self.train_per_class), 1.0, 100_000.0),
            ("test-per-class", f64::from(self.test_per_class), 1.0, 100_000.0),
            ("contrast", self.contrast, 0.0, 1.0),
            ("noise", self.noise, 0.0, 0.5),
            ("marks", f64::from(self.marks), 0.0, 50.0),
        ];
        match ranges.into_iter().find(|&(_, value, low, high)| !(low..=high).contains(&value)) {
            None => Ok(()),
            Some((name, value, low, high)) => {
                Err(StageFault::user(format!("`{name}` is {value}"))
                    .hint(format!("it can be {low} to {high}")))
            }
        }
    }
}

/// The stage program.
pub struct Surfaces;

impl Stage for Surfaces {
    type Params = Params;

    fn manifest() -> Manifest {
        manifest::<Params>(
            "surfaces",
            env!("CARGO_PKG_VERSION"),
            1,
            "images of surfaces with cracks, scratches, spots and none",
        )
        .output(
            "data",
            Port::output("dataset/images", "data", "PNG files in train/<class>/ and test/<class>/"),
        )
        .metric("images", "images made")
        .determinism(Determinism::Bitwise)
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        params.check()?;
        let data = context.output("data")?;
        let splits = [("train", params.train_per_class), ("test", params.test_per_class)];
        let total: u64 = splits.iter().map(|(_, count)| u64::from(*count) * Class::ALL.len() as u64).sum();
        let mut done = 0;
        for (split, count) in splits {
            for class in Class::ALL {
                let folder = data.join(split).join(class.name());
                std::fs::create_dir_all(&folder)
                    .or_environment(format_args!("cannot create {}", folder.display()))?;
                for index in 0..count {
                    let name = format!("{split}/{}/{index:05}", class.name());
                    let pixels = paint(&params, class, context.seed(), &name);
                    save(&pixels, params.size, &folder.join(format!("{index:05}.png")))?;
                    done += 1;
                    context.progress(done, total, "images", format!("{split}/{}", class.name()))?;
                }
            }
        }
        context.metric("images", done as f64, None);
        Ok(())
    }
}

/// One image: `size` × `size` × 3 bytes, RGB. `name` tells images of one seed apart.
pub fn paint(params: &Params, class: Class, seed: u64, name: &str) -> Vec<u8> {
    let mut random = Random::new(seed, name);
    let mut picture = texture::surface(params.size, &mut random);
    defect::add_marks(&mut picture, params.marks, &mut random);
    defect::add(&mut picture, class, params.contrast as f32, &mut random);
    picture.light(&mut random);
    picture.expose(params.noise as f32, &mut random)
}

fn save(pixels: &[u8], size: u32, path: &Path) -> Result<()> {
    image::save_buffer(path, pixels, size, size, image::ExtendedColorType::Rgb8)
        .or_environment(format_args!("cannot write {}", path.display()))
}
