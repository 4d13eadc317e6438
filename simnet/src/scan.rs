//! After the mischief: convergence, a partition that heals, a recall, restarts and repetitions, and a scan of everything.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_federation::effect::GossipId;
use counterfoil_federation::message::{Topic, encode};
use counterfoil_federation::{Config, Input};
use counterfoil_protocol::ids::{ByteString, OrganisationId, TreeSize};

use crate::canary::{Canary, Moment};
use crate::checkers::restart::Lasting;
use crate::checkers::{Violation, chains, convergence, decisions, misbehaviour, restart, violation};
use crate::disk::Chain;
use crate::run::{CONVERGES_MS, Report, Watch};
use crate::wire::hint;
use crate::workload::{self, DEPLOYERS, What};
use crate::world::World;

/// Anti-entropy periods after a partition heals within which every honest host has every head, and from healing on
/// within which every honest host has a proof against an equivocator whose branches both lie on honest disks.
pub const HEALS_PERIODS: u64 = 3;
/// Links within which a recall's gossip reaches everybody, unless it does within one anti-entropy period.
pub const RECALL_HOPS: u8 = 4;
/// Milliseconds between two looks while something is awaited.
const TICK_MS: u64 = 100;

fn running(world: &World) -> Vec<usize> {
    world
        .honest()
        .into_iter()
        .filter(|index| world.hosts.get(*index).is_some_and(|host| host.runs()))
        .collect()
}

/// What is missing until every honest host has every honest organisation's head.
fn missing(world: &World) -> Option<Violation> {
    let honest: BTreeSet<usize> = running(world).into_iter().collect();
    let organisations: BTreeSet<OrganisationId> =
        honest.iter().filter_map(|index| world.hosts.get(*index)).map(|host| host.id()).collect();
    let heads: Vec<_> = world.heads().into_iter().filter(|(index, _)| honest.contains(index)).collect();
    convergence(&heads, &organisations)
}

/// Lets time pass until nothing is missing. Gives how much passed.
fn await_all(
    world: &mut World,
    within_ms: u64,
    missing: impl Fn(&World) -> Option<Violation>,
) -> Result<u64, Violation> {
    let began = world.now();
    while let Some(found) = missing(world) {
        if world.now().since(began) >= within_ms {
            return Err(found);
        }
        world.run_for(TICK_MS);
    }
    Ok(world.now().since(began))
}

fn under(checker: &'static str, within_ms: u64) -> impl Fn(Violation) -> Violation {
    move |found| violation(checker, format!("after {within_ms} ms: {}", found.text))
}

/// Everything that is demanded once all is mended.
///
/// # Errors
/// The first [`Violation`].
pub fn all(
    world: &mut World,
    watch: &mut Watch,
    limits: &Config,
    canary: Option<Canary>,
    report: &mut Report,
) -> Result<(), Violation> {
    let plant = |world: &mut World, moment: Moment| canary.map_or(Ok(()), |canary| canary.at(world, moment));
    let period = world.config().anti_entropy_ms;
    let exposed_within = HEALS_PERIODS * period;
    let guilty = watch.reached.clone();
    let unexposed = |world: &World| misbehaviour::exposure(&proofs(world), &guilty);
    report.converged_ms = await_all(world, CONVERGES_MS, missing)?;
    if !guilty.is_empty() {
        let left = exposed_within.saturating_sub(report.converged_ms);
        let more = await_all(world, left, unexposed).map_err(under("exposure", exposed_within))?;
        report.exposed_ms = Some(report.converged_ms + more);
    }
    watch.look(world, limits)?;

    plant(world, Moment::Partition)?;
    report.healed_ms = partition(world, period)?;
    plant(world, Moment::Recall)?;
    recall(world, period, report)?;

    // What is under way comes to rest; then a repetition changes nothing, and neither does a start.
    world.run_for(3 * period);
    repetition(world, canary)?;
    plant(world, Moment::Scan)?;
    watch.look(world, limits)?;
    everything(world, watch)?;
    starts(world)
}

/// Two sides that do not see each other, both of which go on; then they do.
fn partition(world: &mut World, period: u64) -> Result<u64, Violation> {
    let hosts = running(world);
    let side: BTreeSet<usize> = hosts.iter().copied().filter(|_| world.below(2) == 0).collect();
    for a in &side {
        for b in world.network.neighbours(*a) {
            if !side.contains(&b) {
                world.cut(*a, b);
            }
        }
    }
    for index in hosts.iter().take(8) {
        workload::say(world, *index, What::Observe(2));
    }
    world.run_for(3 * period);
    world.heal();
    let within_ms = HEALS_PERIODS * period;
    await_all(world, within_ms, missing).map_err(under("heals", within_ms))
}

/// A recall reaches everybody within four links, or one period.
fn recall(world: &mut World, period: u64, report: &mut Report) -> Result<(), Violation> {
    let supplier = DEPLOYERS.min(world.hosts.len() - 1);
    let Some(id) =
        world.hosts.get(supplier).filter(|host| host.runs() && host.is_honest()).map(|host| host.id())
    else {
        return Ok(());
    };
    workload::say(world, supplier, What::Observe(1));
    let within_ms = HEALS_PERIODS * period;
    await_all(world, within_ms, missing).map_err(under("recall-reach", within_ms))?;
    world.watched.insert(id);
    world.arrivals.clear();
    let before = world.history.acknowledged.len();
    workload::say(world, supplier, What::Recall);
    // The clock runs from the moment at which the recall is acknowledged.
    let acknowledged = |world: &World| {
        let done = world.history.acknowledged.len() > before;
        (!done).then(|| violation("recall-reach", "it was not acknowledged".into()))
    };
    await_all(world, period, acknowledged)?;
    let lacks = |world: &World| {
        let own = world.hosts.get(supplier)?.disk.chains().get(&id)?.entries.len();
        let short = |index: &usize| {
            let chain = world.hosts.get(*index).and_then(|host| host.disk.chains().get(&id));
            chain.is_none_or(|chain| chain.entries.len() < own)
        };
        let index = running(world).into_iter().find(short)?;
        Some(violation("recall-reach", format!("host {index} has no word of the recall")))
    };
    let reached = await_all(world, within_ms, lacks).map_err(under("recall-reach", within_ms))?;
    let hops = world.arrivals.values().flat_map(|a| a.first.values()).map(|(_, hops)| *hops).max();
    world.watched.clear();
    (report.recall_ms, report.recall_hops) = (reached, hops.unwrap_or(0));
    if reached > period && report.recall_hops > RECALL_HOPS {
        let text = format!("it took {reached} ms and {} links", report.recall_hops);
        return Err(violation("recall-reach", text));
    }
    Ok(())
}

/// Every honest host hears again what it has heard lately.
fn repetition(world: &mut World, canary: Option<Canary>) -> Result<(), Violation> {
    let hosts = running(world);
    let before: BTreeMap<usize, _> = hosts
        .iter()
        .filter_map(|index| Some((*index, restart::contents(&world.hosts.get(*index)?.disk))))
        .collect();
    for index in &hosts {
        let Some(other) = world.network.neighbours(*index).first().copied() else { continue };
        let peer = world.key(other);
        let chains = world.hosts.get(*index).map(|host| host.disk.chains().values());
        let known: Vec<Vec<u8>> = chains.into_iter().flatten().filter_map(announced).collect();
        for bytes in known {
            world.order += 1;
            let (gossip, topic) = (GossipId(world.order), Topic::Heads);
            world.input(*index, Input::Heard { peer, gossip, topic, bytes });
        }
    }
    if let Some(canary) = canary {
        canary.at(world, Moment::Repetition)?;
    }
    world.run_for(500);
    let found = before.iter().find_map(|(index, before)| {
        let after = restart::contents(&world.hosts.get(*index)?.disk);
        restart::replay(*index, before, &after)
    });
    found.map_or(Ok(()), Err)
}

/// What is said about a chain as it lies on a disk.
fn announced(chain: &Chain) -> Option<Vec<u8>> {
    let head = ByteString(chain.head.as_ref()?.bytes().to_vec());
    let lines = chain.cosignatures.iter().map(|line| line.as_ref().to_owned()).collect();
    encode(&hint(head, lines)).ok()
}

/// Every honest host would start with what it goes by.
fn starts(world: &World) -> Result<(), Violation> {
    for index in running(world) {
        let Some(host) = world.hosts.get(index).filter(|host| host.disk.queued() == 0) else { continue };
        let Some(engine) = &host.engine else { continue };
        let started = host
            .engine_from_disk(world.config(), &world.mesh, 0, &world.checked)
            .map_err(|error| violation("restart", format!("host {index} would not start: {error}")))?;
        if let Some(found) = restart::restart(index, &Lasting::of(engine), &Lasting::of(&started)) {
            return Err(found);
        }
    }
    Ok(())
}

/// The proofs on the disks of honest hosts.
fn proofs(world: &World) -> Vec<misbehaviour::OnDisk<'_>> {
    let honest = running(world).into_iter();
    honest.filter_map(|index| Some((index, world.hosts.get(index)?.disk.proofs()))).collect()
}

/// The scan.
fn everything(world: &World, watch: &Watch) -> Result<(), Violation> {
    let is_honest = |index: usize| world.hosts.get(index).is_some_and(|host| host.is_honest());
    let mut history = world.history.clone();
    history.acknowledged.retain(|acknowledged| is_honest(acknowledged.host));
    history.published.retain(|published| is_honest(published.host));
    let honest: Vec<_> = world.hosts.iter().enumerate().filter(|(_, host)| host.is_honest()).collect();
    let own: BTreeMap<OrganisationId, &Chain> = honest
        .iter()
        .filter_map(|(_, host)| Some((host.id(), host.disk.chains().get(&host.id())?)))
        .collect();
    let proofs = proofs(world);
    let found = chains::no_honest_fork(&history, &watch.equivocators)
        .or_else(|| chains::acknowledged_is_provable(&history, &own))
        .or_else(|| misbehaviour::no_honest_conviction(&proofs, &watch.equivocators))
        .or_else(|| misbehaviour::exposure(&proofs, &watch.reached));
    if let Some(found) = found {
        return Err(found);
    }
    // Copies of one chain that are the same are verified once.
    let mut verified = BTreeSet::new();
    for (index, host) in &honest {
        for (organisation, chain) in host.disk.chains() {
            let found = chains::bytes(*index, *organisation, chain, own.get(organisation).copied());
            if let Some(found) = found {
                return Err(found);
            }
            let size = TreeSize(chain.entries.len() as u64);
            let withheld = chain.entries.iter().filter(|stored| stored.statement.is_none()).count();
            if let Ok(root) = chain.root(size)
                && verified.insert((*organisation, size, root.0, withheld))
                && let Some(found) = chains::positions(*index, *organisation, chain)
            {
                return Err(found);
            }
        }
    }
    for decided in history.decided.iter().filter(|decided| is_honest(decided.host)) {
        let others = honest.iter().map(|(index, host)| (*index, host.disk.chains()));
        let found = decisions::recalled(decided).or_else(|| {
            others.clone().next().and_then(|(_, chains)| decisions::unknown(decided, chains)).or_else(|| {
                others.rev().take(2).find_map(|(index, chains)| decisions::verdict(decided, index, chains))
            })
        });
        if let Some(found) = found {
            return Err(found);
        }
    }
    Ok(())
}
