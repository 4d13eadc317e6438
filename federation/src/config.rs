//! Limits and periods of an engine, validated once.

use crate::budget::Rate;

/// What an engine may hold, ask and do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Most statements in one group commit.
    pub commit_statements_max: usize,
    /// Most bytes of statements in one group commit.
    pub commit_bytes_max: usize,
    /// Most statements that wait for a commit; further ones are refused as busy.
    pub pending_max: usize,
    /// Most peers with a connection.
    pub peers_max: usize,
    /// Most organisations that ask to be admitted and are remembered.
    pub candidates_max: usize,
    /// Most statement bytes in one page of entries, besides digests.
    pub page_bytes_max: usize,
    /// Most entries in one page.
    pub page_entries_max: usize,
    /// Most withheld entries asked for in one request.
    pub reveal_max: usize,
    /// Most decisions that gather evidence at one time; further ones go on with what is here.
    pub gatherings_max: usize,
    /// Most subjects that one gathering asks about.
    pub about_max: usize,
    /// Milliseconds for which a decision waits for a connection that is made for it.
    pub reach_ms: u64,
    /// Milliseconds for which nobody waits for a peer that could not be reached.
    pub reach_again_ms: u64,
    /// Most peers that are being connected for decisions, or could not be.
    pub reach_max: usize,
    /// Requests under way to one peer. One without an answer for an anti-entropy period holds no place any more: what got
    /// lost does not keep others from being asked.
    pub requests_per_peer_max: usize,
    /// Milliseconds between two exchanges of head vectors with some peer.
    pub anti_entropy_ms: u64,
    /// Milliseconds after which an introduction that was not accepted is tried again.
    pub reintroduce_ms: u64,
    /// Milliseconds after which an exchange without an answer is given up.
    pub exchange_timeout_ms: u64,
    /// Milliseconds of a quiet period, after which other organisations' new heads are anchored; 0 turns anchoring off.
    pub anchor_ms: u64,
    /// Penalty points at which a peer is disconnected.
    pub penalty_max: u32,
    /// Milliseconds after which whoever did not have what was asked for is asked again; twice as many each time.
    pub retry_ms: u64,
    /// Most organisations that a peer is told of at once; where more have changed, heads are compared by ranges.
    pub vector_max: usize,
    /// Requests that a peer may make.
    pub peer_requests: Rate,
    /// Gossip messages that a peer may pass on.
    pub peer_gossip: Rate,
    /// Gossip messages about an organisation's heads, on each topic, that are passed on.
    pub organisation_gossip: Rate,
    /// Milliseconds for which the own new head is kept back from those who ask for it, until a quorum has seen it.
    pub witness_wait_ms: u64,
    /// Milliseconds for which a question waits for what is on its way here.
    pub parked_ms: u64,
    /// Milliseconds without an answer after which somebody else is asked too, while the first may still answer.
    pub hedge_ms: u64,
    /// Most questions that wait.
    pub parked_max: usize,
    /// Milliseconds without a quorum of cosignatures, after which the witnesses that are silent are named.
    pub witness_patience_ms: u64,
    /// Members up to which everybody is connected to everybody.
    pub full_mesh_max: usize,
    /// Members to which one is connected besides the own witnesses, in larger meshes.
    pub neighbours: usize,
}

/// A limit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} must be at least {1}")]
pub struct ConfigError(pub &'static str, pub u64);

impl Default for Config {
    fn default() -> Self {
        Self {
            commit_statements_max: 512,
            commit_bytes_max: 4 << 20,
            pending_max: 4096,
            peers_max: 512,
            candidates_max: 64,
            page_bytes_max: 192 * 1024,
            page_entries_max: 1024,
            reveal_max: 256,
            gatherings_max: 64,
            about_max: 256,
            reach_ms: 1_000,
            reach_again_ms: 30_000,
            reach_max: 256,
            requests_per_peer_max: 8,
            anti_entropy_ms: 2_000,
            reintroduce_ms: 1_000,
            exchange_timeout_ms: 10_000,
            anchor_ms: 30_000,
            penalty_max: 100,
            retry_ms: 100,
            vector_max: 256,
            peer_requests: Rate { burst: 400, per_s: 100 },
            peer_gossip: Rate { burst: 2000, per_s: 500 },
            organisation_gossip: Rate { burst: 40, per_s: 4 },
            witness_wait_ms: 250,
            parked_ms: 500,
            hedge_ms: 600,
            parked_max: 1024,
            witness_patience_ms: 30_000,
            full_mesh_max: 48,
            neighbours: 8,
        }
    }
}

impl Config {
    /// Small limits, so that tests reach them.
    pub fn small() -> Self {
        Self {
            commit_statements_max: 4,
            pending_max: 16,
            peers_max: 8,
            candidates_max: 2,
            page_entries_max: 3,
            reveal_max: 2,
            vector_max: 3,
            ..Self::default()
        }
    }

    /// Most requests under way to one peer, with those that hold no place any more.
    pub fn under_way_max(&self) -> usize {
        let turns = self.exchange_timeout_ms.div_ceil(self.anti_entropy_ms.max(1));
        self.requests_per_peer_max.saturating_mul(usize::try_from(turns).unwrap_or(usize::MAX))
    }

    /// Checks the limits against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the limit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let statement = counterfoil_protocol::limits::STATEMENT_BYTES_MAX;
        for (name, value, least) in [
            ("commit_statements_max", self.commit_statements_max, 1),
            ("commit_bytes_max", self.commit_bytes_max, statement),
            ("pending_max", self.pending_max, self.commit_statements_max),
            ("peers_max", self.peers_max, 1),
            ("page_bytes_max", self.page_bytes_max, statement),
            ("page_entries_max", self.page_entries_max, 1),
            ("reveal_max", self.reveal_max, 1),
            ("requests_per_peer_max", self.requests_per_peer_max, 1),
            ("vector_max", self.vector_max, 1),
        ] {
            if value < least {
                return Err(ConfigError(name, least as u64));
            }
        }
        for (name, value) in [
            ("anti_entropy_ms", self.anti_entropy_ms),
            ("exchange_timeout_ms", self.exchange_timeout_ms),
            ("retry_ms", self.retry_ms),
        ] {
            if value == 0 {
                return Err(ConfigError(name, 1));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_the_test_set_are_valid_and_nonsense_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(Config::small().check(), Ok(()));
        let broken = Config { pending_max: 0, ..Config::default() };
        assert_eq!(broken.check(), Err(ConfigError("pending_max", 512)));
    }
}
