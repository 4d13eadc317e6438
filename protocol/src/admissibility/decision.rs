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
