//! Proofs of misbehaviour: what an organisation signed and could not have signed if it kept one chain.
//!
//! A proof carries all that is needed to check it: the inception, whose digest is the organisation's id, and the two
//! contradicting heads. It cannot be made against an organisation that follows the rules, because it rests on
//! signatures of the organisation's own chain key.

use serde::{Deserialize, Serialize};

use super::head::{Head, HeadError, SignedHead};
use crate::codec::{self, CodecError};
use crate::digest::blake3;
use crate::identity::Organisation;
use crate::ids::{ByteString, OrganisationId, StatementId};
use crate::limits::STATEMENT_BYTES_MAX;
use crate::statement::{EnvelopeError, Payload, Statement};

/// How two heads contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contradiction {
    /// Two different heads with one sequence number.
    Sequence,
    /// Two checkpoints of one size with different roots.
    Root,
}

/// Two heads of one organisation that contradict each other.
// INVARIANT(4): no honest organisation is ever provably guilty: `check` accepts nothing but two heads that the chain key
// signed and that the sequencer's head lock keeps an honest organisation from both signing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misbehaviour {
    /// The organisation's inception.
    pub inception: ByteString,
    /// One head, the one with the smaller hash.
    pub one: ByteString,
    /// The other.
    pub other: ByteString,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MisbehaviourError {
    /// See the inner error.
    #[error("misbehaviour proof: {0}")]
    Codec(#[from] CodecError),
    /// See the inner error.
    #[error("misbehaviour proof: inception: {0}")]
    Inception(#[from] EnvelopeError),
    /// The inception statement is none.
    #[error("misbehaviour proof: the inception is not one")]
    NotInception,
    /// See the inner error.
    #[error("misbehaviour proof: {0}")]
    Head(#[from] HeadError),
    /// The heads are of different organisations, or the same head twice, or agree with each other.
    #[error("misbehaviour proof: the two heads do not contradict each other")]
    NoContradiction,
}

impl Misbehaviour {
    /// The proof that two heads make, if they contradict each other.
    pub fn of(inception: &[u8], one: &SignedHead, other: &SignedHead) -> Option<Self> {
        contradiction(one, other)?;
        let (one, other) = if one.hash() <= other.hash() { (one, other) } else { (other, one) };
        Some(Self {
            inception: ByteString(inception.to_vec()),
            one: ByteString(one.bytes().to_vec()),
            other: ByteString(other.bytes().to_vec()),
        })
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`MisbehaviourError::Codec`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MisbehaviourError> {
        Ok(codec::decode(bytes, 2 * STATEMENT_BYTES_MAX)?)
    }

    /// Checks the proof from its own bytes: who misbehaved, and how.
    ///
    /// # Errors
    /// [`MisbehaviourError`].
    pub fn check(&self) -> Result<(OrganisationId, Contradiction), MisbehaviourError> {
        let organisation = OrganisationId::from(StatementId::from_bytes(blake3(&self.inception.0)));
        let description = inception_of(&self.inception.0)?;
        let open = |bytes: &ByteString| {
            Head::parse(bytes.0.as_slice()).and_then(|head| head.verify(&description.chain_key))
        };
        let (one, other) = (open(&self.one)?, open(&self.other)?);
        if one.organisation() != organisation {
            return Err(MisbehaviourError::NoContradiction);
        }
        let how = contradiction(&one, &other).ok_or(MisbehaviourError::NoContradiction)?;
        Ok((organisation, how))
    }
}

fn inception_of(bytes: &[u8]) -> Result<Organisation, MisbehaviourError> {
    let statement = Statement::parse(bytes)?;
    match Payload::decode(statement.header().kind, statement.payload()) {
        Ok(Payload::Organisation(organisation, _)) if statement.header().organisation.is_none() => {
            Ok(*organisation)
        }
        _ => Err(MisbehaviourError::NotInception),
    }
}

/// How two heads contradict each other, if they do.
pub fn contradiction(one: &SignedHead, other: &SignedHead) -> Option<Contradiction> {
    if one.organisation() != other.organisation() || one.hash() == other.hash() {
        None
    } else if one.seq() == other.seq() {
        Some(Contradiction::Sequence)
    } else if one.size() == other.size() && one.root() != other.root() {
        Some(Contradiction::Root)
    } else {
        None
    }
}
