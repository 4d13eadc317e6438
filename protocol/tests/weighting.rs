//! What holds for every weight: better evidence never weighs less, order does not matter, an echo adds nothing, and no
//! input is too extreme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

#[allow(dead_code, reason = "shared with the tests of verdicts")]
mod cases;
mod half_life;
#[allow(dead_code, reason = "shared with the tests that mutate bytes")]
mod mutation;

use std::collections::BTreeMap;

use counterfoil_protocol::admissibility::{Evidence, ReceiptStanding, RecognitionStanding};
use counterfoil_protocol::identity::{AuthorityKind, Standing};
use counterfoil_protocol::ids::{BlobId, StatementId, Timestamp};
use counterfoil_protocol::observation::{Metric, Source, SourceSignature};
use counterfoil_protocol::weighting::corroboration::{independent_groups, sources_for, weight};
use counterfoil_protocol::weighting::derive::weigh;
use counterfoil_protocol::weighting::recency;
use counterfoil_protocol::weighting::{Dimension, Ppm, Rubric, Weight};
use proptest::collection::vec;
use proptest::prelude::*;

use cases::{Dice, organisation};
use mutation::cases;

/// Later than every effective time that the cases have.
const NOW: Timestamp = Timestamp(2000 * 86_400);

fn evidence(bytes: &[u8], n: usize) -> Evidence {
    cases::evidence(&mut Dice::new(bytes), n)
}

fn rubrics(floor: i64, target: i64) -> BTreeMap<String, Rubric> {
    BTreeMap::from([("score".to_owned(), Rubric { floor, target })])
}

/// Makes one thing better, or leaves it as it is where it cannot be better.
fn improve(item: &mut Evidence, what: usize, rubric: &Rubric) {
    match what {
        0 => {
            for metric in &mut item.observation.metrics {
                let step = if rubric.target >= rubric.floor { 1 } else { -1 };
                metric.ppm = metric.ppm.saturating_add(step * 70_000);
            }
        }
        1 => {
            item.receipt = match item.receipt {
                ReceiptStanding::None => ReceiptStanding::Receipted,
                _ => ReceiptStanding::Witnessed { at: NOW },
            }
        }
        2 => item.recognition = RecognitionStanding::Own,
        3 => {
            if let Some(source) = &mut item.observation.source {
                source.signature = match source.signature {
                    SourceSignature::Unsigned => SourceSignature::Unverified,
                    SourceSignature::Unverified => SourceSignature::Verified,
                    _ => SourceSignature::VerifiedAndLogged,
                }
            }
        }
        4 => item.observation.effective.0 += 86_400,
        5 => item.depth = item.depth.saturating_sub(1),
        6 => item.standing = Standing::InForce,
        _ => item.kind = AuthorityKind::HumanRole,
    }
}

fn is_at_least(better: &Weight, worse: &Weight) -> bool {
    Dimension::ALL.iter().all(|dimension| better.component(*dimension) >= worse.component(*dimension))
}

/// How many independent sources there are.
fn sources(evidence: &[Evidence]) -> usize {
    independent_groups(&evidence.iter().collect::<Vec<_>>()).iter().max().map_or(0, |last| last + 1)
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn better_evidence_never_weighs_less(
        bytes in vec(any::<u8>(), 40),
        what in 0usize..8,
        (floor, target) in (-1_000_000i64..2_000_000, -1_000_000i64..2_000_000),
        half_life_s in 0u64..100_000_000,
    ) {
        let worse = evidence(&bytes, 0);
        let mut better = worse.clone();
        let rubrics = rubrics(floor, target);
        improve(&mut better, what, &rubrics["score"]);
        let [better, worse] = [&better, &worse].map(|item| weigh(item, NOW, half_life_s, &rubrics).weight);
        prop_assert!(is_at_least(&better, &worse), "{better:?} and {worse:?}");
    }

    #[test]
    fn the_order_of_metrics_and_of_evidence_does_not_matter(
        bytes in vec(vec(any::<u8>(), 40), 0..10),
        metrics in vec((0usize..3, any::<i64>()), 0..6),
        order in vec(any::<u8>(), 20),
    ) {
        let rubric = |floor, target| Rubric { floor, target };
        let rubrics: BTreeMap<String, Rubric> =
            [("a", rubric(0, 1_000_000)), ("b", rubric(i64::MAX, i64::MIN))].map(|(n, r)| (n.to_owned(), r)).into();
        let mut item = evidence(&[], 0);
        item.observation.metrics =
            metrics.iter().map(|(name, ppm)| Metric { name: ["a", "b", "c"][*name].into(), ppm: *ppm }).collect();
        let mut dice = Dice::new(&order);
        let mut shuffled = item.clone();
        dice.shuffle(&mut shuffled.observation.metrics);
        prop_assert_eq!(weigh(&shuffled, NOW, 100, &rubrics), weigh(&item, NOW, 100, &rubrics));

        let all: Vec<Evidence> = bytes.iter().enumerate().map(|(n, bytes)| evidence(bytes, n)).collect();
        let mut numbers: Vec<usize> = (0..all.len()).collect();
        dice.shuffle(&mut numbers);
        let groups = independent_groups(&all.iter().collect::<Vec<_>>());
        let others = independent_groups(&numbers.iter().map(|n| &all[*n]).collect::<Vec<_>>());
        for (a, x) in numbers.iter().enumerate() {
            for (b, y) in numbers.iter().enumerate() {
                prop_assert_eq!(others[a] == others[b], groups[*x] == groups[*y]);
            }
        }
    }

    #[test]
    fn an_echo_adds_nothing_and_an_independent_voice_counts_once(
        bytes in vec(vec(any::<u8>(), 40), 1..10),
        (which, how) in (any::<prop::sample::Index>(), 0usize..3),
    ) {
        let mut all: Vec<Evidence> = bytes.iter().enumerate().map(|(n, bytes)| evidence(bytes, n)).collect();
        let before = sources(&all);
        let original = which.index(all.len());
        let mut stranger = evidence(&[], 0);
        stranger.statement = StatementId::from_bytes([250; 32]);
        stranger.organisation = organisation(200);
        stranger.parent = None;
        stranger.observation.source = None;
        let mut echo = stranger.clone();
        match how {
            0 => echo.organisation = all[original].organisation,
            // A subsidiary of the organisation that said so first.
            1 => echo.parent = Some(all[original].organisation.to_string()),
            _ => {
                let source = Source {
                    format: "test".into(),
                    document: BlobId::from_bytes([99; 32]),
                    signature: SourceSignature::VerifiedAndLogged,
                    signer: None,
                    witnessed: None,
                    checks: Vec::new(),
                };
                let repeated = all[original].observation.source.get_or_insert(source);
                echo.observation.source = Some(repeated.clone());
            }
        }
        all.push(echo);
        prop_assert!(sources(&all) <= before);
        all.pop();
        let before = sources(&all);
        all.push(stranger);
        prop_assert_eq!(sources(&all), before + 1);
        prop_assert!(weight(before + 1) >= weight(before));
    }

    #[test]
    fn nothing_is_too_extreme(
        bytes in vec(any::<u8>(), 40),
        (depth, ppm, floor, target) in (any::<u8>(), any::<i64>(), any::<i64>(), any::<i64>()),
        (effective, now, half_life_s) in (any::<u64>(), any::<u64>(), any::<u64>()),
    ) {
        let mut item = evidence(&bytes, 0);
        item.depth = depth;
        item.observation.effective = Timestamp(effective);
        for edge in [ppm, i64::MIN, i64::MAX] {
            item.observation.metrics = vec![Metric { name: "score".into(), ppm: edge }];
            for (floor, target) in [(floor, target), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (target, target)] {
                let weighed = weigh(&item, Timestamp(now), half_life_s, &rubrics(floor, target));
                let within = |dimension: &Dimension| weighed.weight.component(*dimension) <= Ppm::FULL;
                prop_assert!(Dimension::ALL.iter().all(within));
                let last = |dimension: &Dimension| {
                    weighed.derivation.steps().iter().rfind(|step| step.dimension == *dimension).map(|step| step.value)
                };
                let is_explained = |d: &Dimension| last(d) == Some(weighed.weight.component(*d));
                prop_assert!(Dimension::ALL.iter().all(is_explained));
            }
        }
    }

    #[test]
    fn half_lives_are_exact(age in 0u64..8000, half_life in 1u64..400, unit in 1u64..1 << 40) {
        let expected = half_life::exact(age, half_life);
        prop_assert_eq!(recency::half_life(age * unit, half_life * unit).get(), expected);
    }

    #[test]
    fn a_floor_asks_for_the_fewest_sources_that_reach_it(floor in 0u32..=1_000_000) {
        match sources_for(Ppm::new(floor)) {
            None => prop_assert!((0..1000).all(|groups| weight(groups) < Ppm::new(floor))),
            Some(need) => {
                prop_assert!(weight(need) >= Ppm::new(floor));
                prop_assert!((0..need).all(|groups| weight(groups) < Ppm::new(floor)));
            }
        }
    }
}
