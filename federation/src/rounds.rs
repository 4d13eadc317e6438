//! When heads are compared, and with whom: each period with one peer at random; with somebody else too while that one does not
//! answer; and sooner after a comparison that brought what gossip had not.

use counterfoil_protocol::keys::PublicKey;
use rand_chacha::rand_core::Rng;

use crate::engine::Engine;
use crate::peer::{Exchange, Peer, Purpose};
use crate::time::Millis;

/// How many times sooner than after a period heads are compared again, where a comparison brought news.
const SOONER: u64 = 8;

impl Engine {
    /// Gossip has failed, since a comparison brings what nobody had told of: the next one comes sooner, and so on until one
    /// brings nothing.
    pub(crate) fn compare_soon(&mut self, now: Millis) {
        self.next_round = self.next_round.min(now.plus(self.config.anti_entropy_ms / SOONER));
    }

    /// Every period, one peer at random is asked for what it knows: gossip is a hint, this is the truth. While there is no
    /// answer, somebody else is asked too.
    pub(crate) fn round(&mut self, now: Millis) {
        let is_due = now >= self.next_round;
        if is_due {
            self.next_round = now.plus(self.config.anti_entropy_ms);
            self.forget_budgets(now);
            self.renew_bindings(now);
            self.watch_witnesses(now);
        } else if self.hedge_at.is_none_or(|at| now < at) {
            return;
        }
        self.hedge_at = None;
        let is_compared = |exchange: &Exchange| {
            matches!(exchange.purpose, Purpose::Heads { .. }) && exchange.holds_until.is_some()
        };
        let is_asked = |key: &PublicKey| {
            self.exchanges.values().any(|exchange| exchange.peer == *key && is_compared(exchange))
        };
        let is_free =
            |peer: &&Peer| peer.admitted_there && peer.has_room(&self.config) && !is_asked(&peer.key);
        let free = self.peers.values().filter(is_free);
        let mut free: Vec<(bool, PublicKey)> = free
            .filter_map(|peer| Some((self.has_misbehaved(&self.admitted(&peer.key)?), peer.key)))
            .collect();
        // Those that contradict themselves are told nothing, and are asked where there is nobody else.
        if free.iter().any(|(has_misbehaved, _)| !has_misbehaved) {
            free.retain(|(has_misbehaved, _)| !has_misbehaved);
        }
        let Some(count) = u64::try_from(free.len()).ok().filter(|count| *count > 0) else { return };
        let index = self.rng.next_u64() % count;
        if let Some((_, key)) = usize::try_from(index).ok().and_then(|index| free.get(index)) {
            self.hedge_at = Some(now.plus(self.config.hedge_ms));
            self.ask_heads(now, *key);
        }
    }
}
