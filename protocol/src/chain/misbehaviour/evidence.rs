//! The forms of evidence, and what each must fulfil.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MisbehaviourError, Signed};
use crate::chain::checkpoint::Checkpoint;
use crate::chain::head::{Head, SignedHead};
use crate::chain::proof::{ProofError, verify_consistency, verify_inclusion};
use crate::chain::receipt::Receipt;
use crate::chain::tree::{Hash, LeafDigest};
use crate::ids::{ByteString, OrganisationId, Position};
use crate::keys::PublicKey;

/// How an organisation contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contradiction {
    /// Two different heads with one sequence number.
    Sequence,
    /// A later head that covers fewer statements than an earlier one.
    Order,
    /// Two checkpoints of one size with different roots.
    Root,
    /// An older checkpoint that is no prefix of a newer one.
    Prefix,
    /// Two different leaves at one position.
    Leaf,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequence => "two heads with one sequence number",
            Self::Order => "a later head that covers fewer statements",
            Self::Root => "two roots for one size",
            Self::Prefix => "an older checkpoint that is no prefix of a newer one",
            Self::Leaf => "two statements at one position",
        })
    }
}

/// What an organisation signed that contradicts itself, in one of the forms in which that can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Evidence {
    /// Two heads that contradict each other by themselves: one sequence number, or a later one that covers less.
    Heads {
        /// One head, the one with the smaller hash.
        one: ByteString,
        /// The other.
        other: ByteString,
    },
    /// Two signed checkpoints of one size with different roots.
    Checkpoints {
        /// One checkpoint.
        one: ByteString,
        /// The other.
        other: ByteString,
    },
    /// Two signed checkpoints of different sizes, and what the newer tree's first leaves give in place of the older root.
    Prefix {
        /// The older signed checkpoint.
        older: ByteString,
        /// The newer signed checkpoint.
        newer: ByteString,
        /// Root over as many of the newer tree's first leaves as the older tree has.
        root: Hash,
        /// Consistency proof from that root to the newer one.
        proof: Vec<Hash>,
    },
    /// Two different leaves at one position, each under a signed checkpoint.
    Leaves {
        /// The position.
        position: Position,
        /// One leaf, the one with the smaller digest.
        one: Box<ProvenLeaf>,
        /// The other.
        other: Box<ProvenLeaf>,
    },
}

/// A leaf with the path that leads to a signed root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenLeaf {
    /// The signed checkpoint.
    pub checkpoint: ByteString,
    /// The statement's digest.
    pub digest: LeafDigest,
    /// Inclusion path from the leaf to the checkpoint's root.
    pub path: Vec<Hash>,
}

impl Evidence {
    pub(super) fn heads(one: &SignedHead, other: &SignedHead) -> Self {
        let (one, other) = if one.hash() <= other.hash() { (one, other) } else { (other, one) };
        let [one, other] = [one, other].map(|head| ByteString(head.bytes().to_vec()));
        Self::Heads { one, other }
    }

    pub(super) fn checkpoints(one: ByteString, other: ByteString) -> Self {
        let (one, other) = if one.0 <= other.0 { (one, other) } else { (other, one) };
        Self::Checkpoints { one, other }
    }

    pub(super) fn check(
        &self,
        organisation: &OrganisationId,
        chain_key: &PublicKey,
    ) -> Result<(Contradiction, [Signed; 2]), MisbehaviourError> {
        let none = MisbehaviourError::NoContradiction;
        let open = |bytes: &ByteString| Checkpoint::open(&bytes.0, organisation, *chain_key);
        match self {
            Self::Heads { one, other } => {
                let head =
                    |bytes: &ByteString| Head::parse(bytes.0.as_slice()).and_then(|h| h.verify(chain_key));
                let (one, other) = (head(one)?, head(other)?);
                // What the checkpoints alone show has a form of its own.
                match contradiction(&one, &other) {
                    Some(how @ (Contradiction::Sequence | Contradiction::Order))
                        if one.organisation() == *organisation =>
                    {
                        let [earlier, later] =
                            if one.seq() <= other.seq() { [one, other] } else { [other, one] };
                        Ok((how, [Signed::head(&earlier), Signed::head(&later)]))
                    }
                    _ => Err(none),
                }
            }
            Self::Checkpoints { one, other } => {
                let (one, other) = (open(one)?, open(other)?);
                if one.0.size != other.0.size || one.0.root == other.0.root {
                    return Err(none);
                }
                Ok((Contradiction::Root, [Signed::checkpoint(&one.0), Signed::checkpoint(&other.0)]))
            }
            Self::Prefix { older, newer, root, proof } => {
                let ((older, _), (newer, _)) = (open(older)?, open(newer)?);
                // Everything follows from the empty tree, so it proves nothing; and equal sizes have a form of their own.
                if older.size.0 == 0 || older.size >= newer.size || older.root == *root {
                    return Err(none);
                }
                verify_consistency(older.size, root, newer.size, &newer.root, proof)?;
                Ok((Contradiction::Prefix, [Signed::checkpoint(&older), Signed::checkpoint(&newer)]))
            }
            Self::Leaves { position, one, other } => {
                if one.digest == other.digest {
                    return Err(none);
                }
                let prove = |leaf: &ProvenLeaf| -> Result<Checkpoint, MisbehaviourError> {
                    let (checkpoint, _) = open(&leaf.checkpoint)?;
                    leaf.lies_at(*position, &checkpoint)?;
                    Ok(checkpoint)
                };
                let (one, other) = (prove(one)?, prove(other)?);
                Ok((Contradiction::Leaf, [Signed::checkpoint(&one), Signed::checkpoint(&other)]))
            }
        }
    }
}

impl ProvenLeaf {
    /// What a receipt for the statement with this digest shows, beside the signed checkpoint of its tree.
    pub fn of_receipt(receipt: &Receipt, digest: LeafDigest, checkpoint: &[u8]) -> Self {
        Self { checkpoint: ByteString(checkpoint.to_vec()), digest, path: receipt.path().to_vec() }
    }

    fn lies_at(&self, position: Position, checkpoint: &Checkpoint) -> Result<(), ProofError> {
        let leaf = self.digest.leaf_hash();
        verify_inclusion(&leaf, position, checkpoint.size, &self.path, &checkpoint.root)
    }
}

impl Signed {
    fn head(head: &SignedHead) -> Self {
        Self { size: head.size(), root: head.root(), seq: Some(head.seq()) }
    }

    const fn checkpoint(checkpoint: &Checkpoint) -> Self {
        Self { size: checkpoint.size, root: checkpoint.root, seq: None }
    }
}

/// How two heads contradict each other by themselves, if they do.
pub fn contradiction(one: &SignedHead, other: &SignedHead) -> Option<Contradiction> {
    let (earlier, later) = if one.seq() <= other.seq() { (one, other) } else { (other, one) };
    // What keys of different epochs signed does not contradict each other.
    if one.organisation() != other.organisation() || one.key() != other.key() || one.hash() == other.hash() {
        None
    } else if one.seq() == other.seq() {
        Some(Contradiction::Sequence)
    } else if earlier.size() > later.size() {
        Some(Contradiction::Order)
    } else if one.size() == other.size() && one.root() != other.root() {
        Some(Contradiction::Root)
    } else {
        None
    }
}
