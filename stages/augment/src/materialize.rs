//! A dataset of augmented images.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rayon::{ThreadPoolBuilder, prelude::*};
use stagewright_dataset::{
    Dataset, Splits,
    augment::{Augmenter, Policy, SampleKey, Scratch},
};
use stagewright_sdk::{Context, FaultExt, Result};

use crate::{Materialize, preview::check_size};

/// Images between two reports of progress.
const CHUNK: usize = 128;

/// Writes `train/`, `validation/` and `test/`. Only training images are augmented, at their original size, before the
/// contract: the dataset goes through data-stats and the contract like any other.
pub(crate) fn write(
    context: &mut Context,
    wanted: &Materialize,
    dataset: &Dataset,
    splits: &Splits,
    policy: &Policy,
    augmenter: &Augmenter<'_>,
) -> Result<()> {
    let root = context.output("dataset")?;
    let seed = context.seed();
    let threads = context.limits().threads.max(1) as usize;
    let pool =
        ThreadPoolBuilder::new().num_threads(threads).build().or_environment("cannot start threads")?;
    let parts = [("train", &splits.train), ("validation", &splits.validation), ("test", &splits.test)];
    let total: usize = parts.iter().map(|(_, indices)| indices.len()).sum();
    let mut done = 0;
    for (part, indices) in parts {
        if indices.is_empty() {
            context.warn(format!(
                "the {part} split is empty, so the materialized dataset has no `{part}/`: do not let a later data-stats cut one out \
                 of augmented copies"
            ));
            continue;
        }
        let folders: Vec<PathBuf> = dataset.classes.iter().map(|class| root.join(part).join(class)).collect();
        for index in indices.iter() {
            let folder = &folders[dataset.samples[*index].label];
            fs::create_dir_all(folder).or_environment(format_args!("cannot create {}", folder.display()))?;
        }
        let augmented = part == "train";
        for chunk in indices.chunks(CHUNK) {
            let write_sample = |scratch: &mut Scratch, index: &usize| -> Result<()> {
                let sample = &dataset.samples[*index];
                let image = dataset.image(*index)?;
                let name = |suffix: &str| folders[sample.label].join(file_name(*index, &sample.id, suffix));
                if !augmented || wanted.originals {
                    save(&name(""), &image.to_png())?;
                }
                if augmented {
                    check_size(policy, &image, &sample.id)?;
                    for copy in 0..wanted.copies {
                        let key = SampleKey { seed, epoch: copy as u64, sample: *index as u64 };
                        let copied = augmenter.augment(&image, key, scratch);
                        save(&name(&format!("-{}", copy + 1)), &copied.to_png())?;
                    }
                }
                Ok(())
            };
            pool.install(|| chunk.par_iter().try_for_each_init(Scratch::default, write_sample))?;
            done += chunk.len();
            context.progress(done as u64, total as u64, "images", format!("writing {part}/"))?;
        }
    }
    context.metric("materialized", (splits.train.len() * wanted.copies) as f64, None);
    Ok(())
}

/// A name that sorts like the sample, is unique, and still says where it comes from.
fn file_name(index: usize, id: &str, suffix: &str) -> String {
    let last = id.rsplit('/').next().unwrap_or(id);
    let stem = Path::new(last).file_stem().map_or(last.into(), |stem| stem.to_string_lossy());
    let stem = if last.contains('#') { last.into() } else { stem };
    let tame = |letter: char| if letter.is_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
    let stem: String = stem.chars().take(60).map(tame).collect();
    format!("{index:07}-{stem}{suffix}.png")
}

fn save(path: &Path, png: &[u8]) -> Result<()> {
    fs::write(path, png).or_environment(format_args!("cannot write {}", path.display()))
}
