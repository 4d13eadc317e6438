//! Evidence and profiles of other organisations: recognised, translated, taken back; profiles of several jurisdictions
//! and organisations composed.

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

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::{Mode, Request, Reversibility};
use counterfoil_protocol::admissibility::gather::{ChainView, GatherError, Inputs, decide};
use counterfoil_protocol::admissibility::verdict::{Considered, RequirementState};
use counterfoil_protocol::admissibility::{
    Activation, Composition, Decision, Inquiry, InquiryAnswer, Profile, Silence, SilenceRule, Verdict,
    evaluate,
};
use counterfoil_protocol::bundle::{Wanted, verify, write};
use counterfoil_protocol::ids::{StatementId, Timestamp};
use counterfoil_protocol::mesh::{Recognition, Term};
use counterfoil_protocol::observation::Observation;
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::mesh::{Chain, Mesh, NOW};
use counterfoil_protocol::test_support::observation;
use counterfoil_protocol::weighting::{Dimension, Ppm};
use proptest::collection::vec;
use proptest::prelude::*;

use cases::{BYTES, Dice};
use mutation::cases as config;

/// The foreign role of the test organisations' first authority is `steward`.
const PROFILE: &str = r#"
    id = "conformity"
    version = 1
    title = "Conformity"
    family = "regulatory"
    actions = ["deploy/*"]
    rule = "assessment"
    [requirements.assessment]
    claims = ["assessment/*"]
    roles = ["conformity-assessor"]
"#;

fn profile(id: &str, claim: &str) -> Profile {
    let toml = PROFILE.replace("conformity\"\n", &format!("{id}\"\n")).replace("assessment/*", claim);
    Profile::from_toml(&toml.replace("    roles = [\"conformity-assessor\"]\n", "")).unwrap()
}

/// Somebody who decides, and others whose evidence and profiles it may rely on.
struct Story {
    decider: Chain,
    others: Vec<Chain>,
    inquiries: Vec<Inquiry>,
    silence: SilenceRule,
}

impl Story {
    fn new(others: u64) -> Self {
        let others = (0..others).map(|n| Chain::new(2 + n)).collect();
        Self { decider: Chain::new(1), others, inquiries: Vec::new(), silence: SilenceRule::Recognised }
    }

    fn activate(&mut self, profiles: Vec<StatementId>, composition: Composition) {
        self.decider.say(Kind::Activation, &Activation { profiles, composition });
    }

    fn decide(&mut self) -> Result<(Decision, Verdict), GatherError> {
        let chains = self.others.iter_mut().chain([&mut self.decider]);
        chains.for_each(|chain| {
            chain.sign(chain.head.as_ref().map_or(0, |head| head.seq().0 + 1));
        });
        let all = || self.others.iter().chain([&self.decider]);
        let views = all().map(|chain| {
            let standing = chain.statements.iter().filter(|s| s.kind().is_standing()).collect();
            (chain.organisation.id(), ChainView { state: &chain.state, standing, basis: chain.basis() })
        });
        decide(&Inputs {
            decider: self.decider.organisation.id(),
            request: Request {
                action: "deploy/triage".into(),
                subjects: observation("a/b", 7).subjects,
                actuator: "gateway".into(),
                scopes: BTreeMap::new(),
                predicted: BTreeMap::new(),
                reversibility: Reversibility::Reversible,
                harm: Vec::new(),
                purpose: String::new(),
            },
            time: NOW,
            mesh: None,
            chains: views.collect(),
            inquiries: self.inquiries.clone(),
            silence: self.silence,
            evidence: all()
                .flat_map(|chain| &chain.statements)
                .filter(|s| s.kind() == Kind::Observation)
                .collect(),
            forked: BTreeSet::new(),
        })
    }

    fn mode(&mut self) -> Mode {
        self.decide().unwrap().1.mode
    }
}

fn mapped(story: &Story) -> Recognition {
    Recognition {
        role_map: BTreeMap::from([("steward".into(), "conformity-assessor".into())]),
        claim_map: BTreeMap::from([("bewertung/konformitaet".into(), "assessment/conformity".into())]),
        ..Recognition::of(story.others[0].organisation.id(), Vec::new())
    }
}

/// A conformity body that says it in its own language, and a profile that asks for it in the decider's.
fn translated() -> Story {
    let mut story = Story::new(1);
    story.others[0].say(Kind::Observation, &observation("bewertung/konformitaet", 7));
    let declared = story.decider.say(Kind::Profile, &Profile::from_toml(PROFILE).unwrap());
    story.activate(vec![declared], Composition::Intersection);
    story
}

fn considered(verdict: &Verdict) -> &[Considered] {
    &verdict.profiles[0].requirements["assessment"].considered
}

#[test]
fn foreign_roles_and_claims_are_read_as_own_ones_and_the_verdict_shows_it() {
    let mut story = translated();
    let (_, before) = story.decide().unwrap();
    assert_eq!(before.mode, Mode::Defer);
    assert!(considered(&before).is_empty(), "in nobody's own terms it is about conformity");

    let by = story.decider.say(Kind::Recognition, &mapped(&story));
    let (decision, verdict) = story.decide().unwrap();
    assert_eq!(verdict.mode, Mode::Continue);
    let translation = considered(&verdict)[0].translation.clone().unwrap();
    let term = |foreign: &str, own: &str| Some(Term { foreign: foreign.into(), own: own.into() });
    assert_eq!(translation.by, by);
    assert_eq!(translation.role, term("steward", "conformity-assessor"));
    assert_eq!(translation.claim, term("bewertung/konformitaet", "assessment/conformity"));

    // From a bundle alone it comes out the same, byte for byte.
    let decided = story.decider.say(Kind::Decision, &decision);
    story.decider.sign(9);
    let mesh = Mesh::of([story.others.remove(0), story.decider]);
    let report = verify(&write(&mesh, &Wanted::lineage(&[decided])).unwrap());
    assert_eq!(report.failures().count(), 0, "{:?}", report.failures().collect::<Vec<_>>());
    assert!(report.decisions[0].recomputed.as_ref() == Some(&report.decisions[0].verdict));
}

#[test]
fn the_latest_recognition_that_covers_it_decides_also_one_that_takes_back() {
    let mut story = translated();
    let other = story.others[0].organisation.id();
    story.decider.say(Kind::Recognition, &mapped(&story));
    let elsewhere = Recognition { withdrawn: true, ..Recognition::of(other, vec!["audit/*".into()]) };
    story.decider.say(Kind::Recognition, &elsewhere);
    assert_eq!(story.mode(), Mode::Continue, "what it takes back is something else");

    let withdrawn = Recognition { withdrawn: true, ..Recognition::of(other, vec!["*".into()]) };
    story.decider.say(Kind::Recognition, &withdrawn);
    assert_eq!(story.mode(), Mode::Defer);

    let capped = Recognition { authority_cap: Some(Ppm::new(300_000)), ..mapped(&story) };
    story.decider.say(Kind::Recognition, &capped);
    let (_, verdict) = story.decide().unwrap();
    let item = &considered(&verdict)[0];
    assert_eq!((verdict.mode, item.weighed.weight.authority.get()), (Mode::Continue, 300_000));
    let steps = item.weighed.derivation.steps();
    let step = steps.iter().find(|step| step.dimension == Dimension::Authority).unwrap();
    assert!(step.found.ends_with("conformity-assessor, 0 levels below the root, capped by its recognition"));
}

#[test]
fn a_translation_never_reaches_another_organisations_statements() {
    let mut story = translated();
    story.others.push(Chain::new(9));
    story.others[1].say(Kind::Observation, &observation("bewertung/konformitaet", 7));
    story.decider.say(Kind::Recognition, &mapped(&story));
    let (_, verdict) = story.decide().unwrap();
    assert_eq!(considered(&verdict).len(), 1);
    assert_eq!(considered(&verdict)[0].organisation, story.others[0].organisation.id());
}

/// Profiles of a regulator, a consortium and the decider itself, each asking for evidence of its own kind.
fn jurisdictions() -> (Story, [StatementId; 3]) {
    let mut story = Story::new(2);
    let eu = story.others[0].say(Kind::Profile, &profile("eu", "regulatory/*"));
    let us = story.others[1].say(Kind::Profile, &profile("us", "contract/*"));
    let own = story.decider.say(Kind::Profile, &profile("house", "clinical/*"));
    (story, [eu, us, own])
}

fn say(story: &mut Story, claim: &str) {
    let said: Observation = observation(claim, 7);
    story.decider.say(Kind::Observation, &said);
}

#[test]
fn profiles_of_other_organisations_are_in_force_by_reference_and_replay() {
    let (mut story, [eu, us, own]) = jurisdictions();
    story.activate(vec![eu, us, own], Composition::Intersection);
    say(&mut story, "regulatory/approval");
    say(&mut story, "contract/terms");
    let (_, verdict) = story.decide().unwrap();
    assert_eq!(verdict.mode, Mode::Defer);
    assert_eq!(verdict.missing.len(), 1);
    assert_eq!(verdict.missing[0][0].profile, "house");
    say(&mut story, "clinical/study");
    let (decision, verdict) = story.decide().unwrap();
    assert_eq!(verdict.mode, Mode::Continue);
    let declared: Vec<_> = verdict.profiles.iter().map(|profile| profile.declared_by).collect();
    assert_eq!(declared, [eu, own, us], "in the order of their names");

    let decided = story.decider.say(Kind::Decision, &decision);
    story.decider.sign(9);
    let mesh = Mesh::of(story.others.into_iter().chain([story.decider]));
    let report = verify(&write(&mesh, &Wanted::lineage(&[decided])).unwrap());
    assert_eq!(report.failures().count(), 0, "{:?}", report.failures().collect::<Vec<_>>());
    assert!(report.decisions[0].recomputed.as_ref() == Some(&report.decisions[0].verdict));
}

#[test]
fn jurisdictions_weighed_and_ranked() {
    let (mut story, [eu, us, own]) = jurisdictions();
    let weights = [("eu", 2), ("us", 1), ("house", 1)].map(|(id, weight)| (id.to_owned(), weight));
    story.activate(vec![eu, us, own], Composition::Weighted { weights: weights.into(), threshold: 3 });
    say(&mut story, "contract/terms");
    say(&mut story, "clinical/study");
    assert_eq!(story.mode(), Mode::Defer, "1 + 1 of the 3 needed");
    say(&mut story, "regulatory/approval");
    assert_eq!(story.mode(), Mode::Continue);

    let order = ["eu", "us", "house"].map(str::to_owned).to_vec();
    let (mut story, [eu, us, own]) = jurisdictions();
    story.activate(vec![eu, us, own], Composition::Hierarchical { order });
    say(&mut story, "contract/terms");
    say(&mut story, "clinical/study");
    assert_eq!(story.mode(), Mode::Defer, "what the first withholds the others do not give");
    say(&mut story, "regulatory/approval");
    assert_eq!(story.mode(), Mode::Continue);
}

/// A requirement that names a role alone waits for a body that is recognised for it and was asked in vain, and not for
/// others; a decision made before that was so is computed again as it was.
#[test]
fn who_is_recognised_and_silent_is_waited_for_and_a_bundle_replays_it() {
    let mut story = Story::new(0);
    let declared = story.decider.say(Kind::Profile, &Profile::from_toml(PROFILE).unwrap());
    story.activate(vec![declared], Composition::Intersection);
    let [body, stranger] = [50, 51].map(|n| Chain::new(n).organisation.id());
    let answer = InquiryAnswer::Silent { since: Some(Timestamp(900)) };
    let mut inquiries = [body, stranger].map(|organisation| Inquiry { organisation, answer });
    inquiries.sort();
    story.inquiries = inquiries.to_vec();
    let state = |verdict: &Verdict| {
        let found = &verdict.profiles[0].requirements["assessment"];
        let unheard: Vec<_> = found.unheard.iter().map(|one| one.organisation).collect();
        (verdict.mode, found.state, unheard)
    };
    let unmet = (Mode::Defer, RequirementState::Unmet, Vec::new());
    assert_eq!(state(&story.decide().unwrap().1), unmet);
    let other = Recognition::of(body, vec!["audit/*".into()]);
    story.decider.say(Kind::Recognition, &other);
    assert_eq!(state(&story.decide().unwrap().1), unmet);
    let role_map = BTreeMap::from([("prüfstelle".into(), "conformity-assessor".into())]);
    let recognition = Recognition { role_map, ..Recognition::of(body, vec!["assessment/*".into()]) };
    story.decider.say(Kind::Recognition, &recognition);
    let (now, verdict) = story.decide().unwrap();
    assert_eq!(state(&verdict), (Mode::Defer, RequirementState::Unknown, vec![body]));
    let may_have = format!("{body} may have it, last confirmed at 900");
    assert!(verdict.missing[0][0].way_out.contains(&may_have), "{:?}", verdict.missing);
    // It has answered, and what it named is here, or is not here yet.
    let answered = |missing| InquiryAnswer::Answered { named: 1, came: 1 - missing, missing };
    let mut heard = |answer| {
        story.inquiries = vec![Inquiry { organisation: body, answer }];
        state(&story.decide().unwrap().1)
    };
    assert_eq!(heard(answered(0)), unmet);
    assert_eq!(heard(InquiryAnswer::Refused), unmet);
    assert_eq!(heard(answered(1)).1, RequirementState::Unknown);
    story.silence = SilenceRule::Named;
    assert_eq!(state(&story.decide().unwrap().1), unmet);
    story.inquiries = inquiries.to_vec();
    let (formerly, verdict) = story.decide().unwrap();
    assert_eq!(state(&verdict), unmet);

    // The two differ in what they say of silence, so neither is the other's verdict.
    let swapped = Decision { silence: SilenceRule::Named, ..now.clone() };
    let said = [now, formerly, swapped].map(|decision| story.decider.say(Kind::Decision, &decision));
    story.decider.sign(9);
    let mesh = Mesh::of([story.decider]);
    let outcomes = said.map(|id| verify(&write(&mesh, &Wanted::lineage(&[id])).unwrap()).is_verified());
    assert_eq!(outcomes, [true, true, false]);
}

#[test]
fn an_activation_that_names_no_profile_decides_nothing() {
    let (mut story, [eu, ..]) = jurisdictions();
    let no_profile = story.others[0].statements[0].id();
    story.activate(vec![eu, no_profile], Composition::Intersection);
    assert_eq!(story.decide().unwrap_err(), GatherError::NoProfile(no_profile));
    // A profile of a chain that is not known is not there either.
    let elsewhere = Chain::new(40).say(Kind::Profile, &profile("far", "a/*"));
    story.activate(vec![eu, elsewhere], Composition::Intersection);
    assert_eq!(story.decide().unwrap_err(), GatherError::NoProfile(elsewhere));
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn silence_never_admits_and_never_makes_known(bytes in vec(any::<u8>(), BYTES)) {
        let mut case = cases::case(&mut Dice::new(&bytes));
        for declared in &mut case.profiles {
            declared.profile.degraded = BTreeMap::from([("region".into(), vec!["north".into()])]);
        }
        let Ok(with) = evaluate(&case) else { return Ok(()) };
        let heard = std::mem::take(&mut case.unheard);
        let Ok(without) = evaluate(&case) else { panic!("no verdict without silence") };
        let named = heard.iter().map(|(id, one)| (*id, Silence { since: one.since, recognitions: Vec::new() }));
        case.unheard = named.collect();
        let Ok(by_name) = evaluate(&case) else { panic!("no verdict") };
        for (less, more) in [(&without, &by_name), (&by_name, &with)] {
            prop_assert!(more.mode >= less.mode, "{} with less silence, {} with more", less.mode, more.mode);
            for (less, more) in less.profiles.iter().zip(&more.profiles) {
                for (name, before) in &less.requirements {
                    let after = more.requirements[name].state;
                    let may_follow = (before.state, after) == (RequirementState::Unmet, RequirementState::Unknown);
                    prop_assert!(after == before.state || may_follow, "{:?} to {after:?}", before.state);
                }
            }
        }
    }

    #[test]
    fn a_lower_profile_narrows_and_never_widens(bytes in vec(any::<u8>(), BYTES)) {
        let mut case = cases::case(&mut Dice::new(&bytes));
        case.profiles.retain(|declared| declared.profile.applies_to(&case.request));
        let order: Vec<String> = case.profiles.iter().map(|d| d.profile.id.clone()).collect();
        let mut above: Option<Verdict> = None;
        for rank in 1..=order.len() {
            let mut upper = case.clone();
            upper.profiles.truncate(rank);
            upper.composition = Composition::Hierarchical { order: order[..rank].to_vec() };
            let verdict = evaluate(&upper).unwrap();
            if let Some(above) = &above {
                prop_assert!(verdict.mode >= above.mode, "{} above, {} with one more", above.mode, verdict.mode);
                for (dimension, values) in &verdict.scopes {
                    let allowed = &above.scopes[dimension];
                    prop_assert!(values.iter().all(|value| allowed.contains(value)));
                }
            }
            above = Some(verdict);
        }
    }
}
