//! A few organisations in one room: their engines, disks that do at once what they are asked to, and lines between them
//! that are cut or not. Each effect is written down in a few words, so that a story can demand all of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;

use counterfoil_federation::effect::{
    AppendId, Asker, ChannelId, Effect, Event, ExchangeId, GossipId, Judgement, Write,
};
use counterfoil_federation::engine::Identity;
use counterfoil_federation::evidence::EvidenceSource;
use counterfoil_federation::message::{Entry, Hint, Request, Response, Topic, encode};
use counterfoil_federation::store::{EntrySource, Snapshot, consistency, page, revealed};
use counterfoil_federation::whereabouts::{Located, whereabouts};
use counterfoil_federation::{Config, Engine, Input, Millis};
use counterfoil_protocol::chain::proof::{LeafHashes, Subtrees};
use counterfoil_protocol::chain::{Hash, SignedNotice};
use counterfoil_protocol::ids::{ByteString, MeshId, OrganisationId, Position, StatementId};
use counterfoil_protocol::keys::{PublicKey, Signer as _};
use counterfoil_protocol::lineage::Edge;
use counterfoil_protocol::lineage::graph::EdgeSource;
use counterfoil_protocol::mesh::{Admission, Audience, Ballot, Charter, OnFork};
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::{Authentic, Kind, Statement};
use counterfoil_protocol::test_support::TestOrganisation;

#[derive(Default)]
struct Chain {
    entries: Vec<Entry>,
    leaves: LeafHashes,
}

impl Subtrees for Chain {
    fn subtree(&self, level: u32, index: u64) -> Option<Hash> {
        self.leaves.subtree(level, index)
    }
}

impl EntrySource for Chain {
    fn entry(&self, position: Position) -> Option<Entry> {
        self.entries.get(usize::try_from(position.0).ok()?).cloned()
    }
}

/// Statements by their ids, as a disk finds them.
#[derive(Default)]
struct Shelf(BTreeMap<StatementId, (OrganisationId, Position, Statement)>);

impl EdgeSource for Shelf {
    type Error = Infallible;

    fn upstream(&self, _: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        Ok(Vec::new())
    }

    fn downstream(&self, _: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        Ok(Vec::new())
    }
}

impl EvidenceSource for Shelf {
    fn find(&self, id: &StatementId) -> Option<(OrganisationId, Position, Statement)> {
        self.0.get(id).cloned()
    }
}

/// Who is which host.
pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;
pub(crate) const CAROL: usize = 2;
pub(crate) const DAVE: usize = 3;
pub(crate) const ERIN: usize = 4;

pub(crate) struct Host {
    pub(crate) organisation: TestOrganisation,
    pub(crate) engine: Engine,
    shelf: Shelf,
    /// Keys of the peers with which its engine exchanges gossip.
    circle: BTreeSet<[u8; 32]>,
    chains: BTreeMap<OrganisationId, Chain>,
    /// What it did since somebody looked.
    log: Vec<String>,
}

pub(crate) struct Town {
    pub(crate) hosts: Vec<Host>,
    pub(crate) now: Millis,
    pub(crate) config: Config,
    pub(crate) mesh: MeshId,
    /// Pairs without a line.
    cut: BTreeSet<(usize, usize)>,
    inputs: VecDeque<(usize, Input)>,
    channels: BTreeMap<ChannelId, (usize, ExchangeId)>,
    next: u64,
    /// Whether gossip and offers are lost.
    pub(crate) deaf: bool,
    /// What members said of statements that somebody looked for.
    pub(crate) located: Vec<Vec<Located>>,
    /// Who answers nothing any more.
    pub(crate) silent: Option<usize>,
    /// Who serves no entries, and answers all else.
    pub(crate) sparing: Option<usize>,
    /// Who gives everybody everything, whatever it is limited to.
    pub(crate) lavish: Option<usize>,
}

/// Three founders of whom two admit, and one cosignature makes a quorum.
pub(crate) fn charter(members: Vec<OrganisationId>) -> Charter {
    Charter {
        name: "town".into(),
        members,
        admission_threshold: 2,
        witness_quorum: 1,
        freshness_s: 60,
        link_answer_s: 60,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    }
}

impl Town {
    /// A town in which the first `founders` of `hosts` founded a mesh; all have their opening statements, and all lines stand.
    pub(crate) fn new(hosts: u64, founders: usize, config: Config, change: impl Fn(&mut Charter)) -> Self {
        let organisations: Vec<_> = (1..=hosts).map(TestOrganisation::new).collect();
        let members = organisations.iter().take(founders).map(TestOrganisation::id).collect();
        let mut charter = charter(members);
        change(&mut charter);
        let statement = organisations[0].statement(Kind::Charter, &charter);
        let mesh = MeshId::from(statement.statement().id());
        let host = |organisation: TestOrganisation| {
            let identity = Identity {
                inception: organisation.inception.statement().bytes().clone(),
                chain_key: organisation.chain_key.clone(),
                witness_key: organisation.witness_key.clone(),
            };
            let snapshot = Snapshot { mesh: Some((mesh, charter.clone())), ..Snapshot::default() };
            let engine = Engine::new(config.clone(), identity, &snapshot, [7; 32]).unwrap();
            let (chains, shelf, log) = (BTreeMap::new(), Shelf::default(), Vec::new());
            Host { organisation, engine, chains, shelf, circle: BTreeSet::new(), log }
        };
        let hosts = organisations.into_iter().map(host).collect();
        let (cut, inputs, channels) = (BTreeSet::new(), VecDeque::new(), BTreeMap::new());
        let now = Millis(1_000_000);
        let mut town = Self {
            hosts,
            now,
            config,
            mesh,
            cut,
            inputs,
            channels,
            next: 0,
            deaf: false,
            located: Vec::new(),
            silent: None,
            sparing: None,
            lavish: None,
        };
        for index in 0..town.hosts.len() {
            town.hosts[index].organisation.opening().into_iter().for_each(|one| town.append(index, one));
        }
        town.append(0, statement);
        for a in 0..town.hosts.len() {
            (0..a).for_each(|b| town.connect(a, b));
        }
        town.pass(20_000);
        (0..town.hosts.len()).for_each(|index| drop(town.did(index)));
        town
    }

    pub(crate) fn id(&self, index: usize) -> OrganisationId {
        self.hosts[index].organisation.id()
    }

    pub(crate) fn key(&self, index: usize) -> PublicKey {
        self.hosts[index].organisation.peer_key.public_key()
    }

    pub(crate) fn append(&mut self, index: usize, statement: Authentic) {
        self.next += 1;
        let (append, known) = (AppendId(self.next), BTreeSet::new());
        self.give(index, Input::Append { append, statement: Box::new(statement), known });
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        self.cut.remove(&(a.max(b), a.min(b)));
        self.inputs.push_back((b, Input::Connected(self.key(a))));
        self.give(a, Input::Connected(self.key(b)));
    }

    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        self.cut.insert((a.max(b), a.min(b)));
        self.give(a, Input::Disconnected(self.key(b)));
        self.give(b, Input::Disconnected(self.key(a)));
    }

    /// Positions of a chain of which a host has the digests alone.
    pub(crate) fn withheld(&self, index: usize, organisation: OrganisationId) -> Vec<usize> {
        let entries = self.hosts[index].chains[&organisation].entries.iter().enumerate();
        entries.filter(|(_, entry)| matches!(entry, Entry::Withheld(_))).map(|(place, _)| place).collect()
    }

    /// What a host did since somebody looked.
    pub(crate) fn did(&mut self, index: usize) -> Vec<String> {
        std::mem::take(&mut self.hosts[index].log)
    }

    /// Gives a host an input, and lets everything that follows from it happen.
    pub(crate) fn give(&mut self, index: usize, input: Input) {
        self.inputs.push_back((index, input));
        while let Some((index, input)) = self.inputs.pop_front() {
            self.hosts[index].engine.handle(self.now, input);
            while let Some(effect) = self.hosts[index].engine.poll_effect() {
                let said = describe(&effect);
                self.hosts[index].log.push(said);
                self.run(index, effect);
            }
        }
    }

    /// Lets time pass, in steps of half a second.
    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 500 {
            self.now = self.now.plus(500);
            (0..self.hosts.len()).for_each(|index| self.give(index, Input::Wake));
        }
    }

    /// One host wakes, `ms` later.
    pub(crate) fn wake(&mut self, index: usize, ms: u64) {
        self.now = self.now.plus(ms);
        self.give(index, Input::Wake);
    }

    /// The notice that a host gives of its head.
    pub(crate) fn notice(&self, index: usize) -> Vec<u8> {
        let head = self.hosts[index].engine.replicas()[&self.id(index)].head().unwrap().clone();
        let notice = SignedNotice::of(&head, self.hosts[index].organisation.chain_key.as_ref());
        encode(&Hint::Notice(ByteString(notice.to_bytes().to_vec()))).unwrap()
    }

    /// A host hears something of a neighbour, on the topic of heads.
    pub(crate) fn tell(&mut self, index: usize, neighbour: usize, bytes: &[u8]) {
        self.next += 1;
        let (peer, gossip) = (self.key(neighbour), GossipId(self.next));
        self.give(index, Input::Heard { peer, gossip, topic: Topic::Heads, bytes: bytes.to_vec() });
    }

    fn line(&self, from: usize, to: &PublicKey) -> Option<usize> {
        let to = (0..self.hosts.len()).find(|index| self.key(*index) == *to)?;
        (!self.cut.contains(&(from.max(to), from.min(to)))).then_some(to)
    }

    fn run(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Persist { ticket, writes } => {
                writes.into_iter().for_each(|write| self.write(index, write));
                self.inputs.push_back((index, Input::Durable(ticket)));
            }
            Effect::LockHead { ticket, .. } => {
                self.inputs.push_back((index, Input::HeadLocked { ticket, outcome: Ok(()) }));
            }
            Effect::Send { request: Request::Offer(_), .. } if self.deaf => {}
            Effect::Send { peer, exchange, request } => {
                let Some(to) = self.line(index, &peer) else { return };
                self.next += 1;
                let channel = ChannelId(self.next);
                self.channels.insert(channel, (index, exchange));
                self.inputs.push_back((to, Input::Asked { peer: self.key(index), channel, request }));
            }
            Effect::Respond { .. } | Effect::Serve { .. } if self.silent == Some(index) => {}
            Effect::Serve { .. } if self.sparing == Some(index) => {}
            Effect::Respond { channel, response } => self.respond(channel, response),
            Effect::Serve { channel, organisation, from, size, audience, head } => {
                let audience = self.audience(index, organisation, *audience);
                let page =
                    page(&self.hosts[index].chains[&organisation], &audience, from, size, &self.config)
                        .unwrap();
                self.respond(channel, Response::with_page(page, head));
            }
            Effect::Prove { asker, organisation, from, to } => {
                let proven = consistency(&self.hosts[index].chains[&organisation], from, to).ok();
                match asker {
                    Asker::Engine => {
                        let input = Input::Proven { organisation, consistency: proven };
                        self.inputs.push_back((index, input));
                    }
                    Asker::Peer(channel) => self.respond(channel, Response::Consistency(proven.unwrap())),
                }
            }
            Effect::Gossip { topic, bytes } if !self.deaf => {
                for to in (0..self.hosts.len()).filter(|to| *to != index) {
                    let key = self.key(to);
                    let is_heard = self.hosts[index].circle.contains(key.as_bytes());
                    if is_heard && self.line(index, &key).is_some() {
                        self.next += 1;
                        let (peer, gossip) = (self.key(index), GossipId(self.next));
                        self.inputs
                            .push_back((to, Input::Heard { peer, gossip, topic, bytes: bytes.to_vec() }));
                    }
                }
            }
            Effect::Locate { channel, statements, audience } => {
                let places = whereabouts(&self.hosts[index].shelf, &statements, &audience);
                self.respond(channel, Response::Whereabouts(places));
            }
            Effect::Located { answers, .. } => self.located.push(answers),
            Effect::Lacking { organisation, from, max } => {
                let chain = &self.hosts[index].chains[&organisation].entries;
                let lacking = (0..).map(Position).zip(chain).filter_map(|(position, entry)| match entry {
                    Entry::Withheld(digest) if position >= from => Some((position, *digest)),
                    _ => None,
                });
                let entries = lacking.take(max).collect();
                self.inputs.push_back((index, Input::Lacking { organisation, entries }));
            }
            Effect::Reveal { channel, organisation, positions, audience } => {
                let audience = self.audience(index, organisation, *audience);
                let chain = &self.hosts[index].chains[&organisation];
                let revealed = revealed(chain, &audience, &positions, &self.config);
                self.respond(channel, Response::Revealed(revealed));
            }
            Effect::Gossip { .. } | Effect::Judge { .. } | Effect::Reply { .. } => {}
            // Nobody in these stories decides.
            Effect::Find { .. } | Effect::Gathered { .. } => {}
            Effect::GossipWith { peer, begins: true } => {
                self.hosts[index].circle.insert(*peer.as_bytes());
            }
            Effect::GossipWith { peer, begins: false } => {
                self.hosts[index].circle.remove(peer.as_bytes());
            }
            Effect::Reach(_) | Effect::Disconnect(_) | Effect::Notify(_) => {}
        }
    }

    /// What a host lets somebody read of a chain.
    fn audience(&self, index: usize, organisation: OrganisationId, honest: Audience) -> Audience {
        let everything = self.hosts[index].engine.agreements().audience(organisation, self.now.timestamp());
        if self.lavish == Some(index) { everything } else { honest }
    }

    fn respond(&mut self, channel: ChannelId, response: Response) {
        if let Some((to, exchange)) = self.channels.remove(&channel) {
            self.inputs.push_back((to, Input::Answered { exchange, response }));
        }
    }

    fn write(&mut self, index: usize, write: Write) {
        let (organisation, entry, leaf) = match write {
            Write::Statement(verified) => {
                let place = (verified.organisation(), verified.position(), verified.statement().clone());
                self.hosts[index].shelf.0.insert(verified.id(), place);
                let entry = Entry::Statement(ByteString(verified.bytes().to_vec()));
                (verified.organisation(), entry, verified.leaf_digest().leaf_hash())
            }
            Write::Withheld { organisation, digest, .. } => {
                (organisation, Entry::Withheld(digest), digest.leaf_hash())
            }
            Write::Revealed(verified) => {
                let chain = self.hosts[index].chains.get_mut(&verified.organisation()).unwrap();
                let place = usize::try_from(verified.position().0).unwrap();
                chain.entries[place] = Entry::Statement(ByteString(verified.bytes().to_vec()));
                return;
            }
            _ => return,
        };
        let chain = self.hosts[index].chains.entry(organisation).or_default();
        chain.entries.push(entry);
        chain.leaves.0.push(leaf);
    }
}

/// An effect in a few words.
fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Persist { writes, .. } => {
            let words: Vec<String> = writes
                .iter()
                .map(|write| match write {
                    Write::Statement(verified) => verified.kind().to_string(),
                    Write::Withheld { .. } => "withheld".into(),
                    Write::Revealed(verified) => format!("revealed {}", verified.kind()),
                    Write::Tree { .. } => "tree".into(),
                    Write::Head(head) => format!("head {}", head.seq()),
                    Write::Cosignatures { lines, .. } => format!("{} cosignatures", lines.len()),
                    Write::Misbehaviour { .. } => "misbehaviour".into(),
                })
                .collect();
            format!("write {}", words.join(", "))
        }
        Effect::LockHead { head, .. } => format!("lock head {}", head.seq()),
        Effect::Send { request, .. } => format!(
            "ask {}",
            match request {
                Request::Hello(_) => "hello".into(),
                Request::Heads { known: Some(_), .. } => "heads since".into(),
                Request::Heads { known: None, .. } => "heads".into(),
                Request::Ranges { ranges, .. } => format!("{} ranges", ranges.len()),
                Request::Announcements { known, unknown } =>
                    format!("announcements {}+{}", known.len(), unknown.len()),
                Request::Entries { from, size, .. } => format!("entries {from} of {size}"),
                Request::Consistency { .. } => "consistency".into(),
                Request::Reveal { .. } => "reveal".into(),
                Request::Evidence { .. } => "evidence".into(),
                Request::Whereabouts { statements } => format!("whereabouts of {}", statements.len()),
                Request::Cosigned { size, .. } => format!("cosigned {size}"),
                Request::Latest { from: Some(from), seq, .. } => format!("latest {seq} from {from}"),
                Request::Latest { from: None, seq, .. } => format!("latest {seq}"),
                Request::Offer(_) => "offer".into(),
            }
        ),
        Effect::Respond { response, .. } => format!(
            "answer {}",
            match response {
                Response::Hello { admitted, .. } => format!("hello, admitted: {admitted}"),
                Response::Same { .. } => "same".into(),
                Response::Vector { records, .. } => format!("vector of {} bytes", records.0.len()),
                Response::TooMany { .. } => "too many".into(),
                Response::Ranges(answers) => format!("{} ranges differ", answers.len()),
                Response::Announcements(heads) => format!("{} announcements", heads.len()),
                Response::Entries(_) => "entries".into(),
                Response::Latest { page: None, .. } => "latest".into(),
                Response::Latest { page: Some(_), .. } => "latest with entries".into(),
                Response::Consistency(_) => "consistency".into(),
                Response::Revealed(_) => "revealed".into(),
                Response::Evidence(_) => "evidence".into(),
                Response::Whereabouts(places) => format!("{} whereabouts", places.len()),
                Response::Noted => "noted".into(),
                Response::Refused(why) => format!("refused: {why}"),
            }
        ),
        Effect::Serve { .. } => "serve".into(),
        Effect::Reveal { .. } => "reveal".into(),
        Effect::Find { .. } => "find".into(),
        Effect::Gathered { .. } => "gathered".into(),
        Effect::Locate { .. } => "locate".into(),
        Effect::Located { .. } => "located".into(),
        Effect::Lacking { .. } => "lacking".into(),
        Effect::Prove { .. } => "prove".into(),
        Effect::Gossip { topic, .. } => format!("gossip {}", topic.name()),
        Effect::Judge { judgement: Judgement::Accept, .. } => "accept".into(),
        Effect::Judge { judgement: Judgement::Ignore, .. } => "ignore".into(),
        Effect::Judge { judgement: Judgement::Reject, .. } => "reject".into(),
        Effect::Reply { outcome: Ok(_), .. } => "acknowledge".into(),
        Effect::Reply { outcome: Err(error), .. } => format!("refuse: {error}"),
        Effect::GossipWith { begins: true, .. } => "gossip begins".into(),
        Effect::GossipWith { begins: false, .. } => "gossip ends".into(),
        Effect::Reach(_) => "reach".into(),
        Effect::Disconnect(_) => "disconnect".into(),
        Effect::Notify(event) => match event {
            Event::Accepted(verified) => format!("accepted {}", verified.kind()),
            Event::Introduced { admitted, .. } => format!("introduced, admitted: {admitted}"),
            Event::Witnessed(size) => format!("witnessed {size}"),
            Event::WitnessesSilent { size, silent } => format!("{} witnesses of {size} silent", silent.len()),
            Event::WitnessesAway { away, of } => format!("{} of {of} witnesses away", away.len()),
            Event::Limited(_) => "limited".into(),
            Event::Misbehaved(_) => "misbehaved".into(),
            Event::CaughtUp(size) => format!("caught up {size}"),
            Event::Penalised { reason, .. } => format!("penalised: {reason}"),
            Event::NotFollowed { reason, .. } => format!("not followed: {reason}"),
            Event::Asked { asked, .. } => format!("{} have nothing later", asked.len()),
            Event::Alarm(text) => format!("alarm: {text}"),
        },
    }
}

/// Three founders, and nobody else.
pub(crate) fn three() -> Town {
    Town::new(3, 3, Config::default(), |_| {})
}

/// A host observes something.
pub(crate) fn observe(town: &mut Town, host: usize, n: u64) {
    let statement = town.hosts[host].organisation.observation(n);
    town.append(host, statement);
}

/// A host's vote about an organisation.
pub(crate) fn vote(town: &Town, host: usize, about: OrganisationId, ballot: Ballot) -> Authentic {
    let after = town.hosts[host].engine.membership().unwrap().departure(&about);
    let admission = Admission { mesh: town.mesh, organisation: about, ballot, after };
    town.hosts[host].organisation.statement(Kind::Admission, &admission)
}

/// How much of a chain a host has.
pub(crate) fn size(town: &Town, host: usize, of: usize) -> u64 {
    town.hosts[host].engine.replicas().get(&town.id(of)).map_or(0, |replica| replica.size().0)
}
