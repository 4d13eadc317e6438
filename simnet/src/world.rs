//! Hosts and virtual time: what is to happen, in order. What effects do is in `effects`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use counterfoil_federation::config::Config;
use counterfoil_federation::effect::{AppendId, ChannelId, ExchangeId, GatherId};
use counterfoil_federation::message::{Request, Response};
use counterfoil_federation::whereabouts::Located;
use counterfoil_federation::{Checked, Input, Millis};
use counterfoil_protocol::admissibility::Inquiry;
use counterfoil_protocol::ids::{HeadHash, MeshId, OrganisationId, StatementId};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::mesh::Charter;
use counterfoil_protocol::statement::Authentic;
use counterfoil_protocol::test_support::TestOrganisation;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::checkers::bounds::bounded;
use crate::clock::START;
use crate::decide::Careless;
use crate::disk::Found;
use crate::gossip::{Gossip, MessageId};
use crate::history::{History, Leak};
use crate::host::Host;
use crate::members::Folded;
use crate::network::{Network, Topology};
use crate::tally::{Mark, Tally};
use crate::trace::Trace;
use crate::wire::Limited;
use crate::workload::{Awaited, Pact};

/// What is on its way to a host.
#[derive(Debug)]
pub(crate) enum Parcel {
    Request(ExchangeId, Request),
    Response(ExchangeId, Response),
    Gossip(MessageId, u8),
    /// Names of messages that the sender has.
    Have(Vec<MessageId>),
    /// Names of messages that the sender wants.
    Want(Vec<MessageId>),
    /// The sender wants no copy of this.
    Decline(MessageId),
}

/// What is to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Wake(usize),
    Heartbeat(usize),
    Input(usize, u64, Box<Input>),
    Parcel { from: usize, to: usize, parcel: Box<Parcel>, word: Option<Arc<[Millis]>> },
    Disk(usize, u64),
}

/// How a world is set up.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Everything random follows from this.
    pub seed: u64,
    /// The engines' limits.
    pub config: Config,
    /// Who can connect.
    pub topology: Topology,
    /// Least and greatest least time on a link, in milliseconds.
    pub base_ms: (u64, u64),
    /// Whether everything on the wire is encoded, looked at, and decoded again.
    pub taps: bool,
}

impl Setting {
    /// A small world in which everybody is connected with everybody.
    pub fn full(seed: u64) -> Self {
        Self { seed, config: Config::small(), topology: Topology::Full, base_ms: (1, 20), taps: true }
    }
}

/// What gossip is about, of organisations that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// A head of an organisation.
    Head(OrganisationId, HeadHash),
    /// A proof that an organisation misbehaved, whichever.
    Proof(OrganisationId),
}

/// When and where one word first arrived, of those that are watched.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    /// By host: when, and over how many links.
    pub first: BTreeMap<usize, (Millis, u8)>,
    /// Copies that arrived.
    pub copies: u64,
}

/// The world.
pub struct World {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The network.
    pub network: Network,
    /// Gossip under way and remembered.
    pub gossip: Gossip,
    /// What was seen.
    pub history: History,
    /// The record of the run.
    pub trace: Trace,
    /// What came of gatherings, by host.
    pub gathered: Vec<(usize, GatherId, Vec<Inquiry>)>,
    /// What came of looking for statements, by host.
    pub located: Vec<(usize, GatherId, Vec<Located>)>,
    /// Statements that are not for everybody.
    pub limited: Limited,
    /// What took effect.
    pub tally: Tally,
    /// Members that have left or were to be voted out, by host.
    pub parted: BTreeMap<usize, Mark>,
    /// Organisations that founded the mesh.
    pub founded: BTreeSet<OrganisationId>,
    /// Agreements that were proposed.
    pub pacts: Vec<Pact>,
    /// Entries that were served to who may have been no member.
    pub(crate) suspects: Vec<Leak>,
    /// What is to come of statements that hosts were asked to append.
    pub(crate) awaited: BTreeMap<AppendId, Awaited>,
    pub(crate) folded: RefCell<Folded>,
    /// Where each head, and each proof, arrived first, of organisations that are watched.
    pub arrivals: BTreeMap<Word, Arrivals>,
    /// Organisations of which the arrivals of heads and proofs are written down.
    pub watched: BTreeSet<OrganisationId>,
    /// What is wrong with whoever decides, where that is planted.
    pub careless: Option<Careless>,
    pub(crate) setting: Setting,
    /// What the engines are held to, whatever they are told.
    pub(crate) limits: Config,
    /// What some engine here has checked already: a thousand of them hold the same.
    pub(crate) checked: Arc<Checked>,
    pub(crate) mesh: Option<(MeshId, Charter)>,
    pub(crate) now: Millis,
    pub(crate) queue: BTreeMap<(Millis, u64), Happening>,
    pub(crate) order: u64,
    pub(crate) by_key: HashMap<[u8; 32], Vec<usize>>,
    pub(crate) channels: HashMap<ChannelId, (usize, ExchangeId)>,
    pub(crate) rng: ChaCha8Rng,
}

/// Chains and signature lines that a world's engines share at most.
const CHECKED_MAX: usize = 1 << 14;

/// A generator of random numbers for one purpose.
pub(crate) fn generator(seed: u64, purpose: u8) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[31] = purpose;
    ChaCha8Rng::from_seed(bytes)
}

impl World {
    /// A world of organisations, none of them started yet.
    pub fn new(setting: Setting, organisations: Vec<Arc<TestOrganisation>>) -> Self {
        counterfoil_protocol::keys::memo::remember();
        let mut rng = generator(setting.seed, 0);
        let network = Network::new(organisations.len(), setting.topology, setting.base_ms, &mut rng);
        let mut world = Self {
            hosts: Vec::new(),
            network,
            gossip: Gossip::default(),
            history: History::default(),
            trace: Trace::default(),
            gathered: Vec::new(),
            located: Vec::new(),
            limited: Limited::default(),
            tally: Tally::default(),
            parted: BTreeMap::new(),
            founded: BTreeSet::new(),
            pacts: Vec::new(),
            suspects: Vec::new(),
            awaited: BTreeMap::new(),
            folded: RefCell::default(),
            arrivals: BTreeMap::new(),
            watched: BTreeSet::new(),
            careless: None,
            limits: setting.config.clone(),
            setting,
            checked: Checked::shared(CHECKED_MAX),
            mesh: None,
            now: START,
            queue: BTreeMap::new(),
            order: 0,
            by_key: HashMap::new(),
            channels: HashMap::new(),
            rng,
        };
        organisations.into_iter().for_each(|organisation| world.enlist(Host::new(organisation)));
        world
    }

    fn enlist(&mut self, host: Host) {
        self.by_key.entry(*host.peer_key().as_bytes()).or_default().push(self.hosts.len());
        self.hosts.push(host);
    }

    /// The mesh that hosts enter when they start.
    pub fn set_mesh(&mut self, mesh: MeshId, charter: Charter) {
        self.founded = charter.members.iter().copied().collect();
        self.mesh = Some((mesh, charter));
    }

    /// The mesh that hosts enter when they start.
    pub const fn mesh(&self) -> Option<&(MeshId, Charter)> {
        self.mesh.as_ref()
    }

    /// The engines' limits.
    pub const fn config(&self) -> &Config {
        &self.setting.config
    }

    /// The world's time.
    pub const fn now(&self) -> Millis {
        self.now
    }

    /// A number below `bound`, from the world's seed.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.rng.next_u64() % bound }
    }

    /// A further host that can connect with these. Gives its index; it is not started yet.
    pub fn add_host(&mut self, organisation: Arc<TestOrganisation>, with: &[usize]) -> usize {
        let base_ms = self.setting.base_ms;
        self.network.add_host(with, base_ms, &mut self.rng);
        self.enlist(Host::new(organisation));
        self.hosts.len() - 1
    }

    /// Links hosts as their engines want to be connected, by what is on their disks; none of them runs yet.
    ///
    /// # Errors
    /// When an engine does not start from what is on its disk.
    pub fn wire_as_chosen(&mut self) -> Result<(), String> {
        let index: HashMap<OrganisationId, usize> =
            self.hosts.iter().enumerate().map(|(index, host)| (host.id(), index)).collect();
        let mut chosen = Vec::with_capacity(self.hosts.len());
        for host in &self.hosts {
            let engine =
                host.engine_from_disk(&self.setting.config, &self.mesh, self.setting.seed, &self.checked);
            let neighbours = engine.map_err(|error| error.to_string())?.neighbours();
            chosen.push(neighbours.iter().filter_map(|id| index.get(id).copied()).collect());
        }
        self.network.rewire(&chosen, self.setting.base_ms, &mut self.rng);
        Ok(())
    }

    /// Starts a host and connects it to its neighbours that run.
    ///
    /// # Errors
    /// When the engine does not start from what is on its disk.
    pub fn start(&mut self, index: usize) -> Result<(), String> {
        let Some(host) = self.hosts.get_mut(index).filter(|host| !host.runs()) else { return Ok(()) };
        let found = host.disk.replay();
        let damaged = host.disk.scrub();
        host.broken = false;
        host.start(&self.setting.config, &self.mesh, self.setting.seed, &self.checked)
            .map_err(|e| format!("host {index}: {e}"))?;
        self.note(&format!("start {index}, log {found:?}, {damaged} damaged"));
        self.forget_outsiders(index);
        let is_torn = matches!(found, Found::Torn(_));
        let marks = [(is_torn, Mark::TornDropped), (damaged > 0, Mark::Repaired)];
        marks.into_iter().filter(|(took, _)| *took).for_each(|(_, mark)| self.tally.took(mark));
        self.drain(index);
        for other in self.network.neighbours(index) {
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
        self.note(&format!("recover {index}, {head:?}"));
        self.start(index)
    }

    /// Stops a host at once. Of what its disk was about to write, a random part survives.
    pub fn crash(&mut self, index: usize) {
        let queued = self.hosts.get(index).map_or(0, |host| host.disk.queued() as u64);
        let survive = usize::try_from(self.below(queued + 1)).unwrap_or_default();
        self.stop(index, survive, false);
    }

    /// Stops a host at once: `survive` of the writes under way reach its disk, and a half of the next if it is torn.
    pub fn stop(&mut self, index: usize, survive: usize, torn: bool) {
        let Some(host) = self.hosts.get_mut(index).filter(|host| host.runs()) else { return };
        host.engine = None;
        if survive + usize::from(torn) < host.disk.queued() {
            self.tally.took(Mark::LostUnsynced);
        }
        host.disk.crash(survive, torn);
        host.word.clear();
        host.circle.clear();
        (host.wake_at, host.heartbeat_at) = (None, None);
        let key = host.peer_key();
        self.gossip.forget(index);
        self.note(&format!("stop {index}, {survive} writes survive, torn {torn}"));
        for other in self.network.neighbours(index) {
            if self.network.is_up(index, other) {
                self.input(other, Input::Disconnected(key));
            }
        }
    }

    /// Cuts the connection between two hosts. Returns whether it stood.
    pub fn cut(&mut self, a: usize, b: usize) -> bool {
        if !self.network.set_up(a, b, false) {
            return false;
        }
        self.note(&format!("cut {a} {b}"));
        let (key_a, key_b) = (self.key(a), self.key(b));
        self.input(a, Input::Disconnected(key_b));
        self.input(b, Input::Disconnected(key_a));
        true
    }

    /// A host goes on under another peer key, so its connections are made anew. What was under way on the former ones is lost.
    pub(crate) fn rekey(&mut self, index: usize, key: PublicKey) {
        let former = self.key(index);
        let up = |other: &usize| self.network.is_up(index, *other);
        let others: Vec<usize> = self.network.neighbours(index).into_iter().filter(up).collect();
        for other in &others {
            let peer = self.key(*other);
            self.input(*other, Input::Disconnected(former));
            self.input(index, Input::Disconnected(peer));
        }
        self.queue.retain(|_, happening| match happening {
            Happening::Parcel { from, to, .. } => *from != index && *to != index,
            _ => true,
        });
        let Some(host) = self.hosts.get_mut(index) else { return };
        host.set_peer_key(key);
        if let Some(hosts) = self.by_key.get_mut(former.as_bytes()) {
            hosts.retain(|host| *host != index);
        }
        self.by_key.entry(*key.as_bytes()).or_default().push(index);
        self.note(&format!("{index} goes on under another peer key"));
        others.into_iter().for_each(|other| self.connect(index, other));
    }

    /// Mends all connections.
    pub fn heal(&mut self) {
        self.note("heal");
        for (a, b) in self.network.heal() {
            self.connect(a, b);
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let runs = |world: &Self, index: usize| world.hosts.get(index).is_some_and(Host::runs);
        if runs(self, a) && runs(self, b) && self.network.is_up(a, b) {
            let (key_a, key_b) = (self.key(a), self.key(b));
            self.input(a, Input::Connected(key_b));
            self.input(b, Input::Connected(key_a));
        }
    }

    /// A host dials a peer that it is not connected with. The link stays, as a connection would; nobody answers for a host
    /// that is down, and nothing at all comes back from one that is cut off.
    pub(crate) fn dial(&mut self, index: usize, starts: u64, key: PublicKey) {
        let found = self.by_key.get(key.as_bytes()).and_then(|hosts| hosts.first().copied());
        match found.filter(|other| self.hosts.get(*other).is_some_and(Host::runs)) {
            Some(other) if self.network.is_linked(index, other) => {}
            Some(other) => {
                self.note(&format!("{index} dials {other}"));
                self.network.join(index, other, self.setting.base_ms, &mut self.rng);
                self.connect(index, other);
            }
            None => {
                self.at(self.now.plus(1), Happening::Input(index, starts, Box::new(Input::Unreached(key))));
            }
        }
    }

    /// The peer key of a host.
    pub fn key(&self, index: usize) -> PublicKey {
        match self.hosts.get(index) {
            Some(host) => host.peer_key(),
            None => counterfoil_protocol::keys::Signer::public_key(&TestOrganisation::new(0).peer_key),
        }
    }

    /// The host with this key that `from` can connect with.
    pub(crate) fn host_of(&self, from: usize, key: &PublicKey) -> Option<usize> {
        let hosts = self.by_key.get(key.as_bytes())?;
        hosts.iter().copied().find(|index| self.network.is_linked(from, *index))
    }

    /// A second machine with the keys and a copy of the disk of a host, started at once. `shown` is who sees it in place
    /// of the first; nobody ever sees both, and they do not see each other. Gives its index.
    ///
    /// # Errors
    /// When its engine does not start.
    pub fn second_face(&mut self, of: usize, shown: &BTreeSet<usize>) -> Result<usize, String> {
        let Some(host) = self.hosts.get(of) else { return Err(format!("there is no host {of}")) };
        let mut second = Host::new(host.organisation.clone());
        second.disk = host.disk.copy();
        (second.appended, second.epoch, second.peer) = (host.appended, host.epoch, host.peer);
        second.set_peer_key(host.peer_key());
        let with: Vec<usize> =
            shown.iter().copied().filter(|other| self.network.is_linked(of, *other)).collect();
        for other in &with {
            self.cut(of, *other);
            self.network.part(of, *other);
        }
        let base_ms = self.setting.base_ms;
        let face = self.network.add_host(&with, base_ms, &mut self.rng);
        self.enlist(second);
        self.start(face)?;
        Ok(face)
    }

    /// Asks a host to append a statement.
    pub fn append(&mut self, index: usize, statement: Authentic) {
        self.append_awaiting(index, statement, None);
    }

    /// As [`Self::append`], with what is to come of it.
    pub(crate) fn append_awaiting(&mut self, index: usize, statement: Authentic, awaited: Option<Awaited>) {
        self.order += 1;
        let append = AppendId(self.order);
        let mut known: BTreeSet<StatementId> = statement.statement().header().refs.iter().copied().collect();
        let id = statement.statement().id();
        if self.hosts.get(index).is_some_and(|host| host.disk.holds(&host.id(), &id)) {
            known.insert(id);
        }
        if let Some(awaited) = awaited {
            self.awaited.insert(append, awaited);
        }
        self.input(index, Input::Append { append, statement: Box::new(statement), known });
    }

    /// Gives an input to a host that runs.
    pub fn input(&mut self, index: usize, input: Input) {
        let (now, hosts) = (self.now, self.hosts.len());
        let Some(host) = self.hosts.get_mut(index) else { return };
        let at = host.clock.read(now);
        let Some(engine) = host.engine.as_mut() else { return };
        if let Input::Connected(peer) | Input::Disconnected(peer) = &input {
            host.circle.remove(peer.as_bytes());
        }
        if self.setting.taps {
            host.inputs.keep(&input);
        }
        engine.handle(at, input);
        if self.setting.taps && self.history.beyond.is_none() && host.adversary.is_none() {
            // Whoever is no host may ask to be admitted too.
            self.history.beyond = bounded(index, &engine.usage(), &self.limits, hosts + 1);
        }
        self.drain(index);
    }

    /// Of which moment of each host word can go out from `from` now: what came to it, and its own present.
    pub(crate) fn word_of(&self, from: usize) -> Arc<[Millis]> {
        let came = self.hosts.get(from).map(|host| host.word.as_slice()).unwrap_or_default();
        let at = |index: usize| {
            if index == from { self.now } else { came.get(index).copied().unwrap_or_default() }
        };
        (0..self.hosts.len()).map(at).collect()
    }

    fn word_comes(&mut self, to: usize, word: &[Millis]) {
        let Some(host) = self.hosts.get_mut(to) else { return };
        host.word.resize(host.word.len().max(word.len()), Millis(0));
        host.word.iter_mut().zip(word).for_each(|(known, told)| *known = (*known).max(*told));
    }

    pub(crate) fn note(&mut self, line: &str) {
        self.trace.note(self.now, line);
    }

    pub(crate) fn at(&mut self, at: Millis, happening: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    pub(crate) fn drain(&mut self, index: usize) {
        loop {
            let Some(host) = self.hosts.get_mut(index) else { return };
            let Some(effect) = host.engine.as_mut().and_then(|engine| engine.poll_effect()) else { break };
            self.run(index, effect);
        }
        let Some(host) = self.hosts.get_mut(index) else { return };
        let Some(deadline) = host.engine.as_ref().and_then(|engine| engine.next_deadline()) else { return };
        let at = self.now.plus(deadline.since(host.clock.read(self.now)).max(1));
        if host.wake_at.is_none_or(|earlier| at < earlier || earlier <= self.now) {
            host.wake_at = Some(at);
            self.at(at, Happening::Wake(index));
        }
    }

    /// Lets `ms` milliseconds pass.
    pub fn run_for(&mut self, ms: u64) {
        let until = self.now.plus(ms);
        while let Some(entry) = self.queue.first_entry() {
            let (at, order) = *entry.key();
            if at > until {
                break;
            }
            let happening = entry.remove();
            self.now = self.now.max(at);
            self.happen(order, happening);
        }
        self.now = until;
    }

    fn happen(&mut self, order: u64, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Wake(index) => {
                let host = self.hosts.get_mut(index).filter(|host| host.wake_at == Some(now));
                if let Some(host) = host {
                    host.wake_at = None;
                    self.trace.mix([now.0, order, 0, index as u64, 0]);
                    self.input(index, Input::Wake);
                }
            }
            Happening::Heartbeat(index) => {
                if self.hosts.get(index).is_some_and(|host| host.heartbeat_at == Some(now)) {
                    self.heartbeat(index);
                }
            }
            Happening::Input(index, starts, input) => {
                if self.hosts.get(index).is_some_and(|host| host.starts == starts) {
                    self.trace.mix([now.0, order, 1, index as u64, starts]);
                    self.input(index, *input);
                }
            }
            Happening::Parcel { from, to, parcel, word } => {
                // What was under way when the connection broke is gone with it.
                if self.network.is_up(from, to) && self.hosts.get(to).is_some_and(Host::runs) {
                    self.trace.mix([now.0, order, 2, from as u64, to as u64]);
                    self.word_comes(to, word.as_deref().unwrap_or_default());
                    self.deliver(from, to, *parcel);
                }
            }
            Happening::Disk(index, starts) => {
                self.trace.mix([now.0, order, 3, index as u64, starts]);
                self.disk_works(index, starts);
            }
        }
    }

    /// The hash of each chain's head, as each running host's disk has it.
    pub fn heads(&self) -> Vec<(usize, BTreeMap<OrganisationId, Option<HeadHash>>)> {
        let of = |host: &Host| host.disk.chains().iter().map(|(id, chain)| (*id, chain.tip())).collect();
        let running = self.hosts.iter().enumerate().filter(|(_, host)| host.runs());
        running.map(|(index, host)| (index, of(host))).collect()
    }

    /// Indices of hosts that are honest, whether they run or not.
    pub fn honest(&self) -> Vec<usize> {
        let honest = self.hosts.iter().enumerate().filter(|(_, host)| host.is_honest());
        honest.map(|(index, _)| index).collect()
    }
}
