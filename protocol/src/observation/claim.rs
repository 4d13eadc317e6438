//! The observation's payload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Source, Subject};
use crate::codec::Value;
use crate::ids::{Bytes, StatementId, Timestamp};
use crate::limits::{LABEL_BYTES_MAX, REFS_MAX, SEALED_MAX, SUBJECTS_MAX};

/// A declared quality metric, in parts per million of its natural unit: an AUROC of 0.94 is 940,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Name as the profile's rubric knows it, such as `auroc`.
    pub name: String,
    /// Parts per million.
    pub ppm: i64,
}

/// One claim about one or more subjects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Claim type, a path of lower-case words: `provenance/slsa`, `evaluation/clinical`, `assessment/conformity`.
    pub claim: String,
    /// What the claim is about.
    pub subjects: Vec<Subject>,
    /// When what is claimed was so. Not the time of receipt.
    pub effective: Timestamp,
    /// Until when the claim holds, where the author limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether the finding speaks against the subject.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adverse: bool,
    /// The fields of the claim, which profile predicates read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub content: BTreeMap<String, Value>,
    /// Digests of fields that the author discloses one by one, sorted; see [`super::sealed`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Bytes<32>>,
    /// Declared quality metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Statements that this one was derived from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived_from: Vec<StatementId>,
    /// Artifacts that the subjects were made from, by digest or by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub materials: Vec<Subject>,
    /// The imported document, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// Why an observation's payload is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObservationError {
    /// The claim type is not a path of lower-case words.
    #[error("claim type {0:?} is not a path of lower-case words such as evaluation/clinical")]
    Claim(String),
    /// No subject, or too many.
    #[error("{0} subjects, where 1 to {SUBJECTS_MAX} are allowed")]
    Subjects(usize),
    /// Too many statements or materials that it derives from.
    #[error("{0} sources, where at most {REFS_MAX} statements and {SUBJECTS_MAX} materials are allowed")]
    Sources(usize),
    /// Sealed claims are too many, repeated, or out of order.
    #[error("sealed claims are too many (at most {SEALED_MAX}), repeated, or not in order")]
    Sealed,
    /// It expires before it takes effect.
    #[error("it expires at {expires}, before it takes effect at {effective}")]
    Expiry {
        /// Declared start.
        effective: Timestamp,
        /// Declared end.
        expires: Timestamp,
    },
}

/// Whether `claim` is a path of lower-case words: letters, digits, `-`, `_` and `.`, separated by single slashes.
pub fn is_claim_type(claim: &str) -> bool {
    claim.len() <= LABEL_BYTES_MAX
        && claim.split('/').all(|word| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
        })
}

impl Observation {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`ObservationError`].
    pub fn check(&self) -> Result<(), ObservationError> {
        if !is_claim_type(&self.claim) {
            return Err(ObservationError::Claim(self.claim.chars().take(80).collect()));
        }
        if self.subjects.is_empty() || self.subjects.len() > SUBJECTS_MAX {
            return Err(ObservationError::Subjects(self.subjects.len()));
        }
        if self.derived_from.len() > REFS_MAX || self.materials.len() > SUBJECTS_MAX {
            return Err(ObservationError::Sources(self.derived_from.len() + self.materials.len()));
        }
        let is_sorted = self.sealed.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0));
        if self.sealed.len() > SEALED_MAX || !is_sorted {
            return Err(ObservationError::Sealed);
        }
        match self.expires {
            Some(expires) if expires < self.effective => {
                Err(ObservationError::Expiry { effective: self.effective, expires })
            }
            _ => Ok(()),
        }
    }
}
