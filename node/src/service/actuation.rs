//! What follows from decisions: permits, the effects that use them up, and the stages that those clear.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::effect::Mismatch;
use counterfoil_protocol::actuation::{Effect, Mode, Nonconformity, Permit, Request};
use counterfoil_protocol::admissibility::declared::is_same;
use counterfoil_protocol::admissibility::{Decision, Verdict};
use counterfoil_protocol::ids::{ByteString, Position, StatementId, Timestamp};
use counterfoil_protocol::lineage::graph::EdgeSource as _;
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::{Kind, Payload, Verified};
use serde::{Deserialize, Serialize};

use super::say::{Said, Say};
use super::{Blame, Node, ServiceError, is_covered};
use crate::runtime::View;
use crate::store::Placed;

/// Seconds for which a permit may be used, where its action class says nothing.
const PERMIT_S: u64 = 3_600;
/// Seconds within which its effect is to be reported, where its action class says nothing.
const EFFECT_S: u64 = 86_400;
/// Most earlier decisions about the same that are looked through for the last effect.
const STAGED_MAX: usize = 256;

/// An effect that was reported.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reported {
    /// The effect's statement.
    pub effect: StatementId,
    /// What came out otherwise than predicted.
    pub mismatches: Vec<Mismatch>,
    /// The nonconformity that was raised, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonconformity: Option<StatementId>,
}

impl Node {
    /// Gives the permit of a decision that admits. `times_s` are what its action class declares.
    pub(super) fn permit(
        &self,
        decided: &Said,
        decision: &Decision,
        verdict: &Verdict,
        (permit_s, effect_s): (Option<u64>, Option<u64>),
    ) -> Result<Option<(Said, Permit)>, ServiceError> {
        if !matches!(verdict.mode, Mode::Continue | Mode::Partial) {
            return Ok(None);
        }
        let now = self.now();
        let permit = Permit {
            decision: decided.statement,
            mode: verdict.mode,
            scopes: verdict.scopes.clone(),
            actuator: decision.request.actuator.clone(),
            not_before: decision.time.min(now),
            expires: now.plus(permit_s.unwrap_or(PERMIT_S)),
            token: ByteString(rand::random::<[u8; 16]>().to_vec()),
            effect_by: now.plus(effect_s.unwrap_or(EFFECT_S)),
            stage: verdict.governed.as_ref().and_then(|governed| governed.permit_stage()),
        };
        let say = Say {
            payload: ByteString(permit.to_claims()?),
            refs: vec![decided.statement],
            ..Say::new(Kind::Permit, &0)?
        };
        Ok(Some((self.say(say)?, permit)))
    }

    /// The first statement of this kind that follows from another: the permit of a decision, the effect of a permit.
    pub(crate) fn follows(&self, id: &StatementId, kind: Kind) -> Result<Option<Placed>, ServiceError> {
        let mut first: Option<Placed> = None;
        for edge in self.store().downstream(&SubjectKey::Statement(*id))? {
            let Some(placed) = self.store().statement(&edge.asserted_by)? else { continue };
            let is_first = first.as_ref().is_none_or(|first| placed.position < first.position);
            if placed.statement.header().kind == kind && is_first {
                first = Some(placed);
            }
        }
        Ok(first)
    }

    /// Reports what happened under a permit, which is used up by that.
    ///
    /// # Errors
    /// [`ServiceError`] when the permit is not an own one, or was used.
    pub fn report_effect(
        &self,
        permit: &StatementId,
        observed: BTreeMap<String, String>,
    ) -> Result<Reported, ServiceError> {
        let _acting = self.acting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let view = self.view()?;
        let verified = self.verified_one(&view, permit)?;
        let Payload::Permit(permitted) = verified.payload() else {
            return Err(ServiceError::caller("permit", format!("{permit} is no permit")));
        };
        if verified.organisation() != self.organisation() {
            return Err(ServiceError::refused(
                "permit",
                format!("{permit} was not given by this organisation"),
            ));
        }
        if let Some(used) = self.follows(permit, Kind::Effect)? {
            let by = used.statement.id();
            return Err(ServiceError::refused("permit-used", format!("{permit} was used; see {by}")));
        }
        let now = self.now();
        let decision = self.verified_one(&view, &permitted.decision)?;
        let Payload::Decision(decided) = decision.payload() else {
            return Err(ServiceError::new(
                Blame::Node,
                "decision",
                format!("{permit} follows from no decision"),
            ));
        };
        let mismatches = Effect::compare(&decided.request.predicted, &observed);
        let effect = Effect { permit: *permit, effective: now, observed, mismatches: mismatches.clone() };
        let mut say = Say::new(Kind::Effect, &effect)?;
        say.refs = vec![*permit];
        let said = self.say(say)?;
        let finding = match mismatches.as_slice() {
            // That nothing had been reported by the deadline may have been noticed then.
            [] if now > permitted.effect_by && self.follows(permit, Kind::Nonconformity)?.is_none() => {
                Some("the effect was reported after its deadline".to_owned())
            }
            [] => None,
            list => Some(format!("{} predictions did not hold", list.len())),
        };
        let nonconformity = finding.map(|finding| self.raise_on(said.statement, finding)).transpose()?;
        Ok(Reported { effect: said.statement, mismatches, nonconformity })
    }

    /// Says that something is not as it should be.
    pub(super) fn raise_on(&self, cause: StatementId, finding: String) -> Result<StatementId, ServiceError> {
        let mut say = Say::new(Kind::Nonconformity, &Nonconformity { cause, finding })?;
        say.refs = vec![cause];
        Ok(self.say(say)?.statement)
    }

    /// Raises a nonconformity for a permit whose effect was not reported by its deadline. Once only.
    pub(super) fn miss_effect(&self, permit: &StatementId, by: Timestamp) -> Result<(), ServiceError> {
        let _acting = self.acting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.follows(permit, Kind::Effect)?.is_none()
            && self.follows(permit, Kind::Nonconformity)?.is_none()
        {
            let raised = self.raise_on(*permit, format!("no effect was reported by {by}"))?;
            tracing::warn!(permit = %permit, nonconformity = %raised, "no effect was reported in time");
        }
        Ok(())
    }

    /// The last effect of the same action on the same subjects, where that goes in stages, with the permit and the decision
    /// that it follows from.
    pub(super) fn staged(&self, view: &View, request: &Request) -> Result<Vec<Verified>, ServiceError> {
        let own = self.organisation();
        let goes_in_stages = view.chains.values().flat_map(|chain| chain.standing()).any(|verified| {
            matches!(verified.payload(), Payload::ActionClass(class)
                if class.stages.is_some() && class.covers(&request.action))
        });
        let Some(subject) = request.subjects.first().filter(|_| goes_in_stages) else {
            return Ok(Vec::new());
        };
        let mut decisions: BTreeSet<(Position, StatementId)> = BTreeSet::new();
        for decision in self.store().decisions_about(&subject.key())? {
            if let Some((organisation, position)) = self.store().place(&decision)?
                && organisation == own
            {
                decisions.insert((position, decision));
            }
        }
        let mut last: Option<[Placed; 3]> = None;
        // The latest ones alone are read: without an effect among them, it begins at the first stage again.
        for (_, decision) in decisions.into_iter().rev().take(STAGED_MAX) {
            let Some(Payload::Decision(says)) = self.payload_of(&decision)? else { continue };
            if !is_same(request, &says.request) {
                continue;
            }
            let Some(permit) = self.follows(&decision, Kind::Permit)? else { continue };
            let Some(effect) = self.follows(&permit.statement.id(), Kind::Effect)? else { continue };
            let is_later = last.as_ref().is_none_or(|[.., known]| known.position < effect.position);
            if is_later && is_covered(view, &own, effect.position) {
                last = Some([self.placed(&decision)?, permit, effect]);
            }
        }
        match last {
            Some(found) => self.verified(view, &own, found.into()),
            None => Ok(Vec::new()),
        }
    }
}
