//! Each checker catches the fault that is planted for it, and lets the same world pass without it.

#![allow(clippy::unwrap_used, reason = "a test that fails this way says where")]

use counterfoil_simnet::canary::Canary;
use counterfoil_simnet::plan::{Action, Plan};
use counterfoil_simnet::run::run;
use counterfoil_simnet::shrink::shrink;
use counterfoil_simnet::workload::What;

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
    for canary in [
        Canary::AlwaysBroken,
        Canary::TornBatch,
        Canary::LostProof,
        Canary::WishfulDecider,
        Canary::ForgetfulDecider,
    ] {
        let outcome = run(&canary.plan(), None, false);
        let failure = outcome.as_ref().err().map(|failure| &failure.0);
        assert_eq!(failure, None, "{canary:?}");
    }
}

#[test]
fn a_run_that_fails_is_made_as_small_as_its_fault() {
    // A disk that serves private statements fails any run in which its host says one.
    let is_private = |action: &Action| *action == Action::Say(1, What::Private);
    let has_private = |plan: &Plan| plan.steps.iter().any(|step| is_private(&step.action));
    let plan = (1..).map(|seed| Plan::of(seed, Some(10))).find(has_private).unwrap();
    let fails = |plan: &Plan| run(plan, Some(Canary::TellingDisk), false).err().map(|failure| failure.0);
    let found = fails(&plan).unwrap();
    assert_eq!(found.checker, "limited");
    let small = shrink(plan.clone(), found, 60, fails);
    let actions: Vec<&Action> = small.plan.steps.iter().map(|step| &step.action).collect();
    assert_eq!(actions, [&Action::Say(1, What::Private)], "of {} steps", plan.steps.len());
    assert!(small.plan.absent.len() >= 6 && !small.plan.absent.contains(&1), "{}", small.plan.command());
    assert_eq!(fails(&small.plan), Some(small.violation));
}
