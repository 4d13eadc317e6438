//! After the mischief: convergence, a partition that heals, a recall, restarts and repetitions, and a scan of everything.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_federation::Input;
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::ids::{OrganisationId, TreeSize};

use crate::canary::{Canary, Moment};
use crate::checkers::restart::{Lasting, Standing};
use crate::checkers::{
    Violation, bounds, chains, convergence, decisions, membership, misbehaviour, recall_reach, restart,
    violation,
};
use crate::disk::Chain;
use crate::gossip::RETOLD;
use crate::host::Host;
use crate::run::{Report, Watch};
use crate::workload::{self, DEPLOYERS, What};
use crate::world::{Word, World};

/// Anti-entropy periods after all mischief, and after a partition heals, within which every honest host has every head, and
/// within which every honest host has a proof against an equivocator whose branches both lie on honest disks.
pub const HEALS_PERIODS: u64 = 3;
/// Milliseconds between two looks while something is awaited.
const TICK_MS: u64 = 100;

/// Honest hosts that run and are members: of whom and to whom everything is to come.
fn running(world: &World) -> Vec<usize> {
    let members = world.roll().members;
    let counts = |index: &usize| {
        world.hosts.get(*index).is_some_and(|host| host.runs() && members.contains(&host.id()))
    };
    world.honest().into_iter().filter(counts).collect()
}

/// What is missing until every honest host has every honest organisation's head, and knows the same members and terms.
fn missing(world: &World) -> Option<Violation> {
    let honest: BTreeSet<usize> = running(world).into_iter().collect();
    let organisations: BTreeSet<OrganisationId> =
        honest.iter().filter_map(|index| world.hosts.get(*index)).map(|host| host.id()).collect();
    let heads: Vec<_> = world.heads().into_iter().filter(|(index, _)| honest.contains(index)).collect();
    convergence(&heads, &organisations).or_else(|| other_members(world, &honest))
}

/// Who is a member by the votes on one of these disks, and none by those on another.
fn other_members(world: &World, hosts: &BTreeSet<usize>) -> Option<Violation> {
    let rolls: Vec<_> = hosts.iter().filter_map(|index| Some((*index, world.roll_of(*index)?))).collect();
    let proofs = proofs(world);
    let misbehaved = proofs.iter().flat_map(|(_, proofs)| proofs.keys().copied()).collect();
    membership(&rolls, &misbehaved)
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
    canary: Option<Canary>,
    report: &mut Report,
) -> Result<(), Violation> {
    let plant = |world: &mut World, moment: Moment| canary.map_or(Ok(()), |canary| canary.at(world, moment));
    let period = world.config().anti_entropy_ms;
    let within_ms = HEALS_PERIODS * period;
    let guilty = watch.reached.clone();
    let unexposed = |world: &World| misbehaviour::exposure(&proofs(world), &guilty);
    report.converged_ms = await_all(world, within_ms, missing).map_err(under("convergence", within_ms))?;
    if !guilty.is_empty() {
        let left = within_ms.saturating_sub(report.converged_ms);
        let more = await_all(world, left, unexposed).map_err(under("exposure", within_ms))?;
        report.exposed_ms = Some(report.converged_ms + more);
    }
    watch.look(world)?;

    plant(world, Moment::Partition)?;
    report.healed_ms = partition(world, period)?;
    recall(world, period, canary, report)?;

    // What is under way comes to rest; then a repetition changes nothing, and neither does a start.
    world.run_for(3 * period);
    repetition(world, canary, report)?;
    plant(world, Moment::Scan)?;
    watch.look(world)?;
    everything(world, watch, report)?;
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

/// A recall reaches each host within four links of gossip, or is on its disk within one period.
fn recall(
    world: &mut World,
    period: u64,
    canary: Option<Canary>,
    report: &mut Report,
) -> Result<(), Violation> {
    let supplier = DEPLOYERS.min(world.hosts.len() - 1);
    let Some(id) =
        world.hosts.get(supplier).filter(|host| host.runs() && host.is_honest()).map(|host| host.id())
    else {
        return Ok(());
    };
    workload::say(world, supplier, What::Observe(1));
    let within_ms = HEALS_PERIODS * period;
    await_all(world, within_ms, missing).map_err(under("recall-reach", within_ms))?;
    if let Some(canary) = canary {
        canary.at(world, Moment::Recall)?;
    }
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
    let locked = world.hosts.get(supplier).and_then(|host| host.disk.lock().map(SignedHead::hash));
    let late = |world: &World| -> Vec<usize> {
        let length = |host: &Host| host.disk.chains().get(&id).map_or(0, |chain| chain.entries.len());
        let own = world.hosts.get(supplier).map_or(0, length);
        let short = |index: &usize| world.hosts.get(*index).is_none_or(|host| length(host) < own);
        running(world).into_iter().filter(short).collect()
    };
    let lacks = |world: &World| {
        let index = *late(world).first()?;
        Some(violation("recall-reach", format!("host {index} has no word of the recall")))
    };
    let soon = await_all(world, period, lacks);
    let late = late(world);
    report.recall_ms = match soon {
        Ok(ms) => ms,
        Err(_) => {
            let left = within_ms.saturating_sub(period);
            period + await_all(world, left, lacks).map_err(under("recall-reach", within_ms))?
        }
    };
    world.watched.clear();
    let word = locked.map(|head| Word::Head(id, head));
    let heard = word.and_then(|word| world.arrivals.remove(&word)).unwrap_or_default().first;
    let hops = heard.values().map(|(_, hops)| *hops).filter(|hops| *hops < RETOLD);
    report.recall_hops = hops.max().unwrap_or(0);
    recall_reach(&late, &heard).map_or(Ok(()), Err)
}

/// Every honest host is given again what it was given lately, kind by kind.
fn repetition(world: &mut World, canary: Option<Canary>, report: &mut Report) -> Result<(), Violation> {
    let standing = |world: &World| -> BTreeMap<usize, Standing> {
        let each = running(world).into_iter();
        each.filter_map(|index| Some((index, Standing::of(world.hosts.get(index)?)?))).collect()
    };
    let before = standing(world);
    if let Some(canary) = canary {
        canary.at(world, Moment::Repetition)?;
    }
    for index in running(world) {
        let Some(host) = world.hosts.get_mut(index) else { continue };
        // What is repeated is not kept again.
        let inputs = std::mem::take(&mut host.inputs);
        report.repeated.extend(inputs.kinds());
        for input in inputs.all() {
            match input.clone() {
                // With what the disk knows by now, as every wish to append comes; what was refused then may be right now.
                Input::Append { statement, .. } => {
                    let id = statement.statement().id();
                    let own = world.hosts.get(index).and_then(|host| host.disk.chains().get(&host.id()));
                    let mut entries = own.into_iter().flat_map(|chain| &chain.entries);
                    if entries.any(|stored| stored.statement.as_ref().is_some_and(|(there, ..)| *there == id))
                    {
                        world.append(index, *statement);
                    }
                }
                input => world.input(index, input),
            }
        }
        for other in world.network.neighbours(index) {
            // Whatever connections had ended or begun, those that stand are told of last.
            if world.network.is_up(index, other) && world.hosts.get(other).is_some_and(Host::runs) {
                let key = world.key(other);
                world.input(index, Input::Connected(key));
            }
        }
    }
    world.run_for(world.config().anti_entropy_ms);
    let after = standing(world);
    let mut both = before.iter().filter_map(|(index, before)| Some((*index, before, after.get(index)?)));
    both.find_map(|(index, before, after)| restart::replay(index, before, after)).map_or(Ok(()), Err)
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
fn everything(world: &World, watch: &Watch, report: &mut Report) -> Result<(), Violation> {
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
    let disks: Vec<_> = honest.iter().map(|(index, host)| (*index, host.id(), host.disk.chains())).collect();
    if let Some(found) = bounds::limited_stays_limited(&disks) {
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
        if let Some(found) = decisions::recalled(decided) {
            return Err(found);
        }
        report.recalled += usize::from(decisions::is_about_recalled(decided));
        for (index, chains) in others.clone().rev().take(2) {
            report.computed_again += usize::from(decisions::verdict(decided, index, chains)?);
        }
        let first = others.map(|(_, chains)| chains).next();
        if let Some(found) = first.and_then(|chains| decisions::unknown(decided, chains)) {
            return Err(found);
        }
    }
    Ok(())
}
