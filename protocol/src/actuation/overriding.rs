//! Emergency overrides: an authority lets an action go ahead that the profiles do not admit.
//!
//! An override is an act and no flag: a standing statement, signed by an authority whose credential carries a budget for
//! it, about one request, for a reason. The whole mesh sees it, no bundle can leave it out, and a nonconformity asks for
//! its review. It stands for one decision, made soon after it.

use serde::{Deserialize, Serialize};

use super::request::{Request, Reversibility};
use crate::admissibility::FindingKind;
use crate::codec;
use crate::digest::blake3;
use crate::identity::credential::pattern_matches;
use crate::ids::{AuthorityId, Bytes, Position, StatementId, Timestamp};
use crate::limits::{LABEL_BYTES_MAX, PROSE_BYTES_MAX, SUBJECTS_MAX};
use crate::observation::Subject;
use crate::statement::{Payload, Signatory, Verified};

/// Seconds after which an override stands for no decision any more.
pub const OVERRIDE_S: u64 = 3_600;

/// Lets one request go ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Digest of the request, see [`digest_of`].
    pub request: Bytes<32>,
    /// Its action class.
    pub action: String,
    /// Its subjects.
    pub subjects: Vec<Subject>,
    /// Why.
    pub reason: String,
}

/// How often an authority may override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideBudget {
    /// So many times.
    pub count: u32,
    /// In so many seconds.
    pub window_s: u64,
}

/// What a profile says about overrides. One that says nothing lets them pass missing evidence for what can be taken back
/// or made good, and no veto.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OverridePolicy {
    /// Action classes that nobody may override it for, as patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<String>,
    /// Findings whose veto an override may pass.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub vetoes: std::collections::BTreeSet<FindingKind>,
    /// Whether an irreversible action may be overridden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

/// An override as a decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overriding {
    /// Its statement.
    pub statement: StatementId,
    /// Who signed it.
    pub authority: AuthorityId,
    /// What it says.
    pub says: Override,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// What the signer's credential allows.
    pub budget: Option<OverrideBudget>,
    /// How many the signer had made in the budget's time, with this one.
    pub used: u32,
}

/// Why an override is not valid, or does not stand for a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideRefusal {
    /// It says nothing, or too much.
    #[error(
        "an override names an action, 1 to {SUBJECTS_MAX} subjects and a reason of 1 to {PROSE_BYTES_MAX} bytes"
    )]
    Form,
    /// The signer has no budget.
    #[error("the credential of {0} has no budget for overrides; `authority issue --overrides` gives one")]
    NoBudget(AuthorityId),
    /// The budget is spent.
    #[error("the budget of {authority} is spent: {count} overrides in {window_s} s; ask another authority")]
    Spent {
        /// Whose.
        authority: AuthorityId,
        /// How many it has.
        count: u32,
        /// In how many seconds.
        window_s: u64,
    },
    /// It is about something else.
    #[error("the override is about another request")]
    OtherRequest,
    /// It was signed too long ago, or is not signed yet.
    #[error("the override was signed at {0}, and stands for {OVERRIDE_S} s")]
    Time(Timestamp),
    /// A profile forbids it.
    #[error("profile {0} forbids overrides of this action")]
    Forbidden(String),
    /// A veto stands.
    #[error("profile {profile} lets no override pass its veto by {finding}")]
    Veto {
        /// Which profile.
        profile: String,
        /// The veto.
        finding: &'static str,
    },
    /// It could not be taken back.
    #[error("the action is irreversible, and profile {0} does not let overrides pass then")]
    Irreversible(String),
    /// Nothing stands in the way.
    #[error("the action may go ahead without an override; nothing was spent")]
    Needless,
}

impl OverrideRefusal {
    /// The name of the check that failed, for programs.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Form => "override-form",
            Self::NoBudget(_) => "override-credential",
            Self::Spent { .. } => "override-budget",
            Self::OtherRequest => "override-request",
            Self::Time(_) => "override-time",
            Self::Forbidden(_) => "override-forbidden",
            Self::Veto { .. } => "override-veto",
            Self::Irreversible(_) => "override-irreversible",
            Self::Needless => "override-needless",
        }
    }
}

/// Digest of a request's one encoding.
pub fn digest_of(request: &Request) -> Bytes<32> {
    // A request is plain data, which always has an encoding; the digest of nothing would match none.
    Bytes(blake3(&codec::encode(request).unwrap_or_default()))
}

impl Override {
    /// Overrides a request.
    pub fn of(request: &Request, reason: &str) -> Self {
        Self {
            request: digest_of(request),
            action: request.action.clone(),
            subjects: request.subjects.clone(),
            reason: reason.to_owned(),
        }
    }

    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`OverrideRefusal::Form`].
    pub fn check(&self) -> Result<(), OverrideRefusal> {
        let fits = (1..=LABEL_BYTES_MAX).contains(&self.action.len())
            && (1..=SUBJECTS_MAX).contains(&self.subjects.len())
            && (1..=PROSE_BYTES_MAX).contains(&self.reason.len());
        if fits { Ok(()) } else { Err(OverrideRefusal::Form) }
    }
}

impl OverridePolicy {
    /// Whether a profile with this policy, or none, lets an override of an action pass: `vetoes` are those that it has.
    ///
    /// # Errors
    /// [`OverrideRefusal`].
    pub fn admits(
        policy: Option<&Self>,
        profile: &str,
        action: &str,
        reversibility: Reversibility,
        vetoes: impl IntoIterator<Item = FindingKind>,
    ) -> Result<(), OverrideRefusal> {
        let none = Self::default();
        let policy = policy.unwrap_or(&none);
        if policy.forbidden.iter().any(|pattern| pattern_matches(pattern, action)) {
            return Err(OverrideRefusal::Forbidden(profile.to_owned()));
        }
        if let Some(veto) = vetoes.into_iter().find(|veto| !policy.vetoes.contains(veto)) {
            return Err(OverrideRefusal::Veto { profile: profile.to_owned(), finding: veto.name() });
        }
        if reversibility == Reversibility::Irreversible && !policy.irreversible {
            return Err(OverrideRefusal::Irreversible(profile.to_owned()));
        }
        Ok(())
    }
}

impl Overriding {
    /// Whether it stands for this request at this time, its signer's budget included.
    ///
    /// # Errors
    /// [`OverrideRefusal`].
    pub fn stands(&self, request: &Request, time: Timestamp) -> Result<(), OverrideRefusal> {
        if self.says.request != digest_of(request) {
            return Err(OverrideRefusal::OtherRequest);
        }
        if self.issued_at > time || time.since(self.issued_at) > OVERRIDE_S {
            return Err(OverrideRefusal::Time(self.issued_at));
        }
        within(self.authority, self.budget, self.used)
    }
}

/// Whether so many overrides, the one in question included, are within a budget.
///
/// # Errors
/// [`OverrideRefusal`].
pub fn within(
    authority: AuthorityId,
    budget: Option<OverrideBudget>,
    used: u32,
) -> Result<(), OverrideRefusal> {
    let Some(OverrideBudget { count, window_s }) = budget else {
        return Err(OverrideRefusal::NoBudget(authority));
    };
    if used > count { Err(OverrideRefusal::Spent { authority, count, window_s }) } else { Ok(()) }
}

/// How many overrides an authority had signed before a position, of those that still count at a time.
pub fn used<'a>(
    standing: impl IntoIterator<Item = &'a Verified>,
    authority: AuthorityId,
    before: Position,
    budget: OverrideBudget,
    at: Timestamp,
) -> u32 {
    let counts = |verified: &&Verified| {
        matches!(verified.payload(), Payload::Override(_))
            && verified.signatory() == Signatory::Authority(authority)
            && verified.position() < before
            && verified.statement().header().issued_at.plus(budget.window_s) > at
    };
    u32::try_from(standing.into_iter().filter(counts).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn request() -> Request {
        Request {
            action: "deploy/triage".into(),
            subjects: vec![Subject::Named("model".into())],
            actuator: "pacs".into(),
            scopes: BTreeMap::new(),
            predicted: BTreeMap::new(),
            reversibility: Reversibility::Reversible,
            harm: Vec::new(),
            purpose: String::new(),
        }
    }

    fn overriding(used: u32) -> Overriding {
        Overriding {
            statement: StatementId::from_bytes([1; 32]),
            authority: AuthorityId::from_bytes([2; 32]),
            says: Override::of(&request(), "mass casualty"),
            issued_at: Timestamp(1000),
            budget: Some(OverrideBudget { count: 2, window_s: 86_400 }),
            used,
        }
    }

    #[test]
    fn an_override_stands_for_one_request_for_a_while_and_within_the_budget() {
        let stands = |one: &Overriding, request: &Request, at| {
            one.stands(request, Timestamp(at)).map_err(|refusal| refusal.check())
        };
        assert_eq!(stands(&overriding(2), &request(), 1000), Ok(()));
        assert_eq!(stands(&overriding(2), &request(), 1000 + OVERRIDE_S), Ok(()));
        assert_eq!(stands(&overriding(2), &request(), 1001 + OVERRIDE_S), Err("override-time"));
        assert_eq!(stands(&overriding(2), &request(), 999), Err("override-time"));
        assert_eq!(stands(&overriding(3), &request(), 1000), Err("override-budget"));
        assert_eq!(
            stands(&Overriding { budget: None, ..overriding(1) }, &request(), 1000),
            Err("override-credential")
        );
        let other = Request { actuator: "ris".into(), ..request() };
        assert_eq!(stands(&overriding(1), &other, 1000), Err("override-request"));
        assert_eq!(overriding(1).says.check(), Ok(()));
        assert_eq!(Override::of(&request(), "").check(), Err(OverrideRefusal::Form));
    }

    #[test]
    fn a_profile_says_what_an_override_may_pass() {
        let admits = |policy: Option<&OverridePolicy>, reversibility, vetoes: &[FindingKind]| {
            OverridePolicy::admits(policy, "p", "deploy/triage", reversibility, vetoes.iter().copied())
                .map_err(|refusal| refusal.check())
        };
        let (reversible, irreversible) = (Reversibility::Reversible, Reversibility::Irreversible);
        assert_eq!(admits(None, reversible, &[]), Ok(()));
        assert_eq!(admits(None, Reversibility::Compensable, &[]), Ok(()));
        assert_eq!(admits(None, irreversible, &[]), Err("override-irreversible"));
        assert_eq!(admits(None, reversible, &[FindingKind::Recall]), Err("override-veto"));
        let lenient = OverridePolicy {
            forbidden: Vec::new(),
            vetoes: BTreeSet::from([FindingKind::Recall]),
            irreversible: true,
        };
        assert_eq!(admits(Some(&lenient), irreversible, &[FindingKind::Recall]), Ok(()));
        let both = [FindingKind::Recall, FindingKind::Fork];
        assert_eq!(admits(Some(&lenient), irreversible, &both), Err("override-veto"));
        let strict = OverridePolicy { forbidden: vec!["deploy/*".into()], ..lenient };
        assert_eq!(admits(Some(&strict), reversible, &[]), Err("override-forbidden"));
    }
}
