//! Unlocking the keys that sign: from the environment, or by asking on the terminal.

use std::io::IsTerminal;

use console::Term;
use stagewright::{
    config::Config,
    lineage::{FOLDER, Keyring, LineageError, Signing, TrustPolicy, Waivers},
    store::LocalStore,
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

/// Waivers by trusted keys.
pub fn waivers(config: &Config) -> Result<Waivers, CliError> {
    let Some(policy) = policy(config)? else { return Ok(Waivers::default()) };
    let store = LocalStore::open(&config.store_dir)?;
    Ok(Waivers::load(config, &store, Some(&policy))?)
}

/// Who decides: the keys that sign here, and the name of the one that is meant.
pub fn decider(
    scene: &Scene,
    config: &Config,
    named: Option<&str>,
) -> Result<(TrustPolicy, Signing, String), CliError> {
    let policy = policy(config)?.ok_or_else(|| {
        CliError::user("this project has no trust policy, so nobody's decision would count")
            .hint("`stagewright key new NAME` makes a key for a person, and trusts it")
    })?;
    let signing = open(scene, config)?;
    let names: Vec<String> = signing.names().into_iter().map(str::to_owned).collect();
    let name = match (named, &names[..]) {
        (Some(name), _) => name.to_owned(),
        (None, [only]) => only.clone(),
        (None, []) => {
            let why = signing.unsigned().unwrap_or("there is no key").to_owned();
            return Err(CliError::user(format_args!("nobody can sign a decision here: {why}"))
                .hint("`stagewright key new NAME` makes a key for a person, and trusts it"));
        }
        (None, several) => {
            return Err(CliError::user("several keys can sign here, and a decision is one person's")
                .hint(format!("say `--as` with one of {}", several.join(", "))));
        }
    };
    Ok((policy, signing, name))
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
            LineageError::NoGate { failed, .. } if failed.is_empty() => {
                Self::user(text).hint("no gate or target failed in a recorded run, so there is nothing to waive")
            }
            LineageError::NoGate { failed, .. } => {
                Self::user(text).hint(format!("these failed: {}", failed.join(", ")))
            }
            LineageError::NotFailed { .. } => Self::user(text).hint("only what failed can be waived"),
            LineageError::Diverged { name, .. } => {
                let mut error = Self::environment(text).hint(if name == "this project" {
                    "nothing of the ledger was pushed. Either it was cut or changed here, which `stagewright lineage verify --all` \
                     looks for; or two copies of one project folder both push: remove `.stagewright/lineage-v1/name` in one of them, \
                     and it goes on under a name of its own"
                } else {
                    "nothing of it was taken over. Whoever writes it can tell whether it was cut or changed there, on the remote, or \
                     in `.stagewright/lineage-v1/others` here"
                });
                error.exit = super::Exit::LedgerChanged;
                error
            }
            LineageError::NoP256 { .. } => Self::user(text).hint(
                "OpenSSF Model Signing takes no other kind; `stagewright key new NAME --algorithm ecdsa-p256` makes one",
            ),
            LineageError::NoCheckpoint => {
                Self::user(text).hint("a run that comes to its end makes one: `stagewright run`")
            }
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
