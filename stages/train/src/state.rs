//! The state of a stopped training on disk, from which it goes on as if it had never stopped.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use stagewright_model::{Tensor, decode};
use stagewright_sdk::{FaultExt, Result};

use crate::record::{Epoch, GradientSample};

/// Format of the state file; another value is another release's.
pub const FORMAT: &str = "stagewright/training-state@1";

const FILE: &str = "training.safetensors";
const KEY: &str = "stagewright.training";

/// Everything but the tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Progress {
    /// Always [`FORMAT`].
    pub format: String,
    /// Digest of params, seed and data: a state of another training is not taken up.
    pub identity: String,
    /// Images per step, as resolved.
    pub batch_size: u32,
    /// Epochs finished.
    pub epochs: Vec<Epoch>,
    /// Batches of the unfinished epoch that are done: the sampler's position.
    pub position: u64,
    /// Sums over the unfinished epoch.
    pub running: Running,
    /// Steps taken.
    pub steps: u64,
    /// The best epoch so far (from 1); its tensors are there as `best/…`.
    pub best: Option<u32>,
    /// Gradient norms recorded so far.
    pub gradients: Vec<GradientSample>,
}

/// Sums over an unfinished epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Running {
    /// Loss times images.
    pub loss: f64,
    /// Images classified right.
    pub correct: u64,
    /// Images seen.
    pub images: u64,
    /// Gradient norms.
    pub gradient_norm: f64,
    /// Steps.
    pub steps: u64,
}

impl Progress {
    /// The beginning of a training.
    pub fn start(identity: String, batch_size: u32) -> Self {
        Self {
            format: FORMAT.to_owned(),
            identity,
            batch_size,
            epochs: Vec::new(),
            position: 0,
            running: Running::default(),
            steps: 0,
            best: None,
            gradients: Vec::new(),
        }
    }
}

/// A state as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Everything but the tensors.
    pub progress: Progress,
    /// Tensors by name: the trainer's, and `best/…`.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Where the state lies in a checkpoint folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Writes the state so that at every moment either the old or the new one is there whole, even if the power fails.
pub fn save(folder: &Path, progress: &Progress, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let text = serde_json::to_string(progress).or_internal("cannot encode the training's state")?;
    let metadata = HashMap::from([(KEY.to_owned(), text)]);
    let raw: Vec<(&String, Vec<u8>, &Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| {
            (name, tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect(), tensor)
        })
        .collect();
    let views = raw
        .iter()
        .map(|(name, bytes, tensor)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .or_internal("cannot encode the training's state")?;
    let bytes =
        safetensors::serialize(views, Some(metadata)).or_internal("cannot encode the training's state")?;
    let (target, fresh) = (path(folder), folder.join(format!("{FILE}.new")));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &target)?;
        File::open(folder)?.sync_all()
    };
    write().or_environment(format_args!("cannot save the training's state to {}", target.display()))
}

/// Reads the state of an earlier, stopped run of the same training. `Err` says why one that is there can't be taken up.
pub fn load(folder: &Path, identity: &str) -> std::result::Result<Option<Saved>, String> {
    let path = path(folder);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let damaged = |reason: String| format!("{} is damaged: {reason}", path.display());
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let text = text.ok_or_else(|| damaged(format!("it has no metadata `{KEY}`")))?;
    let format =
        serde_json::from_str::<serde_json::Value>(text).map_err(|error| damaged(error.to_string()))?;
    match format.get("format").and_then(|format| format.as_str()) {
        Some(FORMAT) => {}
        found => {
            let found = found.unwrap_or("none");
            return Err(format!("{} has format `{found}`, this release reads `{FORMAT}`", path.display()));
        }
    }
    let progress: Progress = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    if progress.identity != identity {
        return Err(format!("{} belongs to a training with other params or data", path.display()));
    }
    Ok(Some(Saved { progress, tensors: decode(&bytes).map_err(damaged)? }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tensors() -> BTreeMap<String, Tensor> {
        let data = vec![0.1, -0.0, f32::MIN_POSITIVE / 2.0, 1e30];
        BTreeMap::from([("model/fc.weight".to_owned(), Tensor { shape: vec![2, 2], data })])
    }

    fn progress() -> Progress {
        let mut progress = Progress::start("abc".to_owned(), 8);
        progress.running =
            Running { loss: 0.1 + 0.2, correct: 1, images: 8, gradient_norm: 1.0 / 3.0, steps: 1 };
        progress
    }

    #[test]
    fn a_state_comes_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &progress(), &tensors()).unwrap();
        let saved = load(folder.path(), "abc").unwrap().unwrap();
        assert_eq!(saved.progress, progress());
        let bits = |tensors: &BTreeMap<String, Tensor>| {
            tensors["model/fc.weight"].data.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(bits(&saved.tensors), bits(&tensors()));
        assert_eq!(load(tempfile::tempdir().unwrap().path(), "abc"), Ok(None));
    }

    #[test]
    fn a_foreign_or_damaged_state_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &progress(), &tensors()).unwrap();
        assert!(
            load(folder.path(), "other")
                .unwrap_err()
                .contains("belongs to a training with other params or data")
        );
        let later = Progress { format: "stagewright/training-state@9".to_owned(), ..progress() };
        save(folder.path(), &later, &tensors()).unwrap();
        let error = load(folder.path(), "abc").unwrap_err();
        assert!(error.contains("has format `stagewright/training-state@9`, this release reads"), "{error}");
        fs::write(path(folder.path()), b"half a file").unwrap();
        assert!(load(folder.path(), "abc").unwrap_err().contains("is damaged"));
    }
}
