//! What a case consists of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::{AuthorityKind, Standing};
use crate::ids::{AuthorityId, OrganisationId, Position, StatementId, Timestamp};
use crate::lineage::EdgeKind;
use crate::mesh::{Outside, Recognition, Translation};
use crate::observation::{Observation, SubjectKey};
use crate::weighting::Ppm;

/// How evidence relates to what was asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It is about the subject itself.
    Itself,
    /// It is about something that the subject rests on, over these edges.
    Reached(Vec<EdgeKind>),
}

/// How well it is proven that a statement stands in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiptStanding {
    /// Not at all.
    None,
    /// By a head of its organisation.
    Receipted,
    /// By a head that a quorum of witnesses had seen at this time.
    Witnessed {
        /// When the quorum was reached.
        at: Timestamp,
    },
}

impl ReceiptStanding {
    /// When a quorum of witnesses had seen it, as far as that is proven.
    pub const fn witnessed(self) -> Option<Timestamp> {
        match self {
            Self::Witnessed { at } => Some(at),
            Self::None | Self::Receipted => None,
        }
    }
}

/// Whether the deciding organisation recognises the author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecognitionStanding {
    /// It is one of its own authorities.
    Own,
    /// By this statement.
    Recognised(StatementId),
    /// No.
    Unrecognised,
}

/// Whether what is known of a chain is recent enough to rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// Within the charter's limit.
    Fresh,
    /// Last confirmed so many seconds ago, beyond the limit.
    Stale {
        /// Age in seconds.
        age_s: u64,
    },
    /// As stale, and its organisation was asked in vain.
    Unreachable {
        /// When its chain was last confirmed.
        since: Timestamp,
    },
}

/// What came of it that evidence crossed from another organisation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crossing {
    /// What the recognition made of its terms.
    pub translation: Option<Arc<Translation>>,
    /// The most that its signer counts for in the dimension of authority.
    pub authority_cap: Option<Ppm>,
    /// Why the agreement that it is limited to does not let it be used.
    pub barred: Option<Outside>,
}

/// One observation, with all that decides what it is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The observation's statement.
    pub statement: StatementId,
    /// Whose chain it stands in.
    pub organisation: OrganisationId,
    /// Where.
    pub position: Position,
    /// Who signed.
    pub authority: AuthorityId,
    /// What the signer is.
    pub kind: AuthorityKind,
    /// The signer's role, in the deciding organisation's terms.
    pub role: String,
    /// Levels of delegation between the root keys and the signer.
    pub depth: u8,
    /// How the signer's credential stands for this statement.
    pub standing: Standing,
    /// What was observed; its claim is in the deciding organisation's terms.
    pub observation: Observation,
    /// How it relates to the request.
    pub relation: Relation,
    /// How well its place in the chain is proven.
    pub receipt: ReceiptStanding,
    /// Whether the deciding organisation recognises the signer.
    pub recognition: RecognitionStanding,
    /// The organisation's parent, as it declares it.
    pub parent: Option<String>,
    /// Whether what is known of the chain is recent.
    pub freshness: Freshness,
    /// What came of the crossing.
    pub crossing: Crossing,
}

/// An organisation that cannot be heard, and what it might say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Silence {
    /// When its chain was last confirmed, if it ever was.
    pub since: Option<Timestamp>,
    /// The decider's recognitions of it, in chain order; none where only its name in a requirement counts.
    pub recognitions: Vec<Recognition>,
}

/// What speaks against going ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Evidence or an artifact was withdrawn.
    Recall,
    /// An authority found against the subject.
    Adverse,
    /// An organisation in the lineage signed contradicting heads.
    Fork,
    /// An organisation disputes what the decision would rest on.
    Dispute,
}

impl FindingKind {
    /// Whether the evidence that it names cannot be relied on any more. What speaks against a subject, or is disputed,
    /// stands as evidence; a profile says whether it ends the matter.
    pub const fn withdraws(self) -> bool {
        match self {
            Self::Recall | Self::Fork => true,
            Self::Adverse | Self::Dispute => false,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Adverse => "adverse",
            Self::Fork => "fork",
            Self::Dispute => "dispute",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// The organisation that it comes from, or is about.
    pub organisation: OrganisationId,
    /// The statement that says so, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<StatementId>,
    /// Evidence that it takes the ground from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<StatementId>,
    /// Subjects that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<SubjectKey>,
    /// Why.
    pub reason: String,
}
