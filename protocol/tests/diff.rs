//! What the comparison of profiles claims holds in random situations, and each counterexample is one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

#[allow(dead_code, reason = "shared with the tests of verdicts")]
mod cases;
#[allow(dead_code, reason = "shared with the tests that mutate bytes")]
mod mutation;

use counterfoil_protocol::admissibility::Profile;
use counterfoil_protocol::admissibility::diff::{Answer, Counterexample, ProfileRelation, diff, passes};
use proptest::collection::vec;
use proptest::prelude::*;

use cases::{BYTES, Dice};
use mutation::cases as config;

const PROFILE: &str = r#"
    id = "clinical"
    version = 1
    title = "Clinical deployment"
    family = "clinical"
    actions = ["deploy/*"]
    vetoes = ["recall"]
    rule = { at_least = 2, of = ["evaluation", "assessment", "audit"] }
    [half-life-days]
    "evaluation/*" = 100
    [quality]
    auroc = { floor = 800000, target = 900000 }
    [[limits]]
    unless = "children"
    dimension = "population"
    allow = ["adult"]
    [requirements.evaluation]
    claims = ["evaluation/*"]
    floors = { quality = 500000, recency = 500000 }
    expression = "content.cohort >= 200 && content.site == 'ours'"
    [requirements.assessment]
    claims = ["assessment/conformity"]
    kinds = ["external-body"]
    distinct = 2
    [requirements.audit]
    claims = ["audit/*"]
    roles = ["auditor"]
    max-age-days = 365
    [requirements.children]
    claims = ["evaluation/paediatric"]
"#;

/// The relation of the profile to one that is changed.
fn relation(from: &str, to: &str) -> ProfileRelation {
    assert!(PROFILE.contains(from), "{from}");
    let first = Profile::from_toml(PROFILE).unwrap();
    let second = Profile::from_toml(&PROFILE.replace(from, to)).unwrap_or_else(|e| panic!("{to}: {e}"));
    let found = diff(&first, &second);
    check(&first, &second, &found.first_implies_second);
    check(&second, &first, &found.second_implies_first);
    found.relation
}

fn check(from: &Profile, to: &Profile, answer: &Answer) {
    if let Answer::No(example) = answer {
        passes(from, example).expect("admitted");
        passes(to, example).expect_err("not admitted");
    }
}

#[test]
fn changes_are_seen_as_what_they_are() {
    use ProfileRelation::{Equivalent, Incomparable, Stronger, Undecided, Weaker};
    for (from, to, expected) in [
        ("version = 1", "version = 2", Equivalent),
        // Floors, ages and numbers.
        ("quality = 500000", "quality = 400000", Stronger),
        ("quality = 500000", "quality = 600000", Weaker),
        ("recency = 500000", "recency = 250000", Stronger),
        ("recency = 500000 }", "recency = 500000, provenance = 900000 }", Weaker),
        ("recency = 500000 }", "recency = 500000, authority = 900000 }", Weaker),
        ("\"evaluation/*\" = 100", "\"evaluation/*\" = 200", Stronger),
        ("max-age-days = 365", "max-age-days = 100", Weaker),
        ("max-age-days = 365", "floors = { recency = 500000 }", Weaker),
        ("distinct = 2", "distinct = 3", Weaker),
        ("distinct = 2", "floors = { corroboration = 750000 }", Equivalent),
        // Who, what, and whom it reaches.
        ("kinds = [\"external-body\"]", "", Undecided),
        ("roles = [\"auditor\"]", "roles = [\"auditor\", \"chief-*\"]", Stronger),
        ("roles = [\"auditor\"]", "roles = [\"inspector\"]", Incomparable),
        ("[\"audit/*\"]", "[\"audit/*\", \"inspection/*\"]", Stronger),
        ("[\"audit/*\"]", "[\"audit/external\"]", Weaker),
        ("roles = [\"auditor\"]", "roles = [\"auditor\"]\n    unrecognised = true", Stronger),
        ("max-age-days = 365", "reached = { edges = [\"used\"], depth = 2 }", Incomparable),
        // Expressions.
        ("content.cohort >= 200", "content.cohort >= 100", Stronger),
        ("content.cohort >= 200", "content.cohort > 199", Equivalent),
        ("content.cohort >= 200 && ", "", Stronger),
        ("content.site == 'ours'", "content.site == 'theirs'", Incomparable),
        ("expression = \"content.cohort >= 200 && content.site == 'ours'\"", "", Stronger),
        (
            "content.cohort >= 200 &&",
            "content.cohort * content.cohort >= 40000 && content.cohort >= 0 &&",
            Undecided,
        ),
        // Rules, vetoes, limits, actions.
        ("at_least = 2", "at_least = 1", Stronger),
        ("at_least = 2", "at_least = 3", Weaker),
        ("[\"recall\"]", "[\"recall\", \"fork\"]", Weaker),
        ("[\"recall\"]", "[\"fork\"]", Incomparable),
        ("allow = [\"adult\"]", "allow = [\"adult\", \"child\"]", Stronger),
        ("unless = \"children\"", "unless = \"audit\"", Incomparable),
        ("[\"deploy/*\"]", "[\"*\"]", Weaker),
        ("[\"deploy/*\"]", "[\"deploy/clinical\", \"retire/*\"]", Incomparable),
    ] {
        assert_eq!(relation(from, to), expected, "{from} -> {to}");
    }
}

#[test]
fn each_worked_profile_is_equivalent_to_itself_and_comparable_with_a_weaker_one() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("profiles");
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let Ok(profile) = Profile::from_toml(&text) else { continue };
        assert_eq!(diff(&profile, &profile).relation, ProfileRelation::Equivalent, "{}", file.display());
        let mut weaker = profile.clone();
        assert!(weaker.vetoes.pop_first().is_some());
        let found = diff(&profile, &weaker);
        assert_eq!(found.relation, ProfileRelation::Stronger, "{}: {found:#?}", file.display());
        check(&weaker, &profile, &found.second_implies_first);
    }
}

/// Profiles that share requirements, so that they can be compared at all.
fn two(dice: &mut Dice<'_>) -> (Profile, Profile) {
    let profiles = cases::case(dice).profiles;
    let first = profiles[0].profile.clone();
    let mut second = profiles.last().unwrap().profile.clone();
    match dice.below(5) {
        0 => {}
        1 => second = Profile { rule: second.rule, requirements: second.requirements, ..first.clone() },
        2 => second = Profile { vetoes: second.vetoes, limits: Vec::new(), ..first.clone() },
        3 => {
            let rule = second.rule.clone();
            second = Profile { rule, ..first.clone() };
            if second.check().is_err() {
                second.rule = first.rule.clone();
            }
        }
        _ => {
            let mut changed = first.clone();
            for (name, requirement) in &mut changed.requirements {
                if let Some(other) = second.requirements.get(name) {
                    match dice.below(4) {
                        0 => requirement.floors = other.floors.clone(),
                        1 => requirement.max_age_days = other.max_age_days,
                        2 => requirement.expression = other.expression.clone(),
                        _ => requirement.distinct = other.distinct,
                    }
                }
            }
            second = changed;
        }
    }
    (first, second)
}

proptest! {
    #![proptest_config(config(100))]
    #[test]
    fn what_is_claimed_holds_and_counterexamples_are_such(
        bytes in vec(any::<u8>(), BYTES), situations in vec(vec(any::<u8>(), BYTES), 12)
    ) {
        let (first, second) = two(&mut Dice::new(&bytes));
        let found = diff(&first, &second);
        check(&first, &second, &found.first_implies_second);
        check(&second, &first, &found.second_implies_first);
        for situation in situations {
            let case = cases::case(&mut Dice::new(&situation));
            let situation = Counterexample {
                request: case.request,
                evidence: case.evidence,
                findings: case.findings,
                refused_with: None,
                reasons: Vec::new(),
            };
            let (one, two) = (passes(&first, &situation).is_ok(), passes(&second, &situation).is_ok());
            let claims = |answer: &Answer| matches!(answer, Answer::Yes);
            prop_assert!(!(one && !two && claims(&found.first_implies_second)), "{first:#?} {second:#?}");
            prop_assert!(!(two && !one && claims(&found.second_implies_first)), "{first:#?} {second:#?}");
        }
    }
}
