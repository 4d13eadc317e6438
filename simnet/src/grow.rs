//! What meshes of different sizes cost: bytes and messages when idle and under load, how fast heads, recalls and proofs
//! reach everybody, memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_federation::effect::GossipId;
use counterfoil_federation::engine::{Engine, Identity};
use counterfoil_federation::message::{Topic, encode};
use counterfoil_federation::{Config, Input};
use counterfoil_protocol::chain::HeadDraft;
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::ids::{ByteString, Bytes, MeshId, OrganisationId};
use counterfoil_protocol::lineage::{Acknowledgement, RecallResponse};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;

use crate::disk::Chain;
use crate::gossip::{ENVELOPE_BYTES, RETOLD};
use crate::host::Host;
use crate::network::{Count, Topology, Weather};
use crate::run::charter_of;
use crate::workload::{self, What};
use crate::world::{Setting, Word, World};

/// Connections of each organisation before it chooses its own.
const CONNECTIONS: usize = 8;
/// Most connections of one that many have chosen.
const PEERS_MAX: usize = 128;
/// Least and greatest time on a link, in milliseconds.
pub const LINK_MS: (u64, u64) = (10, 50);
/// The time on each link where all are alike, in milliseconds: a round.
pub const ROUND_MS: u64 = u64::midpoint(LINK_MS.0, LINK_MS.1);
/// Organisations at most that acknowledge a recall in the measurement.
pub const ACKNOWLEDGE_MAX: usize = 100;
/// Chains, in all, of the engines that share nothing, so that their memory shows in what the process has.
const ALONE_CHAINS: usize = 10_000;
/// How often something is sent to find out how fast it spreads.
pub const PROBES: usize = 5;
/// Milliseconds between looks while something spreads.
const TICK_MS: u64 = 1;
/// Longest time that something may take to reach all, in milliseconds.
const SPREADS_MS: u64 = 60_000;

/// How something spread, over all probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// Milliseconds until half of all hosts had it on disk.
    pub median_ms: u64,
    /// Milliseconds until 99 of 100 had.
    pub p99_ms: u64,
    /// Milliseconds until the last had.
    pub last_ms: u64,
    /// Links that its gossip had travelled where it arrived last.
    pub hops: u64,
}

/// How a plain flood goes: everybody passes what is new on to every neighbour but the one that it came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flood {
    /// Milliseconds until the last host has it.
    pub ms: u64,
    /// Most links that the first copy travelled to some host.
    pub hops: u64,
    /// Copies that are sent.
    pub copies: u64,
}

/// Dissemination of a head with one statement beside what is possible, over all probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Links in the ideal: the least depth of a tree in which each passes it on to `DEGREE` others.
    pub ideal_hops: u64,
    /// Links that the gossip took to the last host.
    pub hops: u64,
    /// Milliseconds until the last host had heard of it.
    pub heard_ms: u64,
    /// Milliseconds until the last host had it, and what is under it, on disk.
    pub disk_ms: u64,
    /// Bytes for one copy to each host: head, signatures of a quorum, entry.
    pub bound_bytes: u64,
    /// Bytes that were sent for it.
    pub sent_bytes: u64,
    /// The same, flooded over the same links.
    pub flood: Flood,
    /// Bytes of the copies that the flood sent.
    pub flood_bytes: u64,
}

impl Limit {
    /// Milliseconds in the ideal, over links of a mean delay.
    pub const fn ideal_ms(&self) -> u64 {
        self.ideal_hops * ROUND_MS
    }

    /// The worst of two; the bytes are those of the probe that sent more.
    fn worse(self, other: Self) -> Self {
        let bytes = if other.sent_bytes > self.sent_bytes { other } else { self };
        Self {
            ideal_hops: other.ideal_hops,
            hops: self.hops.max(other.hops),
            heard_ms: self.heard_ms.max(other.heard_ms),
            disk_ms: self.disk_ms.max(other.disk_ms),
            flood: if other.flood.ms > self.flood.ms { other.flood } else { self.flood },
            ..bytes
        }
    }
}

/// What a mesh takes in memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// For each organisation, its simulated disk and its share of what engines have in common included.
    pub simulated: u64,
    /// One engine that shares nothing with others and has nobody connected.
    pub alone: u64,
}

/// What was measured for one size.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    /// Organisations.
    pub hosts: usize,
    /// Sent by an organisation in a minute in which nothing happens.
    pub idle: Count,
    /// Sent by an organisation in a minute in which one in ten says something.
    pub load: Count,
    /// A head, with what is under it.
    pub head: Spread,
    /// A recall.
    pub recall: Spread,
    /// A proof of a fork, from the moment that both branches are heard.
    pub proof: Spread,
    /// Beside the limit.
    pub limit: Limit,
    /// The same where each link takes one round, counted from the moment at which the author lets the head out.
    pub alike: Limit,
    /// Sent by an organisation for the acknowledgement of a recall by one other.
    pub acknowledgement: Count,
    /// What it takes in memory.
    pub memory: Memory,
    /// What was sent in the idle minutes, by kind.
    pub kinds: Vec<(String, Count)>,
}

/// A mesh in which everybody has everybody's chain, at rest, over links with these least and greatest times.
///
/// # Errors
/// When a host does not start.
pub fn settled(hosts: usize, seed: u64, base_ms: (u64, u64)) -> Result<World, String> {
    let organisations: Vec<_> =
        (0..hosts as u64).map(|n| Arc::new(TestOrganisation::new(10_000 + n))).collect();
    let config = Config { peers_max: PEERS_MAX, ..Config::default() };
    let topology = Topology::Circles { degree: CONNECTIONS };
    let setting = Setting { seed, config, topology, base_ms, taps: false };
    let mut world = World::new(setting, organisations);
    let charter = charter_of(&world, 4);
    let Some(founder) = world.hosts.first().map(|host| host.organisation.clone()) else { return Ok(world) };
    let statement = founder.statement(Kind::Charter, &charter);
    let mesh = MeshId::from(statement.statement().id());
    // Each opens its chain by itself; then all get copies, as if they had met long ago.
    for index in 0..hosts {
        let opening = world.hosts.get(index).map(|host| host.organisation.opening()).unwrap_or_default();
        world.start(index)?;
        opening.into_iter().for_each(|statement| world.append(index, statement));
    }
    world.append(0, statement);
    world.run_for(2_000);
    (0..hosts).for_each(|index| world.stop(index, usize::MAX, false));
    let own = |host: &crate::host::Host| Some((host.id(), host.disk.chains().get(&host.id())?.clone()));
    let chains: Vec<_> = world.hosts.iter().filter_map(own).collect();
    for host in &mut world.hosts {
        host.disk.chains_mut().extend(chains.iter().cloned());
    }
    world.set_mesh(mesh, charter);
    world.wire_as_chosen()?;
    for index in 0..hosts {
        world.start(index)?;
        world.run_for(2);
    }
    world.run_for(30_000);
    Ok(world)
}

/// The most memory that this process has had resident at any moment, in bytes; zero where the system does not say.
pub fn most_resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Resident memory of this process, in bytes; zero where the system does not say.
pub fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

fn per_minute(count: Count, hosts: usize, minutes: u64) -> Count {
    let share = (hosts as u64 * minutes).max(1);
    Count { messages: count.messages / share, bytes: count.bytes / share }
}

/// Measures a mesh of that many organisations.
///
/// # Errors
/// When a host does not start, or something does not reach everybody in a minute.
pub fn measure(hosts: usize, seed: u64, minutes: u64) -> Result<Growth, String> {
    let mut world = settled(hosts, seed, LINK_MS)?;
    let mut growth = Growth { hosts, ..Growth::default() };
    let (before, kinds) = (world.network.total(), world.network.by_kind().clone());
    world.run_for(minutes * 60_000);
    growth.idle = per_minute(world.network.total().minus(before), hosts, minutes);
    let spent = world.network.by_kind().iter().map(|(kind, count)| {
        let earlier = kinds.get(kind).copied().unwrap_or_default();
        ((*kind).to_owned(), per_minute(count.minus(earlier), hosts, minutes))
    });
    growth.kinds = spent.filter(|(_, count)| count.messages > 0 || count.bytes > 0).collect();

    let before = world.network.total();
    let speakers = (hosts / 10).max(1);
    for nth in 0..speakers {
        workload::say(&mut world, nth * 10 % hosts, What::Observe(1));
        world.run_for(60_000 / speakers as u64);
    }
    growth.load = per_minute(world.network.total().minus(before), hosts, 1);
    world.run_for(10_000);

    // For all hosts together.
    let idle_bytes = growth.idle.bytes * hosts as u64;
    for nth in 0..PROBES {
        let from = nth * hosts / PROBES;
        let (head, limit) = spread_statement(&mut world, from, What::Observe(1), idle_bytes)?;
        growth.head = worse(growth.head, head);
        growth.limit = growth.limit.worse(limit);
        let (recall, _) = spread_statement(&mut world, from, What::Recall, idle_bytes)?;
        growth.recall = worse(growth.recall, recall);
    }
    growth.acknowledgement = acknowledgements(&mut world, idle_bytes)?;
    growth.proof = spread_proof(&mut world, hosts)?;
    drop(world);

    let mut world = settled(hosts, seed, (ROUND_MS, ROUND_MS))?;
    world.network.weather = Weather { delay_ms: 1, ..Weather::CALM };
    for nth in 0..PROBES {
        let (_, limit) = spread_statement(&mut world, nth * hosts / PROBES, What::Observe(1), idle_bytes)?;
        growth.alike = growth.alike.worse(limit);
    }
    Ok(growth)
}

/// Measures what a mesh of that many organisations takes in memory, by what this process has resident: so in a process that
/// has done nothing else, which would have left memory to be used again.
///
/// # Errors
/// When a host does not start.
pub fn memory(hosts: usize, seed: u64) -> Result<Memory, String> {
    let empty = resident_bytes();
    let mut world = settled(hosts, seed, LINK_MS)?;
    world.run_for(60_000);
    let simulated = resident_bytes().saturating_sub(empty) / hosts.max(1) as u64;
    Ok(Memory { simulated, alone: alone_bytes(&world)? })
}

/// Memory of one engine that was started from the disk of the first host and shares nothing with any other, nor with the
/// simulated disk.
fn alone_bytes(world: &World) -> Result<u64, String> {
    let host = world.hosts.first().ok_or("there is no host")?;
    let before = resident_bytes();
    let count = ALONE_CHAINS.div_ceil(world.hosts.len()).max(4);
    let mut engines = Vec::with_capacity(count);
    for _ in 0..count {
        let mut snapshot = host.disk.snapshot();
        snapshot.mesh = world.mesh().cloned();
        for chain in &mut snapshot.chains {
            chain.standing.iter_mut().for_each(|(_, bytes)| *bytes = bytes.to_vec().into());
            chain.head = chain.head.as_ref().map(|bytes| bytes.to_vec().into());
            chain.cosignatures.iter_mut().for_each(|line| *line = line.to_string().into());
        }
        let identity = Identity {
            inception: host.organisation.inception.statement().bytes().clone(),
            chain_key: host.organisation.chain_key.clone(),
            witness_key: host.organisation.witness_key.clone(),
        };
        let engine = Engine::new(world.config().clone(), identity, &snapshot, [0; 32]);
        engines.push(engine.map_err(|error| error.to_string())?);
    }
    Ok(resident_bytes().saturating_sub(before) / count as u64)
}

/// Organisations acknowledge the latest recall of the first host, all at once. Gives what an organisation sends for one of
/// these.
fn acknowledgements(world: &mut World, idle_bytes: u64) -> Result<Count, String> {
    let recalled = world.hosts.first().ok_or("there is no host")?;
    let chain = recalled.disk.chains().get(&recalled.id()).ok_or("the first host has no chain")?;
    let recall = chain.entries.iter().rev().filter_map(|stored| stored.statement.as_ref());
    let recall = recall.filter(|(_, kind, ..)| *kind == Kind::Recall).map(|(id, ..)| *id).next();
    let recall = recall.ok_or("the first host has recalled nothing")?;
    let head = chain.tip().map_or([0; 32], |head| *head.as_bytes());
    let hosts = world.hosts.len();
    let count = (hosts - 1).min(ACKNOWLEDGE_MAX);
    let (before, began) = (world.network.total(), world.now());
    for nth in 1..=count {
        let index = nth * (hosts - 1) / count;
        let author =
            world.hosts.get(index).map(|host| host.organisation.clone()).ok_or("there is no such host")?;
        let (decisions, permits, response) = (Vec::new(), Vec::new(), RecallResponse::Unaffected);
        let payload = Acknowledgement { recall, head: Bytes(head), decisions, permits, response };
        world.append(index, author.statement(Kind::Acknowledgement, &payload));
    }
    world.run_for(10_000);
    let own = |host: &Host| Some((host.id(), host.disk.chains().get(&host.id())?.tip()));
    let tips: Vec<_> = world.hosts.iter().filter_map(own).collect();
    let tip = |host: &Host, id: &OrganisationId| host.disk.chains().get(id).and_then(Chain::tip);
    if world.hosts.iter().any(|host| tips.iter().any(|(id, own)| tip(host, id) != *own)) {
        return Err("acknowledgements have not reached everybody in 10 s".into());
    }
    let sent = world.network.total().minus(before);
    let idle = idle_bytes * world.now().since(began) / 60_000;
    let each = (count * hosts) as u64;
    Ok(Count { messages: sent.messages / each, bytes: sent.bytes.saturating_sub(idle) / each })
}

fn worse(one: Spread, other: Spread) -> Spread {
    Spread {
        median_ms: one.median_ms.max(other.median_ms),
        p99_ms: one.p99_ms.max(other.p99_ms),
        last_ms: one.last_ms.max(other.last_ms),
        hops: one.hops.max(other.hops),
    }
}

/// Lets time pass until all hosts have something; says when half, 99 of 100, and all had it.
fn spreads(world: &mut World, of: usize, has: impl Fn(&World, usize) -> bool) -> Result<Spread, String> {
    let began = world.now();
    let mut lacking: Vec<usize> = (0..world.hosts.len()).collect();
    let mut spread = Spread::default();
    loop {
        lacking.retain(|index| !has(world, *index));
        let ms = world.now().since(began);
        let had = of.saturating_sub(lacking.len());
        if had * 2 < of {
            spread.median_ms = ms + TICK_MS;
        }
        if had * 100 < of * 99 {
            spread.p99_ms = ms + TICK_MS;
        }
        if lacking.is_empty() {
            spread.last_ms = ms;
            return Ok(spread);
        }
        if ms >= SPREADS_MS {
            return Err(format!("{} of {of} hosts lack it after {ms} ms", lacking.len()));
        }
        world.run_for(TICK_MS);
    }
}

/// A host says something; how it spreads, and what that costs beside `idle_bytes` a minute.
fn spread_statement(
    world: &mut World,
    from: usize,
    what: What,
    idle_bytes: u64,
) -> Result<(Spread, Limit), String> {
    let id = world.hosts.get(from).map(|host| host.id()).ok_or("there is no such host")?;
    let length = |world: &World, index: usize| {
        let chain = world.hosts.get(index).and_then(|host| host.disk.chains().get(&id));
        chain.filter(|chain| chain.head.is_some()).map_or(0, |chain| chain.entries.len())
    };
    let before = length(world, from);
    let sent = world.network.total();
    world.watched.insert(id);
    world.arrivals.clear();
    let began = world.now();
    workload::say(world, from, what);
    let mut spread = spreads(world, world.hosts.len(), |world, index| length(world, index) > before)?;
    // The signatures of witnesses travel behind the head.
    world.run_for(3_000);
    world.watched.clear();
    let ms = world.now().since(began);
    let sent = world.network.total().minus(sent).bytes.saturating_sub(idle_bytes * ms / 60_000);
    let first = || world.arrivals.values().flat_map(|arrivals| arrivals.first.values());
    let heard = first().map(|(at, _)| *at).max().unwrap_or(began);
    let let_out = first().map(|(at, _)| *at).min().unwrap_or(began);
    spread.hops =
        first().map(|(_, hops)| u64::from(*hops)).filter(|hops| *hops < u64::from(RETOLD)).max().unwrap_or(0);
    let quorum = usize::from(world.mesh().map_or(0, |(_, charter)| charter.witness_quorum));
    let object = world.hosts.get(from).and_then(|host| host.disk.chains().get(&id)).map_or(0, |chain| {
        let head = chain.head.as_ref().map_or(0, |head| head.bytes().len());
        let lines: usize = chain.cosignatures.iter().take(quorum).map(|line| line.len()).sum();
        let entry = chain.entries.last().and_then(|stored| stored.statement.as_ref());
        (head + lines) as u64 + entry.map_or(0, |(.., bytes)| bytes.len() as u64) + ENVELOPE_BYTES
    });
    let flood = flood(world, from);
    let limit = Limit {
        ideal_hops: ideal_hops(world.hosts.len()),
        hops: spread.hops,
        heard_ms: heard.since(let_out),
        disk_ms: began.plus(spread.last_ms).since(let_out),
        bound_bytes: object * (world.hosts.len() as u64 - 1),
        sent_bytes: sent,
        flood,
        flood_bytes: flood.copies * object,
    };
    Ok((spread, limit))
}

/// Floods something over the links as they are now, with delays as everything else has them.
fn flood(world: &mut World, from: usize) -> Flood {
    let began = world.now();
    let mut flood = Flood::default();
    let mut reached = vec![false; world.hosts.len()];
    let mut under_way = BTreeSet::from([(began, 0u64, from, from)]);
    while let Some((at, hops, host, sender)) = under_way.pop_first() {
        let Some(reached) = reached.get_mut(host).filter(|reached| !**reached) else { continue };
        *reached = true;
        (flood.ms, flood.hops) = (flood.ms.max(at.since(began)), flood.hops.max(hops));
        for other in world.network.neighbours(host).into_iter().filter(|other| *other != sender) {
            if let Some(arrives) = world.network.travel(at, host, other, &mut world.rng) {
                flood.copies += 1;
                under_way.insert((arrives, hops + 1, other, host));
            }
        }
    }
    flood
}

/// The least depth at which a tree in which each has `DEGREE` children holds that many: ceil(log of N to the base of D).
pub fn ideal_hops(hosts: usize) -> u64 {
    let (mut depth, mut reach) = (0, 1usize);
    while reach < hosts {
        depth += 1;
        reach = reach.saturating_mul(crate::gossip::DEGREE);
    }
    depth
}

/// Two hosts hear different heads with one number; how the proof spreads.
fn spread_proof(world: &mut World, hosts: usize) -> Result<Spread, String> {
    let guilty = hosts - 1;
    let lacking = "the last host has no head";
    let organisation = world.hosts.get(guilty).map(|host| host.organisation.clone()).ok_or(lacking)?;
    let id: OrganisationId = organisation.id();
    let head = world.hosts.get(guilty).and_then(|host| host.disk.chains().get(&id)?.head.clone());
    let head = head.ok_or(lacking)?;
    world.watched.insert(id);
    world.arrivals.clear();
    for (nth, listener) in [0, hosts / 2].into_iter().enumerate() {
        let draft = HeadDraft {
            organisation: id,
            seq: counterfoil_protocol::ids::HeadSeq(head.seq().0 + 1),
            previous: Some(head.hash()),
            size: counterfoil_protocol::ids::TreeSize(head.size().0 + 1),
            root: leaf_hash(&[u8::try_from(nth).unwrap_or_default()]),
            standing: head.standing(),
            issued_at: head.issued_at(),
        };
        let forked = draft.sign(organisation.chain_key.as_ref()).map_err(|error| error.to_string())?;
        let bytes = ByteString(forked.bytes().to_vec());
        let told = crate::wire::hint(bytes, Vec::new());
        let bytes = encode(&told).map_err(|error| error.to_string())?;
        world.order += 1;
        let gossip = GossipId(world.order);
        let message = world.gossip.name(Topic::Heads, bytes.clone().into());
        world.gossip.see(listener, message, 0, world.now());
        let pending = crate::gossip::Pending { message, from: guilty, hops: 0 };
        world.gossip.wait(listener, gossip, pending);
        let peer = world.network.neighbours(listener).first().map(|other| world.key(*other));
        let peer = peer.ok_or("a host without neighbours")?;
        world.input(listener, Input::Heard { peer, gossip, topic: Topic::Heads, bytes });
    }
    let mut spread = spreads(world, hosts - 1, |world, index| {
        index == guilty || world.hosts.get(index).is_some_and(|host| host.disk.proofs().contains_key(&id))
    })?;
    world.watched.clear();
    let first = world.arrivals.remove(&Word::Proof(id)).unwrap_or_default().first;
    spread.hops = first.values().map(|(_, hops)| u64::from(*hops)).max().unwrap_or(0);
    Ok(spread)
}

/// One simulated stretch of time in which each organisation says something now and then.
///
/// # Errors
/// When a host does not start.
pub fn pass(hosts: usize, seed: u64, minutes: u64, statements: u64) -> Result<World, String> {
    let mut world = settled(hosts, seed, LINK_MS)?;
    let whole_ms = minutes * 60_000;
    for nth in 0..statements {
        let index = usize::try_from(world.below(hosts as u64)).unwrap_or_default();
        workload::say(&mut world, index, What::Observe(1));
        let done = whole_ms * (nth + 1) / statements.max(1) - whole_ms * nth / statements.max(1);
        world.run_for(done);
    }
    if statements == 0 {
        world.run_for(whole_ms);
    }
    Ok(world)
}
