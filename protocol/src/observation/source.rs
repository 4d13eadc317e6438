//! What was proven about an imported document, and what was not.
//!
//! A document that cannot be verified is not refused: it is imported, and says so here. Time that the document
//! claims and time that somebody else witnessed are separate fields.

use serde::{Deserialize, Serialize};

use crate::ids::{BlobId, Timestamp};

/// How the document's own signature stands, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceSignature {
    /// The format has no signature, or this document carries none.
    Unsigned,
    /// It carries a signature, for which no key or root was given.
    Unverified,
    /// The signature verifies under a key or certificate root that the importer was given.
    Verified,
    /// Verified, and a transparency log or timestamp authority proves when.
    VerifiedAndLogged,
}

/// One check that was made on the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceCheck {
    /// What was checked, in kebab case: `dsse-signature`, `certificate-chain`, `log-inclusion`, `subject-digest` ...
    pub check: String,
    /// Whether it was proven. What could not be checked is `false`, with the reason.
    pub proven: bool,
    /// What was found: the key, the identity, the reason.
    pub detail: String,
}

/// Where an observation that repeats a foreign document comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Format and version, such as `in-toto/slsa-provenance-v1`.
    pub format: String,
    /// BLAKE3 of the document's bytes; the blob that holds them.
    pub document: BlobId,
    /// How its signature stands.
    pub signature: SourceSignature,
    /// Who signed, as proven: a key's fingerprint or a certificate identity with its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// When a third party saw the signature, as proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Timestamp>,
    /// Each check, in the order it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<SourceCheck>,
}
