//! Seeds of mischief that end well, each with the same run twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;

use counterfoil_simnet::plan::Plan;
use counterfoil_simnet::run::{Report, run};
use counterfoil_simnet::tally::Tally;

/// Hosts in the worlds of the first seeds.
const SIZES: [usize; 8] = [10, 11, 12, 13, 15, 17, 20, 30];

/// The run of a seed, which a second one is like in everything that happened.
fn twice(seed: u64, hosts: usize) -> Report {
    let plan = Plan::of(seed, Some(hosts));
    let [first, again] = [(); 2].map(|()| {
        run(&plan, None, true).unwrap_or_else(|failure| {
            let (found, _) = *failure;
            panic!("{}: {}\n{}", found.checker, found.text, plan.command())
        })
    });
    assert_eq!(first.lines, again.lines, "{}", plan.command());
    assert_eq!(first, again, "{}", plan.command());
    first
}

#[test]
fn seeds_of_every_fault_end_well_and_give_the_same_run_twice() {
    let seeds: Vec<(u64, usize)> = (1..).zip(SIZES).collect();
    // One half on each of two threads: what one world does depends on no other.
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let halves = [0, 1].map(|first| seeds.iter().skip(first).step_by(2));
        let halves = halves.map(|half| {
            scope.spawn(move || half.map(|(seed, hosts)| twice(*seed, *hosts)).collect::<Vec<_>>())
        });
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    let (acknowledged, decided) = (sum(|report| report.acknowledged), sum(|report| report.decided));
    let admitted = sum(|report| report.admitted);
    assert!(acknowledged > 400, "{acknowledged} acknowledged");
    assert!(decided > admitted && admitted > 0, "{admitted} of {decided} decisions admit");
    let (recalled, again) = (sum(|report| report.recalled), sum(|report| report.computed_again));
    assert!(
        recalled > 0 && 2 * again > decided,
        "{recalled} about what was recalled, {again} of {decided} computed again"
    );
    let digests: BTreeSet<&str> = reports.iter().map(|report| report.digest.as_str()).collect();
    assert_eq!(digests.len(), SIZES.len(), "each run is one of its own");
    let repeated: BTreeSet<&str> = reports.iter().flat_map(|report| &report.repeated).copied().collect();
    let missing: Vec<&str> = REPEATED.into_iter().filter(|kind| !repeated.contains(kind)).collect();
    assert_eq!(missing, [""; 0], "not given again in any run");
}

#[test]
fn every_fault_and_every_adversary_takes_effect() {
    let mut tally = Tally::default();
    // Seeds of which few are enough, and further ones as long as something has not taken effect yet.
    for seed in [63, 67, 77, 85, 90, 96].into_iter().chain(9..=40) {
        if tally.never().is_empty() {
            break;
        }
        let plan = Plan::of(seed, Some(10));
        let report = run(&plan, None, false).unwrap_or_else(|failure| {
            let (found, _) = *failure;
            panic!("{}: {}\n{}", found.checker, found.text, plan.command())
        });
        tally.add(&report.tally);
    }
    assert_eq!(tally.never(), [], "{tally}");
}

/// Kinds of inputs that are given to engines a second time in these runs.
const REPEATED: [&str; 31] = [
    "answered announcements",
    "answered entries",
    "answered hello",
    "answered latest",
    "answered noted",
    "answered ranges",
    "answered refused",
    "answered same",
    "answered too many",
    "answered vector",
    "append",
    "asked announcements",
    "asked cosigned",
    "asked entries",
    "asked heads",
    "asked hello",
    "asked latest",
    "asked offer",
    "asked ranges",
    "connected",
    "disconnected",
    "durable",
    "head locked",
    "heard head on heads",
    "heard head on links",
    "heard head on recalls",
    "heard notice on heads",
    "heard notice on links",
    "heard proof",
    "proven",
    "wake",
];
