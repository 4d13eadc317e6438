//! The same decision under other circumstances: evidence left out, supposed or withdrawn, another time, another profile.
//!
//! Pure: it takes what a recorded decision was made from, and gives two verdicts side by side. Nothing is recorded.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::evaluate::{Case, DeclaredProfile, evaluate};
use super::evidence::Evidence;
use super::gather::{GatherError, Inputs, case};
use super::profile::Profile;
use super::verdict::{Considered, RequirementState, Verdict};
use crate::actuation::Mode;
use crate::identity::Standing;
use crate::ids::{AuthorityId, StatementId, Timestamp};

/// What is supposed.
#[derive(Debug, Clone, Default)]
pub struct Supposition {
    /// Evidence, recalls and recognitions that would not be there.
    pub without: BTreeSet<StatementId>,
    /// Evidence that would be there.
    pub with: Vec<Evidence>,
    /// Authorities whose credentials would have been revoked before they spoke.
    pub revoked: BTreeSet<AuthorityId>,
    /// When it would be asked. Chains are known to be as fresh then as they were.
    pub at: Option<Timestamp>,
}

/// Why nothing can be supposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuppositionError {
    /// A statement that plays no part.
    #[error("{0} plays no part in this decision; `why` lists what does")]
    Statement(StatementId),
    /// An authority that plays no part.
    #[error("no evidence of this decision is by {0}; `why` lists the authorities")]
    Authority(AuthorityId),
    /// It is not an earlier time that can be asked about.
    #[error("{at} lies before the decision, which was made at {decided}; leave evidence out instead")]
    Earlier {
        /// The time asked about.
        at: Timestamp,
        /// When it was decided.
        decided: Timestamp,
    },
    /// See the inner error.
    #[error("{0}")]
    Gather(#[from] GatherError),
}

/// Two verdicts, and what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// As it was decided.
    pub before: Verdict,
    /// As it would be.
    pub after: Verdict,
    /// What differs.
    pub difference: Difference,
}

/// What differs between two verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The modes.
    pub mode: (Mode, Mode),
    /// Requirements that came out otherwise, or are there in one of them only.
    pub requirements: Vec<RequirementDifference>,
    /// Authorities that are necessary now, and were not.
    pub newly_necessary: Vec<AuthorityId>,
    /// Authorities that were necessary, and are not.
    pub no_longer_necessary: Vec<AuthorityId>,
    /// Scopes withheld now, and before.
    pub withheld: (BTreeMap<String, Vec<String>>, BTreeMap<String, Vec<String>>),
    /// Whether the verdicts are the same in every byte.
    pub is_same: bool,
}

/// How one requirement came out in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementDifference {
    /// The profile.
    pub profile: String,
    /// The requirement.
    pub requirement: String,
    /// As it was.
    pub before: Option<RequirementState>,
    /// As it would be.
    pub after: Option<RequirementState>,
    /// Evidence that would be refused, and was not, or would not be there; and why.
    pub lost: Vec<(StatementId, String)>,
    /// Evidence that would be accepted, and was not.
    pub gained: Vec<StatementId>,
}

/// Decides again as it was decided, and as it would be.
///
/// # Errors
/// [`SuppositionError`].
pub fn what_if(mut inputs: Inputs<'_>, suppose: &Supposition) -> Result<Comparison, SuppositionError> {
    let decided = case(&inputs)?;
    let before = evaluate(&decided).map_err(GatherError::from)?;
    for id in &suppose.without {
        let is_evidence = inputs.evidence.iter().any(|verified| verified.id() == *id);
        let is_standing =
            inputs.chains.values().any(|chain| chain.standing.iter().any(|verified| verified.id() == *id));
        if !is_evidence && !is_standing {
            return Err(SuppositionError::Statement(*id));
        }
    }
    inputs.evidence.retain(|verified| !suppose.without.contains(&verified.id()));
    for chain in inputs.chains.values_mut() {
        chain.standing.retain(|verified| !suppose.without.contains(&verified.id()));
    }
    if let Some(at) = suppose.at {
        let decided = inputs.time;
        if at < decided {
            return Err(SuppositionError::Earlier { at, decided });
        }
        inputs.time = at;
        for chain in inputs.chains.values_mut() {
            chain.basis.seen = chain.basis.seen.plus(at.since(decided));
        }
    }
    let mut supposed = case(&inputs)?;
    for authority in &suppose.revoked {
        let mut is_there = false;
        for item in supposed.evidence.iter_mut().filter(|item| item.authority == *authority) {
            item.standing = Standing::Revoked;
            is_there = true;
        }
        if !is_there {
            return Err(SuppositionError::Authority(*authority));
        }
    }
    supposed.evidence.extend(suppose.with.iter().cloned());
    let after = evaluate(&supposed).map_err(GatherError::from)?;
    let difference = difference(&before, &after);
    Ok(Comparison { before, after, difference })
}

/// The case with `profile` in the place of the one of the same name, or beside the others.
#[must_use]
pub fn with_profile(mut case: Case, declared_by: StatementId, profile: &Profile) -> Case {
    let declared = DeclaredProfile { declared_by, profile: profile.clone() };
    match case.profiles.iter_mut().find(|other| other.profile.id == profile.id) {
        Some(slot) => *slot = declared,
        None => case.profiles.push(declared),
    }
    case
}

/// What differs between two verdicts about one request.
pub fn difference(before: &Verdict, after: &Verdict) -> Difference {
    let names = |verdict: &Verdict| -> BTreeSet<(String, String)> {
        let each = verdict.profiles.iter().flat_map(|profile| {
            profile.requirements.keys().map(|name| (profile.profile.clone(), name.clone()))
        });
        each.collect()
    };
    let all: BTreeSet<_> = names(before).union(&names(after)).cloned().collect();
    let requirements = all.into_iter().filter_map(|(profile, requirement)| {
        let (old, new) = (find(before, &profile, &requirement), find(after, &profile, &requirement));
        let (before, after) = (old.map(|(state, _)| state), new.map(|(state, _)| state));
        let (old, new) = (old.map_or(&[][..], |(_, items)| items), new.map_or(&[][..], |(_, items)| items));
        let (lost, gained) = (lost(old, new), accepted(new).difference(&accepted(old)).copied().collect());
        let differs = RequirementDifference { profile, requirement, before, after, lost, gained };
        (before != after || !differs.lost.is_empty() || !differs.gained.is_empty()).then_some(differs)
    });
    let requirements = requirements.collect();
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (before.necessary.iter().copied().collect(), after.necessary.iter().copied().collect());
    Difference {
        mode: (before.mode, after.mode),
        requirements,
        newly_necessary: new.difference(&old).copied().collect(),
        no_longer_necessary: old.difference(&new).copied().collect(),
        withheld: (after.withheld.clone(), before.withheld.clone()),
        is_same: before == after,
    }
}

fn find<'v>(
    verdict: &'v Verdict,
    profile: &str,
    requirement: &str,
) -> Option<(RequirementState, &'v [Considered])> {
    let outcome = verdict.profiles.iter().find(|outcome| outcome.profile == profile)?;
    let found = outcome.requirements.get(requirement)?;
    Some((found.state, found.considered.as_slice()))
}

fn accepted(items: &[Considered]) -> BTreeSet<StatementId> {
    items.iter().filter(|item| item.refused.is_empty()).map(|item| item.statement).collect()
}

fn lost(before: &[Considered], after: &[Considered]) -> Vec<(StatementId, String)> {
    let (old, new) = (accepted(before), accepted(after));
    old.difference(&new)
        .map(|id| {
            let why = after.iter().find(|item| item.statement == *id).map_or_else(
                || "it would not be there".to_owned(),
                |item| item.refused.iter().map(|reason| &*reason.text).collect::<Vec<_>>().join("; "),
            );
            (*id, why)
        })
        .collect()
}
