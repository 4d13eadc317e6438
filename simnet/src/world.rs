//! Hosts, virtual time and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_federation::config::Config;
use counterfoil_federation::effect::{
    AppendId, Asker, ChannelId, Effect, Event, ExchangeId, GatherId, GossipId,
};
use counterfoil_federation::evidence::bearing;
use counterfoil_federation::message::{Announcement, Bearing, Request, Response, Topic};
use counterfoil_federation::store::{consistency, page, revealed};
use counterfoil_federation::{Input, Millis};
use counterfoil_protocol::admissibility::Inquiry;
use counterfoil_protocol::chain::Head;
use counterfoil_protocol::codec;
use counterfoil_protocol::identity::epoch_of;
use counterfoil_protocol::ids::{MeshId, OrganisationId};
use counterfoil_protocol::keys::{PublicKey, Signer};
use counterfoil_protocol::mesh::Charter;
use counterfoil_protocol::statement::Authentic;
use counterfoil_protocol::test_support::TestOrganisation;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::disk::{Finished, Operation};
use crate::history::{Acknowledged, History};
use crate::host::Host;

/// What is on its way.
#[derive(Debug)]
enum Happening {
    Input(usize, u64, Input),
    Request { from: usize, to: usize, exchange: ExchangeId, request: Request },
    Response { from: usize, to: usize, exchange: ExchangeId, response: Response },
    Gossip { from: usize, to: usize, topic: Topic, bytes: Arc<[u8]> },
    Disk(usize, u64),
}

/// How bad the network and the disks are.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Messages lost, in parts of a thousand.
    pub loss: u64,
    /// Gossip delivered twice, in parts of a thousand.
    pub duplication: u64,
    /// Longest delay of a message, in milliseconds.
    pub delay_ms: u64,
}

/// The world.
pub struct World {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// What was seen.
    pub history: History,
    /// Faults in force.
    pub faults: Faults,
    /// What came of gatherings, by host.
    pub gathered: Vec<(usize, GatherId, Vec<Inquiry>)>,
    /// What the engines told whoever listens, by host.
    pub alarms: Vec<(usize, String)>,
    config: Config,
    mesh: Option<(MeshId, Charter)>,
    now: Millis,
    queue: BTreeMap<(Millis, u64), Happening>,
    order: u64,
    cut: BTreeSet<(usize, usize)>,
    /// Pairs that never see each other, healed or not.
    apart: BTreeSet<(usize, usize)>,
    channels: BTreeMap<ChannelId, (usize, ExchangeId)>,
    rng: ChaCha8Rng,
    seed: u64,
}

impl World {
    /// A world of organisations, none of them started yet, that share one charter.
    pub fn new(seed: u64, organisations: Vec<Arc<TestOrganisation>>, config: Config) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            hosts: organisations.into_iter().map(Host::new).collect(),
            history: History::default(),
            faults: Faults { loss: 0, duplication: 0, delay_ms: 20 },
            alarms: Vec::new(),
            gathered: Vec::new(),
            config,
            mesh: None,
            now: Millis(1_000_000),
            queue: BTreeMap::new(),
            order: 0,
            cut: BTreeSet::new(),
            apart: BTreeSet::new(),
            channels: BTreeMap::new(),
            rng: ChaCha8Rng::from_seed(bytes),
            seed,
        }
    }

    /// The mesh that hosts enter when they start.
    pub fn set_mesh(&mut self, mesh: MeshId, charter: Charter) {
        self.mesh = Some((mesh, charter));
    }

    /// A number below `bound`, from the world's seed.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.rng.next_u64() % bound }
    }

    /// Starts a host and connects it to all that run.
    ///
    /// # Errors
    /// When the engine does not start from what is on its disk.
    pub fn start(&mut self, index: usize) -> Result<(), String> {
        let Some(host) = self.hosts.get_mut(index) else { return Ok(()) };
        host.start(&self.config, &self.mesh, self.seed).map_err(|e| format!("host {index}: {e}"))?;
        self.note(format!("start {index}"));
        self.drain(index);
        for other in 0..self.hosts.len() {
            self.connect(index, other);
        }
        self.input(index, Input::Wake);
        Ok(())
    }

    /// Goes on in a new epoch from what is on the disk of a host that is down, and starts it.
    ///
    /// # Errors
    /// Why there is nothing to recover, or it does not start.
    pub fn recover(&mut self, index: usize) -> Result<(), String> {
        let now = self.now.timestamp();
        let Some(host) = self.hosts.get_mut(index) else { return Ok(()) };
        let head = host.recover(now)?;
        self.note(format!("recover {index}, {head:?}"));
        self.start(index)
    }

    /// Stops a host at once. Of what its disk was about to write, a random part survives.
    pub fn crash(&mut self, index: usize) {
        let queued = self.hosts.get(index).map_or(0, |host| host.disk.queued() as u64);
        let survive = usize::try_from(self.below(queued + 1)).unwrap_or_default();
        if let Some(host) = self.hosts.get_mut(index) {
            host.engine = None;
            host.disk.crash(survive);
        }
        self.note(format!("crash {index}, {survive} of {queued} writes survive"));
        let key = self.key(index);
        for other in (0..self.hosts.len()).filter(|other| !self.is_apart(index, *other)).collect::<Vec<_>>() {
            self.input(other, Input::Disconnected(key));
        }
    }

    /// Cuts the connection between two hosts.
    pub fn cut(&mut self, a: usize, b: usize) {
        if self.is_apart(a, b) {
            return;
        }
        self.cut.insert((a.min(b), a.max(b)));
        let (key_a, key_b) = (self.key(a), self.key(b));
        self.input(a, Input::Disconnected(key_b));
        self.input(b, Input::Disconnected(key_a));
        self.note(format!("cut {a} {b}"));
    }

    /// Mends all connections.
    pub fn heal(&mut self) {
        self.note("heal".into());
        let cut = std::mem::take(&mut self.cut);
        for (a, b) in cut {
            self.connect(a, b);
        }
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.is_apart(a, b) || self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn connect(&mut self, a: usize, b: usize) {
        let runs =
            |world: &Self, index: usize| world.hosts.get(index).is_some_and(|host| host.engine.is_some());
        if a != b && runs(self, a) && runs(self, b) && !self.is_cut(a, b) {
            let (key_a, key_b) = (self.key(a), self.key(b));
            self.input(a, Input::Connected(key_b));
            self.input(b, Input::Connected(key_a));
        }
    }

    /// The peer key of a host.
    pub fn key(&self, index: usize) -> PublicKey {
        match self.hosts.get(index) {
            Some(host) => host.organisation.peer_key.public_key(),
            None => TestOrganisation::new(0).peer_key.public_key(),
        }
    }

    /// The host with this key that `from` can see.
    fn host_of(&self, from: usize, key: &PublicKey) -> Option<usize> {
        (0..self.hosts.len()).find(|index| self.key(*index) == *key && !self.is_apart(from, *index))
    }

    /// A second machine with the keys and a copy of the disk of a host, started at once. `shown` is who sees it in place
    /// of the first; nobody ever sees both, and they do not see each other. Gives its index.
    ///
    /// # Errors
    /// When its engine does not start.
    pub fn second_face(&mut self, of: usize, shown: &BTreeSet<usize>) -> Result<usize, String> {
        let face = self.hosts.len();
        let Some(host) = self.hosts.get(of) else { return Err(format!("there is no host {of}")) };
        let mut second = Host::new(host.organisation.clone());
        second.disk = host.disk.copy();
        (second.appended, second.epoch) = (host.appended, host.epoch);
        for other in (0..face).filter(|other| *other != of) {
            let unseen = if shown.contains(&other) { of } else { face };
            self.apart.insert((unseen.min(other), unseen.max(other)));
        }
        self.apart.insert((of, face));
        for other in shown {
            let (key_of, key_other) = (self.key(of), self.key(*other));
            self.input(*other, Input::Disconnected(key_of));
            self.input(of, Input::Disconnected(key_other));
        }
        self.hosts.push(second);
        self.start(face)?;
        Ok(face)
    }

    fn is_apart(&self, a: usize, b: usize) -> bool {
        self.apart.contains(&(a.min(b), a.max(b)))
    }

    /// Asks a host to append a statement.
    pub fn append(&mut self, index: usize, statement: Authentic) {
        self.order += 1;
        let append = AppendId(self.order);
        let known_refs = BTreeSet::new();
        self.input(index, Input::Append { append, statement: Box::new(statement), known_refs });
    }

    /// Gives an input to a host that runs.
    pub fn input(&mut self, index: usize, input: Input) {
        let now = self.now;
        let Some(engine) = self.hosts.get_mut(index).and_then(|host| host.engine.as_mut()) else { return };
        engine.handle(now, input);
        self.drain(index);
    }

    fn note(&mut self, line: String) {
        self.history.trace.push(format!("{} {line}", self.now.0));
    }

    fn at(&mut self, delay_ms: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now.plus(delay_ms), self.order), happening);
    }

    fn drain(&mut self, index: usize) {
        loop {
            let Some(host) = self.hosts.get_mut(index) else { return };
            let Some(effect) = host.engine.as_mut().and_then(|engine| engine.poll_effect()) else { break };
            self.run(index, effect);
        }
        let host = self.hosts.get(index);
        if let Some(deadline) = host.and_then(|host| host.engine.as_ref()?.next_deadline()) {
            let starts = host.map_or(0, |host| host.starts);
            let delay = deadline.since(self.now).max(1);
            self.order += 1;
            // One wake-up a host and millisecond is enough; a second one does nothing.
            self.queue.entry((self.now.plus(delay), index as u64)).or_insert(Happening::Input(
                index,
                starts,
                Input::Wake,
            ));
        }
    }

    fn run(&mut self, index: usize, effect: Effect) {
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
                    let delay = self.delay();
                    self.at(delay, Happening::Request { from: index, to, exchange, request });
                }
            }
            Effect::Respond { channel, response } => self.respond(index, channel, response),
            Effect::Serve { channel, organisation, from, size, audience } => {
                let host = self.hosts.get(index);
                let chain = host.and_then(|host| host.disk.chains().get(&organisation));
                let page = chain.and_then(|chain| page(chain, &audience, from, size, &self.config).ok());
                let response = match page {
                    Some(page) => Response::Entries(page),
                    None => Response::Refused("it is not on disk yet".into()),
                };
                self.respond(index, channel, response);
            }
            Effect::Reveal { channel, organisation, positions, audience } => {
                let chain = self.hosts.get(index).and_then(|host| host.disk.chains().get(&organisation));
                let response = match chain {
                    Some(chain) => Response::Revealed(revealed(chain, &audience, &positions, &self.config)),
                    None => Response::Refused("it is not on disk yet".into()),
                };
                self.respond(index, channel, response);
            }
            Effect::Find { channel, about, audience, head } => {
                let host = self.hosts.get(index);
                let places = host.map(|host| bearing(&host.disk.library(), &host.id(), &about, &audience));
                let places = places.unwrap_or_default();
                self.respond(index, channel, Response::Evidence(Bearing { head, places }));
            }
            Effect::Gathered { gather, inquiries } => self.gathered.push((index, gather, inquiries)),
            Effect::Lacking { organisation, from, max } => {
                let chain = self.hosts.get(index).and_then(|host| host.disk.chains().get(&organisation));
                let entries = chain.map(|chain| chain.lacking(from, max)).unwrap_or_default();
                self.at(1, Happening::Input(index, starts, Input::Lacking { organisation, entries }));
            }
            Effect::Prove { asker, organisation, from, to } => {
                let chain = self.hosts.get(index).and_then(|host| host.disk.chains().get(&organisation));
                let consistency = chain.and_then(|chain| consistency(chain, from, to).ok());
                match (asker, consistency) {
                    (Asker::Engine, consistency) => {
                        let input = Input::Proven { organisation, consistency };
                        self.at(1, Happening::Input(index, starts, input));
                    }
                    (Asker::Peer(channel), Some(consistency)) => {
                        self.respond(index, channel, Response::Consistency(consistency));
                    }
                    (Asker::Peer(channel), None) => {
                        self.respond(index, channel, Response::Refused("it is not on disk yet".into()));
                    }
                }
            }
            Effect::Gossip { topic, bytes } => {
                if let Some(head) = codec::decode::<Announcement>(&bytes, 1 << 16)
                    .ok()
                    .and_then(|announcement| self.open(&announcement))
                {
                    self.history.publish(&head);
                    self.note(format!("publish {head:?}"));
                }
                for to in (0..self.hosts.len()).filter(|to| *to != index) {
                    if self.is_apart(index, to) {
                        continue;
                    }
                    let copies = if self.below(1000) < self.faults.duplication { 2 } else { 1 };
                    for _ in 0..copies {
                        let delay = self.delay();
                        self.at(delay, Happening::Gossip { from: index, to, topic, bytes: bytes.clone() });
                    }
                }
            }
            Effect::Reply { outcome: Ok(appended), .. } => {
                let organisation = self.hosts.get(index).map(Host::id);
                if let Some(organisation) = organisation {
                    self.note(format!("acknowledge {} at {}", appended.statement, appended.position));
                    self.history.acknowledged.push(Acknowledged {
                        organisation,
                        statement: appended.statement,
                        position: appended.position,
                    });
                }
            }
            Effect::Disconnect(key) => {
                if let Some(other) = self.host_of(index, &key) {
                    self.cut(index, other);
                }
            }
            Effect::Notify(Event::Alarm(text)) => self.alarms.push((index, text)),
            Effect::Reply { .. } | Effect::Notify(_) | Effect::Judge { .. } => {}
        }
    }

    fn open(&self, announcement: &Announcement) -> Option<counterfoil_protocol::chain::SignedHead> {
        let head = Head::parse(announcement.head.0.as_slice()).ok()?;
        let host = self.hosts.iter().find(|host| host.id() == head.organisation())?;
        let epoch = epoch_of(head.claimed_seq());
        head.verify(&host.organisation.epoch_key(epoch).public_key()).ok()
    }

    fn submit(
        &mut self,
        index: usize,
        starts: u64,
        ticket: counterfoil_federation::outbox::Ticket,
        operation: Operation,
    ) {
        if let Some(host) = self.hosts.get_mut(index) {
            host.disk.submit(ticket, operation);
        }
        let delay = 1 + self.below(10);
        self.at(delay, Happening::Disk(index, starts));
    }

    fn respond(&mut self, index: usize, channel: ChannelId, response: Response) {
        if let Some((to, exchange)) = self.channels.remove(&channel) {
            let delay = self.delay();
            self.at(delay, Happening::Response { from: index, to, exchange, response });
        }
    }

    fn delay(&mut self) -> u64 {
        1 + self.below(self.faults.delay_ms)
    }

    fn arrives(&mut self, from: usize, to: usize) -> bool {
        let lost = self.below(1000) < self.faults.loss;
        !lost && !self.is_cut(from, to)
    }

    /// Lets `ms` milliseconds pass.
    pub fn run_for(&mut self, ms: u64) {
        let until = self.now.plus(ms);
        while let Some(entry) = self.queue.first_entry() {
            let (at, _) = *entry.key();
            if at > until {
                break;
            }
            let happening = entry.remove();
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = until;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(index, starts, input) => {
                if self.hosts.get(index).is_some_and(|host| host.starts == starts) {
                    self.input(index, input);
                }
            }
            Happening::Request { from, to, exchange, request } => {
                if self.arrives(from, to) {
                    self.order += 1;
                    let channel = ChannelId(self.order);
                    self.channels.insert(channel, (from, exchange));
                    let peer = self.key(from);
                    self.input(to, Input::Asked { peer, channel, request });
                }
            }
            Happening::Response { from, to, exchange, response } => {
                if self.arrives(from, to) {
                    self.input(to, Input::Answered { exchange, response });
                }
            }
            Happening::Gossip { from, to, topic, bytes } => {
                if self.arrives(from, to) {
                    self.order += 1;
                    let (peer, gossip) = (self.key(from), GossipId(self.order));
                    self.input(to, Input::Heard { peer, gossip, topic, bytes: bytes.to_vec() });
                }
            }
            Happening::Disk(index, starts) => {
                let Some(host) = self.hosts.get_mut(index).filter(|host| host.starts == starts) else {
                    return;
                };
                if host.engine.is_none() {
                    return;
                }
                match host.disk.finish_one() {
                    Some(Finished::Durable(ticket)) => self.input(index, Input::Durable(ticket)),
                    Some(Finished::Locked(ticket, outcome)) => {
                        self.input(index, Input::HeadLocked { ticket, outcome });
                    }
                    None => {}
                }
            }
        }
    }

    /// The hash of each chain's head, as each running host's disk has it.
    pub fn heads(
        &self,
    ) -> Vec<(usize, BTreeMap<OrganisationId, Option<counterfoil_protocol::ids::HeadHash>>)> {
        let of = |host: &Host| {
            let chains = host.disk.chains().iter();
            chains.map(|(id, chain)| (*id, chain.head.as_ref().map(|head| head.hash()))).collect()
        };
        self.hosts
            .iter()
            .enumerate()
            .filter(|(_, host)| host.engine.is_some())
            .map(|(index, host)| (index, of(host)))
            .collect()
    }
}
