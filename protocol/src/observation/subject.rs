//! What a claim is about. A subject known by digest and one known only by name are different things and are
//! never joined with each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{ByteString, StatementId};

/// Digest algorithms by which outside artifacts are known, weakest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestAlgorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// SHA-384, 48 bytes.
    Sha384,
    /// BLAKE3, 32 bytes.
    Blake3,
}

impl DigestAlgorithm {
    /// The length of a digest, in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name used in text, as in-toto writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }
}

/// A digest of an artifact's bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawDigest", into = "RawDigest")]
pub struct ArtifactDigest {
    algorithm: DigestAlgorithm,
    value: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDigest {
    algorithm: DigestAlgorithm,
    value: ByteString,
}

/// A text or value that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The length does not fit the algorithm.
    #[error("a {algorithm} digest has {expected} bytes, not {found}")]
    Length {
        /// Name of the algorithm.
        algorithm: &'static str,
        /// Bytes that its digests have.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not `algorithm:hex`.
    #[error("{0:?} is not a digest of the form sha256:<hex> (or sha384, sha512, blake3)")]
    Text(String),
}

impl ArtifactDigest {
    /// A digest, if its length fits its algorithm.
    ///
    /// # Errors
    /// [`DigestError::Length`].
    pub fn new(algorithm: DigestAlgorithm, value: Vec<u8>) -> Result<Self, DigestError> {
        if value.len() == algorithm.length() {
            Ok(Self { algorithm, value })
        } else {
            Err(DigestError::Length {
                algorithm: algorithm.name(),
                expected: algorithm.length(),
                found: value.len(),
            })
        }
    }

    /// The SHA-256 digest of `bytes`.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        Self { algorithm: DigestAlgorithm::Sha256, value: crate::digest::sha256(&[bytes]).to_vec() }
    }

    /// Which algorithm made it.
    pub const fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The digest's bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

impl TryFrom<RawDigest> for ArtifactDigest {
    type Error = DigestError;

    fn try_from(raw: RawDigest) -> Result<Self, DigestError> {
        Self::new(raw.algorithm, raw.value.0)
    }
}

impl From<ArtifactDigest> for RawDigest {
    fn from(digest: ArtifactDigest) -> Self {
        Self { algorithm: digest.algorithm, value: ByteString(digest.value) }
    }
}

impl fmt::Display for ArtifactDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = data_encoding::HEXLOWER.encode(&self.value);
        write!(f, "{}:{hex}", self.algorithm.name())
    }
}

impl fmt::Debug for ArtifactDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ArtifactDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let refuse = || DigestError::Text(text.chars().take(160).collect());
        let (name, hex) = text.split_once(':').ok_or_else(refuse)?;
        let algorithm = match name {
            "sha256" => DigestAlgorithm::Sha256,
            "sha384" => DigestAlgorithm::Sha384,
            "sha512" => DigestAlgorithm::Sha512,
            "blake3" => DigestAlgorithm::Blake3,
            _ => return Err(refuse()),
        };
        let value = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| refuse())?;
        Self::new(algorithm, value)
    }
}

/// What a claim, request or edge is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// An artifact, known by its bytes.
    Artifact {
        /// The digest that identifies it.
        digest: ArtifactDigest,
        /// What people call it. Never used for matching.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    /// A system, model, dataset or place known only by name.
    Named(String),
    /// A statement of any chain.
    Statement(StatementId),
}

/// The part of a subject that decides whether two subjects are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKey {
    /// Same bytes.
    Digest(ArtifactDigest),
    /// Same name.
    Name(String),
    /// Same statement.
    Statement(StatementId),
}

impl Subject {
    /// An artifact without a label.
    pub const fn artifact(digest: ArtifactDigest) -> Self {
        Self::Artifact { digest, label: None }
    }

    /// What it is matched by.
    pub fn key(&self) -> SubjectKey {
        match self {
            Self::Artifact { digest, .. } => SubjectKey::Digest(digest.clone()),
            Self::Named(name) => SubjectKey::Name(name.clone()),
            Self::Statement(id) => SubjectKey::Statement(*id),
        }
    }
}

impl From<SubjectKey> for Subject {
    fn from(key: SubjectKey) -> Self {
        match key {
            SubjectKey::Digest(digest) => Self::artifact(digest),
            SubjectKey::Name(name) => Self::Named(name),
            SubjectKey::Statement(id) => Self::Statement(id),
        }
    }
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Name(name) => write!(f, "name:{name}"),
            Self::Statement(id) => id.fmt(f),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact { label: Some(label), digest } => write!(f, "{label} ({digest})"),
            other => other.key().fmt(f),
        }
    }
}

impl FromStr for Subject {
    type Err = DigestError;

    /// `sha256:<hex>` and its kin name artifacts, `stmt:<base32>` statements; anything else is a name.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Statement(id));
        }
        let algorithms = ["sha256:", "sha384:", "sha512:", "blake3:"];
        if algorithms.iter().any(|prefix| text.starts_with(prefix)) {
            return text.parse().map(Self::artifact);
        }
        Ok(Self::Named(text.strip_prefix("name:").unwrap_or(text).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_take_part_in_matching() {
        let digest = ArtifactDigest::sha256_of(b"model");
        let labelled = Subject::Artifact { digest: digest.clone(), label: Some("model.onnx".into()) };
        assert_eq!(labelled.key(), Subject::artifact(digest.clone()).key());
        assert_ne!(labelled.key(), Subject::Named(digest.to_string()).key());
    }

    #[test]
    fn text_forms_are_read_back() {
        for text in ["name:radiology-triage", &ArtifactDigest::sha256_of(b"x").to_string()] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        assert!("sha256:abcd".parse::<Subject>().is_err());
    }
}
