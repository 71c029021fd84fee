//! DSSE envelopes (<https://github.com/secure-systems-lab/dsse>, protocol v1): what carries a statement and its signatures.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::{KeyId, LineageError, PublicKey};

/// Payload type of an in-toto statement.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// What an envelope takes beside its payload, with some signatures.
const ROOM_BESIDE_PAYLOAD: usize = 1024;

/// A payload with its signatures; without any, an unsigned record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// Standard base64 of the payload.
    payload: String,
    /// What the payload is.
    payload_type: String,
    /// The signatures.
    signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Who says to have signed: a hint, not authenticated.
    pub keyid: String,
    /// Standard base64 of the signature.
    pub sig: String,
}

/// The bytes that are signed: type and payload with their lengths, so that neither can pass for the other.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// An envelope without a signature.
    pub fn unsigned(payload_type: &str, payload: &[u8]) -> Self {
        Self {
            payload: Base64::encode_string(payload),
            payload_type: payload_type.to_owned(),
            signatures: Vec::new(),
        }
    }

    /// Adds a signature over [`pre_authentication_encoding`].
    pub fn add(&mut self, key: &KeyId, signature: &[u8]) {
        self.signatures.push(Signature { keyid: key.to_string(), sig: Base64::encode_string(signature) });
    }

    /// Adds a signature that does not say whose it is.
    pub(super) fn add_unnamed(&mut self, signature: &[u8]) {
        self.signatures.push(Signature { keyid: String::new(), sig: Base64::encode_string(signature) });
    }

    /// Reads an envelope. `what` names it in errors.
    pub fn decode(what: &str, bytes: &[u8]) -> Result<Self, LineageError> {
        let wrong = |reason: String| LineageError::Statement { what: what.to_owned(), reason };
        let envelope: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let sound = Base64::decode_vec(&envelope.payload).is_ok()
            && envelope.signatures.iter().all(|signature| Base64::decode_vec(&signature.sig).is_ok());
        if !sound {
            return Err(wrong("its base64 is not valid".to_owned()));
        }
        Ok(envelope)
    }

    /// The bytes to store.
    pub fn encode(&self) -> Result<Vec<u8>, LineageError> {
        let mut bytes = Vec::with_capacity(self.payload.len() + ROOM_BESIDE_PAYLOAD);
        serde_json::to_writer(&mut bytes, self).map_err(LineageError::encode("an envelope"))?;
        Ok(bytes)
    }

    /// What the payload says it is.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload's bytes.
    pub fn payload(&self) -> Vec<u8> {
        // Decoded once already, in `decode`, or encoded by us.
        Base64::decode_vec(&self.payload).unwrap_or_default()
    }

    /// The signatures as they are, unverified.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// What each signature is to these keys: the id of the key whose signature it is, or none. The key that a signature names
    /// is asked first, then the others, because the name is not authenticated.
    pub fn check<'a>(
        &self,
        keys: impl Iterator<Item = (&'a KeyId, &'a PublicKey)> + Clone,
    ) -> Vec<Option<&'a KeyId>> {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload());
        let owner = |signature: &Signature| {
            let bytes = Base64::decode_vec(&signature.sig).ok()?;
            let named = keys.clone().filter(|(id, _)| id.as_str() == signature.keyid);
            let others = keys.clone().filter(|(id, _)| id.as_str() != signature.keyid);
            named.chain(others).find(|(_, key)| key.verifies(&message, &bytes)).map(|(id, _)| id)
        };
        self.signatures.iter().map(owner).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lineage::{Algorithm, PrivateKey};

    /// The example of the protocol's text.
    #[test]
    fn golden_pre_authentication_encoding() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            String::from_utf8(encoded).unwrap(),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn signatures_belong_to_their_keys_whatever_they_claim() {
        let keys: Vec<_> = [Algorithm::EcdsaP256, Algorithm::Ed25519]
            .map(|algorithm| {
                let key = PrivateKey::generate(algorithm);
                (key.public().id().unwrap(), key)
            })
            .into();
        let mut envelope = Envelope::unsigned(IN_TOTO, b"{}");
        let message = pre_authentication_encoding(IN_TOTO, b"{}");
        envelope.add(&keys[1].0, &keys[0].1.sign(&message));
        envelope.add(&keys[1].0, &keys[1].1.sign(&message));
        envelope.add(&keys[0].0, &keys[0].1.sign(b"{}"));
        let publics: Vec<_> = keys.iter().map(|(id, key)| (id.clone(), key.public())).collect();
        let owners = envelope.check(publics.iter().map(|(id, key)| (id, key)));
        assert_eq!(owners, [Some(&keys[0].0), Some(&keys[1].0), None]);
        let again = Envelope::decode("e", &envelope.encode().unwrap()).unwrap();
        assert_eq!((again.payload(), again.payload_type()), (b"{}".to_vec(), IN_TOTO));
        assert_eq!(again, envelope);
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            "",
            "{}",
            r#"{"payload":"e30","payloadType":"x","signatures":[]}"#,
            r#"{"payload":"e30=","payloadType":"x","signatures":[{"keyid":"","sig":"!"}]}"#,
            r#"{"payload":"e30=","payloadType":"x","signatures":[],"more":1}"#,
        ] {
            assert!(Envelope::decode("e", bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
