//! Proofs of misbehaviour: what an organisation signed and could not have signed if it kept one chain.
//!
//! | evidence | shows |
//! | --- | --- |
//! | [`Evidence::Heads`] | two heads with one sequence number, or a later head that covers less |
//! | [`Evidence::Checkpoints`] | two roots for one size |
//! | [`Evidence::Prefix`] | an older checkpoint that is no prefix of a newer one |
//! | [`Evidence::Leaves`] | two leaves at one position |
//!
//! A proof carries all that is needed to check it: the inception, whose digest is the organisation's id, and what its
//! chain key signed; for the key of a later epoch also the versions of the organisation that lead there. It is always one
//! key that contradicts itself: what the key of one epoch signed says nothing about the next, since the honest begin an
//! epoch when they have lost track of what the former key signed. Merkle hashes need no signature: SHA-256 leaves one set of them that leads to a signed root.

mod evidence;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::evidence::{Contradiction, Evidence, ProvenLeaf, contradiction};
use super::checkpoint::CheckpointError;
use super::head::{HeadError, SignedHead};
use super::proof::ProofError;
use super::tree::Hash;
use crate::codec::{self, CodecError};
use crate::identity::Succession;
use crate::ids::{ByteString, HeadSeq, OrganisationId, Position, TreeSize};
use crate::limits::{NOTE_BYTES_MAX, PROOF_HASHES_MAX, STATEMENT_BYTES_MAX, SUCCESSION_BYTES_MAX};
use crate::statement::Refusal;

/// Largest proof, in bytes: an inception (or that and later versions), two checkpoints, two paths, and some.
pub const MISBEHAVIOUR_BYTES_MAX: usize =
    STATEMENT_BYTES_MAX + 2 * NOTE_BYTES_MAX + 2 * PROOF_HASHES_MAX * 34 + 1024;

const _: () = assert!(SUCCESSION_BYTES_MAX + 1024 < STATEMENT_BYTES_MAX);

/// The versions of an organisation that lead to the chain key with which it misbehaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accused {
    /// Its inception.
    pub inception: ByteString,
    /// Its later versions, up to the one that brought the key; none for its first chain key.
    pub succession: Vec<ByteString>,
}

impl From<&[u8]> for Accused {
    fn from(inception: &[u8]) -> Self {
        Self { inception: ByteString(inception.to_vec()), succession: Vec::new() }
    }
}

impl From<&Vec<u8>> for Accused {
    fn from(inception: &Vec<u8>) -> Self {
        Self::from(inception.as_slice())
    }
}

impl From<&Arc<[u8]>> for Accused {
    fn from(inception: &Arc<[u8]>) -> Self {
        Self::from(inception.as_ref())
    }
}

/// What one organisation signed that contradicts itself.
// INVARIANT(4): no honest organisation is ever provably guilty: `check` rests on signatures of the chain key alone, over
// statements that the head lock keeps an honest organisation from making both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misbehaviour {
    /// The organisation's inception.
    pub inception: ByteString,
    /// Its later versions, up to the one that brought the chain key in question; none for its first chain key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub succession: Vec<ByteString>,
    /// What it signed.
    pub evidence: Evidence,
}

/// What a checked proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conviction {
    /// Who misbehaved.
    pub organisation: OrganisationId,
    /// How.
    pub how: Contradiction,
    /// The two things that it signed; the older or smaller first, where there is one.
    pub signed: [Signed; 2],
}

/// One thing that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Number of statements.
    pub size: TreeSize,
    /// Root over them.
    pub root: Hash,
    /// Which head it was, where the evidence is heads.
    pub seq: Option<HeadSeq>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MisbehaviourError {
    /// See the inner error.
    #[error("misbehaviour proof: {0}")]
    Codec(#[from] CodecError),
    /// See the inner error.
    #[error("misbehaviour proof: inception and later versions: {0}")]
    Succession(#[from] Refusal),
    /// See the inner error.
    #[error("misbehaviour proof: {0}")]
    Head(#[from] HeadError),
    /// See the inner error.
    #[error("misbehaviour proof: checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead to what was signed.
    #[error("misbehaviour proof: {0}")]
    Proof(#[from] ProofError),
    /// What was signed is of different organisations, or the same twice, or agrees.
    #[error("misbehaviour proof: what it holds does not contradict itself")]
    NoContradiction,
}

impl Misbehaviour {
    /// The proof that two heads make on their own, if they contradict each other.
    pub fn of(accused: impl Into<Accused>, one: &SignedHead, other: &SignedHead) -> Option<Self> {
        let evidence = match contradiction(one, other)? {
            Contradiction::Root => Evidence::checkpoints(note(one), note(other)),
            _ => Evidence::heads(one, other),
        };
        let Accused { inception, succession } = accused.into();
        Some(Self { inception, succession, evidence })
    }

    /// The proof that two signed checkpoints make, if they have one size and different roots.
    pub fn of_checkpoints(accused: impl Into<Accused>, one: &[u8], other: &[u8]) -> Option<Self> {
        let [one, other] = [one, other].map(|bytes| ByteString(bytes.to_vec()));
        Self::checked(accused, Evidence::checkpoints(one, other))
    }

    /// The proof that the signed checkpoint `older` is no prefix of `newer`, if `root` is what the first leaves of the
    /// newer tree give instead, as `proof` shows.
    pub fn of_prefix(
        accused: impl Into<Accused>,
        older: &SignedHead,
        newer: &SignedHead,
        root: &Hash,
        proof: &[Hash],
    ) -> Option<Self> {
        let (older, newer, proof) = (note(older), note(newer), proof.to_vec());
        Self::checked(accused, Evidence::Prefix { older, newer, root: *root, proof })
    }

    /// The proof that two signed trees have different leaves at `position`, if they do.
    pub fn of_leaves(
        accused: impl Into<Accused>,
        position: Position,
        one: ProvenLeaf,
        other: ProvenLeaf,
    ) -> Option<Self> {
        let (one, other) = if one.digest <= other.digest { (one, other) } else { (other, one) };
        Self::checked(accused, Evidence::Leaves { position, one: Box::new(one), other: Box::new(other) })
    }

    fn checked(accused: impl Into<Accused>, evidence: Evidence) -> Option<Self> {
        let Accused { inception, succession } = accused.into();
        let proof = Self { inception, succession, evidence };
        proof.check().is_ok().then_some(proof)
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`MisbehaviourError::Codec`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MisbehaviourError> {
        Ok(codec::decode(bytes, MISBEHAVIOUR_BYTES_MAX)?)
    }

    /// Checks the proof from its own bytes: who misbehaved, and how.
    ///
    /// # Errors
    /// [`MisbehaviourError`].
    pub fn check(&self) -> Result<(OrganisationId, Contradiction), MisbehaviourError> {
        self.convict().map(|conviction| (conviction.organisation, conviction.how))
    }

    /// Checks the proof as [`Self::check`] does, and says what was signed too.
    ///
    /// # Errors
    /// [`MisbehaviourError`].
    pub fn convict(&self) -> Result<Conviction, MisbehaviourError> {
        let succession = Succession::walk(&self.inception.0, &self.succession)?;
        let organisation = succession.organisation();
        let chain_key = succession.epochs().latest().key;
        let (how, signed) = self.evidence.check(&organisation, &chain_key)?;
        Ok(Conviction { organisation, how, signed })
    }
}

/// A head's signed checkpoint.
fn note(head: &SignedHead) -> ByteString {
    ByteString(head.note().to_string().into_bytes())
}
