//! What an engine holds in memory, counted, so that operators and the simulator can see that it stays bounded.

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
}

impl Engine {
    /// What the engine holds in memory.
    // INVARIANT(11): each of these is bounded by the configuration or by the number of members.
    pub fn usage(&self) -> Usage {
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
        }
    }
}
