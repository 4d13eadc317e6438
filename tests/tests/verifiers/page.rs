//! The page, in a real browser with the network off: it finds what the second verifier finds on the command line.

use counterfoil_protocol::bundle::{Wanted, write};

use super::parts::Case;
use super::second;
use super::world::{Dice, World, profiles};
use super::{flips, valid};

/// A decision that follows from what it rests on, and one that does not.
fn decisions() -> Vec<Case> {
    let mut dice = Dice::new("page");
    let mut world = World::new(77, &mut dice);
    let honest = loop {
        let (profiles, composition) = profiles(&mut dice);
        world.activate(&mut dice, &profiles, composition);
        if let Ok(honest) = world.decide(&mut dice) {
            break honest;
        }
    };
    let mut lying = honest.clone();
    lying.verdict.0[40] ^= 1;
    let about = [honest, lying].map(|decision| world.record(&decision).unwrap());
    let mesh = world.close(&mut dice);
    let bundle = |name: &str, at: usize| Case {
        name: name.into(),
        bytes: write(&mesh, &Wanted::lineage(&about[at..=at])).unwrap(),
    };
    vec![bundle("an honest decision", 0), bundle("a lying decision", 1)]
}

#[test]
fn the_page_verifies_bundles_in_a_browser_without_a_network() {
    if !second::build() || !second::has_browser() {
        return;
    }
    let mut cases = vec![
        Case { name: "nothing".into(), bytes: Vec::new() },
        Case { name: "sparse".into(), bytes: valid::sparse() },
        Case { name: "disclosed".into(), bytes: valid::disclosed() },
        Case { name: "withheld".into(), bytes: valid::withheld() },
    ];
    cases.extend(flips::all().into_iter().step_by(60));
    cases.extend(decisions());
    // The last one is dropped onto the page; the others are chosen.
    cases.push(Case { name: "lineage".into(), bytes: valid::lineage() });
    let expected = second::verify(&cases);
    let (answers, asked) = second::browse(&cases);
    assert!(asked.requests.is_empty() && asked.problems.is_empty(), "{asked:?}");
    assert_eq!(answers.len(), cases.len());
    for ((case, expected), mut answer) in cases.iter().zip(expected).zip(answers) {
        let name = &case.name;
        assert_eq!(
            answer.state,
            if expected.verified { "verified" } else { "refused" },
            "{name}: {}",
            answer.status
        );
        let order = ["failed", "not-proven", "passed"];
        let ranks: Vec<_> =
            answer.checks.iter().map(|one| order.iter().position(|o| *o == one.outcome)).collect();
        assert!(ranks.is_sorted(), "{name}: {ranks:?}");
        let mut checks = expected.checks;
        checks.sort();
        answer.checks.sort();
        assert_eq!(answer.checks, checks, "{name}");
        let is_explained = checks
            .iter()
            .filter(|one| one.outcome == "passed")
            .all(|one| answer.meanings.contains(&one.check));
        assert!(is_explained, "{name}: {:?}", answer.meanings);
    }
}
