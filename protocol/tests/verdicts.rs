//! Verdicts against a naive reference, and against themselves with everything shuffled.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

mod cases;
mod half_life;
#[allow(dead_code, reason = "shared with the tests that mutate bytes")]
mod mutation;
mod reference;

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::admissibility::evaluate::CaseError;
use counterfoil_protocol::admissibility::{Case, SetCount, Verdict, evaluate};
use counterfoil_protocol::ids::StatementId;
use counterfoil_protocol::limits::EXPLANATION_SETS_MAX;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use cases::{BYTES, Dice};
use mutation::cases;
use reference::{Expected, expected, parts};

/// What is listed is the whole expected family, or, where that is longer than a list, its smallest sets.
fn check_sets<T: Ord + std::fmt::Debug>(listed: Vec<BTreeSet<T>>, expected: &BTreeSet<BTreeSet<T>>) {
    let sizes: Vec<usize> = listed.iter().map(BTreeSet::len).collect();
    let mut smallest: Vec<usize> = expected.iter().map(BTreeSet::len).collect();
    smallest.sort_unstable();
    smallest.truncate(EXPLANATION_SETS_MAX);
    assert_eq!(sizes, smallest);
    let distinct: BTreeSet<BTreeSet<T>> = listed.into_iter().collect();
    assert_eq!(distinct.len(), sizes.len());
    assert!(distinct.is_subset(expected), "{distinct:?} is not within {expected:?}");
}

fn count(sets: usize) -> Option<SetCount> {
    Some(SetCount::from(sets as u64))
}

fn compare(case: &Case, verdict: &Verdict, expected: &Expected) {
    assert_eq!(verdict.mode, expected.mode);
    let withheld: BTreeSet<String> = verdict.withheld.values().flatten().cloned().collect();
    assert_eq!(withheld, expected.withheld);
    assert_eq!(verdict.profiles.len(), expected.profiles.len());
    let mut considered = 0;
    for profile in &verdict.profiles {
        assert_eq!(profile.outcome, expected.profiles[&profile.profile]);
        for (name, requirement) in &profile.requirements {
            let name = (profile.profile.clone(), name.clone());
            assert_eq!(requirement.state, expected.requirements[&name], "{name:?}");
            for item in &requirement.considered {
                let codes: BTreeSet<&str> = item.refused.iter().map(|reason| &*reason.code).collect();
                let (weight, refused) = &expected.considered[&(name.clone(), item.statement)];
                assert_eq!((&parts(&item.weighed.weight), &codes), (weight, refused), "{name:?} {item:?}");
                considered += 1;
            }
        }
    }
    assert_eq!(considered, expected.considered.len());
    assert_eq!(verdict.necessary.iter().copied().collect::<BTreeSet<_>>(), expected.necessary);
    assert_eq!(verdict.weight.as_ref().map(parts), expected.weight);

    let is_admitted = matches!(verdict.mode, Mode::Continue | Mode::Partial);
    let sufficient = verdict.sufficient.iter().map(|set| set.statements.iter().copied().collect()).collect();
    check_sets(sufficient, &expected.sufficient);
    assert_eq!(verdict.sufficient_count, if is_admitted { count(expected.sufficient.len()) } else { None });
    for set in verdict.sufficient.iter() {
        let behind =
            |id: &StatementId| case.evidence.iter().find(|item| item.statement == *id).unwrap().authority;
        let authorities: BTreeSet<_> = set.statements.iter().map(behind).collect();
        assert_eq!(set.authorities, authorities.into_iter().collect::<Vec<_>>());
    }
    let names = |set: &Vec<_>| {
        set.iter()
            .map(|m: &counterfoil_protocol::admissibility::verdict::MissingRequirement| {
                (m.profile.clone(), m.requirement.clone())
            })
            .collect()
    };
    check_sets(verdict.missing.iter().map(names).collect(), &expected.missing);
    let is_vetoed = verdict.reasons.iter().any(|reason| reason.code == "veto");
    let missing = if is_admitted || is_vetoed { None } else { count(expected.missing.len()) };
    assert_eq!(verdict.missing_count, missing);
    let listed = EXPLANATION_SETS_MAX;
    assert_eq!(verdict.truncated, expected.sufficient.len() > listed || expected.missing.len() > listed);
}

proptest! {
    #![proptest_config(cases(3000))]
    #[test]
    fn verdicts_are_those_of_the_reference(bytes in vec(any::<u8>(), BYTES)) {
        let case = cases::case(&mut Dice::new(&bytes));
        match (evaluate(&case), expected(&case)) {
            (Ok(verdict), Some(expected)) => compare(&case, &verdict, &expected),
            (Err(CaseError::NoProfile(_) | CaseError::Composition(_)), None) => {}
            // A composition that names a profile that does not apply decides nothing.
            (Err(CaseError::Composition(_)), Some(expected)) => {
                prop_assert!(expected.profiles.len() < case.profiles.len());
            }
            (verdict, expected) => panic!("{verdict:?}, where {expected:?} is expected"),
        }
    }

    #[test]
    fn the_order_of_arrival_changes_no_byte(bytes in vec(any::<u8>(), BYTES), order in vec(any::<u8>(), 40)) {
        let case = cases::case(&mut Dice::new(&bytes));
        let mut dice = Dice::new(&order);
        let mut shuffled = case.clone();
        // What arrives twice counts once.
        shuffled.evidence.extend(case.evidence.first().cloned());
        shuffled.findings.extend(case.findings.first().cloned());
        dice.shuffle(&mut shuffled.evidence);
        dice.shuffle(&mut shuffled.findings);
        dice.shuffle(&mut shuffled.profiles);
        let bytes = |case: &Case| evaluate(case).map(|verdict| verdict.to_bytes().unwrap());
        prop_assert_eq!(bytes(&shuffled), bytes(&case));
    }
}

/// The properties above mean something only if the cases are of every kind.
#[test]
fn cases_are_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..2000 {
        let bytes = vec(any::<u8>(), BYTES).new_tree(&mut runner).unwrap().current();
        let case = cases::case(&mut Dice::new(&bytes));
        let Ok(verdict) = evaluate(&case) else { continue };
        let reasons = |code: &str| verdict.reasons.iter().any(|reason| reason.code == code);
        let all = || verdict.profiles.iter().flat_map(|profile| profile.requirements.values());
        let refused = |code: &str| {
            all().flat_map(|r| &r.considered).any(|c| c.refused.iter().any(|reason| reason.code == code))
        };
        let waits = |by_name: bool| {
            let profiles = verdict.profiles.iter().flat_map(|outcome| {
                let same = case.profiles.iter().find(|one| one.declared_by == outcome.declared_by).unwrap();
                let asked = same.profile.requirements.values();
                outcome.requirements.values().zip(asked)
            });
            let mut waiting = profiles.filter(|(outcome, _)| !outcome.unheard.is_empty());
            waiting.any(|(_, asked)| asked.organisations.is_empty() != by_name)
        };
        for (kind, is_so) in [
            ("continue", verdict.mode == Mode::Continue),
            ("partial", verdict.mode == Mode::Partial),
            ("defer", verdict.mode == Mode::Defer),
            ("veto", reasons("veto")),
            ("refused without veto", verdict.mode == Mode::Refuse && !reasons("veto")),
            ("several sufficient sets", verdict.sufficient.len() > 3),
            ("several missing sets", verdict.missing.len() > 3),
            ("more than a list", verdict.truncated),
            ("necessary", !verdict.necessary.is_empty()),
            ("none necessary", !verdict.sufficient.is_empty() && verdict.necessary.is_empty()),
            ("unknown", reasons("unknown")),
            ("waits for whom it names", waits(true)),
            ("waits for who is recognised", waits(false)),
            ("floor", refused("weight-floor")),
            ("expression", refused("expression")),
            ("recalled", refused("recalled")),
            (
                "independent",
                all().any(|r| r.considered.iter().any(|c| c.weighed.weight.corroboration.get() > 750_000)),
            ),
        ] {
            *found.entry(kind).or_default() += usize::from(is_so);
        }
    }
    assert!(found.values().all(|times| *times > 0), "{found:?}");
}
