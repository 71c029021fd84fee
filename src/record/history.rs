//! The last result of each stage of a pipeline: what a new run is compared with.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{ActionResult, RecordError};
use crate::{
    digest::Digest,
    plan::{ActionKey, KeyMaterial, StageId},
};

/// Lines beyond the needed ones before the file is written anew.
const SLACK: usize = 64;

/// One stage's last result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastResult {
    /// The stage.
    pub stage: StageId,
    /// Its key.
    pub key: ActionKey,
    /// What the key was made of.
    pub material: KeyMaterial,
    /// How long making the result took, in milliseconds.
    pub duration_ms: u64,
}

/// Last results by stage. Lost or torn lines cost a worse explanation and nothing else, so they are passed over.
///
/// A run with nothing to do asks only for keys and times, so, for speed, what a key was made of stays text until somebody wants
/// to know.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    last: HashMap<StageId, Skimmed>,
    lines: usize,
    file: Option<File>,
}

/// A [`LastResult`] as far as every run needs it.
#[derive(Debug)]
struct Skimmed {
    key: ActionKey,
    duration_ms: u64,
    /// All of it.
    line: Box<[u8]>,
}

/// What of a line is read at once; the rest is only passed over.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    stage: StageId,
    key: ActionKey,
    duration_ms: u64,
}

impl History {
    /// Keys of the last results of every stage of every pipeline: what a collection of the store spares.
    pub fn all_keys(state_dir: &Path) -> Result<Vec<ActionKey>, RecordError> {
        let pipelines = Self::pipelines(state_dir)?;
        Ok(pipelines.iter().flat_map(|history| history.last.values()).map(|result| result.key).collect())
    }

    /// The last results of every stage of every pipeline, by stage.
    pub fn all(state_dir: &Path) -> Result<Vec<LastResult>, RecordError> {
        let pipelines = Self::pipelines(state_dir)?;
        let known = pipelines.iter().flat_map(|history| history.last.values());
        let mut all: Vec<LastResult> = known.filter_map(Skimmed::whole).collect();
        all.sort_by(|a, b| a.stage.cmp(&b.stage));
        Ok(all)
    }

    fn pipelines(state_dir: &Path) -> Result<Vec<Self>, RecordError> {
        let folder = state_dir.join("last-v1");
        let items = match fs::read_dir(&folder) {
            Ok(items) => items,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(RecordError::io("read", &folder)(error)),
        };
        let mut all = Vec::new();
        for item in items {
            let path = item.map_err(RecordError::io("read", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                all.push(Self::read(path)?);
            }
        }
        Ok(all)
    }

    /// Reads what is known of a pipeline's stages.
    pub fn load(state_dir: &Path, pipeline: &Path) -> Result<Self, RecordError> {
        let name = Digest::of(pipeline.as_os_str().as_encoded_bytes()).hex();
        Self::read(state_dir.join("last-v1").join(format!("{}.jsonl", &name[..32])))
    }

    fn read(path: PathBuf) -> Result<Self, RecordError> {
        let text = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(RecordError::io("read", &path)(error)),
        };
        let mut last = HashMap::new();
        let mut lines = 0;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            lines += 1;
            if let Ok(Head { stage, key, duration_ms }) = serde_json::from_slice(line) {
                last.insert(stage, Skimmed { key, duration_ms, line: line.into() });
            }
        }
        Ok(Self { path, last, lines, file: None })
    }

    /// The last result of a stage.
    pub fn last(&self, stage: &StageId) -> Option<LastResult> {
        self.last.get(stage)?.whole()
    }

    /// Keys of the last results, in no order.
    pub fn keys(&self) -> impl Iterator<Item = ActionKey> {
        self.last.values().map(|result| result.key)
    }

    /// Key of the last result of a stage.
    pub fn key(&self, stage: &StageId) -> Option<ActionKey> {
        self.last.get(stage).map(|result| result.key)
    }

    /// How long the stage usually takes.
    pub fn usual(&self, stage: &StageId) -> Option<Duration> {
        self.last.get(stage).map(|result| Duration::from_millis(result.duration_ms))
    }

    /// Notes a stage's newest result, made or reused.
    pub fn note(&mut self, stage: &StageId, result: &ActionResult) -> Result<(), RecordError> {
        let (key, duration_ms) = (result.key, result.duration_ms());
        // Equal keys were made of the same.
        if self.last.get(stage).is_some_and(|last| (last.key, last.duration_ms) == (key, duration_ms)) {
            return Ok(());
        }
        let material = result.material.clone();
        self.append(LastResult { stage: stage.clone(), key, material, duration_ms })
    }

    fn append(&mut self, result: LastResult) -> Result<(), RecordError> {
        let line = encode(&result)?;
        let LastResult { stage, key, duration_ms, material: _ } = result;
        self.last.insert(stage, Skimmed { key, duration_ms, line: line.as_slice().into() });
        if self.lines > 2 * self.last.len() + SLACK {
            return self.rewrite();
        }
        let mut bytes = Vec::with_capacity(line.len() + 2);
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let folder = self.path.parent().unwrap_or(Path::new("."));
                fs::create_dir_all(folder).map_err(RecordError::io("create", folder))?;
                // A line torn by a kill is closed, so that it spoils no other.
                bytes.push(b'\n');
                let open = File::options().append(true).create(true).open(&self.path);
                self.file.insert(open.map_err(RecordError::io("open", &self.path))?)
            }
        };
        self.lines += 1;
        bytes.extend(line);
        bytes.push(b'\n');
        file.write_all(&bytes).map_err(RecordError::io("write", &self.path))
    }

    fn rewrite(&mut self) -> Result<(), RecordError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut all: Vec<_> = self.last.iter().collect();
        all.sort_unstable_by_key(|(stage, _)| *stage);
        let mut bytes = Vec::new();
        for (_, result) in all {
            bytes.extend_from_slice(&result.line);
            bytes.push(b'\n');
        }
        let mut file =
            tempfile::NamedTempFile::new_in(folder).map_err(RecordError::io("create a file in", folder))?;
        file.write_all(&bytes).map_err(RecordError::io("write", &self.path))?;
        file.persist(&self.path).map_err(|error| RecordError::io("write", &self.path)(error.error))?;
        self.lines = self.last.len();
        // The old handle leads to the file that was replaced.
        self.file = None;
        Ok(())
    }
}

impl Skimmed {
    /// None where what the key was made of can't be read: a later release may keep it otherwise.
    fn whole(&self) -> Option<LastResult> {
        serde_json::from_slice(&self.line).ok()
    }
}

fn encode(result: &LastResult) -> Result<Vec<u8>, RecordError> {
    serde_json::to_vec(result)
        .map_err(|error| RecordError::Encode { what: "a stage's last result", reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn result(stage: &str, seed: u64) -> LastResult {
        let material = KeyMaterial {
            version: 1,
            program: "train".to_owned(),
            cache_version: 1,
            params: serde_json::json!({}),
            inputs: Default::default(),
            env: Default::default(),
            seed,
            platform: Default::default(),
            salt: String::new(),
            outs: Default::default(),
        };
        LastResult {
            stage: StageId(stage.to_owned()),
            key: material.key().unwrap(),
            material,
            duration_ms: 1500,
        }
    }

    #[test]
    fn the_last_line_of_a_stage_counts_and_torn_ones_cost_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let open = || History::load(folder.path(), Path::new("p.yaml")).unwrap();
        let (a, b) = (StageId("a".to_owned()), StageId("b".to_owned()));
        let mut history = open();
        assert_eq!(history.last(&a), None);
        history.append(result("a", 1)).unwrap();
        history.append(result("a", 2)).unwrap();
        // As a kill in the middle of a write leaves it.
        File::options().append(true).open(&history.path).unwrap().write_all(b"{\"stage\":\"b\",").unwrap();
        let mut history = open();
        assert_eq!(history.last(&a), Some(result("a", 2)));
        assert_eq!(history.usual(&a), Some(Duration::from_millis(1500)));
        history.append(result("b", 3)).unwrap();
        assert_eq!(open().last(&b), Some(result("b", 3)));
        let keys = History::all_keys(folder.path()).unwrap();
        assert_eq!(keys.len(), 2);
        assert!(History::load(folder.path(), Path::new("other.yaml")).unwrap().last(&a).is_none());
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        for seed in 0..500 {
            let mut history = History::load(folder.path(), Path::new("p.yaml")).unwrap();
            history.append(result("a", seed)).unwrap();
            history.append(result("a", seed)).unwrap();
        }
        let history = History::load(folder.path(), Path::new("p.yaml")).unwrap();
        assert_eq!(history.last(&StageId("a".to_owned())), Some(result("a", 499)));
        assert!(history.lines < 2 * SLACK, "{}", history.lines);
    }
}
