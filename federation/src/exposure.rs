//! Organisations that signed what contradicts itself: how a contradiction is noticed, proven, stored and passed on.
//!
//! Heads that contradict each other by themselves are a proof at once. Where a chain is only found not to go on as it
//! began, whoever serves the newer head is asked what its first leaves give; an older head that arrives late is checked
//! against the own store. Proofs travel by gossip, and with head vectors to those whom gossip did not reach.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::proof::verify_consistency;
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
            let inception = self.replicas.get(&organisation).map(Replica::inception);
            if let Some(proof) = inception.and_then(|bytes| Misbehaviour::of(bytes, &older, newer)) {
                return self.expose(organisation, &proof);
            }
            if older.size().0 > 0 && older.size() < newer.size() {
                let (from, to) = (older.size(), newer.size());
                let request = Request::Consistency { organisation, from, to };
                let suspicion = Suspicion { older, newer: newer.clone() };
                let purpose = Purpose::Consistency(Box::new(suspicion), error.to_string());
                if self.send(now, &key, purpose, request) {
                    // Nothing more is asked for under this head until the answer is here.
                    return self.keep_fetching(&organisation, key);
                }
            }
        }
        self.stop_fetching(&organisation);
        self.penalise(key, 25, &error.to_string());
    }

    /// What the first leaves under a head give, as the peer whose page did not fit says.
    pub(crate) fn consistency_answered(
        &mut self,
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
            self.stop_fetching(&organisation);
            return self.penalise(key, 25, error);
        }
        // Not a fault for certain: on another branch of this chain one has no proof that fits. The next round tells of
        // the head again.
        self.forget_target(&organisation);
        self.penalise(key, 5, "its proof of consistency does not lead to the head that was asked for");
    }

    /// Exposes the organisation when the hashes show that it signed two chains.
    fn judge(&mut self, suspicion: &Suspicion, consistency: &Consistency) -> bool {
        let organisation = suspicion.newer.organisation();
        let inception = self.replicas.get(&organisation).map(Replica::inception);
        let (root, proof) = (&consistency.root, &consistency.proof);
        let found = inception.and_then(|bytes| {
            Misbehaviour::of_prefix(bytes, &suspicion.older, &suspicion.newer, root, proof)
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

    /// A peer holds a head of this very organisation that this node has not signed.
    // INVARIANT(1): whoever else signs with these keys, this node adds nothing to it.
    pub(crate) fn own_head_elsewhere(&mut self, head: &SignedHead) {
        let what = format!("head {} of {} statements", head.seq(), head.size());
        if self.lacks_lock {
            let own = self.replicas.get(&self.me).and_then(Replica::head).cloned();
            let text = lock_is_missing(own.as_ref(), Some(head));
            return self.refuse_to_sign(&text);
        }
        self.alarm(&format!(
            "a peer holds {what} of this organisation, which this node did not sign: another node signs with its keys"
        ));
    }
}

/// What is wrong, and what to do, when there is a chain but no head lock.
pub(crate) fn lock_is_missing(own: Option<&SignedHead>, elsewhere: Option<&SignedHead>) -> String {
    let describe = |head: &SignedHead| format!("head {} of {} statements", head.seq(), head.size());
    let here = own.map_or_else(|| "no head".to_owned(), describe);
    let there = elsewhere
        .map(|head| format!("; a peer holds {}, which is later", describe(head)))
        .unwrap_or_default();
    format!(
        "head.lock is missing, while the data ends with {here}{there}; without it nobody knows here whether a later head \
         was signed, and a second one with the same number would prove a fork; stop the node and put head.lock back from \
         where this node ran last; if it is lost, peers say with `sync status` how far they have this chain, and this \
         node must not sign before it has all of that and its operators have established that nothing else was signed"
    )
}
