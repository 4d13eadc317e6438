//! A seeded run: mischief, then healing, then the demand that all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_federation::Config;
use counterfoil_protocol::ids::{MeshId, OrganisationId};
use counterfoil_protocol::mesh::{Charter, OnFork};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;

use crate::checkers::{AppendOnly, Violation, acknowledged_is_provable, convergence, no_honest_fork};
use crate::history::History;
use crate::world::{Faults, World};

/// A world whose hosts share a charter, have their opening statements in their chains, and know each other.
///
/// # Errors
/// When a host does not start.
pub fn mesh(seed: u64, hosts: u64) -> Result<World, String> {
    let organisations: Vec<_> = (1..=hosts)
        .map(|n| Arc::new(TestOrganisation::new(seed.wrapping_mul(1000).wrapping_add(n))))
        .collect();
    mesh_of(seed, organisations)
}

/// A mesh of these organisations.
///
/// # Errors
/// When a host does not start.
pub fn mesh_of(seed: u64, organisations: Vec<Arc<TestOrganisation>>) -> Result<World, String> {
    let mut members: Vec<OrganisationId> = organisations.iter().map(|o| o.id()).collect();
    members.sort();
    members.dedup();
    let charter = Charter {
        name: "simulated".into(),
        admission_threshold: u16::try_from(members.len().div_ceil(2)).unwrap_or(1),
        witness_quorum: u16::try_from(members.len() / 2).unwrap_or(1),
        members,
        freshness_s: 60,
        link_answer_s: 60,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    };
    let mut world = World::new(seed, organisations.clone(), Config::small());
    if let Some(founder) = organisations.first() {
        let statement = founder.statement(Kind::Charter, &charter);
        world.set_mesh(MeshId::from(statement.statement().id()), charter);
        for (index, organisation) in organisations.iter().enumerate() {
            world.start(index)?;
            let opening = organisation.opening();
            opening.into_iter().for_each(|statement| world.append(index, statement));
        }
        world.append(0, statement);
    }
    world.run_for(10_000);
    Ok(world)
}

/// One run. Gives its history, or what went wrong.
///
/// # Errors
/// The first [`Violation`], or why a host did not start again.
pub fn run(seed: u64, hosts: u64, rounds: u64) -> Result<History, Violation> {
    let failed = |text: String| Violation { checker: "start", text };
    let mut world = mesh(seed, hosts).map_err(failed)?;
    let mut append_only = AppendOnly::default();
    let count = world.hosts.len();
    for _ in 0..rounds {
        mischief(&mut world, count).map_err(failed)?;
        let ms = 50 + world.below(1500);
        world.run_for(ms);
        look(&world, &mut append_only)?;
    }
    world.faults = Faults { loss: 0, duplication: 0, delay_ms: 20 };
    world.heal();
    for index in 0..count {
        if world.hosts.get(index).is_some_and(|host| host.engine.is_none()) {
            world.start(index).map_err(failed)?;
        }
    }
    world.run_for(60_000);
    look(&world, &mut append_only)?;
    check_all_is_well(&world)?;
    Ok(world.history)
}

fn mischief(world: &mut World, count: usize) -> Result<(), String> {
    let hosts = count as u64;
    let pick = |world: &mut World| usize::try_from(world.below(hosts)).unwrap_or_default();
    match world.below(10) {
        0 => {
            let index = pick(world);
            world.crash(index);
            world.run_for(300);
            world.start(index)?;
        }
        1 => {
            let (a, b) = (pick(world), pick(world));
            if a != b {
                world.cut(a, b);
            }
        }
        2 => world.heal(),
        3 => {
            world.faults = Faults {
                loss: world.below(300),
                duplication: world.below(300),
                delay_ms: 1 + world.below(800),
            }
        }
        _ => {
            let index = pick(world);
            for _ in 0..world.below(9) {
                let Some(host) = world.hosts.get_mut(index) else { continue };
                host.appended += 1;
                let statement = host.organisation.observation(host.appended);
                world.append(index, statement);
            }
        }
    }
    Ok(())
}

fn look(world: &World, append_only: &mut AppendOnly) -> Result<(), Violation> {
    for (index, host) in world.hosts.iter().enumerate() {
        for (organisation, chain) in host.disk.chains() {
            if let Some(violation) = append_only.look(index, *organisation, chain) {
                return Err(violation);
            }
        }
    }
    Ok(())
}

/// All that must hold once everything is healed.
///
/// # Errors
/// The first [`Violation`].
pub fn check_all_is_well(world: &World) -> Result<(), Violation> {
    if let Some((host, alarm)) = world.alarms.first() {
        return Err(Violation { checker: "alarm", text: format!("host {host}: {alarm}") });
    }
    let organisations: BTreeSet<OrganisationId> = world.hosts.iter().map(|host| host.id()).collect();
    let chains: BTreeMap<_, _> = world
        .hosts
        .iter()
        .filter_map(|host| Some((host.id(), host.disk.chains().get(&host.id())?)))
        .collect();
    let violation = no_honest_fork(&world.history, &BTreeSet::new())
        .or_else(|| convergence(&world.heads(), &organisations))
        .or_else(|| acknowledged_is_provable(&world.history, &chains));
    violation.map_or(Ok(()), Err)
}
