//! The charter: a mesh's constitution, founded by one organisation and joined by others.

use serde::{Deserialize, Serialize};

use crate::digest::{blake3_in, context};
use crate::ids::{MeshId, OrganisationId, StatementId, Timestamp};
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
    /// How many members must vote for a change of the terms; as many as for an admission where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amendment_threshold: Option<u16>,
    /// Most witnesses of one chain; [`WITNESSES`] where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<u16>,
}

/// Most witnesses of one chain where the charter does not say.
pub const WITNESSES: u16 = 7;

/// What a charter says beside its name and founders, and what an amendment may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Terms {
    /// As in the charter.
    pub admission_threshold: u16,
    /// As in the charter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amendment_threshold: Option<u16>,
    /// As in the charter.
    pub witness_quorum: u16,
    /// As in the charter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<u16>,
    /// As in the charter.
    pub freshness_s: u64,
    /// As in the charter.
    pub link_answer_s: u64,
    /// As in the charter.
    #[serde(default, skip_serializing_if = "OnFork::is_default")]
    pub on_fork: OnFork,
}

/// A member's vote for new terms: whoever says the same about the same version votes for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// The mesh.
    pub mesh: MeshId,
    /// The version that the terms are to be; the charter's own are version 0.
    pub version: u64,
    /// The terms.
    pub terms: Terms,
}

impl Amendment {
    /// Names what is voted for: BLAKE3 in key-derivation mode over the mesh, the version, and each of the terms as 8 bytes,
    /// big endian, in their order above; zero is what is not said.
    pub fn digest(&self) -> [u8; 32] {
        let terms = &self.terms;
        let numbers = [
            self.version,
            u64::from(terms.admission_threshold),
            u64::from(terms.amendment_threshold.unwrap_or_default()),
            u64::from(terms.witness_quorum),
            u64::from(terms.witnesses.unwrap_or_default()),
            terms.freshness_s,
            terms.link_answer_s,
            u64::from(terms.on_fork == OnFork::Keep),
        ];
        let numbers: Vec<[u8; 8]> = numbers.into_iter().map(u64::to_be_bytes).collect();
        let mut parts: Vec<&[u8]> = vec![self.mesh.as_bytes()];
        parts.extend(numbers.iter().map(|number| number.as_slice()));
        blake3_in(context::AMENDMENT, &parts)
    }
}

impl Terms {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`CharterError::Zero`].
    pub fn check(&self) -> Result<(), CharterError> {
        for (value, what) in [
            (u64::from(self.admission_threshold), "admission-threshold"),
            (u64::from(self.amendment_threshold.unwrap_or(1)), "amendment-threshold"),
            (u64::from(self.witnesses.unwrap_or(1)), "witnesses"),
            (self.freshness_s, "freshness-s"),
            (self.link_answer_s, "link-answer-s"),
        ] {
            if value == 0 {
                return Err(CharterError::Zero(what));
            }
        }
        Ok(())
    }

    /// The most votes that anything needs under these terms.
    pub fn highest_threshold(&self) -> usize {
        usize::from(self.admission_threshold.max(self.amendment_threshold.unwrap_or_default()))
    }
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
    #[error("a threshold of {threshold} votes cannot be met by {members} founding members")]
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
        let terms = self.terms();
        if terms.highest_threshold() > members.len() {
            let threshold = u16::try_from(terms.highest_threshold()).unwrap_or(u16::MAX);
            return Err(CharterError::Threshold { threshold, members: members.len() });
        }
        terms.check()
    }

    /// What it says beside its name and founders.
    pub const fn terms(&self) -> Terms {
        Terms {
            admission_threshold: self.admission_threshold,
            amendment_threshold: self.amendment_threshold,
            witness_quorum: self.witness_quorum,
            witnesses: self.witnesses,
            freshness_s: self.freshness_s,
            link_answer_s: self.link_answer_s,
            on_fork: self.on_fork,
        }
    }

    /// This charter under other terms.
    #[must_use]
    pub fn under(&self, terms: &Terms) -> Self {
        Self {
            name: self.name.clone(),
            members: self.members.clone(),
            admission_threshold: terms.admission_threshold,
            witness_quorum: terms.witness_quorum,
            freshness_s: terms.freshness_s,
            link_answer_s: terms.link_answer_s,
            on_fork: terms.on_fork,
            amendment_threshold: terms.amendment_threshold,
            witnesses: terms.witnesses,
        }
    }
}

/// Says that an organisation accepts a charter and asks to be admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The mesh.
    pub mesh: MeshId,
    /// The invitation that it follows, in a member's chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<StatementId>,
}

/// A member's word that an organisation, or any that shows this, is welcome to ask for admission. It admits nobody: votes
/// do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The mesh.
    pub mesh: MeshId,
    /// Who is invited; anybody where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
    /// Until when.
    pub expires: Timestamp,
}

impl Invitation {
    /// Whether `organisation` may follow it at `now`.
    pub fn admits(&self, organisation: &OrganisationId, now: Timestamp) -> bool {
        self.organisation.is_none_or(|invited| invited == *organisation) && now <= self.expires
    }
}

/// Says that an organisation leaves a mesh, at once. To come back it asks again, and is voted for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leave {
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
    /// The statement by which the organisation left, when it is to be let in again after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<StatementId>,
}
