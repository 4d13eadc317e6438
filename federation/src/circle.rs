//! The circle: the peers with which gossip is exchanged. Whoever speaks for no member, for one that is quarantined, or for one
//! with which exchange is paused, is neither told nor heard, whatever it subscribes to.

use counterfoil_protocol::keys::PublicKey;

use crate::effect::Effect;
use crate::engine::Engine;

impl Engine {
    /// Whether gossip is exchanged with a peer.
    // INVARIANT(10): nobody outside the mesh is told anything that is limited to it.
    pub(crate) fn is_in_circle(&self, key: &PublicKey) -> bool {
        let member = self.admitted(key).filter(|_| self.membership.is_some());
        member.is_some_and(|member| !self.is_quarantined(&member) && !self.is_paused(&member))
    }

    /// Tells the network of those who entered the circle or left it since it was drawn last.
    pub(crate) fn draw_circle(&mut self) {
        if !std::mem::take(&mut self.circle_is_due) {
            return;
        }
        let keys: Vec<PublicKey> = self.peers.values().map(|peer| peer.key).collect();
        for key in keys {
            let begins = self.is_in_circle(&key);
            let Some(peer) = self.peers.get_mut(key.as_bytes()) else { continue };
            if std::mem::replace(&mut peer.in_circle, begins) != begins {
                self.outbox.push(Effect::GossipWith { peer: key, begins });
            }
        }
    }
}
