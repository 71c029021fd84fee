//! Stage name → program and its manifest.
//!
//! There is no list of known stages: whatever executable is called `stagewright-stage-<name>` and lies beside the running
//! binary, in a configured folder or on `PATH` is one. The first one found wins.

mod cache;
mod find;
mod host;
mod program;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use cache::ManifestCache;
pub use host::{Host, gpu_names};
pub use program::{Command, Piece, Program, Shell, Start};
use serde_json::Value;
use stagewright_protocol::{Manifest, Platform};
use tokio::task::JoinSet;

use crate::{
    config::Config,
    plugin::{self, Cancel, Launch, PluginError, Secrets, SessionLimits},
};

/// Beginning of every stage program's file name.
pub const PREFIX: &str = "stagewright-stage-";

/// A program answers `describe` and `probe` within this, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where each stage's program lies.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Where programs may lie, the first place first.
    places: Vec<PathBuf>,
    /// All there are, once somebody asks for all: a run looks for the few that it uses, which takes a fraction of the time.
    all: OnceLock<BTreeMap<String, PathBuf>>,
    cache: ManifestCache,
}

/// What the programs said.
#[derive(Debug, Default)]
pub struct Described {
    /// Programs that answered, by stage name.
    pub programs: BTreeMap<String, Program>,
    /// Programs that did not, and names without a program.
    pub faults: BTreeMap<String, CatalogError>,
}

/// Why there is no program for a stage name.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Nothing is called so.
    #[error("there is no stage program `{PREFIX}{name}`")]
    Unknown {
        /// The stage name.
        name: String,
    },
    /// It does not do what a stage program does.
    #[error("the stage program {path} does not describe itself: {source}")]
    Program {
        /// The executable.
        path: PathBuf,
        /// Why.
        source: PluginError,
    },
    /// It calls itself otherwise.
    #[error("the stage program {path} calls itself `{says}`; its file name says `{name}`")]
    OtherName {
        /// The executable.
        path: PathBuf,
        /// Name from the file name.
        name: String,
        /// Name from its manifest.
        says: String,
    },
}

impl Catalog {
    /// The places to look for stage programs; starts none.
    pub fn find(config: &Config) -> Self {
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
        let path =
            std::env::var_os("PATH").map_or_else(Vec::new, |path| std::env::split_paths(&path).collect());
        let places = beside.into_iter().chain(config.stage_paths.iter().cloned()).chain(path).collect();
        Self { places, all: OnceLock::new(), cache: ManifestCache::new(&config.state_dir) }
    }

    /// Stage names with their executables.
    pub fn names(&self) -> &BTreeMap<String, PathBuf> {
        self.all.get_or_init(|| find::programs(&self.places))
    }

    /// Asks programs what they are, all at once; one whose file did not change since it was last asked is not started
    /// again, unless this machine matters to it.
    pub async fn describe<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Described {
        let mut described = Described::default();
        let mut pending = JoinSet::new();
        for name in names {
            match find::program(&self.places, name) {
                None => {
                    described.faults.insert(name.to_owned(), CatalogError::Unknown { name: name.to_owned() });
                }
                Some(path) => {
                    let (name, cache) = (name.to_owned(), self.cache.clone());
                    pending.spawn(async move {
                        let answer = describe_one(&name, &path, &cache).await;
                        (name, answer)
                    });
                }
            }
        }
        while let Some(joined) = pending.join_next().await {
            // A panic in there is a defect of ours and goes on as one.
            let (name, answer) = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            match answer {
                Ok(program) => drop(described.programs.insert(name, program)),
                Err(fault) => drop(described.faults.insert(name, fault)),
            }
        }
        described
    }

    /// Asks every program that was found.
    pub async fn describe_all(&self) -> Described {
        self.describe(self.names().keys().map(String::as_str)).await
    }
}

impl Described {
    /// Facts for `${{ host.<name> }}`: those of the machine, then those that the programs' probes gave. A fact of the
    /// machine is not overruled by a probe.
    pub fn host_facts(&self, host: &Host) -> BTreeMap<String, Value> {
        let mut facts: BTreeMap<String, Value> = BTreeMap::new();
        for program in self.programs.values() {
            facts.extend(program.platform.facts.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        facts.extend(host.facts());
        facts
    }
}

async fn describe_one(name: &str, path: &Path, cache: &ManifestCache) -> Result<Program, CatalogError> {
    let fault = |source| CatalogError::Program { path: path.to_owned(), source };
    let manifest = match cache.get(path) {
        Some(manifest) => manifest,
        None => {
            let stamp = cache.stamp(path);
            let manifest = ask_manifest(path).await.map_err(fault)?;
            // Only what the file still was after it answered is remembered as its answer.
            cache.put(path, stamp, &manifest);
            manifest
        }
    };
    if manifest.name != name {
        return Err(CatalogError::OtherName {
            path: path.to_owned(),
            name: name.to_owned(),
            says: manifest.name,
        });
    }
    let platform =
        if manifest.probes { ask_platform(path).await.map_err(fault)? } else { Platform::default() };
    Ok(Program {
        start: Start::Program(path.to_owned()),
        manifest: Arc::new(manifest),
        platform: Arc::new(platform),
    })
}

async fn ask_manifest(path: &Path) -> Result<Manifest, PluginError> {
    let (env, folder) = (BTreeMap::new(), std::env::temp_dir());
    plugin::describe(&launch(path, &env, &folder), &Cancel::never()).await
}

async fn ask_platform(path: &Path) -> Result<Platform, PluginError> {
    let (env, folder) = (BTreeMap::new(), std::env::temp_dir());
    plugin::probe(&launch(path, &env, &folder), &Cancel::never()).await
}

fn launch<'a>(program: &'a Path, env: &'a BTreeMap<String, String>, folder: &'a Path) -> Launch<'a> {
    let limits = SessionLimits {
        hello: PATIENCE,
        total: Some(PATIENCE),
        grace: Duration::from_secs(2),
        ..SessionLimits::default()
    };
    // Describing and probing are not shown secrets.
    Launch {
        program,
        folder,
        env,
        secrets: Secrets::none(),
        log: None,
        mark: None,
        sandbox: None,
        folders: &[],
        shell: None,
        limits,
    }
}
