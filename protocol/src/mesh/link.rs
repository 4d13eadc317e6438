//! Links and counterfoils: the two halves of a cross-reference.

use serde::{Deserialize, Serialize};

use super::agreement::{Agreements, Outside};
use crate::ids::{ByteString, OrganisationId, Position, StatementId, Timestamp};
use crate::limits::{LABEL_BYTES_MAX, NOTE_BYTES_MAX};
use crate::lineage::EdgeKind;
use crate::statement::Statement;

/// What the linking organisation has to do with the linked statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Makes use of it.
    Uses,
    /// Was made from it.
    DerivedFrom,
    /// Supplies what it is about.
    Supplies,
    /// Approves it.
    Approves,
    /// Assesses it.
    Assesses,
    /// Takes its place.
    Supersedes,
    /// Disputes it.
    Disputes,
    /// Responds to it.
    RespondsTo,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 8] = [
        Self::Uses,
        Self::DerivedFrom,
        Self::Supplies,
        Self::Approves,
        Self::Assesses,
        Self::Supersedes,
        Self::Disputes,
        Self::RespondsTo,
    ];

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uses => "uses",
            Self::DerivedFrom => "derived-from",
            Self::Supplies => "supplies",
            Self::Approves => "approves",
            Self::Assesses => "assesses",
            Self::Supersedes => "supersedes",
            Self::Disputes => "disputes",
            Self::RespondsTo => "responds-to",
        }
    }

    /// The lineage edge from the linking organisation's own statement to the linked one.
    pub const fn edge(self) -> EdgeKind {
        match self {
            Self::Uses => EdgeKind::Used,
            Self::DerivedFrom => EdgeKind::DerivedFrom,
            Self::Supersedes => EdgeKind::Supersedes,
            Self::Supplies | Self::Approves | Self::Assesses | Self::Disputes | Self::RespondsTo => {
                EdgeKind::LinksTo
            }
        }
    }
}

/// The statement that a link refers to, with the proof that it stands in its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkTarget {
    /// The organisation whose chain holds it.
    pub organisation: OrganisationId,
    /// Where.
    pub position: Position,
    /// Which statement.
    pub statement: StatementId,
    /// COSE receipt of inclusion.
    pub receipt: ByteString,
    /// The signed checkpoint, with the cosignatures known, that binds the receipt's tree size.
    pub checkpoint: ByteString,
}

/// Refers to a statement of another organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What it refers to.
    pub target: LinkTarget,
    /// How.
    pub relation: Relation,
    /// The own statement on whose behalf it refers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StatementId>,
    /// What for.
    pub purpose: String,
    /// The agreement under which it refers; the charter's terms hold where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<StatementId>,
}

/// How a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Not answered yet.
    Open,
    /// The other side has accepted it.
    Matched,
    /// The other side has refused it.
    Refused,
    /// Not answered in time.
    Lapsed,
}

impl LinkState {
    /// How a link of this age stands, with the answer to it and the seconds that there are for one.
    pub fn of(answer: Option<&Answer>, age_s: u64, limit_s: Option<u64>) -> Self {
        match answer {
            Some(Answer::Accepted) => Self::Matched,
            Some(Answer::Refused(_)) => Self::Refused,
            None if limit_s.is_some_and(|limit| age_s > limit) => Self::Lapsed,
            None => Self::Open,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Matched => "matched",
            Self::Refused => "refused",
            Self::Lapsed => "lapsed",
        }
    }
}

/// How the other side answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Yes.
    Accepted,
    /// No, and why.
    Refused(String),
}

/// The other half of a link: its target's organisation acknowledges or refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counterfoil {
    /// The link statement.
    pub link: StatementId,
    /// The organisation that made the link.
    pub organisation: OrganisationId,
    /// Where the link stands in that organisation's chain.
    pub position: Position,
    /// COSE receipt of the link.
    pub receipt: ByteString,
    /// The signed checkpoint that binds the receipt's tree size.
    pub checkpoint: ByteString,
    /// The answer.
    pub answer: Answer,
}

/// Why a link or counterfoil is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The purpose is too long.
    #[error("a purpose or reason has at most {LABEL_BYTES_MAX} bytes")]
    Purpose,
    /// The receipt or checkpoint is too long.
    #[error("a receipt or checkpoint has at most {NOTE_BYTES_MAX} bytes")]
    Proof,
}

impl Link {
    /// Whether its agreement lets it refer to `target`, whose signer acts in these jurisdictions.
    ///
    /// # Errors
    /// [`Outside`].
    pub fn check_agreement(
        &self,
        by: OrganisationId,
        issued_at: Timestamp,
        agreements: &Agreements,
        target: &Statement,
        of_signer: &[String],
    ) -> Result<(), Outside> {
        let Some(id) = &self.agreement else { return Ok(()) };
        let agreement = agreements.between(id, &[by, self.target.organisation], issued_at)?;
        agreement.covers(target)?;
        agreement.covers_jurisdictions(of_signer)
    }

    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn check(&self) -> Result<(), LinkError> {
        check(&self.purpose, &self.target.receipt, &self.target.checkpoint)
    }
}

impl Counterfoil {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn check(&self) -> Result<(), LinkError> {
        let reason = match &self.answer {
            Answer::Accepted => "",
            Answer::Refused(reason) => reason,
        };
        check(reason, &self.receipt, &self.checkpoint)
    }
}

fn check(text: &str, receipt: &ByteString, checkpoint: &ByteString) -> Result<(), LinkError> {
    if text.len() > LABEL_BYTES_MAX {
        return Err(LinkError::Purpose);
    }
    if receipt.0.len() > NOTE_BYTES_MAX || checkpoint.0.len() > NOTE_BYTES_MAX {
        return Err(LinkError::Proof);
    }
    Ok(())
}
