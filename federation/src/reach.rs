//! Connections for one question. In a large mesh a node is connected with few; whoever is to be asked for a decision and is
//! not among them is dialled for it.
//!
//! ```text
//! Reach(peer) -> Connected(peer), and the question goes there once it has introduced itself
//!             -> Unreached(peer), or nothing in time: it cannot be asked
//! ```
//!
//! Those who could not be reached are not waited for again for a while, so that whoever is away does not slow down every
//! decision.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::statement::{Kind, Payload};

use crate::config::Config;
use crate::effect::Effect;
use crate::engine::Engine;
use crate::time::Millis;

/// One peer that was to be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dial {
    /// It is waited for until then.
    Until(Millis),
    /// It could not be reached at that time.
    Failed(Millis),
}

/// Peers that are being connected, and those that could not be lately.
#[derive(Debug, Default)]
pub(crate) struct Reaching(BTreeMap<[u8; 32], Dial>);

impl Reaching {
    /// Whether a peer is to be dialled: nobody is dialling it, and it did not fail just now.
    // INVARIANT(11): what is remembered is bounded.
    fn begin(&mut self, now: Millis, key: &PublicKey, config: &Config) -> bool {
        self.0.retain(|_, dial| match dial {
            Dial::Until(_) => true,
            Dial::Failed(at) => now.since(*at) < config.reach_again_ms,
        });
        if self.0.contains_key(key.as_bytes()) || self.0.len() >= config.reach_max {
            return false;
        }
        self.0.insert(*key.as_bytes(), Dial::Until(now.plus(config.reach_ms)));
        true
    }

    /// Dials that have taken too long.
    pub(crate) fn expire(&mut self, now: Millis) {
        for dial in self.0.values_mut() {
            if matches!(dial, Dial::Until(until) if *until <= now) {
                *dial = Dial::Failed(now);
            }
        }
    }

    pub(crate) fn connected(&mut self, key: &PublicKey) {
        self.0.remove(key.as_bytes());
    }

    pub(crate) fn failed(&mut self, now: Millis, key: &PublicKey) {
        if let Some(dial @ Dial::Until(_)) = self.0.get_mut(key.as_bytes()) {
            *dial = Dial::Failed(now);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn is_under_way(&self, key: &PublicKey) -> bool {
        matches!(self.0.get(key.as_bytes()), Some(Dial::Until(_)))
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        let until = self.0.values().filter_map(|dial| match dial {
            Dial::Until(until) => Some(*until),
            Dial::Failed(_) => None,
        });
        until.min()
    }
}

impl Engine {
    /// Who is asked for a decision: in a small mesh everybody; in a large one those who are to be connected anyway and those
    /// whose evidence may count. Not the quarantined.
    pub(crate) fn whom_to_ask(&mut self) -> BTreeSet<OrganisationId> {
        let mut wanted = self.neighbours();
        wanted.extend(self.recognised());
        let is_member =
            |one: &OrganisationId| *one != self.me && self.is_member(one) && !self.is_quarantined(one);
        wanted.retain(is_member);
        wanted
    }

    /// Has these connected, where they are not.
    pub(crate) fn reach(&mut self, now: Millis, organisations: &[OrganisationId]) {
        for organisation in organisations {
            if self.may_be_reached(organisation) {
                continue;
            }
            for key in self.speakers_of(organisation) {
                if self.reaching.begin(now, &key, &self.config) {
                    self.outbox.push(Effect::Reach(key));
                }
            }
        }
    }

    /// Whether somebody who speaks for an organisation is being connected.
    pub(crate) fn is_reaching(&self, organisation: &OrganisationId) -> bool {
        self.speakers_of(organisation).iter().any(|key| self.reaching.is_under_way(key))
    }

    /// The peers that speak for an organisation, by what is known of its chain.
    pub(crate) fn speakers_of(&self, organisation: &OrganisationId) -> Vec<PublicKey> {
        let Some((membership, replica)) = self.membership.as_ref().zip(self.replicas.get(organisation))
        else {
            return Vec::new();
        };
        replica.state().speakers(membership.mesh()).map(|binding| binding.peer_key).collect()
    }

    /// Organisations that this one recognises for something.
    fn recognised(&self) -> BTreeSet<OrganisationId> {
        let standing = self.replicas.get(&self.me).map(|own| own.standing()).unwrap_or_default();
        let recognitions = standing.iter().filter(|verified| verified.kind() == Kind::Recognition);
        // Also where a later one takes it back in part: whom one asks in vain costs a question.
        let organisations = recognitions.filter_map(|verified| match verified.payload() {
            Payload::Recognition(recognition) if !recognition.withdrawn => Some(recognition.organisation),
            _ => None,
        });
        organisations.collect()
    }
}
