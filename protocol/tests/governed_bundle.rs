//! Stages, overrides, permits and corrective actions as a bundle proves them again, and as an actuator meets them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_protocol::actuation::gate::{Seen, verify_permit};
use counterfoil_protocol::actuation::{CorrectiveAction, HarmOrdering, Mode, Nonconformity, Override};
use counterfoil_protocol::bundle::{Outcome, Report, Wanted, verify, write};
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::governed::{EU, World};
use counterfoil_protocol::test_support::mesh::{Mesh, NOW};
use counterfoil_protocol::test_support::observation;

fn outcomes(report: &Report, check: &str) -> Vec<Outcome> {
    report.checks.iter().filter(|one| one.check == check).map(|one| one.outcome).collect()
}

#[test]
fn a_staged_action_goes_on_after_each_effect_and_a_bundle_proves_each_step() {
    let mut world = World::new();
    let (first, mode, granted) = world.stage(&[], "3");
    assert_eq!((mode, granted.as_str()), (Mode::Partial, "1 %"));
    // Without the effect in its lineage, the next decision is at the first stage again.
    assert_eq!(world.would_decide(World::request(7), &first[..2]).1.scopes["traffic"], ["1 %"]);
    let (second, _, granted) = world.stage(&first, "99");
    assert_eq!(granted, "10 %");
    // It did not go as predicted, so the stage is done again.
    let (again, _, granted) = world.stage(&second, "20");
    assert_eq!(granted, "10 %");
    let (third, _, granted) = world.stage(&again, "0");
    assert_eq!(granted, "100 %");
    let (whole, mode, granted) = world.stage(&third, "0");
    assert_eq!((mode, granted.as_str()), (Mode::Continue, "1 % 10 % 100 %"));
    // Another subject begins at the beginning.
    world.chain.say(Kind::Observation, &observation("evaluation/x", 8));
    assert_eq!(world.would_decide(World::request(8), &whole).1.scopes["traffic"], ["1 %"]);

    let report = verify(&world.bundle(whole[2]));
    assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());
    assert_eq!(outcomes(&report, "decision"), [Outcome::Passed; 5]);
    assert_eq!(outcomes(&report, "permit"), [Outcome::Passed; 5]);
}

#[test]
fn a_permit_for_another_stage_than_was_decided_does_not_verify() {
    let mut world = World::new();
    let (decision, verdict) = world.decide(World::request(7), &[]);
    let permit = world.permit_for(decision, &verdict, Some((2, 3)));
    let report = verify(&world.bundle(permit));
    assert_eq!(outcomes(&report, "permit"), [Outcome::Failed]);
}

#[test]
fn the_harm_ordering_is_replayed_with_the_decision() {
    let mut world = World::new();
    world.chain.say(Kind::HarmOrdering, &HarmOrdering::from_toml(EU).unwrap());
    let (decision, verdict) = world.decide(World::request(9), &[]);
    assert_eq!(verdict.mode, Mode::Refuse);
    assert_eq!(verdict.governed.unwrap().orderings[0].gravity, 2);
    // Declared anew, it asks for less.
    let laxer = EU.replace("from = \"delay\"", "from = \"injury\"");
    world.chain.say(Kind::HarmOrdering, &HarmOrdering::from_toml(&laxer).unwrap());
    assert_eq!(world.would_decide(World::request(9), &[]).1.mode, Mode::Defer);
    let report = verify(&world.bundle(decision));
    assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());
}

#[test]
fn an_override_is_replayed_with_its_budget_and_waits_for_its_review() {
    let mut world = World::new();
    let key = world.officer();
    let request = World::request(9);
    assert_eq!(world.would_decide(request.clone(), &[]).1.mode, Mode::Defer);
    let first = world.overrides(&key, &request);
    let (decision, verdict) = world.decide(request.clone(), &[first]);
    assert_eq!((verdict.mode, verdict.withheld.is_empty()), (Mode::Continue, true));
    let overridden = verdict.governed.as_ref().unwrap().overridden.clone().unwrap();
    assert_eq!((overridden.statement, overridden.left), (first, 1));
    world.permit(decision, &verdict);
    let second = world.overrides(&key, &request);
    assert_eq!(world.would_decide(request.clone(), &[second]).1.mode, Mode::Continue);
    // The third is one too many, and what no authority with a budget signed is none.
    let third = world.overrides(&key, &request);
    let spent = world.would_decide(request.clone(), &[third]).1;
    assert_eq!((spent.mode, spent.reasons.last().unwrap().code.as_ref()), (Mode::Defer, "override-budget"));
    let steward = world.chain.say(Kind::Override, &Override::of(&request, "mass casualty"));
    let unbudgeted = world.would_decide(request.clone(), &[steward]).1;
    assert_eq!(unbudgeted.reasons.last().unwrap().code, "override-credential");

    let finding = "to be reviewed".into();
    let review = world.chain.say(Kind::Nonconformity, &Nonconformity { cause: decision, finding });
    let report = verify(&world.bundle(review));
    assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());
    assert_eq!(outcomes(&report, "override"), [Outcome::Passed]);
}

#[test]
fn an_override_without_a_review_is_open_and_one_used_twice_fails() {
    let mut world = World::new();
    let key = world.officer();
    let request = World::request(9);
    let act = world.overrides(&key, &request);
    let (decision, _) = world.decide(request.clone(), &[act]);
    let (again, _) = world.decide(request, &[act]);
    let mesh = |mut world: World| {
        world.chain.sign(world.seq);
        Mesh::of([world.chain])
    };
    let mesh = mesh(world);
    let report = verify(&write(&mesh, &Wanted::lineage(&[decision])).unwrap());
    assert_eq!((report.is_verified(), outcomes(&report, "override")), (true, vec![Outcome::NotProven]));
    let report = verify(&write(&mesh, &Wanted::lineage(&[decision, again])).unwrap());
    assert_eq!(outcomes(&report, "override"), [Outcome::NotProven, Outcome::Failed]);
}

#[test]
fn a_corrective_action_is_about_a_nonconformity() {
    let mut world = World::new();
    let (stage, ..) = world.stage(&[], "99");
    let raised = Nonconformity { cause: stage[2], finding: "1 predictions did not hold".into() };
    let nonconformity = world.chain.say(Kind::Nonconformity, &raised);
    let action = |about| CorrectiveAction {
        nonconformity: about,
        action: "retrain".into(),
        causes: vec![stage[2]],
        responsible: Some("officer".into()),
        due: None,
        closes: false,
        evidence: vec![],
    };
    world.chain.say(Kind::CorrectiveAction, &action(nonconformity));
    let wrong = world.chain.say(Kind::CorrectiveAction, &action(stage[1]));
    world.chain.sign(world.seq);
    let mesh = Mesh::of([world.chain]);
    // It follows from the effect, so it comes with it; and so does the one that is about no nonconformity.
    let report = verify(&write(&mesh, &Wanted::lineage(&[stage[2]])).unwrap());
    assert_eq!(outcomes(&report, "corrective-action"), [Outcome::Passed, Outcome::Failed]);
    let failed = report.failures().next().unwrap();
    assert_eq!((failed.check, failed.input.clone()), ("corrective-action", wrong.to_string()));
}

#[test]
fn an_actuator_accepts_a_permit_once_from_whom_it_trusts_and_for_itself() {
    let mut world = World::new();
    let giver = world.chain.organisation.id();
    let (decision, verdict) = world.decide(World::request(7), &[]);
    let permit = world.permit(decision, &verdict);
    let file = world.bundle(permit);
    let mut seen = Seen::default();
    let mut check = |file: &[u8], givers: &[_], actuator: &str, at: Timestamp| {
        verify_permit(file, givers, actuator, at, &mut seen).map_err(|refusal| refusal.check())
    };
    assert_eq!(check(&file, &[], "gateway", NOW), Err("trust"));
    assert_eq!(check(&file, &[giver], "other", NOW), Err("permit-actuator"));
    assert_eq!(check(&file, &[giver], "gateway", Timestamp(NOW.0 - 1)), Err("permit-early"));
    assert_eq!(check(&file, &[giver], "gateway", NOW.plus(61)), Err("permit-expired"));
    for at in (0..file.len()).step_by(97) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(check(&changed, &[giver], "gateway", NOW).is_err(), "byte {at}");
    }
    let granted = check(&file, &[giver], "gateway", NOW).unwrap();
    assert_eq!((granted.statement, granted.giver, granted.is_decision_checked), (permit, giver, true));
    assert_eq!(
        (granted.permit.stage, granted.permit.scopes["traffic"].join("")),
        (Some((1, 3)), "1 %".into())
    );
    assert_eq!(check(&file, &[giver], "gateway", NOW), Err("permit-used"));
}

#[test]
fn a_file_about_a_decision_is_no_permit() {
    let mut world = World::new();
    let giver = world.chain.organisation.id();
    let (decision, _) = world.decide(World::request(7), &[]);
    let file = world.bundle(decision);
    let refused = verify_permit(&file, &[giver], "gateway", NOW, &mut Seen::default()).unwrap_err();
    assert_eq!(refused.check(), "permit");
}
