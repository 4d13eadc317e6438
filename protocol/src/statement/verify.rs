//! From authentic to verified: was this key allowed to say this, at this position of this chain?
//!
//! This is the only place that makes a [`Verified`] statement. The same check admits a statement to one's own chain
//! and accepts a foreign one.

use std::sync::Arc;

use crate::chain::tree::LeafDigest;
use crate::identity::{CredentialError, OrganisationState, Standing};
use crate::ids::{AuthorityId, KeyId, OrganisationId, Position, StatementId};

use super::envelope::{Authentic, EnvelopeError, Statement};
use super::kind::Kind;
use super::payload::{Payload, PayloadError};

/// Who stands behind a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signatory {
    /// The organisation's root keys, as many as its threshold asks for.
    Root,
    /// An authority under a credential.
    Authority(AuthorityId),
}

/// A statement that was checked in full, at the one position for which it was checked.
// INVARIANT(8): no statement is accepted that a key signed outside its credential's position, or after its revocation;
// `verify` below is the only constructor.
#[derive(Debug, Clone)]
pub struct Verified {
    statement: Statement,
    payload: Payload,
    organisation: OrganisationId,
    position: Position,
    signatory: Signatory,
}

/// Which check a statement failed. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It belongs to another chain.
    #[error("it is a statement of {found}, not of {expected}")]
    OtherOrganisation {
        /// The chain it was offered to.
        expected: OrganisationId,
        /// The chain it names.
        found: OrganisationId,
    },
    /// The bytes are no statement.
    #[error("not a statement: {0}")]
    Form(EnvelopeError),
    /// The key that it names did not sign it, or not this.
    #[error("{0}")]
    Signature(EnvelopeError),
    /// The payload is not valid for the kind.
    #[error("payload of a {kind} statement: {error}")]
    Payload {
        /// Kind.
        kind: Kind,
        /// What is wrong.
        error: PayloadError,
    },
    /// Nobody in the organisation has this key.
    #[error("{0} is neither a root key nor the key of an authority; issue a credential for it first")]
    UnknownKey(KeyId),
    /// The authority may not sign any more, or not yet.
    #[error("authority {authority} cannot sign at position {position}: {standing}")]
    NotInForce {
        /// The authority.
        authority: AuthorityId,
        /// The position asked for.
        position: Position,
        /// How it stands there.
        standing: Standing,
    },
    /// The authority has another key now.
    #[error("{key} is a former key of {authority}, which signs with a newer one")]
    FormerKey {
        /// The authority.
        authority: AuthorityId,
        /// The key that signed.
        key: KeyId,
    },
    /// The credential does not cover this.
    #[error("the credential of {authority} (role {role}) does not cover {kind} statements{claim}")]
    OutOfScope {
        /// The authority.
        authority: AuthorityId,
        /// Its role.
        role: String,
        /// The kind it tried to sign.
        kind: Kind,
        /// The claim it tried to make, as ` with claim ...`, or nothing.
        claim: String,
    },
    /// Fewer root keys stand behind it than the threshold asks for.
    #[error("{found} of the {needed} root keys needed stand behind this {kind} statement")]
    Threshold {
        /// Kind.
        kind: Kind,
        /// Root keys with a valid signature.
        found: usize,
        /// The threshold.
        needed: u8,
    },
    /// Fewer authorities stand behind an activation than the organisation asks for.
    #[error(
        "{found} of the {needed} approvals needed stand behind this activation; still to approve it with \
         `profile approve`: {missing}"
    )]
    ActivationQuorum {
        /// Authorities that stand behind it, its signer included.
        found: usize,
        /// How many are needed.
        needed: u8,
        /// Who could still approve, by role; or what keeps anybody from it.
        missing: String,
    },
    /// Root keys sign organisation, credential, revocation and node statements only.
    #[error("root keys do not sign {0} statements; use an authority")]
    NotForRoot(Kind),
    /// Organisation statements are signed by root keys, whatever a credential says.
    #[error("{0} statements are signed by root keys alone")]
    ForRoot(Kind),
    /// A credential that its issuer may not issue.
    #[error("{0}")]
    Credential(#[from] CredentialError),
    /// An identity rule is broken.
    #[error("{0}")]
    Identity(String),
}

impl Refusal {
    /// The name of the check that failed, for programs.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::OtherOrganisation { .. } => "chain",
            Self::Form(_) => "statement-form",
            Self::Signature(_) => "signature",
            Self::Payload { .. } => "payload",
            Self::UnknownKey(_) => "key",
            Self::NotInForce { standing, .. } => match standing {
                Standing::NotYetValid => "credential-not-yet-valid",
                Standing::Expired => "credential-expired",
                Standing::Suspended => "credential-suspended",
                Standing::Revoked => "credential-revoked",
                Standing::Compromised => "credential-compromised",
                Standing::InForce | Standing::Unknown => "credential-in-force",
            },
            Self::FormerKey { .. } => "former-key",
            Self::OutOfScope { .. } => "scope",
            Self::Threshold { .. } => "threshold",
            Self::ActivationQuorum { .. } => "activation-quorum",
            Self::NotForRoot(_) | Self::ForRoot(_) => "root-act",
            Self::Credential(_) => "delegation",
            Self::Identity(_) => "identity",
        }
    }
}

/// Checks that `statement` may stand at the next position of the chain that `state` has folded.
///
/// # Errors
/// [`Refusal`], which names the failing check.
pub fn verify(state: &OrganisationState, statement: Authentic) -> Result<Verified, Refusal> {
    let payload = Payload::decode(statement.statement().header().kind, statement.statement().payload());
    verify_decoded(state, statement, payload)
}

/// [`verify`], with the payload of this very statement as [`Payload::decode`] gave it.
pub(crate) fn verify_decoded(
    state: &OrganisationState,
    statement: Authentic,
    payload: Result<Payload, PayloadError>,
) -> Result<Verified, Refusal> {
    let organisation = state.organisation();
    let found = statement.statement().organisation();
    if found != organisation {
        return Err(Refusal::OtherOrganisation { expected: organisation, found });
    }
    let kind = statement.statement().header().kind;
    let payload = payload.map_err(|error| Refusal::Payload { kind, error })?;
    let signatory = state.signatory(statement.statement(), &payload)?;
    let statement = statement.into_statement();
    Ok(Verified { statement, payload, organisation, position: state.next_position(), signatory })
}

impl Verified {
    /// The statement.
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its id.
    pub const fn id(&self) -> StatementId {
        self.statement.id()
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.statement.header().kind
    }

    /// Its bytes as they arrived.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        self.statement.bytes()
    }

    /// What the tree holds of it.
    pub const fn leaf_digest(&self) -> LeafDigest {
        self.statement.leaf_digest()
    }

    /// What it says.
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The chain it stands in.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Where it stands.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Who stands behind it.
    pub const fn signatory(&self) -> Signatory {
        self.signatory
    }
}
