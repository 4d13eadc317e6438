//! Signing keys. One verification rule everywhere: Ed25519 by `verify_strict` (RFC 8032 without the cofactor,
//! small-order keys and non-canonical encodings refused).
//!
//! Every key and signature says which algorithm it is for, so that others can follow without a new format.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

#[cfg(any(test, feature = "test-support"))]
pub mod memo;
mod prepared;

pub use prepared::{Judge, PreparedKey};

use crate::digest::{blake3_in, context};
use crate::ids::{ByteString, Bytes, KeyId, base32, from_base32};

/// Algorithm byte of Ed25519, the same number as in C2SP verifier keys.
pub const ED25519: u8 = 0x01;

/// A public key that could verify a signature: well-formed, on the curve, not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Whatever checks signatures of one key.
pub trait Verifier {
    /// The key's id.
    fn id(&self) -> KeyId;

    /// Checks `signature` over `message`.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid>;
}

impl Verifier for PublicKey {
    fn id(&self) -> KeyId {
        Self::id(self)
    }

    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        Self::verify(self, message, signature)
    }
}

/// An Ed25519 signature, not yet checked.
pub type Signature = Bytes<64>;

/// Why something is not a usable public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The algorithm byte is not one that this version knows.
    #[error("key algorithm {0} is not known; 1 (Ed25519) is")]
    Algorithm(u8),
    /// Not 32 bytes.
    #[error("an Ed25519 public key has 32 bytes, not {0}")]
    Length(usize),
    /// Not a point of the curve, or one of small order, for which any signature can be forged.
    #[error("not a usable Ed25519 public key")]
    Weak,
    /// Not the text form of a key.
    #[error("{0:?} is not of the form ed25519:<base32>")]
    Text(String),
}

/// The signature does not belong to the message and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureInvalid;

impl PublicKey {
    /// The key with these 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Weak`].
    pub fn from_ed25519(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        #[cfg(any(test, feature = "test-support"))]
        if let Some(key) = memo::key(bytes) {
            return Ok(Self(key));
        }
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        #[cfg(any(test, feature = "test-support"))]
        memo::usable(bytes, key);
        Ok(Self(key))
    }

    /// The 32 bytes of the key, without its algorithm.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The algorithm byte, then the key.
    pub fn tagged(&self) -> [u8; 33] {
        let mut tagged = [ED25519; 33];
        tagged[1..].copy_from_slice(self.as_bytes());
        tagged
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        KeyId::from_bytes(blake3_in(context::KEY_ID, &[&self.tagged()]))
    }

    /// What an organisation publishes in advance of using this key as a root key.
    pub fn commitment(&self) -> Bytes<32> {
        Bytes(blake3_in(context::NEXT_KEY, &[&self.tagged()]))
    }

    /// Checks `signature` over `message`.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        #[cfg(any(test, feature = "test-support"))]
        let name = memo::name(self.as_bytes(), &signature.0, message);
        #[cfg(any(test, feature = "test-support"))]
        if name.as_ref().is_some_and(memo::is_known) {
            return Ok(());
        }
        let parsed = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &parsed).map_err(|_| SignatureInvalid)?;
        #[cfg(any(test, feature = "test-support"))]
        if let Some(name) = name {
            memo::succeeded(name);
        }
        Ok(())
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = KeyError;

    /// Reads the algorithm byte and the key.
    fn try_from(tagged: &[u8]) -> Result<Self, KeyError> {
        match tagged.split_first() {
            Some((&ED25519, key)) => {
                let key = key.try_into().map_err(|_| KeyError::Length(key.len()))?;
                Self::from_ed25519(key)
            }
            Some((&algorithm, _)) => Err(KeyError::Algorithm(algorithm)),
            None => Err(KeyError::Length(0)),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", base32(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text
            .strip_prefix("ed25519:")
            .and_then(from_base32)
            .ok_or_else(|| KeyError::Text(text.chars().take(80).collect()))?;
        Self::from_ed25519(bytes.as_slice().try_into().map_err(|_| KeyError::Length(bytes.len()))?)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.tagged())
        }
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            let tagged = ByteString::deserialize(deserializer)?;
            Self::try_from(tagged.0.as_slice()).map_err(de::Error::custom)
        }
    }
}

/// Whoever can sign under one key: a key in memory, a keystore, a hardware token.
pub trait Signer: Send + Sync {
    /// The key that verifies what this signs.
    fn public_key(&self) -> PublicKey;

    /// Signs `message`.
    fn sign(&self, message: &[u8]) -> Signature;
}

/// A secret key in memory; erased when dropped.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key that follows from a secret seed. Where the seed's randomness comes from is the caller's affair:
    /// nothing in this crate is random.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for storing it encrypted.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Bytes(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public_key().id())
    }
}
