//! Nonconformities and what is done about them.

use counterfoil_protocol::actuation::CorrectiveAction;
use counterfoil_protocol::admissibility::Verdict;
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::lineage::graph::EdgeSource as _;
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::{Kind, Payload};
use serde::{Deserialize, Serialize};

use super::decide::payload;
use super::read::LogQuery;
use super::say::{Said, Say};
use super::{Node, ServiceError};
use crate::store::Placed;

/// How far a nonconformity has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonconformityState {
    /// Nothing was done.
    Open,
    /// Something is being done.
    InHand,
    /// Something should have been done by now.
    Overdue,
    /// It is ended.
    Closed,
}

/// A nonconformity with what was done about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NonconformityView {
    /// Its statement.
    pub statement: StatementId,
    /// Whose.
    pub organisation: OrganisationId,
    /// When it was raised.
    pub issued_at: Timestamp,
    /// What shows it.
    pub cause: StatementId,
    /// The kind of statement that shows it, where that is here: an effect, a permit without one, a decision under an
    /// override, or something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause_kind: Option<Kind>,
    /// What is not as it should be.
    pub finding: String,
    /// How far it has come.
    pub state: NonconformityState,
    /// Corrective actions, the first first.
    pub actions: Vec<ActionView>,
}

/// A corrective action with its statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActionView {
    /// Its statement.
    pub statement: StatementId,
    /// When it was recorded.
    pub issued_at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub says: CorrectiveAction,
}

impl Node {
    /// Raises a nonconformity by hand.
    ///
    /// # Errors
    /// [`ServiceError`] when what shows it is not here.
    pub fn raise(&self, cause: &StatementId, finding: &str) -> Result<StatementId, ServiceError> {
        if finding.is_empty() {
            return Err(ServiceError::caller("finding", "say what is not as it should be"));
        }
        self.placed(cause)?;
        let _acting = self.acting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.raise_on(*cause, finding.to_owned())
    }

    /// The nonconformities of the own chain, the first first; the open ones alone if so asked.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn nonconformities(&self, open: bool) -> Result<Vec<NonconformityView>, ServiceError> {
        let mut found = Vec::new();
        let query = LogQuery {
            kind: Some(Kind::Nonconformity),
            limit: Some(super::read::NODES_MAX),
            ..LogQuery::default()
        };
        for one in self.log(&query)? {
            let one = self.nonconformity(&one.statement)?;
            if !open || one.state != NonconformityState::Closed {
                found.push(one);
            }
        }
        Ok(found)
    }

    /// One nonconformity, own or foreign.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn nonconformity(&self, id: &StatementId) -> Result<NonconformityView, ServiceError> {
        let placed = self.placed(id)?;
        let Some(Payload::Nonconformity(says)) = payload(&placed) else {
            let kind = placed.statement.header().kind;
            let text = format!("{id} is a statement of kind {kind}; see `nonconformity list`");
            return Err(ServiceError::caller("nonconformity", text));
        };
        let mut actions: Vec<(Placed, CorrectiveAction)> = Vec::new();
        for edge in self.store().downstream(&SubjectKey::Statement(*id))? {
            let Some(found) = self.store().statement(&edge.asserted_by)? else { continue };
            // What another organisation does about it ends it there and not here.
            if found.organisation == placed.organisation
                && let Some(Payload::CorrectiveAction(action)) = payload(&found)
                && action.nonconformity == *id
            {
                actions.push((found, action));
            }
        }
        actions.sort_by_key(|(placed, _)| placed.position);
        actions.dedup_by_key(|(placed, _)| placed.position);
        let due = actions.iter().filter_map(|(_, action)| action.due).max();
        let state = if actions.iter().any(|(_, action)| action.closes) {
            NonconformityState::Closed
        } else if due.is_some_and(|due| due < self.now()) {
            NonconformityState::Overdue
        } else if actions.is_empty() {
            NonconformityState::Open
        } else {
            NonconformityState::InHand
        };
        let view = |(placed, says): (Placed, CorrectiveAction)| {
            let (statement, issued_at) = (placed.statement.id(), placed.statement.header().issued_at);
            ActionView { statement, issued_at, says }
        };
        Ok(NonconformityView {
            statement: *id,
            organisation: placed.organisation,
            issued_at: placed.statement.header().issued_at,
            cause: says.cause,
            cause_kind: self.store().statement(&says.cause)?.map(|cause| cause.statement.header().kind),
            finding: says.finding,
            state,
            actions: actions.into_iter().map(view).collect(),
        })
    }

    /// Records what is done about a nonconformity.
    ///
    /// # Errors
    /// [`ServiceError`] when it is no own nonconformity, is closed, or the action names what is not here.
    pub fn correct(
        &self,
        action: &CorrectiveAction,
        authority: Option<String>,
    ) -> Result<Said, ServiceError> {
        action.check().map_err(|error| ServiceError::caller("corrective-action", error.to_string()))?;
        let _acting = self.acting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let about = self.nonconformity(&action.nonconformity)?;
        if about.organisation != self.organisation() {
            let text = format!(
                "{} is a nonconformity of {}, which corrects it",
                about.statement, about.organisation
            );
            return Err(ServiceError::refused("nonconformity", text));
        }
        if about.state == NonconformityState::Closed {
            let text = format!("{} is closed; raise another if it came back", about.statement);
            return Err(ServiceError::refused("nonconformity-closed", text));
        }
        let mut say = Say::new(Kind::CorrectiveAction, action)?;
        (say.refs, say.authority) = (action.refs(), authority);
        self.say(say)
    }

    /// Asks for the review of a decision that stands on an override, if nobody has.
    pub(super) fn catch_up_review(
        &self,
        decision: &StatementId,
        verdict: &Verdict,
    ) -> Result<(), ServiceError> {
        let _acting = self.acting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.have_reviewed(decision, verdict)
    }
}
