//! Agreements: proposing one, accepting it, withdrawing from it, and who still has to.

use counterfoil_protocol::ids::{OrganisationId, StatementId};
use counterfoil_protocol::mesh::{Acceptance, Agreement, Agreements, Outside};
use counterfoil_protocol::statement::Kind;
use serde::{Deserialize, Serialize};

use super::say::{Said, Say};
use super::{Node, ServiceError};
use crate::runtime::View;

/// One agreement, as this node knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgreementView {
    /// The statement that proposes it.
    pub id: StatementId,
    /// Who proposed it.
    pub proposed_by: OrganisationId,
    /// What it says.
    pub agreement: Agreement,
    /// Names of the parties, where their chains are known, in the order of the parties.
    pub names: Vec<String>,
    /// Whether it is in force now.
    pub in_force: bool,
    /// Why not, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Whether this node's organisation is to accept it.
    pub to_accept: bool,
}

impl Node {
    /// Proposes an agreement. It is in force when every other party has accepted it.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn propose(&self, mut agreement: Agreement) -> Result<Said, ServiceError> {
        agreement.parties.push(self.organisation());
        agreement.parties.sort();
        agreement.parties.dedup();
        agreement.check().map_err(|error| ServiceError::caller("agreement", error.to_string()))?;
        let view = self.view()?;
        let members = view.membership.as_ref();
        let stranger = agreement
            .parties
            .iter()
            .find(|party| !members.is_some_and(|membership| membership.contains(party)));
        if let Some(stranger) = stranger {
            let text = format!("{stranger} is no member of this mesh; see `mesh members`");
            return Err(ServiceError::refused("agreement", text));
        }
        self.say(Say::new(Kind::Agreement, &agreement)?)
    }

    /// Accepts an agreement, or withdraws from it.
    ///
    /// # Errors
    /// [`ServiceError`] when it is not known here, or this organisation is no party.
    pub fn accept_agreement(&self, id: &StatementId, withdrawn: bool) -> Result<Said, ServiceError> {
        let view = self.view()?;
        let refused = |outside: Outside| ServiceError::refused("agreement", outside.to_string());
        let (agreement, _) = view.agreements.proposed(id).ok_or_else(|| refused(Outside::Unknown(*id)))?;
        if !agreement.has_party(&self.organisation()) {
            return Err(refused(Outside::NoParty(self.organisation())));
        }
        let mut say = Say::new(Kind::Acceptance, &Acceptance { agreement: *id, withdrawn })?;
        say.refs = vec![*id];
        self.say(say)
    }

    /// Every agreement that this node knows of, in the order of their ids.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn agreements(&self) -> Result<Vec<AgreementView>, ServiceError> {
        let view = self.view()?;
        let all = view.agreements.iter().map(|(id, _)| id);
        Ok(all.filter_map(|id| self.agreement_view(&view, &view.agreements, id)).collect())
    }

    fn agreement_view(&self, view: &View, agreements: &Agreements, id: StatementId) -> Option<AgreementView> {
        let (agreement, proposed_by) = agreements.proposed(&id)?;
        let names = Self::names(view);
        let outside = agreements.in_force(&id, view.now.timestamp()).err();
        let me = self.organisation();
        Some(AgreementView {
            id,
            proposed_by,
            agreement: agreement.clone(),
            names: agreement
                .parties
                .iter()
                .map(|party| names.get(party).cloned().unwrap_or_else(|| party.short()))
                .collect(),
            in_force: outside.is_none(),
            why_not: outside.as_ref().map(ToString::to_string),
            to_accept: agreement.has_party(&me) && !agreements.has_spoken(&id, &me) && proposed_by != me,
        })
    }
}
