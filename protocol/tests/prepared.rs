//! What is kept from one decision to the next changes no byte of a verdict.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

mod cases;
#[allow(dead_code, reason = "shared with the tests that mutate bytes")]
mod mutation;

use counterfoil_protocol::actuation::{Mode, Reversibility};
use counterfoil_protocol::admissibility::{Case, Composition, Evaluator, Freshness, Verdict, evaluate};
use counterfoil_protocol::identity::Standing;
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::limits::PREPARED_EVIDENCE_MAX;
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::test_support::gate;
use proptest::collection::vec;
use proptest::prelude::*;

use cases::{BYTES, DAY, Dice, NOW};

/// Times at which something about the case's evidence may change: beginnings, ends, ages in days, half-lives; each with
/// the seconds around it.
fn edges(case: &Case) -> Vec<u64> {
    let mut edges = vec![NOW];
    for item in &case.evidence {
        let (effective, expires) = (item.observation.effective.0, item.observation.expires);
        edges.extend(expires.map(|at| at.0));
        edges.extend([0, 1, 2, 10, 21, 30, 41, 60].map(|days| effective + days * DAY));
    }
    edges
}

/// Something that comes to pass between two decisions.
fn pass(case: &mut Case, original: &Case, dice: &mut Dice<'_>) {
    let change = dice.below(12);
    let last = case.evidence.len().checked_sub(1);
    match change {
        0 => *case = original.clone(),
        1 => drop(case.evidence.pop()),
        2 => dice.shuffle(&mut case.evidence),
        3 => case.findings.clear(),
        4 => case.composition = Composition::Intersection,
        5 => case.request.subjects = vec![Subject::Named(dice.pick(&["model", "other"]).into())],
        6 => case.request.scopes.values_mut().for_each(|values| drop(values.pop())),
        7 => case.request.reversibility = Reversibility::Irreversible,
        8 => case.request.action = dice.pick(&["deploy/clinical", "retire/clinical"]).into(),
        _ => {}
    }
    if let Some(item) = last.and_then(|last| case.evidence.get_mut(dice.below(last + 1))) {
        match change {
            9 => item.standing = Standing::Revoked,
            10 => item.freshness = Freshness::Stale { age_s: 7 + dice.below(3) as u64 },
            11 => item.observation.adverse = !item.observation.adverse,
            _ => {}
        }
    }
    case.request.purpose.push('x');
}

proptest! {
    #![proptest_config(mutation::cases(2000))]
    #[test]
    fn an_evaluator_says_what_a_new_one_says(
        bytes in vec(any::<u8>(), BYTES),
        turns in vec(vec(any::<u8>(), 8), 1..16),
    ) {
        let original = cases::case(&mut Dice::new(&bytes));
        let edges = edges(&original);
        let mut evaluator = Evaluator::default();
        let mut case = original.clone();
        for turn in &turns {
            let dice = &mut Dice::new(turn);
            pass(&mut case, &original, dice);
            case.time = Timestamp((dice.pick(&edges) + dice.below(3) as u64).saturating_sub(1));
            let bytes = |verdict: Verdict| (verdict.to_bytes().unwrap(), verdict);
            prop_assert_eq!(evaluator.evaluate(&case).map(bytes), evaluate(&case).map(bytes));
        }
    }
}

/// A decoded verdict is equal to the one that was encoded, whose derivations were never put into words.
#[test]
fn a_verdict_is_what_it_is_read_as() {
    let mut evaluator = Evaluator::default();
    for seed in 0..64 {
        let verdict = evaluator.evaluate(&gate::case(seed)).unwrap();
        let bytes = verdict.to_bytes().unwrap();
        let read: Verdict = counterfoil_protocol::codec::decode(&bytes, bytes.len()).unwrap();
        assert_eq!(read, verdict);
        assert_eq!(read.to_bytes().unwrap(), bytes);
    }
}

/// The gate as time passes: what is good expires, and an evaluator that has seen it good does not think so any longer.
#[test]
fn what_was_good_expires() {
    let mut evaluator = Evaluator::default();
    let mut modes = Vec::new();
    for step in 0..50 {
        for seed in 0..8 {
            let mut case = gate::case(seed);
            case.time = Timestamp(gate::NOW.0 + step * gate::DAY_S / 40);
            let verdict = evaluator.evaluate(&case).unwrap();
            assert_eq!(verdict, evaluate(&case).unwrap());
            modes.push((step, verdict.mode));
        }
    }
    assert!(modes.contains(&(0, Mode::Continue)));
    assert!(modes.iter().all(|(step, mode)| *step <= 40 || *mode == Mode::Defer));
}

/// Many cases push each other out, and all of them are answered.
#[test]
fn what_is_kept_is_bounded() {
    let mut evaluator = Evaluator::default();
    let all = PREPARED_EVIDENCE_MAX / gate::EVIDENCE;
    for seed in (0..all as u64 + 50).chain(0..50) {
        let case = gate::case(seed);
        assert_eq!(evaluator.evaluate(&case), evaluate(&case), "seed {seed}");
        assert!(evaluator.pieces() <= PREPARED_EVIDENCE_MAX);
    }
    assert!(evaluator.pieces() > PREPARED_EVIDENCE_MAX - gate::EVIDENCE);
}
