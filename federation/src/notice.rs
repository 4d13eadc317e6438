//! New heads: a notice of a few bytes goes ahead by gossip, and what it names follows by pull, once to each node.
//!
//! ```text
//!   author                           neighbour                       others
//!     | -- notice ---------------------> | -- notice -----------------> |
//!     | -- Offer { head, entries } --> its witnesses
//!     |        <-- Latest -------------- |        <-- Latest ---------- |     whoever hears of it asks whom it heard from
//!     | <-- Cosigned -- its witnesses    |                              |
//!     | -- Latest { head, signatures, entries } -> | -- the same ------> |    as soon as it is on disk
//! ```
//!
//! A question for what is on its way here waits for it, so what is new flows along the paths on which the notice came
//! first, without asking again. The author keeps its head back for a moment, until a quorum of its witnesses has signed it,
//! so that their signatures travel along.

use std::collections::BTreeMap;

use counterfoil_protocol::chain::{Notice, SignedHead, SignedNotice};
use counterfoil_protocol::identity::epoch_of;
use counterfoil_protocol::ids::{ByteString, HeadHash, HeadSeq, OrganisationId, Position, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::limits::HEAD_BYTES_MAX;
use counterfoil_protocol::statement::Visibility;

use crate::effect::{ChannelId, Effect, Judgement};
use crate::engine::{Engine, announcement};
use crate::message::{Announcement, Carried, Entry, GOSSIP_BYTES_MAX, Hint, Page, Request, Response, Topic};
use crate::peer::Purpose;
use crate::replica::Replica;
use crate::sequencer::Committed;
use crate::sync::Told;
use crate::time::Millis;

/// Most bytes of what is in an offer besides its entries: the head, the tree before, names and lengths.
const BESIDE_BYTES_MAX: usize = HEAD_BYTES_MAX + 64 * 36 + 256;
/// Most bytes that an entry takes besides its statement.
const ENTRY_BYTES: usize = 24;

/// A question for a head.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) peer: PublicKey,
    pub(crate) channel: ChannelId,
    pub(crate) organisation: OrganisationId,
    /// The first position wanted; none for the head alone.
    pub(crate) from: Option<Position>,
    pub(crate) seq: HeadSeq,
}

impl Question {
    fn is_behind(&self, size: TreeSize) -> bool {
        self.from.is_some_and(|from| size.contains(from))
    }
}

/// What is said once a quorum has signed the own head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnceWitnessed {
    /// Whoever asked was given the signatures too.
    Nothing,
    /// That it can be asked for: everybody has the head, and nobody its signatures.
    Notice,
    /// Head and signatures: somebody was given it without them.
    Head,
}

/// Questions that wait for what is on its way here, by organisation, each with when it is answered in any case.
// INVARIANT(11): as many as the configuration allows, of one peer and of all.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    waiting: BTreeMap<OrganisationId, Vec<(Millis, Question)>>,
}

impl Parked {
    pub(crate) fn len(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }

    fn of(&self, peer: &PublicKey) -> usize {
        self.waiting.values().flatten().filter(|(_, question)| question.peer == *peer).count()
    }

    /// Most questions of one peer.
    pub(crate) fn most_of_one(&self) -> usize {
        let mut by_peer: BTreeMap<&[u8; 32], usize> = BTreeMap::new();
        for (_, question) in self.waiting.values().flatten() {
            *by_peer.entry(question.peer.as_bytes()).or_default() += 1;
        }
        by_peer.into_values().max().unwrap_or(0)
    }

    /// When the next of them is answered in any case.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.waiting.values().flatten().map(|(until, _)| *until).min()
    }

    /// Forgets what a peer asked that has gone.
    pub(crate) fn forget(&mut self, peer: &PublicKey) {
        self.waiting.retain(|_, waiting| {
            waiting.retain(|(_, question)| question.peer != *peer);
            !waiting.is_empty()
        });
    }
}

/// Whether a question may be answered now.
enum Ready {
    Now,
    /// What is missing is on its way, and expected by then.
    By(Millis),
    /// It is not here, and nobody was asked for it.
    No,
}

impl Engine {
    /// Tells everybody of the own new head, which is in the head lock and cannot be lost any more.
    pub(crate) fn tell(&mut self, now: Millis, topic: Topic, committed: &Committed) {
        if self.membership.is_none() {
            return;
        }
        self.kept_back = Some(now.plus(self.config.witness_wait_ms));
        let offer = offer(committed);
        if topic == Topic::Recalls {
            // A recall waits neither for witnesses nor for anybody's question.
            self.once_witnessed = OnceWitnessed::Notice;
            self.gossip(topic, &Hint::Head(Box::new(offer.clone())));
        } else {
            self.once_witnessed = OnceWitnessed::Nothing;
            self.give_notice(topic, &committed.head);
        }
        self.offer(now, &offer);
        let me = self.me;
        self.release(now, &me);
    }

    /// Hands the own new head to those witnesses of its chain that are connected.
    fn offer(&mut self, now: Millis, offer: &Announcement) {
        let me = self.me;
        let witnesses = self.witnesses(&me);
        // INVARIANT(10): the quarantined are told nothing more, witnesses or not.
        let is_witness = |organisation: Option<OrganisationId>| {
            organisation.is_some_and(|id| id != me && witnesses.contains(&id) && !self.is_quarantined(&id))
        };
        // Who is busy with the last one hears of this one by its notice.
        let under_way = self.exchanges.values().filter(|exchange| exchange.purpose == Purpose::Offered);
        let busy: Vec<PublicKey> = under_way.map(|exchange| exchange.peer).collect();
        let connected =
            self.peers.values().filter(|peer| peer.admitted_there && is_witness(peer.organisation));
        let free: Vec<PublicKey> = connected.map(|peer| peer.key).filter(|key| !busy.contains(key)).collect();
        for key in free {
            self.send(now, &key, Purpose::Offered, Request::Offer(Box::new(offer.clone())));
        }
    }

    /// A quorum has signed the own head: those who have it without the signatures are told.
    pub(crate) fn tell_witnessed(&mut self) {
        let Some(own) = self.replicas.get(&self.me) else { return };
        let Some((told, head)) = announcement(own, false).zip(own.head().cloned()) else { return };
        match std::mem::replace(&mut self.once_witnessed, OnceWitnessed::Nothing) {
            OnceWitnessed::Nothing => {}
            OnceWitnessed::Notice => self.give_notice(Topic::Heads, &head),
            OnceWitnessed::Head => self.gossip(Topic::Heads, &Hint::Head(Box::new(told))),
        }
    }

    fn give_notice(&mut self, topic: Topic, head: &SignedHead) {
        let notice = SignedNotice::of(head, self.chain_signer().as_ref());
        self.gossip(topic, &Hint::Notice(ByteString(notice.to_bytes().to_vec())));
    }

    fn gossip(&mut self, topic: Topic, hint: &Hint) {
        if let Ok(bytes) = crate::message::encode(hint) {
            self.outbox.push(Effect::Gossip { topic, bytes: bytes.into() });
        }
    }

    /// A notice of a head: it is asked for, unless it is here.
    pub(crate) fn take_notice(
        &mut self,
        now: Millis,
        key: PublicKey,
        topic: Topic,
        bytes: &[u8],
    ) -> Judgement {
        let Ok(notice) = Notice::parse(bytes) else { return Judgement::Reject };
        let organisation = notice.organisation();
        let is_deaf = self.is_paused(&organisation) || self.has_misbehaved(&organisation);
        if is_deaf || !self.is_member(&organisation) {
            return Judgement::Ignore;
        }
        let Some(replica) = self.replicas.get(&organisation) else {
            self.ask_for_chain(now, key, organisation, topic);
            return Judgement::Ignore;
        };
        let Some(epoch) = replica.state().epochs().get(epoch_of(notice.claimed_seq())) else {
            // Of an epoch that is not known here: what leads to its key is needed first.
            self.ask_heads(now, key);
            return Judgement::Ignore;
        };
        let Ok(notice) = notice.verify(&epoch.key) else { return Judgement::Reject };
        // An older notice, said again, does not stand for word of this head.
        if self.untold.get(&organisation).is_some_and(|(_, hash)| *hash == notice.head()) {
            self.untold.remove(&organisation);
        }
        if !self.spend(now, organisation, topic) {
            return Judgement::Ignore;
        }
        self.consider_notice(now, key, &notice)
    }

    fn consider_notice(&mut self, now: Millis, key: PublicKey, notice: &SignedNotice) -> Judgement {
        let (organisation, told) = (notice.organisation(), (notice.seq(), notice.head()));
        self.told_latest(now, &key, organisation, notice.seq());
        let Some(replica) = self.replicas.get(&organisation) else { return Judgement::Ignore };
        let here = replica.head().cloned();
        let is_witnessed = replica.witnessed;
        let wanted = self.targets.head(&organisation).map(|head| (head.seq(), head.hash()));
        let noticed = self.targets.notice(&organisation);
        let known = here.iter().map(|head| (head.seq(), head.hash())).chain(wanted).chain(noticed);
        let contradicts = known.into_iter().any(|(seq, hash)| seq == told.0 && hash != told.1)
            || here.as_ref().is_some_and(|here| is_before(told, here) && here.previous() != Some(told.1));
        let is_new = here.as_ref().is_none_or(|here| here.seq() < told.0);
        if contradicts || organisation == self.me && is_new {
            // The notice proves nothing; the head may. What contradicts travels on, or a proof would not reach everybody.
            let request = Request::Latest { organisation, from: None, seq: told.0 };
            self.send(now, &key, Purpose::Contradiction, request);
            return Judgement::Accept;
        }
        let is_here = here.as_ref().is_some_and(|here| here.hash() == told.1);
        if is_new || is_here && !is_witnessed && organisation != self.me {
            self.targets.want_noticed(&organisation, told, key, now);
        }
        // Of a chain of which nothing is here yet, others are told when it is: whoever hears of it asks whom it heard from.
        if here.is_some() && (is_new || is_here) { Judgement::Accept } else { Judgement::Ignore }
    }

    /// A peer asks for a head: answered now, when it is here, or not at all.
    pub(crate) fn latest_asked(&mut self, now: Millis, question: Question) {
        match self.is_ready(now, &question) {
            Ready::Now => self.answer_latest(now, &question),
            Ready::By(until) if self.has_room_for(&question.peer) => {
                self.parked.waiting.entry(question.organisation).or_default().push((until, question));
            }
            Ready::By(_) | Ready::No => {
                let reason = "neither that head nor a later one is here; ask again";
                self.respond(question.channel, Response::Refused(reason.into()));
            }
        }
    }

    fn has_room_for(&self, peer: &PublicKey) -> bool {
        self.parked.len() < self.config.parked_max && self.parked.of(peer) < self.config.requests_per_peer_max
    }

    fn is_ready(&mut self, now: Millis, question: &Question) -> Ready {
        let organisation = question.organisation;
        let by = now.plus(self.config.parked_ms);
        let here = self
            .replicas
            .get(&organisation)
            .filter(|one| one.head().is_some_and(|head| head.seq() >= question.seq));
        let Some(replica) = here else {
            let is_coming = self.targets.is_coming(&organisation, question.seq, &question.peer);
            return if is_coming { Ready::By(by) } else { Ready::No };
        };
        if replica.witnessed {
            return Ready::Now;
        }
        let replica_size = replica.size();
        if organisation != self.me {
            // Its witnesses' signatures are on their way.
            let seq = self.targets.notice(&organisation).map_or(question.seq, |(seq, _)| seq);
            let is_coming = self.targets.notice(&organisation).is_some()
                && self.targets.is_coming(&organisation, seq, &question.peer);
            return if is_coming { Ready::By(by) } else { Ready::Now };
        }
        // Whoever is to sign it gets it at once.
        let is_to_sign = self.is_of_witness(&question.peer) && question.is_behind(replica_size);
        match self.kept_back.filter(|until| now < *until && !is_to_sign) {
            Some(until) => Ready::By(until),
            None => Ready::Now,
        }
    }

    fn answer_latest(&mut self, now: Millis, question: &Question) {
        let organisation = question.organisation;
        let Some(replica) = self.replicas.get(&organisation) else { return };
        let Some((told, head)) = announcement(replica, false).zip(replica.head().cloned()) else { return };
        let is_bare = organisation == self.me && !replica.witnessed;
        let told = Box::new(Announcement { succession: replica.succession(), ..told });
        let asker = self.admitted(&question.peer);
        let wanted = asker.zip(question.from.filter(|from| head.size().contains(*from)));
        let answer = match wanted {
            Some((asker, from)) => {
                let audience = Box::new(self.crossing.agreements.audience(asker, now.timestamp()));
                let (channel, size) = (question.channel, head.size());
                Effect::Serve { channel, organisation, from, size, audience, head: Some(told) }
            }
            None => {
                let response = Response::Latest { head: told, page: None };
                Effect::Respond { channel: question.channel, response }
            }
        };
        // What has come in only just now is not on disk yet.
        self.outbox.after_writes(answer);
        if is_bare && !self.is_of_witness(&question.peer) {
            self.once_witnessed = OnceWitnessed::Head;
        }
    }

    /// Whether a peer speaks for a witness of the own chain.
    fn is_of_witness(&mut self, peer: &PublicKey) -> bool {
        let me = self.me;
        let asker = self.peers.get(peer.as_bytes()).and_then(|peer| peer.organisation);
        asker.is_some_and(|asker| self.witnesses(&me).contains(&asker))
    }

    /// Something has come of an organisation, or will not come: those who wait for it are answered, or wait on.
    pub(crate) fn release(&mut self, now: Millis, organisation: &OrganisationId) {
        for (until, question) in self.parked.waiting.remove(organisation).unwrap_or_default() {
            // INVARIANT(10): who asked as a member may be none by now, or quarantined.
            if self.admitted(&question.peer).is_none_or(|asker| self.is_quarantined(&asker)) {
                let reason = "your organisation is no member any more, or quarantined";
                self.respond(question.channel, Response::Refused(reason.into()));
                continue;
            }
            match self.is_ready(now, &question) {
                Ready::By(_) | Ready::No if now < until => {
                    self.parked.waiting.entry(*organisation).or_default().push((until, question));
                }
                Ready::Now => self.answer_latest(now, &question),
                // What is here is better than nothing.
                Ready::By(_) | Ready::No => self.answer_or_refuse(now, &question),
            }
        }
    }

    fn answer_or_refuse(&mut self, now: Millis, question: &Question) {
        let here = self.replicas.get(&question.organisation).and_then(Replica::head).map(SignedHead::seq);
        if here >= Some(question.seq) {
            return self.answer_latest(now, question);
        }
        self.respond(question.channel, Response::Refused("it has not come in time; ask again".into()));
    }

    /// Answers those who have waited for long enough.
    pub(crate) fn release_due(&mut self, now: Millis) {
        if self.parked.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let is_due = |waiting: &Vec<(Millis, Question)>| waiting.iter().any(|(until, _)| *until <= now);
        let due = self.parked.waiting.iter().filter(|(_, waiting)| is_due(waiting));
        let due: Vec<OrganisationId> = due.map(|(organisation, _)| *organisation).collect();
        due.iter().for_each(|organisation| self.release(now, organisation));
    }

    /// A peer answered with a head, and with what is new under it.
    pub(crate) fn latest_answered(
        &mut self,
        now: Millis,
        key: PublicKey,
        organisation: OrganisationId,
        told: &Announcement,
        page: Option<&Page>,
    ) {
        self.targets.fetched(&organisation);
        let head = match self.take_announcement(now, key, Told::Answer, told) {
            Ok(taken) if taken.organisation == organisation => taken.head,
            Ok(_) => {
                self.penalise(key, 20, "it answered with the head of another organisation");
                return self.stop_fetching(now, &organisation);
            }
            Err(reason) => {
                self.penalise(key, 20, reason);
                return self.stop_fetching(now, &organisation);
            }
        };
        let is_wanted = head.is_some_and(|(_, hash)| {
            self.targets.head(&organisation).is_some_and(|target| target.hash() == hash)
        });
        let next = self.replicas.get(&organisation).map(|replica| replica.size().next_position());
        if let Some(page) = page.filter(|page| is_wanted && next == Some(page.from))
            && let Some(head) = self.targets.head(&organisation).cloned()
        {
            self.take_page(now, key, &head, page);
        }
        let is_witnessed = self.replicas.get(&organisation).is_some_and(|replica| replica.witnessed);
        if page.is_some() && !is_witnessed && self.witnesses(&organisation).contains(&self.me) {
            // A witness was answered before the others had signed: it asks for their signatures.
            self.targets.ask_again(&organisation, now);
        } else if let Some((seq, _)) = head {
            self.targets.notice_answered(&organisation, seq);
        }
        self.go_on_fetching(now, &organisation);
        self.release(now, &organisation);
    }
}

/// Whether a head of this number and hash would be the one before `here`.
fn is_before(told: (HeadSeq, HeadHash), here: &SignedHead) -> bool {
    told.0.0.checked_add(1) == Some(here.seq().0)
}

/// What a witness is handed, and what a recall travels as: the head with the entries that are new under it, so that it is in
/// force wherever it arrives; without them where they are too long, to be asked for.
fn offer(committed: &Committed) -> Announcement {
    let entries =
        committed.statements.iter().map(|verified| match verified.statement().header().visibility {
            Visibility::Mesh => Entry::Statement(ByteString(verified.bytes().to_vec())),
            _ => Entry::Withheld(verified.leaf_digest()),
        });
    let bytes: usize = committed.statements.iter().map(|verified| ENTRY_BYTES + verified.bytes().len()).sum();
    let before = committed.before.clone().filter(|_| bytes + BESIDE_BYTES_MAX <= GOSSIP_BYTES_MAX);
    let page = before.map(|before| Carried { before, entries: entries.collect() });
    let head = ByteString(committed.head.bytes().to_vec());
    Announcement { head, cosignatures: Vec::new(), inception: None, succession: Vec::new(), page }
}
