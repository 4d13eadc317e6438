//! What is limited to some, at those who receive it: it binds them too, whoever gives it to them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "each story uses what it needs of the town")]
mod town;

use counterfoil_federation::Config;
use counterfoil_protocol::ids::{StatementId, Timestamp};
use counterfoil_protocol::mesh::{Acceptance, Agreement};
use counterfoil_protocol::statement::{Draft, Kind, Visibility};
use counterfoil_protocol::test_support::{draft, observation};
use town::{ALICE, BOB, Town};

/// Two, of whom bob gives everybody everything.
fn lavish() -> Town {
    let mut town = Town::new(2, 2, Config::default(), |charter| charter.admission_threshold = 1);
    town.lavish = Some(BOB);
    town
}

fn observe(town: &mut Town, visibility: Visibility) {
    let organisation = &town.hosts[BOB].organisation;
    let said = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", 1));
    let statement = Draft { visibility, ..said }.sign(&organisation.authority_key).unwrap();
    town.append(BOB, statement);
    town.pass(4_000);
}

/// What became of bob's observations at alice: written as they came, or as digests, or found out later; and how many were
/// believed.
fn came(town: &mut Town) -> [usize; 4] {
    let did = town.did(ALICE);
    let count = |word: &str| did.iter().filter(|did| did.contains(word)).count();
    ["write observation", "write withheld", "write revealed", "accepted observation"].map(count)
}

/// What bob says while alice is away, she asks for when she is back.
fn observe_meanwhile(town: &mut Town, visibility: Visibility) {
    town.disconnect(ALICE, BOB);
    observe(town, Visibility::Mesh);
    observe(town, visibility);
    drop(town.did(ALICE));
    town.connect(ALICE, BOB);
    town.pass(4_000);
}

fn agree(town: &mut Town) -> StatementId {
    let mut parties = vec![town.id(ALICE), town.id(BOB)];
    parties.sort_unstable();
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
    let proposal = town.hosts[ALICE].organisation.statement(Kind::Agreement, &agreement);
    let id = proposal.statement().id();
    town.append(ALICE, proposal);
    say(town, BOB, id, false);
    town.pass(4_000);
    id
}

fn say(town: &mut Town, host: usize, agreement: StatementId, withdrawn: bool) {
    let acceptance = Acceptance { agreement, withdrawn };
    town.append(host, town.hosts[host].organisation.statement(Kind::Acceptance, &acceptance));
}

#[test]
fn what_is_private_is_kept_as_a_digest_whoever_gives_it() {
    let mut town = lavish();
    observe_meanwhile(&mut town, Visibility::Private);
    assert_eq!(came(&mut town), [1, 0, 0, 1], "the one for everybody is the first of two in one page");
    let bob = town.id(BOB);
    assert_eq!(town.withheld(ALICE, bob), [4]);
}

#[test]
fn what_an_agreement_lets_cross_comes_at_once_or_is_revealed() {
    let mut town = lavish();
    let id = agree(&mut town);
    drop(town.did(ALICE));
    observe(&mut town, Visibility::Parties(id));
    assert_eq!(came(&mut town), [0, 1, 1, 1], "notices carry what is for everybody alone");
    observe_meanwhile(&mut town, Visibility::Parties(id));
    assert_eq!(came(&mut town), [1, 0, 0, 2]);
    let bob = town.id(BOB);
    assert_eq!(town.withheld(ALICE, bob), [0; 0]);
}

#[test]
fn what_no_agreement_lets_cross_any_more_is_kept_as_a_digest() {
    let mut town = lavish();
    let id = agree(&mut town);
    // She withdraws, and bob has not heard of it when he speaks.
    town.disconnect(ALICE, BOB);
    say(&mut town, ALICE, id, true);
    observe_meanwhile(&mut town, Visibility::Parties(id));
    let bob = town.id(BOB);
    assert_eq!(town.withheld(ALICE, bob), [5]);
    assert_eq!(came(&mut town)[2..], [0, 1]);
}
