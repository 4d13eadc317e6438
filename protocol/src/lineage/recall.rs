//! Recall: withdrawal of an artifact or of evidence, and what each organisation does about it.

use serde::{Deserialize, Serialize};

use crate::ids::{Bytes, StatementId};
use crate::observation::Subject;

/// Withdraws evidence or an artifact, with everything that was made from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// The statement that is withdrawn.
    pub statement: StatementId,
    /// The artifacts that it was about.
    pub subjects: Vec<Subject>,
    /// Why.
    pub reason: String,
}

/// What an organisation did about a recall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecallResponse {
    /// It has received it, and nothing of its own rests on what was recalled.
    Unaffected,
    /// It has received it, and later decisions will take it into account.
    Noted,
}

/// Records that a recall was received, and what it touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The recall statement.
    pub recall: StatementId,
    /// BLAKE3 of the head through which it was proven.
    pub head: Bytes<32>,
    /// Own decisions that rest on what was recalled.
    pub decisions: Vec<StatementId>,
    /// Own permits that rest on what was recalled.
    pub permits: Vec<StatementId>,
    /// What was done.
    pub response: RecallResponse,
}
