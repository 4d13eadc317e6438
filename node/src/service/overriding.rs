//! Emergency overrides: checked before anything is spent, said, decided upon, and put up for review.

use counterfoil_protocol::actuation::overriding::{Override, used, within};
use counterfoil_protocol::actuation::{Mode, OverrideRefusal, Request};
use counterfoil_protocol::admissibility::gather::case;
use counterfoil_protocol::admissibility::govern::may_override;
use counterfoil_protocol::admissibility::{Verdict, evaluate};
use counterfoil_protocol::ids::{StatementId, Timestamp};
use counterfoil_protocol::statement::Kind;
use serde::{Deserialize, Serialize};

use super::decide::Decided;
use super::say::Say;
use super::{Node, ServiceError};
use crate::runtime::View;

/// A wish to override.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideWish {
    /// Why.
    pub reason: String,
    /// Whose budget is used: role or id of an authority.
    #[serde(rename = "as")]
    pub authority: String,
}

impl From<OverrideRefusal> for ServiceError {
    fn from(refusal: OverrideRefusal) -> Self {
        Self::refused(refusal.check(), refusal.to_string())
    }
}

impl Node {
    /// Lets a request go ahead that the profiles do not admit, on an authority's budget. Nothing is spent when that is
    /// refused.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn decide_overriding(&self, request: Request, wish: &OverrideWish) -> Result<Decided, ServiceError> {
        request.check().map_err(|error| ServiceError::caller("request", error.to_string()))?;
        let _acting = self.acting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let overriding = Override::of(&request, &wish.reason);
        overriding.check()?;
        let (view, now) = (self.view()?, self.now());
        self.check_override(&view, &request, now)?;
        self.check_budget(&wish.authority, now)?;
        let mut say = Say::new(Kind::Override, &overriding)?;
        say.authority = Some(wish.authority.clone());
        let said = self.say(say)?;
        tracing::warn!(overriding = %said.statement, action = request.action, "an emergency override");
        // In an emergency nobody is asked and waited for; and what it is signed at is not later than what it is used at.
        self.decide_on(&self.view()?, request, self.now(), false, Vec::new(), Some(&said.statement))
    }

    /// Whether the profiles let an override pass at present.
    fn check_override(&self, view: &View, request: &Request, now: Timestamp) -> Result<(), ServiceError> {
        let gathered = self.gather(view, request)?;
        let case = case(&gathered.inputs(self.organisation(), request.clone(), now))?;
        let verdict = evaluate(&case).map_err(|error| ServiceError::refused("case", error.to_string()))?;
        if matches!(verdict.mode, Mode::Continue | Mode::Partial) {
            return Err(OverrideRefusal::Needless.into());
        }
        Ok(may_override(&case, &verdict, case.governance.reversibility(request))?)
    }

    fn check_budget(&self, authority: &str, now: Timestamp) -> Result<(), ServiceError> {
        let (authority, credential) = self.credential(authority)?;
        let state = self.runtime.state();
        let spent = match credential.overrides {
            Some(budget) => {
                let view = self.view()?;
                let own = view.chains.get(&self.organisation());
                let standing = own.into_iter().flat_map(|own| own.standing()).map(|verified| &**verified);
                used(standing, authority, state.next_position(), budget, now)
            }
            None => 0,
        };
        Ok(within(authority, credential.overrides, spent.saturating_add(1))?)
    }

    /// Asks for the review of a decision that stands on an override. Once only.
    pub(super) fn have_reviewed(
        &self,
        decision: &StatementId,
        verdict: &Verdict,
    ) -> Result<(), ServiceError> {
        let overridden = verdict.governed.as_ref().and_then(|governed| governed.overridden.as_ref());
        let Some(overridden) = overridden else { return Ok(()) };
        if self.follows(decision, Kind::Nonconformity)?.is_none() {
            let finding = format!(
                "an emergency override in place of {} is to be reviewed: {}",
                overridden.instead_of, overridden.reason
            );
            self.raise_on(*decision, finding)?;
        }
        Ok(())
    }
}
