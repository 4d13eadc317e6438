//! Links and counterfoils: the two halves of a cross-reference.

use serde::{Deserialize, Serialize};

use crate::ids::{ByteString, OrganisationId, Position, StatementId};
use crate::limits::{LABEL_BYTES_MAX, NOTE_BYTES_MAX};
use crate::lineage::EdgeKind;

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
