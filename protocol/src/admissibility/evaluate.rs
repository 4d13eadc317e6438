//! From a case to a verdict.
// INVARIANT(6): a verdict is a pure function of (profiles, evidence, request, time). Everything is sorted before it is
// looked at, and there are no floats. What is kept from one decision to the next changes what one costs, and no byte.

use std::collections::BTreeMap;

use super::evidence::{Evidence, Finding, Silence};
use super::expression::Expressions;
use super::prepare::Prepared;
use super::profile::{Composition, Profile};
use super::verdict::Verdict;
use crate::actuation::governance::Governance;
use crate::actuation::{Request, RequestError};
use crate::ids::{OrganisationId, StatementId, Timestamp};

/// A profile that was declared and is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredProfile {
    /// The statement that declared it.
    pub declared_by: StatementId,
    /// The profile.
    pub profile: Profile,
}

/// All that a verdict depends on.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is asked.
    pub request: Request,
    /// When.
    pub time: Timestamp,
    /// Profiles in force.
    pub profiles: Vec<DeclaredProfile>,
    /// How they compose.
    pub composition: Composition,
    /// Evidence.
    pub evidence: Vec<Evidence>,
    /// Findings.
    pub findings: Vec<Finding>,
    /// Organisations whose chains are too old to rely on, or were asked for in vain and never came, or who have named what
    /// did not come.
    pub unheard: BTreeMap<OrganisationId, Silence>,
    /// What governs the action besides profiles.
    pub governance: Governance,
}

/// Why a case cannot be evaluated at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// See the inner error.
    #[error("request: {0}")]
    Request(#[from] RequestError),
    /// No profile applies, so nothing could admit or refuse.
    #[error("no active profile applies to action {0:?}; declare and activate one")]
    NoProfile(String),
    /// Too many profiles or too much evidence.
    #[error("{found} {what}, more than the {max} that one decision weighs")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The composition names a profile that is not there.
    #[error("the composition names profile {0:?}, which is not among those that apply")]
    Composition(String),
}

/// Evaluates a case.
///
/// # Errors
/// [`CaseError`] when there is nothing to evaluate. Missing evidence is no error but part of the verdict.
pub fn evaluate(case: &Case) -> Result<Verdict, CaseError> {
    case.request.check()?;
    Prepared::new(case, &mut Expressions::default())?.verdict(case)
}
