//! Alarms about the own witnesses: those that do not sign, and those of whom nothing was heard for as long as the charter lets
//! word of the present count.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::ids::OrganisationId;

use crate::effect::{Effect, Event};
use crate::engine::Engine;
use crate::time::Millis;

/// What is known of how the own witnesses are.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Since when the own head lacks a quorum, and whether somebody was told.
    unwitnessed: Option<(Millis, bool)>,
    /// When a peer that speaks for a witness was connected last; at the latest when it became one.
    // INVARIANT(11): as many as a chain has witnesses.
    heard: BTreeMap<OrganisationId, Millis>,
    /// Those of whom nothing was heard for too long.
    away: BTreeSet<OrganisationId>,
}

impl Engine {
    /// The own witnesses of whom nothing was heard for longer than the charter's limit of freshness.
    pub const fn witnesses_away(&self) -> &BTreeSet<OrganisationId> {
        &self.watch.away
    }

    /// Looks at how the own witnesses are, at each period of anti-entropy.
    pub(crate) fn watch_witnesses(&mut self, now: Millis) {
        self.watch_signatures(now);
        self.watch_presence(now);
    }

    /// Names the witnesses that are silent, once, when the own head has waited for a quorum for too long.
    fn watch_signatures(&mut self, now: Millis) {
        let me = self.me;
        let own = self.replicas.get(&me).filter(|_| self.membership.is_some());
        let lacking = own.filter(|own| own.head().is_some() && !own.witnessed);
        let Some((size, signed)) = lacking.map(|own| (own.size(), own.cosignatures().clone())) else {
            self.watch.unwitnessed = None;
            return;
        };
        match self.watch.unwitnessed {
            None => self.watch.unwitnessed = Some((now, false)),
            Some((since, false)) if now.since(since) >= self.config.witness_patience_ms => {
                self.watch.unwitnessed = Some((since, true));
                let witnesses = self.witnesses(&me);
                let silent = witnesses.iter().filter(|id| !signed.contains_key(*id)).copied().collect();
                self.outbox.push(Effect::Notify(Event::WitnessesSilent { size, silent }));
            }
            Some(_) => {}
        }
    }

    /// Names the witnesses that are away, whenever there is one more.
    fn watch_presence(&mut self, now: Millis) {
        let me = self.me;
        let Some(freshness_ms) =
            self.membership.as_ref().map(|m| m.charter().freshness_s.saturating_mul(1000))
        else {
            return;
        };
        let witnesses = self.witnesses(&me);
        let present: BTreeSet<OrganisationId> =
            self.peers.values().filter_map(|peer| self.admitted(&peer.key)).collect();
        let watch = &mut self.watch;
        watch.heard.retain(|witness, _| witnesses.contains(witness));
        for witness in witnesses.iter() {
            let heard = watch.heard.entry(*witness).or_insert(now);
            if present.contains(witness) {
                *heard = now;
            }
        }
        let is_away = |(_, heard): &(&OrganisationId, &Millis)| now.since(**heard) >= freshness_ms;
        let away: BTreeSet<OrganisationId> =
            watch.heard.iter().filter(is_away).map(|(witness, _)| *witness).collect();
        let is_news = !away.is_subset(&watch.away);
        watch.away = away;
        if is_news {
            let (away, of) = (watch.away.iter().copied().collect(), witnesses.len());
            self.outbox.push(Effect::Notify(Event::WitnessesAway { away, of }));
        }
    }
}
