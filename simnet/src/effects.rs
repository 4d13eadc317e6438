//! What the engines' effects do in the world, and what arrives.

use std::sync::Arc;

use counterfoil_federation::Input;
use counterfoil_federation::effect::{Asker, ChannelId, Effect, Event, ExchangeId, GossipId, Judgement};
use counterfoil_federation::evidence::bearing;
use counterfoil_federation::message::{
    self, Bearing, Hint, MESSAGE_BYTES_MAX, Request, Response, Topic, decode_request, decode_response,
};
use counterfoil_federation::outbox::Ticket;
use counterfoil_federation::store::{consistency, page, revealed};
use counterfoil_federation::whereabouts::whereabouts;
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::{Head, Notice};
use counterfoil_protocol::codec;

use crate::disk::{Ending, Finished, Operation};
use crate::gossip::{
    DECLINE_BYTES, ENVELOPE_BYTES, HEARTBEAT_MS, LAZY, MessageId, NAME_BYTES, Pending, RETOLD,
};
use crate::history::{Acknowledged, Expelled};
use crate::tally::Mark;
use crate::wire::label;
use crate::world::{Happening, Parcel, Word, World};
use crate::{adversary, canary, workload};

/// Bytes of a request or answer on the wire besides its own: stream, protocol name, length.
const EXCHANGE_BYTES: u64 = 16;

impl World {
    pub(crate) fn run(&mut self, index: usize, effect: Effect) {
        let Some(effect) = adversary::bend(self, index, effect) else { return };
        let effect = canary::tell(self, index, effect);
        let starts = self.hosts.get(index).map_or(0, |host| host.starts);
        match effect {
            Effect::Persist { ticket, writes } => {
                self.submit(index, starts, ticket, Operation::Persist(writes));
            }
            Effect::LockHead { ticket, previous, head } => {
                self.submit(index, starts, ticket, Operation::Lock { previous, head });
            }
            Effect::Send { peer, exchange, request } => {
                if let Some(to) = self.host_of(index, &peer) {
                    self.send_request(index, to, exchange, request);
                }
            }
            Effect::Respond { channel, response } => self.respond(index, channel, response),
            Effect::Serve { channel, organisation, from, size, audience, head } => {
                self.serves(index, channel, organisation, from);
                let served = self.hosts.get(index).and_then(|host| host.disk.serve(&organisation));
                let response = match served
                    .and_then(|chain| page(chain, &audience, from, size, &self.setting.config).ok())
                {
                    Some(page) => Response::with_page(page, head),
                    None => Response::Refused("it is not on disk".into()),
                };
                self.respond(index, channel, response);
            }
            Effect::Reveal { channel, organisation, positions, audience } => {
                let served = self.hosts.get(index).and_then(|host| host.disk.serve(&organisation));
                let config = &self.setting.config;
                let response = match served {
                    Some(chain) => Response::Revealed(revealed(chain, &audience, &positions, config)),
                    None => Response::Refused("it is not on disk".into()),
                };
                self.respond(index, channel, response);
            }
            Effect::Find { channel, about, audience, head } => {
                let host = self.hosts.get(index);
                let places = host.map(|host| bearing(&host.disk.library(), &host.id(), &about, &audience));
                let places = places.unwrap_or_default();
                self.respond(index, channel, Response::Evidence(Bearing { head, places }));
            }
            Effect::Locate { channel, statements, audience } => {
                let host = self.hosts.get(index);
                let places = host.map(|host| whereabouts(&host.disk.library(), &statements, &audience));
                self.respond(index, channel, Response::Whereabouts(places.unwrap_or_default()));
            }
            Effect::Located { gather, answers } => self.located.push((index, gather, answers)),
            Effect::Gathered { gather, inquiries } => self.gathered.push((index, gather, inquiries)),
            Effect::Lacking { organisation, from, max } => {
                let served = self.hosts.get(index).and_then(|host| host.disk.serve(&organisation));
                let entries = served.map(|chain| chain.lacking(from, max)).unwrap_or_default();
                let input = Box::new(Input::Lacking { organisation, entries });
                self.at(self.now.plus(1), Happening::Input(index, starts, input));
            }
            Effect::Prove { asker, organisation, from, to } => {
                let served = self.hosts.get(index).and_then(|host| host.disk.serve(&organisation));
                let proof = served.and_then(|chain| consistency(chain, from, to).ok());
                match (asker, proof) {
                    (Asker::Engine, consistency) => {
                        let input = Box::new(Input::Proven { organisation, consistency });
                        self.at(self.now.plus(1), Happening::Input(index, starts, input));
                    }
                    (Asker::Peer(channel), Some(consistency)) => {
                        self.respond(index, channel, Response::Consistency(consistency));
                    }
                    (Asker::Peer(channel), None) => {
                        self.respond(index, channel, Response::Refused("it is not on disk".into()));
                    }
                }
            }
            Effect::Gossip { topic, bytes } => self.publish(index, topic, bytes),
            Effect::Judge { gossip, judgement } => self.judged(index, gossip, judgement),
            Effect::Reply { append, outcome: Ok(appended) } => {
                let Some(organisation) = self.hosts.get(index).map(|host| host.id()) else { return };
                self.note(&format!("{index} acknowledges {} at {}", appended.statement, appended.position));
                self.history.acknowledged.push(Acknowledged {
                    host: index,
                    organisation,
                    statement: appended.statement,
                    position: appended.position,
                });
                workload::appended(self, index, append, appended.statement);
            }
            Effect::Reply { append, outcome: Err(error) } => {
                self.note(&format!("{index} refuses: {error}"));
                workload::refused(self, append, &error);
            }
            Effect::Reach(key) => self.dial(index, starts, key),
            Effect::GossipWith { peer, begins } => {
                let circle = self.hosts.get_mut(index).map(|host| &mut host.circle);
                match circle {
                    Some(circle) if begins => drop(circle.insert(*peer.as_bytes())),
                    Some(circle) => drop(circle.remove(peer.as_bytes())),
                    None => {}
                }
            }
            Effect::Disconnect(key) => {
                if let Some(other) = self.host_of(index, &key) {
                    let reason = self.history.penalties.get(&(index, other)).cloned().unwrap_or_default();
                    self.note(&format!("{index} closes its connection to {other}: {reason}"));
                    self.history.closed.push(Expelled { by: index, whom: other, reason });
                    self.cut(index, other);
                }
            }
            Effect::Notify(event) => self.notified(index, event),
        }
    }

    fn notified(&mut self, index: usize, event: Event) {
        match event {
            Event::Alarm(text) => {
                self.note(&format!("{index} alarms: {text}"));
                if self.hosts.get(index).is_some_and(|host| !host.disk.full) {
                    self.history.alarms.push((index, text));
                }
            }
            Event::Penalised { peer, reason } => {
                if let Some(other) = self.host_of(index, &peer) {
                    self.note(&format!("{index} takes points from {other}: {reason}"));
                    self.history.penalties.insert((index, other), reason);
                }
            }
            Event::Misbehaved(organisation) => {
                self.note(&format!("{index} has a proof against {organisation}"))
            }
            _ => {}
        }
    }

    fn submit(&mut self, index: usize, starts: u64, ticket: Ticket, operation: Operation) {
        if let Some(host) = self.hosts.get_mut(index) {
            host.disk.submit(ticket, operation);
        }
        let at = self.now.plus(1 + self.below(10));
        self.at(at, Happening::Disk(index, starts));
    }

    pub(crate) fn disk_works(&mut self, index: usize, starts: u64) {
        let Some(host) = self.hosts.get_mut(index).filter(|host| host.starts == starts && host.runs()) else {
            return;
        };
        if host.disk.ends_now() {
            let torn = host.disk.ending == Some(Ending::Torn);
            self.tally.took(Mark::Crashed);
            return self.stop(index, 0, torn);
        }
        match host.disk.finish_one() {
            Some(Finished::Durable(ticket)) => self.input(index, Input::Durable(ticket)),
            Some(Finished::Locked(ticket, outcome)) => {
                self.input(index, Input::HeadLocked { ticket, outcome });
            }
            Some(Finished::Failed(ticket)) => {
                self.tally.took(Mark::Full);
                self.input(index, Input::WriteFailed { ticket, reason: "the disk is full".into() });
                // It is unknown what is on disk: the driver ends.
                self.stop(index, 0, false);
                if let Some(host) = self.hosts.get_mut(index) {
                    host.broken = true;
                }
            }
            None => {}
        }
    }

    /// Puts something on its way.
    pub(crate) fn send(&mut self, from: usize, to: usize, parcel: Parcel) {
        if let Some(at) = self.network.travel(self.now, from, to, &mut self.rng) {
            let word = self.setting.taps.then(|| self.word_of(from));
            self.at(at, Happening::Parcel { from, to, parcel: Box::new(parcel), word });
        }
    }

    /// Puts something on its way once more, where the network doubles what it carries.
    fn send_again(&mut self, from: usize, to: usize, mark: Mark, parcel: impl FnOnce() -> Parcel) {
        let duplication = self.network.weather.duplication;
        if duplication > 0 && self.below(1000) < duplication && self.network.is_up(from, to) {
            self.tally.took(mark);
            self.send(from, to, parcel());
        }
    }

    /// Sends a request.
    pub(crate) fn send_request(&mut self, from: usize, to: usize, exchange: ExchangeId, request: Request) {
        let Ok(bytes) = message::encode(&request) else { return };
        self.network.count(from, label(&bytes, "request"), bytes.len() as u64 + EXCHANGE_BYTES);
        if self.setting.taps {
            self.tap(from, Some(to), &bytes);
            let Ok(request) = decode_request(&bytes) else {
                return self.note(&format!("{from} sent a request to {to} that cannot be read"));
            };
            self.send_again(from, to, Mark::RequestTwice, || Parcel::Request(exchange, request.clone()));
            return self.send(from, to, Parcel::Request(exchange, request));
        }
        self.send(from, to, Parcel::Request(exchange, request));
    }

    pub(crate) fn respond(&mut self, index: usize, channel: ChannelId, response: Response) {
        let Some((to, exchange)) = self.channels.remove(&channel) else { return };
        let Ok(bytes) = message::encode(&response) else { return };
        if bytes.len() > MESSAGE_BYTES_MAX {
            return self.note(&format!("{index} has an answer of {} bytes, which is too long", bytes.len()));
        }
        self.network.count(index, label(&bytes, "answer"), bytes.len() as u64 + EXCHANGE_BYTES);
        if self.setting.taps {
            self.tap(index, Some(to), &bytes);
            let Ok(response) = decode_response(&bytes) else {
                return self.note(&format!("{index} sent an answer to {to} that cannot be read"));
            };
            self.send_again(index, to, Mark::AnswerTwice, || Parcel::Response(exchange, response.clone()));
            return self.send(index, to, Parcel::Response(exchange, response));
        }
        self.send(index, to, Parcel::Response(exchange, response));
    }

    /// Publishes on a topic. Recalls go to every neighbour at once, the rest along the gossip mesh.
    pub(crate) fn publish(&mut self, index: usize, topic: Topic, bytes: Arc<[u8]>) {
        if self.setting.taps {
            self.tap(index, None, &bytes);
        }
        let word = self.word_in(topic, &bytes);
        let message = self.gossip.name(topic, bytes);
        let author = self.hosts.get(index).map(|host| host.id());
        // Others tell of a head by themselves where no gossip has brought it.
        let hops = match word {
            Some(Word::Head(organisation, _)) if author != Some(organisation) => RETOLD,
            _ => 0,
        };
        if !self.gossip.see(index, message, hops, self.now) {
            return;
        }
        if let Some(word) = word {
            self.arrived(word, index, hops);
        }
        self.beats(index);
        let mut to = self.network.mesh(index);
        if topic == Topic::Recalls {
            to.extend(self.network.beside_mesh(index));
        }
        to.into_iter().for_each(|to| self.push(index, to, message, hops.saturating_add(1)));
    }

    /// Sends a copy of a message to a neighbour, if that is in the sender's circle.
    pub(crate) fn push(&mut self, from: usize, to: usize, id: MessageId, hops: u8) {
        let key = self.key(to);
        if !self.hosts.get(from).is_some_and(|host| host.gossips_with(&key))
            || self.gossip.has_declined(from, to, id)
        {
            return;
        }
        let Some(message) = self.gossip.message(id) else { return };
        self.network.count(from, message.topic.name(), message.bytes.len() as u64 + ENVELOPE_BYTES);
        let copies = if self.below(1000) < self.network.weather.duplication { 2 } else { 1 };
        if copies > 1 && self.network.is_up(from, to) {
            self.tally.took(Mark::GossipTwice);
        }
        for _ in 0..copies {
            self.send(from, to, Parcel::Gossip(id, hops));
        }
    }

    /// Sees to it that a host names recent messages at its heartbeat.
    fn beats(&mut self, index: usize) {
        let at = self.now.plus(HEARTBEAT_MS);
        if let Some(host) = self.hosts.get_mut(index).filter(|host| host.heartbeat_at.is_none()) {
            host.heartbeat_at = Some(at);
            self.at(at, Happening::Heartbeat(index));
        }
    }

    pub(crate) fn heartbeat(&mut self, index: usize) {
        if let Some(host) = self.hosts.get_mut(index) {
            host.heartbeat_at = None;
        }
        let recent = self.gossip.recent(index, self.now);
        if recent.is_empty() {
            return;
        }
        let mut beside = self.network.beside_mesh(index);
        beside.retain(|to| {
            let key = self.key(*to);
            self.hosts.get(index).is_some_and(|host| host.gossips_with(&key))
        });
        while beside.len() > LAZY {
            let gone = usize::try_from(self.below(beside.len() as u64)).unwrap_or_default();
            beside.swap_remove(gone);
        }
        for to in beside {
            self.network.count(index, "have", NAME_BYTES * (1 + recent.len() as u64));
            self.send(index, to, Parcel::Have(recent.clone()));
        }
        self.beats(index);
    }

    fn judged(&mut self, index: usize, gossip: GossipId, judgement: Judgement) {
        let Some(pending) = self.gossip.judged(index, gossip) else { return };
        if judgement != Judgement::Accept {
            return;
        }
        let mut to = self.network.mesh(index);
        if self.gossip.message(pending.message).is_some_and(|message| message.topic == Topic::Recalls) {
            // A node's mesh for recalls is all its neighbours.
            to.extend(self.network.beside_mesh(index));
        }
        for to in to.into_iter().filter(|to| *to != pending.from) {
            self.push(index, to, pending.message, pending.hops.saturating_add(1));
        }
    }

    /// What a gossip message is about, where its organisation is watched.
    fn word_in(&self, topic: Topic, bytes: &[u8]) -> Option<Word> {
        if self.watched.is_empty() {
            return None;
        }
        if topic == Topic::Proofs {
            let (guilty, _) = Misbehaviour::parse(bytes).and_then(|proof| proof.check()).ok()?;
            return self.watched.contains(&guilty).then_some(Word::Proof(guilty));
        }
        let (organisation, hash) = match codec::decode::<Hint>(bytes, message::GOSSIP_BYTES_MAX).ok()? {
            Hint::Notice(bytes) => {
                let notice = Notice::parse(&bytes.0).ok()?;
                (notice.organisation(), notice.claimed_head())
            }
            Hint::Head(told) => {
                let head = Head::parse(told.head.0.as_slice()).ok()?;
                (head.organisation(), head.hash())
            }
        };
        self.watched.contains(&organisation).then_some(Word::Head(organisation, hash))
    }

    fn arrived(&mut self, word: Word, index: usize, hops: u8) {
        let now = self.now;
        let arrivals = self.arrivals.entry(word).or_default();
        arrivals.copies += 1;
        arrivals.first.entry(index).or_insert((now, hops));
    }

    pub(crate) fn deliver(&mut self, from: usize, to: usize, parcel: Parcel) {
        let peer = self.key(from);
        match parcel {
            Parcel::Request(exchange, request) => {
                self.order += 1;
                let channel = ChannelId(self.order);
                self.channels.insert(channel, (from, exchange));
                self.input(to, Input::Asked { peer, channel, request });
            }
            Parcel::Response(exchange, response) => {
                adversary::learn(self, to, &response);
                self.input(to, Input::Answered { exchange, response });
            }
            Parcel::Gossip(id, hops) => self.gossip_arrives(from, to, id, hops),
            Parcel::Have(names) => {
                let wanted: Vec<MessageId> =
                    names.into_iter().filter(|id| !self.gossip.has_seen(to, *id)).collect();
                if !wanted.is_empty() {
                    self.network.count(to, "want", NAME_BYTES * (1 + wanted.len() as u64));
                    self.send(to, from, Parcel::Want(wanted));
                }
            }
            Parcel::Want(names) => {
                for id in names.into_iter().filter(|id| self.gossip.has_seen(to, *id)).collect::<Vec<_>>() {
                    let hops = self.gossip.hops(to, id).saturating_add(1);
                    self.push(to, from, id, hops);
                }
            }
            Parcel::Decline(id) => self.gossip.decline(to, from, id),
        }
    }

    fn gossip_arrives(&mut self, from: usize, to: usize, id: MessageId, hops: u8) {
        let Some(message) = self.gossip.message(id).cloned() else { return };
        let key = self.key(from);
        if !self.hosts.get(to).is_some_and(|host| host.gossips_with(&key)) {
            // As a node's transport drops it, before it counts as seen.
            return;
        }
        if let Some(word) = self.word_in(message.topic, &message.bytes) {
            self.arrived(word, to, hops);
        }
        if !self.gossip.see(to, id, hops, self.now) {
            return;
        }
        if message.bytes.len() >= DECLINE_BYTES {
            for other in self.network.mesh(to).into_iter().filter(|other| *other != from) {
                self.network.count(to, "decline", 2 * NAME_BYTES);
                self.send(to, other, Parcel::Decline(id));
            }
        }
        adversary::overhear(self, to, id);
        self.beats(to);
        self.order += 1;
        let gossip = GossipId(self.order);
        self.gossip.wait(to, gossip, Pending { message: id, from, hops });
        let (peer, bytes) = (self.key(from), message.bytes.to_vec());
        self.input(to, Input::Heard { peer, gossip, topic: message.topic, bytes });
    }
}
