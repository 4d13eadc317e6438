//! The charter: a mesh's constitution, founded by one organisation and joined by others.

use serde::{Deserialize, Serialize};

use crate::ids::{MeshId, OrganisationId};
use crate::limits::{LABEL_BYTES_MAX, MEMBERS_MAX};

/// Founds a mesh, whose id is the BLAKE3 of the statement that carries this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Charter {
    /// Display name.
    pub name: String,
    /// Founding members, the author of the charter among them. Naming them makes the threshold hold from the start,
    /// so that the membership follows from the votes alone, in whatever order they arrive.
    pub members: Vec<OrganisationId>,
    /// How many members must vote for an admission or expulsion; at most as many as there are founders.
    pub admission_threshold: u16,
    /// How many witnesses' cosignatures make a checkpoint witnessed; while there are fewer other members, all of them.
    pub witness_quorum: u16,
    /// Age in seconds beyond which a head says nothing about the present.
    pub freshness_s: u64,
    /// Seconds within which a link is to be answered; then it has lapsed.
    pub link_answer_s: u64,
    /// What becomes of a member that is proven to have signed what contradicts itself.
    #[serde(default, skip_serializing_if = "OnFork::is_default")]
    pub on_fork: OnFork,
}

/// What becomes of a member that is proven to have signed what contradicts itself. Its later heads are accepted by
/// nobody and its evidence carries the finding in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFork {
    /// Its votes count no more, and its nodes are told nothing more.
    #[default]
    Quarantine,
    /// It keeps its votes and is served on, until members vote it out.
    Keep,
}

impl OnFork {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a charter is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// The name is empty or too long.
    #[error("a mesh name has 1 to {LABEL_BYTES_MAX} bytes")]
    Name,
    /// No founders, too many, or one named twice.
    #[error("{0} founding members, where 1 to {MEMBERS_MAX} different ones are allowed")]
    Members(usize),
    /// More votes needed than there are founders to cast them.
    #[error("admission-threshold {threshold} cannot be met by {members} founding members")]
    Threshold {
        /// Declared threshold.
        threshold: u16,
        /// Declared founders.
        members: usize,
    },
    /// A number that has to be positive is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
}

impl Charter {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn check(&self) -> Result<(), CharterError> {
        if self.name.is_empty() || self.name.len() > LABEL_BYTES_MAX {
            return Err(CharterError::Name);
        }
        let mut members = self.members.clone();
        members.sort();
        members.dedup();
        if members.is_empty() || members.len() > MEMBERS_MAX || members.len() != self.members.len() {
            return Err(CharterError::Members(self.members.len()));
        }
        if usize::from(self.admission_threshold) > members.len() {
            let (threshold, members) = (self.admission_threshold, members.len());
            return Err(CharterError::Threshold { threshold, members });
        }
        for (value, what) in [
            (u64::from(self.admission_threshold), "admission-threshold"),
            (self.freshness_s, "freshness-s"),
            (self.link_answer_s, "link-answer-s"),
        ] {
            if value == 0 {
                return Err(CharterError::Zero(what));
            }
        }
        Ok(())
    }
}

/// Says that an organisation accepts a charter and asks to be admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The mesh.
    pub mesh: MeshId,
}

/// What a member votes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ballot {
    /// Let the organisation in.
    Admit,
    /// Put the organisation out.
    Expel,
}

/// A member's vote about an organisation. Its latest vote counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// The mesh.
    pub mesh: MeshId,
    /// The organisation that is voted about.
    pub organisation: OrganisationId,
    /// The vote.
    pub ballot: Ballot,
}
