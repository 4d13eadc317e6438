//! What governs an action besides profiles: each rule kept and violated, properties that hold for every case, and stages
//! and overrides that a bundle proves again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

#[allow(dead_code, reason = "shared with the tests of verdicts")]
mod cases;
#[allow(dead_code, reason = "shared with the tests that mutate bytes")]
mod mutation;

use std::collections::BTreeMap;

use counterfoil_protocol::actuation::governance::{Cleared, Declared, Governance};
use counterfoil_protocol::actuation::overriding::{Override, OverrideBudget, Overriding};
use counterfoil_protocol::actuation::{ActionClass, HarmOrdering, Mode, Request, Reversibility};
use counterfoil_protocol::admissibility::verdict::{Outcome, RequirementState};
use counterfoil_protocol::admissibility::{
    Case, Composition, DeclaredProfile, Evidence, Finding, FindingKind, Freshness, Profile, ReceiptStanding,
    RecognitionStanding, Relation, Silence, Verdict, evaluate,
};
use counterfoil_protocol::identity::{AuthorityKind, Standing};
use counterfoil_protocol::ids::{AuthorityId, OrganisationId, Position, StatementId, Timestamp};
use counterfoil_protocol::mesh::Recognition;
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::test_support::observation;
use proptest::collection::vec;
use proptest::prelude::*;

use cases::{BYTES, Dice};

const PROFILE: &str = r#"
    id = "safety"
    version = 1
    title = "Safety"
    family = "safety"
    jurisdictions = ["EU"]
    actions = ["*"]
    vetoes = ["recall"]
    rule = "evaluation"
    limits = [{ unless = "paediatric", dimension = "population", allow = ["adults"] }]
    [requirements.evaluation]
    claims = ["evaluation/*"]
    [requirements.paediatric]
    claims = ["paediatric/*"]
    [degraded]
    population = ["adults"]
    traffic = ["1 %", "10 %"]
"#;

const ROLL_OUT: &str = r#"
    action = "update/*"
    reversibility = "reversible"
    harm = ["delay"]
    stages = { dimension = "traffic", steps = [["1 %"], ["10 %"], ["100 %"]] }
"#;

const TREAT: &str = r#"
    action = "treat"
    reversibility = "irreversible"
    point-of-no-return = { what = "the dose is given", after-s = 30 }
    harm = ["injury"]
"#;

const EU: &str = r#"
    jurisdiction = "EU"
    order = ["inconvenience", "delay", "injury"]
    refuse-missing-from = "injury"
    human-role-from = "delay"
"#;

fn id(n: u8) -> StatementId {
    StatementId::from_bytes([n; 32])
}

fn declared<T>(n: u8, says: T) -> Declared<T> {
    Declared { statement: id(n), organisation: OrganisationId::from_bytes([1; 32]), says }
}

fn class(n: u8, toml: &str) -> Declared<ActionClass> {
    declared(n, ActionClass::from_toml(toml).unwrap())
}

fn ordering(n: u8) -> Declared<HarmOrdering> {
    declared(n, HarmOrdering::from_toml(EU).unwrap())
}

fn evidence(n: u8, claim: &str) -> Evidence {
    let mut says = observation(claim, 1);
    says.effective = Timestamp(1000);
    Evidence {
        statement: id(n),
        organisation: OrganisationId::from_bytes([n; 32]),
        position: Position(3),
        authority: AuthorityId::from_bytes([n; 32]),
        kind: AuthorityKind::HumanRole,
        role: "assessor".into(),
        depth: 0,
        standing: Standing::InForce,
        observation: says,
        relation: Relation::Itself,
        receipt: ReceiptStanding::Receipted,
        recognition: RecognitionStanding::Own,
        parent: None,
        freshness: Freshness::Fresh,
        crossing: Default::default(),
    }
}

/// Everything is there, and all of it fresh.
fn case(action: &str, reversibility: Reversibility, scopes: &[(&str, &[&str])]) -> Case {
    let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let profile = Profile::from_toml(PROFILE).unwrap();
    Case {
        request: Request {
            action: action.into(),
            subjects: vec![Subject::Named("model".into())],
            actuator: "gateway".into(),
            scopes: scopes.iter().map(|(d, values)| ((*d).to_owned(), texts(values))).collect(),
            predicted: BTreeMap::new(),
            reversibility,
            harm: Vec::new(),
            purpose: String::new(),
        },
        time: Timestamp(2000),
        profiles: vec![DeclaredProfile { declared_by: id(200), profile }],
        composition: Composition::Intersection,
        evidence: vec![evidence(1, "evaluation/x"), evidence(2, "paediatric/x")],
        findings: Vec::new(),
        unheard: Default::default(),
        governance: Governance::default(),
    }
}

const POPULATION: &[(&str, &[&str])] = &[("population", &["adults", "children"])];
const TRAFFIC: &[(&str, &[&str])] = &[("traffic", &["1 %", "10 %", "100 %"])];

fn stale(case: &mut Case) {
    case.evidence[0].freshness = Freshness::Stale { age_s: 9999 };
}

fn verdict(case: &Case) -> Verdict {
    evaluate(case).unwrap()
}

fn granted(verdict: &Verdict, dimension: &str) -> Vec<String> {
    verdict.scopes.get(dimension).cloned().unwrap_or_default()
}

fn says(verdict: &Verdict, code: &str) -> bool {
    verdict.reasons.iter().any(|reason| reason.code == code)
}

#[test]
fn what_nothing_governs_is_as_the_profiles_say() {
    let verdict = verdict(&case("deploy", Reversibility::Reversible, POPULATION));
    assert_eq!((verdict.mode, verdict.governed.is_none()), (Mode::Continue, true));
    assert_eq!(granted(&verdict, "population"), ["adults", "children"]);
}

#[test]
fn the_declared_class_counts_and_a_request_may_only_be_stricter() {
    let mut asked = case("treat", Reversibility::Reversible, POPULATION);
    asked.governance.classes = vec![class(50, TREAT)];
    let laxer = verdict(&asked);
    assert_eq!(laxer.mode, Mode::Continue);
    assert!(says(&laxer, "action-class"));
    let governed = laxer.governed.unwrap();
    assert_eq!((governed.reversibility, governed.classes), (Reversibility::Irreversible, vec![id(50)]));
    assert_eq!(governed.harm, ["injury"]);

    asked.governance.classes = vec![class(51, ROLL_OUT)];
    asked.request.action = "update/x".into();
    asked.request.reversibility = Reversibility::Irreversible;
    asked.request.scopes = [("traffic".to_owned(), vec!["1 %".to_owned()])].into();
    let stricter = verdict(&asked);
    assert_eq!(stricter.governed.as_ref().unwrap().reversibility, Reversibility::Irreversible);
    assert!(!says(&stricter, "action-class"));
}

#[test]
fn grave_harm_turns_a_deferral_into_a_refusal() {
    let mut asked = case("treat", Reversibility::Irreversible, POPULATION);
    asked.governance.classes = vec![class(50, TREAT)];
    stale(&mut asked);
    assert_eq!(verdict(&asked).mode, Mode::Defer);
    asked.governance.orderings = vec![ordering(60)];
    let refused = verdict(&asked);
    assert_eq!(refused.mode, Mode::Refuse);
    assert!(says(&refused, "harm") && !refused.missing.is_empty());
    let ruling = &refused.governed.unwrap().orderings[0];
    assert_eq!((ruling.declared_by, ruling.gravity, ruling.of), (id(60), 3, 3));

    // Less grave: deferred. Of another jurisdiction: not asked.
    asked.governance.classes = vec![class(50, &TREAT.replace("injury", "delay"))];
    assert_eq!(verdict(&asked).mode, Mode::Defer);
    asked.governance.classes = vec![class(50, TREAT)];
    asked.governance.orderings[0].says.jurisdiction = "CH".into();
    assert_eq!(verdict(&asked).mode, Mode::Defer);
    asked.governance.jurisdictions = ["CH".to_owned()].into();
    assert_eq!(verdict(&asked).mode, Mode::Refuse);
    // Nobody has classified it: as grave as can be, whatever the request says.
    asked.governance.classes.clear();
    asked.request.harm = vec!["inconvenience".into()];
    assert_eq!(verdict(&asked).mode, Mode::Refuse);
}

#[test]
fn from_some_harm_on_a_person_has_to_be_among_the_authorities() {
    let mut asked = case("treat", Reversibility::Irreversible, POPULATION);
    asked.governance.classes = vec![class(50, TREAT)];
    asked.governance.orderings = vec![ordering(60)];
    assert_eq!(verdict(&asked).mode, Mode::Continue);
    asked.evidence.iter_mut().for_each(|item| item.kind = AuthorityKind::Service);
    let deferred = verdict(&asked);
    assert_eq!(deferred.mode, Mode::Defer);
    assert!(says(&deferred, "human-role") && deferred.necessary.is_empty() && deferred.sufficient.is_empty());
    assert!(granted(&deferred, "population").is_empty());
    // One of them is enough, but its evidence has to be accepted.
    asked.evidence[1].kind = AuthorityKind::HumanRole;
    assert_eq!(verdict(&asked).mode, Mode::Continue);
    asked.evidence[1].standing = Standing::Revoked;
    assert_eq!(verdict(&asked).mode, Mode::Defer);
}

#[test]
fn a_declared_class_makes_an_action_irreversible_and_then_nothing_unknown_is_acted_around() {
    let mut asked = case("treat", Reversibility::Reversible, POPULATION);
    asked.evidence[1].freshness = Freshness::Stale { age_s: 9999 };
    let partial = verdict(&asked);
    assert_eq!((partial.mode, granted(&partial, "population")), (Mode::Partial, vec!["adults".to_owned()]));
    asked.governance.classes = vec![class(50, TREAT)];
    let deferred = verdict(&asked);
    assert_eq!(deferred.mode, Mode::Defer);
    assert_eq!(deferred.missing[0][0].requirement, "paediatric");
    assert!(deferred.missing[0][0].way_out.contains("paediatric/*"));
}

#[test]
fn a_declared_part_goes_ahead_while_evidence_is_only_unknown() {
    let mut asked = case("deploy", Reversibility::Reversible, POPULATION);
    stale(&mut asked);
    let partial = verdict(&asked);
    assert_eq!((partial.mode, granted(&partial, "population")), (Mode::Partial, vec!["adults".to_owned()]));
    assert!(partial.governed.as_ref().unwrap().degraded && says(&partial, "degraded"));
    assert_eq!(partial.profiles[0].outcome, Outcome::Unknown);
    assert!(!partial.missing.is_empty() && partial.necessary.is_empty());

    // Not where it cannot be undone, nor where something is not there at all, nor where the profile declares nothing.
    for reversibility in [Reversibility::Compensable, Reversibility::Irreversible] {
        asked.request.reversibility = reversibility;
        assert_eq!(verdict(&asked).mode, Mode::Defer);
    }
    asked.request.reversibility = Reversibility::Reversible;
    let unknown = asked.evidence.remove(0);
    assert_eq!(verdict(&asked).mode, Mode::Defer);
    asked.evidence.push(unknown);
    asked.request.scopes.insert("site".into(), vec!["north".into()]);
    let undeclared = verdict(&asked);
    assert_eq!(undeclared.mode, Mode::Defer);
    assert!(says(&undeclared, "nothing-left"));
    asked.request.scopes.clear();
    assert_eq!(verdict(&asked).mode, Mode::Defer);
    asked.request.scopes = [("population".to_owned(), vec!["adults".to_owned()])].into();
    assert_eq!(verdict(&asked).mode, Mode::Partial);
    asked.profiles[0].profile.degraded.clear();
    assert_eq!(verdict(&asked).mode, Mode::Defer);
}

#[test]
fn who_cannot_be_heard_leaves_a_requirement_unknown_and_lets_nothing_go_ahead() {
    let named = OrganisationId::from_bytes([7; 32]);
    let mut asked = case("deploy", Reversibility::Reversible, POPULATION);
    asked.evidence.remove(0);
    requirement_of(&mut asked).organisations = vec![named];
    let state = |asked: &Case| {
        let verdict = verdict(asked);
        let found = verdict.profiles[0].requirements["evaluation"].clone();
        let way_out = verdict.missing[0][0].way_out.clone();
        (verdict.mode, verdict.profiles[0].outcome, found.state, found.unheard.len(), way_out)
    };
    // Heard, and it said nothing: unmet.
    let about = "an observation of evaluation/* about name:model";
    let unmet = (Mode::Defer, Outcome::Unmet, RequirementState::Unmet, 0, about.to_owned());
    assert_eq!(state(&asked), unmet);
    // Another one that cannot be heard changes nothing.
    asked.unheard = [(OrganisationId::from_bytes([8; 32]), Silence::default())].into();
    assert_eq!(state(&asked), unmet);
    // It cannot be heard itself: unknown. But no part goes ahead without evidence that was ever there.
    for (since, when) in
        [(None, "and was not heard of so far"), (Some(Timestamp(900)), "last confirmed at 900")]
    {
        let way_out = format!("{about}; {named} may have it, {when}");
        asked.unheard = [(named, Silence { since, recognitions: Vec::new() })].into();
        assert_eq!(state(&asked), (Mode::Defer, Outcome::Unknown, RequirementState::Unknown, 1, way_out));
    }
    // Of two that are asked for one is heard of, and it is not the one that could add the second.
    requirement_of(&mut asked).distinct = 2;
    assert_eq!(state(&asked).2, RequirementState::Unmet);
    requirement_of(&mut asked).organisations.push(OrganisationId::from_bytes([1; 32]));
    asked.evidence.push(evidence(1, "evaluation/x"));
    assert_eq!(state(&asked).2, RequirementState::Unknown);
    asked.unheard.clear();
    assert_eq!(state(&asked).2, RequirementState::Unmet);
}

/// A requirement that names nobody waits for those whom the decider recognises for what it asks, and for no others.
#[test]
fn what_only_somebody_recognised_and_unheard_may_show_is_unknown() {
    let silent = OrganisationId::from_bytes([7; 32]);
    let mut asked = case("deploy", Reversibility::Reversible, POPULATION);
    asked.evidence.remove(0);
    requirement_of(&mut asked).roles = vec!["assessor".into()];
    let mut state = |recognitions: Vec<Recognition>| {
        asked.unheard = [(silent, Silence { since: None, recognitions })].into();
        let verdict = verdict(&asked);
        assert_eq!(verdict.mode, Mode::Defer);
        let found = &verdict.profiles[0].requirements["evaluation"];
        assert_eq!(found.unheard.len(), usize::from(found.state == RequirementState::Unknown));
        found.state
    };
    let of = |claims: &str| Recognition::of(silent, vec![claims.into()]);
    let roles = |role: &str| Recognition { roles: vec![role.into()], ..of("evaluation/*") };
    let back = |one: Recognition| Recognition { withdrawn: true, ..one };
    let named =
        |map: [(&str, &str); 1]| map.map(|(foreign, own)| (foreign.to_owned(), own.to_owned())).into();
    let read = |role, claim| Recognition { role_map: named([role]), claim_map: named([claim]), ..of("x") };
    let (unmet, unknown) = (RequirementState::Unmet, RequirementState::Unknown);
    for (recognitions, expected) in [
        (vec![], unmet),
        (vec![of("*")], unknown),
        (vec![of("evaluation/bias")], unknown),
        (vec![of("audit/*")], unmet),
        (vec![roles("assess*")], unknown),
        (vec![roles("steward")], unmet),
        // Taken back, in whole, in part, or for others.
        (vec![of("evaluation/*"), back(of("*"))], unmet),
        (vec![of("*"), back(of("evaluation/*"))], unmet),
        (vec![of("*"), back(of("evaluation/bias"))], unknown),
        (vec![of("*"), back(roles("assess*"))], unmet),
        (vec![of("*"), back(roles("steward"))], unknown),
        (vec![back(of("*")), of("*")], unknown),
        // In its own terms; and a term that is now read as another one.
        (vec![read(("prüfer", "assessor"), ("pruefung/a", "evaluation/a"))], unknown),
        (vec![read(("prüfer", "steward"), ("pruefung/a", "evaluation/a"))], unmet),
        (vec![read(("prüfer", "assessor"), ("pruefung/a", "audit/a"))], unmet),
        (vec![Recognition { role_map: named([("assessor", "steward")]), ..roles("assessor") }], unmet),
        (
            vec![roles("assessor"), Recognition { role_map: named([("assessor", "steward")]), ..of("*") }],
            unmet,
        ),
    ] {
        assert_eq!(state(recognitions.clone()), expected, "{recognitions:?}");
    }
}

fn requirement_of(case: &mut Case) -> &mut counterfoil_protocol::admissibility::Requirement {
    case.profiles[0].profile.requirements.get_mut("evaluation").unwrap()
}

#[test]
fn an_action_goes_through_its_stages_one_by_one() {
    let mut asked = case("update/x", Reversibility::Reversible, TRAFFIC);
    asked.governance.classes = vec![class(50, ROLL_OUT)];
    let mut at = |cleared: Option<(u8, u32)>| {
        asked.governance.cleared = cleared.map(|(class, stages)| Cleared { class: id(class), stages });
        let verdict = verdict(&asked);
        let stage = verdict.governed.clone().unwrap().stage.unwrap();
        (verdict.mode, granted(&verdict, "traffic").join(" and "), stage.cleared)
    };
    assert_eq!(at(None), (Mode::Partial, "1 %".into(), 0));
    assert_eq!(at(Some((50, 1))), (Mode::Partial, "10 %".into(), 1));
    assert_eq!(at(Some((50, 2))), (Mode::Partial, "100 %".into(), 2));
    assert_eq!(at(Some((50, 3))), (Mode::Continue, "1 % and 10 % and 100 %".into(), 3));
    // Stages of another declaration do not count.
    assert_eq!(at(Some((51, 2))), (Mode::Partial, "1 %".into(), 0));

    // What was not requested is not granted.
    asked.governance.cleared = None;
    asked.request.scopes = [("traffic".to_owned(), vec!["100 %".to_owned()])].into();
    let skipping = verdict(&asked);
    assert_eq!(skipping.mode, Mode::Defer);
    assert!(says(&skipping, "stage"));
    asked.request.scopes.clear();
    assert_eq!(verdict(&asked).mode, Mode::Defer);
    // Both: what evidence is unknown for, and the stage.
    asked.request.scopes = [("traffic".to_owned(), vec!["1 %".to_owned(), "10 %".to_owned()])].into();
    stale(&mut asked);
    let both = verdict(&asked);
    assert_eq!((both.mode, granted(&both, "traffic").join(" ")), (Mode::Partial, "1 %".into()));
}

fn overriding(case: &Case) -> Overriding {
    Overriding {
        statement: id(90),
        authority: AuthorityId::from_bytes([91; 32]),
        says: Override::of(&case.request, "mass casualty"),
        issued_at: Timestamp(1990),
        budget: Some(OverrideBudget { count: 3, window_s: 86_400 }),
        used: 2,
    }
}

#[test]
fn an_override_stands_for_what_the_profiles_let_it_pass() {
    let mut asked = case("deploy", Reversibility::Compensable, POPULATION);
    stale(&mut asked);
    asked.governance.overriding = Some(overriding(&asked));
    let passed = verdict(&asked);
    assert_eq!((passed.mode, passed.withheld.is_empty()), (Mode::Continue, true));
    assert!(says(&passed, "override") && !passed.missing.is_empty());
    let ruling = passed.governed.unwrap().overridden.unwrap();
    assert_eq!((ruling.statement, ruling.instead_of, ruling.left), (id(90), Mode::Defer, 1));

    let refused = |asked: &Case, code: &str| {
        let verdict = verdict(asked);
        assert!(says(&verdict, code), "{code}: {:?}", verdict.reasons);
        assert!(verdict.governed.is_none_or(|governed| governed.overridden.is_none()));
        verdict.mode
    };
    let mut spent = asked.clone();
    spent.governance.overriding.as_mut().unwrap().used = 4;
    assert_eq!(refused(&spent, "override-budget"), Mode::Defer);
    let mut other = asked.clone();
    other.request.purpose = "another".into();
    assert_eq!(refused(&other, "override-request"), Mode::Defer);
    let mut irreversible = asked.clone();
    irreversible.governance.classes = vec![class(50, &TREAT.replace("treat", "deploy"))];
    assert_eq!(refused(&irreversible, "override-irreversible"), Mode::Defer);
    let mut vetoed = asked.clone();
    vetoed.findings = vec![Finding {
        kind: FindingKind::Recall,
        organisation: OrganisationId::from_bytes([1; 32]),
        statement: Some(id(70)),
        evidence: vec![id(1)],
        subjects: Vec::new(),
        reason: "flawed".into(),
    }];
    assert_eq!(refused(&vetoed, "override-veto"), Mode::Refuse);
    let policy = vetoed.profiles[0].profile.overrides.insert(Default::default());
    policy.vetoes = [FindingKind::Recall].into();
    assert_eq!(verdict(&vetoed).mode, Mode::Continue);
    let mut forbidden = asked.clone();
    forbidden.profiles[0].profile.overrides.insert(Default::default()).forbidden = vec!["deploy".into()];
    assert_eq!(refused(&forbidden, "override-forbidden"), Mode::Defer);
    let mut needless = asked;
    needless.evidence[0].freshness = Freshness::Fresh;
    assert_eq!(refused(&needless, "override-needless"), Mode::Continue);
}

/// A case with anything that may govern it.
fn governed(bytes: &[u8], more: &[u8]) -> Case {
    let mut case = cases::case(&mut Dice::new(bytes));
    let mut dice = Dice::new(more);
    let toml = |reversibility: &str, end: &str, rest: &str| {
        format!("action = \"deploy/*\"\nreversibility = \"{reversibility}\"\n{end}{rest}")
    };
    let end = "point-of-no-return = { what = \"it is done\" }\n";
    let stages = "stages = { dimension = \"region\", steps = [[\"north\"], [\"south\", \"west\"]] }";
    let classes = [
        toml("reversible", "", ""),
        toml("reversible", "", stages),
        toml("irreversible", end, "harm = [\"injury\"]"),
        toml("irreversible", end, stages),
    ];
    for n in 0..dice.below(3) {
        case.governance.classes.push(class(100 + n as u8, &dice.pick(&classes)));
    }
    if dice.once_in(2) {
        case.governance.jurisdictions = ["EU".to_owned()].into();
        case.governance.orderings.push(ordering(120));
    }
    let stages = dice.below(4) as u32;
    case.governance.cleared = dice.once_in(2).then(|| Cleared { class: id(100), stages });
    for declared in &mut case.profiles {
        if dice.once_in(2) {
            declared.profile.degraded = [("region".to_owned(), vec!["north".to_owned()])].into();
        }
    }
    case
}

proptest! {
    #![proptest_config(mutation::cases(3000))]

    #[test]
    fn governance_widens_nothing(bytes in vec(any::<u8>(), BYTES), more in vec(any::<u8>(), 40)) {
        let case = governed(&bytes, &more);
        let Ok(found) = evaluate(&case) else { return Ok(()) };
        // What is granted was requested, and what was requested is granted or withheld.
        for (dimension, requested) in &case.request.scopes {
            let mut both = granted(&found, dimension);
            prop_assert!(both.iter().all(|value| requested.contains(value)));
            both.extend(found.withheld.get(dimension).cloned().unwrap_or_default());
            both.sort();
            prop_assert_eq!(&both, requested);
        }
        prop_assert!(found.scopes.keys().all(|dimension| case.request.scopes.contains_key(dimension)));
        let proceeds = matches!(found.mode, Mode::Continue | Mode::Partial);
        prop_assert_eq!(found.scopes.values().any(|values| !values.is_empty()), proceeds);

        // Irreversible: nothing is done for want of information, not even in part.
        let reversibility = case.governance.reversibility(&case.request);
        let mut plain = case.clone();
        plain.governance = Governance::default();
        plain.request.reversibility = reversibility;
        plain.profiles.iter_mut().for_each(|declared| declared.profile.degraded.clear());
        let by_profiles = evaluate(&plain).unwrap();
        let is_admitted = matches!(by_profiles.mode, Mode::Continue | Mode::Partial);
        if reversibility == Reversibility::Irreversible && !is_admitted {
            prop_assert!(!proceeds, "{:?}", found.reasons);
        }
        // Unknown never improves: without degradation, what governs makes a verdict stricter.
        let mut undegraded = case.clone();
        undegraded.profiles.iter_mut().for_each(|declared| declared.profile.degraded.clear());
        let undegraded = evaluate(&undegraded).unwrap();
        prop_assert!(undegraded.mode >= by_profiles.mode, "{:?} {:?}", undegraded.mode, by_profiles.mode);
        if found.mode < undegraded.mode {
            let ruling = found.governed.as_ref().unwrap();
            prop_assert!(ruling.degraded && found.mode == Mode::Partial);
            prop_assert_eq!(ruling.reversibility, Reversibility::Reversible);
            prop_assert_eq!(granted(&found, "region"), ["north"]);
        }

        // No stage is skipped.
        if let Some(stage) = found.governed.as_ref().and_then(|governed| governed.stage.as_ref()) {
            let known = case.governance.cleared.filter(|cleared| cleared.class == stage.class);
            prop_assert_eq!(stage.cleared, known.map_or(0, |cleared| cleared.stages).min(stage.of));
            if let (true, Some((current, _))) = (proceeds, stage.current()) {
                let allowed = if current == 1 { ["north"].as_slice() } else { &["south", "west"] };
                prop_assert!(granted(&found, "region").iter().all(|value| allowed.contains(&value.as_str())));
            }
        }
    }

    #[test]
    fn the_order_of_declarations_changes_no_byte(bytes in vec(any::<u8>(), BYTES), more in vec(any::<u8>(), 40)) {
        let case = governed(&bytes, &more);
        let mut turned = case.clone();
        turned.governance.classes.reverse();
        turned.governance.orderings.reverse();
        turned.profiles.reverse();
        let bytes = |case: &Case| evaluate(case).map(|verdict| verdict.to_bytes().unwrap());
        prop_assert_eq!(bytes(&turned), bytes(&case));
    }
}
