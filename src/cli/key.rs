//! `stagewright key`.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use console::style;
use jiff::Timestamp;
use stagewright::{
    config::Config,
    lineage::{
        Algorithm, FOLDER, KeyId, Keyring, LineageError, PrivateKey, PublicKey, Revocation, SigningCommand,
        TrustPolicy,
    },
};

use super::{CliError, Exit, Scene, screen, signing};

/// Make, list, trust and revoke the keys that sign statements on where artifacts came from
#[derive(Args)]
#[command(after_help = "\
Public keys and the trust policy are in trust/, to be committed. Private keys are in STAGEWRIGHT_KEYS, else in \
stagewright/keys of your configuration folder. Every key of the policy whose private part is on this machine signs.")]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand)]
enum KeyCommand {
    New(NewArgs),
    /// List the keys of the trust policy, and which of them can sign here
    List,
    Trust(TrustArgs),
    Revoke(RevokeArgs),
}

/// Make a key, or take one in, and trust it
#[derive(Args)]
struct NewArgs {
    /// Its name in the trust policy [default: the name of the project's folder]
    name: Option<String>,
    /// What it signs with
    #[arg(long, value_enum, default_value = "ecdsa-p256", conflicts_with_all = ["import", "command"])]
    algorithm: AlgorithmArg,
    /// Lock it with a passphrase: that of STAGEWRIGHT_KEY_PASSPHRASE, or asked for
    #[arg(long, conflicts_with_all = ["import", "command"])]
    lock: bool,
    /// Take in this private key (PKCS#8 PEM or OpenSSH; ECDSA P-256 or Ed25519)
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Have this command sign, for a key in hardware or a cloud: it reads the bytes on stdin and writes the signature, raw or in
    /// base64, on stdout. Words are split at spaces
    #[arg(long, value_name = "COMMAND", requires = "public", conflicts_with = "import")]
    command: Option<String>,
    /// The public key of --command (PEM or OpenSSH)
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    /// It takes the place of this key, whose earlier statements stay valid
    #[arg(long, value_name = "NAME")]
    replace: Option<String>,
    /// Allow a folder of private keys inside the project
    #[arg(long)]
    inside_project: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum AlgorithmArg {
    /// ECDSA over P-256 with SHA-256
    EcdsaP256,
    /// Ed25519
    Ed25519,
}

/// Trust somebody else's public key
#[derive(Args)]
struct TrustArgs {
    /// Its name in the trust policy
    name: String,
    /// The public key (PEM or OpenSSH)
    file: PathBuf,
}

/// Take trust from a key
#[derive(Args)]
struct RevokeArgs {
    /// Name or id
    name: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Statements from before this time stay valid; not for a key that leaked, since its thief can write any date
    #[arg(long, value_name = "TIME")]
    keep_before: Option<Timestamp>,
}

pub fn run(scene: &Scene, args: &KeyArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    match &args.command {
        KeyCommand::New(args) => new(scene, &config, args),
        KeyCommand::List => list(&config),
        KeyCommand::Trust(args) => trust(&config, args),
        KeyCommand::Revoke(args) => revoke(&config, args),
    }
}

fn new(scene: &Scene, config: &Config, args: &NewArgs) -> Result<Exit, CliError> {
    let mut policy = signing::policy(config)?.unwrap_or_else(|| fresh(config));
    let name = args.name.clone().unwrap_or_else(|| project_name(config));
    if let Some(old) = &args.replace {
        policy.find(old)?;
    }
    let keyring = Keyring::new(config.keys_dir.as_deref(), &config.root, args.inside_project)?;
    let now = Timestamp::now();
    // Trust first: it checks the name, and what fails later leaves no key behind.
    let (public, private) = match (&args.import, &args.command) {
        (Some(file), _) => {
            let text = read(file)?;
            let what = file.display().to_string();
            let pass = PrivateKey::is_locked(&text)
                .then(|| signing::passphrase(scene, &format!("passphrase of {what}: ")))
                .flatten();
            (PrivateKey::from_text(&what, &text, pass.as_deref())?.public(), Private::Text(text))
        }
        (None, Some(command)) => {
            let file = args.public.clone().unwrap_or_default();
            let public = PublicKey::from_text(&file.display().to_string(), &read(&file)?)?;
            let command = command.split_whitespace().map(str::to_owned).collect();
            let command = SigningCommand { command, public: public.to_pem()? };
            (public, Private::Command(command))
        }
        (None, None) => {
            let passphrase = if args.lock { Some(new_passphrase(scene)?) } else { None };
            let key = PrivateKey::generate(args.algorithm.into());
            (key.public(), Private::Text(key.to_pem(passphrase.as_deref())?))
        }
    };
    let algorithm = public.algorithm();
    let id = policy.trust(&name, public, now)?;
    match private {
        Private::Text(text) => drop(keyring.add_file(&id, &text)?),
        Private::Command(command) => drop(keyring.add_command(&command)?),
    }
    if let Some(old) = &args.replace {
        let reason = format!("replaced by {name}");
        policy.revoke(old, Revocation { at: now, reason, keep_before: Some(now) })?;
    }
    policy.save()?;
    println!("{}", made(&name, algorithm, &id, &keyring));
    if let Some(old) = &args.replace {
        println!("`{old}` signs no more; what it signed until now stays valid");
    }
    println!("commit {FOLDER}/, and keep a copy of the private key in a safe place");
    Ok(Exit::Success)
}

enum Private {
    Text(String),
    Command(SigningCommand),
}

/// Makes the first key of a project for `init`. None where the project has a policy already.
pub fn first(scene: &Scene, config: &Config) -> Result<Option<String>, LineageError> {
    if TrustPolicy::load(&config.root.join(FOLDER))?.is_some() {
        return Ok(None);
    }
    let keyring = Keyring::new(config.keys_dir.as_deref(), &config.root, false)?;
    let mut policy = fresh(config);
    let key = PrivateKey::generate(Algorithm::EcdsaP256);
    let name = project_name(config);
    let id = policy.trust(&name, key.public(), Timestamp::now())?;
    keyring.add_file(&id, &key.to_pem(scene.environment.key_passphrase.as_deref())?)?;
    policy.save()?;
    Ok(Some(made(&name, Algorithm::EcdsaP256, &id, &keyring)))
}

fn fresh(config: &Config) -> TrustPolicy {
    TrustPolicy::new(&config.root.join(FOLDER))
}

fn made(name: &str, algorithm: Algorithm, id: &KeyId, keyring: &Keyring) -> String {
    format!(
        "made the {algorithm} key `{name}` ({}); its private part is in {}",
        id.short(),
        keyring.folder().display()
    )
}

/// The folder's name, with what a key's name can't have left out.
fn project_name(config: &Config) -> String {
    let root = fs::canonicalize(&config.root).unwrap_or_else(|_| config.root.clone());
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let usual = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = name.chars().filter(usual).take(40).collect();
    if name.is_empty() { "project".to_owned() } else { name }
}

fn new_passphrase(scene: &Scene) -> Result<String, CliError> {
    let first = signing::passphrase(scene, "passphrase for the new key: ").ok_or_else(|| {
        CliError::user("there is no passphrase to lock the key with")
            .hint("set STAGEWRIGHT_KEY_PASSPHRASE, or run this on a terminal")
    })?;
    if signing::passphrase(scene, "the same again: ").as_ref() == Some(&first) {
        Ok(first)
    } else {
        Err(CliError::user("the two passphrases differ; no key was made"))
    }
}

fn list(config: &Config) -> Result<Exit, CliError> {
    let Some(policy) = signing::policy(config)? else {
        println!(
            "no trust policy: statements are not signed; `stagewright key new` makes a key and a policy"
        );
        return Ok(Exit::Success);
    };
    let keyring = Keyring::new(config.keys_dir.as_deref(), &config.root, true).ok();
    let mut rows = Vec::new();
    for (name, key) in policy.keys() {
        let here = match keyring.as_ref().map(|keyring| keyring.find(&key.id)).transpose()?.flatten() {
            None => "verifies only",
            Some(_) if key.revoked.is_some() => "private part here",
            Some(stored) if stored.is_locked() => "signs here, locked",
            Some(_) => "signs here",
        };
        let state = match &key.revoked {
            None => style("trusted".to_owned()).green(),
            Some(Revocation { at, reason, keep_before }) => {
                let kept = match keep_before {
                    Some(before) => format!(", valid before {before:.0}"),
                    None => String::new(),
                };
                style(format!("revoked {at:.0}: {reason}{kept}")).red()
            }
        };
        let (id, algorithm) = (key.id.short().to_owned(), key.public.algorithm().to_string());
        rows.push(vec![name.clone(), id, algorithm, here.to_owned(), state.to_string()]);
    }
    print!("{}", screen::table(&rows));
    if policy.threshold > 1 {
        println!("a statement needs the signatures of {} of them", policy.threshold);
    }
    Ok(Exit::Success)
}

fn trust(config: &Config, args: &TrustArgs) -> Result<Exit, CliError> {
    let mut policy = signing::policy(config)?.unwrap_or_else(|| fresh(config));
    let public = PublicKey::from_text(&args.file.display().to_string(), &read(&args.file)?)?;
    let id = policy.trust(&args.name, public, Timestamp::now())?;
    policy.save()?;
    println!("`{}` ({}) is trusted from now on; commit {FOLDER}/", args.name, id.short());
    Ok(Exit::Success)
}

fn revoke(config: &Config, args: &RevokeArgs) -> Result<Exit, CliError> {
    let mut policy = signing::policy(config)?.unwrap_or_else(|| fresh(config));
    let name = policy.find(&args.name)?.0.to_owned();
    let RevokeArgs { reason, keep_before, .. } = args;
    let revocation = Revocation { at: Timestamp::now(), reason: reason.clone(), keep_before: *keep_before };
    policy.revoke(&name, revocation)?;
    policy.save()?;
    match keep_before {
        Some(before) => println!("`{name}` is revoked; statements from before {before:.0} stay valid"),
        None => println!("`{name}` is revoked; nothing that only it signed is valid any more"),
    }
    println!("commit {FOLDER}/");
    Ok(Exit::Success)
}

fn read(file: &std::path::Path) -> Result<String, CliError> {
    fs::read_to_string(file)
        .map_err(|error| CliError::user(format_args!("cannot read {}: {error}", file.display())))
}

impl From<AlgorithmArg> for Algorithm {
    fn from(algorithm: AlgorithmArg) -> Self {
        match algorithm {
            AlgorithmArg::EcdsaP256 => Self::EcdsaP256,
            AlgorithmArg::Ed25519 => Self::Ed25519,
        }
    }
}
