//! Witnessing: a head is cosigned after its consistency was checked, stored, and only then told of.
//!
//! The charter's rule gives each chain its witnesses. They alone cosign its heads, and theirs alone are kept and count.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::cosignature::{Cosignature, claimed, cosign, verify_line};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{OrganisationId, TreeSize};
use counterfoil_protocol::limits::NOTE_SIGNATURES_MAX;

use crate::effect::{Effect, Event};
use crate::engine::Engine;
use crate::message::Request;
use crate::outbox::Ticket;
use crate::peer::Purpose;
use crate::replica::Replica;
use crate::time::Millis;

impl Engine {
    /// The witnesses of a chain at present; nobody outside a mesh.
    pub fn witnesses(&mut self, chain: &OrganisationId) -> Arc<[OrganisationId]> {
        let Some(membership) = &self.membership else { return Arc::from([]) };
        let electorate = membership.now().electorate();
        let chosen = || self.checked.witnesses(electorate, *chain);
        self.witnesses.entry(*chain).or_insert_with(chosen).clone()
    }

    /// Cosigns a head that was just found to extend what was here, if this organisation is a witness of the chain. The
    /// caller stores the signature before anybody sees it.
    pub(crate) fn cosign(&mut self, now: Millis, head: &SignedHead) -> Option<Arc<str>> {
        let organisation = head.organisation();
        if !self.witnesses(&organisation).contains(&self.me) {
            return None;
        }
        let witness = self.witness_key();
        let cosignature = cosign(self.me, witness.as_ref(), now.timestamp(), head.note().text()).ok()?;
        let line = self.checked.line(&cosignature.line.to_text());
        let replica = self.replicas.get_mut(&organisation)?;
        replica.cosign(self.me, line.clone());
        self.weigh(&organisation);
        Some(line)
    }

    /// Sends a cosignature to its head's organisation once it is on disk, if a peer of it is connected. Else it travels with
    /// head vectors.
    pub(crate) fn hand_over(
        &mut self,
        now: Millis,
        organisation: &OrganisationId,
        size: TreeSize,
        line: &str,
        ticket: Ticket,
    ) {
        let peer = self.peers.values().find(|p| p.organisation == Some(*organisation) && p.admitted_there);
        if let Some(key) = peer.map(|peer| peer.key) {
            let request = Request::Cosigned { size, line: line.to_owned() };
            self.send_after(ticket, now, &key, Purpose::Cosigned, request);
        }
    }

    /// Takes in a witness's cosignature on the own head.
    pub(crate) fn take_own_cosignature(
        &mut self,
        now: Millis,
        size: TreeSize,
        line: &str,
    ) -> Result<(), &'static str> {
        let own = self.replicas.get(&self.me).ok_or("there is no chain yet")?;
        if own.head().map(SignedHead::size) != Some(size) {
            return Err("that is not the size of the latest head");
        }
        if self.keep_cosignatures(now, self.me, [line]) {
            Ok(())
        } else {
            Err("it is no new cosignature of a witness of this chain")
        }
    }

    /// Takes in signature lines on an organisation's latest head and stores them. Returns whether any is new.
    pub(crate) fn keep_cosignatures<'a>(
        &mut self,
        now: Millis,
        organisation: OrganisationId,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let count =
            |engine: &Self| engine.replicas.get(&organisation).map_or(0, |one| one.cosignatures().len());
        let before = count(self);
        let was_witnessed = self.replicas.get(&organisation).is_some_and(|replica| replica.witnessed);
        self.take_cosignatures(organisation, lines);
        let after = count(self);
        if after == before {
            return false;
        }
        self.touch(&organisation);
        let Some(replica) = self.replicas.get(&organisation) else { return false };
        let Some(size) = replica.head().map(SignedHead::size) else { return false };
        let writes = replica.write_lines();
        let ticket = self.outbox.ticket();
        self.outbox.push(Effect::Persist { ticket, writes });
        let is_witnessed = replica.witnessed;
        if is_witnessed && !was_witnessed {
            if organisation == self.me {
                self.outbox.push(Effect::Notify(Event::Witnessed(size)));
                self.tell_witnessed();
            }
            self.release(now, &organisation);
        }
        true
    }

    /// Checks signature lines on an organisation's latest head and keeps those of its witnesses that verify.
    pub(crate) fn take_cosignatures<'a>(
        &mut self,
        organisation: OrganisationId,
        lines: impl IntoIterator<Item = &'a str>,
    ) {
        let Some(head) = self.replicas.get(&organisation).and_then(Replica::head).cloned() else { return };
        for text in lines.into_iter().take(NOTE_SIGNATURES_MAX) {
            self.take_cosignature(&head, text);
        }
        self.weigh(&organisation);
    }

    /// How many of a chain's witnesses make its head witnessed; more than there are outside a mesh.
    pub(crate) fn quorum(&mut self, chain: &OrganisationId) -> usize {
        let witnesses = self.witnesses(chain);
        self.membership.as_ref().map_or(usize::MAX, |membership| membership.quorum_of(&witnesses))
    }

    /// Lets go of signatures whose authors are no witnesses, by the membership as it is now, and were none when they signed:
    /// here and on disk, so that a start under yet another membership finds no more of them than are here.
    // INVARIANT(12): restart equals no restart.
    pub(crate) fn recount(&mut self, organisation: &OrganisationId) {
        let witnesses = self.witnesses(organisation);
        let Some((replica, membership)) = self.replicas.get(organisation).zip(self.membership.as_ref())
        else {
            return;
        };
        let Some(head) = replica.head() else { return };
        let counts = |witness: &OrganisationId, text: &str| {
            let time = || claimed(head.note(), text).map(|claimed| claimed.time);
            witnesses.contains(witness)
                || time().is_some_and(|time| membership.was_witness(organisation, witness, time))
        };
        let lines = replica.cosignatures().iter();
        let gone: Vec<OrganisationId> =
            lines.filter(|(witness, text)| !counts(witness, text)).map(|(witness, _)| *witness).collect();
        if let Some(replica) = self.replicas.get_mut(organisation).filter(|_| !gone.is_empty()) {
            gone.iter().for_each(|witness| replica.uncosign(witness));
            let (ticket, writes) = (self.outbox.ticket(), replica.write_lines());
            self.outbox.push(Effect::Persist { ticket, writes });
        }
        self.weigh(organisation);
    }

    /// Takes note of whether a quorum has signed an organisation's head.
    pub(crate) fn weigh(&mut self, organisation: &OrganisationId) {
        let quorum = self.quorum(organisation);
        if let Some(replica) = self.replicas.get_mut(organisation) {
            replica.witnessed = replica.head().is_some() && replica.cosignatures().len() >= quorum;
        }
    }

    /// Organisations to whose peers this node is to be connected: everybody in a small mesh; in a large one its own
    /// witnesses, and a few others, so that the mesh hangs together whoever is away. Those whose chains it witnesses come by
    /// themselves.
    pub fn neighbours(&mut self) -> BTreeSet<OrganisationId> {
        let me = self.me;
        let Some(membership) = &self.membership else { return BTreeSet::new() };
        let others = membership.members().iter().filter(|member| **member != me);
        if membership.members().len() <= self.config.full_mesh_max {
            return others.copied().collect();
        }
        let mut ranked: Vec<([u8; 32], OrganisationId)> = others
            .map(|member| (blake3(&[me.as_bytes().as_slice(), member.as_bytes()].concat()), *member))
            .collect();
        ranked.sort_unstable();
        let mut chosen: BTreeSet<OrganisationId> =
            ranked.into_iter().take(self.config.neighbours).map(|(_, member)| member).collect();
        chosen.extend(self.witnesses(&me).iter());
        chosen
    }

    fn take_cosignature(&mut self, head: &SignedHead, text: &str) -> Option<()> {
        let organisation = head.organisation();
        let Cosignature { witness, line, .. } = claimed(head.note(), text)?;
        if self.replicas.get(&organisation)?.cosignatures().contains_key(&witness) {
            return None;
        }
        let key = self.replicas.get(&witness)?.state().description().witness_key;
        let is_witness = self.witnesses(&organisation).contains(&witness);
        let cosignature = verify_line(&line, witness, key, head.note().text()).ok()?;
        let membership = self.membership.as_ref()?;
        // Who was a witness when it signed has seen the head, whoever is one today.
        if !is_witness && !membership.was_witness(&organisation, &witness, cosignature.time) {
            return None;
        }
        let line = self.checked.line(&line.to_text());
        self.replicas.get_mut(&organisation)?.cosign(witness, line);
        Some(())
    }
}
