//! Remotes as `stagewright.toml` names them.
//!
//! A remote's settings say where it is and how it is used, never who may: credentials come from the SDK's chain (environment,
//! profile, web identity, instance), so the file can be committed.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;

use super::Rate;

/// Name of a remote: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);

impl RemoteName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RemoteName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for RemoteName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is no name for a remote: use letters, digits, `-`, `_` and `.`"))
        }
    }
}

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteUrl {
    /// A folder, absolute.
    Folder(PathBuf),
    /// A bucket of an S3 server.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all its keys begin with; empty, or without a slash at either end.
        prefix: String,
    },
}

impl RemoteUrl {
    /// Reads `s3://bucket/prefix`, `file:///folder` or a folder's path, which is relative to `root`.
    pub fn parse(text: &str, root: &Path) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("s3://") {
            if rest.contains('@') {
                return Err("it holds a login; credentials come from the environment or a profile".to_owned());
            }
            if rest.contains(['?', '#']) {
                return Err(format!(
                    "`{text}` holds a query; write `endpoint` and `region` as keys of their own"
                ));
            }
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            if bucket.is_empty() {
                return Err(format!("`{text}` names no bucket: `s3://bucket/prefix` is wanted"));
            }
            if prefix.split('/').any(|part| part == "." || part == "..") {
                return Err(format!("`{text}` has `.` or `..` in its prefix"));
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        let path = match text.split_once("://") {
            Some(("file", path)) => path,
            Some((scheme, _)) => {
                return Err(format!(
                    "`{scheme}://` is not supported: use `s3://bucket/prefix` or a folder's path"
                ));
            }
            None => text,
        };
        if path.is_empty() {
            return Err("the url is empty: use `s3://bucket/prefix` or a folder's path".to_owned());
        }
        Ok(Self::Folder(root.join(path)))
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(formatter, "{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(formatter, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(formatter, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Whether the results (not the bytes, which prove themselves) that a remote holds are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Whoever can write to the remote is believed.
    #[default]
    Use,
    /// No result of this remote is reused; it only keeps and gives back bytes that are asked for by digest.
    Ignore,
}

/// How content lies in a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Small files gathered in packs, large ones cut by content. A remote that has something already stays as it is.
    #[default]
    Packed,
    /// One object a file, by SHA-256. A remote that has something already stays as it is.
    Native,
    /// Tracked data where DVC 3 puts it, so that `dvc pull` reads what was pushed, and the other way.
    Dvc,
}

/// Whether `run` uses the default remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum RunSync {
    /// No.
    #[default]
    Off,
    /// A result that is not stored here is looked up there before the stage runs.
    Pull,
    /// And what the run made is pushed at its end.
    PullAndPush,
}

/// A remote, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSettings {
    /// Its name.
    pub name: RemoteName,
    /// Where it is.
    pub url: RemoteUrl,
    /// Server of an S3 remote, instead of AWS: `https://host:port`.
    pub endpoint: Option<String>,
    /// Region, instead of the one of the profile or environment.
    pub region: Option<String>,
    /// Profile of `~/.aws/config` to take credentials from.
    pub profile: Option<String>,
    /// The bucket stands in the path of a request and not in its host name.
    pub path_style: bool,
    /// S3 storage class of new objects, for example `STANDARD_IA`.
    pub storage_class: Option<String>,
    /// KMS key that the server encrypts new objects with.
    pub kms_key: Option<String>,
    /// Folder that keeps a copy of what passes, asked before the remote.
    pub cache: Option<PathBuf>,
    /// Whose results count.
    pub results: Trust,
    /// How content lies in it.
    pub layout: Layout,
    /// False refuses every push.
    pub write: bool,
    /// Most bytes a second that all transfers of a process move.
    pub bandwidth: Option<Rate>,
}

/// Which remote is meant when none is named, and what `run` does with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncSettings {
    /// The default remote.
    pub remote: Option<RemoteName>,
    /// What `run` does.
    pub run: RunSync,
}

/// `[sync]` as written.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct SyncSection {
    remote: Option<String>,
    run: RunSync,
}

/// `[remotes.<name>]` as written.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RemoteSection {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    path_style: Option<bool>,
    storage_class: Option<String>,
    kms_key: Option<String>,
    cache: Option<PathBuf>,
    #[serde(default)]
    results: Trust,
    #[serde(default)]
    layout: Layout,
    #[serde(default = "yes")]
    write: bool,
    bandwidth: Option<String>,
}

fn yes() -> bool {
    true
}

/// Resolves both sections; an error names the table and key.
pub(super) fn resolve(
    root: &Path,
    sections: BTreeMap<String, RemoteSection>,
    sync: SyncSection,
) -> Result<(BTreeMap<RemoteName, RemoteSettings>, SyncSettings), String> {
    let mut remotes = BTreeMap::new();
    for (name, section) in sections {
        let name: RemoteName = name.parse().map_err(|why| format!("[remotes]: {why}"))?;
        let settings =
            resolve_one(root, name.clone(), section).map_err(|why| format!("[remotes.{name}]: {why}"))?;
        remotes.insert(name, settings);
    }
    let remote =
        sync.remote.map(|name| name.parse()).transpose().map_err(|why| format!("[sync] remote: {why}"))?;
    if let Some(name) = &remote
        && !remotes.contains_key(name)
    {
        return Err(format!("[sync] remote: there is no [remotes.{name}]"));
    }
    if remote.is_none() && sync.run != RunSync::Off {
        return Err("[sync] run: needs a default remote, and [sync] remote is not set".to_owned());
    }
    Ok((remotes, SyncSettings { remote, run: sync.run }))
}

fn resolve_one(root: &Path, name: RemoteName, section: RemoteSection) -> Result<RemoteSettings, String> {
    let url = RemoteUrl::parse(&section.url, root).map_err(|why| format!("url: {why}"))?;
    if matches!(url, RemoteUrl::Folder(_)) {
        let only_s3 = [
            ("endpoint", section.endpoint.is_some()),
            ("region", section.region.is_some()),
            ("profile", section.profile.is_some()),
            ("path-style", section.path_style.is_some()),
            ("storage-class", section.storage_class.is_some()),
            ("kms-key", section.kms_key.is_some()),
        ];
        if let Some((key, _)) = only_s3.iter().find(|(_, set)| *set) {
            return Err(format!("{key}: is a setting of S3 remotes, and the url is a folder"));
        }
    }
    if let Some(endpoint) = &section.endpoint {
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if host.is_none_or(str::is_empty) {
            return Err(format!("endpoint: `{endpoint}` is not `https://host` or `http://host:port`"));
        }
        if host.is_some_and(|host| host.contains('@')) {
            return Err(
                "endpoint: it holds a login; credentials come from the environment or a profile".to_owned()
            );
        }
    }
    let bandwidth = section.bandwidth.map(|text| text.parse()).transpose();
    let bandwidth = bandwidth.map_err(|why: String| format!("bandwidth: {why}"))?;
    Ok(RemoteSettings {
        name,
        url,
        // Servers other than AWS rarely have a host name for each bucket.
        path_style: section.path_style.unwrap_or(section.endpoint.is_some()),
        endpoint: section.endpoint,
        region: section.region,
        profile: section.profile,
        storage_class: section.storage_class,
        kms_key: section.kms_key,
        cache: section.cache.map(|path| root.join(path)),
        results: section.results,
        layout: section.layout,
        write: section.write,
        bandwidth,
    })
}
