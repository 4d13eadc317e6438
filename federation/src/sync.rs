//! Heads and what lies under them: announced as hints, compared by head vectors, fetched by pull, accepted by proof.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_protocol::chain::cosignature::{cosign, verify_line, witness_name};
use counterfoil_protocol::chain::head::HeadError;
use counterfoil_protocol::chain::note::{Note, SignatureLine};
use counterfoil_protocol::chain::{Head, SignedHead};
use counterfoil_protocol::identity::{Succession, epoch_of};
use counterfoil_protocol::ids::{ByteString, OrganisationId, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use rand_chacha::rand_core::Rng;

use crate::effect::{ChannelId, Effect, Event, ExchangeId, GossipId, Judgement, Write};
use crate::engine::{Engine, announcement};
use crate::message::{Announcement, Known, MESSAGE_BYTES_MAX, Page, Request, Response, Topic};
use crate::peer::Purpose;
use crate::replica::Replica;
use crate::time::Millis;

/// A head that is known but under which not everything is here yet.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) head: SignedHead,
    /// Who has it, as far as is known.
    pub(crate) source: Option<PublicKey>,
    /// The request under way for it.
    fetching: Option<PublicKey>,
    /// What leads to its chain key, where that is not known here yet.
    pub(crate) succession: Option<Arc<Succession>>,
}

impl Target {
    pub(crate) const fn new(head: SignedHead) -> Self {
        Self { head, source: None, fetching: None, succession: None }
    }

    pub(crate) fn of(head: SignedHead, origin: Origin) -> Self {
        Self { head, source: origin.source, fetching: None, succession: origin.succession }
    }

    /// Whether nobody is being asked for it.
    pub(crate) const fn is_idle(&self) -> bool {
        self.fetching.is_none()
    }
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
        if let Request::Hello(introduction) = &request {
            return self.hello_asked(now, key, channel, introduction);
        }
        // INVARIANT(10): nobody outside the mesh is told anything that is limited to it.
        let Some(asker) = self.admitted(&key) else {
            let response = Response::Refused("introduce yourself first, as a member's node".into());
            return self.outbox.push(Effect::Respond { channel, response });
        };
        let is_quarantined = self.is_quarantined(&asker);
        if is_quarantined && !matches!(request, Request::Heads { .. }) {
            let response = Response::Refused("your organisation forked its chain; it is quarantined".into());
            return self.outbox.push(Effect::Respond { channel, response });
        }
        match request {
            Request::Hello(_) => {}
            Request::Heads { known, exposed } => {
                // The quarantined are told why, and nothing else.
                let heads = if is_quarantined { Vec::new() } else { self.newer_heads(&known) };
                let response = Response::Heads { heads, proofs: self.proofs_beside(&exposed) };
                self.outbox.push(Effect::Respond { channel, response });
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
                    Effect::Serve { channel, organisation, from, size, audience }
                } else {
                    let response = Response::Refused("that is not under any head that is here".into());
                    Effect::Respond { channel, response }
                });
            }
            Request::Evidence { about } => self.evidence_asked(now, channel, asker, about),
            request @ Request::Reveal { .. } => self.reveal_asked(now, channel, asker, request),
            Request::Cosigned { size, line } => {
                let response = match self.take_own_cosignature(size, &line) {
                    Ok(()) => Response::Noted,
                    Err(reason) => Response::Refused(reason.to_owned()),
                };
                self.outbox.push(Effect::Respond { channel, response });
            }
        }
    }

    /// Routes a peer's answer.
    pub(crate) fn answered(&mut self, now: Millis, exchange: ExchangeId, response: Response) {
        let Some(exchange) = self.exchanges.remove(&exchange) else { return };
        let key = exchange.peer;
        if let Some(peer) = self.peers.get_mut(key.as_bytes()) {
            peer.under_way = peer.under_way.saturating_sub(1);
        }
        match (exchange.purpose, response) {
            (Purpose::Hello, response) => self.hello_answered(now, key, response),
            (Purpose::Heads, Response::Heads { heads, proofs }) => {
                self.heads_answered(now, key, &heads, &proofs);
            }
            (Purpose::Consistency(suspicion, error), response) => {
                self.consistency_answered(key, &suspicion, &error, &response);
            }
            (Purpose::Entries(head), Response::Entries(page)) => {
                self.entries_answered(now, key, &head, &page)
            }
            (Purpose::Entries(head), _) => self.entries_refused(&key, &head.organisation()),
            (Purpose::Evidence(gather, other), response) => {
                self.evidence_answered(now, key, gather, &other, response);
            }
            (Purpose::Reveal(organisation), response) => self.revealed(now, key, organisation, response),
            (Purpose::Cosigned | Purpose::Heads, _) => {}
        }
    }

    pub(crate) fn exchange_failed(&mut self, exchange: ExchangeId) {
        let Some(exchange) = self.exchanges.remove(&exchange) else { return };
        if let Some(peer) = self.peers.get_mut(exchange.peer.as_bytes()) {
            peer.under_way = peer.under_way.saturating_sub(1);
            if exchange.purpose == Purpose::Hello {
                peer.introduce_at = Some(exchange.until);
            }
        }
        match exchange.purpose {
            Purpose::Entries(head) => self.stop_fetching(&head.organisation()),
            Purpose::Consistency(suspicion, _) => self.forget_target(&suspicion.organisation()),
            Purpose::Evidence(gather, other) => self.evidence_failed(gather, &other),
            Purpose::Reveal(organisation) => self.reveal_failed(&organisation),
            Purpose::Hello | Purpose::Heads | Purpose::Cosigned => {}
        }
    }

    /// Nobody has a chain if not its own organisation: when that refuses too, wait until somebody tells of it again.
    fn entries_refused(&mut self, key: &PublicKey, organisation: &OrganisationId) {
        let speaks_for = self.peers.get(key.as_bytes()).and_then(|peer| peer.organisation);
        if speaks_for == Some(*organisation) {
            self.forget_target(organisation);
        } else {
            self.stop_fetching(organisation);
        }
    }

    pub(crate) fn keep_fetching(&mut self, organisation: &OrganisationId, key: PublicKey) {
        if let Some(target) = self.targets.get_mut(organisation) {
            target.fetching = Some(key);
        }
    }

    /// Gives a head up until somebody tells of it again.
    pub(crate) fn forget_target(&mut self, organisation: &OrganisationId) {
        if *organisation == self.me {
            return self.stop_fetching(organisation);
        }
        self.targets.remove(organisation);
    }

    pub(crate) fn stop_fetching(&mut self, organisation: &OrganisationId) {
        if let Some(target) = self.targets.get_mut(organisation) {
            target.fetching = None;
            // Ask somebody else, or wait for the next round to hear of it again.
            target.source = None;
        }
    }

    /// What to answer to a head vector: heads that are newer here, are others with the same number, or have more
    /// cosignatures.
    // INVARIANT(11): an answer fits into one message, beside proofs; what is left out comes with the next round.
    fn newer_heads(&self, known: &[Known]) -> Vec<Announcement> {
        let mut room = MESSAGE_BYTES_MAX / 2;
        let is_first_epoch = |seq| epoch_of(seq) == 0;
        let find = |organisation: &OrganisationId| known.iter().find(|k| k.organisation == *organisation);
        self.replicas
            .iter()
            .filter(|(organisation, _)| self.is_member(organisation))
            .filter(|(organisation, replica)| match (find(organisation), replica.head()) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(known), Some(head)) => {
                    head.seq() > known.seq
                        || head.seq() == known.seq
                            && (head.hash() != known.head
                                || replica.cosignatures().len() > usize::from(known.cosignatures))
                }
            })
            .filter_map(|(organisation, replica)| {
                let known = find(organisation);
                let mut told = announcement(replica, known.is_none())?;
                let seq = replica.head()?.seq();
                if !is_first_epoch(seq) && known.is_none_or(|known| epoch_of(known.seq) < epoch_of(seq)) {
                    told.succession = replica.succession();
                }
                Some(told)
            })
            .take(64)
            .take_while(|told| {
                let lines: usize = told.cosignatures.iter().map(String::len).sum();
                let versions: usize = told.inception.iter().chain(&told.succession).map(|b| b.0.len()).sum();
                let fits = room.checked_sub(told.head.0.len() + lines + versions);
                room = fits.unwrap_or_default();
                fits.is_some()
            })
            .collect()
    }

    /// Asks a peer for heads that are newer than those here.
    pub(crate) fn ask_heads(&mut self, now: Millis, key: PublicKey) {
        let known = self
            .replicas
            .iter()
            .filter_map(|(organisation, replica)| {
                let cosignatures = u16::try_from(replica.cosignatures().len()).unwrap_or(u16::MAX);
                let head = replica.head()?;
                let (seq, head) = (head.seq(), head.hash());
                Some(Known { organisation: *organisation, seq, head, cosignatures })
            })
            .collect();
        let exposed = self.proofs.keys().copied().collect();
        self.send(now, &key, Purpose::Heads, Request::Heads { known, exposed });
    }

    /// Every period, one peer at random is asked for what it knows: gossip is a hint, this is the truth.
    pub(crate) fn round(&mut self, now: Millis) {
        if now < self.next_round {
            return;
        }
        self.next_round = now.plus(self.config.anti_entropy_ms);
        let admitted: Vec<PublicKey> = self
            .peers
            .values()
            .filter(|peer| peer.admitted_there && self.admitted(&peer.key).is_some())
            .map(|peer| peer.key)
            .collect();
        if admitted.is_empty() {
            return;
        }
        let index = self.rng.next_u64() % admitted.len() as u64;
        if let Some(key) = usize::try_from(index).ok().and_then(|index| admitted.get(index)) {
            self.ask_heads(now, *key);
        }
    }

    fn heads_answered(&mut self, now: Millis, key: PublicKey, heads: &[Announcement], proofs: &[ByteString]) {
        for proof in proofs {
            if self.take_proof(&proof.0) == Judgement::Reject {
                self.penalise(key, 20, "it sent what is no proof of misbehaviour");
            }
        }
        // What the peer's own organisation did not send anew is confirmed to be its latest.
        if let Some(replica) =
            self.admitted(&key).and_then(|organisation| self.replicas.get_mut(&organisation))
        {
            replica.seen = now;
        }
        self.note_asked(key, heads);
        for announcement in heads.iter().take(64) {
            if let Err(reason) = self.take_announcement(now, key, announcement, false) {
                self.penalise(key, 20, reason);
            }
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
        let judgement = if topic == Topic::Proofs {
            self.take_proof(bytes)
        } else {
            match counterfoil_protocol::codec::decode::<Announcement>(bytes, crate::message::GOSSIP_BYTES_MAX)
            {
                Ok(announcement) => match self.take_announcement(now, key, &announcement, true) {
                    Ok(judgement) => judgement,
                    Err(_) => Judgement::Reject,
                },
                Err(_) => Judgement::Reject,
            }
        };
        self.outbox.push(Effect::Judge { gossip, judgement });
    }

    /// Size of the latest head that was announced, whether or not everything under it is here.
    pub(crate) fn announced_size(&self, organisation: &OrganisationId) -> TreeSize {
        let target = self.targets.get(organisation).map(|target| target.head.size());
        let here = self.replicas.get(organisation).and_then(Replica::head).map(SignedHead::size);
        target.max(here).unwrap_or_default()
    }

    pub(crate) fn take_announcement(
        &mut self,
        now: Millis,
        key: PublicKey,
        announcement: &Announcement,
        is_hint: bool,
    ) -> Result<Judgement, &'static str> {
        let head = Head::parse(announcement.head.0.as_slice()).map_err(|_| "it announced what is no head")?;
        let organisation = head.organisation();
        if !self.is_member(&organisation) || self.is_paused(&organisation) {
            return Ok(Judgement::Ignore);
        }
        let replica = match self.replicas.entry(organisation) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let Some(inception) = &announcement.inception else { return Ok(Judgement::Ignore) };
                let replica =
                    Replica::new(inception.0.as_slice().into()).map_err(|_| "it sent no inception")?;
                if replica.organisation() != organisation {
                    return Err("it sent the inception of another organisation");
                }
                vacant.insert(replica)
            }
        };
        let is_current = replica.head().map(SignedHead::hash) == Some(head.hash());
        let unverified = "it announced a head that does not verify";
        let (head, succession) = match replica.state().epochs().open_head(head.clone()) {
            Ok(head) => (head, None),
            // Of an epoch that is not known here: what leads to its key is needed first.
            Err(HeadError::Epoch { .. } | HeadError::Key { .. }) => {
                let Some(succession) = self.succession(&organisation, &announcement.succession)? else {
                    if is_hint {
                        self.ask_heads(now, key);
                    }
                    return Ok(Judgement::Ignore);
                };
                let head = succession.epochs().open_by_seq(head).map_err(|_| unverified)?;
                (head, Some(succession))
            }
            Err(_) => return Err(unverified),
        };
        let judgement = self.consider(now, head, Origin { source: Some(key), succession });
        if is_current {
            let before = self.replicas.get(&organisation).map_or(0, |replica| replica.cosignatures().len());
            self.take_cosignatures(organisation, &announcement.cosignatures);
            let after = self.replicas.get(&organisation).map_or(0, |replica| replica.cosignatures().len());
            if after > before {
                self.write_cosignatures(organisation);
                return Ok(Judgement::Accept);
            }
        }
        Ok(judgement)
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
    pub(crate) fn consider(&mut self, now: Millis, head: SignedHead, origin: Origin) -> Judgement {
        let organisation = head.organisation();
        let Some(replica) = self.replicas.get_mut(&organisation) else { return Judgement::Ignore };
        if replica.head().map(SignedHead::hash) == Some(head.hash()) {
            replica.seen = replica.seen.max(now);
            return Judgement::Ignore;
        }
        let target = self.targets.get(&organisation);
        let succession = origin.succession.clone().or_else(|| target.and_then(|t| t.succession.clone()));
        let known: Vec<SignedHead> =
            target.map(|target| &target.head).into_iter().chain(replica.head()).cloned().collect();
        let proof = known.iter().find_map(|known| self.contradiction(succession.as_deref(), known, &head));
        if let Some(proof) = proof {
            self.expose(organisation, &proof);
            // A conflicting head that is validly signed travels on, or the proof would not reach everybody.
            return Judgement::Accept;
        }
        if let Some(target) = self.targets.get_mut(&organisation).filter(|t| t.head.hash() == head.hash()) {
            // Somebody else has what is being looked for: ask there when the present source fails.
            target.source = target.source.or(origin.source);
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
        let fetching = self.targets.get(&organisation).and_then(|target| target.fetching);
        let target = Target { fetching, ..Target::of(head, Origin { succession, ..origin }) };
        self.targets.insert(organisation, target);
        Judgement::Accept
    }

    /// Asks for entries under each target that nobody is being asked for.
    pub(crate) fn fetch(&mut self, now: Millis) {
        let wanted: Vec<(OrganisationId, SignedHead)> = self
            .targets
            .iter()
            .filter(|(_, target)| target.fetching.is_none())
            .map(|(organisation, target)| (*organisation, target.head.clone()))
            .collect();
        for (organisation, head) in wanted {
            let Some(from) = self.replicas.get(&organisation).map(|replica| replica.size().next_position())
            else {
                continue;
            };
            let Some(key) = self.fetch_from(&organisation) else { continue };
            let request = Request::Entries { organisation, from, size: head.size() };
            if self.send(now, &key, Purpose::Entries(head), request)
                && let Some(target) = self.targets.get_mut(&organisation)
            {
                target.fetching = Some(key);
            }
        }
    }

    /// Whom to ask for a chain: its own organisation's peer, else whoever announced the head, else nobody yet.
    fn fetch_from(&self, organisation: &OrganisationId) -> Option<PublicKey> {
        let target = self.targets.get(organisation)?;
        let usable = |key: &PublicKey| {
            self.peers
                .get(key.as_bytes())
                .is_some_and(|peer| peer.admitted_there && peer.has_room(&self.config))
                && self.admitted(key).is_some()
        };
        let announced =
            self.peers.values().map(|peer| peer.key).find(|key| target.prefers(key) && usable(key));
        let own = self
            .peers
            .values()
            .find(|peer| peer.organisation == Some(*organisation) && usable(&peer.key))
            .map(|peer| peer.key);
        announced.or(own)
    }

    fn entries_answered(&mut self, now: Millis, key: PublicKey, head: &SignedHead, page: &Page) {
        let organisation = head.organisation();
        if let Some(target) = self.targets.get_mut(&organisation) {
            target.fetching = None;
        }
        if self.has_misbehaved(&organisation) {
            return;
        }
        let Some(replica) = self.replicas.get_mut(&organisation) else { return };
        if page.from != replica.size().next_position() {
            // The chain has moved on since it was asked for; the next request says from where.
            return;
        }
        let extended = match replica.extend(head, page) {
            Ok(extended) => extended,
            Err(error) => return self.page_refused(now, key, head, &error),
        };
        replica.seen = replica.seen.max(now);
        for verified in &extended.verified {
            self.take_vote(verified);
            self.crossing.take(verified);
        }
        self.note_withheld(organisation, page);
        let ticket = self.outbox.ticket();
        let mut writes = extended.writes;
        let mut cosignature = None;
        if extended.complete {
            if self.targets.get(&organisation).is_some_and(|target| target.head.hash() == head.hash()) {
                self.targets.remove(&organisation);
            }
            if organisation == self.me {
                self.caught_up();
            } else {
                cosignature = self.cosign(now, head, &mut writes);
            }
        }
        self.outbox.push(Effect::Persist { ticket, writes });
        for verified in extended.verified {
            self.outbox.say_after(ticket, Effect::Notify(Event::Accepted(Box::new(verified))));
        }
        if let Some(line) = cosignature {
            self.hand_over(now, &organisation, head.size(), line);
        }
    }

    /// Cosigns a head that was just found to extend what was here. The signature is stored before anybody sees it.
    fn cosign(&mut self, now: Millis, head: &SignedHead, writes: &mut Vec<Write>) -> Option<String> {
        let witness = self.witness_key();
        let cosignature = cosign(self.me, witness.as_ref(), now.timestamp(), head.note().text()).ok()?;
        let line = cosignature.line.to_text();
        let replica = self.replicas.get_mut(&head.organisation())?;
        replica.cosign(self.me, line.clone());
        writes.push(Write::Cosignatures {
            organisation: head.organisation(),
            size: head.size(),
            lines: replica.cosignatures().values().cloned().collect(),
        });
        Some(line)
    }

    /// Sends a cosignature to its head's organisation, if a peer of it is connected. Else it travels with head vectors.
    fn hand_over(&mut self, now: Millis, organisation: &OrganisationId, size: TreeSize, line: String) {
        let peer = self.peers.values().find(|p| p.organisation == Some(*organisation) && p.admitted_there);
        if let Some(key) = peer.map(|peer| peer.key) {
            self.send(now, &key, Purpose::Cosigned, Request::Cosigned { size, line });
        }
    }

    /// Takes in a witness's cosignature on the own head.
    pub(crate) fn take_own_cosignature(&mut self, size: TreeSize, line: &str) -> Result<(), &'static str> {
        let own = self.replicas.get(&self.me).ok_or("there is no chain yet")?;
        if own.head().map(SignedHead::size) != Some(size) {
            return Err("that is not the size of the latest head");
        }
        let before = own.cosignatures().len();
        self.take_cosignatures(self.me, std::slice::from_ref(&line.to_owned()));
        let after = self.replicas.get(&self.me).map_or(0, |own| own.cosignatures().len());
        if after == before {
            return Err("it is no new cosignature of a member");
        }
        self.write_cosignatures(self.me);
        let quorum = self.membership.as_ref().map_or(usize::MAX, |membership| membership.witness_quorum());
        if after == quorum {
            self.outbox.push(Effect::Notify(Event::Witnessed(size)));
            self.announce(&BTreeSet::from([Topic::Heads]));
        }
        Ok(())
    }

    /// Checks signature lines on an organisation's latest head and keeps those of members that verify.
    pub(crate) fn take_cosignatures(&mut self, organisation: OrganisationId, lines: &[String]) {
        let Some(head) = self.replicas.get(&organisation).and_then(Replica::head).cloned() else { return };
        for text in lines.iter().take(counterfoil_protocol::limits::NOTE_SIGNATURES_MAX) {
            let Some(line) = read_line(head.note(), text) else { continue };
            let witness = self.replicas.values().find(|replica| {
                replica.organisation() != organisation && witness_name(&replica.organisation()) == line.name
            });
            let Some(witness) = witness else { continue };
            let (id, key) = (witness.organisation(), witness.state().description().witness_key);
            if verify_line(&line, id, key, head.note().text()).is_ok()
                && let Some(replica) = self.replicas.get_mut(&organisation)
            {
                replica.cosign(id, line.to_text());
            }
        }
    }

    fn write_cosignatures(&mut self, organisation: OrganisationId) {
        let Some(replica) = self.replicas.get(&organisation) else { return };
        let Some(head) = replica.head() else { return };
        let lines = replica.cosignatures().values().cloned().collect();
        let writes = vec![Write::Cosignatures { organisation, size: head.size(), lines }];
        let ticket = self.outbox.ticket();
        self.outbox.push(Effect::Persist { ticket, writes });
    }
}

/// Reads one signature line, with the note's own reader.
fn read_line(note: &Note, text: &str) -> Option<SignatureLine> {
    let mut signed = String::from(note.text());
    signed.push('\n');
    signed.push_str(text);
    match Note::parse(signed.as_bytes()).ok()?.signatures() {
        [line] => Some(line.clone()),
        _ => None,
    }
}
