//! Organisations that signed what contradicts itself: how a contradiction is noticed, proven, stored and passed on.
//!
//! Heads that contradict each other by themselves are a proof at once. Where a chain is only found not to go on as it
//! began, whoever serves the newer head is asked what its first leaves give; an older head that arrives late is checked
//! against the own store. Proofs travel by gossip, and with head vectors to those whom gossip did not reach.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::misbehaviour::{Accused, Misbehaviour};
use counterfoil_protocol::chain::proof::verify_consistency;
use counterfoil_protocol::identity::{Succession, epoch_of};
use counterfoil_protocol::ids::{ByteString, OrganisationId, TreeSize};
use counterfoil_protocol::keys::PublicKey;

use crate::effect::{Asker, ChannelId, Effect, Event, Judgement, Write};
use crate::engine::Engine;
use crate::message::{Consistency, GOSSIP_BYTES_MAX, MESSAGE_BYTES_MAX, Request, Response, Topic};
use crate::peer::{Purpose, Suspicion};
use crate::replica::{Replica, ReplicaError};
use crate::time::Millis;

impl Engine {
    /// Organisations with a proof of misbehaviour.
    pub fn misbehaved(&self) -> BTreeSet<OrganisationId> {
        self.proofs.keys().copied().collect()
    }

    pub(crate) fn has_misbehaved(&self, organisation: &OrganisationId) -> bool {
        self.proofs.contains_key(organisation)
    }

    /// Whether the charter has this member told nothing more, because it forked its chain.
    pub(crate) fn is_quarantined(&self, organisation: &OrganisationId) -> bool {
        self.membership.as_ref().is_some_and(|membership| membership.is_quarantined(organisation))
    }

    /// A proof of which a peer told.
    pub(crate) fn take_proof(&mut self, bytes: &[u8]) -> Judgement {
        match Misbehaviour::parse(bytes).and_then(|proof| proof.check()) {
            Ok((organisation, _)) if self.is_member(&organisation) => {
                if self.has_misbehaved(&organisation) {
                    return Judgement::Ignore;
                }
                self.record_misbehaviour(organisation, bytes.into());
                Judgement::Accept
            }
            Ok(_) => Judgement::Ignore,
            Err(_) => Judgement::Reject,
        }
    }

    /// A proof that was found here: stored, then told to everybody.
    pub(crate) fn expose(&mut self, organisation: OrganisationId, proof: &Misbehaviour) {
        if self.has_misbehaved(&organisation) {
            return;
        }
        let Ok(bytes) = crate::message::encode(proof) else { return };
        let bytes: Arc<[u8]> = bytes.into();
        self.record_misbehaviour(organisation, bytes.clone());
        // A proof with a very large inception is too long for gossip; it travels with head vectors.
        if bytes.len() <= GOSSIP_BYTES_MAX {
            self.outbox.push(Effect::Gossip { topic: Topic::Proofs, bytes });
        }
    }

    fn record_misbehaviour(&mut self, organisation: OrganisationId, proof: Arc<[u8]>) {
        self.proofs.insert(organisation, proof.clone());
        self.targets.remove(&organisation);
        self.suspicions.remove(&organisation);
        if let Some(membership) = &mut self.membership {
            membership.expose(organisation);
        }
        self.membership_changed();
        let ticket = self.outbox.ticket();
        self.outbox.push(Effect::Persist {
            ticket,
            writes: vec![Write::Misbehaviour { organisation, proof: proof.to_vec() }],
        });
        self.outbox.say_after(ticket, Effect::Notify(Event::Misbehaved(organisation)));
    }

    /// Proofs that a peer lacks, as many as fit into an answer beside its heads.
    pub(crate) fn proofs_beside(&self, exposed: &[OrganisationId]) -> Vec<ByteString> {
        let mut room = MESSAGE_BYTES_MAX / 2;
        let lacking = self.proofs.iter().filter(|(organisation, _)| !exposed.contains(organisation));
        let fitting = lacking.take_while(|(_, proof)| match room.checked_sub(proof.len()) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        });
        fitting.map(|(_, proof)| ByteString(proof.to_vec())).collect()
    }

    /// A page under a head does not go on from what is here. Either the peer served a wrong one, or the organisation
    /// signed two chains: what the head's first leaves give tells which.
    pub(crate) fn page_refused(
        &mut self,
        now: Millis,
        key: PublicKey,
        newer: &SignedHead,
        error: &ReplicaError,
    ) {
        let organisation = newer.organisation();
        let older = self.replicas.get(&organisation).and_then(Replica::under).cloned();
        let is_span = matches!(error, ReplicaError::Span { .. });
        if let Some(older) = older.filter(|_| organisation != self.me && !is_span) {
            let succession = self.targets.succession(&organisation);
            if let Some(proof) = self.contradiction(succession.as_deref(), &older, newer) {
                return self.expose(organisation, &proof);
            }
            let base = self.end_of_epoch(succession.as_deref(), &older, newer);
            let newer = base.filter(|base| older.size() < base.size()).unwrap_or_else(|| newer.clone());
            if older.size().0 > 0 && older.size() < newer.size() {
                let (from, to) = (older.size(), newer.size());
                let request = Request::Consistency { organisation, from, to };
                let suspicion = Suspicion { older, newer };
                let purpose = Purpose::Consistency(Box::new(suspicion), error.to_string());
                if self.send(now, &key, purpose, request) {
                    // Nothing more is asked for under this head until the answer is here.
                    return self.keep_fetching(&organisation, key);
                }
            }
        }
        self.stop_fetching(now, &organisation);
        self.penalise(key, 25, &error.to_string());
    }

    /// What the first leaves under a head give, as the peer whose page did not fit says.
    pub(crate) fn consistency_answered(
        &mut self,
        now: Millis,
        key: PublicKey,
        suspicion: &Suspicion,
        error: &str,
        response: &Response,
    ) {
        let organisation = suspicion.newer.organisation();
        let Response::Consistency(consistency) = response else {
            return self.forget_target(&organisation);
        };
        let (older, newer) = (&suspicion.older, &suspicion.newer);
        if self.judge(suspicion, consistency) {
            return;
        }
        let proof = &consistency.proof;
        if verify_consistency(older.size(), &older.root(), newer.size(), &newer.root(), proof).is_ok() {
            // The chain is whole, so the page was wrong: somebody else may have a right one.
            self.stop_fetching(now, &organisation);
            return self.penalise(key, 25, error);
        }
        let gives = verify_consistency(older.size(), &consistency.root, newer.size(), &newer.root(), proof);
        if older.key() != newer.key() && gives.is_ok() {
            return self.leaves_out(newer, older);
        }
        // Not a fault for certain: on another branch of this chain one has no proof that fits. The next round tells of
        // the head again.
        self.forget_target(&organisation);
        self.penalise(key, 5, "its proof of consistency does not lead to the head that was asked for");
    }

    /// Exposes the organisation when the hashes show that it signed two chains.
    fn judge(&mut self, suspicion: &Suspicion, consistency: &Consistency) -> bool {
        let organisation = suspicion.newer.organisation();
        let accused = self.accused(None, &suspicion.older);
        let (root, proof) = (&consistency.root, &consistency.proof);
        let found = accused.and_then(|accused| {
            Misbehaviour::of_prefix(accused, &suspicion.older, &suspicion.newer, root, proof)
        });
        if let Some(proof) = &found {
            self.expose(organisation, proof);
        }
        found.is_some()
    }

    /// An older head arrived late: the store says whether the chain here began as it says. One at a time for each chain.
    pub(crate) fn suspect(&mut self, older: SignedHead, newer: SignedHead) {
        let organisation = newer.organisation();
        let (from, to) = (older.size(), newer.size());
        if from.0 == 0 || from >= to || self.suspicions.contains_key(&organisation) {
            return;
        }
        self.suspicions.insert(organisation, Suspicion { older, newer });
        self.outbox.push(Effect::Prove { asker: Asker::Engine, organisation, from, to });
    }

    /// A head arrived that is no later than the one that is here.
    pub(crate) fn is_older(&mut self, succession: Option<&Succession>, head: SignedHead, here: SignedHead) {
        if epoch_of(head.seq()) > epoch_of(here.seq()) {
            // A new epoch, whose later heads may be known already; but if it has less than what is here, it leaves that out.
            if head.size() <= here.size() {
                self.leaves_out(&head, &here);
            }
            return;
        }
        // The former key's heads are held against the one with which its epoch ended.
        match self.end_of_epoch(succession, &head, &here) {
            Some(base) => self.suspect(head, base),
            None if head.key() == here.key() => self.suspect(head, here),
            None => {}
        }
    }

    /// What two heads prove by themselves: of one key they contradict each other; of two, the earlier one contradicts the
    /// head with which its epoch ended, by the organisation's own word.
    pub(crate) fn contradiction(
        &self,
        succession: Option<&Succession>,
        one: &SignedHead,
        other: &SignedHead,
    ) -> Option<Misbehaviour> {
        let (earlier, later) = if one.seq() <= other.seq() { (one, other) } else { (other, one) };
        let base = self.end_of_epoch(succession, earlier, later);
        // What lies beyond the base was given up, which the honest may have to.
        let beyond = base.as_ref().is_some_and(|base| earlier.seq() > base.seq());
        let later = base.as_ref().unwrap_or(later);
        self.accused(succession, earlier)
            .filter(|_| !beyond)
            .and_then(|accused| Misbehaviour::of(accused, earlier, later))
    }

    /// The head with which the epoch of `earlier` ended, if `later` is of a later one.
    fn end_of_epoch(
        &self,
        succession: Option<&Succession>,
        earlier: &SignedHead,
        later: &SignedHead,
    ) -> Option<SignedHead> {
        let (ended, next) = (epoch_of(earlier.seq()), epoch_of(later.seq()));
        if ended >= next {
            return None;
        }
        let known = self.replicas.get(&earlier.organisation()).map(|replica| replica.state().epochs());
        let told = succession.map(Succession::epochs);
        let mut epochs = told.into_iter().chain(known).filter_map(|epochs| epochs.get(ended + 1));
        epochs.next()?.base.clone()
    }

    /// What leads to the key that signed a head.
    fn accused(&self, succession: Option<&Succession>, head: &SignedHead) -> Option<Accused> {
        let organisation = head.organisation();
        let known = self.replicas.get(&organisation).and_then(|replica| replica.accused(&head.key()));
        let target = self.targets.succession(&organisation);
        let told = || succession.or(target.as_deref()).and_then(|succession| succession.accused(&head.key()));
        known.or_else(told)
    }

    /// A new epoch leaves out what the organisation had signed before and what is here: it is not followed. It proves no
    /// misbehaviour, since the honest may have lost that; but nothing that rests on it is let go here.
    fn leaves_out(&mut self, newer: &SignedHead, here: &SignedHead) {
        let organisation = newer.organisation();
        let reason = format!(
            "its new epoch, head {} of {} statements, does not go on from head {} of {} statements, which is here and which \
             its former chain key signed",
            newer.seq(),
            newer.size(),
            here.seq(),
            here.size()
        );
        self.targets.remove(&organisation);
        if self.not_followed.insert(organisation, reason.clone()).is_none() {
            self.outbox.push(Effect::Notify(Event::NotFollowed { organisation, reason }));
        }
    }

    /// Whether a head is of an epoch that is not followed, or of another one than the epoch of that number that is known here.
    pub(crate) fn is_left_out(&mut self, head: &SignedHead) -> bool {
        let organisation = head.organisation();
        let Some(replica) = self.replicas.get(&organisation) else { return false };
        let (epochs, number) = (replica.state().epochs(), epoch_of(head.seq()));
        let is_other = epochs.get(number).is_some_and(|epoch| epoch.key.id() != head.key());
        if is_other && let Some(here) = replica.head().cloned() {
            self.leaves_out(head, &here);
            return true;
        }
        number > epochs.latest().number && self.not_followed.contains_key(&organisation)
    }

    /// The store's answer to [`Self::suspect`].
    pub(crate) fn proven(&mut self, organisation: &OrganisationId, consistency: Option<&Consistency>) {
        // What is not on disk yet will be when the head is told of again.
        if let (Some(suspicion), Some(consistency)) = (self.suspicions.remove(organisation), consistency) {
            self.judge(&suspicion, consistency);
        }
    }

    /// A peer asks what the first leaves of a chain give.
    pub(crate) fn consistency_asked(
        &mut self,
        channel: ChannelId,
        organisation: OrganisationId,
        from: TreeSize,
        to: TreeSize,
    ) {
        let head = self.replicas.get(&organisation).and_then(Replica::head);
        let is_here = from.0 > 0 && from <= to && head.is_some_and(|head| to <= head.size());
        self.outbox.push(if is_here {
            Effect::Prove { asker: Asker::Peer(channel), organisation, from, to }
        } else {
            let response = Response::Refused("that is not under any head that is here".into());
            Effect::Respond { channel, response }
        });
    }
}
