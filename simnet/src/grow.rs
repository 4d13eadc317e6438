//! What meshes of different sizes cost: bytes and messages when idle and under load, how fast heads, recalls and proofs
//! reach everybody, memory.

use std::sync::Arc;

use counterfoil_federation::effect::GossipId;
use counterfoil_federation::message::{Topic, encode};
use counterfoil_federation::{Config, Input};
use counterfoil_protocol::chain::HeadDraft;
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::ids::{ByteString, MeshId, OrganisationId};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;

use crate::gossip::ENVELOPE_BYTES;
use crate::network::{Count, Topology};
use crate::run::charter_of;
use crate::workload::{self, What};
use crate::world::{Setting, World};

/// Connections of each organisation before it chooses its own.
const CONNECTIONS: usize = 8;
/// Most connections of one that many have chosen.
const PEERS_MAX: usize = 128;
/// Least and greatest time on a link, in milliseconds.
pub const LINK_MS: (u64, u64) = (10, 50);
/// How often something is sent to find out how fast it spreads.
pub const PROBES: usize = 5;
/// Milliseconds between looks while something spreads.
const TICK_MS: u64 = 10;
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

/// Dissemination beside what is possible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Links in the ideal: the least depth of a tree in which each passes it on to `DEGREE` others.
    pub ideal_hops: u64,
    /// Links that the gossip took to the last host.
    pub hops: u64,
    /// Milliseconds until the last host had heard of it.
    pub heard_ms: u64,
    /// Bytes for one copy to each host: head, signatures of a quorum, entry.
    pub bound_bytes: u64,
    /// Bytes that were sent for it.
    pub sent_bytes: u64,
    /// The same, flooded over the same links: milliseconds, links, bytes.
    pub flood: (u64, u64, u64),
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
    /// Resident memory for each organisation, its simulated disk and its share of what engines have in common included, in
    /// bytes.
    pub memory: u64,
    /// What was sent in the idle minutes, by kind.
    pub kinds: Vec<(String, Count)>,
}

/// A mesh in which everybody has everybody's chain, at rest.
///
/// # Errors
/// When a host does not start.
pub fn settled(hosts: usize, seed: u64) -> Result<World, String> {
    let organisations: Vec<_> =
        (0..hosts as u64).map(|n| Arc::new(TestOrganisation::new(10_000 + n))).collect();
    let config = Config { peers_max: PEERS_MAX, ..Config::default() };
    let topology = Topology::Circles { degree: CONNECTIONS };
    let setting = Setting { seed, config, topology, base_ms: LINK_MS, taps: false };
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
    let empty = resident_bytes();
    let mut world = settled(hosts, seed)?;
    let mut growth = Growth { hosts, ..Growth::default() };
    let (before, kinds) = (world.network.total(), world.network.by_kind().clone());
    world.run_for(minutes * 60_000);
    growth.idle = per_minute(world.network.total().minus(before), hosts, minutes);
    let spent = world.network.by_kind().iter().map(|(kind, count)| {
        let earlier = kinds.get(kind).copied().unwrap_or_default();
        ((*kind).to_owned(), per_minute(count.minus(earlier), hosts, minutes))
    });
    growth.kinds = spent.filter(|(_, count)| count.messages > 0 || count.bytes > 0).collect();
    growth.memory = resident_bytes().saturating_sub(empty) / hosts.max(1) as u64;

    let before = world.network.total();
    let speakers = (hosts / 10).max(1);
    for nth in 0..speakers {
        workload::say(&mut world, nth * 10 % hosts, What::Observe(1));
        world.run_for(60_000 / speakers as u64);
    }
    growth.load = per_minute(world.network.total().minus(before), hosts, 1);
    world.run_for(10_000);

    let idle = per_minute(Count { bytes: growth.idle.bytes * hosts as u64, messages: 0 }, 1, 1).bytes;
    for nth in 0..PROBES {
        let from = nth * hosts / PROBES;
        let head = spread_statement(&mut world, from, What::Observe(1), idle)?;
        growth.head = worse(growth.head, head.0);
        if nth == 0 || head.1.sent_bytes > growth.limit.sent_bytes {
            growth.limit = Limit { hops: growth.limit.hops, heard_ms: growth.limit.heard_ms, ..head.1 };
        }
        growth.limit.hops = growth.limit.hops.max(head.1.hops);
        growth.limit.heard_ms = growth.limit.heard_ms.max(head.1.heard_ms);
        let recall = spread_statement(&mut world, from, What::Recall, idle)?;
        growth.recall = worse(growth.recall, recall.0);
    }
    growth.proof = spread_proof(&mut world, hosts)?;
    Ok(growth)
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
    let first = world.arrivals.values().flat_map(|arrivals| arrivals.first.values());
    let (heard, hops) = first
        .fold((0, 0), |(heard, hops), (at, links)| (at.since(began).max(heard), u64::from(*links).max(hops)));
    spread.hops = hops;
    let quorum = usize::from(world.mesh().map_or(0, |(_, charter)| charter.witness_quorum));
    let object = world.hosts.get(from).and_then(|host| host.disk.chains().get(&id)).map_or(0, |chain| {
        let head = chain.head.as_ref().map_or(0, |head| head.bytes().len());
        let lines: usize = chain.cosignatures.iter().take(quorum).map(|line| line.len()).sum();
        let entry = chain.entries.last().and_then(|stored| stored.statement.as_ref());
        (head + lines) as u64 + entry.map_or(0, |(.., bytes)| bytes.len() as u64) + ENVELOPE_BYTES
    });
    let (flood_ms, flood_hops, copies) = world.network.flood(from);
    let others = world.hosts.len() as u64 - 1;
    let limit = Limit {
        ideal_hops: ideal_hops(world.hosts.len()),
        hops,
        heard_ms: heard,
        bound_bytes: object * others,
        sent_bytes: sent,
        flood: (flood_ms, flood_hops, copies * object),
    };
    Ok((spread, limit))
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
        world.gossip.see(listener, message, world.now());
        let pending = crate::gossip::Pending { message, from: guilty, hops: 0 };
        world.gossip.wait(listener, gossip, pending);
        let peer = world.network.neighbours(listener).first().map(|other| world.key(*other));
        let peer = peer.ok_or("a host without neighbours")?;
        world.input(listener, Input::Heard { peer, gossip, topic: Topic::Heads, bytes });
    }
    spreads(world, hosts - 1, |world, index| {
        index == guilty || world.hosts.get(index).is_some_and(|host| host.disk.proofs().contains_key(&id))
    })
}

/// One simulated stretch of time in which each organisation says something now and then.
///
/// # Errors
/// When a host does not start.
pub fn pass(hosts: usize, seed: u64, minutes: u64, statements: u64) -> Result<World, String> {
    let mut world = settled(hosts, seed)?;
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
