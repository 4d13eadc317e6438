//! From what profiles say to what may happen: harm, reversibility, stages, and an override come in here.
//!
//! ```text
//! profiles' verdict --> missing? --> refuse by harm | a declared part by degradation
//!                   --> admitted? --> a person where harm asks for one
//!                   --> stage --> override --> verdict
//! ```

use std::borrow::Cow;
use std::sync::Arc;

use super::conclude::admits;
use super::evaluate::{Case, CaseError};
use super::prepare::rule_holds;
use super::profile::{Profile, ScopeLimit};
use super::verdict::{Considered, Outcome, ProfileOutcome, Reason, RequirementState, Verdict};
use crate::actuation::governance::{Governed, OrderingRuling, OverrideRuling, StageRuling};
use crate::actuation::overriding::{OverridePolicy, OverrideRefusal};
use crate::actuation::{HarmOrdering, Mode, Reversibility};
use crate::identity::AuthorityKind;
use crate::ids::StatementId;
use crate::limits::ACTION_CLASSES_MAX;

/// Applies what governs the action to what the profiles say, which are in the order of the verdict's.
///
/// # Errors
/// [`CaseError::TooMany`] declarations.
pub(super) fn govern(case: &Case, profiles: Vec<&Profile>, verdict: Verdict) -> Result<Verdict, CaseError> {
    let classes: Vec<StatementId> =
        case.governance.classes_of(&case.request.action).iter().map(|class| class.statement).collect();
    if classes.len() > ACTION_CLASSES_MAX {
        let (what, found, max) = ("action classes", classes.len(), ACTION_CLASSES_MAX);
        return Err(CaseError::TooMany { what, found, max });
    }
    let ruling = Governed {
        reversibility: case.governance.reversibility(&case.request),
        harm: case.governance.harm(&case.request),
        classes,
        orderings: Vec::new(),
        stage: None,
        degraded: false,
        overridden: None,
    };
    let mut governing = Governing { case, profiles, verdict, ruling };
    governing.run();
    Ok(governing.finish())
}

struct Governing<'a> {
    case: &'a Case,
    profiles: Vec<&'a Profile>,
    verdict: Verdict,
    ruling: Governed,
}

impl<'a> Governing<'a> {
    fn run(&mut self) {
        self.correct();
        let orderings = self.orderings();
        let is_vetoed = self.verdict.profiles.iter().any(|profile| profile.outcome == Outcome::Vetoed);
        if !is_vetoed && !self.admits(|profile, _| profile.outcome == Outcome::Admitted) {
            self.miss(&orderings);
        }
        if self.proceeds() {
            self.ask_for_a_person(&orderings);
        }
        if self.proceeds() {
            self.stage();
        }
        self.overrule();
    }

    fn finish(mut self) -> Verdict {
        let says_something = !self.ruling.classes.is_empty()
            || !self.ruling.orderings.is_empty()
            || self.ruling.degraded
            || self.ruling.overridden.is_some();
        self.verdict.governed = says_something.then(|| Box::new(self.ruling));
        self.verdict
    }

    fn say(&mut self, code: &'static str, text: impl Into<Cow<'static, str>>) {
        self.verdict.reasons.push(Reason::new(code, text));
    }

    fn proceeds(&self) -> bool {
        matches!(self.verdict.mode, Mode::Continue | Mode::Partial)
    }

    /// Says where the declared class is stricter than the request claims.
    fn correct(&mut self) {
        let (claimed, declared) = (self.case.request.reversibility, self.ruling.reversibility);
        if claimed != declared {
            let text = format!(
                "the request claims {}, and its action class is declared {}, which counts",
                claimed.name(),
                declared.name()
            );
            self.say("action-class", text);
        }
    }

    /// The orderings of the jurisdictions in question, each with how grave the harm is by it.
    // INVARIANT(7): an action that no class covers counts as gravest, whatever its request claims.
    fn orderings(&mut self) -> Vec<(&'a HarmOrdering, usize)> {
        let is_asked = |jurisdiction: &String| {
            self.case.governance.jurisdictions.contains(jurisdiction)
                || self.profiles.iter().any(|profile| profile.jurisdictions.contains(jurisdiction))
        };
        let mut found: Vec<_> = self
            .case
            .governance
            .orderings
            .iter()
            .filter(|declared| is_asked(&declared.says.jurisdiction))
            .map(|declared| {
                let ordering = &declared.says;
                let is_classified = !self.ruling.classes.is_empty();
                let gravity =
                    if is_classified { ordering.gravity(&self.ruling.harm) } else { ordering.order.len() };
                (declared.statement, ordering, gravity)
            })
            .collect();
        found.sort_by_key(|(statement, ..)| *statement);
        let short = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.ruling.orderings = found
            .iter()
            .map(|(statement, ordering, gravity)| OrderingRuling {
                declared_by: *statement,
                jurisdiction: ordering.jurisdiction.clone(),
                gravity: short(*gravity),
                of: short(ordering.order.len()),
            })
            .collect();
        found.into_iter().map(|(_, ordering, gravity)| (ordering, gravity)).collect()
    }

    /// Whether the profiles together would admit if those that count here did and no other.
    fn admits(&self, counts: impl Fn(&ProfileOutcome, &Profile) -> bool) -> bool {
        let outcomes = self.verdict.profiles.iter().zip(&self.profiles);
        admits(
            &self.case.composition,
            outcomes.map(|(outcome, profile)| (profile.id.as_str(), counts(outcome, profile))),
        )
    }

    /// Something is missing.
    fn miss(&mut self, orderings: &[(&HarmOrdering, usize)]) {
        for (ordering, gravity) in orderings {
            let threshold = ordering.refuse_missing_from.as_ref();
            if let Some(from) = threshold.filter(|_| ordering.reaches(*gravity, threshold)) {
                let (jurisdiction, of) = (&ordering.jurisdiction, ordering.order.len());
                let text = format!(
                    "information is missing, and the harm has gravity {gravity} of {of} in {jurisdiction}: refused \
                     from {from} on; what is missing would turn it"
                );
                self.verdict.mode = Mode::Refuse;
                self.say("harm", text);
            }
        }
        if self.verdict.mode == Mode::Defer {
            self.degrade();
        }
    }

    /// Where evidence is there and only cannot be relied on at present, profiles may let a declared part of a reversible
    /// action go ahead.
    // INVARIANT(7): unknown admits nothing by itself; the part is declared beforehand, and recorded as such.
    fn degrade(&mut self) {
        let is_degradable = |outcome: &ProfileOutcome, profile: &Profile| match outcome.outcome {
            Outcome::Admitted => true,
            Outcome::Unknown => !profile.degraded.is_empty() && is_there(outcome, profile),
            Outcome::Unmet | Outcome::Vetoed => false,
        };
        if self.ruling.reversibility != Reversibility::Reversible || !self.admits(is_degradable) {
            return;
        }
        let mut scopes = self.case.request.scopes.clone();
        let unknown = self.verdict.profiles.iter().zip(&self.profiles);
        for (_, profile) in unknown.filter(|(outcome, _)| outcome.outcome == Outcome::Unknown) {
            for (dimension, values) in &mut scopes {
                let allowed = profile.degraded.get(dimension).map_or(&[][..], Vec::as_slice);
                values.retain(|value| allowed.contains(value));
            }
        }
        for limit in self.unlifted() {
            if let Some(values) = scopes.get_mut(&limit.dimension) {
                values.retain(|value| limit.allow.contains(value));
            }
        }
        if scopes.is_empty() || scopes.values().any(Vec::is_empty) {
            self.say("nothing-left", "what may go ahead without this evidence was not requested");
            return;
        }
        self.ruling.degraded = true;
        self.verdict.mode = Mode::Partial;
        self.grant(scopes);
        self.say(
            "degraded",
            "evidence cannot be relied on at present; the profiles let a declared part go ahead without it",
        );
    }

    /// Limits that hold because what would lift them is not met.
    fn unlifted(&self) -> Vec<&'a ScopeLimit> {
        let outcomes = self.verdict.profiles.iter().zip(&self.profiles);
        outcomes
            .flat_map(|(outcome, profile)| profile.limits.iter().map(move |limit| (outcome, limit)))
            .filter(|(outcome, limit)| state(outcome, &limit.unless) != RequirementState::Met)
            .map(|(_, limit)| limit)
            .collect()
    }

    fn ask_for_a_person(&mut self, orderings: &[(&HarmOrdering, usize)]) {
        let asking = orderings
            .iter()
            .find(|(ordering, gravity)| ordering.reaches(*gravity, ordering.human_role_from.as_ref()));
        let Some((ordering, gravity)) = asking else { return };
        let accepted = self
            .verdict
            .profiles
            .iter()
            .flat_map(|profile| profile.requirements.values())
            .filter(|requirement| requirement.state == RequirementState::Met)
            .flat_map(|requirement| &requirement.considered)
            .filter(|considered| considered.refused.is_empty());
        let is_person = |authority| {
            let mut evidence = self.case.evidence.iter();
            evidence.any(|item| item.authority == authority && item.kind == AuthorityKind::HumanRole)
        };
        if accepted.map(|considered| considered.authority).any(is_person) {
            return;
        }
        let (jurisdiction, of) = (&ordering.jurisdiction, ordering.order.len());
        let text = format!(
            "the harm has gravity {gravity} of {of} in {jurisdiction}, where a person in a role has to be among the \
             authorities: an observation by one that a requirement accepts would turn it"
        );
        self.defer("human-role", text);
    }

    /// Limits the action to its current stage.
    fn stage(&mut self) {
        let Some((class, stages)) = self.case.governance.stages(&self.case.request.action) else { return };
        let of = u32::try_from(stages.steps.len()).unwrap_or(u32::MAX);
        let cleared = self.case.governance.cleared.filter(|cleared| cleared.class == class);
        let cleared = cleared.map_or(0, |cleared| cleared.stages).min(of);
        let ruling = StageRuling { class, dimension: stages.dimension.clone(), cleared, of };
        let current = ruling.current();
        self.ruling.stage = Some(ruling);
        let Some((number, _)) = current else { return };
        let Some(step) = stages.steps.get(cleared as usize) else { return };
        let mut scopes = self.verdict.scopes.clone();
        let kept = scopes.get_mut(&stages.dimension).map(|values| {
            values.retain(|value| step.contains(value));
            values.len()
        });
        if kept.unwrap_or(0) == 0 {
            let text = format!(
                "stage {number} of {of} is for {} {}, which was not requested or is withheld",
                stages.dimension,
                step.join(", ")
            );
            self.defer("stage", text);
            return;
        }
        self.grant(scopes);
        if !self.verdict.withheld.is_empty() {
            self.verdict.mode = Mode::Partial;
            let text = format!(
                "stage {number} of {of}: {} {}; the next needs the effect of this one, as predicted, and a decision",
                stages.dimension,
                step.join(", ")
            );
            self.say("stage", text);
        }
    }

    fn overrule(&mut self) {
        let Some(overriding) = &self.case.governance.overriding else { return };
        if let Err(refusal) = self.may_override() {
            self.verdict.reasons.push(refused(&refusal));
            return;
        }
        let budget = overriding.budget.map_or(0, |budget| budget.count);
        let ruling = OverrideRuling {
            statement: overriding.statement,
            authority: overriding.authority,
            reason: overriding.says.reason.clone(),
            instead_of: self.verdict.mode,
            left: budget.saturating_sub(overriding.used),
        };
        let text = format!(
            "{} lets it go ahead in place of {}: {}",
            overriding.authority, ruling.instead_of, ruling.reason
        );
        self.verdict.mode = Mode::Continue;
        self.grant(self.case.request.scopes.clone());
        self.ruling.overridden = Some(ruling);
        self.say("override", text);
    }

    fn may_override(&self) -> Result<(), OverrideRefusal> {
        if self.proceeds() {
            return Err(OverrideRefusal::Needless);
        }
        let Some(overriding) = &self.case.governance.overriding else { return Ok(()) };
        overriding.stands(&self.case.request, self.case.time)?;
        may_override(self.case, &self.verdict, self.ruling.reversibility)
    }

    fn defer(&mut self, code: &'static str, text: String) {
        let verdict = &mut self.verdict;
        verdict.mode = Mode::Defer;
        verdict.necessary.clear();
        verdict.sufficient = Arc::default();
        (verdict.sufficient_count, verdict.weight, verdict.truncated) = (None, None, false);
        let nothing = self.case.request.scopes.keys().map(|dimension| (dimension.clone(), Vec::new()));
        self.grant(nothing.collect());
        self.say(code, text);
    }

    /// Grants these scopes, and withholds what was requested besides.
    fn grant(&mut self, scopes: std::collections::BTreeMap<String, Vec<String>>) {
        let mut withheld = self.case.request.scopes.clone();
        for (dimension, values) in &mut withheld {
            let granted = scopes.get(dimension).map_or(&[][..], Vec::as_slice);
            values.retain(|value| !granted.contains(value));
        }
        withheld.retain(|_, values| !values.is_empty());
        self.verdict.scopes = scopes;
        self.verdict.withheld = withheld;
    }
}

/// Whether the profiles of a case let an override pass a verdict that does not admit.
///
/// # Errors
/// [`OverrideRefusal`].
pub fn may_override(
    case: &Case,
    verdict: &Verdict,
    reversibility: Reversibility,
) -> Result<(), OverrideRefusal> {
    for outcome in &verdict.profiles {
        let declared = case.profiles.iter().find(|declared| declared.declared_by == outcome.declared_by);
        let policy = declared.and_then(|declared| declared.profile.overrides.as_ref());
        let vetoes = outcome.vetoes.iter().map(|finding| finding.kind);
        let action = &case.request.action;
        OverridePolicy::admits(policy, &outcome.profile, action, reversibility, vetoes)?;
    }
    Ok(())
}

fn refused(refusal: &OverrideRefusal) -> Reason {
    Reason::new(refusal.check(), refusal.to_string())
}

/// Whether the rule would hold if the evidence that is there could be relied on. Silence alone lets nothing go ahead.
fn is_there(outcome: &ProfileOutcome, profile: &Profile) -> bool {
    rule_holds(&profile.rule, &|name| {
        outcome.requirements.get(name).is_some_and(|found| {
            found.state == RequirementState::Met || found.considered.iter().any(Considered::is_unknown)
        })
    })
}

fn state(outcome: &ProfileOutcome, requirement: &str) -> RequirementState {
    outcome.requirements.get(requirement).map_or(RequirementState::Unmet, |found| found.state)
}
