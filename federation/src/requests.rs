//! Requests to peers: each holds one of the peer's places until it is answered, has failed, or has waited for a period; and is
//! given up in the end.

use counterfoil_protocol::keys::PublicKey;

use crate::effect::{Effect, ExchangeId};
use crate::engine::Engine;
use crate::message::Request;
use crate::outbox::Ticket;
use crate::peer::{Exchange, Purpose};
use crate::time::Millis;

impl Engine {
    /// Sends a request, if the peer has room for another.
    pub(crate) fn send(&mut self, now: Millis, key: &PublicKey, purpose: Purpose, request: Request) -> bool {
        let effect = self.request(now, key, purpose, request);
        let is_sent = effect.is_some();
        effect.into_iter().for_each(|effect| self.outbox.push(effect));
        is_sent
    }

    /// As [`Self::send`], once the write with this ticket is durable.
    pub(crate) fn send_after(
        &mut self,
        ticket: Ticket,
        now: Millis,
        key: &PublicKey,
        purpose: Purpose,
        request: Request,
    ) {
        let effect = self.request(now, key, purpose, request);
        effect.into_iter().for_each(|effect| self.outbox.say_after(ticket, effect));
    }

    fn request(
        &mut self,
        now: Millis,
        key: &PublicKey,
        purpose: Purpose,
        request: Request,
    ) -> Option<Effect> {
        let peer = self.peers.get_mut(key.as_bytes())?;
        if !peer.has_room(&self.config) {
            return None;
        }
        peer.under_way += 1;
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange = self.next_exchange.wrapping_add(1);
        let until = now.plus(self.config.exchange_timeout_ms);
        let holds_until = Some(until.min(now.plus(self.config.anti_entropy_ms)));
        self.exchanges.insert(exchange, Exchange { peer: *key, purpose, until, holds_until });
        Some(Effect::Send { peer: *key, exchange, request })
    }

    /// When the next request has waited for so long that something follows from it.
    pub(crate) fn next_request_deadline(&self) -> Option<Millis> {
        self.exchanges.values().map(|exchange| exchange.holds_until.unwrap_or(exchange.until)).min()
    }

    /// Gives up requests that have waited too long. Those that have waited for a period make room for others, and an
    /// introduction among them is made again.
    // INVARIANT(11): what one peer takes stays within what the configuration says may be under way.
    pub(crate) fn end_requests(&mut self, now: Millis) {
        let late: Vec<ExchangeId> =
            self.exchanges.iter().filter(|(_, e)| e.until <= now).map(|(id, _)| *id).collect();
        for exchange in late {
            self.exchange_failed(now, exchange);
        }
        for exchange in self.exchanges.values_mut() {
            if exchange.holds_until.take_if(|until| *until <= now).is_some() {
                if let Some(peer) = self.peers.get_mut(exchange.peer.as_bytes()) {
                    peer.under_way = peer.under_way.saturating_sub(1);
                    if matches!(exchange.purpose, Purpose::Hello) {
                        peer.introduce_at = Some(now);
                    }
                }
                self.targets.retry();
            }
        }
    }

    pub(crate) fn request_ended(&mut self, exchange: &Exchange) {
        let peer = self.peers.get_mut(exchange.peer.as_bytes());
        if let Some(peer) = peer.filter(|_| exchange.holds_until.is_some()) {
            peer.under_way = peer.under_way.saturating_sub(1);
        }
        self.targets.retry();
    }

    /// A request had no answer. Something else is done in its place.
    pub(crate) fn exchange_failed(&mut self, now: Millis, exchange: ExchangeId) {
        let Some(exchange) = self.exchanges.remove(&exchange) else { return };
        self.request_ended(&exchange);
        // One that has waited for a period was made again already.
        if let Some(peer) = self.peers.get_mut(exchange.peer.as_bytes())
            && matches!(exchange.purpose, Purpose::Hello)
            && exchange.holds_until.is_some()
        {
            peer.introduce_at = Some(exchange.until);
        }
        match exchange.purpose {
            Purpose::Entries(head) => self.stop_fetching(now, &head.organisation()),
            Purpose::Latest(organisation) => self.stop_fetching(now, &organisation),
            Purpose::Consistency(suspicion, _) => self.forget_target(&suspicion.organisation()),
            Purpose::Evidence(gather, other) => self.evidence_failed(gather, &other),
            Purpose::Reveal(organisation) => self.reveal_failed(&organisation),
            Purpose::Hello | Purpose::Heads { .. } | Purpose::Cosigned => {}
            Purpose::Offered | Purpose::Contradiction => {}
            Purpose::Ranges { .. } | Purpose::Announcements(_) => {}
        }
    }
}
