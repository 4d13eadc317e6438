//! Each checker catches the fault that is planted for it, and lets the same world pass without it.

use counterfoil_simnet::canary::Canary;
use counterfoil_simnet::run::run;

#[test]
fn each_checker_catches_its_planted_fault() {
    for (canary, checkers) in Canary::ALL {
        let failure =
            run(&canary.plan(), Some(canary), false).expect_err(&format!("{canary:?} was not caught"));
        let found = &failure.0;
        assert!(checkers.contains(&found.checker), "{canary:?}: {}: {}", found.checker, found.text);
    }
}

#[test]
fn the_same_worlds_pass_without_their_fault() {
    // Those that others are set up alike with, and those that are not.
    for canary in [Canary::AlwaysBroken, Canary::TornBatch, Canary::LostProof] {
        let outcome = run(&canary.plan(), None, false);
        let failure = outcome.as_ref().err().map(|failure| &failure.0);
        assert_eq!(failure, None, "{canary:?}");
    }
}
