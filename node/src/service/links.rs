//! Links and counterfoils: making either half, and finding which are unmatched.

use counterfoil_protocol::chain::receipt::Receipt;
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::mesh::{Answer, Counterfoil, Link, LinkState, LinkTarget, Outside, Relation};
use counterfoil_protocol::statement::{Kind, Payload, Verified};
use serde::{Deserialize, Serialize};

use super::say::{Said, Say};
use super::{Node, ServiceError};
use crate::runtime::View;

/// One cross-reference.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkView {
    /// The link statement.
    pub link: StatementId,
    /// Who made it.
    pub organisation: OrganisationId,
    /// Whose statement it refers to.
    pub target_organisation: OrganisationId,
    /// Which statement.
    pub target: StatementId,
    /// How.
    pub relation: Relation,
    /// What for.
    pub purpose: String,
    /// The agreement under which it refers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<StatementId>,
    /// How it stands.
    pub state: LinkState,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The other half, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterfoil: Option<StatementId>,
    /// Whether it is for this node to answer.
    pub to_answer: bool,
}

impl Node {
    /// Links to a statement of another organisation, with the proof that it stands in its chain.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn link(
        &self,
        target: StatementId,
        relation: Relation,
        from: Option<StatementId>,
        purpose: &str,
        agreement: Option<StatementId>,
    ) -> Result<Said, ServiceError> {
        let placed = self.placed(&target)?;
        if placed.organisation == self.organisation() {
            let text = format!("{target} is an own statement; links lead to other organisations");
            return Err(ServiceError::caller("link", text));
        }
        let proof = self.receipt(&target)?;
        let target = LinkTarget {
            organisation: placed.organisation,
            position: placed.position,
            statement: target,
            receipt: proof.receipt,
            checkpoint: proof.checkpoint,
        };
        let link = Link { target, relation, from, purpose: purpose.to_owned(), agreement };
        let view = self.view()?;
        self.check_agreement(&view, &link, self.organisation(), self.now())
            .map_err(|outside| ServiceError::refused("agreement", outside.to_string()))?;
        let mut say = Say::new(Kind::Link, &link)?;
        say.refs = from.into_iter().collect();
        self.say(say)
    }

    /// Disputes a statement of another organisation, or takes the own dispute of it back.
    ///
    /// # Errors
    /// [`ServiceError`] when it is an own statement, or there is no dispute to take back.
    pub fn dispute(&self, target: StatementId, reason: &str, withdraw: bool) -> Result<Said, ServiceError> {
        let placed = self.placed(&target)?;
        if placed.organisation == self.organisation() {
            let text = format!("{target} is an own statement; withdraw it with `recall`");
            return Err(ServiceError::refused("dispute", text));
        }
        let own = self.links(false)?.into_iter().filter(|link| link.organisation == self.organisation());
        let latest = own.filter(|link| {
            link.target == target && matches!(link.relation, Relation::Disputes | Relation::Approves)
        });
        let positions = latest.filter_map(|link| Some((self.store().place(&link.link).ok()??.1, link)));
        let standing = positions
            .max_by_key(|(position, _)| *position)
            .map(|(_, link)| link)
            .filter(|link| link.relation == Relation::Disputes);
        let relation = match (withdraw, standing) {
            (true, None) => {
                let text = format!("no dispute of {target} by this organisation stands");
                return Err(ServiceError::refused("dispute", text));
            }
            (false, Some(standing)) => {
                let text = format!("{target} is disputed by {} already", standing.link);
                return Err(ServiceError::refused("duplicate", text));
            }
            (true, Some(_)) => Relation::Approves,
            (false, None) => Relation::Disputes,
        };
        self.link(target, relation, None, reason, None)
    }

    /// Answers a link of another organisation to an own statement.
    ///
    /// # Errors
    /// [`ServiceError`] when the link is not for this node, is answered already, or its receipt does not prove it.
    pub fn answer(&self, link: &StatementId, answer: Answer) -> Result<Said, ServiceError> {
        let view = self.view()?;
        let verified = self.verified_one(&view, link)?;
        let Payload::Link(payload) = verified.payload() else {
            return Err(ServiceError::caller("link", format!("{link} is no link")));
        };
        if payload.target.organisation != self.organisation() {
            let text = format!("{link} is for {} to answer", payload.target.organisation);
            return Err(ServiceError::refused("link", text));
        }
        if let Some(answered) = self.store().answer(link)? {
            return Err(ServiceError::refused("duplicate", format!("{link} is answered by {answered}")));
        }
        if answer == Answer::Accepted {
            let issued_at = verified.statement().header().issued_at;
            self.check_agreement(&view, payload, verified.organisation(), issued_at).map_err(|outside| {
                let text = format!("{outside}; `refuse` it, or agree first: `mesh agree`");
                ServiceError::refused("agreement", text)
            })?;
            self.check_target(payload)?;
        }
        let proof = self.receipt(link)?;
        let counterfoil = Counterfoil {
            link: *link,
            organisation: verified.organisation(),
            position: verified.position(),
            receipt: proof.receipt,
            checkpoint: proof.checkpoint,
            answer,
        };
        let mut say = Say::new(Kind::Counterfoil, &counterfoil)?;
        say.refs = vec![*link];
        self.say(say)
    }

    /// Whether the agreement that a link names lets it refer to its target.
    fn check_agreement(
        &self,
        view: &View,
        link: &Link,
        by: OrganisationId,
        issued_at: Timestamp,
    ) -> Result<(), Outside> {
        if link.agreement.is_none() {
            return Ok(());
        }
        let target = self.placed(&link.target.statement).map_err(|_| Outside::NoSubject)?;
        let key = &target.statement.header().key;
        let chain = view.chains.get(&target.organisation);
        let jurisdictions = chain.map(|replica| replica.state().jurisdictions_of(key)).unwrap_or_default();
        link.check_agreement(by, issued_at, &view.agreements, &target.statement, jurisdictions)
    }

    /// Why a link is to be refused whatever its receipt proves: its agreement does not cover it.
    pub(crate) fn outside(&self, link: &StatementId) -> Result<Option<Outside>, ServiceError> {
        let view = self.view()?;
        let verified = self.verified_one(&view, link)?;
        let Payload::Link(payload) = verified.payload() else { return Ok(None) };
        let issued_at = verified.statement().header().issued_at;
        let outside = self.check_agreement(&view, payload, verified.organisation(), issued_at).err();
        // What others have still to say may arrive.
        Ok(outside.filter(Outside::is_final))
    }

    /// Whether a link's receipt proves the own statement that it refers to.
    fn check_target(&self, link: &Link) -> Result<(), ServiceError> {
        let target = &link.target;
        let wrong = |text: String| ServiceError::refused("link", text);
        let placed = self.placed(&target.statement)?;
        if (placed.organisation, placed.position) != (self.organisation(), target.position) {
            return Err(wrong(format!("{} stands at {}", target.statement, placed.position)));
        }
        let state = self.runtime.state();
        let (checkpoint, _, key) =
            state.epochs().open_checkpoint(&target.checkpoint.0).map_err(|error| wrong(error.to_string()))?;
        Receipt::parse(&target.receipt.0)
            .and_then(|receipt| {
                let leaf = placed.statement.leaf_digest();
                receipt.verify_with_checkpoint(&self.organisation(), &key, &leaf, &checkpoint)
            })
            .map_err(|error| wrong(error.to_string()))
    }

    /// Cross-references that this node knows of; of those that are open alone, if asked.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn links(&self, open: bool) -> Result<Vec<LinkView>, ServiceError> {
        let view = self.view()?;
        let mut found = Vec::new();
        for (link, answer) in self.store().links()? {
            if let Some(one) = self.link_view(&view, &link, answer)?
                && (!open || one.state == LinkState::Open)
            {
                found.push(one);
            }
        }
        Ok(found)
    }

    fn link_view(
        &self,
        view: &View,
        link: &StatementId,
        answer: Option<StatementId>,
    ) -> Result<Option<LinkView>, ServiceError> {
        let Some(placed) = self.store().statement(link)? else { return Ok(None) };
        let issued_at = placed.statement.header().issued_at;
        let Ok(Payload::Link(payload)) =
            Payload::decode(placed.statement.header().kind, placed.statement.payload())
        else {
            return Ok(None);
        };
        // A counterfoil counts only in the chain of the one whom the link is to.
        let answered = match answer {
            Some(id) => {
                self.store().statement(&id)?.filter(|p| p.organisation == payload.target.organisation)
            }
            None => None,
        };
        let decoded = answered
            .as_ref()
            .map(|placed| Payload::decode(placed.statement.header().kind, placed.statement.payload()));
        let of_charter = view.membership.as_ref().map(|membership| membership.charter().link_answer_s);
        let agreed = payload.agreement.and_then(|id| view.agreements.proposed(&id)?.0.link_answer_s);
        let answer = match &decoded {
            Some(Ok(Payload::Counterfoil(half))) => Some(&half.answer),
            _ => None,
        };
        let state = LinkState::of(answer, self.now().since(issued_at), agreed.or(of_charter));
        let reason = match answer {
            Some(Answer::Refused(reason)) => Some(reason.clone()),
            _ => None,
        };
        let to_answer = payload.target.organisation == self.organisation() && answered.is_none();
        Ok(Some(LinkView {
            link: *link,
            organisation: placed.organisation,
            target_organisation: payload.target.organisation,
            target: payload.target.statement,
            relation: payload.relation,
            purpose: payload.purpose.clone(),
            agreement: payload.agreement,
            state,
            reason,
            counterfoil: answered.map(|placed| placed.statement.id()),
            to_answer,
        }))
    }

    /// Whether a statement is a link that this node is to answer.
    pub(crate) fn is_for_me(&self, verified: &Verified) -> bool {
        matches!(verified.payload(), Payload::Link(link) if link.target.organisation == self.organisation())
    }
}
