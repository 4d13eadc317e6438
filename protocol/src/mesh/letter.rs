//! An invitation as it is handed over: the charter, the inviting member's statement, and what proves that it stands in that
//! member's chain. Whoever is invited checks it with nothing else at hand; members find the statement in the chain itself.

use serde::{Deserialize, Serialize};

use crate::chain::checkpoint::{Checkpoint, CheckpointError};
use crate::chain::receipt::{Receipt, ReceiptError};
use crate::codec::{self, CodecError};
use crate::identity::OrganisationState;
use crate::ids::{ByteString, MeshId, OrganisationId, StatementId, Timestamp, base32, from_base32};
use crate::limits::{LABEL_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::statement::{EnvelopeError, Kind, Payload, Refusal, Statement};

use super::charter::Charter;

const PREFIX: &str = "counterfoil-invitation-2:";
/// Largest letter, in bytes: three statements and some addresses.
const LETTER_BYTES_MAX: usize = 3 * STATEMENT_BYTES_MAX;
/// Most addresses in a letter.
const ADDRESSES_MAX: usize = 32;

/// An invitation with everything that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The charter's statement.
    pub charter: ByteString,
    /// The inviting organisation's inception.
    pub inception: ByteString,
    /// The invitation.
    pub invitation: ByteString,
    /// Proves that it stands in the inviting organisation's chain.
    pub receipt: ByteString,
    /// The signed checkpoint that binds the receipt.
    pub checkpoint: ByteString,
    /// Multiaddresses at which the inviting organisation is reached.
    pub addresses: Vec<String>,
}

/// A letter that was found to be in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Invited {
    /// The mesh.
    pub mesh: MeshId,
    /// Its charter.
    pub charter: Charter,
    /// The charter's statement.
    pub statement: Vec<u8>,
    /// Who invites.
    pub by: OrganisationId,
    /// Whether that is a founder; of others it shows once their votes are known.
    pub by_founder: bool,
    /// The invitation.
    pub invitation: StatementId,
    /// Until when it holds.
    pub expires: Timestamp,
}

/// Why a letter invites nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LetterError {
    /// Not the text of a letter.
    #[error("an invitation begins with {PREFIX}; see `mesh invite`")]
    Text,
    /// See the inner error.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// One of its statements cannot be read.
    #[error("its {part}: {error}")]
    Statement {
        /// Which.
        part: &'static str,
        /// What is wrong.
        error: EnvelopeError,
    },
    /// The inception is none.
    #[error("its inception: {0}")]
    Inception(Box<Refusal>),
    /// One of its parts is not what it should be.
    #[error("{0}")]
    Form(&'static str),
    /// See the inner error.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// See the inner error.
    #[error("its receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// It is for somebody else.
    #[error("it invites {0} alone")]
    Other(OrganisationId),
    /// It was for an earlier time.
    #[error("it has expired at second {0}; ask for another")]
    Expired(Timestamp),
}

impl Letter {
    /// The text that is handed over.
    ///
    /// # Errors
    /// [`LetterError::Codec`], which no legal letter causes.
    pub fn to_text(&self) -> Result<String, LetterError> {
        Ok(format!("{PREFIX}{}", base32(&codec::encode(self)?)))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`LetterError::Text`], [`LetterError::Codec`], [`LetterError::Form`].
    pub fn parse(text: &str) -> Result<Self, LetterError> {
        let text = text.trim();
        let encoded = text.strip_prefix(PREFIX).filter(|text| text.len() <= 2 * LETTER_BYTES_MAX);
        let bytes = encoded.and_then(from_base32).ok_or(LetterError::Text)?;
        let letter: Self = codec::decode(&bytes, LETTER_BYTES_MAX)?;
        let is_bounded = letter.addresses.len() <= ADDRESSES_MAX
            && letter.addresses.iter().all(|address| address.len() <= LABEL_BYTES_MAX);
        if is_bounded { Ok(letter) } else { Err(LetterError::Form("it has too many or too long addresses")) }
    }

    /// Checks that a member's chain holds this invitation, and that `organisation` may follow it at `now`.
    ///
    /// # Errors
    /// [`LetterError`], naming the part that is wrong.
    pub fn check(&self, organisation: &OrganisationId, now: Timestamp) -> Result<Invited, LetterError> {
        let read = |part: &'static str, bytes: &ByteString| {
            Statement::parse(bytes.0.clone()).map_err(|error| LetterError::Statement { part, error })
        };
        let charter_statement = read("charter", &self.charter)?;
        let mesh = MeshId::from(charter_statement.id());
        let Ok(Payload::Charter(charter)) = decode(&charter_statement) else {
            return Err(LetterError::Form("it carries no charter"));
        };
        let state = OrganisationState::from_inception(&read("inception", &self.inception)?)
            .map_err(|error| LetterError::Inception(Box::new(error)))?;
        let by = state.organisation();
        let statement = read("invitation", &self.invitation)?;
        let Ok(Payload::Invitation(invitation)) = decode(&statement) else {
            return Err(LetterError::Form("it carries no invitation"));
        };
        if statement.organisation() != by || statement.header().kind != Kind::Invitation {
            return Err(LetterError::Form(
                "the invitation is not of the organisation whose inception it carries",
            ));
        }
        if invitation.mesh != mesh {
            return Err(LetterError::Form("the invitation is to another mesh than the charter's"));
        }
        // The chain holds nothing that its own organisation did not verify; that it is this very chain, its key has signed.
        let key = state.description().chain_key;
        let (checkpoint, _) = Checkpoint::open(&self.checkpoint.0, &by, key)?;
        let receipt = Receipt::parse(&self.receipt.0)?;
        receipt.verify_with_checkpoint(&by, &key, &statement.leaf_digest(), &checkpoint)?;
        if let Some(other) = invitation.organisation.filter(|invited| invited != organisation) {
            return Err(LetterError::Other(other));
        }
        if now > invitation.expires {
            return Err(LetterError::Expired(invitation.expires));
        }
        let (by_founder, expires) = (charter.members.contains(&by), invitation.expires);
        let invitation = statement.id();
        Ok(Invited { mesh, charter, statement: self.charter.0.clone(), by, by_founder, invitation, expires })
    }
}

fn decode(statement: &Statement) -> Result<Payload, crate::statement::PayloadError> {
    Payload::decode(statement.header().kind, statement.payload())
}
