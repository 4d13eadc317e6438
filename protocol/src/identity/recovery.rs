//! Recovery: what the organisation says when it lost track of the heads that it had signed, and nobody has more.
//!
//! A node whose head lock is lost cannot know whether it signed later heads than its data has. A second one with the same
//! number would prove a fork, so the root keys begin a new epoch with a new chain key, and say so in the chain: from which
//! head it goes on, whom they asked for later ones, and why. It cannot be taken back or hidden: each later head covers it.
//!
//! The head is named with its bytes, signed by the former key. Whoever holds another head of that epoch, no later than
//! this one, which this one does not go on from, has two signatures of one key that contradict each other: a recovery
//! hides no fork. What that key signed beyond the head is given up; it convicts nobody, since the honest may have lost it.

use serde::{Deserialize, Serialize};

use crate::chain::Hash;
use crate::chain::head::{Head, HeadError};
use crate::chain::proof::{ProofError, verify_consistency};
use crate::ids::{ByteString, HeadSeq, OrganisationId, Position, TreeSize};
use crate::limits::{LABEL_BYTES_MAX, PROOF_HASHES_MAX, RECOVERY_ASKED_MAX};

/// Ends the chain key's epoch with a head that it signed, and begins the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recovery {
    /// The head from which the chain goes on, as its former key signed it.
    pub base: ByteString,
    /// Consistency proof from the base's tree to the one before this statement; empty where this statement follows the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<Hash>,
    /// What happened.
    pub reason: String,
    /// A later head that is known to have been signed, and of which not everything could be found again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostHead>,
    /// Members of the mesh that answered that they hold nothing later, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<OrganisationId>,
    /// Whether not every other member of the mesh was asked, or there was none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

/// A head that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostHead {
    /// Its sequence number.
    pub seq: HeadSeq,
    /// How many statements it covered.
    pub size: TreeSize,
}

/// Why a recovery is not valid in itself, or not where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// It would be the inception.
    #[error("an inception recovers nothing")]
    Inception,
    /// The reason is empty or too long.
    #[error("a recovery has a reason of 1 to {LABEL_BYTES_MAX} bytes")]
    Reason,
    /// Those who were asked are too many, or not in order.
    #[error("a recovery names at most {RECOVERY_ASKED_MAX} members that were asked, in order and each once")]
    Asked,
    /// The base cannot be read.
    #[error("the base of the recovery: {0}")]
    Base(#[from] HeadError),
    /// The base covers nothing, or the lost head does not go beyond it.
    #[error("the base of the recovery covers nothing, or the head that was lost is no later one")]
    Span,
    /// The chain does not go on from the base.
    #[error("the chain does not go on from the base of the recovery: {0}")]
    Tree(#[from] ProofError),
}

impl Recovery {
    /// Checks what the type alone cannot say. Signatures are the fold's affair.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn check(&self) -> Result<(), RecoveryError> {
        if self.reason.is_empty() || self.reason.len() > LABEL_BYTES_MAX {
            return Err(RecoveryError::Reason);
        }
        let in_order = self.asked.iter().zip(self.asked.iter().skip(1)).all(|(one, next)| one < next);
        if self.asked.len() > RECOVERY_ASKED_MAX || !in_order {
            return Err(RecoveryError::Asked);
        }
        let base = self.head()?;
        let is_later = |lost: &LostHead| lost.seq > base.claimed_seq() && lost.size > base.claimed_size();
        if base.claimed_size().0 == 0
            || !self.lost.as_ref().is_none_or(is_later)
            || self.proof.len() > PROOF_HASHES_MAX
        {
            return Err(RecoveryError::Span);
        }
        Ok(())
    }

    /// The base, read but not verified.
    ///
    /// # Errors
    /// [`HeadError`], which it never gives once [`Self::check`] has passed.
    pub fn head(&self) -> Result<Head, HeadError> {
        Head::parse(self.base.0.as_slice())
    }

    /// Checks that a chain whose first `position` statements have this `root` goes on from the base.
    ///
    /// # Errors
    /// [`RecoveryError::Tree`].
    pub fn check_tree(&self, position: Position, root: &Hash) -> Result<(), RecoveryError> {
        let base = self.head()?;
        let (from, to) = (base.claimed_size(), TreeSize(position.0));
        Ok(verify_consistency(from, &base.claimed_root(), to, root, &self.proof)?)
    }
}
