//! Gathering evidence for a decision: what others hold comes in time, who is away is named, and nothing waits longer than
//! it said.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_federation::Input;
use counterfoil_federation::effect::GatherId;
use counterfoil_protocol::admissibility::{Inquiry, InquiryAnswer};
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::mesh::{Acceptance, Agreement};
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::statement::{Draft, Kind, Visibility};
use counterfoil_protocol::test_support::{draft, observation};
use counterfoil_simnet::network::Weather;
use counterfoil_simnet::story::{check_all_is_well, mesh};
use counterfoil_simnet::world::World;

/// What the `n`th test observation is about.
fn about(n: u64) -> Vec<Subject> {
    observation("evaluation/test", n).subjects
}

fn gather(world: &mut World, host: usize, n: u64, wait_ms: u64) {
    world.input(host, Input::Gather { gather: GatherId(n), about: about(n), wait_ms });
}

/// What came of asking host `other`.
fn answer(world: &World, n: u64, other: usize) -> Option<InquiryAnswer> {
    let (_, _, inquiries) = world.gathered.iter().find(|(_, gather, _)| *gather == GatherId(n))?;
    let id = world.hosts[other].id();
    inquiries.iter().find(|Inquiry { organisation, .. }| *organisation == id).map(|inquiry| inquiry.answer)
}

#[test]
fn a_decision_waits_for_what_a_peer_that_it_just_met_again_holds() {
    let mut world = mesh(61, 2).unwrap();
    world.cut(0, 1);
    for n in 1..=9 {
        world.append(0, world.hosts[0].organisation.observation(n));
    }
    world.run_for(10_000);
    world.heal();
    gather(&mut world, 1, 9, 5_000);
    assert_eq!(answer(&world, 9, 0), None, "it was not asked yet");
    world.run_for(5_000);
    assert_eq!(answer(&world, 9, 0), Some(InquiryAnswer::Answered { named: 1, came: 1, missing: 0 }));
    // And it is on disk.
    let chain = &world.hosts[1].disk.chains()[&world.hosts[0].id()];
    assert_eq!(chain.head.as_ref().unwrap().size().0, chain.entries.len() as u64);
    check_all_is_well(&world).unwrap();
    // Asked again, nothing more comes.
    world.gathered.clear();
    gather(&mut world, 1, 9, 5_000);
    world.run_for(1_000);
    assert_eq!(answer(&world, 9, 0), Some(InquiryAnswer::Answered { named: 1, came: 0, missing: 0 }));
}

#[test]
fn who_is_away_or_silent_is_named_and_nothing_waits_beyond_the_bound() {
    let mut world = mesh(62, 3).unwrap();
    world.crash(0);
    gather(&mut world, 1, 1, 3_000);
    world.run_for(1_000);
    let Some(InquiryAnswer::Unreachable { since: Some(since) }) = answer(&world, 1, 0) else {
        panic!("{:?}", world.gathered)
    };
    assert!(since > Timestamp(1000) && since < Timestamp(1012), "{since}");
    assert_eq!(answer(&world, 1, 2), Some(InquiryAnswer::Answered { named: 0, came: 0, missing: 0 }));

    world.network.weather = Weather { loss: 1000, duplication: 0, delay_ms: 20 };
    gather(&mut world, 1, 2, 3_000);
    world.run_for(2_990);
    assert_eq!(answer(&world, 2, 2), None, "it waits as long as it said");
    world.run_for(20);
    assert!(matches!(answer(&world, 2, 2), Some(InquiryAnswer::Silent { since: Some(_) })));
    assert!(matches!(answer(&world, 2, 0), Some(InquiryAnswer::Unreachable { .. })));
}

#[test]
fn what_an_organisation_may_not_read_is_not_even_named_to_it() {
    let mut world = mesh(63, 3).unwrap();
    let mut parties = vec![world.hosts[0].id(), world.hosts[1].id()];
    parties.sort();
    let agreement = Agreement {
        parties,
        kinds: vec![Kind::Observation],
        subjects: Vec::new(),
        jurisdictions: Vec::new(),
        from: Timestamp(0),
        until: None,
        link_answer_s: None,
        purpose: String::new(),
    };
    let proposal = world.hosts[0].organisation.statement(Kind::Agreement, &agreement);
    let id = proposal.statement().id();
    world.append(0, proposal);
    let acceptance = Acceptance { agreement: id, withdrawn: false };
    world.append(1, world.hosts[1].organisation.statement(Kind::Acceptance, &acceptance));
    world.run_for(10_000);
    let organisation = world.hosts[0].organisation.clone();
    let said = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", 7));
    let limited = Draft { visibility: Visibility::Parties(id), ..said };
    world.append(0, limited.sign(&organisation.authority_key).unwrap());
    world.run_for(10_000);
    for (host, named) in [(1, 1), (2, 0)] {
        world.gathered.clear();
        gather(&mut world, host, 7, 1_000);
        world.run_for(1_000);
        assert_eq!(answer(&world, 7, 0), Some(InquiryAnswer::Answered { named, came: 0, missing: 0 }));
    }
}

/// In a large mesh a node is connected with few. Whoever is to be asked, and is not among them, is dialled for it.
#[test]
fn whoever_is_asked_is_connected_for_it_and_who_does_not_come_is_waited_for_once() {
    let mut world = mesh(64, 3).unwrap();
    world.cut(1, 2);
    world.network.part(1, 2);
    gather(&mut world, 1, 1, 3_000);
    world.run_for(1_000);
    assert!(world.network.is_up(1, 2), "it was dialled");
    assert_eq!(answer(&world, 1, 2), Some(InquiryAnswer::Answered { named: 0, came: 0, missing: 0 }));

    // Nothing comes back from whoever is cut off: the decision waits for a second, and the next does not wait at all.
    world.cut(1, 2);
    gather(&mut world, 1, 2, 3_000);
    world.run_for(990);
    assert_eq!(answer(&world, 2, 2), None);
    world.run_for(20);
    assert!(matches!(answer(&world, 2, 2), Some(InquiryAnswer::Unreachable { since: Some(_) })));
    gather(&mut world, 1, 3, 3_000);
    world.run_for(200);
    assert!(matches!(answer(&world, 3, 2), Some(InquiryAnswer::Unreachable { .. })));
    // Half a minute later it may be there again.
    world.network.part(1, 2);
    world.run_for(30_000);
    gather(&mut world, 1, 4, 3_000);
    world.run_for(1_000);
    assert!(matches!(answer(&world, 4, 2), Some(InquiryAnswer::Answered { .. })));
}
