//! Small worlds in which everybody is connected with everybody, for tests that tell one story.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::ids::OrganisationId;

use crate::checkers::{Violation, chains, convergence, violation};
use crate::run::{charter_of, found, organisation};
use crate::world::{Setting, World};

/// A world whose hosts share a charter, have their opening statements in their chains, and know each other.
///
/// # Errors
/// When a host does not start.
pub fn mesh(seed: u64, hosts: u64) -> Result<World, String> {
    let organisations = (1..=hosts).map(|n| organisation(1_000 + n)).collect();
    let mut world = World::new(Setting::full(seed), organisations);
    let quorum = charter_of(&world, 0).members.len() / 2;
    found(&mut world, u16::try_from(quorum).unwrap_or(1), &BTreeSet::new())?;
    world.run_for(10_000);
    Ok(world)
}

/// All that must hold when nothing is broken and everything has come to rest.
///
/// # Errors
/// The first [`Violation`].
pub fn check_all_is_well(world: &World) -> Result<(), Violation> {
    if let Some((host, alarm)) = world.history.alarms.first() {
        return Err(violation("alarm", format!("host {host}: {alarm}")));
    }
    let organisations: BTreeSet<OrganisationId> = world.hosts.iter().map(|host| host.id()).collect();
    let own = world.hosts.iter().filter_map(|host| Some((host.id(), host.disk.chains().get(&host.id())?)));
    let own: BTreeMap<_, _> = own.collect();
    let found = chains::no_honest_fork(&world.history, &BTreeSet::new())
        .or_else(|| chains::durable(&world.history))
        .or_else(|| convergence(&world.heads(), &organisations))
        .or_else(|| chains::acknowledged_is_provable(&world.history, &own));
    found.map_or(Ok(()), Err)
}
