//! How long explanations and decisions take.
//!
//! `cargo bench -p counterfoil-protocol` prints a line for each: the median, the 99th percentile, and the bar where there
//! is one. It fails when a bar is missed.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark reads the clock, and stops at the first thing that is not as it should be"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use counterfoil_protocol::admissibility::structure::Tree;

/// Runs `work` so often and prints how long it took; whether the slowest but one in a hundred stayed below the bar.
fn measure<T>(what: &str, runs: usize, bar: Option<Duration>, mut work: impl FnMut() -> T) -> bool {
    (0..runs / 10 + 1).for_each(|_| drop(black_box(work())));
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed()
        })
        .collect();
    times.sort();
    let (median, late) = (times[runs / 2], times[runs * 99 / 100]);
    let held = bar.is_none_or(|bar| late < bar);
    let bar = bar.map(|bar| format!(", bar {bar:?}")).unwrap_or_default();
    println!("{what}: p50 {median:?}, p99 {late:?}{bar}{}", if held { "" } else { ": MISSED" });
    held
}

fn any_of(leaves: impl IntoIterator<Item = usize>) -> Tree {
    Tree::at_least(1, leaves.into_iter().map(Tree::Leaf))
}

/// So many of a run of leaves.
fn at_least(need: u64, from: usize, count: usize) -> Tree {
    Tree::at_least(need, (from..from + count).map(Tree::Leaf))
}

fn explanations() -> bool {
    let mut held = true;
    let mut explain = |what: &str, runs, bar, tree: &Tree| {
        let sets = tree.minimal_sets();
        let count = sets.count.map_or("not known".to_owned(), |count| count.to_string());
        held &= measure(&format!("{what} ({count} sets)"), runs, bar, || tree.minimal_sets());
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
    held
}

fn main() {
    let held = [explanations()];
    if held.contains(&false) {
        std::process::exit(1);
    }
}
