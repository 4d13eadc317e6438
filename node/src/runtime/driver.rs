//! The engine's thread: takes inputs, sorts effects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use counterfoil_federation::effect::{AppendError, AppendId, Appended, GatherId};
use counterfoil_federation::engine::Engine;
use counterfoil_federation::whereabouts::Located;
use counterfoil_federation::{Effect, Event, Input, Millis};
use counterfoil_protocol::admissibility::Inquiry;
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId};
use counterfoil_protocol::statement::Authentic;

use super::disk::Task;
use super::serve::{Read, Wanted};
use super::{Answer, Message, NetworkCommand, Outward, View};
use crate::asked::Asked;
use crate::clock;
use crate::intake::Batch;
use crate::store::Store;

/// The engine and what waits for it.
pub(super) struct Driver {
    engine: Engine,
    store: Arc<Store>,
    signers: Arc<RwLock<OrganisationState>>,
    tasks: Sender<Task>,
    pages: Sender<Wanted>,
    /// The data directory.
    directory: PathBuf,
    outward: Option<Outward>,
    listeners: Vec<Sender<Event>>,
    waiting: BTreeMap<AppendId, Answer>,
    gathering: BTreeMap<GatherId, Sender<Vec<Inquiry>>>,
    locating: BTreeMap<GatherId, Sender<Vec<Located>>>,
    next: u64,
    /// Batches of statements that overtook others.
    early: BTreeMap<u64, Batch>,
    next_batch: u64,
}

impl Driver {
    pub(super) fn new(
        engine: Engine,
        store: Arc<Store>,
        signers: Arc<RwLock<OrganisationState>>,
        tasks: Sender<Task>,
        pages: Sender<Wanted>,
        directory: PathBuf,
    ) -> Self {
        Self {
            engine,
            store,
            signers,
            tasks,
            pages,
            directory,
            outward: None,
            listeners: Vec::new(),
            waiting: BTreeMap::new(),
            gathering: BTreeMap::new(),
            locating: BTreeMap::new(),
            next: 0,
            early: BTreeMap::new(),
            next_batch: 0,
        }
    }

    /// Runs until everybody has gone, or it is stopped and has finished what was under way.
    pub(super) fn run(mut self, inputs: &Receiver<Message>) {
        self.engine.handle(clock::now(), Input::Wake);
        let mut stopping = false;
        loop {
            self.effects();
            if stopping && self.waiting.is_empty() {
                return;
            }
            let wait = self.engine.next_deadline().map_or(1000, |at| at.since(clock::now())).clamp(1, 1000);
            match inputs.recv_timeout(Duration::from_millis(wait)) {
                Ok(message) => stopping |= self.take(clock::now(), message, stopping),
                Err(RecvTimeoutError::Timeout) => self.engine.handle(clock::now(), Input::Wake),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes one message. Returns whether it was the wish to stop.
    fn take(&mut self, now: Millis, message: Message, stopping: bool) -> bool {
        match message {
            Message::Stop => return true,
            Message::Appends(batch) => {
                self.early.insert(batch.number, batch);
                while let Some(batch) = self.early.remove(&self.next_batch) {
                    self.next_batch = self.next_batch.wrapping_add(1);
                    for (statement, answer) in batch.statements {
                        self.append(now, statement, answer, stopping);
                    }
                }
            }
            Message::Input(input) => self.engine.handle(now, *input),
            Message::View(reply) => {
                let show = Task::Show(Box::new(self.view(now)), reply);
                if let Err(SendError(Task::Show(view, reply))) = self.tasks.send(show) {
                    // The disk has failed, which the view says. Whoever has gone does not wait for the answer.
                    let _ = reply.send(*view);
                }
            }
            Message::Gather(about, wait_ms, reply) => {
                let gather = GatherId(self.next);
                self.next = self.next.wrapping_add(1);
                self.gathering.insert(gather, reply);
                self.engine.handle(now, Input::Gather { gather, about, wait_ms });
            }
            Message::Locate(statements, wait_ms, reply) => {
                let gather = GatherId(self.next);
                self.next = self.next.wrapping_add(1);
                self.locating.insert(gather, reply);
                self.engine.handle(now, Input::Locate { gather, statements, wait_ms });
            }
            Message::Listen(listener) => self.listeners.push(listener),
            Message::Connect(outward) => self.outward = Some(outward),
        }
        false
    }

    fn append(&mut self, now: Millis, statement: Authentic, answer: Answer, stopping: bool) {
        if stopping {
            return answer.give(Err(AppendError::Frozen("it is shutting down".into())));
        }
        let id = statement.statement().id();
        let mut known = self.known(&statement.statement().header().refs);
        if let Some(position) = self.own_place(&id) {
            // Whoever did not get the answer asks again.
            if let Some(head) = self.head_over(position) {
                return answer.give(Ok(Box::new(Appended { statement: id, position, head })));
            }
            known.insert(id);
        }
        let append = AppendId(self.next);
        self.next = self.next.wrapping_add(1);
        self.waiting.insert(append, answer);
        let is_standing = statement.statement().header().kind.is_standing();
        self.engine.handle(now, Input::Append { append, statement: Box::new(statement), known });
        if is_standing {
            self.follow();
        }
    }

    fn known(&self, refs: &[StatementId]) -> BTreeSet<StatementId> {
        refs.iter().filter(|id| matches!(self.store.place(id), Ok(Some(_)))).copied().collect()
    }

    /// Where a statement stands in the own chain.
    fn own_place(&self, id: &StatementId) -> Option<Position> {
        let place = self.store.place(id).ok()?;
        place.filter(|(author, _)| *author == self.engine.organisation()).map(|(_, position)| position)
    }

    /// The own head, if it covers this position.
    fn head_over(&self, position: Position) -> Option<SignedHead> {
        let own = self.engine.replicas().get(&self.engine.organisation())?;
        own.head().filter(|head| head.size().contains(position)).cloned()
    }

    fn view(&mut self, now: Millis) -> View {
        let engine = &self.engine;
        let heard = engine.replicas().keys().filter_map(|id| Some((*id, engine.heard_of(id)?)));
        let heard = heard.collect();
        View {
            now,
            chains: self.engine.replicas().clone(),
            membership: self.engine.membership().cloned(),
            peers: self.engine.peers().cloned().collect(),
            candidates: self.engine.candidates().clone(),
            misbehaved: self.engine.misbehaved(),
            agreements: self.engine.agreements().clone(),
            not_followed: self.engine.not_followed().clone(),
            invited: self.engine.invited().clone(),
            heard,
            limited: self.engine.limited().clone(),
            neighbours: self.engine.neighbours(),
            witnesses_away: self.engine.witnesses_away().clone(),
            frozen: self.engine.frozen().map(str::to_owned),
        }
    }

    fn wanted(&self, organisation: OrganisationId, read: Read) {
        // A serve thread that has ended leaves the request to its timeout.
        let _ = self.pages.send(Wanted { outward: self.outward.clone(), organisation, read });
    }

    fn say(&self, command: NetworkCommand) {
        if let Some(outward) = &self.outward {
            outward(command);
        }
    }

    /// Lets callers see the keys that a standing statement may have brought.
    fn follow(&self) {
        if let Some(own) = self.engine.replicas().get(&self.engine.organisation()) {
            *self.signers.write().unwrap_or_else(PoisonError::into_inner) = own.state().clone();
        }
    }

    /// Writes down who was asked, for `root recover`. What is not written down counts as not asked.
    fn note_asked(&self, event: &Event) {
        let Event::Asked { asked, holding, others } = event else { return };
        let asked = Asked { asked: asked.clone(), holding: holding.clone(), others: others.clone() };
        if let Err(error) = asked.write(&self.directory) {
            tracing::error!("{error}");
        }
    }

    fn effects(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            let sent = match effect {
                Effect::Persist { ticket, writes } => self.tasks.send(Task::Persist(ticket, writes)),
                Effect::LockHead { ticket, previous, head } => {
                    self.tasks.send(Task::Lock(ticket, previous, head))
                }
                Effect::Reply { append, outcome } => {
                    if let Some(answer) = self.waiting.remove(&append) {
                        answer.give(outcome);
                    }
                    Ok(())
                }
                Effect::Notify(event) => {
                    log(&event);
                    self.note_asked(&event);
                    self.listeners.retain(|listener| listener.send(event.clone()).is_ok());
                    Ok(())
                }
                Effect::Serve { channel, organisation, from, size, audience, head } => {
                    let read = Read::Page { channel, from, size, audience, head };
                    self.wanted(organisation, read);
                    Ok(())
                }
                Effect::Reveal { channel, organisation, positions, audience } => {
                    self.wanted(organisation, Read::Withheld { channel, positions, audience });
                    Ok(())
                }
                Effect::Find { channel, about, audience, head } => {
                    let organisation = self.engine.organisation();
                    self.wanted(organisation, Read::Bearing { channel, about, audience, head });
                    Ok(())
                }
                Effect::Locate { channel, statements, audience } => {
                    let organisation = self.engine.organisation();
                    self.wanted(organisation, Read::Whereabouts { channel, statements, audience });
                    Ok(())
                }
                Effect::Located { gather, answers } => {
                    if let Some(reply) = self.locating.remove(&gather) {
                        // Whoever has gone does not wait for the answer.
                        let _ = reply.send(answers);
                    }
                    Ok(())
                }
                Effect::Gathered { gather, inquiries } => {
                    if let Some(reply) = self.gathering.remove(&gather) {
                        // Whoever has gone does not wait for the answer.
                        let _ = reply.send(inquiries);
                    }
                    Ok(())
                }
                Effect::Lacking { organisation, from, max } => {
                    self.wanted(organisation, Read::Lacking { from, max });
                    Ok(())
                }
                Effect::Prove { asker, organisation, from, to } => {
                    self.wanted(organisation, Read::Consistency { asker, from, to });
                    Ok(())
                }
                Effect::Send { peer, exchange, request } => {
                    self.say(NetworkCommand::Send { peer, exchange, request });
                    Ok(())
                }
                Effect::Respond { channel, response } => {
                    self.say(NetworkCommand::Respond { channel, response });
                    Ok(())
                }
                Effect::Gossip { topic, bytes } => {
                    self.say(NetworkCommand::Gossip { topic, bytes });
                    Ok(())
                }
                Effect::Judge { gossip, judgement } => {
                    self.say(NetworkCommand::Judge { gossip, judgement });
                    Ok(())
                }
                Effect::GossipWith { peer, begins } => {
                    self.say(NetworkCommand::GossipWith { peer, begins });
                    Ok(())
                }
                Effect::Reach(peer) => {
                    self.say(NetworkCommand::Reach(peer));
                    Ok(())
                }
                Effect::Disconnect(peer) => {
                    self.say(NetworkCommand::Disconnect(peer));
                    Ok(())
                }
            };
            if sent.is_err() {
                tracing::error!("the disk thread has ended; nothing more is accepted");
                self.waiting.clear();
                return;
            }
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::Alarm(text) => tracing::error!("alarm: {text}"),
        Event::Misbehaved(organisation) => tracing::warn!(%organisation, "signed contradicting heads"),
        Event::Penalised { peer, reason } => tracing::warn!(%peer, "{reason}"),
        Event::Accepted(verified) => tracing::debug!(statement = %verified.id(), "accepted"),
        Event::Introduced { organisation, admitted } => tracing::info!(%organisation, admitted, "introduced"),
        Event::WitnessesSilent { size, silent } => {
            let silent: Vec<String> = silent.iter().map(OrganisationId::short).collect();
            tracing::warn!(%size, "no quorum has seen the head; silent witnesses: {}", silent.join(", "));
        }
        Event::WitnessesAway { away, of } => {
            let away: Vec<String> = away.iter().map(OrganisationId::short).collect();
            tracing::warn!(of, "witnesses of this chain were not connected for long: {}", away.join(", "));
        }
        Event::Limited(organisation) => {
            tracing::warn!(%organisation, "is told of more often than its budget allows");
        }
        Event::Witnessed(size) => tracing::info!(%size, "witnessed by a quorum"),
        Event::NotFollowed { organisation, reason } => tracing::warn!(%organisation, "{reason}"),
        Event::Asked { asked, others, .. } => {
            let (asked, others) = (asked.len(), others.len());
            tracing::info!(asked, others, "members hold no later head of this chain");
        }
        Event::CaughtUp(size) => tracing::info!(%size, "caught up with the head lock"),
    }
}
