//! Votes in any order, departures, terms, and who counts.

use proptest::prelude::*;

use super::*;

fn org(n: u8) -> OrganisationId {
    OrganisationId::from_bytes([n; 32])
}

fn statement(author: u8, position: u64) -> StatementId {
    StatementId::from_bytes([author.wrapping_mul(31).wrapping_add(position as u8); 32])
}

fn charter(on_fork: OnFork) -> Charter {
    let charter = Charter {
        name: "test".into(),
        members: vec![org(0), org(1), org(2)],
        admission_threshold: 2,
        witness_quorum: 2,
        freshness_s: 60,
        link_answer_s: 60,
        on_fork,
        amendment_threshold: None,
        witnesses: None,
    };
    assert_eq!(charter.check(), Ok(()));
    charter
}

fn membership() -> Membership {
    Membership::new(MeshId::from_bytes([9; 32]), charter(OnFork::Quarantine))
}

/// What the author says at its position, made that many seconds after 1000.
fn act(author: u8, position: u64) -> Act {
    let (statement, time) = (statement(author, position), Timestamp(1000 + position));
    Act { position: Position(position), statement, time }
}

fn vote(m: &mut Membership, voter: u8, position: u64, about: u8, ballot: Ballot) -> bool {
    vote_after(m, voter, position, about, ballot, None)
}

fn vote_after(
    m: &mut Membership,
    voter: u8,
    position: u64,
    about: u8,
    ballot: Ballot,
    after: Option<StatementId>,
) -> bool {
    let admission = Admission { mesh: m.mesh(), organisation: org(about), ballot, after };
    m.vote(org(voter), act(voter, position), &admission)
}

fn amend(m: &mut Membership, voter: u8, position: u64, version: u64, terms: Terms) -> bool {
    let amendment = Amendment { mesh: m.mesh(), version, terms };
    m.amend(org(voter), act(voter, position), &amendment)
}

#[test]
fn two_of_three_admit_and_one_does_not() {
    let mut m = membership();
    assert!(!vote(&mut m, 2, 1, 3, Ballot::Admit));
    assert_eq!(m.voted(&org(3), Ballot::Admit), [org(2)]);
    assert_eq!(m.candidates(), [org(3)]);
    assert!(vote(&mut m, 1, 2, 3, Ballot::Admit));
    assert_eq!(m.members(), [org(0), org(1), org(2), org(3)]);
    assert_eq!(m.witness_quorum(&org(3)), 2);
}

#[test]
fn expulsion_needs_the_threshold_and_so_does_coming_back() {
    let mut m = membership();
    assert!(!vote(&mut m, 0, 3, 2, Ballot::Expel));
    assert!(vote(&mut m, 1, 3, 2, Ballot::Expel));
    assert!(!m.contains(&org(2)));
    assert!(!vote(&mut m, 1, 2, 2, Ballot::Admit), "an older vote changes nothing");
    assert!(!vote(&mut m, 1, 4, 2, Ballot::Admit), "one who changes its mind undoes nothing");
    assert!(vote(&mut m, 0, 5, 2, Ballot::Admit));
    assert!(m.contains(&org(2)));
}

#[test]
fn who_voted_for_a_member_cannot_put_it_out_alone() {
    let mut m = membership();
    vote(&mut m, 0, 1, 3, Ballot::Admit);
    assert!(vote(&mut m, 1, 2, 3, Ballot::Admit));
    assert!(!vote(&mut m, 0, 3, 3, Ballot::Expel));
    assert!(m.contains(&org(3)));
    let both = [Ballot::Admit, Ballot::Expel].map(|ballot| m.voted(&org(3), ballot));
    assert_eq!(both, [vec![org(1)], vec![org(0)]]);
    // Nor by saying it so often that its first vote is forgotten.
    for position in 4..200 {
        vote(&mut m, 0, position, 3, Ballot::Expel);
    }
    assert!(m.contains(&org(3)));
    assert!(vote(&mut m, 2, 9, 3, Ballot::Expel));
    assert!(!m.contains(&org(3)));
}

#[test]
fn a_vote_that_was_taken_back_before_there_were_enough_admits_nobody() {
    let mut m = membership();
    vote(&mut m, 0, 1, 3, Ballot::Admit);
    vote(&mut m, 0, 2, 3, Ballot::Expel);
    assert!(!vote(&mut m, 1, 3, 3, Ballot::Admit));
    assert!(!m.contains(&org(3)) && !m.has_admitted(&org(3)));
    assert!(vote(&mut m, 2, 4, 3, Ballot::Admit));
    assert!(m.contains(&org(3)));
}

#[test]
fn nobody_goes_because_of_whoever_voted_for_it() {
    let mut m = membership();
    for (voter, position, about) in [(0, 1, 3), (1, 1, 3), (0, 2, 4), (3, 2, 4)] {
        vote(&mut m, voter, position, about, Ballot::Admit);
    }
    assert_eq!(m.members(), [org(0), org(1), org(2), org(3), org(4)]);
    vote(&mut m, 0, 5, 3, Ballot::Expel);
    vote(&mut m, 1, 5, 3, Ballot::Expel);
    assert_eq!(m.members(), [org(0), org(1), org(2), org(4)]);
    assert!(m.has_admitted(&org(3)) && !m.has_admitted(&org(5)));
}

#[test]
fn whoever_left_is_out_at_once_and_comes_back_by_votes_that_name_the_departure() {
    let mut m = membership();
    vote(&mut m, 0, 1, 3, Ballot::Admit);
    vote(&mut m, 1, 1, 3, Ballot::Admit);
    assert!(m.depart(org(3), act(3, 5)));
    assert!(!m.contains(&org(3)), "the votes of before do not keep it in");
    let left = m.departure(&org(3));
    assert_eq!(left, Some(statement(3, 5)));
    vote(&mut m, 0, 6, 3, Ballot::Admit);
    vote(&mut m, 1, 6, 3, Ballot::Admit);
    assert!(!m.contains(&org(3)), "votes that do not know of the departure count nothing");
    vote_after(&mut m, 0, 7, 3, Ballot::Admit, left);
    assert!(vote_after(&mut m, 1, 7, 3, Ballot::Admit, left));
    assert!(m.contains(&org(3)));
    assert!(!vote(&mut m, 1, 8, 3, Ballot::Expel), "one of the two cannot put it out again alone");
    assert!(m.contains(&org(3)));
    assert!(m.depart(org(0), act(0, 9)), "a founder may leave too");
    assert_eq!(m.members(), [org(1), org(2), org(3)]);
}

#[test]
fn new_terms_hold_when_enough_members_say_the_same() {
    let mut m = membership();
    let terms = Terms { witnesses: Some(1), witness_quorum: 1, ..m.charter().terms() };
    let other = Terms { freshness_s: 5, ..terms };
    assert!(!amend(&mut m, 0, 1, 1, terms));
    assert!(!amend(&mut m, 1, 1, 1, other));
    assert!(!amend(&mut m, 7, 1, 1, terms), "no member's word counts nothing");
    let votes: Vec<_> = m.proposals().into_iter().map(|one| (one.terms, one.votes)).collect();
    assert!(votes.contains(&(terms, vec![org(0)])) && votes.contains(&(other, vec![org(1)])), "{votes:?}");
    assert!(amend(&mut m, 2, 1, 1, terms));
    assert_eq!((m.now().version(), m.charter().terms()), (1, terms));
    assert_eq!(m.now().electorate().witnesses(&org(0)).len(), 1);
    assert!(!amend(&mut m, 1, 2, 3, other), "version follows version");
    let unreachable = Terms { admission_threshold: 4, ..terms };
    for voter in 0..3 {
        assert!(!amend(&mut m, voter, 3, 2, unreachable), "three members cannot cast four votes");
    }
}

#[test]
fn the_membership_of_a_time_is_what_had_been_said_by_then() {
    let mut m = membership();
    vote(&mut m, 0, 10, 3, Ballot::Admit);
    vote(&mut m, 1, 20, 3, Ballot::Admit);
    vote(&mut m, 0, 30, 2, Ballot::Expel);
    vote(&mut m, 1, 30, 2, Ballot::Expel);
    assert_eq!(m.at(Timestamp(1019)).members(), [org(0), org(1), org(2)]);
    assert_eq!(m.at(Timestamp(1020)).members(), [org(0), org(1), org(2), org(3)]);
    assert_eq!(m.at(Timestamp(1030)).members(), m.members());
    assert_eq!(m.members(), [org(0), org(1), org(3)]);
}

#[test]
fn a_head_that_its_witnesses_of_then_had_seen_stays_witnessed() {
    let mut m = membership();
    let line = |witness: u8, time: u64| Cosignature {
        witness: org(witness),
        time: Timestamp(time),
        line: crate::chain::note::SignatureLine {
            name: String::new(),
            key_id: [0; 4],
            signature: Vec::new(),
        },
    };
    let seen = [line(1, 1005), line(2, 1007)];
    assert_eq!(m.witnessed(&org(0), &seen), Some(Timestamp(1007)));
    vote(&mut m, 0, 30, 2, Ballot::Expel);
    vote(&mut m, 1, 30, 2, Ballot::Expel);
    assert_eq!(m.witnessed(&org(0), &seen), Some(Timestamp(1007)));
    let later = [line(2, 1040), line(9, 1041)];
    assert_eq!(m.witnessed(&org(0), &later), None, "neither is a witness any more");
    assert_eq!(m.witnessed(&org(0), &[line(1, 1040)]), Some(Timestamp(1040)), "one other member is left");
    let one_before = [line(1, 1020), line(9, 1041)];
    assert_eq!(
        m.witnessed(&org(0), &one_before),
        None,
        "a stranger's line changes nothing, though one would do by then"
    );
}

#[test]
fn a_quarantined_members_votes_count_nothing_whenever_the_proof_arrives() {
    let votes = [(0, 1, 8), (1, 1, 8), (0, 2, 7), (2, 2, 7), (8, 1, 6), (2, 3, 6)];
    let after = |exposed_after: usize, rule: OnFork| {
        let mut m = Membership::new(MeshId::from_bytes([9; 32]), charter(rule));
        for (n, (voter, position, about)) in votes.into_iter().enumerate() {
            if n == exposed_after {
                m.expose(org(0));
            }
            vote(&mut m, voter, position, about, Ballot::Admit);
        }
        m.expose(org(0));
        m
    };
    for n in 0..votes.len() {
        let m = after(n, OnFork::Quarantine);
        assert_eq!(m.members(), [org(0), org(1), org(2)], "exposed after {n} votes");
        assert!(m.is_quarantined(&org(0)));
        assert_eq!(m.witness_quorum(&org(1)), 1);
        assert_eq!(m.voted(&org(8), Ballot::Admit), [org(1)]);
        let m = after(n, OnFork::Keep);
        assert_eq!(m.members(), [org(0), org(1), org(2), org(6), org(7), org(8)]);
    }
}

proptest! {
    #[test]
    fn acts_in_any_order_give_the_same_era(
        acts in proptest::collection::vec((0u8..9, 0u64..12, 0u8..9, 0u8..4), 1..40),
        order in any::<u64>(),
    ) {
        let apply = |m: &mut Membership, &(author, position, about, what): &(u8, u64, u8, u8)| {
            // One statement at each position of a chain.
            let terms = Terms { freshness_s: 1 + u64::from(about % 2), ..m.founding.terms() };
            match what {
                0 => vote(m, author, position, about, Ballot::Admit),
                1 => vote(m, author, position, about, Ballot::Expel),
                2 => amend(m, author, position, 1 + u64::from(about % 2), terms),
                _ => m.depart(org(author), act(author, position)),
            };
        };
        let acts: BTreeMap<_, _> = acts.into_iter().map(|one| ((one.0, one.1), one)).collect();
        let acts: Vec<_> = acts.into_values().collect();
        let mut shuffled = acts.clone();
        shuffled.sort_by_key(|one| crate::digest::blake3(&[&order.to_be_bytes()[..], &[one.0, one.1 as u8]].concat()));
        let (mut one, mut other) = (membership(), membership());
        acts.iter().for_each(|act| apply(&mut one, act));
        shuffled.iter().for_each(|act| apply(&mut other, act));
        prop_assert_eq!(one.now(), other.now());
        prop_assert_eq!(one.now(), &one.era(None));
        for time in 1000..1013 {
            prop_assert_eq!(one.at(Timestamp(time)), other.at(Timestamp(time)));
        }
    }
}
