//! Recalls: making one, finding what it touches, acknowledging those of others, and how far they have come.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::cosignature::on_note;
use counterfoil_protocol::chain::note::Note;
use counterfoil_protocol::ids::{Bytes, OrganisationId, Position, StatementId};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::lineage::graph::EdgeSource as _;
use counterfoil_protocol::lineage::index::Direction;
use counterfoil_protocol::lineage::{Acknowledgement, EdgeKind, Recall, RecallResponse};
use counterfoil_protocol::observation::{Subject, SubjectKey};
use counterfoil_protocol::statement::{Kind, Payload, Verified};
use serde::{Deserialize, Serialize};

use super::read::NODES_MAX;
use super::say::{Said, Say};
use super::{Node, ServiceError};
use crate::runtime::View;
use crate::store::Placed;

/// Most cosigned checkpoints that are looked at for who has seen a recall.
const CHECKPOINTS_MAX: usize = 1000;

/// How far a recall has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecallStatus {
    /// The recall.
    pub recall: StatementId,
    /// Who recalls, by name.
    pub by: String,
    /// What is withdrawn.
    pub withdrawn: StatementId,
    /// Why.
    pub reason: String,
    /// The others, in the order of their ids.
    pub organisations: Vec<RecallOrganisation>,
}

/// What is known of one organisation and a recall.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecallOrganisation {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// How far it has come there.
    pub state: RecallState,
    /// Its acknowledgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledgement: Option<StatementId>,
    /// Its decisions that rest on what is recalled, as it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<StatementId>,
    /// Its permits, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permits: Vec<StatementId>,
    /// What it did since: decisions that do not let things go ahead any more, nonconformities, corrective actions, recalls
    /// of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<StatementId>,
}

/// How far a recall has come at one organisation, as far as its chain and its cosignatures show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecallState {
    /// Nothing is known.
    Silent,
    /// It has cosigned a head that covers the recall.
    Reached,
    /// It has acknowledged it.
    Acknowledged,
    /// It has done something about it since.
    Acted,
}

impl RecallState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Reached => "reached",
            Self::Acknowledged => "acknowledged",
            Self::Acted => "acted",
        }
    }
}

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
        let (mut decisions, mut permits) = (Vec::new(), Vec::new());
        for placed in
            self.resting_on(&start)?.iter().filter(|placed| placed.organisation == self.organisation())
        {
            match placed.statement.header().kind {
                Kind::Decision => decisions.push(placed.statement.id()),
                Kind::Permit => permits.push(placed.statement.id()),
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

    /// The statements here that rest on any of these.
    fn resting_on(&self, start: &[SubjectKey]) -> Result<Vec<Placed>, ServiceError> {
        let reached: Vec<SubjectKey> = self.store().lineage(|index| {
            let from: Vec<_> = start.iter().filter_map(|node| index.find(node)).collect();
            let walk = index.walk(from, Direction::Forward, NODES_MAX, None);
            walk.map(|reached| index.node(reached.node)).collect()
        })?;
        let mut found = Vec::new();
        for node in reached {
            if let SubjectKey::Statement(id) = node {
                found.extend(self.store().statement(&id)?);
            }
        }
        Ok(found)
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

    /// How far a recall has come, organisation by organisation.
    ///
    /// # Errors
    /// [`ServiceError`] when it is no recall.
    pub fn recall_status(&self, id: &StatementId) -> Result<RecallStatus, ServiceError> {
        let view = self.view()?;
        let placed = self.placed(id)?;
        let Some(Payload::Recall(recall)) = self.payload_of(id)? else {
            let kind = placed.statement.header().kind;
            return Err(ServiceError::caller("recall", format!("{id} is a statement of kind {kind}")));
        };
        let mut start = vec![SubjectKey::Statement(recall.statement)];
        start.extend(recall.subjects.iter().map(Subject::key));
        let touched = self.resting_on(&start)?;
        let acknowledged: BTreeMap<OrganisationId, StatementId> =
            self.acknowledgements(id)?.into_iter().collect();
        let (names, seen) = (Self::names(&view), self.reached_by(&view, &placed)?);
        let is_member = |organisation: &OrganisationId| {
            view.membership.as_ref().is_none_or(|membership| membership.contains(organisation))
        };
        let mut organisations = Vec::new();
        for organisation in view.chains.keys().filter(|id| **id != placed.organisation && is_member(id)) {
            let mut status = RecallOrganisation {
                organisation: *organisation,
                name: names.get(organisation).cloned().unwrap_or_default(),
                state: RecallState::Silent,
                acknowledgement: acknowledged.get(organisation).copied(),
                decisions: Vec::new(),
                permits: Vec::new(),
                acts: Vec::new(),
            };
            if seen.contains(organisation) {
                status.state = RecallState::Reached;
            }
            if let Some(acknowledgement) = status.acknowledgement {
                status.state = RecallState::Acknowledged;
                if let Some(Payload::Acknowledgement(said)) = self.payload_of(&acknowledgement)? {
                    (status.decisions, status.permits) = (said.decisions, said.permits);
                }
                let since = self.store().place(&acknowledgement)?.map(|(_, position)| position);
                status.acts = self.acts(&touched, organisation, since)?;
                if !status.acts.is_empty() {
                    status.state = RecallState::Acted;
                }
            }
            organisations.push(status);
        }
        let own = names.get(&placed.organisation).cloned().unwrap_or_default();
        Ok(RecallStatus {
            recall: *id,
            by: own,
            withdrawn: recall.statement,
            reason: recall.reason,
            organisations,
        })
    }

    /// What an organisation did after a place of its chain about what rests on a recall.
    fn acts(
        &self,
        touched: &[Placed],
        organisation: &OrganisationId,
        since: Option<Position>,
    ) -> Result<Vec<StatementId>, ServiceError> {
        let mut acts = BTreeSet::new();
        for one in touched.iter().filter(|one| one.organisation == *organisation) {
            let id = one.statement.id();
            if Some(one.position) > since && is_act(one) {
                acts.insert(id);
            }
            // What it made of what was recalled, it may withdraw in turn.
            for edge in self.store().upstream(&SubjectKey::Statement(id))? {
                if edge.kind == EdgeKind::RecalledBy
                    && let Some((by, position)) = self.store().place(&edge.asserted_by)?
                    && by == *organisation
                    && Some(position) > since
                {
                    acts.insert(edge.asserted_by);
                }
            }
        }
        Ok(acts.into_iter().collect())
    }

    /// Organisations that are known to have the recall: they cosigned a head that covers it, and a head commits to
    /// all recalls under it.
    fn reached_by(&self, view: &View, recall: &Placed) -> Result<BTreeSet<OrganisationId>, ServiceError> {
        let keys: BTreeMap<OrganisationId, PublicKey> = view
            .chains
            .iter()
            .filter(|(id, _)| **id != recall.organisation)
            .map(|(id, replica)| (*id, replica.state().description().witness_key))
            .collect();
        let mut reached = BTreeSet::new();
        for checkpoint in self.store().cosigned(&recall.organisation, recall.position, CHECKPOINTS_MAX)? {
            let note = Note::parse(&checkpoint).ok();
            let cosigned = note.and_then(|note| on_note(&note, &keys).ok()).unwrap_or_default();
            reached.extend(cosigned.into_keys());
        }
        Ok(reached)
    }
}

/// Whether a statement that rests on what was recalled does something about it: a decision that does not let the action
/// go ahead as it was, or what follows up on an effect: a nonconformity, or a corrective action.
fn is_act(placed: &Placed) -> bool {
    let payload = Payload::decode(placed.statement.header().kind, placed.statement.payload());
    match payload {
        Ok(Payload::Decision(decision)) => matches!(decision.mode, Mode::Defer | Mode::Refuse),
        Ok(Payload::Nonconformity(_) | Payload::CorrectiveAction(_)) => true,
        _ => false,
    }
}
