//! The one place that reads environment variables.

use std::{fmt, path::PathBuf};

use super::GithubJob;

/// A variable that Stagewright itself reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// Every variable that Stagewright itself reads. Terminal conventions (`NO_COLOR`, `CLICOLOR_FORCE`, `TERM`) are the display
/// libraries' business.
pub const VARIABLES: &[Variable] = &[
    Variable { name: "STAGEWRIGHT_STORE", meaning: "folder of the store, instead of the project's" },
    Variable {
        name: "STAGEWRIGHT_STAGE_PATH",
        meaning: "folders with stage programs, separated by `:`, searched before the project's",
    },
    Variable {
        name: "STAGEWRIGHT_LOG",
        meaning: "diagnostic log on stderr, for example `debug` or `stagewright::run=trace`",
    },
    Variable {
        name: "STAGEWRIGHT_KEYS",
        meaning: "folder of private signing keys, instead of `stagewright/keys` in the user's configuration",
    },
    Variable {
        name: "STAGEWRIGHT_KEY_PASSPHRASE",
        meaning: "passphrase of the signing keys that are locked",
    },
    Variable { name: "XDG_CONFIG_HOME", meaning: "the user's configuration, where `stagewright/keys` is" },
    Variable {
        name: "HOME",
        meaning: "where `.config` is without XDG_CONFIG_HOME; never written into a statement",
    },
    Variable {
        name: "AWS_CA_BUNDLE",
        meaning: "file of certificates (PEM) that S3 remotes trust beside the system's",
    },
    Variable {
        name: "STAGEWRIGHT_UNSIGNED",
        meaning: "`true`: S3 remotes are asked without credentials, as anybody may ask a public bucket",
    },
    Variable { name: "DISPLAY", meaning: "set where a browser can be opened; `ui` opens one" },
    Variable { name: "WAYLAND_DISPLAY", meaning: "the same" },
    Variable {
        name: "GITHUB_ACTIONS",
        meaning: "`true` in a job of GitHub Actions: `run` tells the job what came of it, with the variables that GitHub sets there",
    },
    Variable {
        name: "GITHUB_TOKEN",
        meaning: "the job's token, with which `ci comment --post` writes its comment",
    },
];

/// A variable whose value is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value of the variable `{0}` is no UTF-8 text")]
pub struct NotText(pub String);

/// The variables' values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `STAGEWRIGHT_STORE`.
    pub store: Option<PathBuf>,
    /// `STAGEWRIGHT_STAGE_PATH`.
    pub stage_path: Vec<PathBuf>,
    /// `STAGEWRIGHT_LOG`.
    pub log: Option<String>,
    /// Folder of private keys: `STAGEWRIGHT_KEYS`, else in the user's configuration.
    pub keys: Option<PathBuf>,
    /// `STAGEWRIGHT_KEY_PASSPHRASE`.
    pub key_passphrase: Option<String>,
    /// `AWS_CA_BUNDLE`.
    pub ca_bundle: Option<PathBuf>,
    /// `STAGEWRIGHT_UNSIGNED` is `true`.
    pub unsigned: bool,
    /// There is a desktop on which a browser can be opened: `DISPLAY` or `WAYLAND_DISPLAY` is set, or the system always has one.
    pub desktop: bool,
    /// The job of GitHub Actions that this process is in.
    pub github: Option<GithubJob>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, stage_path, log, keys, key_passphrase: _, ca_bundle, unsigned, desktop, github: _ } =
            self;
        let mut shown = formatter.debug_struct("Environment");
        shown.field("store", store).field("stage_path", stage_path).field("log", log).field("keys", keys);
        shown.field("ca_bundle", ca_bundle).field("unsigned", unsigned).field("desktop", desktop);
        shown.finish_non_exhaustive()
    }
}

/// What must not leave this machine in a statement: values of variables whose names promise a secret, and the home folder.
#[derive(Clone, Default)]
pub struct Sensitive {
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// Values of variables that [`is_secretive`] by name.
    pub secrets: Vec<String>,
}

/// Shorter values are words such as `true`, which would be found everywhere.
const SHORTEST_SECRET: usize = 6;

impl Sensitive {
    /// Reads the variables of this process.
    pub fn read() -> Self {
        let secrets = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| value.len() >= SHORTEST_SECRET && is_secretive(name))
            .map(|(_, value)| value)
            .collect();
        let home = std::env::var_os("HOME").filter(|home| home.len() > 1).map(PathBuf::from);
        Self { home, secrets }
    }
}

/// True when the words of a name, such as `HF_TOKEN`, `api-key` or `dbPassword`, say that its value is secret.
pub fn is_secretive(name: &str) -> bool {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || (lower && c.is_ascii_uppercase()) {
            words.push(String::new());
        }
        lower = c.is_ascii_lowercase();
        if c.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    let single = [
        "token",
        "password",
        "passwd",
        "pwd",
        "secret",
        "secrets",
        "passphrase",
        "credential",
        "credentials",
        "apikey",
        "pat",
        "auth",
    ];
    let pairs =
        [["api", "key"], ["access", "key"], ["private", "key"], ["account", "key"], ["secret", "key"]];
    // `PWD` alone is the shell's folder.
    words.iter().any(|word| single.contains(&word.as_str()) && !(word == "pwd" && words.len() == 1))
        || words.windows(2).any(|pair| pairs.iter().any(|[a, b]| pair[0] == *a && pair[1] == *b))
}

impl Environment {
    /// A variable that a pipeline names as a secret. None where it is not set; an error where its value is no UTF-8 text.
    pub fn secret(&self, name: &str) -> Result<Option<String>, NotText> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(NotText(name.to_owned())),
        }
    }

    /// Reads the variables of this process.
    pub fn read() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            store: path("STAGEWRIGHT_STORE").map(PathBuf::from),
            stage_path: path("STAGEWRIGHT_STAGE_PATH")
                .map_or_else(Vec::new, |list| std::env::split_paths(&list).collect()),
            log: std::env::var("STAGEWRIGHT_LOG").ok(),
            keys: path("STAGEWRIGHT_KEYS").map(PathBuf::from).or_else(|| {
                let home = path("HOME").map(|home| PathBuf::from(home).join(".config"));
                let user = path("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
                user.map(|user| user.join("stagewright/keys"))
            }),
            key_passphrase: std::env::var("STAGEWRIGHT_KEY_PASSPHRASE").ok(),
            ca_bundle: path("AWS_CA_BUNDLE").map(PathBuf::from),
            unsigned: std::env::var("STAGEWRIGHT_UNSIGNED").is_ok_and(|value| value == "true"),
            desktop: cfg!(target_os = "macos")
                || path("DISPLAY").is_some()
                || path("WAYLAND_DISPLAY").is_some(),
            github: GithubJob::read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_names_like_them() {
        for name in
            ["HF_TOKEN", "token", "api-key", "API_KEY", "AWS_SECRET_ACCESS_KEY", "dbPassword", "GITHUB_PAT"]
        {
            assert!(is_secretive(name), "{name}");
        }
        for name in ["max-tokens", "tokenizer", "key", "keyboard", "PATH", "pattern", "PWD", "author", "lr"] {
            assert!(!is_secretive(name), "{name}");
        }
    }
}
