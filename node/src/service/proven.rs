//! What is known about the statements and edges of a lineage: what proves them, and what is lacking.

use std::collections::BTreeMap;

use counterfoil_protocol::identity::Standing;
use counterfoil_protocol::ids::{OrganisationId, StatementId};
use counterfoil_protocol::lineage::Edge;
use counterfoil_protocol::mesh::Answer;
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::Payload;
use serde::{Deserialize, Serialize};

use super::missing::{Lacking, Sought};
use super::{Node, ServiceError, is_covered};
use crate::runtime::View;
use crate::store::StoredEntry;

/// What is known about a statement, or about an edge. Nothing is verified before it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofState {
    /// The statement stands under its organisation's head, signed by a credential in force; of an edge: both of its ends
    /// and the statement that asserts it do, or are artifacts that are known by their bytes.
    Verified,
    /// It is here, but something does not prove it.
    Unverified,
    /// Its place in a chain is known, and that its bytes are withheld from this node.
    Withheld,
    /// It is not here.
    Missing,
}

impl ProofState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Withheld => "withheld",
            Self::Missing => "missing",
        }
    }
}

/// A state, and why it is not better.
type State = (ProofState, Option<String>);

/// What is known about statements and edges, each looked at once.
pub(super) struct Proofs<'a> {
    node: &'a Node,
    view: &'a View,
    /// What was asked of others.
    sought: &'a Sought,
    names: &'a BTreeMap<OrganisationId, String>,
    statements: BTreeMap<StatementId, State>,
}

impl<'a> Proofs<'a> {
    /// Nothing was looked at yet.
    pub(super) const fn new(
        node: &'a Node,
        view: &'a View,
        sought: &'a Sought,
        names: &'a BTreeMap<OrganisationId, String>,
    ) -> Self {
        Self { node, view, sought, names, statements: BTreeMap::new() }
    }

    /// What is known about a statement.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub(super) fn of_statement(&mut self, id: &StatementId) -> Result<State, ServiceError> {
        if let Some(known) = self.statements.get(id) {
            return Ok(known.clone());
        }
        let state = self.look(id)?;
        self.statements.insert(*id, state.clone());
        Ok(state)
    }

    // INVARIANT(7): unknown is never good: each way out of here but the last says what is lacking.
    fn look(&self, id: &StatementId) -> Result<State, ServiceError> {
        let Some(placed) = self.node.store().statement(id)? else {
            return Ok(match self.node.lacking(id, self.sought, self.names)? {
                Lacking::Withheld(why) => (ProofState::Withheld, Some(why)),
                Lacking::Missing(why) => (ProofState::Missing, Some(why)),
            });
        };
        let organisation = placed.organisation;
        let unverified = |why: String| Ok((ProofState::Unverified, Some(why)));
        let Some(replica) = self.view.chains.get(&organisation) else {
            return unverified(format!("the chain of {organisation} is not followed here"));
        };
        if !is_covered(self.view, &organisation, placed.position) {
            return unverified(format!("{id} stands under no head of {organisation} yet"));
        }
        if self.view.misbehaved.contains(&organisation) {
            return unverified(format!("{organisation} signed contradicting heads"));
        }
        let (header, state) = (placed.statement.header(), replica.state());
        if let Some(authority) = state.authority_of(&header.key) {
            let standing = |witnessed| {
                state.standing_with_witnesses(&authority, placed.position, header.issued_at, witnessed)
            };
            let mut standing_now = standing(None);
            if standing_now != Standing::InForce {
                // What witnesses had seen before the key was lost stands: worth a search.
                standing_now =
                    standing(self.node.bounds(self.view, &organisation, placed.position)?.not_after);
            }
            if standing_now != Standing::InForce {
                return unverified(format!("the credential that signed {id} is {standing_now}"));
            }
        }
        Ok((ProofState::Verified, None))
    }

    /// What is known about an edge: as much as about the least known of what it takes.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub(super) fn of_edge(&mut self, edge: &Edge) -> Result<State, ServiceError> {
        let mut worst = self.of_statement(&edge.asserted_by)?;
        for end in [&edge.from, &edge.to] {
            let state = match end {
                SubjectKey::Statement(id) if *id == edge.asserted_by => continue,
                SubjectKey::Statement(id) => match self.of_statement(id)? {
                    (ProofState::Missing, why) => {
                        self.withheld(edge, id)?.unwrap_or((ProofState::Missing, why))
                    }
                    state => state,
                },
                SubjectKey::Digest(_) => continue,
                SubjectKey::Name(name) => {
                    (ProofState::Unverified, Some(format!("{name:?} is known by its name alone")))
                }
            };
            if state.0 > worst.0 {
                worst = state;
            }
        }
        if worst.0 == ProofState::Verified
            && let Some(why) = self.not_agreed(edge)?
        {
            worst = (ProofState::Unverified, Some(why));
        }
        Ok(worst)
    }

    /// Whether a statement that is not here is known to stand in its chain, and to be withheld from this node.
    fn withheld(&self, edge: &Edge, id: &StatementId) -> Result<Option<State>, ServiceError> {
        let place = match self.node.payload_of(&edge.asserted_by)? {
            Some(Payload::Link(link)) if link.target.statement == *id => {
                Some((link.target.organisation, link.target.position))
            }
            Some(Payload::Decision(decision)) => decision
                .evidence
                .iter()
                .find(|evidence| evidence.statement == *id)
                .map(|evidence| (evidence.organisation, evidence.position)),
            _ => None,
        };
        let Some((organisation, position)) = place else { return Ok(None) };
        let entry = self.node.store().entry(&organisation, position)?;
        Ok(matches!(entry, Some(StoredEntry::Withheld(_))).then(|| {
            let why =
                format!("{id} stands at {position} of {organisation}, which withholds it from this node");
            (ProofState::Withheld, Some(why))
        }))
    }

    /// Why an edge between organisations does not hold yet, although both ends are here.
    fn not_agreed(&self, edge: &Edge) -> Result<Option<String>, ServiceError> {
        Ok(match self.node.payload_of(&edge.asserted_by)? {
            Some(Payload::Link(_)) => {
                let link = edge.asserted_by;
                match self.node.store().answer(&link)? {
                    None => Some(format!("link {link} is not answered yet")),
                    Some(answer) => match self.node.payload_of(&answer)? {
                        Some(Payload::Counterfoil(c)) if matches!(c.answer, Answer::Accepted) => None,
                        _ => Some(format!("link {link} was refused by {answer}")),
                    },
                }
            }
            Some(Payload::Recall(recall)) => {
                let author =
                    self.node.store().place(&recall.statement)?.map(|(organisation, _)| organisation);
                let recaller =
                    self.node.store().place(&edge.asserted_by)?.map(|(organisation, _)| organisation);
                (author.is_none() || author != recaller)
                    .then(|| format!("{} is recalled by another than its author", recall.statement))
            }
            _ => None,
        })
    }
}
