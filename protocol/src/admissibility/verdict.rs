//! The verdict: what was decided, on whose authority, and what is missing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::count::SetCount;
use super::evidence::{Finding, Relation};
use crate::actuation::Mode;
use crate::actuation::governance::Governed;
use crate::codec::{self, CodecError};
use crate::ids::{AuthorityId, OrganisationId, StatementId, Timestamp};
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
    /// Its rule might be satisfied by evidence that cannot be relied on, or by organisations that cannot be heard, at
    /// present.
    Unknown,
    /// A finding ends the matter.
    Vetoed,
}

impl Outcome {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Unmet => "unmet",
            Self::Unknown => "unknown",
            Self::Vetoed => "vetoed",
        }
    }
}

/// How one requirement came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequirementState {
    /// Shown.
    Met,
    /// Not shown.
    Unmet,
    /// There is evidence that would show it, but it cannot be relied on at present; or those who may show it cannot be
    /// heard.
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
    #[serde(default, skip_serializing_if = "Option::is_none", with = "shared::option")]
    pub translation: Option<Arc<Translation>>,
    /// Its weight, with the derivation.
    pub weighed: Weighed,
    /// Why it was refused; accepted where there is no reason.
    #[serde(default, skip_serializing_if = "Reasons::is_empty")]
    pub refused: Reasons,
}

impl Considered {
    /// Whether all that speaks against it is that something is not known.
    pub fn is_unknown(&self) -> bool {
        !self.refused.is_empty() && self.refused.iter().all(|why| why.code.starts_with("unknown-"))
    }
}

/// A reason with its code, for programs, and its words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Stable code in kebab case.
    pub code: Cow<'static, str>,
    /// What is so.
    pub text: Cow<'static, str>,
}

impl Reason {
    pub(super) fn new(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), text: text.into() }
    }
}

/// Reasons that verdicts share while they stay the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasons(Option<Arc<[Reason]>>);

impl Reasons {
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<Vec<Reason>> for Reasons {
    fn from(reasons: Vec<Reason>) -> Self {
        Self((!reasons.is_empty()).then(|| reasons.into()))
    }
}

impl Deref for Reasons {
    type Target = [Reason];

    fn deref(&self) -> &[Reason] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.deref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reasons {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
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
    /// Organisations that it names, or that are recognised for what it asks where it names none, that cannot be heard at
    /// present, and without whom it is not known that it is unmet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<Unheard>,
}

/// An organisation that cannot be heard at present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unheard {
    /// The organisation.
    pub organisation: OrganisationId,
    /// When its chain was last confirmed, if it ever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
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
    #[serde(default, skip_serializing_if = "no_set", with = "shared::list")]
    pub sufficient: Arc<[SufficientSet]>,
    /// How many minimal sufficient sets there are, those not listed included. None where the verdict does not admit, and
    /// where the bound of work was reached; what is listed then is minimal, but not always the smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sufficient_count: Option<SetCount>,
    /// Minimal sets of requirements that would turn the verdict, where it does not admit, in the same order.
    #[serde(default, skip_serializing_if = "no_set", with = "shared::list")]
    pub missing: Arc<[Vec<MissingRequirement>]>,
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

/// What verdicts share is written as if each had its own.
mod shared {
    pub(super) mod list {
        use std::sync::Arc;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(in super::super) fn serialize<T: Serialize, S: Serializer>(
            list: &Arc<[T]>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            list.as_ref().serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Arc<[T]>, D::Error> {
            Vec::deserialize(deserializer).map(Arc::from)
        }
    }

    pub(super) mod option {
        use std::sync::Arc;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(in super::super) fn serialize<T: Serialize, S: Serializer>(
            value: &Option<Arc<T>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.as_deref().serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Arc<T>>, D::Error> {
            Ok(Option::deserialize(deserializer)?.map(Arc::new))
        }
    }
}

fn no_set<T>(sets: &[T]) -> bool {
    sets.is_empty()
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
