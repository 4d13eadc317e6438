//! Limits and periods of an engine, validated once.

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
    /// Requests under way to one peer.
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
            requests_per_peer_max: 8,
            anti_entropy_ms: 2_000,
            reintroduce_ms: 1_000,
            exchange_timeout_ms: 10_000,
            anchor_ms: 30_000,
            penalty_max: 100,
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
            ..Self::default()
        }
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
        ] {
            if value < least {
                return Err(ConfigError(name, least as u64));
            }
        }
        for (name, value) in
            [("anti_entropy_ms", self.anti_entropy_ms), ("exchange_timeout_ms", self.exchange_timeout_ms)]
        {
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
