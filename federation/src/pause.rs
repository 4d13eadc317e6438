//! Intentional disconnection from one organisation: its nodes are told nothing and believed nothing until it is resumed;
//! its chain stays as it is here. A supported state, not a fault: nothing is lost by it, and everything is caught up on
//! afterwards as after any partition.

use std::collections::BTreeSet;

use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::keys::PublicKey;

use crate::engine::Engine;
use crate::time::Millis;

impl Engine {
    /// Organisations with which exchange is paused.
    pub const fn paused(&self) -> &BTreeSet<OrganisationId> {
        &self.paused
    }

    /// Whether exchange with an organisation is paused.
    pub(crate) fn is_paused(&self, organisation: &OrganisationId) -> bool {
        self.paused.contains(organisation)
    }

    /// Whether a peer speaks for an organisation with which exchange is paused.
    pub(crate) fn is_of_paused(&self, key: &PublicKey) -> bool {
        self.paused.iter().any(|paused| self.speakers_of(paused).contains(key))
    }

    /// Pauses exchange with another organisation, or resumes it.
    pub(crate) fn pause(&mut self, now: Millis, organisation: OrganisationId, paused: bool) {
        if organisation == self.me {
            return;
        }
        if paused {
            self.paused.insert(organisation);
            self.targets.remove(&organisation);
        } else {
            self.paused.remove(&organisation);
            // What it said meanwhile was not listened to.
            self.compare_anew();
        }
        self.circle_is_due = true;
        // Whoever speaks for it introduces itself anew: in vain while it is paused.
        for peer in self.peers.values_mut() {
            if peer.organisation == Some(organisation) || (!paused && peer.organisation.is_none()) {
                peer.organisation = None;
                peer.admitted_there = false;
                peer.introduce_at = Some(now);
            }
        }
    }
}
