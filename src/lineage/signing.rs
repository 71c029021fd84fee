//! Signing with all the keys that can be used here.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64ct::{Base64, Encoding};

use super::{
    Envelope, KeyId, Keyring, LineageError, PrivateKey, PublicKey, SigningCommand, StoredKey, TrustPolicy,
    pre_authentication_encoding,
};

/// The keys that sign in this process, or why none does.
#[derive(Debug, Clone)]
pub struct Signing {
    signers: Vec<Signer>,
    unsigned: String,
}

#[derive(Debug, Clone)]
struct Signer {
    name: String,
    id: KeyId,
    means: Means,
}

#[derive(Debug, Clone)]
enum Means {
    Key(PrivateKey),
    Command(Vec<String>, PublicKey),
}

impl Default for Signing {
    fn default() -> Self {
        Self::off("signing is not set up")
    }
}

impl Signing {
    /// Nothing is signed, for this reason.
    pub fn off(reason: &str) -> Self {
        Self { signers: Vec::new(), unsigned: reason.to_owned() }
    }

    /// A single key.
    pub fn with_key(name: &str, key: PrivateKey) -> Result<Self, LineageError> {
        let id = key.public().id()?;
        let signer = Signer { name: name.to_owned(), id, means: Means::Key(key) };
        Ok(Self { signers: vec![signer], unsigned: String::new() })
    }

    /// Every key of the policy that is not revoked and whose private part is in the keyring. `passphrase` is asked for a locked
    /// key by its name, and may decline.
    pub fn open(
        policy: Option<&TrustPolicy>,
        keyring: Result<&Keyring, &LineageError>,
        passphrase: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<Self, LineageError> {
        let Some(policy) = policy else {
            return Ok(Self::off("this project has no trust policy; `stagewright key new` makes one"));
        };
        let mut signing = Self::off("no private key of the trust policy is on this machine");
        match keyring {
            Err(error) => signing.unsigned = error.to_string(),
            Ok(keyring) => {
                for (name, key) in policy.keys().iter().filter(|(_, key)| key.revoked.is_none()) {
                    let Some(stored) = keyring.find(&key.id)? else { continue };
                    let means = match stored {
                        StoredKey::Command(SigningCommand { command, .. }) => {
                            Means::Command(command, key.public.clone())
                        }
                        StoredKey::File { .. } if stored.is_locked() => {
                            let Some(passphrase) = passphrase(name) else {
                                signing.unsigned = format!(
                                    "the key `{name}` is locked, and there is no passphrase \
                                     (STAGEWRIGHT_KEY_PASSPHRASE, or a terminal to ask on)"
                                );
                                continue;
                            };
                            Means::Key(read(&stored, Some(&passphrase))?)
                        }
                        StoredKey::File { .. } => Means::Key(read(&stored, None)?),
                    };
                    signing.signers.push(Signer { name: name.clone(), id: key.id.clone(), means });
                }
            }
        }
        if signing.signers.is_empty() && policy.require_signature {
            return Err(LineageError::SignatureRequired { reason: signing.unsigned });
        }
        Ok(signing)
    }

    /// Only the key of this name or id.
    pub fn only(mut self, name: &str) -> Result<Self, LineageError> {
        let known: Vec<String> = self.signers.iter().map(|signer| signer.name.clone()).collect();
        self.signers.retain(|signer| {
            signer.name == name || (name.len() >= 8 && signer.id.as_str().starts_with(name))
        });
        if self.signers.len() == 1 {
            Ok(self)
        } else {
            Err(LineageError::NoKey { name: name.to_owned(), known })
        }
    }

    /// Names of the keys that sign.
    pub fn names(&self) -> Vec<&str> {
        self.signers.iter().map(|signer| signer.name.as_str()).collect()
    }

    /// Ids of the keys that sign.
    pub fn ids(&self) -> Vec<KeyId> {
        self.signers.iter().map(|signer| signer.id.clone()).collect()
    }

    /// Why nothing is signed, where nothing is.
    pub fn unsigned(&self) -> Option<&str> {
        self.signers.is_empty().then_some(self.unsigned.as_str())
    }

    /// Puts a payload into an envelope and signs it with every key.
    pub fn seal(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, LineageError> {
        let mut envelope = Envelope::unsigned(payload_type, payload);
        let message = pre_authentication_encoding(payload_type, payload);
        for signer in &self.signers {
            envelope.add(&signer.id, &signer.means.sign(&message)?);
        }
        Ok(envelope)
    }

    /// As [`Signing::seal`], with one ECDSA P-256 key alone: the one of this name or id, or the first one. The signature does not name
    /// its key; the public part comes along.
    pub fn seal_with_p256(
        &self,
        name: Option<&str>,
        payload_type: &str,
        payload: &[u8],
    ) -> Result<(Envelope, PublicKey), LineageError> {
        let named = name.map(|name| self.clone().only(name)).transpose()?;
        let mut signers = named.as_ref().unwrap_or(self).signers.iter();
        let fits = |signer: &&Signer| matches!(signer.means.public(), PublicKey::P256(_));
        let signer = signers.find(fits).ok_or_else(|| LineageError::NoP256 {
            reason: match (self.unsigned(), name) {
                (Some(reason), _) => reason.to_owned(),
                (None, Some(name)) => format!("`{name}` is an Ed25519 key"),
                (None, None) => "all keys that can sign here are Ed25519 keys".to_owned(),
            },
        })?;
        let message = pre_authentication_encoding(payload_type, payload);
        let mut envelope = Envelope::unsigned(payload_type, payload);
        envelope.add_unnamed(&signer.means.sign(&message)?);
        Ok((envelope, signer.means.public()))
    }
}

impl Means {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, LineageError> {
        match self {
            Self::Key(key) => Ok(key.sign(message)),
            Self::Command(command, public) => ask(command, public, message),
        }
    }

    fn public(&self) -> PublicKey {
        match self {
            Self::Key(key) => key.public(),
            Self::Command(_, public) => public.clone(),
        }
    }
}

fn read(stored: &StoredKey, passphrase: Option<&str>) -> Result<PrivateKey, LineageError> {
    match stored {
        StoredKey::File { path, text } => {
            PrivateKey::from_text(&path.display().to_string(), text.expose(), passphrase)
        }
        StoredKey::Command(command) => {
            Err(LineageError::Key { what: command.command.join(" "), reason: "it is a command".to_owned() })
        }
    }
}

/// Has a command sign, and checks its answer: a wrong signature would only be found when it is too late.
fn ask(command: &[String], public: &PublicKey, message: &[u8]) -> Result<Vec<u8>, LineageError> {
    let failed = |reason: String| LineageError::Command { command: command.join(" "), reason };
    let (program, arguments) = command.split_first().ok_or_else(|| failed("is empty".to_owned()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("can't be started: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read all of it fails by its answer.
        let _ = stdin.write_all(message);
    }
    let done = child.wait_with_output().map_err(|error| failed(format!("failed: {error}")))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let last = said.trim().lines().last().unwrap_or("it said nothing").to_owned();
        return Err(failed(format!("failed ({}): {last}", done.status)));
    }
    let text = std::str::from_utf8(&done.stdout).ok();
    let decoded = text.and_then(|text| {
        let text: String = text.split_whitespace().collect();
        Base64::decode_vec(&text).ok()
    });
    for answer in [decoded.as_deref(), Some(&done.stdout[..])].into_iter().flatten() {
        for signature in [Some(answer.to_vec()), to_der(public, answer)].into_iter().flatten() {
            if public.verifies(message, &signature) {
                return Ok(signature);
            }
        }
    }
    Err(failed(format!(
        "answered {} bytes that are no signature of the key {} over what it was given",
        done.stdout.len(),
        public.id()?.short()
    )))
}

/// Tokens and some clouds give an ECDSA signature as two numbers of 32 bytes.
fn to_der(public: &PublicKey, answer: &[u8]) -> Option<Vec<u8>> {
    match public {
        PublicKey::P256(_) => {
            let signature = p256::ecdsa::Signature::from_slice(answer).ok()?;
            Some(signature.to_der().as_bytes().to_vec())
        }
        PublicKey::Ed25519(_) => None,
    }
}
