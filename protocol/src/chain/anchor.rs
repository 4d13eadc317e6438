//! Anchors: the coarse cross-reference. A chain embeds the latest cosigned heads of others, so that none of them can be
//! rewritten without this one.

use serde::{Deserialize, Serialize};

use crate::ids::{ByteString, HeadHash, OrganisationId, TreeSize};
use crate::limits::{MEMBERS_MAX, NOTE_BYTES_MAX};

/// One anchored head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchoredHead {
    /// Whose head it is.
    pub organisation: OrganisationId,
    /// BLAKE3 of the head.
    pub head: HeadHash,
    /// Size of the chain under it.
    pub size: TreeSize,
    /// Its signed checkpoint, with the cosignatures known.
    pub checkpoint: ByteString,
}

/// The latest heads of other organisations, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The heads.
    pub heads: Vec<AnchoredHead>,
}

/// Why an anchor is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// No heads, or too many.
    #[error("{0} heads, where 1 to {MEMBERS_MAX} are allowed")]
    Heads(usize),
    /// Repeated or out of order.
    #[error("heads are repeated or out of order")]
    Order,
    /// A checkpoint is too long.
    #[error("a checkpoint has at most {NOTE_BYTES_MAX} bytes")]
    Checkpoint,
}

impl Anchor {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub fn check(&self) -> Result<(), AnchorError> {
        if self.heads.is_empty() || self.heads.len() > MEMBERS_MAX {
            return Err(AnchorError::Heads(self.heads.len()));
        }
        if !self.heads.is_sorted_by(|a, b| a.organisation < b.organisation) {
            return Err(AnchorError::Order);
        }
        if self.heads.iter().any(|head| head.checkpoint.0.len() > NOTE_BYTES_MAX) {
            return Err(AnchorError::Checkpoint);
        }
        Ok(())
    }
}
