//! Heads: announced as hints, looked at, and routed to what fetches, compares or exposes.

use std::sync::Arc;

use counterfoil_protocol::chain::head::HeadError;
use counterfoil_protocol::chain::{Head, SignedHead};
use counterfoil_protocol::identity::Succession;
use counterfoil_protocol::ids::{ByteString, HeadHash, HeadSeq, OrganisationId, TreeSize};
use counterfoil_protocol::keys::PublicKey;

use crate::budget::Bucket;
use crate::effect::{ChannelId, Effect, Event, ExchangeId, GossipId, Judgement};
use crate::engine::Engine;
use crate::message::{Announcement, GOSSIP_BYTES_MAX, Hint, Page, Request, Response, Topic};
use crate::notice::Question;
use crate::peer::Purpose;
use crate::replica::Replica;
use crate::time::Millis;

/// What became of an announcement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Whose head it was.
    pub(crate) organisation: OrganisationId,
    pub(crate) judgement: Judgement,
    /// Its number and hash, where its signatures were found to be right.
    pub(crate) head: Option<(HeadSeq, HeadHash)>,
    /// Whether nobody had told of it before, nor of a later one.
    pub(crate) is_news: bool,
}

/// How a head was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// On a topic.
    Gossip(Topic),
    /// Beside the answer to another question.
    Answer,
    /// Because heads were compared: with everything that it takes to check it.
    Compared,
}

/// Where a head came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Who told of it.
    pub(crate) source: Option<PublicKey>,
    /// What leads to its chain key, where that is not known here yet.
    pub(crate) succession: Option<Arc<Succession>>,
}

impl Engine {
    /// Routes a peer's request. Only a hello is answered to those who are no members.
    pub(crate) fn asked(&mut self, now: Millis, key: PublicKey, channel: ChannelId, request: Request) {
        // INVARIANT(11): what one peer takes is bounded.
        if !self.spend_request(now, &key) {
            return self
                .respond(channel, Response::Refused("too many requests; ask again more slowly".into()));
        }
        if let Request::Hello(introduction) = &request {
            return self.hello_asked(now, key, channel, introduction);
        }
        // INVARIANT(10): nobody outside the mesh is told anything that is limited to it.
        let Some(asker) = self.admitted(&key) else {
            return self
                .respond(channel, Response::Refused("introduce yourself first, as a member's node".into()));
        };
        let is_quarantined = self.is_quarantined(&asker);
        if is_quarantined && !matches!(request, Request::Heads { .. }) {
            let reason = "your organisation forked its chain; it is quarantined";
            return self.respond(channel, Response::Refused(reason.into()));
        }
        match request {
            Request::Hello(_) => {}
            Request::Heads { exposed, .. } if is_quarantined => {
                // The quarantined are told why, and nothing else.
                let (token, records) = (Default::default(), ByteString(Vec::new()));
                let proofs = self.proofs_beside(&exposed);
                self.respond(channel, Response::Vector { token, records, proofs });
            }
            Request::Heads { known, digest, salt, exposed } => {
                let response = self.heads_asked(known, &digest, salt, &exposed);
                self.respond(channel, response);
            }
            Request::Ranges { salt, ranges } => {
                let response = self.ranges_asked(salt, &ranges);
                self.respond(channel, response);
            }
            Request::Announcements { known, unknown } => {
                let response = self.announcements_asked(&known, &unknown);
                // Signatures that were given only just now are not on disk yet.
                self.outbox.after_writes(Effect::Respond { channel, response });
            }
            Request::Latest { organisation, from, seq } => {
                self.latest_asked(now, Question { peer: key, channel, organisation, from, seq });
            }
            Request::Offer(offer) => {
                // It is word of a head like any other, and costs as much.
                let response = match self.take_announcement(now, key, Told::Gossip(Topic::Heads), &offer) {
                    Ok(_) => Response::Noted,
                    Err(reason) => {
                        self.penalise(key, 20, reason);
                        Response::Refused(reason.to_owned())
                    }
                };
                self.respond(channel, response);
            }
            Request::Consistency { organisation, from, to } => {
                self.consistency_asked(channel, organisation, from, to);
            }
            Request::Entries { organisation, from, size } => {
                let is_here = self
                    .replicas
                    .get(&organisation)
                    .and_then(Replica::head)
                    .is_some_and(|head| size <= head.size() && size.contains(from));
                self.outbox.push(if is_here {
                    let audience = Box::new(self.crossing.agreements.audience(asker, now.timestamp()));
                    Effect::Serve { channel, organisation, from, size, audience, head: None }
                } else {
                    let response = Response::Refused("that is not under any head that is here".into());
                    Effect::Respond { channel, response }
                });
            }
            Request::Evidence { about } => self.evidence_asked(now, channel, asker, about),
            Request::Whereabouts { statements } => {
                self.whereabouts_asked(now, channel, asker, statements);
            }
            request @ Request::Reveal { .. } => self.reveal_asked(now, channel, asker, request),
            Request::Cosigned { size, line } => {
                let response = match self.take_own_cosignature(now, size, &line) {
                    Ok(()) => Response::Noted,
                    Err(reason) => Response::Refused(reason.to_owned()),
                };
                self.respond(channel, response);
            }
        }
    }

    /// Routes a peer's answer.
    pub(crate) fn answered(&mut self, now: Millis, exchange: ExchangeId, response: Response) {
        let Some(exchange) = self.exchanges.remove(&exchange) else { return };
        let key = exchange.peer;
        self.request_ended(&exchange);
        match (exchange.purpose, response) {
            (Purpose::Hello, response) => self.hello_answered(now, key, response),
            (Purpose::Heads { .. }, Response::Same { token }) => self.same_answered(now, key, token),
            (Purpose::Heads { salt }, Response::Vector { token, records, proofs }) => {
                self.vector_answered(now, key, salt, token, &records, &proofs);
            }
            (Purpose::Heads { salt }, Response::TooMany { token, proofs }) => {
                self.too_many_answered(now, key, salt, token, &proofs);
            }
            (Purpose::Ranges { salt, ranges, wanted }, Response::Ranges(answers)) => {
                self.ranges_answered(now, key, salt, &ranges, *wanted, &answers);
            }
            (Purpose::Announcements(wanted), Response::Announcements(heads)) => {
                self.announcements_answered(now, key, *wanted, &heads);
            }
            (Purpose::Consistency(suspicion, error), response) => {
                self.consistency_answered(now, key, &suspicion, &error, &response);
            }
            (Purpose::Latest(organisation), Response::Latest { head, page }) => {
                self.latest_answered(now, key, organisation, &head, page.as_ref());
            }
            (Purpose::Latest(organisation), _) => self.stop_fetching(now, &organisation),
            (Purpose::Contradiction, Response::Latest { head, .. }) => {
                if let Err(reason) = self.take_announcement(now, key, Told::Answer, &head) {
                    self.penalise(key, 20, reason);
                }
            }
            (Purpose::Entries(head), Response::Entries(page)) => {
                self.entries_answered(now, key, &head, &page)
            }
            (Purpose::Entries(head), _) => self.stop_fetching(now, &head.organisation()),
            (Purpose::Evidence(gather, other), response) => {
                self.evidence_answered(now, key, gather, &other, response);
            }
            (Purpose::Reveal(organisation), response) => self.revealed(now, key, organisation, response),
            (Purpose::Cosigned | Purpose::Offered | Purpose::Contradiction | Purpose::Heads { .. }, _)
            | (Purpose::Ranges { .. } | Purpose::Announcements(_), _) => {}
        }
    }

    /// A gossip message: a hint that something is to be fetched.
    pub(crate) fn heard(
        &mut self,
        now: Millis,
        key: PublicKey,
        gossip: GossipId,
        topic: Topic,
        bytes: &[u8],
    ) {
        let judgement = self.judge_gossip(now, key, topic, bytes);
        self.outbox.push(Effect::Judge { gossip, judgement });
    }

    fn judge_gossip(&mut self, now: Millis, key: PublicKey, topic: Topic, bytes: &[u8]) -> Judgement {
        // INVARIANT(11): who is no member costs nothing more than this.
        if !self.is_in_circle(&key) || !self.spend_gossip(now, &key) {
            return Judgement::Ignore;
        }
        if topic == Topic::Proofs {
            return self.take_proof(bytes);
        }
        match counterfoil_protocol::codec::decode::<Hint>(bytes, GOSSIP_BYTES_MAX) {
            Ok(Hint::Notice(notice)) => self.take_notice(now, key, topic, &notice.0),
            Ok(Hint::Head(announcement)) => {
                let taken = self.take_announcement(now, key, Told::Gossip(topic), &announcement);
                taken.map_or(Judgement::Reject, |taken| taken.judgement)
            }
            Err(_) => Judgement::Reject,
        }
    }

    /// Size of the latest head that was announced, whether or not everything under it is here.
    pub(crate) fn announced_size(&self, organisation: &OrganisationId) -> TreeSize {
        let target = self.targets.head(organisation).map(SignedHead::size);
        let here = self.replicas.get(organisation).and_then(Replica::head).map(SignedHead::size);
        target.max(here).unwrap_or_default()
    }

    /// Looks at an announcement: on a topic, or in answer to a question.
    pub(crate) fn take_announcement(
        &mut self,
        now: Millis,
        key: PublicKey,
        told: Told,
        announcement: &Announcement,
    ) -> Result<Taken, &'static str> {
        let head = Head::parse(announcement.head.0.as_slice()).map_err(|_| "it announced what is no head")?;
        let organisation = head.organisation();
        let done = |judgement| Ok(Taken { organisation, judgement, head: None, is_news: false });
        // Of those that are no members any more, others may have votes that are not here: what comparisons bring, and the answers
        // to what is asked because of them.
        let is_asked_for = !matches!(told, Told::Gossip(_)) && self.is_compared(&organisation);
        let is_followed = self.is_member(&organisation) || is_asked_for;
        if !is_followed || self.is_paused(&organisation) {
            return done(Judgement::Ignore);
        }
        let replica = match self.replicas.entry(organisation) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let Some(inception) = &announcement.inception else {
                    if let Told::Gossip(topic) = told {
                        self.ask_for_chain(now, key, organisation, topic);
                    }
                    return done(Judgement::Ignore);
                };
                let replica =
                    Replica::new(inception.0.as_slice().into()).map_err(|_| "it sent no inception")?;
                if replica.organisation() != organisation {
                    return Err("it sent the inception of another organisation");
                }
                vacant.insert(replica)
            }
        };
        // What is known already was checked already.
        let known = replica.head().filter(|known| known.hash() == head.hash()).cloned();
        let unverified = "it announced a head that does not verify";
        let opened = match known {
            Some(known) => Ok(known),
            None => replica.state().epochs().open_head(head.clone()),
        };
        let (head, succession) = match opened {
            Ok(head) => (head, None),
            // Of an epoch that is not known here: what leads to its key is needed first.
            Err(HeadError::Epoch { .. } | HeadError::Key { .. }) => {
                let Some(succession) = self.succession(&organisation, &announcement.succession)? else {
                    if told != Told::Compared {
                        self.ask_heads(now, key);
                    }
                    return done(Judgement::Ignore);
                };
                let head = succession.epochs().open_by_seq(head).map_err(|_| unverified)?;
                (head, Some(succession))
            }
            Err(_) => return Err(unverified),
        };
        self.told_latest(now, &key, organisation, head.seq());
        let page = match &announcement.page {
            Some(carried) => Some(carried.page_under(&head).ok_or("what it carries is not under its head")?),
            None => None,
        };
        if page.is_some() && !(announcement.cosignatures.is_empty() && announcement.inception.is_none()) {
            // One head, one such message: nobody can make neighbours pass on another.
            return Err("what carries entries carries nothing else");
        }
        if let Told::Gossip(topic) = told
            && !self.spend(now, organisation, topic)
        {
            return done(Judgement::Ignore);
        }
        let here = self.replicas.get(&organisation).and_then(Replica::head);
        let is_current = here.map(SignedHead::hash) == Some(head.hash());
        let is_news = here.map(SignedHead::seq).max(self.targets.seq(&organisation)) < Some(head.seq());
        let mut judgement = self.consider(
            now,
            head.clone(),
            Origin { source: Some(key), succession },
            told == Told::Compared,
        );
        if let Some(page) = page {
            // Its entries were found to be under its head, so it is worth passing on whether or not it fits here.
            judgement = Judgement::Accept;
            self.take_carried(now, key, &head, &page);
        }
        let lines = &announcement.cosignatures;
        let told_of = (head.seq(), head.hash());
        self.targets.keep_lines(&organisation, told_of.1, lines);
        let is_wanted = self.targets.head(&organisation).is_some_and(|target| target.hash() == told_of.1);
        if is_wanted && matches!(told, Told::Gossip(_)) && lines.len() < self.quorum(&organisation) {
            // Whoever passed it on may have its witnesses' signatures.
            self.targets.want_noticed(&organisation, told_of, key, now);
        }
        if is_current && self.keep_cosignatures(now, organisation, lines.iter().map(String::as_str)) {
            judgement = Judgement::Accept;
        }
        Ok(Taken { organisation, judgement, head: Some(told_of), is_news })
    }

    /// Entries that came with their head: taken in at once where the chain is here up to them.
    // INVARIANT(9): a recall that reached this node is in force here without waiting for anybody to be asked.
    fn take_carried(&mut self, now: Millis, key: PublicKey, head: &SignedHead, page: &Page) {
        let organisation = head.organisation();
        let is_wanted = self.targets.head(&organisation).is_some_and(|target| target.hash() == head.hash());
        let size = self.replicas.get(&organisation).map(Replica::size);
        if is_wanted && organisation != self.me && size.map(|size| size.next_position()) == Some(page.from) {
            self.take_page(now, key, head, page);
        }
    }

    /// What leads to the chain keys of an organisation's later epochs, as somebody says.
    pub(crate) fn succession(
        &self,
        organisation: &OrganisationId,
        statements: &[ByteString],
    ) -> Result<Option<Arc<Succession>>, &'static str> {
        let Some(replica) = self.replicas.get(organisation).filter(|_| !statements.is_empty()) else {
            return Ok(None);
        };
        let succession = Succession::walk(replica.inception(), statements)
            .map_err(|_| "it sent versions of an organisation that do not follow from each other")?;
        Ok(Some(Arc::new(succession)))
    }

    /// Looks at a head whose signatures are checked: older, the same, contradicting, or newer and to be fetched.
    pub(crate) fn consider(
        &mut self,
        now: Millis,
        head: SignedHead,
        origin: Origin,
        tell: bool,
    ) -> Judgement {
        let organisation = head.organisation();
        let Some(replica) = self.replicas.get(&organisation) else { return Judgement::Ignore };
        if replica.head().map(SignedHead::hash) == Some(head.hash()) {
            return Judgement::Ignore;
        }
        let target = self.targets.head(&organisation);
        let succession = origin.succession.clone().or_else(|| self.targets.succession(&organisation));
        let known: Vec<SignedHead> = target.into_iter().chain(replica.head()).cloned().collect();
        let is_target = target.is_some_and(|target| target.hash() == head.hash());
        let proof = known.iter().find_map(|known| self.contradiction(succession.as_deref(), known, &head));
        if let Some(proof) = proof {
            self.expose(organisation, &proof);
            // A conflicting head that is validly signed travels on, or the proof would not reach everybody.
            return Judgement::Accept;
        }
        if is_target {
            // Somebody else has what is being looked for: ask there when the present source fails.
            self.targets.want(head, origin, now, false);
            return Judgement::Ignore;
        }
        if self.has_misbehaved(&organisation) || self.is_left_out(&head) {
            return Judgement::Ignore;
        }
        let is_own_search = organisation == self.me && self.search.is_some();
        // What is looked for in the head lock's name may be nowhere, and something less somewhere.
        let here = if is_own_search { known.last() } else { None };
        let mut compared = here.map_or(known.as_slice(), std::slice::from_ref).iter();
        if !compared.all(|known| head.seq() > known.seq() && head.size() > known.size()) {
            if let Some(here) = self.replicas.get(&organisation).and_then(Replica::head).cloned() {
                self.is_older(succession.as_deref(), head, here);
            }
            return Judgement::Ignore;
        }
        if organisation == self.me {
            self.own_head_elsewhere(head, Origin { succession, ..origin });
            return Judgement::Ignore;
        }
        self.targets.want(head, Origin { succession, ..origin }, now, tell);
        // Of a chain of which nothing is here yet, others are told when it is: whoever hears of it asks whom it heard from.
        if known.is_empty() { Judgement::Ignore } else { Judgement::Accept }
    }

    pub(crate) fn take_proofs(&mut self, key: PublicKey, proofs: &[ByteString]) {
        for proof in proofs {
            if self.take_proof(&proof.0) == Judgement::Reject {
                self.penalise(key, 20, "it sent what is no proof of misbehaviour");
            }
        }
    }

    /// Spends one of a peer's requests. Who asks too often is refused, and in the end let go.
    fn spend_request(&mut self, now: Millis, key: &PublicKey) -> bool {
        let rate = self.config.peer_requests;
        let Some(peer) = self.peers.get_mut(key.as_bytes()) else { return true };
        if peer.requests.take(rate, now) {
            return true;
        }
        peer.limited = peer.limited.saturating_add(1);
        let is_flood = peer.limited.is_multiple_of(u64::from(rate.burst.max(1)));
        if is_flood {
            self.penalise(*key, 20, "it asks far more than its budget allows");
        }
        false
    }

    /// Spends one of the messages that a neighbour may pass on: each costs a signature check. A neighbour in a busy mesh may be
    /// beyond that through no fault of its own; whoever goes on as far again is let go.
    // INVARIANT(11): the transport keeps in mind for long what it has heard, wanted or not.
    fn spend_gossip(&mut self, now: Millis, key: &PublicKey) -> bool {
        let rate = self.config.peer_gossip;
        let Some(peer) = self.peers.get_mut(key.as_bytes()) else { return false };
        if peer.gossip.take(rate, now) {
            return true;
        }
        peer.limited = peer.limited.saturating_add(1);
        if !peer.excess.take(rate, now) {
            self.penalise(*key, 20, "it passes on far more than its budget allows");
        }
        false
    }

    /// Spends one of the messages that an organisation may have passed on for it, on each topic. What is beyond is dropped;
    /// comparing heads will bring what it told of.
    pub(crate) fn spend(&mut self, now: Millis, organisation: OrganisationId, topic: Topic) -> bool {
        let rate = self.config.organisation_gossip;
        let bucket = self.budgets.entry((organisation, topic)).or_insert_with(|| Bucket::full(rate, now));
        if bucket.take(rate, now) {
            return true;
        }
        let limited = self.limited.entry(organisation).or_default();
        *limited = limited.saturating_add(1);
        if *limited == 1 {
            self.outbox.push(Effect::Notify(Event::Limited(organisation)));
        }
        false
    }

    /// Forgets budgets of which nothing is spent.
    pub(crate) fn forget_budgets(&mut self, now: Millis) {
        let rate = self.config.organisation_gossip;
        self.budgets.retain(|_, bucket| !bucket.is_full(rate, now));
    }

    /// Messages of organisations that were dropped because they were too many, since the node started.
    pub const fn limited(&self) -> &std::collections::BTreeMap<OrganisationId, u64> {
        &self.limited
    }
}
