//! The statements that put profiles into force and record what was decided.

use serde::{Deserialize, Serialize};

use super::profile::Composition;
use crate::actuation::{Mode, Request};
use crate::ids::{ByteString, MeshId, OrganisationId, Position, StatementId, Timestamp};

/// Puts declared profiles into force, in place of those that were before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// Statements that declare the profiles, of the same chain or of another organisation's.
    pub profiles: Vec<StatementId>,
    /// How they compose.
    pub composition: Composition,
}

/// What the decider knew of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its head.
    pub head: ByteString,
    /// Signature lines of the witnesses that had cosigned the head's checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cosignatures: Vec<String>,
    /// When the head was last confirmed to be the latest.
    pub seen: Timestamp,
}

/// What came of asking an organisation for evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum InquiryAnswer {
    /// It named places of its chain.
    Answered {
        /// How many.
        named: u32,
        /// How many of them were not here before, and came.
        came: u32,
        /// How many were not here before, and did not come in time.
        missing: u32,
    },
    /// It did not answer in time.
    Silent {
        /// When its chain was last confirmed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// Nobody of it was connected.
    Unreachable {
        /// When its chain was last confirmed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// It does not answer such questions.
    Refused,
}

impl InquiryAnswer {
    /// What came of asking twice: what came adds up, else the later answer counts.
    #[must_use]
    pub const fn and_then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Answered { came: before, .. }, Self::Answered { named, came, missing }) => {
                Self::Answered { named, came: before.saturating_add(came), missing }
            }
            _ => later,
        }
    }

    /// Whether the organisation was asked and could not be heard.
    pub const fn is_in_vain(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Unreachable { .. })
    }

    /// Whether it named what did not come in time.
    pub const fn is_incomplete(&self) -> bool {
        matches!(self, Self::Answered { missing: 1.., .. })
    }

    /// Since when nothing was heard of the organisation, if that is what came of it.
    pub const fn unreachable_since(&self) -> Option<Timestamp> {
        match self {
            Self::Silent { since } | Self::Unreachable { since } => *since,
            Self::Answered { .. } | Self::Refused => None,
        }
    }
}

/// An organisation that was asked for evidence, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inquiry {
    /// The organisation.
    pub organisation: OrganisationId,
    /// What came of it.
    pub answer: InquiryAnswer,
}

/// Whose silence leaves a requirement unknown. A decision records by which rule it was made, and is computed again by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SilenceRule {
    /// That of the organisations that a requirement names: the rule of decisions that say nothing of it.
    #[default]
    Named,
    /// Where a requirement names none, also that of those whom the decider recognises for what would show it. Whoever named
    /// what did not come in time has not been heard to the end.
    Recognised,
}

impl SilenceRule {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_former(&self) -> bool {
        *self == Self::Named
    }
}

/// One statement that was weighed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRef {
    /// Whose chain it stands in.
    pub organisation: OrganisationId,
    /// Where.
    pub position: Position,
    /// The statement.
    pub statement: StatementId,
}

/// Records a verdict with everything that it followed from, so that anybody can compute it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What was asked.
    pub request: Request,
    /// When it was decided.
    pub time: Timestamp,
    /// The mesh whose charter applied; none outside any mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshId>,
    /// The activation that was in force.
    pub activation: StatementId,
    /// What was known of each chain, in the order of the organisations' ids.
    pub basis: Vec<Basis>,
    /// What was asked of the other members before, and what came of it, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inquiries: Vec<Inquiry>,
    /// Whose silence counted.
    #[serde(default, skip_serializing_if = "SilenceRule::is_former")]
    pub silence: SilenceRule,
    /// What was weighed, in order.
    pub evidence: Vec<EvidenceRef>,
    /// Organisations that were known to have signed contradicting heads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forked: Vec<OrganisationId>,
    /// The mode, as in the verdict.
    pub mode: Mode,
    /// The verdict's canonical bytes.
    pub verdict: ByteString,
}
