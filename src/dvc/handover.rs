//! A project of DVC turned over, and given back.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde_yaml::Value as Yaml;

use super::{FILE_NAME, FOLDER, LOCK_NAME, cache, context::join, ini, settings::Settings};
use crate::{
    config::{self, Config, ConfigError, Layout, NewRemote, RemoteName, RemoteUrl, STATE_FOLDER},
    store::LocalStore,
    track::{self, ObjectName, Pointer, TrackError},
};

/// Why a project can't be turned over or given back.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// It is no project of DVC.
    #[error("{root} is no project of DVC: it has no {FOLDER}")]
    NoProject {
        /// The folder.
        root: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The settings can't be read or written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Data can't be read or stored.
    #[error(transparent)]
    Track(#[from] TrackError),
}

impl HandoverError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What was turned over or given back, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handover {
    /// Remotes that the other side has now.
    pub remotes: Vec<String>,
    /// Pointer files that both can use.
    pub pointers: usize,
    /// Pipelines of DVC.
    pub pipelines: Vec<PathBuf>,
    /// Objects that the other side has now and had not before.
    pub objects: u64,
    /// Objects that it had.
    pub known: u64,
    /// What stays behind, with the reason.
    pub left: Vec<(String, String)>,
}

/// Keys of a remote that hold a secret or the way to one.
const SECRET: &[&str] =
    &["access_key_id", "secret_access_key", "session_token", "password", "user", "connection_string"];

/// Turns a project of DVC over: its remotes become those of `stagewright.toml`, and the store adopts what its cache has. Nothing of DVC's is
/// changed, so both tools can work in it.
pub fn turn_over(root: &Path, store: &LocalStore) -> Result<Handover, HandoverError> {
    if !root.join(FOLDER).is_dir() {
        return Err(HandoverError::NoProject { root: root.to_owned() });
    }
    let mut done = Handover::default();
    let mut sections = ini::Sections::new();
    for name in ["config", "config.local"] {
        let path = root.join(FOLDER).join(name);
        match fs::read_to_string(&path) {
            Ok(text) => ini::read(&text, &mut sections),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(HandoverError::io("read", &path)(error)),
        }
    }
    let settings = root.join(config::FILE_NAME);
    if !settings.exists() {
        let text = "# Settings of this Stagewright project; `stagewright init --help` shows every key.\n";
        fs::write(&settings, text).map_err(HandoverError::io("write", &settings))?;
    }
    let default = sections.get("core").and_then(|core| core.get("remote"));
    for (name, keys) in ini::remotes(&sections) {
        match remote(name, keys) {
            Err(reason) => done.left.push((format!("remote {name}"), reason)),
            Ok((known, new)) => {
                match Config::add_remote(root, &known, &new, false, default.is_some_and(|it| it == name)) {
                    Ok(_) => done.remotes.push(format!("{name} ({})", new.url)),
                    Err(ConfigError::Refused { reason, .. }) => {
                        done.left.push((format!("remote {name}"), reason));
                    }
                    Err(error) => return Err(error.into()),
                }
                let secrets: Vec<&str> =
                    SECRET.iter().filter(|key| keys.contains_key(**key)).copied().collect();
                if !secrets.is_empty() {
                    let reason = format!(
                        "{} stay where they are; put them into a profile of ~/.aws or the environment",
                        secrets.join(", ")
                    );
                    done.left.push((format!("credentials of {name}"), reason));
                }
            }
        }
    }
    track::ignore_out(root, Path::new(STATE_FOLDER))?;
    let objects = cache_of(root);
    let adopted = track::adopt(&objects, store)?;
    (done.objects, done.known) = (adopted.new, adopted.known);
    done.left.extend(adopted.left.into_iter().map(|(path, reason)| (shown(root, &path), reason)));
    for path in track::files(root, |item| item.file_name().as_encoded_bytes().ends_with(b".dvc"))? {
        match Pointer::read(&path) {
            Ok(_) => done.pointers += 1,
            Err(TrackError::Pointer { reason, .. }) => done.left.push((shown(root, &path), reason)),
            Err(error) => return Err(error.into()),
        }
    }
    let pipelines = track::files(root, |item| item.file_name() == FILE_NAME)?;
    done.pipelines = pipelines.iter().map(|path| PathBuf::from(shown(root, path))).collect();
    let others = [
        (objects.join("runs"), "DVC's run cache; results are kept in Stagewright's own"),
        (
            root.join(".git/refs/exps"),
            "DVC's experiments; `stagewright run --set` and `search` make such runs",
        ),
    ];
    for (path, reason) in others {
        if path.is_dir() {
            done.left.push((shown(root, &path), reason.to_owned()));
        }
    }
    let is_old = |name: &str| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let old = fs::read_dir(&objects).into_iter().flatten().flatten();
    if old.into_iter().any(|item| item.file_name().to_str().is_some_and(is_old)) {
        let reason = "objects of DVC 2; `dvc cache migrate --dvc-files` makes them ones of DVC 3";
        done.left.push((shown(root, &objects), reason.to_owned()));
    }
    Ok(done)
}

/// A remote as ours, or why it can't be one.
fn remote(
    name: &str,
    keys: &std::collections::BTreeMap<String, String>,
) -> Result<(RemoteName, NewRemote), String> {
    let get = |key: &str| keys.get(key).cloned();
    let url = get("url").ok_or("it has no url")?;
    let url = match url.split_once("://") {
        Some(("s3", _)) => url,
        Some((scheme, _)) => return Err(format!("{scheme}:// is not supported")),
        // Relative to the folder that the configuration lies in.
        None => join(FOLDER, &url),
    };
    let url = if url.is_empty() { ".".to_owned() } else { url };
    let remote = NewRemote {
        url,
        endpoint: get("endpointurl"),
        region: get("region"),
        profile: get("profile"),
        layout: Some("dvc".to_owned()),
        ..NewRemote::default()
    };
    Ok((name.parse()?, remote))
}

/// Gives a project back to DVC: its folder with the remotes that DVC can read, and in its cache all that pointer files and lock files name.
/// What DVC has already is left as it is.
pub fn give_back(config: &Config, store: &LocalStore) -> Result<Handover, HandoverError> {
    let root = &config.root;
    let mut done = Handover::default();
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).map_err(HandoverError::io("create", &folder))?;
    for (path, text) in [
        (folder.join(".gitignore"), "/config.local\n/tmp\n/cache\n"),
        (root.join(".dvcignore"), "# Paths that DVC leaves out, as in .gitignore\n"),
    ] {
        if !path.exists() {
            fs::write(&path, text).map_err(HandoverError::io("write", &path))?;
        }
    }
    write_remotes(config, &mut done)?;
    let objects = cache_of(root);
    let mut names: Vec<(String, ObjectName)> = Vec::new();
    for tracked in track::find(root, &[])? {
        done.pointers += 1;
        names.push((shown(root, &tracked.data), tracked.pointer.name));
    }
    for path in track::files(root, |item| item.file_name() == LOCK_NAME)? {
        done.pipelines.push(PathBuf::from(shown(root, &path.with_file_name(FILE_NAME))));
        let text = fs::read_to_string(&path).map_err(HandoverError::io("read", &path))?;
        names.extend(
            locked(&text).into_iter().map(|(out, name)| (format!("{}: {out}", shown(root, &path)), name)),
        );
    }
    let mut seen = BTreeSet::new();
    for (what, name) in names.into_iter().filter(|(_, name)| seen.insert(*name)) {
        if cache::has(&objects, &name.to_string()) {
            done.known += 1;
            continue;
        }
        let Some(parts) = track::objects_of(name, store)? else {
            let reason = "the store has not all of it; `stagewright fetch` brings it".to_owned();
            done.left.push((what, reason));
            continue;
        };
        for (md5, blob) in &parts.files {
            let md5 = md5.to_string();
            if cache::has(&objects, &md5) {
                done.known += 1;
                continue;
            }
            cache::add_file(&objects, &md5, blob).map_err(HandoverError::io("write to", &objects))?;
            done.objects += 1;
        }
        if let Some(listing) = parts.listing {
            let added = cache::add_listing(&objects, &name.to_string(), &listing);
            added.map_err(HandoverError::io("write to", &objects))?;
            done.objects += 1;
        }
    }
    Ok(done)
}

fn write_remotes(config: &Config, done: &mut Handover) -> Result<(), HandoverError> {
    let path = config.root.join(FOLDER).join("config");
    let old = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(HandoverError::io("read", &path)(error)),
    };
    let mut sections = ini::Sections::new();
    ini::read(&old, &mut sections);
    let known: BTreeSet<String> = ini::remotes(&sections).map(|(name, _)| name.to_owned()).collect();
    let mut text = old.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, remote) in &config.remotes {
        if known.contains(name.as_str()) {
            continue;
        }
        if remote.layout != Layout::Dvc {
            let reason = "DVC can't read its layout; a remote with `--dvc` and a push give it one it can";
            done.left.push((format!("remote {name}"), reason.to_owned()));
            continue;
        }
        let url = match &remote.url {
            RemoteUrl::Folder(folder) => match folder.strip_prefix(&config.root) {
                Ok(inside) => format!("../{}", inside.display()),
                Err(_) => folder.display().to_string(),
            },
            url => url.to_string(),
        };
        if default_is(config, name) && !sections.get("core").is_some_and(|core| core.contains_key("remote")) {
            text = format!("[core]\n    remote = {name}\n{text}");
        }
        text.push_str(&format!("['remote \"{name}\"']\n    url = {url}\n"));
        let keys =
            [("endpointurl", &remote.endpoint), ("region", &remote.region), ("profile", &remote.profile)];
        for (key, value) in keys {
            text.extend(value.as_ref().map(|value| format!("    {key} = {value}\n")));
        }
        done.remotes.push(format!("{name} ({url})"));
    }
    if text != old || !path.exists() {
        track::write_whole(&path, &text)?;
    }
    Ok(())
}

fn default_is(config: &Config, name: &RemoteName) -> bool {
    config.sync.remote.as_ref() == Some(name)
}

/// What the outs of a lock file are called in the cache.
fn locked(text: &str) -> Vec<(String, ObjectName)> {
    let Ok(file) = serde_yaml::from_str::<Yaml>(text) else { return Vec::new() };
    let stages = file.get("stages").and_then(Yaml::as_mapping);
    let outs = stages
        .into_iter()
        .flat_map(|stages| stages.values())
        .filter_map(|stage| stage.get("outs")?.as_sequence());
    let name = |out: &Yaml| {
        let text = |key: &str| out.get(key).and_then(Yaml::as_str);
        let md5 = text("md5").filter(|_| text("hash") == Some("md5"))?;
        let (hex, folder) = md5.strip_suffix(".dir").map_or((md5, false), |hex| (hex, true));
        Some((text("path")?.to_owned(), ObjectName { md5: hex.parse().ok()?, folder }))
    };
    outs.flatten().filter_map(name).collect()
}

fn cache_of(root: &Path) -> PathBuf {
    let mut files = |name: &str| fs::read_to_string(root.join(name)).map_err(|error| error.to_string());
    root.join(Settings::read(&mut files).cache)
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
