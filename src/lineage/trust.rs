//! Whose signatures a project trusts: files that are committed and reviewed like code.
//!
//! ```text
//! trust/policy.toml       which keys count, since when, until when
//! trust/keys/<name>.pem   a public key, PEM SubjectPublicKeyInfo
//! ```
//!
//! Nothing here is secret. The policy names each key's id, so a key file that was exchanged is an error and not another key.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Envelope, KeyId, LineageError, PublicKey};

/// Name of the folder in a project.
pub const FOLDER: &str = "trust";

const FORMAT: &str = "stagewright/trust@1";

const HEADER: &str = "\
# Whose signatures on lineage statements this project trusts. `stagewright key` changes it; review it like code.
";

/// The trust policy, resolved.
#[derive(Debug, Clone)]
pub struct TrustPolicy {
    folder: PathBuf,
    /// Signatures by different trusted keys that a statement needs, at least 1.
    pub threshold: u32,
    /// A run in which nothing can be signed is refused, instead of being recorded as unsigned.
    pub require_signature: bool,
    keys: BTreeMap<String, TrustedKey>,
}

/// A key of the policy.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// Identity.
    pub id: KeyId,
    /// The key.
    pub public: PublicKey,
    /// When it was added.
    pub added: Timestamp,
    /// Set once it does not sign any more.
    pub revoked: Option<Revocation>,
}

/// Why and since when a key does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Revocation {
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Statements that say to be older stay valid: right for a key that was replaced, wrong for one that leaked, because its
    /// thief can write any date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_before: Option<Timestamp>,
}

/// What one signature is worth under a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// By the trusted key of this name.
    Trusted(String),
    /// By a revoked key.
    Revoked {
        /// Name of the key.
        name: String,
        /// Why it was revoked.
        reason: String,
    },
    /// By a key that the policy does not have.
    Unknown(String),
    /// It names a key of the policy, whose signature it is not.
    Wrong(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct PolicyFile {
    format: String,
    #[serde(default = "one")]
    threshold: u32,
    #[serde(default)]
    require_signature: bool,
    #[serde(default)]
    keys: BTreeMap<String, KeyFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct KeyFile {
    id: KeyId,
    added: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Revocation>,
}

fn one() -> u32 {
    1
}

impl TrustPolicy {
    /// A policy without keys, not yet written.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), threshold: 1, require_signature: false, keys: BTreeMap::new() }
    }

    /// Reads the policy in a folder; none where there is none.
    pub fn load(folder: &Path) -> Result<Option<Self>, LineageError> {
        let path = folder.join("policy.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LineageError::io("read", &path)(error)),
        };
        let key = |path: &Path| fs::read_to_string(path).map_err(LineageError::io("read", path));
        Self::decode(folder, &text, &key).map(Some)
    }

    /// Reads the policy in a text. `key` gives the text of a key's file, by its path below `folder`.
    pub(super) fn decode(
        folder: &Path,
        text: &str,
        key: &dyn Fn(&Path) -> Result<String, LineageError>,
    ) -> Result<Self, LineageError> {
        let path = folder.join("policy.toml");
        let wrong = |reason: String| LineageError::Policy { path: path.clone(), reason };
        let file: PolicyFile =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        if file.format != FORMAT {
            return Err(wrong(format!("its format is `{}`; this release reads `{FORMAT}`", file.format)));
        }
        if file.threshold == 0 {
            return Err(wrong("`threshold` must be at least 1".to_owned()));
        }
        let mut policy = Self {
            threshold: file.threshold,
            require_signature: file.require_signature,
            ..Self::new(folder)
        };
        for (name, KeyFile { id, added, revoked }) in file.keys {
            check_name(&name).map_err(|reason| wrong(format!("keys.{name}: {reason}")))?;
            let path = policy.key_path(&name);
            let public = PublicKey::from_text(&path.display().to_string(), &key(&path)?)?;
            let found = public.id()?;
            if found != id {
                return Err(wrong(format!("keys.{name}: {} has the id {found}, not {id}", path.display())));
            }
            policy.keys.insert(name, TrustedKey { id, public, added, revoked });
        }
        Ok(policy)
    }

    /// Writes the policy and its keys.
    pub fn save(&self) -> Result<(), LineageError> {
        let folder = self.folder.join("keys");
        fs::create_dir_all(&folder).map_err(LineageError::io("create", &folder))?;
        let (policy, keys) = self.texts()?;
        for (name, pem) in keys {
            write(&self.key_path(&name), &pem)?;
        }
        write(&self.folder.join("policy.toml"), &policy)
    }

    /// The text of the policy's file, and of each key's by its name.
    pub(super) fn texts(&self) -> Result<(String, BTreeMap<String, String>), LineageError> {
        let mut texts = BTreeMap::new();
        let mut keys = BTreeMap::new();
        for (name, key) in &self.keys {
            texts.insert(name.clone(), key.public.to_pem()?);
            let file = KeyFile { id: key.id.clone(), added: key.added, revoked: key.revoked.clone() };
            keys.insert(name.clone(), file);
        }
        let file = PolicyFile {
            format: FORMAT.to_owned(),
            threshold: self.threshold,
            require_signature: self.require_signature,
            keys,
        };
        let text = toml::to_string(&file)
            .map_err(|error| LineageError::Encode { what: "the trust policy", reason: error.to_string() })?;
        Ok((format!("{HEADER}{text}"), texts))
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.folder.join("keys").join(format!("{name}.pem"))
    }

    /// The keys by name.
    pub fn keys(&self) -> &BTreeMap<String, TrustedKey> {
        &self.keys
    }

    /// The key with this name, id or beginning of an id (8 digits or more).
    pub fn find(&self, name: &str) -> Result<(&str, &TrustedKey), LineageError> {
        if let Some((name, key)) = self.keys.get_key_value(name) {
            return Ok((name, key));
        }
        let mut matching =
            self.keys.iter().filter(|(_, key)| name.len() >= 8 && key.id.as_str().starts_with(name));
        match (matching.next(), matching.next()) {
            (Some((name, key)), None) => Ok((name, key)),
            _ => {
                Err(LineageError::NoKey { name: name.to_owned(), known: self.keys.keys().cloned().collect() })
            }
        }
    }

    /// Name of the key with this id.
    pub fn name_of(&self, id: &str) -> Option<&str> {
        self.keys.iter().find(|(_, key)| key.id.as_str() == id).map(|(name, _)| name.as_str())
    }

    /// Trusts a key from now on.
    pub fn trust(&mut self, name: &str, public: PublicKey, now: Timestamp) -> Result<KeyId, LineageError> {
        check_name(name)
            .map_err(|reason| LineageError::Key { what: format!("`{name}`"), reason: reason.to_owned() })?;
        if self.keys.contains_key(name) {
            return Err(LineageError::KeyExists { name: name.to_owned() });
        }
        let id = public.id()?;
        if let Some(other) = self.name_of(id.as_str()) {
            return Err(LineageError::KeyExists { name: other.to_owned() });
        }
        self.keys.insert(name.to_owned(), TrustedKey { id: id.clone(), public, added: now, revoked: None });
        Ok(id)
    }

    /// Takes trust from a key.
    pub fn revoke(&mut self, name: &str, revocation: Revocation) -> Result<(), LineageError> {
        let name = self.find(name)?.0.to_owned();
        if let Some(key) = self.keys.get_mut(&name) {
            key.revoked = Some(revocation);
        }
        Ok(())
    }

    /// What each signature of an envelope is worth, for a statement that says to have been made at `made`.
    pub fn judge(&self, envelope: &Envelope, made: Option<Timestamp>) -> Vec<Standing> {
        let owners = envelope.check(self.keys.values().map(|key| (&key.id, &key.public)));
        let signatures = envelope.signatures().iter().zip(owners);
        signatures
            .map(|(signature, owner)| {
                let owner = owner.and_then(|id| self.keys.iter().find(|(_, key)| key.id == *id));
                let Some((name, key)) = owner else {
                    return match self.name_of(&signature.keyid) {
                        Some(name) => Standing::Wrong(name.to_owned()),
                        None => Standing::Unknown(signature.keyid.clone()),
                    };
                };
                match &key.revoked {
                    Some(Revocation { reason, keep_before, .. })
                        if keep_before.zip(made).is_none_or(|(before, made)| made >= before) =>
                    {
                        Standing::Revoked { name: name.clone(), reason: reason.clone() }
                    }
                    _ => Standing::Trusted(name.clone()),
                }
            })
            .collect()
    }
}

/// Names are file names and are typed on the command line.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    let sound = !name.is_empty() && name.len() <= 64 && name.chars().all(usual) && !name.starts_with('.');
    if sound {
        Ok(())
    } else {
        Err("a name has 1 to 64 letters, digits or any of `-_.@+`, and does not begin with a point")
    }
}

fn write(path: &Path, text: &str) -> Result<(), LineageError> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(LineageError::io("create a file in", folder))?;
    file.write_all(text.as_bytes()).map_err(LineageError::io("write", path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(LineageError::io("write", path))?;
    file.persist(path).map_err(|error| LineageError::io("write", path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lineage::{Algorithm, PrivateKey, pre_authentication_encoding};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_policy_survives_its_files_and_an_exchanged_key_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert!(TrustPolicy::load(folder.path()).unwrap().is_none());
        let mut policy = TrustPolicy::new(folder.path());
        let keys = [Algorithm::EcdsaP256, Algorithm::Ed25519].map(PrivateKey::generate);
        let now = at("2026-01-01T00:00:00Z");
        policy.trust("a", keys[0].public(), now).unwrap();
        policy.trust("b", keys[1].public(), now).unwrap();
        assert!(matches!(policy.trust("a", keys[1].public(), now), Err(LineageError::KeyExists { .. })));
        assert!(matches!(policy.trust("c", keys[1].public(), now), Err(LineageError::KeyExists { .. })));
        assert!(policy.trust("../c", keys[1].public(), now).is_err());
        let revocation = Revocation { at: now, reason: "left".to_owned(), keep_before: None };
        policy.revoke("b", revocation.clone()).unwrap();
        policy.save().unwrap();
        let again = TrustPolicy::load(folder.path()).unwrap().unwrap();
        assert_eq!(again.keys()["a"].public, keys[0].public());
        assert_eq!(again.keys()["b"].revoked.as_ref(), Some(&revocation));
        let id = keys[0].public().id().unwrap();
        assert_eq!(again.find(&id.as_str()[..8]).unwrap().0, "a");
        fs::copy(folder.path().join("keys/b.pem"), folder.path().join("keys/a.pem")).unwrap();
        let error = TrustPolicy::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("keys.a: ") && error.contains("has the id"), "{error}");
    }

    #[test]
    fn signatures_are_judged_by_key_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut policy = TrustPolicy::new(folder.path());
        let [old, leaked, stranger] = [(); 3].map(|()| PrivateKey::generate(Algorithm::Ed25519));
        let changed = at("2026-06-01T00:00:00Z");
        for (name, key, keep_before) in [("old", &old, Some(changed)), ("leaked", &leaked, None)] {
            policy.trust(name, key.public(), at("2026-01-01T00:00:00Z")).unwrap();
            policy.revoke(name, Revocation { at: changed, reason: "r".to_owned(), keep_before }).unwrap();
        }
        let judge = |key: &PrivateKey, named: &PrivateKey, made: &str| {
            let mut envelope = Envelope::unsigned("t", b"x");
            let message = pre_authentication_encoding("t", b"x");
            envelope.add(&named.public().id().unwrap(), &key.sign(&message));
            policy.judge(&envelope, made.parse().ok()).remove(0)
        };
        let revoked = |name: &str| Standing::Revoked { name: name.to_owned(), reason: "r".to_owned() };
        assert_eq!(judge(&old, &old, "2026-05-31T00:00:00Z"), Standing::Trusted("old".to_owned()));
        assert_eq!(judge(&old, &old, "2026-06-01T00:00:00Z"), revoked("old"));
        assert_eq!(judge(&old, &old, ""), revoked("old"));
        assert_eq!(judge(&leaked, &leaked, "2026-02-01T00:00:00Z"), revoked("leaked"));
        assert!(matches!(judge(&stranger, &stranger, ""), Standing::Unknown(_)));
        assert_eq!(judge(&stranger, &old, ""), Standing::Wrong("old".to_owned()));
    }

    #[test]
    fn a_wrong_policy_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let load = |text: &str| {
            fs::write(folder.path().join("policy.toml"), text).unwrap();
            let error = TrustPolicy::load(folder.path()).unwrap_err().to_string();
            error.replace(&*folder.path().to_string_lossy(), "<trust>")
        };
        insta::assert_snapshot!(load("format = 'stagewright/trust@1'\ntreshold = 2\n"), @r"
        <trust>/policy.toml is not a valid trust policy:
        TOML parse error at line 2, column 1
          |
        2 | treshold = 2
          | ^^^^^^^^
        unknown field `treshold`, expected one of `format`, `threshold`, `require-signature`, `keys`
        ");
        insta::assert_snapshot!(load("format = 'stagewright/trust@2'\n"), @r"
        <trust>/policy.toml is not a valid trust policy:
        its format is `stagewright/trust@2`; this release reads `stagewright/trust@1`
        ");
    }
}
