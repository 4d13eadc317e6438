//! What was seen to happen in a run, on the wire and at the hosts' doors: the checkers' evidence.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_federation::Millis;
use counterfoil_protocol::admissibility::Decision;
use counterfoil_protocol::ids::{HeadHash, HeadSeq, OrganisationId, Position, StatementId};
use counterfoil_protocol::observation::SubjectKey;

use crate::checkers::Violation;

/// A head that a host let out, the first time that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The host.
    pub host: usize,
    /// Whose head.
    pub organisation: OrganisationId,
    /// Sequence number.
    pub seq: HeadSeq,
    /// Which head.
    pub hash: HeadHash,
    /// Why it was not durable at that moment, if it was not.
    pub lacking: Option<&'static str>,
}

/// A statement for which a receipt was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The host.
    pub host: usize,
    /// Whose chain.
    pub organisation: OrganisationId,
    /// The statement.
    pub statement: StatementId,
    /// Where it was said to stand.
    pub position: Position,
}

/// A decision that a host made, with what the world knew better.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The host.
    pub host: usize,
    /// Who decided.
    pub organisation: OrganisationId,
    /// The decision.
    pub decision: Decision,
    /// When the decider had last heard of each organisation, by the decider's clock.
    pub heard: BTreeMap<OrganisationId, Millis>,
    /// Recalls that lay on the decider's disk: what they withdraw, and the artifacts that they name.
    pub recalled: BTreeMap<StatementId, BTreeSet<SubjectKey>>,
    /// How old heads may be by the charter, in seconds.
    pub freshness_s: u64,
}

/// A statement that reached somebody who was not to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Who sent it.
    pub from: usize,
    /// Who got it.
    pub to: usize,
    /// What it was.
    pub what: String,
}

/// A connection that a host closed because of what the other did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expelled {
    /// Who closed it.
    pub by: usize,
    /// To whom.
    pub whom: usize,
    /// The last reason given.
    pub reason: String,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Heads that were let out, in order.
    pub published: Vec<Published>,
    /// Heads that were seen already, by host.
    pub seen: BTreeSet<(usize, HeadHash)>,
    /// Statements that were acknowledged, in order.
    pub acknowledged: Vec<Acknowledged>,
    /// Decisions, in order.
    pub decided: Vec<Decided>,
    /// Statements that reached whom they should not.
    pub leaks: Vec<Leak>,
    /// Connections that were closed for misbehaviour.
    pub closed: Vec<Expelled>,
    /// What the engines alarmed about, by host.
    pub alarms: Vec<(usize, String)>,
    /// The last reasons for penalties, by host and peer.
    pub penalties: BTreeMap<(usize, usize), String>,
    /// The first time that an honest engine held more than it may.
    pub beyond: Option<Violation>,
}
