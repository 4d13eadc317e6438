//! How long explanations and decisions take.
//!
//! `cargo bench -p counterfoil-protocol` prints a line for each: the median, the 99th percentile, and the bar where there
//! is one. It fails when a bar is missed.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark reads the clock, and stops at the first thing that is not as it should be"
)]

mod report;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use counterfoil_protocol::admissibility::structure::Tree;
use counterfoil_protocol::admissibility::{Case, Evaluator, evaluate};
use counterfoil_protocol::test_support::gate;
use report::Times;

/// What was measured, by what it was.
type Measured = BTreeMap<String, Times>;

/// Runs `work` so often and prints how long it took; whether the slowest but one in a hundred stayed below the bar.
fn measure<T>(
    measured: &mut Measured,
    what: &str,
    runs: usize,
    bar: Option<Duration>,
    mut work: impl FnMut() -> T,
) -> bool {
    (0..runs / 10 + 1).for_each(|_| drop(black_box(work())));
    let times = (0..runs)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed()
        })
        .collect();
    let times = Times::of(times);
    let bar_us = bar.map(|bar| bar.as_micros() as f64);
    let held = bar_us.is_none_or(|bar| times.p99_us < bar);
    let said = bar.map(|bar| format!(", bar {bar:?}")).unwrap_or_default();
    let missed = if held { "" } else { ": MISSED" };
    println!("{what}: p50 {:.1} us, p99 {:.1} us{said}{missed}", times.p50_us, times.p99_us);
    measured.insert(what.to_owned(), times);
    held
}

fn any_of(leaves: impl IntoIterator<Item = usize>) -> Tree {
    Tree::at_least(1, leaves.into_iter().map(Tree::Leaf))
}

/// So many of a run of leaves.
fn at_least(need: u64, from: usize, count: usize) -> Tree {
    Tree::at_least(need, (from..from + count).map(Tree::Leaf))
}

fn explanations(measured: &mut Measured) -> bool {
    let mut held = true;
    let mut explain = |what: &str, runs, bar, tree: &Tree| {
        let sets = tree.minimal_sets();
        let count = sets.count.map_or("not known".to_owned(), |count| count.to_string());
        held &= measure(measured, &format!("{what} ({count} sets)"), runs, bar, || tree.minimal_sets());
    };
    explain("3 of 10", 2000, Some(Duration::from_micros(100)), &at_least(3, 0, 10));
    let product = Tree::all((0..5).map(|p| any_of(10 * p..10 * p + 10)));
    explain("5 profiles, 10 sources each", 500, Some(Duration::from_millis(50)), &product);
    explain("9 of 20", 500, Some(Duration::from_millis(50)), &at_least(9, 0, 20));
    let overlapping = Tree::all((0..6).map(|p| at_least(3, 4 * p, 10)));
    explain(
        "6 profiles, 3 of 10 each, six shared with the next",
        100,
        Some(Duration::from_millis(50)),
        &overlapping,
    );
    let scattered = Tree::all((0..6).map(|p| any_of((0..8).map(|e| (7 * p + 11 * e + e * e) % 30))));
    explain("6 profiles over the same 30 sources", 100, Some(Duration::from_millis(50)), &scattered);
    let part = |n: u64| ((1 << n) + 1, any_of([n as usize, 31 - n as usize]));
    let endless = Tree::Threshold { need: 1 << 31, children: (0..32).map(part).collect() };
    explain("beyond the bound", 10, None, &endless);
    let bar = Some(Duration::from_millis(50));
    held &= measure(measured, "all of 100000 sets written down", 50, bar, || {
        let sets = product.first_minimal_sets(usize::MAX);
        assert_eq!(sets.sets.len(), 100_000);
        sets
    });
    held
}

/// One request after the other about the same 64 subjects, a minute between each and the next: what a runtime asks.
struct Stream {
    cases: Vec<Case>,
    next: usize,
}

impl Stream {
    fn new(cases: impl Iterator<Item = Case>) -> Self {
        Self { cases: cases.collect(), next: 0 }
    }

    fn next(&mut self) -> &Case {
        self.next += 1;
        let place = self.next % self.cases.len();
        let case = &mut self.cases[place];
        case.time = gate::NOW.plus(60 * (self.next as u64 % 1440));
        case
    }
}

/// Whole decisions: 20 pieces of evidence, three profiles that all have to admit.
fn decisions(measured: &mut Measured) -> bool {
    let mut stream = Stream::new((0..64).map(gate::case));
    let mut evaluator = Evaluator::default();
    let bar = Some(Duration::from_millis(1));
    let what = "20 pieces of evidence, 3 profiles";
    let held = measure(measured, what, 20_000, bar, || evaluator.evaluate(stream.next()).expect("a verdict"));
    measure(measured, "the same, with the verdict's bytes", 20_000, None, || {
        evaluator.evaluate(stream.next()).expect("a verdict").to_bytes().expect("its bytes")
    });
    measure(measured, "the same, about what was not asked before", 20_000, None, || {
        evaluate(stream.next()).expect("a verdict")
    });
    let mut cases: Vec<Case> = (0..64).map(gate::case).collect();
    for case in &mut cases {
        for requirement in case.profiles.iter_mut().flat_map(|one| one.profile.requirements.values_mut()) {
            requirement.expression = Some("age_days < 400 && !adverse".into());
        }
    }
    let mut stream = Stream::new(cases.into_iter());
    measure(measured, "the same, with an expression over each piece", 5_000, None, || {
        evaluator.evaluate(stream.next()).expect("a verdict")
    });
    held
}

fn main() {
    let mut measured = Measured::new();
    let held = [explanations(&mut measured), decisions(&mut measured)];
    // `cargo test --benches` runs this without the flag.
    if std::env::args().any(|argument| argument == "--bench") {
        report::add("decisions", &measured);
        if held.contains(&false) {
            std::process::exit(1);
        }
    }
}
