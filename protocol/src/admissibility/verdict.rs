//! The verdict: what was decided, on whose authority, and what is missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::count::SetCount;
use super::evidence::{Finding, Relation};
use crate::actuation::Mode;
use crate::actuation::governance::Governed;
use crate::codec::{self, CodecError};
use crate::ids::{AuthorityId, OrganisationId, StatementId};
use crate::mesh::Translation;
use crate::weighting::{Weighed, Weight};

/// How one profile came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its rule is satisfied.
    Admitted,
    /// Its rule is not satisfied.
    Unmet,
    /// Its rule might be satisfied by evidence that cannot be relied on at present.
    Unknown,
    /// A finding ends the matter.
    Vetoed,
}

/// How one requirement came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequirementState {
    /// Shown.
    Met,
    /// Not shown.
    Unmet,
    /// There is evidence that would show it, but it cannot be relied on at present.
    Unknown,
}

impl RequirementState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Unmet => "unmet",
            Self::Unknown => "unknown",
        }
    }
}

/// One piece of evidence, as one requirement saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Considered {
    /// The evidence.
    pub statement: StatementId,
    /// Who signed it.
    pub authority: AuthorityId,
    /// Whose authority that is.
    pub organisation: OrganisationId,
    /// How it relates to the subject.
    pub relation: Relation,
    /// What a recognition made of its terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translation: Option<Translation>,
    /// Its weight, with the derivation.
    pub weighed: Weighed,
    /// Why it was refused; accepted where there is no reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Reason>,
}

/// A reason with its code, for programs, and its words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Stable code in kebab case.
    pub code: String,
    /// What is so.
    pub text: String,
}

/// One requirement's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequirementOutcome {
    /// How it came out.
    pub state: RequirementState,
    /// What was considered for it, in the order of the statements' ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub considered: Vec<Considered>,
}

/// One profile's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileOutcome {
    /// The profile's name.
    pub profile: String,
    /// The statement that declared it.
    pub declared_by: StatementId,
    /// How it came out.
    pub outcome: Outcome,
    /// Requirement by requirement.
    pub requirements: BTreeMap<String, RequirementOutcome>,
    /// Findings that veto.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vetoes: Vec<Finding>,
}

/// A set of evidence that would have been enough, with the authorities behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SufficientSet {
    /// Statements.
    pub statements: Vec<StatementId>,
    /// Their authorities.
    pub authorities: Vec<AuthorityId>,
}

/// One requirement that is missing, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingRequirement {
    /// The profile that asks for it.
    pub profile: String,
    /// The requirement.
    pub requirement: String,
    /// How it stands.
    pub state: RequirementState,
    /// What would show it, and who is to be asked.
    pub way_out: String,
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// What may happen.
    pub mode: Mode,
    /// Scopes that may be acted in.
    pub scopes: BTreeMap<String, Vec<String>>,
    /// Scopes that were asked for and are withheld.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withheld: BTreeMap<String, Vec<String>>,
    /// Profile by profile, in the order of their names.
    pub profiles: Vec<ProfileOutcome>,
    /// Authorities without which the verdict falls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub necessary: Vec<AuthorityId>,
    /// Minimal sets of evidence that are enough: the first of them, the smallest first, then in the order in which the
    /// composed rule asks for the evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sufficient: Vec<SufficientSet>,
    /// How many minimal sufficient sets there are, those not listed included. None where the verdict does not admit, and
    /// where the bound of work was reached; what is listed then is minimal, but not always the smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sufficient_count: Option<SetCount>,
    /// Minimal sets of requirements that would turn the verdict, where it does not admit, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Vec<MissingRequirement>>,
    /// How many minimal missing sets there are, as for the sufficient ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_count: Option<SetCount>,
    /// Whether there are, or may be, more sets than are listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Component-wise minimum over the accepted evidence of the necessary authorities, or of all accepted evidence when
    /// no authority is necessary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// Why this mode, in words.
    pub reasons: Vec<Reason>,
    /// What governed the action besides profiles, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governed: Option<Box<Governed>>,
}

impl Verdict {
    /// The one encoding of this verdict.
    ///
    /// # Errors
    /// [`CodecError`], which no verdict causes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }
}
