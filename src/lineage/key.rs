//! Signing keys: ECDSA over P-256 with SHA-256, and Ed25519; from and to PEM and OpenSSH files.

use std::{fmt, str::FromStr};

use p256::elliptic_curve::rand_core::OsRng;
use pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, EncryptedPrivateKeyInfo,
    LineEnding, SecretDocument,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ssh_key::{private::KeypairData, public::KeyData};

use super::LineageError;
use crate::digest::Digest;

/// What a key signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// ECDSA over the curve P-256 with SHA-256; what OpenSSF Model Signing asks for.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Ed25519 => "ed25519",
        })
    }
}

/// Identity of a public key: the SHA-256 of its DER SubjectPublicKeyInfo, in 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// First 12 hex digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// All hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let canonical = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() != 64 || !canonical {
            return Err(format!("`{text}` is not a key id: 64 lower-case hex digits are wanted"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// ECDSA P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// Ed25519.
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Reads a PEM SubjectPublicKeyInfo, or a line as in an OpenSSH `.pub` file. `what` names the text in errors.
    pub fn from_text(what: &str, text: &str) -> Result<Self, LineageError> {
        let wrong = |reason: String| LineageError::Key { what: what.to_owned(), reason };
        if text.trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
            return p256::ecdsa::VerifyingKey::from_public_key_pem(text.trim())
                .map(Self::P256)
                .or_else(|_| ed25519_dalek::VerifyingKey::from_public_key_pem(text.trim()).map(Self::Ed25519))
                .map_err(|_| {
                    wrong("its PEM holds neither an ECDSA P-256 nor an Ed25519 public key".to_owned())
                });
        }
        let key = ssh_key::PublicKey::from_openssh(text.trim())
            .map_err(|_| wrong("a PEM `PUBLIC KEY` or an OpenSSH public key line is wanted".to_owned()))?;
        match key.key_data() {
            KeyData::Ed25519(key) => ed25519_dalek::VerifyingKey::from_bytes(&key.0)
                .map(Self::Ed25519)
                .map_err(|error| wrong(error.to_string())),
            KeyData::Ecdsa(key) => p256::ecdsa::VerifyingKey::from_sec1_bytes(key.as_sec1_bytes())
                .map(Self::P256)
                .map_err(|_| wrong("of the ECDSA curves, only P-256 is used".to_owned())),
            other => {
                Err(wrong(format!("{} is not used: ECDSA P-256 or Ed25519 is wanted", other.algorithm())))
            }
        }
    }

    /// PEM SubjectPublicKeyInfo.
    pub fn to_pem(&self) -> Result<String, LineageError> {
        let text = match self {
            Self::P256(key) => key.to_public_key_pem(LineEnding::LF),
            Self::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
        };
        text.map_err(|error| LineageError::Encode { what: "a public key", reason: error.to_string() })
    }

    /// Its identity.
    pub fn id(&self) -> Result<KeyId, LineageError> {
        let der = match self {
            Self::P256(key) => key.to_public_key_der(),
            Self::Ed25519(key) => key.to_public_key_der(),
        };
        let der =
            der.map_err(|error| LineageError::Encode { what: "a public key", reason: error.to_string() })?;
        Ok(KeyId(Digest::of(der.as_bytes()).hex()))
    }

    /// What it verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::EcdsaP256,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// True when `signature` (DER for ECDSA, 64 bytes for Ed25519) is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        use p256::ecdsa::signature::Verifier;
        match self {
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                // The strict form refuses keys and signatures that more than one message could fit.
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

/// A key that signs. Its secret is wiped from memory when it is dropped, and its `Debug` does not show it.
#[derive(Clone)]
pub enum PrivateKey {
    /// ECDSA P-256.
    P256(p256::ecdsa::SigningKey),
    /// Ed25519.
    Ed25519(ed25519_dalek::SigningKey),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrivateKey({})", self.public().algorithm())
    }
}

impl PrivateKey {
    /// A fresh key from the system's randomness.
    pub fn generate(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::EcdsaP256 => Self::P256(p256::ecdsa::SigningKey::random(&mut OsRng)),
            Algorithm::Ed25519 => Self::Ed25519(ed25519_dalek::SigningKey::generate(&mut OsRng)),
        }
    }

    /// True for a file that wants a passphrase.
    pub fn is_locked(text: &str) -> bool {
        text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || ssh_key::PrivateKey::from_openssh(text.trim()).is_ok_and(|key| key.is_encrypted())
    }

    /// Reads PKCS#8 PEM, plain or encrypted, or an OpenSSH private key. `what` names the text in errors.
    pub fn from_text(what: &str, text: &str, passphrase: Option<&str>) -> Result<Self, LineageError> {
        let text = text.trim();
        let locked = |reason: &str| LineageError::Locked { what: what.to_owned(), reason: reason.to_owned() };
        let wrong = |reason: String| LineageError::Key { what: what.to_owned(), reason };
        if Self::is_locked(text) && passphrase.is_none() {
            return Err(locked("it wants a passphrase"));
        }
        let passphrase = passphrase.unwrap_or_default();
        if text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            // Unlocked once, because that is slow on purpose.
            let (_, locked_key) = SecretDocument::from_pem(text).map_err(|error| wrong(error.to_string()))?;
            let info = EncryptedPrivateKeyInfo::try_from(locked_key.as_bytes())
                .map_err(|error| wrong(error.to_string()))?;
            let key = info.decrypt(passphrase).map_err(|_| locked("the passphrase is wrong"))?;
            return p256::ecdsa::SigningKey::from_pkcs8_der(key.as_bytes())
                .map(Self::P256)
                .or_else(|_| ed25519_dalek::SigningKey::from_pkcs8_der(key.as_bytes()).map(Self::Ed25519))
                .map_err(|_| wrong("its PKCS#8 holds neither an ECDSA P-256 nor an Ed25519 key".to_owned()));
        }
        if text.starts_with("-----BEGIN PRIVATE KEY-----") {
            return p256::ecdsa::SigningKey::from_pkcs8_pem(text)
                .map(Self::P256)
                .or_else(|_| ed25519_dalek::SigningKey::from_pkcs8_pem(text).map(Self::Ed25519))
                .map_err(|_| wrong("its PKCS#8 holds neither an ECDSA P-256 nor an Ed25519 key".to_owned()));
        }
        let mut key = ssh_key::PrivateKey::from_openssh(text).map_err(|_| {
            wrong("a PKCS#8 PEM (`BEGIN PRIVATE KEY`) or an OpenSSH private key is wanted".to_owned())
        })?;
        if key.is_encrypted() {
            key = key.decrypt(passphrase).map_err(|_| locked("the passphrase is wrong"))?;
        }
        match key.key_data() {
            KeypairData::Ed25519(pair) => {
                Ok(Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&pair.private.to_bytes())))
            }
            KeypairData::Ecdsa(pair) => p256::ecdsa::SigningKey::from_slice(pair.private_key_bytes())
                .map(Self::P256)
                .map_err(|_| wrong("of the ECDSA curves, only P-256 is used".to_owned())),
            _ => Err(wrong(format!("{} is not used: ECDSA P-256 or Ed25519 is wanted", key.algorithm()))),
        }
    }

    /// PKCS#8 PEM, encrypted (scrypt, AES-256-CBC) where a passphrase is given.
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<String, LineageError> {
        let text = match (self, passphrase) {
            (Self::P256(key), None) => key.to_pkcs8_pem(LineEnding::LF),
            (Self::Ed25519(key), None) => key.to_pkcs8_pem(LineEnding::LF),
            (Self::P256(key), Some(pass)) => key.to_pkcs8_encrypted_pem(OsRng, pass, LineEnding::LF),
            (Self::Ed25519(key), Some(pass)) => key.to_pkcs8_encrypted_pem(OsRng, pass, LineEnding::LF),
        };
        text.map(|text| text.to_string())
            .map_err(|error| LineageError::Encode { what: "a private key", reason: error.to_string() })
    }

    /// The key that verifies.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::P256(key) => PublicKey::P256(*key.verifying_key()),
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key()),
        }
    }

    /// Signs; ECDSA with the deterministic nonce of RFC 6979, so equal statements have equal envelopes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        use p256::ecdsa::signature::Signer;
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BOTH: [Algorithm; 2] = [Algorithm::EcdsaP256, Algorithm::Ed25519];

    #[test]
    fn keys_survive_their_files_with_and_without_a_passphrase() {
        for algorithm in BOTH {
            let key = PrivateKey::generate(algorithm);
            let id = key.public().id().unwrap();
            let plain = key.to_pem(None).unwrap();
            assert!(!PrivateKey::is_locked(&plain));
            assert_eq!(PrivateKey::from_text("k", &plain, None).unwrap().public().id().unwrap(), id);
            let public = key.public().to_pem().unwrap();
            assert_eq!(PublicKey::from_text("k", &public).unwrap(), key.public());
            let locked = key.to_pem(Some("open sesame")).unwrap();
            assert!(PrivateKey::is_locked(&locked));
            let again = PrivateKey::from_text("k", &locked, Some("open sesame")).unwrap();
            assert_eq!(again.public(), key.public());
            for passphrase in [None, Some("open")] {
                let error = PrivateKey::from_text("k", &locked, passphrase).unwrap_err();
                assert!(matches!(error, LineageError::Locked { .. }), "{error}");
            }
        }
    }

    #[test]
    fn only_the_signer_over_the_same_bytes_verifies() {
        for algorithm in BOTH {
            let (key, other) = (PrivateKey::generate(algorithm), PrivateKey::generate(algorithm));
            let signature = key.sign(b"message");
            assert!(key.public().verifies(b"message", &signature));
            assert_eq!(signature, key.sign(b"message"), "signing is deterministic");
            assert!(!key.public().verifies(b"massage", &signature));
            assert!(!other.public().verifies(b"message", &signature));
            for bit in 0..signature.len() * 8 {
                let mut flipped = signature.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!key.public().verifies(b"message", &flipped), "{algorithm} bit {bit}");
            }
        }
    }

    #[test]
    fn openssh_files_are_read() {
        // Made by `ssh-keygen -t ed25519` and `ssh-keygen -t ecdsa`; keys of nobody.
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lineage");
        for (name, passphrase) in [("ed25519", None), ("ecdsa", None), ("ed25519-locked", Some("sesame"))] {
            let read = |suffix: &str| std::fs::read_to_string(format!("{folder}/{name}{suffix}")).unwrap();
            let key = PrivateKey::from_text(name, &read(""), passphrase).unwrap();
            assert_eq!(PublicKey::from_text(name, &read(".pub")).unwrap(), key.public());
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_is_wanted() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        insta::assert_snapshot!(PublicKey::from_text("k.pem", pem).unwrap_err(),
            @"k.pem is not a usable key: its PEM holds neither an ECDSA P-256 nor an Ed25519 public key");
        insta::assert_snapshot!(PublicKey::from_text("k.pem", "hello").unwrap_err(),
            @"k.pem is not a usable key: a PEM `PUBLIC KEY` or an OpenSSH public key line is wanted");
        insta::assert_snapshot!(PrivateKey::from_text("k", "hello", None).unwrap_err(),
            @"k is not a usable key: a PKCS#8 PEM (`BEGIN PRIVATE KEY`) or an OpenSSH private key is wanted");
    }
}
