//! Looking for statements that are not here, told as stories of alice, bob and carol: who is asked, what is fetched for it,
//! what is said of what does not come, and that nobody is believed. Where effects are compared, all of them are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "the town has more than these stories need")]
mod town;

use std::collections::BTreeSet;

use counterfoil_federation::effect::{ChannelId, Effect, GatherId};
use counterfoil_federation::message::{Request, Response, Whereabout};
use counterfoil_federation::whereabouts::{Located, LocatedAnswer};
use counterfoil_federation::{Config, Input};
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId};
use counterfoil_protocol::statement::{Draft, Kind, Visibility};
use counterfoil_protocol::test_support::{draft, observation};
use town::{ALICE, BOB, CAROL, Town};

/// Three who hear of nothing by themselves, from now on: gossip is lost, and heads are compared once a day.
fn three() -> Town {
    let config = Config { anti_entropy_ms: 86_400_000, ..Config::default() };
    let mut town = Town::new(3, 3, config, |_| {});
    town.deaf = true;
    town
}

fn observe(town: &mut Town, host: usize, visibility: Visibility) -> StatementId {
    let organisation = &town.hosts[host].organisation;
    let said = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", 1));
    let statement = Draft { visibility, ..said }.sign(&organisation.authority_key).unwrap();
    let id = statement.statement().id();
    town.append(host, statement);
    drop(town.did(host));
    id
}

fn look_for(town: &mut Town, ids: &[StatementId]) -> Vec<String> {
    drop(town.did(ALICE));
    let statements = ids.iter().copied().collect();
    town.give(ALICE, Input::Locate { gather: GatherId(1), statements, wait_ms: 2_000 });
    town.did(ALICE)
}

/// What came of it at one member.
fn answer(town: &Town, of: OrganisationId) -> LocatedAnswer {
    let answers = town.located.last().unwrap();
    answers.iter().find(|one| one.organisation == of).unwrap().answer.clone()
}

fn place(town: &Town, statement: StatementId, position: u64, open: bool) -> Whereabout {
    Whereabout { statement, organisation: town.id(CAROL), position: Position(position), open }
}

#[test]
fn what_its_author_has_is_named_fetched_with_its_chain_and_on_disk_before_anybody_is_told() {
    let mut town = three();
    let id = observe(&mut town, CAROL, Visibility::Mesh);
    let did = look_for(&mut town, &[id]);
    assert_eq!(
        did,
        [
            "ask whereabouts of 1",
            "ask whereabouts of 1",
            "ask latest 3 from 3",
            "write observation, head 3, tree, 1 cosignatures",
            "accepted observation",
            "ask cosigned 4",
            "located",
        ],
        "{did:#?}"
    );
    assert_eq!(answer(&town, town.id(BOB)), LocatedAnswer::Has(Vec::new()));
    assert_eq!(answer(&town, town.id(CAROL)), LocatedAnswer::Has(vec![place(&town, id, 3, true)]));
    assert_eq!(town.did(BOB), ["locate"]);
    // What is here already is named again, and nothing is fetched.
    assert_eq!(look_for(&mut town, &[id]), ["ask whereabouts of 1", "ask whereabouts of 1", "located"]);
}

#[test]
fn what_its_author_cannot_be_asked_for_is_had_from_somebody_else() {
    let mut town = three();
    let id = observe(&mut town, CAROL, Visibility::Mesh);
    let notice = town.notice(CAROL);
    town.tell(BOB, CAROL, &notice);
    town.disconnect(ALICE, CAROL);
    let did = look_for(&mut town, &[id]);
    assert!(did.contains(&"reach".to_owned()), "she is dialled: {did:#?}");
    assert_eq!(did.iter().filter(|did| did.starts_with("write observation")).count(), 1, "{did:#?}");
    assert_eq!(did.iter().filter(|did| *did == "ask whereabouts of 1").count(), 1, "{did:#?}");
    assert!(!did.contains(&"located".to_owned()), "she may still come: {did:#?}");
    town.give(ALICE, Input::Unreached(town.key(CAROL)));
    assert_eq!(town.did(ALICE), ["located"]);
    assert!(matches!(answer(&town, town.id(CAROL)), LocatedAnswer::Unreachable { since: Some(_) }));
    assert_eq!(answer(&town, town.id(BOB)), LocatedAnswer::Has(vec![place(&town, id, 3, true)]));
}

#[test]
fn of_what_may_not_be_read_the_place_is_named_and_its_digest_comes() {
    let mut town = three();
    let id = observe(&mut town, CAROL, Visibility::Private);
    let did = look_for(&mut town, &[id]);
    assert!(did.iter().any(|did| did.starts_with("write withheld")), "{did:#?}");
    assert_eq!(answer(&town, town.id(CAROL)), LocatedAnswer::Has(vec![place(&town, id, 3, false)]));
}

#[test]
fn who_is_away_is_named_and_a_pause_is_kept() {
    let mut town = three();
    let id = observe(&mut town, CAROL, Visibility::Mesh);
    town.disconnect(ALICE, BOB);
    town.give(ALICE, Input::Pause { organisation: town.id(CAROL), paused: true });
    // Bob is dialled; carol, who is not listened to, is no reason to wait for him.
    assert_eq!(look_for(&mut town, &[id]), ["reach"]);
    town.give(ALICE, Input::Unreached(town.key(BOB)));
    assert_eq!(town.did(ALICE), ["located"]);
    for other in [BOB, CAROL] {
        assert!(matches!(answer(&town, town.id(other)), LocatedAnswer::Unreachable { since: Some(_) }));
    }
    // Somebody else who has it does not bring what exchange is paused with, either.
    town.connect(ALICE, BOB);
    let notice = town.notice(CAROL);
    town.tell(BOB, CAROL, &notice);
    let did = look_for(&mut town, &[id]);
    assert!(!did.iter().any(|did| did.starts_with("write")), "{did:#?}");
    assert_eq!(answer(&town, town.id(BOB)), LocatedAnswer::Has(vec![place(&town, id, 3, true)]));
}

/// Lets Alice look for a statement, and gives her an answer of Carol's node that somebody made up.
fn lied_to(town: &mut Town, statement: StatementId, response: Response) -> (Vec<Effect>, Vec<Effect>) {
    let carol = town.key(CAROL);
    let engine = &mut town.hosts[ALICE].engine;
    let statements = BTreeSet::from([statement]);
    engine.handle(town.now, Input::Locate { gather: GatherId(1), statements, wait_ms: 2_000 });
    let asked: Vec<Effect> = std::iter::from_fn(|| engine.poll_effect()).collect();
    let exchange = asked.iter().find_map(|effect| match effect {
        Effect::Send { peer, exchange, request: Request::Whereabouts { .. } } if *peer == carol => {
            Some(*exchange)
        }
        _ => None,
    });
    engine.handle(town.now, Input::Answered { exchange: exchange.unwrap(), response });
    let follows = std::iter::from_fn(|| engine.poll_effect()).collect();
    (asked, follows)
}

#[test]
fn nobody_is_believed_and_nobody_is_waited_for_longer_than_was_said() {
    let id = StatementId::from_bytes([1; 32]);
    // About what it was not asked for, or twice.
    let other = StatementId::from_bytes([2; 32]);
    for ids in [vec![other], vec![id, id]] {
        let mut town = three();
        let places = ids.into_iter().map(|id| place(&town, id, 7, true)).collect();
        let (_, follows) = lied_to(&mut town, id, Response::Whereabouts(places));
        let is_penalised = |effect: &Effect| format!("{effect:?}").contains("was not asked for");
        assert!(follows.iter().any(is_penalised), "{follows:?}");
    }
    // A place that there is not: its chain is asked for once, and the rest is the bound on waiting.
    let mut town = three();
    let places = vec![place(&town, id, u64::MAX - 1, true)];
    let (_, follows) = lied_to(&mut town, id, Response::Whereabouts(places));
    let asks = |effects: &[Effect]| {
        effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Send { request: Request::Latest { .. }, .. }))
            .count()
    };
    assert_eq!(asks(&follows), 1);
    let engine = &mut town.hosts[ALICE].engine;
    engine.handle(town.now.plus(1_999), Input::Wake);
    let early: Vec<Effect> = std::iter::from_fn(|| engine.poll_effect()).collect();
    assert!(!early.iter().any(|effect| matches!(effect, Effect::Located { .. })), "{early:?}");
    assert_eq!(asks(&early), 0);
    engine.handle(town.now.plus(2_000), Input::Wake);
    let ended: Vec<Effect> = std::iter::from_fn(|| engine.poll_effect()).collect();
    let located = ended.iter().find_map(|effect| match effect {
        Effect::Located { answers, .. } => Some(answers),
        _ => None,
    });
    let [bob, carol] = [BOB, CAROL].map(|host| {
        located.unwrap().iter().find(|Located { organisation, .. }| *organisation == town.id(host)).unwrap()
    });
    assert!(matches!(bob.answer, LocatedAnswer::Silent { since: Some(_) }), "{bob:?}");
    assert!(matches!(&carol.answer, LocatedAnswer::Has(places) if places.len() == 1), "{carol:?}");
}

#[test]
fn a_question_for_more_than_is_answered_is_refused() {
    let mut town = three();
    let most = town.config.about_max;
    let statements: Vec<StatementId> =
        (0..=most).map(|n| StatementId::from_bytes([u8::try_from(n % 251).unwrap(); 32])).collect();
    let peer = town.key(ALICE);
    let asked = |statements| Input::Asked {
        peer,
        channel: ChannelId(u64::MAX),
        request: Request::Whereabouts { statements },
    };
    town.give(CAROL, asked(statements.clone()));
    assert_eq!(town.did(CAROL), ["answer refused: that is too much"]);
    town.give(CAROL, asked(statements[1..].to_vec()));
    assert_eq!(town.did(CAROL), ["locate"]);
}
