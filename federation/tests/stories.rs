//! What engines do about each other, told as stories of alice, bob and carol. Where effects are compared, all of them are, so
//! that an extra one fails too.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "each story uses what it needs of the town")]
mod town;

use std::collections::BTreeMap;

use counterfoil_federation::budget::Rate;
use counterfoil_federation::effect::{GatherId, GossipId};
use counterfoil_federation::message::{Announcement, Hint, Request, Topic, encode};
use counterfoil_federation::{Config, Input};
use counterfoil_protocol::ids::{ByteString, Timestamp};
use counterfoil_protocol::lineage::Recall;
use counterfoil_protocol::mesh::{Amendment, Ballot, Charter, Invitation, Join, Leave, Recognition};
use counterfoil_protocol::statement::Kind;
use town::{ALICE, BOB, CAROL, DAVE, Town, observe, size, three, vote};

#[test]
fn when_nothing_differs_a_round_costs_one_digest_and_says_so() {
    let mut town = three();
    town.wake(ALICE, 2_000);
    let all = [town.did(ALICE), town.did(BOB), town.did(CAROL)].concat();
    let count = |what: &str| all.iter().filter(|did| *did == what).count();
    assert_eq!((count("ask heads since"), count("answer same"), all.len()), (3, 3, 6), "{all:?}");
}

#[test]
fn a_head_that_gossip_lost_is_named_in_24_bytes_fetched_witnessed_and_told_on() {
    let mut town = Town::new(2, 2, Config::default(), |charter| charter.admission_threshold = 1);
    town.deaf = true;
    let old = town.notice(BOB);
    observe(&mut town, BOB, 1);
    assert_eq!(
        town.did(BOB),
        [
            "write observation, tree",
            "lock head 3",
            "acknowledge",
            "write head 3",
            "gossip heads",
            "ask offer"
        ]
    );
    assert!(town.did(ALICE).is_empty());
    town.wake(ALICE, 2_000);
    assert_eq!(
        town.did(ALICE),
        [
            "ask heads since",
            "ask announcements 1+0",
            // Bob's own question, at the same time: alice has nothing new for him.
            "answer vector of 0 bytes",
            "ask entries 3 of 4",
            "write observation, head 3, tree, 1 cosignatures",
            "accepted observation",
            "ask cosigned 4",
        ]
    );
    assert_eq!(
        town.did(BOB),
        [
            "answer vector of 24 bytes",
            "ask heads since",
            "answer 1 announcements",
            "serve",
            "write 1 cosignatures",
            "witnessed 4",
            "answer noted",
        ]
    );
    // Word of the head before it is no word of it.
    town.tell(ALICE, BOB, &old);
    assert_eq!(town.did(ALICE), ["ignore"]);
    town.wake(ALICE, 400);
    let did = town.did(ALICE);
    assert_eq!(
        did,
        ["ask heads since", "gossip heads"],
        "no gossip followed, so those behind her may not know"
    );
}

#[test]
fn who_hears_of_a_head_asks_whom_it_heard_it_from_and_is_answered_when_it_is_there() {
    let one_witness = |charter: &mut Charter| (charter.witnesses, charter.witness_quorum) = (Some(1), 1);
    let mut town = Town::new(4, 4, Config::default(), one_witness);
    let carol = town.id(CAROL);
    let chosen = town.hosts[CAROL].engine.witnesses(&carol)[0];
    let (witness, others): (Vec<usize>, Vec<usize>) =
        (0..4).filter(|host| *host != CAROL).partition(|host| town.id(*host) == chosen);
    let (witness, near, far) = (witness[0], others[0], others[1]);
    town.deaf = true;
    observe(&mut town, CAROL, 1);
    drop(town.did(CAROL));
    let notice = town.notice(CAROL);
    town.tell(near, CAROL, &notice);
    town.tell(far, near, &notice);
    for host in [near, far] {
        assert_eq!(town.did(host), ["accept", "ask latest 3 from 3"], "what it names is asked for");
    }
    assert!(town.did(CAROL).is_empty(), "carol waits for her witness, and so does everybody behind her");
    town.tell(witness, CAROL, &notice);
    assert_eq!(
        town.did(witness),
        [
            "accept",
            "ask latest 3 from 3",
            "write observation, head 3, tree, 1 cosignatures",
            // The others' signatures, where there are any.
            "accepted observation",
            "ask cosigned 4",
        ]
    );
    assert_eq!(town.did(CAROL), ["serve", "write 1 cosignatures", "witnessed 4", "answer noted", "serve"]);
    let came = ["write observation, head 3, tree, 1 cosignatures", "accepted observation"];
    assert_eq!(town.did(near), [came[0], came[1], "serve"], "once it is on disk it goes on");
    assert_eq!(town.did(far), came);
}

#[test]
fn where_nobody_who_told_of_a_head_can_be_asked_somebody_else_is() {
    let mut town = Town::new(4, 4, Config::default(), |_| {});
    town.disconnect(ALICE, CAROL);
    town.disconnect(ALICE, BOB);
    drop(town.did(ALICE));
    // The line to bob stands again, and he has said who he is, but not yet that he knows her.
    town.silent = Some(BOB);
    town.connect(ALICE, BOB);
    let came = ["introduced, admitted: true", "answer hello, admitted: true", "gossip begins", "answer same"];
    assert_eq!(town.did(ALICE), [&["ask hello"][..], &came].concat());
    town.deaf = true;
    observe(&mut town, CAROL, 1);
    let notice = town.notice(CAROL);
    town.tell(DAVE, CAROL, &notice);
    town.tell(ALICE, BOB, &notice);
    assert_eq!(town.did(ALICE)[..2], ["accept", "ask latest 3 from 3"]);
    assert_eq!(size(&town, ALICE, CAROL), 4);
}

#[test]
fn whoever_comes_while_another_is_silent_is_asked_at_once() {
    let mut town = Town::new(4, 4, Config::default(), |_| {});
    town.disconnect(ALICE, CAROL);
    town.disconnect(ALICE, DAVE);
    town.deaf = true;
    observe(&mut town, CAROL, 1);
    let notice = town.notice(CAROL);
    town.tell(DAVE, CAROL, &notice);
    town.silent = Some(BOB);
    drop(town.did(ALICE));
    town.tell(ALICE, BOB, &notice);
    assert_eq!(town.did(ALICE), ["accept", "ask latest 3 from 3"]);
    town.wake(ALICE, 600);
    assert!(town.did(ALICE).is_empty(), "there is nobody else");
    town.connect(ALICE, DAVE);
    town.tell(ALICE, DAVE, &notice);
    assert_eq!(size(&town, ALICE, CAROL), 4);
}

#[test]
fn a_question_that_waited_is_answered_to_members_alone() {
    let one_witness = |charter: &mut Charter| (charter.witnesses, charter.witness_quorum) = (Some(1), 1);
    let mut town = Town::new(4, 4, Config::default(), one_witness);
    let carol = town.id(CAROL);
    let chosen = town.hosts[CAROL].engine.witnesses(&carol)[0];
    let others: Vec<usize> = (0..4).filter(|host| *host != CAROL && town.id(*host) != chosen).collect();
    let (voter, expelled) = (others[0], others[1]);
    town.deaf = true;
    let votes = [voter, CAROL].map(|host| vote(&town, host, town.id(expelled), Ballot::Expel));
    let [first, second] = votes;
    town.append(voter, first);
    town.wake(voter, 250);
    town.append(CAROL, second);
    let notice = town.notice(CAROL);
    town.tell(expelled, CAROL, &notice);
    drop(town.did(CAROL));
    let other = town.notice(voter);
    town.tell(CAROL, voter, &other);
    assert!(!town.hosts[CAROL].engine.membership().unwrap().contains(&town.id(expelled)));
    town.wake(CAROL, 250);
    let did = town.did(CAROL);
    assert!(
        did.iter().any(|did| did.starts_with("answer refused: your organisation is no member")),
        "{did:?}"
    );
    assert!(!did.iter().any(|did| did == "serve"), "{did:?}");
}

#[test]
fn gossip_is_for_members_with_whom_exchange_is_open() {
    let mut town = Town::new(4, 3, Config::default(), |_| {});
    let (bob, dave) = (town.id(BOB), town.id(DAVE));
    let ends = |town: &mut Town, host: usize| {
        let did = town.did(host);
        did.iter()
            .filter(|did| did.starts_with("gossip begins") || did.starts_with("gossip ends"))
            .cloned()
            .collect::<Vec<_>>()
    };
    // A stranger with a line to everybody: what is said does not reach it, and what it passes on costs one look.
    observe(&mut town, BOB, 1);
    town.pass(2_000);
    assert_eq!(
        town.did(DAVE).iter().filter(|did| ["accept", "ignore", "reject"].contains(&did.as_str())).count(),
        0
    );
    town.deaf = true;
    observe(&mut town, BOB, 2);
    let notice = town.notice(BOB);
    drop(town.did(ALICE));
    town.tell(ALICE, DAVE, &notice);
    town.tell(ALICE, DAVE, b"noise");
    assert_eq!(town.did(ALICE), ["ignore", "ignore"]);
    town.tell(ALICE, CAROL, &notice);
    assert_eq!(town.did(ALICE)[0], "accept");
    town.deaf = false;

    for host in [ALICE, BOB] {
        town.append(host, vote(&town, host, dave, Ballot::Admit));
    }
    town.pass(5_000);
    for host in [ALICE, BOB, CAROL] {
        assert_eq!(ends(&mut town, host), ["gossip begins"], "host {host} and dave, once he is a member");
    }
    for host in [ALICE, BOB] {
        town.append(host, vote(&town, host, dave, Ballot::Expel));
    }
    town.pass(5_000);
    assert_eq!(ends(&mut town, ALICE), ["gossip ends"]);

    town.give(ALICE, Input::Pause { organisation: bob, paused: true });
    assert_eq!(ends(&mut town, ALICE), ["gossip ends"]);
    town.pass(5_000);
    town.tell(ALICE, BOB, &notice);
    assert_eq!(ends(&mut town, ALICE), [""; 0]);
    town.give(ALICE, Input::Pause { organisation: bob, paused: false });
    town.pass(5_000);
    assert_eq!(ends(&mut town, ALICE), ["gossip begins"]);
}

#[test]
fn whoever_is_paused_is_no_reason_to_wait_for_others() {
    let mut town = three();
    town.disconnect(ALICE, CAROL);
    let bob = town.id(BOB);
    town.give(ALICE, Input::Pause { organisation: bob, paused: true });
    drop(town.did(ALICE));
    town.give(ALICE, Input::Gather { gather: GatherId(1), about: Vec::new(), wait_ms: 2_000 });
    assert_eq!(town.did(ALICE), ["reach"], "carol is dialled");
    town.give(ALICE, Input::Unreached(town.key(CAROL)));
    assert_eq!(town.did(ALICE), ["gathered"]);
}

#[test]
fn in_a_large_mesh_those_are_connected_for_a_decision_whose_evidence_may_count() {
    let few = |charter: &mut Charter| (charter.witnesses, charter.witness_quorum) = (Some(1), 1);
    let config = Config { full_mesh_max: 2, neighbours: 0, ..Config::default() };
    let mut town = Town::new(5, 5, config, few);
    let alice = town.id(ALICE);
    let witness = town.hosts[ALICE].engine.witnesses(&alice)[0];
    let others: Vec<usize> = (1..5).filter(|host| town.id(*host) != witness).collect();
    let recognised = others[0];
    let recognition = Recognition {
        organisation: town.id(recognised),
        claims: vec!["evaluation/*".into()],
        roles: Vec::new(),
        role_map: BTreeMap::new(),
        claim_map: BTreeMap::new(),
        authority_cap: None,
        withdrawn: false,
    };
    let recognition = town.hosts[ALICE].organisation.statement(Kind::Recognition, &recognition);
    town.append(ALICE, recognition);
    for other in 1..5 {
        town.disconnect(ALICE, other);
    }
    let gather = |town: &mut Town, n: u64| {
        drop(town.did(ALICE));
        town.give(ALICE, Input::Gather { gather: GatherId(n), about: Vec::new(), wait_ms: 2_000 });
        town.did(ALICE)
    };
    assert_eq!(gather(&mut town, 1), ["reach", "reach"], "one recognised, and her own witness");
    town.give(ALICE, Input::Unreached(town.key(recognised)));
    assert!(town.did(ALICE).is_empty(), "the other may still come");
    town.wake(ALICE, 1_000);
    assert_eq!(town.did(ALICE), ["gathered"]);
    assert_eq!(gather(&mut town, 2), ["gathered"], "nobody waits again for who was away just now");
    town.wake(ALICE, 30_000);
    assert_eq!(gather(&mut town, 3), ["reach", "reach"]);
    // Whoever comes is asked once it has said who it is; strangers were not even dialled.
    town.connect(ALICE, recognised);
    assert!(town.did(ALICE).contains(&"ask evidence".to_owned()));
    assert_eq!(town.hosts[ALICE].engine.peers().count(), 1);
}

#[test]
fn a_head_that_no_witness_signs_is_given_out_after_a_moment() {
    let mut town = three();
    town.deaf = true;
    observe(&mut town, CAROL, 1);
    let notice = town.notice(CAROL);
    town.tell(ALICE, CAROL, &notice);
    drop(town.did(CAROL));
    drop(town.did(ALICE));
    // Alice is a witness herself, and is given it at once.
    assert_eq!(size(&town, ALICE, CAROL), 4);
    let one_witness = |charter: &mut Charter| (charter.witnesses, charter.witness_quorum) = (Some(1), 1);
    let mut town = Town::new(4, 4, Config::default(), one_witness);
    let carol = town.id(CAROL);
    let chosen = town.hosts[CAROL].engine.witnesses(&carol)[0];
    let near = (0..4).find(|host| *host != CAROL && town.id(*host) != chosen).unwrap();
    town.deaf = true;
    observe(&mut town, CAROL, 1);
    let notice = town.notice(CAROL);
    town.tell(near, CAROL, &notice);
    town.wake(CAROL, 249);
    assert_eq!(size(&town, near, CAROL), 3);
    town.wake(CAROL, 1);
    assert_eq!(size(&town, near, CAROL), 4);
}

#[test]
fn where_too_much_has_changed_heads_are_compared_by_ranges() {
    let config = Config { vector_max: 4, ..Config::default() };
    let mut town = Town::new(8, 8, config, |charter| charter.admission_threshold = 5);
    for other in 1..8 {
        town.disconnect(ALICE, other);
    }
    (1..8).for_each(|host| observe(&mut town, host, 1));
    town.pass(10_000);
    drop(town.did(ALICE));
    town.connect(ALICE, BOB);
    let did = town.did(ALICE);
    assert!(did.contains(&"ask 16 ranges".to_owned()), "{did:?}");
    assert!(did.contains(&"ask announcements 6+0".to_owned()), "{did:?}");
    (1..8).for_each(|host| assert_eq!(size(&town, ALICE, host), 4));
}

#[test]
fn a_recall_is_in_force_as_soon_as_its_message_arrives() {
    let mut town = three();
    observe(&mut town, BOB, 1);
    let observation = town.hosts[BOB].organisation.observation(1).statement().id();
    (0..3).for_each(|host| drop(town.did(host)));
    let recall = Recall { statement: observation, subjects: Vec::new(), reason: "flawed".into() };
    town.append(BOB, town.hosts[BOB].organisation.statement(Kind::Recall, &recall));
    let did = town.did(ALICE);
    assert_eq!(
        did.iter().filter(|did| !did.starts_with("write 2")).collect::<Vec<_>>(),
        [
            "write recall, head 4, tree, 1 cosignatures",
            "accept",
            // As a witness she was handed it too.
            "answer noted",
            "accepted recall",
            // Not before it is on disk.
            "ask cosigned 5",
            // Bob gives notice that it is witnessed: alice knows, it was she.
            "accept",
        ]
        .iter()
        .collect::<Vec<_>>(),
        "nobody was asked for entries"
    );
}

#[test]
fn entries_that_do_not_belong_under_their_head_are_rejected_before_they_travel_on() {
    let mut town = three();
    let head = town.hosts[BOB].engine.replicas()[&town.id(BOB)].head().unwrap().clone();
    let carried = counterfoil_federation::message::Carried {
        before: Default::default(),
        entries: vec![counterfoil_federation::message::Entry::Statement(ByteString(vec![1; 40]))],
    };
    let announcement = Announcement {
        head: ByteString(head.bytes().to_vec()),
        cosignatures: Vec::new(),
        inception: None,
        succession: Vec::new(),
        page: Some(carried),
    };
    let (peer, bytes) = (town.key(CAROL), encode(&Hint::Head(Box::new(announcement))).unwrap());
    town.give(ALICE, Input::Heard { peer, gossip: GossipId(9), topic: Topic::Recalls, bytes });
    assert_eq!(town.did(ALICE), ["reject"]);
}

#[test]
fn a_noisy_member_is_limited_and_its_neighbours_are_not() {
    let config = Config { organisation_gossip: Rate { burst: 5, per_s: 1 }, ..Config::default() };
    let mut town = Town::new(3, 3, config, |_| {});
    for n in 0..20 {
        observe(&mut town, BOB, n);
    }
    let did = town.did(ALICE);
    assert_eq!(did.iter().filter(|did| *did == "limited").count(), 1);
    assert!(town.hosts[ALICE].engine.limited()[&town.id(BOB)] > 10);
    assert!(size(&town, ALICE, BOB) < 23);
    observe(&mut town, CAROL, 1);
    assert_eq!(size(&town, ALICE, CAROL), 4, "carol is heard as ever");
    town.pass(10_000);
    assert_eq!(size(&town, ALICE, BOB), 23, "comparing heads brought what was dropped");
}

#[test]
fn who_asks_too_often_is_refused_and_in_the_end_let_go() {
    let config = Config { peer_requests: Rate { burst: 10, per_s: 1 }, ..Config::default() };
    let mut town = Town::new(2, 2, config, |charter| charter.admission_threshold = 1);
    let peer = town.key(BOB);
    let mut did = Vec::new();
    for n in 0..80 {
        let request = Request::Announcements { known: Vec::new(), unknown: Vec::new() };
        let channel = counterfoil_federation::effect::ChannelId(100_000 + n);
        town.give(ALICE, Input::Asked { peer, channel, request });
        did.extend(town.did(ALICE));
    }
    let count = |what: &str| did.iter().filter(|did| did.starts_with(what)).count();
    assert!(count("answer 0 announcements") <= 10);
    assert!(count("answer refused: too many requests") >= 70);
    assert!(count("penalised: it asks far more") >= 5 && count("disconnect") >= 1, "{did:?}");
}

#[test]
fn who_passes_on_far_more_than_its_budget_is_let_go_once_and_the_others_are_heard_as_ever() {
    let config = Config { peer_gossip: Rate { burst: 10, per_s: 1 }, ..Config::default() };
    let mut town = Town::new(3, 3, config, |_| {});
    let notice = town.notice(CAROL);
    town.pass(20_000);
    town.did(ALICE);
    (0..20).for_each(|_| town.tell(ALICE, BOB, &notice));
    let did = town.did(ALICE);
    assert!(
        did.iter().all(|did| *did == "accept" || *did == "ignore"),
        "as much again costs nothing: {did:?}"
    );
    (0..30).for_each(|_| town.tell(ALICE, BOB, &notice));
    let reason = "penalised: it passes on far more than its budget allows";
    let mut wanted = [[reason, "ignore"].repeat(4), vec![reason, "disconnect", "ignore"]].concat();
    wanted.resize(36, "ignore");
    assert_eq!(town.did(ALICE), wanted);
    town.tell(ALICE, CAROL, &notice);
    assert_eq!(town.did(ALICE), ["accept"]);
}

#[test]
fn who_comes_again_has_no_more_left_than_when_it_went() {
    let config = Config { peer_requests: Rate { burst: 10, per_s: 1 }, ..Config::default() };
    let mut town = Town::new(2, 2, config, |charter| charter.admission_threshold = 1);
    let ask = |town: &mut Town| {
        let request = Request::Announcements { known: Vec::new(), unknown: Vec::new() };
        let channel = counterfoil_federation::effect::ChannelId(100_000);
        town.give(ALICE, Input::Asked { peer: town.key(BOB), channel, request });
        town.did(ALICE).iter().filter(|did| *did == "answer 0 announcements").count()
    };
    let answered: usize = (0..20).map(|_| ask(&mut town)).sum();
    assert!((1..=10).contains(&answered), "{answered}");
    town.disconnect(ALICE, BOB);
    town.connect(ALICE, BOB);
    drop(town.did(ALICE));
    assert_eq!(ask(&mut town), 0, "at once it gets nothing more");
    town.disconnect(ALICE, BOB);
    town.pass(61_000);
    town.connect(ALICE, BOB);
    drop(town.did(ALICE));
    assert_eq!(ask(&mut town), 1, "a minute later it does");
}

#[test]
fn an_invited_organisation_asks_is_voted_in_leaves_and_comes_back() {
    let mut town = Town::new(4, 3, Config::default(), |_| {});
    let dave = town.id(DAVE);
    let invitation = Invitation { mesh: town.mesh, organisation: Some(dave), expires: Timestamp(1_000_000) };
    let invitation = town.hosts[ALICE].organisation.statement(Kind::Invitation, &invitation);
    let id = invitation.statement().id();
    town.append(ALICE, invitation);
    let join = Join { mesh: town.mesh, invitation: Some(id) };
    town.append(DAVE, town.hosts[DAVE].organisation.statement(Kind::Join, &join));
    town.pass(5_000);
    assert_eq!(town.hosts[BOB].engine.invited().get(&dave), Some(&id), "members see whose invitation it is");
    assert_eq!(size(&town, DAVE, ALICE), 0, "an invitation admits nobody");
    for host in [ALICE, BOB] {
        town.append(host, vote(&town, host, dave, Ballot::Admit));
    }
    town.pass(5_000);
    assert_eq!((size(&town, DAVE, ALICE), size(&town, CAROL, DAVE)), (6, 4));

    let leave = Leave { mesh: town.mesh };
    town.append(DAVE, town.hosts[DAVE].organisation.statement(Kind::Leave, &leave));
    town.pass(5_000);
    for host in 0..4 {
        assert!(!town.hosts[host].engine.membership().unwrap().contains(&dave), "host {host}");
    }
    observe(&mut town, ALICE, 9);
    town.pass(5_000);
    assert_eq!(size(&town, DAVE, ALICE), 6, "who has left is told nothing more");
    for host in [ALICE, BOB] {
        let again = vote(&town, host, dave, Ballot::Admit);
        town.append(host, again);
    }
    town.pass(10_000);
    assert_eq!(size(&town, DAVE, ALICE), size(&town, ALICE, ALICE), "it is back");
}

#[test]
fn new_terms_are_in_force_everywhere_once_two_of_three_have_said_the_same() {
    let mut town = three();
    let terms = counterfoil_protocol::mesh::Terms {
        freshness_s: 7,
        ..town.hosts[ALICE].engine.membership().unwrap().charter().terms()
    };
    let amendment = Amendment { mesh: town.mesh, version: 1, terms };
    for (host, freshness_s) in [(ALICE, 60), (BOB, 7)] {
        town.append(host, town.hosts[host].organisation.statement(Kind::Amendment, &amendment));
        town.pass(5_000);
        for host in &town.hosts {
            assert_eq!(host.engine.membership().unwrap().charter().freshness_s, freshness_s);
        }
    }
}

#[test]
fn what_is_not_there_yet_is_asked_for_again() {
    let mut town = three();
    // Bob tells alice of carol's head before he has what lies under it.
    town.disconnect(ALICE, CAROL);
    town.deaf = true;
    observe(&mut town, CAROL, 1);
    let head = town.hosts[CAROL].engine.replicas()[&town.id(CAROL)].head().unwrap().clone();
    let announcement = Announcement {
        head: ByteString(head.bytes().to_vec()),
        cosignatures: Vec::new(),
        inception: None,
        succession: Vec::new(),
        page: None,
    };
    let (peer, bytes) = (town.key(BOB), encode(&Hint::Head(Box::new(announcement))).unwrap());
    drop(town.did(ALICE));
    town.give(ALICE, Input::Heard { peer, gossip: GossipId(9), topic: Topic::Heads, bytes });
    assert_eq!(town.did(ALICE), ["accept", "ask latest 3 from 3"]);
    assert_eq!(town.hosts[ALICE].engine.next_deadline(), Some(town.now.plus(100)));
    town.pass(6_000);
    assert_eq!(size(&town, ALICE, CAROL), 4);
}
