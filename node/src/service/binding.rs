//! The peer's key: bound to the organisation, renewed before the binding runs out, and replaced.
//!
//! ```text
//! new key -> keystore, beside today's | its binding -> chain | it takes today's place in the keystore | network anew
//! ```
//!
//! Each step can be cut off: whether the next key is today's is read off the chain.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::MeshId;
use counterfoil_protocol::keys::{SecretKey, Signer as _};
use counterfoil_protocol::statement::Kind;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Serialize};

use super::say::{Said, Say};
use super::{Node, ServiceError};
use crate::data::{BINDING_S, DataError, binding};
use crate::keystore::Keystore;
use crate::p2p::{Members, peer_id, reachable};
use crate::runtime::View;

/// The keystore's name for the peer's key.
pub(super) const PEER: &str = "peer";
/// The keystore's name for the key that is about to take its place.
const NEXT: &str = "peer-next";
/// Addresses of one node that are kept in mind.
const ADDRESSES_MAX: usize = 16;

/// A peer key that took the place of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerRotated {
    /// The new libp2p peer id.
    pub peer_id: String,
    /// The statement that binds it.
    pub bound: Said,
}

/// The counter that a further binding has to carry: above those of all peers, so that it holds and they do not.
fn next_counter(state: &OrganisationState) -> u64 {
    state.nodes().map(|binding| binding.counter).max().unwrap_or(0).saturating_add(1)
}

/// Puts the next key in the place of today's if the chain has bound it already. Returns whether it did.
pub(super) fn promote(keys: &mut Keystore, state: &OrganisationState) -> bool {
    let bound = |key: SecretKey| state.nodes().any(|binding| binding.peer_key == key.public_key());
    let is_due = keys.key(NEXT).is_some_and(bound);
    if is_due {
        keys.rename(NEXT, PEER);
    }
    is_due
}

impl Node {
    fn peer_key(&self) -> Result<SecretKey, ServiceError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Ok(self.data.key(&keys, PEER)?)
    }

    /// Binds the peer's key anew when its addresses have changed or half of its time is over.
    pub(super) fn renew_binding(&self) -> Result<(), ServiceError> {
        let _one_at_a_time = self.binding.lock().unwrap_or_else(PoisonError::into_inner);
        let listening: Vec<String> =
            reachable(self.addresses()).iter().map(ToString::to_string).take(ADDRESSES_MAX).collect();
        if listening.is_empty() {
            return Ok(());
        }
        let peer = self.peer_key()?;
        let (state, now) = (self.runtime.state(), self.now());
        let counter = next_counter(&state);
        let current = state.nodes().find(|binding| binding.peer_key == peer.public_key());
        let is_current = current.is_some_and(|binding| {
            listening.iter().all(|address| binding.addresses.contains(address))
                && binding.expires.since(now) > BINDING_S / 2
                && binding.counter.saturating_add(1) == counter
        });
        if is_current {
            return Ok(());
        }
        let binding = binding(&self.organisation(), &peer, counter, now, listening);
        self.say(Say::new(Kind::Node, &binding)?)?;
        Ok(())
    }

    /// Puts a new peer key in the place of today's, and goes on under its peer id. Connections are made anew.
    ///
    /// # Errors
    /// [`ServiceError`]. When the new key is not bound, today's stays.
    pub fn rotate_peer(&self) -> Result<PeerRotated, ServiceError> {
        let _one_at_a_time = self.binding.lock().unwrap_or_else(PoisonError::into_inner);
        let next = {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            // One that was made earlier and never bound is used now.
            let next = keys.key(NEXT).unwrap_or_else(|| keys.generate(NEXT));
            keys.save(&self.data.node_keys_path(), &self.passphrase).map_err(DataError::from)?;
            next
        };
        let peer = peer_id(&next.public_key())?;
        let moved = reachable(self.addresses()).into_iter().map(|mut address| {
            if let Some(Protocol::P2p(_)) = address.iter().last() {
                address.pop();
            }
            address.with(Protocol::P2p(peer)).to_string()
        });
        let counter = next_counter(&self.runtime.state());
        let addresses = moved.take(ADDRESSES_MAX).collect();
        let binding = binding(&self.organisation(), &next, counter, self.now(), addresses);
        let bound = self.say(Say::new(Kind::Node, &binding)?)?;
        {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            keys.rename(NEXT, PEER);
            keys.save(&self.data.node_keys_path(), &self.passphrase).map_err(DataError::from)?;
        }
        self.listen_anew()?;
        Ok(PeerRotated { peer_id: peer.to_string(), bound })
    }

    /// Says to the network whose nodes are members', where they are, and with which of them this node is to be connected.
    pub(super) fn tell_members(&self, view: &View) -> Result<(), ServiceError> {
        let Some(membership) = &view.membership else { return Ok(()) };
        let mesh: MeshId = membership.mesh();
        let (mut peers, mut addresses, mut moved) = (HashSet::new(), Vec::new(), HashMap::new());
        let mut neighbours = HashSet::new();
        for (organisation, replica) in &view.chains {
            if *organisation == self.organisation() || !membership.contains(organisation) {
                continue;
            }
            for binding in replica.state().speakers(mesh) {
                let now = peer_id(&binding.peer_key)?;
                peers.insert(now);
                for former in replica.state().nodes().filter(|former| former.counter < binding.counter) {
                    moved.insert(peer_id(&former.peer_key)?, now);
                }
                if view.neighbours.contains(organisation) {
                    neighbours.insert(now);
                }
                addresses.extend(parsed(&binding.addresses));
            }
        }
        if let Some(network) = self.network.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            network.members(Members { peers, neighbours, addresses, moved });
        }
        Ok(())
    }
}

/// Those texts that are addresses; others' chains may hold anything.
fn parsed(texts: &[String]) -> impl Iterator<Item = Multiaddr> {
    texts.iter().take(ADDRESSES_MAX).filter_map(|text| text.parse().ok())
}
