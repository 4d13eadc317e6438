//! Completeness for a period: every entry of a part of a chain is here, and what stands on both sides of it was issued
//! before and after.

use super::format::{Manifest, Range};
use super::report::{Outcome, Report};
use super::verify::{Chain, Chains};
use crate::ids::{Position, Timestamp};

pub(super) fn check(manifest: &Manifest, chains: &Chains, report: &mut Report) {
    if manifest.ranges.is_empty() != manifest.period.is_none() {
        report.fail("range", "the manifest", "ranges and a period go together");
    }
    for range in &manifest.ranges {
        let input = range.organisation.short();
        let Some(chain) = chains.get(&range.organisation) else {
            report.fail("range", input, "its chain is not here");
            continue;
        };
        if range.from > range.to || range.to.0 > chain.head.size().0 {
            report.fail("range", input, "it does not lie within its chain");
            continue;
        }
        entries(range, chain, report);
        if let Some(period) = manifest.period {
            borders(range, chain, period, report);
        }
    }
}

/// Every position of the range is here, as a statement or as the digest of one that is withheld.
fn entries(range: &Range, chain: &Chain, report: &mut Report) {
    let input = range.organisation.short();
    let (mut present, mut withheld, mut missing) = (0u64, 0u64, None);
    let mut statements = chain.statements.iter().map(|verified| verified.position()).peekable();
    let mut position = range.from;
    while position < range.to {
        while statements.next_if(|at| *at < position).is_some() {}
        if statements.peek() == Some(&position) {
            present += 1;
        } else if chain.withheld.contains(&position) {
            withheld += 1;
        } else {
            missing = missing.or(Some(position));
        }
        position = position.size_with().next_position();
    }
    let (from, to) = (range.from, range.to);
    match missing {
        Some(position) => {
            report.fail("range", input, format!("position {position} was left out between {from} and {to}"));
        }
        None if withheld > 0 => {
            let detail = format!(
                "positions {from} to {to}: {present} statements here, {withheld} withheld by their author"
            );
            report.add("range", Outcome::NotProven, input, detail);
        }
        None => report.pass(
            "range",
            input,
            format!("positions {from} to {to}: all {present} statements are here"),
        ),
    }
}

/// What stands before the range was issued before the period, and what stands behind it after.
fn borders(range: &Range, chain: &Chain, (first, last): (Timestamp, Timestamp), report: &mut Report) {
    let input = range.organisation.short();
    let issued = |position: Position| {
        let found = chain.statements.iter().find(|verified| verified.position() == position);
        found.map(|verified| verified.statement().header().issued_at)
    };
    let before = match range.from.0.checked_sub(1) {
        None => Some(true),
        Some(position) => issued(Position(position)).map(|at| at < first),
    };
    let after =
        if range.to.0 >= chain.head.size().0 { Some(true) } else { issued(range.to).map(|at| at > last) };
    match (before, after) {
        (Some(true), Some(true)) => {
            report.pass(
                "period",
                input,
                format!("bounded by what was issued before {first} and after {last}"),
            );
        }
        (Some(false), _) | (_, Some(false)) => {
            report.fail("period", input, "a statement of the period stands outside of the range");
        }
        _ => report.add("period", Outcome::NotProven, input, "a statement at its border is withheld"),
    }
}
