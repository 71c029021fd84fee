//! Changing `stagewright.toml` without losing a comment of it.

use std::{io::Write, path::Path};

use toml_edit::{DocumentMut, Item, Table, value};

use super::{Config, ConfigError, Environment, FILE_NAME, RemoteName};

/// Keys of a new remote as the user gave them, in the order they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRemote {
    /// `url`.
    pub url: String,
    /// `endpoint`.
    pub endpoint: Option<String>,
    /// `region`.
    pub region: Option<String>,
    /// `profile`.
    pub profile: Option<String>,
    /// `cache`.
    pub cache: Option<String>,
    /// `layout`.
    pub layout: Option<String>,
    /// `write = false`.
    pub read_only: bool,
    /// `results = "ignore"`.
    pub ignore_results: bool,
}

impl Config {
    /// Writes `[remotes.<name>]`, and `[sync] remote` when it is to be the default or there is none. An existing remote of that
    /// name is only replaced when `replace` says so. What the file becomes is checked before it is written.
    pub fn add_remote(
        root: &Path,
        name: &RemoteName,
        remote: &NewRemote,
        replace: bool,
        default: bool,
    ) -> Result<Self, ConfigError> {
        edit(root, |document| {
            let remotes = table(document, "remotes")?;
            remotes.set_implicit(true);
            if remotes.contains_key(name.as_str()) && !replace {
                return Err(format!("there is a [remotes.{name}] already"));
            }
            let mut section = Table::new();
            section["url"] = value(&remote.url);
            let texts = [
                ("endpoint", &remote.endpoint),
                ("region", &remote.region),
                ("profile", &remote.profile),
                ("cache", &remote.cache),
                ("layout", &remote.layout),
            ];
            for (key, text) in texts {
                if let Some(text) = text {
                    section[key] = value(text);
                }
            }
            if remote.ignore_results {
                section["results"] = value("ignore");
            }
            if remote.read_only {
                section["write"] = value(false);
            }
            remotes[name.as_str()] = Item::Table(section);
            let sync = table(document, "sync")?;
            if default || !sync.contains_key("remote") {
                sync["remote"] = value(name.as_str());
            }
            Ok(())
        })
    }

    /// Writes `[sync] remote`.
    pub fn set_default_remote(root: &Path, name: &RemoteName) -> Result<Self, ConfigError> {
        edit(root, |document| {
            table(document, "sync")?["remote"] = value(name.as_str());
            Ok(())
        })
    }
}

fn table<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut Table, String> {
    document
        .entry(name)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_mut()
        .ok_or_else(|| format!("`{name}` is written as a value; write it as a table, [{name}]"))
}

fn edit(
    root: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), String>,
) -> Result<Config, ConfigError> {
    let path = root.join(FILE_NAME);
    let text =
        std::fs::read_to_string(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    let refused = |reason: String| ConfigError::Refused { path: path.clone(), reason };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        ConfigError::Invalid { path: path.clone(), reason: error.to_string() }
    })?;
    change(&mut document).map_err(refused)?;
    let text = document.to_string();
    let config = Config::parse(root, &text, &Environment::default()).map_err(|error| match error {
        ConfigError::Invalid { reason, .. } => refused(reason),
        error => error,
    })?;
    let failed = |source| ConfigError::Write { path: path.clone(), source };
    let mut file = tempfile::NamedTempFile::new_in(root).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    // A temporary file is private, and this one takes the place of one that may not be.
    let mode = std::fs::metadata(&path).map_err(failed)?.permissions();
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(config)
}
