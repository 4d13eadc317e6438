//! What an engine holds in memory, counted, so that operators and the simulator can see that it stays bounded.

use std::collections::BTreeMap;

use crate::engine::Engine;

/// Counts of what an engine holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Connected peers.
    pub peers: usize,
    /// Requests to peers under way.
    pub exchanges: usize,
    /// Chains, the own among them.
    pub replicas: usize,
    /// Heads under which something is being fetched.
    pub targets: usize,
    /// Pairs of heads that the store is to compare.
    pub suspicions: usize,
    /// Proofs of misbehaviour.
    pub proofs: usize,
    /// Organisations that ask to be admitted.
    pub candidates: usize,
    /// Own statements that are not under a head yet.
    pub pending: usize,
    /// Effects that wait for a write.
    pub waiting: usize,
    /// Questions of peers that wait for what is on its way here.
    pub parked: usize,
    /// Decisions that gather evidence, and lineages that look for statements.
    pub gatherings: usize,
    /// Peers that are being connected for these, or could not be.
    pub reaching: usize,
    /// Budgets of organisations' gossip that are not full.
    pub budgets: usize,
    /// Heads that neighbours are still to be told of.
    pub untold: usize,
    /// Organisations whose withheld entries are looked for.
    pub searches: usize,
    /// Organisations that vectors speak of.
    pub changes: usize,
    /// Most requests under way to one peer.
    pub exchanges_of_one: usize,
    /// Most requests to one peer that hold a place.
    pub places_of_one: usize,
    /// Most questions of one peer that wait.
    pub parked_of_one: usize,
}

impl Engine {
    /// What the engine holds in memory.
    // INVARIANT(11): each of these is bounded by the configuration or by the number of members, and what one peer takes by the
    // configuration alone.
    pub fn usage(&self) -> Usage {
        let mut under_way: BTreeMap<&[u8; 32], usize> = BTreeMap::new();
        for exchange in self.exchanges.values() {
            *under_way.entry(exchange.peer.as_bytes()).or_default() += 1;
        }
        Usage {
            peers: self.peers.len(),
            exchanges: self.exchanges.len(),
            replicas: self.replicas.len(),
            targets: self.targets.len(),
            suspicions: self.suspicions.len(),
            proofs: self.proofs.len(),
            candidates: self.candidates.len(),
            pending: self.sequencer.pending(),
            waiting: self.outbox.waiting(),
            parked: self.parked.len(),
            gatherings: self.gatherings.len(),
            reaching: self.reaching.len(),
            budgets: self.budgets.len(),
            untold: self.untold.len(),
            searches: self.crossing.searches(),
            changes: self.changes.len(),
            exchanges_of_one: under_way.into_values().max().unwrap_or(0),
            places_of_one: self.peers.values().map(|peer| peer.under_way).max().unwrap_or(0),
            parked_of_one: self.parked.most_of_one(),
        }
    }
}
