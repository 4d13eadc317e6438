//! The membership is the same with all in the end, whoever was away when it changed and whoever is no member any more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "each story uses what it needs of the town")]
mod town;

use counterfoil_federation::Config;
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::mesh::{Admission, Amendment, Ballot, Leave, Terms};
use counterfoil_protocol::statement::Kind;
use town::{ALICE, BOB, CAROL, DAVE, ERIN, Town, charter, observe, size, three, vote};

/// What `host` takes for the membership: whether `organisation` is in it, and the version of its terms.
fn membership(town: &Town, host: usize, organisation: &OrganisationId) -> (bool, u64) {
    let membership = town.hosts[host].engine.membership().unwrap();
    (membership.contains(organisation), membership.now().version())
}

#[test]
fn who_was_away_learns_from_others_that_a_member_has_left() {
    let mut town = three();
    let carol = town.id(CAROL);
    town.disconnect(ALICE, BOB);
    town.disconnect(ALICE, CAROL);
    let leave = town.hosts[CAROL].organisation.statement(Kind::Leave, &Leave { mesh: town.mesh });
    town.append(CAROL, leave);
    let is_member = |town: &Town, of: usize| {
        let membership = town.hosts[of].engine.membership().unwrap();
        membership.contains(&carol)
    };
    assert_eq!((is_member(&town, ALICE), is_member(&town, BOB)), (true, false));
    town.disconnect(BOB, CAROL);
    town.deaf = true;
    town.connect(ALICE, BOB);
    town.pass(4_000);
    assert!(!is_member(&town, ALICE));
    // Both know the same now, whatever else they have of hers.
    let _ = (town.did(ALICE), town.did(BOB));
    town.pass(2_000);
    let mut did = [town.did(ALICE), town.did(BOB)].concat();
    did.sort();
    assert_eq!(did, ["answer same", "answer same", "ask heads since", "ask heads since"]);
}

#[test]
fn a_newcomer_learns_of_a_departure_though_who_left_shows_it_a_later_head() {
    let mut town = Town::new(4, 3, Config::default(), |_| {});
    let (carol, dave) = (town.id(CAROL), town.id(DAVE));
    let leave = town.hosts[CAROL].organisation.statement(Kind::Leave, &Leave { mesh: town.mesh });
    town.append(CAROL, leave);
    town.disconnect(ALICE, CAROL);
    town.disconnect(BOB, CAROL);
    // Nobody follows this, and she knows nothing of the votes: dave is given nothing by her.
    observe(&mut town, CAROL, 1);
    for member in [ALICE, BOB] {
        let vote = vote(&town, member, dave, Ballot::Admit);
        town.append(member, vote);
    }
    town.pass(10_000);
    let membership = town.hosts[DAVE].engine.membership().unwrap();
    assert_eq!((membership.contains(&dave), membership.contains(&carol)), (true, false));
}

#[test]
fn who_comes_back_shows_everybody_what_it_said_meanwhile() {
    let mut town = three();
    let carol = town.id(CAROL);
    let leave = town.hosts[CAROL].organisation.statement(Kind::Leave, &Leave { mesh: town.mesh });
    town.append(CAROL, leave);
    observe(&mut town, CAROL, 1);
    assert_eq!((size(&town, ALICE, CAROL), size(&town, CAROL, CAROL)), (4, 5), "nobody follows her any more");
    let departure = town.hosts[ALICE].engine.membership().unwrap().departure(&carol);
    for member in [ALICE, BOB] {
        let mesh = town.mesh;
        let again = Admission { mesh, organisation: carol, ballot: Ballot::Admit, after: departure };
        let again = town.hosts[member].organisation.statement(Kind::Admission, &again);
        town.append(member, again);
    }
    drop(town.did(CAROL));
    town.pass(4_000);
    let introduced = town.did(CAROL).iter().filter(|did| *did == "ask hello").count();
    assert_eq!(introduced, 2, "she waits for somebody to compare with her");
    assert_eq!((size(&town, ALICE, CAROL), size(&town, BOB, CAROL)), (5, 5));
}

#[test]
fn who_was_away_learns_how_a_member_voted_that_was_put_out_since() {
    let mut town = Town::new(4, 3, Config::default(), |_| {});
    let (carol, dave) = (town.id(CAROL), town.id(DAVE));
    for other in [BOB, CAROL, DAVE] {
        town.disconnect(ALICE, other);
    }
    for (member, about, ballot) in [
        (BOB, dave, Ballot::Admit),
        (CAROL, dave, Ballot::Admit),
        (BOB, carol, Ballot::Expel),
        (DAVE, carol, Ballot::Expel),
    ] {
        let vote = vote(&town, member, about, ballot);
        town.append(member, vote);
    }
    town.pass(4_000);
    let (has_dave, has_carol) = (membership(&town, BOB, &dave).0, membership(&town, BOB, &carol).0);
    assert_eq!((has_dave, has_carol), (true, false));
    town.connect(ALICE, BOB);
    town.pass(10_000);
    let (has_dave, has_carol) = (membership(&town, ALICE, &dave).0, membership(&town, ALICE, &carol).0);
    assert_eq!((has_dave, has_carol), (true, false));
}

#[test]
fn a_newcomer_learns_how_a_founder_voted_that_was_put_out_before() {
    let mut town = Town::new(5, 3, Config::default(), |_| {});
    let (carol, dave, erin) = (town.id(CAROL), town.id(DAVE), town.id(ERIN));
    for other in [ALICE, BOB, CAROL, DAVE] {
        town.disconnect(ERIN, other);
    }
    for (member, about, ballot) in [
        (ALICE, dave, Ballot::Admit),
        (CAROL, dave, Ballot::Admit),
        (ALICE, carol, Ballot::Expel),
        (BOB, carol, Ballot::Expel),
        (ALICE, erin, Ballot::Admit),
        (BOB, erin, Ballot::Admit),
    ] {
        let vote = vote(&town, member, about, ballot);
        town.append(member, vote);
    }
    town.pass(4_000);
    town.connect(ERIN, ALICE);
    town.pass(10_000);
    let has = |town: &Town, host: usize| [carol, dave, erin].map(|one| membership(town, host, &one).0);
    assert_eq!((has(&town, ALICE), has(&town, ERIN)), ([false, true, true], [false, true, true]));
}

#[test]
fn terms_are_the_same_with_all_though_who_voted_for_them_was_put_out() {
    let mut town = Town::new(4, 4, Config::default(), |_| {});
    let carol = town.id(CAROL);
    for other in [BOB, CAROL, DAVE] {
        town.disconnect(ALICE, other);
    }
    let terms = Terms { freshness_s: 600, ..charter(Vec::new()).terms() };
    let amendment = Amendment { mesh: town.mesh, version: 1, terms };
    for member in [BOB, CAROL] {
        let said = town.hosts[member].organisation.statement(Kind::Amendment, &amendment);
        town.append(member, said);
    }
    for member in [BOB, DAVE] {
        let vote = vote(&town, member, carol, Ballot::Expel);
        town.append(member, vote);
    }
    town.pass(4_000);
    town.connect(ALICE, BOB);
    town.pass(10_000);
    assert_eq!((membership(&town, BOB, &carol), membership(&town, ALICE, &carol)), ((false, 1), (false, 1)));
}
