//! Recalls: making one, finding what it touches, acknowledging those of others.

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::ids::{Bytes, OrganisationId, StatementId};
use counterfoil_protocol::lineage::graph::{Direction, EdgeSource as _, walk};
use counterfoil_protocol::lineage::{Acknowledgement, EdgeKind, Recall, RecallResponse};
use counterfoil_protocol::observation::{Subject, SubjectKey};
use counterfoil_protocol::statement::{Kind, Payload, Verified};

use super::read::NODES_MAX;
use super::say::{Said, Say};
use super::{Node, ServiceError};
use crate::runtime::View;

impl Node {
    /// Withdraws an own statement, and the artifacts that it is about.
    ///
    /// # Errors
    /// [`ServiceError`] when it is not an own observation, or is withdrawn already.
    pub fn recall(&self, id: &StatementId, reason: &str) -> Result<Said, ServiceError> {
        let view = self.view()?;
        let verified = self.verified_one(&view, id)?;
        if verified.organisation() != self.organisation() {
            let text =
                format!("{id} is a statement of {}; only its author recalls it", verified.organisation());
            return Err(ServiceError::refused("recall", text));
        }
        let Payload::Observation(observation) = verified.payload() else {
            let text = format!("{id} is a statement of kind {}; observations are recalled", verified.kind());
            return Err(ServiceError::refused("recall", text));
        };
        if let Some(earlier) = self.recalled_by(id)? {
            return Err(ServiceError::refused("duplicate", format!("{id} is recalled by {earlier} already")));
        }
        let recall =
            Recall { statement: *id, subjects: observation.subjects.clone(), reason: reason.to_owned() };
        let mut say = Say::new(Kind::Recall, &recall)?;
        say.refs = vec![*id];
        self.say(say)
    }

    fn recalled_by(&self, id: &StatementId) -> Result<Option<StatementId>, ServiceError> {
        let edges = self.store().upstream(&SubjectKey::Statement(*id))?;
        Ok(edges.iter().find(|edge| edge.kind == EdgeKind::RecalledBy).map(|edge| edge.asserted_by))
    }

    /// Acknowledges a recall of another organisation: which own decisions and permits rest on what it withdraws.
    pub(crate) fn acknowledge(&self, view: &View, recall: &Verified) -> Result<(), ServiceError> {
        let Payload::Recall(payload) = recall.payload() else { return Ok(()) };
        if recall.organisation() == self.organisation() || self.acknowledged(&recall.id())? {
            return Ok(());
        }
        let mut start = vec![SubjectKey::Statement(payload.statement)];
        start.extend(payload.subjects.iter().map(Subject::key));
        let touched = walk(self.store(), &start, Direction::Forward, NODES_MAX, |_| true)?;
        let (mut decisions, mut permits) = (Vec::new(), Vec::new());
        for reached in touched.nodes.values() {
            let SubjectKey::Statement(id) = &reached.node else { continue };
            let Some(placed) = self.store().statement(id)? else { continue };
            if placed.organisation != self.organisation() {
                continue;
            }
            match placed.statement.header().kind {
                Kind::Decision => decisions.push(*id),
                Kind::Permit => permits.push(*id),
                _ => {}
            }
        }
        let head = view.chains.get(&recall.organisation()).and_then(|replica| replica.head());
        let head = head.map(SignedHead::hash).map_or([0; 32], |hash| *hash.as_bytes());
        let response = if decisions.is_empty() && permits.is_empty() {
            RecallResponse::Unaffected
        } else {
            RecallResponse::Noted
        };
        decisions.sort();
        permits.sort();
        let acknowledgement =
            Acknowledgement { recall: recall.id(), head: Bytes(head), decisions, permits, response };
        let mut say = Say::new(Kind::Acknowledgement, &acknowledgement)?;
        say.refs = vec![recall.id()];
        self.say(say)?;
        Ok(())
    }

    fn acknowledged(&self, recall: &StatementId) -> Result<bool, ServiceError> {
        for (organisation, _) in self.acknowledgements(recall)? {
            if organisation == self.organisation() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Who has acknowledged a recall, and with which statement.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn acknowledgements(
        &self,
        recall: &StatementId,
    ) -> Result<Vec<(OrganisationId, StatementId)>, ServiceError> {
        let mut found = Vec::new();
        for edge in self.store().downstream(&SubjectKey::Statement(*recall))? {
            if edge.kind == EdgeKind::Acknowledges
                && let Some((organisation, _)) = self.store().place(&edge.asserted_by)?
            {
                found.push((organisation, edge.asserted_by));
            }
        }
        Ok(found)
    }
}
