//! Seeds of mischief that end well, and a seed that gives the same run twice.

#![allow(clippy::unwrap_used, reason = "a test that fails this way says where")]

use counterfoil_simnet::plan::Plan;
use counterfoil_simnet::run::run;

#[test]
fn seeds_of_every_fault_end_well() {
    let (mut acknowledged, mut decided, mut admitted) = (0, 0, 0);
    for seed in 1..=8 {
        let plan = Plan::of(seed, Some(10));
        let report = run(&plan, None, false).unwrap_or_else(|failure| {
            let (found, _) = *failure;
            panic!("{}: {}\n{}", found.checker, found.text, plan.command())
        });
        acknowledged += report.acknowledged;
        decided += report.decided;
        admitted += report.admitted;
    }
    assert!(acknowledged > 400, "{acknowledged} acknowledged");
    assert!(decided > admitted && admitted > 0, "{admitted} of {decided} decisions admit");
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    let plan = Plan::of(7, Some(10));
    let [first, again] = [false, true].map(|_| run(&plan, None, true));
    let (first, again) = (first.unwrap(), again.unwrap());
    assert_eq!(first.lines, again.lines);
    assert_eq!(first, again);
    assert_ne!(first.digest, run(&plan.only(&[]), None, false).unwrap().digest);
}
