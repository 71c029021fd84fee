//! Unlocking the keys that sign: from the environment, or by asking on the terminal.

use std::io::IsTerminal;

use console::Term;
use stagewright::{
    config::Config,
    lineage::{FOLDER, Keyring, LineageError, Signing, TrustPolicy},
};

use super::{CliError, Scene};

/// The project's trust policy, if it has one.
pub fn policy(config: &Config) -> Result<Option<TrustPolicy>, CliError> {
    Ok(TrustPolicy::load(&config.root.join(FOLDER))?)
}

/// Every key of this project that can sign here; warns when there should be one and is none.
pub fn open(scene: &Scene, config: &Config) -> Result<Signing, CliError> {
    let policy = policy(config)?;
    // The user decided where the folder is when the key was made.
    let keyring = Keyring::new(config.keys_dir.as_deref(), &config.root, true);
    let mut ask = |name: &str| passphrase(scene, &format!("passphrase of the key `{name}`: "));
    let signing = Signing::open(policy.as_ref(), keyring.as_ref(), &mut ask)?;
    if let (Some(_), Some(reason)) = (&policy, signing.unsigned()) {
        eprintln!("warning: statements are not signed: {reason}");
    }
    Ok(signing)
}

/// The passphrase of the environment, else one typed in. None without a terminal, and for an empty one.
pub fn passphrase(scene: &Scene, prompt: &str) -> Option<String> {
    if let Some(passphrase) = &scene.environment.key_passphrase {
        return Some(passphrase.clone());
    }
    let terminal = Term::stderr();
    if !terminal.is_term() || !std::io::stdin().is_terminal() {
        return None;
    }
    terminal.write_str(prompt).ok()?;
    terminal.read_secure_line().ok().filter(|line| !line.is_empty())
}

impl From<LineageError> for CliError {
    fn from(error: LineageError) -> Self {
        let text = error.to_string();
        match error {
            LineageError::Store(error) => error.into(),
            LineageError::Record(error) => error.into(),
            LineageError::Locked { .. } => {
                Self::user(text).hint("STAGEWRIGHT_KEY_PASSPHRASE, or a terminal to ask on, gives the passphrase")
            }
            LineageError::NoKeysFolder => {
                Self::user(text).hint("set STAGEWRIGHT_KEYS to a folder that only you can read")
            }
            LineageError::KeysInProject { .. } => Self::user(text)
                .hint("set STAGEWRIGHT_KEYS to a folder elsewhere, or say --inside-project and keep it out of git"),
            LineageError::NoKey { known, .. } if known.is_empty() => {
                Self::user(text).hint("`stagewright key new` makes one")
            }
            LineageError::NoKey { known, .. } => Self::user(text).hint(format!("it has {}", known.join(", "))),
            LineageError::KeyExists { .. } => {
                Self::user(text).hint("choose another name; `stagewright key list` shows those there are")
            }
            LineageError::SignatureRequired { .. } => Self::user(text)
                .hint("unlock or add a key (`stagewright key new`), or set `require-signature = false` in trust/policy.toml"),
            LineageError::Key { .. } | LineageError::Policy { .. } | LineageError::Ambiguous { .. } => {
                Self::user(text)
            }
            LineageError::Unknown { .. } => Self::user(text).hint(
                "a statement is made when a stage runs; `stagewright lineage show <stage>` shows what there is",
            ),
            LineageError::Lost(_) => {
                Self::environment(text).hint("it may still be where the result was made, or on the remote")
            }
            LineageError::Io { .. }
            | LineageError::Command { .. }
            | LineageError::Statement { .. }
            | LineageError::Encode { .. }
            | LineageError::Ledger { .. } => Self::environment(text),
        }
    }
}
