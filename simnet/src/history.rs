//! What was seen to happen in a run: the checkers' evidence.

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::ids::{HeadHash, HeadSeq, OrganisationId, Position, StatementId};

/// A head that a host let out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Whose.
    pub organisation: OrganisationId,
    /// Sequence number.
    pub seq: HeadSeq,
    /// Which head.
    pub hash: HeadHash,
}

/// A statement for which a receipt was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Whose chain.
    pub organisation: OrganisationId,
    /// The statement.
    pub statement: StatementId,
    /// Where it was said to stand.
    pub position: Position,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Heads that were let out, in order.
    pub published: Vec<Published>,
    /// Statements that were acknowledged, in order.
    pub acknowledged: Vec<Acknowledged>,
    /// One line for each thing that happened: two runs of one seed give the same lines.
    pub trace: Vec<String>,
}

impl History {
    /// Takes note of a head that was let out.
    pub fn publish(&mut self, head: &SignedHead) {
        self.published.push(Published {
            organisation: head.organisation(),
            seq: head.seq(),
            hash: head.hash(),
        });
    }
}
