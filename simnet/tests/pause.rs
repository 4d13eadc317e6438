//! Intentional disconnection: what is paused is neither told nor believed, also over others; afterwards everything is there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_federation::Input;
use counterfoil_protocol::admissibility::InquiryAnswer;
use counterfoil_simnet::story::{check_all_is_well, mesh};
use counterfoil_simnet::world::World;

fn size(world: &World, host: usize, of: usize) -> usize {
    world.hosts[host].disk.chains().get(&world.hosts[of].id()).map_or(0, |chain| chain.entries.len())
}

#[test]
fn nothing_of_a_paused_organisation_arrives_until_it_is_resumed() {
    let mut world = mesh(71, 3).unwrap();
    let (before, other) = (size(&world, 0, 1), world.hosts[1].id());
    world.input(0, Input::Pause { organisation: other, paused: true });
    for n in 1..=5 {
        world.append(1, world.hosts[1].organisation.observation(n));
        world.append(0, world.hosts[0].organisation.observation(10 + n));
    }
    world.run_for(30_000);
    assert_eq!(size(&world, 0, 1), before, "not even over the third");
    assert_eq!(size(&world, 2, 1), before + 5, "the third is not concerned");
    assert_eq!(size(&world, 2, 0), size(&world, 0, 0));
    // Who decides meanwhile is told that it cannot be asked, at once.
    let about = counterfoil_protocol::test_support::observation("evaluation/test", 1).subjects;
    let gather = counterfoil_federation::effect::GatherId(1);
    world.input(0, Input::Gather { gather, about, wait_ms: 5_000 });
    world.run_for(500);
    let (_, _, inquiries) = &world.gathered[0];
    let asked = inquiries.iter().find(|inquiry| inquiry.organisation == other).unwrap();
    assert!(matches!(asked.answer, InquiryAnswer::Unreachable { since: Some(_) }), "{asked:?}");

    world.input(0, Input::Pause { organisation: other, paused: false });
    world.run_for(20_000);
    assert_eq!(size(&world, 0, 1), before + 5);
    check_all_is_well(&world).unwrap();
}

#[test]
fn nobody_pauses_itself() {
    let mut world = mesh(72, 2).unwrap();
    let me = world.hosts[0].id();
    world.input(0, Input::Pause { organisation: me, paused: true });
    world.append(0, world.hosts[0].organisation.observation(1));
    world.run_for(10_000);
    check_all_is_well(&world).unwrap();
}
