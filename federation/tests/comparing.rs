//! Comparisons of heads: who is asked, how soon again, and what an answer confirms.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "each story uses what it needs of the town")]
mod town;

use counterfoil_federation::Config;
use counterfoil_protocol::mesh::Ballot;
use town::{ALICE, BOB, CAROL, DAVE, Town, observe, size, three, vote};

#[test]
fn nobody_but_its_organisation_confirms_that_a_head_is_the_latest() {
    // Heads are compared once a day, so that gossip and what follows from it is all there is.
    let config = Config { anti_entropy_ms: 86_400_000, ..Config::default() };
    let mut town = Town::new(3, 3, config, |_| {});
    let (bob, carol) = (town.id(BOB), town.id(CAROL));
    let seen = |town: &Town, of| town.hosts[ALICE].engine.replicas()[&of].seen;
    town.pass(10_000);
    observe(&mut town, BOB, 1);
    assert_eq!((size(&town, ALICE, BOB), seen(&town, bob)), (4, town.now), "his own node told of it");
    // What carol says while alice cannot hear her, bob passes on a minute later.
    let before = seen(&town, carol);
    town.deaf = true;
    town.disconnect(ALICE, CAROL);
    observe(&mut town, CAROL, 1);
    let notice = town.notice(CAROL);
    town.tell(BOB, CAROL, &notice);
    town.pass(60_000);
    town.tell(ALICE, BOB, &notice);
    assert_eq!(size(&town, ALICE, CAROL), 4);
    assert_eq!(seen(&town, carol), before, "he cannot know that she has said nothing since");
    town.connect(ALICE, CAROL);
    assert_eq!(seen(&town, carol), town.now);
}

#[test]
fn of_whoever_says_that_there_is_more_nothing_is_confirmed_until_it_is_here() {
    let mut town = Town::new(2, 2, Config::default(), |charter| charter.admission_threshold = 1);
    let bob = town.id(BOB);
    let seen = |town: &Town| town.hosts[ALICE].engine.replicas()[&bob].seen;
    (town.deaf, town.sparing) = (true, Some(BOB));
    let before = seen(&town);
    observe(&mut town, BOB, 1);
    town.pass(8_000);
    assert_eq!(
        (size(&town, ALICE, BOB), seen(&town)),
        (3, before),
        "she has heard of a later head, and has it not"
    );
    let compared = town.did(ALICE).iter().filter(|did| *did == "ask heads since").count();
    assert!(compared > 2, "and he says again and again that nothing has come since");
    town.sparing = None;
    town.pass(12_000);
    assert_eq!(size(&town, ALICE, BOB), 4);
    assert!(town.now.since(seen(&town)) <= 2_000, "nothing else is new there");
}

#[test]
fn what_got_lost_keeps_nobody_from_being_asked_again() {
    let config = Config { requests_per_peer_max: 1, ..Config::default() };
    let mut town = Town::new(2, 2, config, |charter| charter.admission_threshold = 1);
    (town.deaf, town.silent) = (true, Some(BOB));
    town.pass(2_000);
    town.silent = None;
    observe(&mut town, BOB, 1);
    town.pass(4_000);
    assert_eq!(size(&town, ALICE, BOB), 4, "the one question that is allowed has waited for ten seconds");
}

#[test]
fn an_introduction_that_got_lost_is_made_again_after_a_period() {
    let mut town = Town::new(2, 2, Config::default(), |charter| charter.admission_threshold = 1);
    town.disconnect(ALICE, BOB);
    (town.deaf, town.silent) = (true, Some(BOB));
    town.connect(ALICE, BOB);
    town.silent = None;
    observe(&mut town, BOB, 1);
    town.pass(2_000);
    assert_eq!(size(&town, ALICE, BOB), 4, "she waited ten seconds for the answer");
}

#[test]
fn whoever_does_not_answer_is_not_waited_for() {
    let mut town = three();
    (town.deaf, town.silent) = (true, Some(BOB));
    for n in 1..=8 {
        observe(&mut town, CAROL, n);
        town.pass(3_000);
        assert_eq!(size(&town, ALICE, CAROL), 3 + n, "bob was asked, and nobody after him");
    }
}

#[test]
fn a_comparison_that_brought_news_is_followed_by_another_soon() {
    let mut town = Town::new(2, 2, Config::default(), |charter| charter.admission_threshold = 1);
    town.deaf = true;
    observe(&mut town, BOB, 1);
    let compared =
        |town: &mut Town| town.did(ALICE).iter().filter(|did| did.starts_with("ask heads")).count();
    compared(&mut town);
    town.wake(ALICE, 2_000);
    assert_eq!((size(&town, ALICE, BOB), compared(&mut town)), (4, 1));
    town.wake(ALICE, 250);
    assert_eq!(compared(&mut town), 1, "there may be more that gossip has not brought");
    town.wake(ALICE, 1_900);
    assert_eq!(compared(&mut town), 0, "there was not");
}

#[test]
fn a_newcomer_becomes_known_along_the_paths_of_gossip() {
    // Heads are compared once a day, so that gossip and what follows from it is all there is.
    let config = Config { anti_entropy_ms: 86_400_000, ..Config::default() };
    let mut town = Town::new(4, 3, config, |_| {});
    town.disconnect(ALICE, DAVE);
    town.disconnect(BOB, DAVE);
    let dave = town.id(DAVE);
    for member in [ALICE, BOB] {
        let vote = vote(&town, member, dave, Ballot::Admit);
        town.append(member, vote);
    }
    town.pass(5_000);
    assert_eq!(size(&town, CAROL, DAVE), 3, "he is connected with her");
    assert_eq!((size(&town, ALICE, DAVE), size(&town, BOB, DAVE)), (3, 3), "and she tells the others");
}
