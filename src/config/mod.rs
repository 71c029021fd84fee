//! Project root and settings: the file as written → resolved settings.
//!
//! A project is a folder with a `stagewright.toml`, which may be empty, or one of DVC, which needs none:
//!
//! ```toml
//! [store]
//! path = ".stagewright/store"     # where artifacts are kept; relative to this file
//!
//! [stages]
//! paths = ["../target/release"]   # folders with stage programs, searched after the one stagewright itself is in
//!
//! [cache]
//! salt = ""                       # another value makes every stage run again
//! keep-days = 30                  # gc keeps results used within this many days
//!
//! [sandbox]
//! writable = ["/var/cache/x"]     # what stages may write beside their own folders; relative to this file
//!
//! [lineage]
//! host-facts = ["os", "arch", "cpus", "memory", "gpus"]   # what statements tell of the machine
//!
//! [git]
//! dirty = "record"                # or "refuse": what a run does where files differ from their commit
//!
//! [sync]
//! remote = "lab"                  # the remote that is meant when none is named
//! run = "off"                     # or "pull", "pull-and-push": what `run` does with it
//!
//! [remotes.lab]
//! url = "s3://bucket/prefix"      # or a folder, relative to this file; every other key has a default
//! ```

mod edit;
mod environment;
mod github;
mod rate;
mod remotes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use edit::NewRemote;
pub use environment::{Environment, NotText, Sensitive, VARIABLES, Variable, is_secretive};
pub use github::GithubJob;
pub use rate::Rate;
pub use remotes::{Layout, RemoteName, RemoteSettings, RemoteUrl, RunSync, SyncSettings, Trust};
use serde::Deserialize;

/// Name of the file that marks a project's root.
pub const FILE_NAME: &str = "stagewright.toml";

/// Name of the file beside a pipeline that says what its stages last resolved to.
pub const LOCK_NAME: &str = "stagewright.lock";

/// Folder that marks the root of a project of DVC, which needs no settings.
const DVC_FOLDER: &str = ".dvc";

/// Name of the folder for the project's state: store, runs, caches.
pub const STATE_FOLDER: &str = ".stagewright";

/// A folder that is the root of a project.
pub fn is_root(folder: &Path) -> bool {
    folder.join(FILE_NAME).is_file() || folder.join(DVC_FOLDER).is_dir()
}

/// Resolved settings of a project. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The project's root folder.
    pub root: PathBuf,
    /// Folder of the project's state.
    pub state_dir: PathBuf,
    /// Folder of the store.
    pub store_dir: PathBuf,
    /// Folders to search for stage programs after the one that holds `stagewright` itself and before `PATH`.
    pub stage_paths: Vec<PathBuf>,
    /// Part of every action key.
    pub salt: String,
    /// Days that `gc` keeps an unused result.
    pub keep_days: u32,
    /// Files and folders that stages may write beside their own folders.
    pub writable: Vec<PathBuf>,
    /// Folder of the user's private keys; none where the user has no configuration.
    pub keys_dir: Option<PathBuf>,
    /// Facts of the machine that lineage statements tell.
    pub host_facts: Vec<HostFact>,
    /// What a run does where files differ from their commit.
    pub dirty: Dirty,
    /// Remotes by name.
    pub remotes: BTreeMap<RemoteName, RemoteSettings>,
    /// The default remote and what `run` does with it.
    pub sync: SyncSettings,
    /// File of certificates to trust beside the system's, from `AWS_CA_BUNDLE`.
    pub ca_bundle: Option<PathBuf>,
    /// S3 remotes are asked without credentials, by `STAGEWRIGHT_UNSIGNED`.
    pub unsigned: bool,
}

/// What a run does in a work tree whose files differ from their commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dirty {
    /// It runs, and its record says so.
    #[default]
    Record,
    /// It does not run.
    Refuse,
}

/// A fact of the machine that a lineage statement may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostFact {
    /// Operating system.
    Os,
    /// Processor architecture.
    Arch,
    /// Cores the process may use.
    Cpus,
    /// Bytes of main memory.
    Memory,
    /// Number of GPUs.
    Gpus,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither the folder nor any above it has a project file.
    #[error("no {FILE_NAME} in {start} or any folder above it")]
    NoProject {
        /// Where the search began.
        start: PathBuf,
    },
    /// A file can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no valid project file.
    #[error("{path} is not a valid project file:\n{reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong.
        reason: String,
    },
    /// A change of the file makes no sense.
    #[error("{path} was not changed: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file can't be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The command names a remote that the file has not.
    #[error("{path} has no [remotes.{name}]")]
    NoRemote {
        /// The file.
        path: PathBuf,
        /// The name.
        name: RemoteName,
        /// Those it has.
        known: Vec<RemoteName>,
    },
    /// No remote is named, and the file has no default.
    #[error("which remote? {path} has no default one")]
    NoDefaultRemote {
        /// The file.
        path: PathBuf,
        /// Those it has.
        known: Vec<RemoteName>,
    },
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ConfigFile {
    store: StoreSection,
    stages: StagesSection,
    cache: CacheSection,
    sandbox: SandboxSection,
    lineage: LineageSection,
    git: GitSection,
    sync: remotes::SyncSection,
    remotes: BTreeMap<String, remotes::RemoteSection>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct StoreSection {
    path: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct StagesSection {
    paths: Vec<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct SandboxSection {
    writable: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct CacheSection {
    salt: String,
    keep_days: u32,
}

impl Default for CacheSection {
    fn default() -> Self {
        Self { salt: String::new(), keep_days: 30 }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct GitSection {
    dirty: Dirty,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct LineageSection {
    host_facts: Vec<HostFact>,
}

impl Default for LineageSection {
    fn default() -> Self {
        use HostFact::{Arch, Cpus, Gpus, Memory, Os};
        Self { host_facts: vec![Os, Arch, Cpus, Memory, Gpus] }
    }
}

impl Config {
    /// Finds the project that `start` is in, going up from folder to folder, and reads its settings.
    pub fn discover(start: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let start = std::path::absolute(start)
            .map_err(|source| ConfigError::Read { path: start.to_owned(), source })?;
        // A project of DVC is one as it is.
        let marks = |name: &str| start.ancestors().find(|folder| folder.join(name).exists());
        let root = marks(FILE_NAME).or_else(|| marks(DVC_FOLDER));
        let root = root.ok_or_else(|| ConfigError::NoProject { start: start.clone() })?;
        Self::load(root, environment)
    }

    /// Reads the settings of the project at `root`.
    pub fn load(root: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let path = root.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && root.join(DVC_FOLDER).is_dir() => {
                String::new()
            }
            read => read.map_err(|source| ConfigError::Read { path, source })?,
        };
        Self::parse(root, &text, environment)
    }

    fn parse(root: &Path, text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let invalid = |reason: String| ConfigError::Invalid { path: root.join(FILE_NAME), reason };
        let file: ConfigFile =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
        let (remotes, sync) = remotes::resolve(root, file.remotes, file.sync).map_err(invalid)?;
        let state_dir = root.join(STATE_FOLDER);
        let stored = file.store.path.map(|path| root.join(path));
        let store_dir = environment.store.clone().or(stored).unwrap_or_else(|| state_dir.join("store"));
        let mut stage_paths = environment.stage_path.clone();
        stage_paths.extend(file.stages.paths.iter().map(|path| root.join(path)));
        Ok(Self {
            root: root.to_owned(),
            state_dir,
            store_dir,
            stage_paths,
            salt: file.cache.salt,
            keep_days: file.cache.keep_days,
            writable: file.sandbox.writable.iter().map(|path| root.join(path)).collect(),
            keys_dir: environment.keys.clone(),
            host_facts: file.lineage.host_facts,
            dirty: file.git.dirty,
            remotes,
            sync,
            ca_bundle: environment.ca_bundle.clone(),
            unsigned: environment.unsigned,
        })
    }

    /// With this rate as the limit of all remotes, whatever is set for them.
    #[must_use]
    pub fn with_bandwidth(mut self, rate: Option<Rate>) -> Self {
        if rate.is_some() {
            self.remotes.values_mut().for_each(|remote| remote.bandwidth = rate);
        }
        self
    }

    /// The remote of that name, or the default one.
    pub fn remote(&self, name: Option<&RemoteName>) -> Result<&RemoteSettings, ConfigError> {
        let path = || self.root.join(FILE_NAME);
        let known = || self.remotes.keys().cloned().collect();
        let name = match name.or(self.sync.remote.as_ref()) {
            Some(name) => name,
            None => return Err(ConfigError::NoDefaultRemote { path: path(), known: known() }),
        };
        self.remotes.get(name).ok_or_else(|| ConfigError::NoRemote {
            path: path(),
            name: name.clone(),
            known: known(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn project(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
        folder
    }

    #[test]
    fn is_found_from_a_folder_below() {
        let folder = project("");
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let config = Config::discover(&below, &Environment::default()).unwrap();
        assert_eq!(config.root, folder.path());
        assert_eq!(config.store_dir, folder.path().join(".stagewright/store"));
        assert_eq!((config.salt.as_str(), config.keep_days), ("", 30));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let folder = project("[store]\npath = 'kept'\n[stages]\npaths = ['bin']\n");
        let config = Config::load(folder.path(), &Environment::default()).unwrap();
        assert_eq!(config.store_dir, folder.path().join("kept"));
        let environment = Environment {
            store: Some("/elsewhere".into()),
            stage_path: vec!["/first".into()],
            ..Default::default()
        };
        let config = Config::load(folder.path(), &environment).unwrap();
        assert_eq!(config.store_dir, Path::new("/elsewhere"));
        assert_eq!(config.stage_paths, [PathBuf::from("/first"), folder.path().join("bin")]);
    }

    #[test]
    fn remotes_are_resolved() {
        let folder = project(
            "[sync]\nremote = 'lab'\nrun = 'pull'\n[remotes.lab]\nurl = 's3://bucket/a/b/'\nendpoint = 'http://x:1'\n\
             [remotes.disk]\nurl = '../shared'\nresults = 'ignore'\nwrite = false\n",
        );
        let config = Config::load(folder.path(), &Environment::default()).unwrap();
        let lab = config.remote(None).unwrap();
        assert_eq!(lab.url, RemoteUrl::S3 { bucket: "bucket".to_owned(), prefix: "a/b".to_owned() });
        assert!(lab.path_style && lab.write && lab.results == Trust::Use && config.sync.run == RunSync::Pull);
        let disk = config.remote(Some(&"disk".parse().unwrap())).unwrap();
        assert_eq!(disk.url, RemoteUrl::Folder(folder.path().join("../shared")));
        assert!(!disk.write && disk.results == Trust::Ignore);
        assert!(matches!(
            config.remote(Some(&"other".parse().unwrap())),
            Err(ConfigError::NoRemote { known, .. }) if known.len() == 2
        ));
    }

    #[test]
    fn a_wrong_remote_is_named_with_its_key() {
        let mut errors = String::new();
        for text in [
            "[remotes.'a b']\nurl = 'x'",
            "[remotes.a]\nurl = 'gs://bucket'",
            "[remotes.a]\nurl = 's3://key:secret@bucket'",
            "[remotes.a]\nurl = 's3:///prefix'",
            "[remotes.a]\nurl = 's3://b/../c'",
            "[remotes.a]\nurl = ''",
            "[remotes.a]\nurl = 'x'\nregion = 'eu'",
            "[remotes.a]\nurl = 's3://b'\nendpoint = 'host:1'",
            "[remotes.a]\nurl = 's3://b'\nendpoint = 'https://me:pw@host'",
            "[sync]\nremote = 'a'",
            "[sync]\nrun = 'pull'",
        ] {
            let folder = project(text);
            let error = Config::load(folder.path(), &Environment::default()).unwrap_err().to_string();
            errors.push_str(&format!("{}\n", error.lines().last().unwrap()));
        }
        insta::assert_snapshot!(errors);
    }

    #[test]
    fn editing_keeps_what_is_there() {
        let folder = project("# ours\n[store]\npath = 'kept' # here\n");
        let (lab, disk): (RemoteName, RemoteName) = ("lab".parse().unwrap(), "disk".parse().unwrap());
        let remote = NewRemote { url: "s3://bucket".to_owned(), read_only: true, ..NewRemote::default() };
        Config::add_remote(folder.path(), &lab, &remote, false, false).unwrap();
        let other = NewRemote { url: "../disk".to_owned(), ..NewRemote::default() };
        Config::add_remote(folder.path(), &disk, &other, false, false).unwrap();
        let twice = Config::add_remote(folder.path(), &lab, &other, false, false).unwrap_err();
        assert!(matches!(twice, ConfigError::Refused { .. }), "{twice}");
        let wrong = NewRemote { url: "ftp://x".to_owned(), ..NewRemote::default() };
        assert!(Config::add_remote(folder.path(), &lab, &wrong, true, false).is_err());
        let config = Config::set_default_remote(folder.path(), &disk).unwrap();
        assert_eq!(config, Config::load(folder.path(), &Environment::default()).unwrap());
        insta::assert_snapshot!(std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let folder = project("[store]\npth = 'x'\n");
        let error = Config::load(folder.path(), &Environment::default()).unwrap_err().to_string();
        let error = error.replace(&folder.path().display().to_string(), "<project>");
        insta::assert_snapshot!(error, @r"
        <project>/stagewright.toml is not a valid project file:
        TOML parse error at line 2, column 1
          |
        2 | pth = 'x'
          | ^^^
        unknown field `pth`, expected `path`
        ");
    }
}
