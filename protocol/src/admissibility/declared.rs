//! What governs a request besides profiles, read from the chains: declarations in force, stages that were cleared, the
//! override that is asked under.

use std::collections::{BTreeMap, BTreeSet};

use super::gather::{ChainView, Inputs};
use super::verdict::Verdict;
use crate::actuation::governance::{Cleared, Declared, Governance};
use crate::actuation::overriding::{Overriding, used};
use crate::actuation::{Effect, Permit, Request};
use crate::admissibility::Decision;
use crate::codec;
use crate::ids::{OrganisationId, Position, StatementId};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::observation::{Subject, SubjectKey};
use crate::statement::{Payload, Signatory, Verified};

/// The claim for which a foreign authority is recognised whose action classes count here.
pub const ACTION_CLASS_CLAIM: &str = "action-class";
/// The claim for which a foreign authority is recognised whose harm orderings count here.
pub const HARM_ORDERING_CLAIM: &str = "harm-ordering";

/// Reads what governs the request of a case.
pub fn governance(inputs: &Inputs<'_>, own: &ChainView<'_>) -> Governance {
    let classes = declarations(inputs, own, ACTION_CLASS_CLAIM, |payload| match payload {
        Payload::ActionClass(class) => Some((class.action.as_str(), &**class)),
        _ => None,
    });
    let orderings = declarations(inputs, own, HARM_ORDERING_CLAIM, |payload| match payload {
        Payload::HarmOrdering(ordering) => Some((ordering.jurisdiction.as_str(), ordering)),
        _ => None,
    });
    Governance {
        jurisdictions: own.state.description().jurisdictions.iter().cloned().collect(),
        classes,
        orderings,
        cleared: cleared(inputs),
        overriding: overriding(inputs, own),
    }
}

/// Declarations of one sort that are in force: of each chain the last about the same, and of a foreign chain only those of
/// authorities that are recognised for the claim. They make a verdict stricter and never laxer, so one counts however old
/// what is known of its chain is.
fn declarations<'a, T: Clone + 'a>(
    inputs: &Inputs<'a>,
    own: &ChainView<'a>,
    claim: &str,
    pick: impl Fn(&'a Payload) -> Option<(&'a str, &'a T)>,
) -> Vec<Declared<T>> {
    let mut found = Vec::new();
    for (organisation, chain) in &inputs.chains {
        let mut latest = BTreeMap::new();
        for verified in &chain.standing {
            let counts = || {
                *organisation == inputs.decider || is_recognised(own, *organisation, chain, verified, claim)
            };
            if let Some((about, says)) = pick(verified.payload())
                && counts()
            {
                let (organisation, says) = (*organisation, says.clone());
                latest.insert(about, Declared { statement: verified.id(), organisation, says });
            }
        }
        found.extend(latest.into_values());
    }
    found
}

fn is_recognised(
    own: &ChainView<'_>,
    organisation: OrganisationId,
    chain: &ChainView<'_>,
    verified: &Verified,
    claim: &str,
) -> bool {
    let Signatory::Authority(authority) = verified.signatory() else { return false };
    let Some(record) = chain.state.authorities().get(&authority) else { return false };
    // The latest that covers the role and claim decides, as it does for evidence.
    let latest = own.standing.iter().rev().find_map(|verified| match verified.payload() {
        Payload::Recognition(recognition) => (recognition.organisation == organisation
            && recognition.covers(&record.credential.role, claim))
        .then_some(recognition),
        _ => None,
    });
    latest.is_some_and(|recognition| !recognition.withdrawn)
}

/// How far the last effect of the same action on the same subjects by the same actuator got. One effect is enough: the
/// decision that it follows from was made at its stage only because the stages before had been cleared.
fn cleared(inputs: &Inputs<'_>) -> Option<Cleared> {
    let own: BTreeMap<StatementId, &Verified> = inputs
        .evidence
        .iter()
        .filter(|verified| verified.organisation() == inputs.decider)
        .map(|verified| (verified.id(), *verified))
        .collect();
    let staged = own.values().filter_map(|verified| {
        let Payload::Effect(effect) = verified.payload() else { return None };
        let Payload::Permit(permit) = own.get(&effect.permit)?.payload() else { return None };
        let Payload::Decision(decision) = own.get(&permit.decision)?.payload() else { return None };
        Some((verified.position(), after(&inputs.request, decision, permit, effect)?))
    });
    let last: Option<(Position, Cleared)> = staged.max_by_key(|(position, _)| *position);
    last.map(|(_, cleared)| cleared)
}

/// What an effect has cleared, if it bears on the request.
fn after(request: &Request, decision: &Decision, permit: &Permit, effect: &Effect) -> Option<Cleared> {
    if !is_same(request, &decision.request) {
        return None;
    }
    let verdict: Verdict = codec::decode(&decision.verdict.0, PAYLOAD_BYTES_MAX).ok()?;
    let governed = verdict.governed?;
    if permit.stage != governed.permit_stage() || governed.overridden.is_some() {
        return None;
    }
    let stage = governed.stage?;
    // Compared again: what an effect says of itself is not relied on.
    let as_predicted = Effect::compare(&decision.request.predicted, &effect.observed).is_empty();
    Some(Cleared { class: stage.class, stages: stage.after(as_predicted) })
}

/// Whether two requests are about the same: later stages of one action differ in nothing that is compared here.
pub fn is_same(one: &Request, other: &Request) -> bool {
    let keys =
        |request: &Request| request.subjects.iter().map(Subject::key).collect::<BTreeSet<SubjectKey>>();
    one.action == other.action && one.actuator == other.actuator && keys(one) == keys(other)
}

/// The override among what a decision rests on.
fn overriding(inputs: &Inputs<'_>, own: &ChainView<'_>) -> Option<Overriding> {
    let own_acts = inputs.evidence.iter().filter(|verified| verified.organisation() == inputs.decider);
    let (verified, says) = own_acts
        .filter_map(|verified| match verified.payload() {
            Payload::Override(says) => Some((*verified, says)),
            _ => None,
        })
        .max_by_key(|(verified, _)| verified.position())?;
    let Signatory::Authority(authority) = verified.signatory() else { return None };
    let budget = own.state.authorities().get(&authority)?.credential.overrides;
    let issued_at = verified.statement().header().issued_at;
    let standing = || own.standing.iter().copied();
    let earlier =
        budget.map_or(0, |budget| used(standing(), authority, verified.position(), budget, issued_at));
    Some(Overriding {
        statement: verified.id(),
        authority,
        says: says.clone(),
        issued_at,
        budget,
        used: earlier.saturating_add(1),
    })
}
