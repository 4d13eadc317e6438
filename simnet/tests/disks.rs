//! What happens to disks, and what a start makes of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_simnet::disk::{Broken, Ending, Found};
use counterfoil_simnet::story::{check_all_is_well, mesh};
use counterfoil_simnet::world::World;

/// A world whose first host stopped while its disk wrote a batch of its own statements, so that a half of it is there.
fn torn(broken: Option<Broken>) -> World {
    let mut world = mesh(91, 3).unwrap();
    world.hosts[0].disk.broken = broken;
    world.hosts[0].disk.ending = Some(Ending::Torn);
    for n in 1..=4 {
        world.append(0, world.hosts[0].organisation.observation(n));
    }
    world.run_for(1_000);
    assert!(!world.hosts[0].runs(), "it stopped with the write");
    world
}

fn own_entries(world: &World) -> usize {
    world.hosts[0].disk.chains()[&world.hosts[0].id()].entries.len()
}

#[test]
fn of_a_torn_batch_a_half_is_on_the_disk_and_a_start_drops_it_whole() {
    let mut world = torn(None);
    let before = own_entries(&world);
    let batch = world.hosts[0].disk.log().unwrap();
    let there = batch.records().len();
    assert!(there > 0 && !batch.is_whole());
    assert_eq!(world.hosts[0].disk.replay(), Found::Torn(there));
    assert_eq!(own_entries(&world), before);
    assert!(world.hosts[0].disk.log().is_none(), "it is dropped once");
    world.start(0).unwrap();
    world.append(0, world.hosts[0].organisation.observation(9));
    world.run_for(20_000);
    assert_eq!(own_entries(&world), before + 1);
    check_all_is_well(&world).unwrap();
}

#[test]
fn a_store_that_takes_a_torn_batch_in_is_found_out() {
    let mut world = torn(Some(Broken::Tears));
    assert_eq!(world.hosts[0].disk.replay(), Found::Whole, "nobody looked at the digest");
    let started = world.start(0);
    world.append(0, world.hosts[0].organisation.observation(9));
    world.run_for(20_000);
    assert!(started.is_err() || check_all_is_well(&world).is_err());
}
