//! Completeness for a period: every entry of a part of a chain is here, and what stands on both sides of it was issued
//! before and after.

use std::collections::BTreeMap;

use super::format::{Manifest, Range};
use super::report::{Outcome, Report};
use crate::ids::{OrganisationId, Position, Timestamp, TreeSize};

/// Watches a range while its chain is read.
pub(super) struct Watch {
    range: Range,
    size: TreeSize,
    present: u64,
    withheld: u64,
    missing: Option<Position>,
    /// When the statements at both borders were issued, where they are here.
    before: Option<Timestamp>,
    after: Option<Timestamp>,
}

/// The ranges of a bundle, one for each chain at most.
pub(super) fn watches(manifest: &Manifest, report: &mut Report) -> BTreeMap<OrganisationId, Watch> {
    if manifest.ranges.is_empty() != manifest.period.is_none() {
        report.fail("range", "the manifest", "ranges and a period go together");
    }
    let mut found = BTreeMap::new();
    for range in &manifest.ranges {
        let watch = Watch {
            range: range.clone(),
            size: TreeSize(0),
            present: 0,
            withheld: 0,
            missing: None,
            before: None,
            after: None,
        };
        if found.insert(range.organisation, watch).is_some() {
            report.fail("range", range.organisation.short(), "the manifest names its chain twice");
        }
    }
    found
}

impl Watch {
    /// A statement is here.
    pub(super) fn statement(&mut self, position: Position, issued_at: Timestamp) {
        self.size = position.size_with();
        if (self.range.from..self.range.to).contains(&position) {
            self.present += 1;
        } else if position.0.checked_add(1) == Some(self.range.from.0) {
            self.before = Some(issued_at);
        } else if position == self.range.to {
            self.after = Some(issued_at);
        }
    }

    /// Statements are not here: one that is withheld, or any number that were left out.
    pub(super) fn absent(&mut self, from: TreeSize, to: TreeSize, is_withheld: bool) {
        self.size = to;
        let first = from.0.max(self.range.from.0);
        let count = to.0.min(self.range.to.0).saturating_sub(first);
        if count > 0 && is_withheld {
            self.withheld += count;
        } else if count > 0 {
            self.missing = self.missing.or(Some(Position(first)));
        }
    }

    /// Reports on the range, once its chain was read to its end and verified.
    pub(super) fn check(&self, period: Option<(Timestamp, Timestamp)>, report: &mut Report) {
        let input = self.range.organisation.short();
        if self.range.from > self.range.to || self.range.to.0 > self.size.0 {
            report.fail("range", input, "it does not lie within its chain");
            return;
        }
        self.entries(report);
        if let Some(period) = period {
            self.borders(period, report);
        }
    }

    /// Every position of the range is here, as a statement or as the leaf hash of one that is withheld.
    fn entries(&self, report: &mut Report) {
        let input = self.range.organisation.short();
        let (from, to, present, withheld) = (self.range.from, self.range.to, self.present, self.withheld);
        if let Some(position) = self.missing {
            report.fail("range", input, format!("position {position} was left out between {from} and {to}"));
        } else if withheld > 0 {
            let detail = format!("positions {from} to {to}: {present} statements here, {withheld} withheld");
            report.add("range", Outcome::NotProven, input, detail);
        } else {
            report.pass(
                "range",
                input,
                format!("positions {from} to {to}: all {present} statements are here"),
            );
        }
    }

    /// What stands before the range was issued before the period, and what stands behind it after.
    fn borders(&self, (first, last): (Timestamp, Timestamp), report: &mut Report) {
        let input = self.range.organisation.short();
        let before = if self.range.from.0 == 0 { Some(true) } else { self.before.map(|at| at < first) };
        let after = if self.range.to.0 >= self.size.0 { Some(true) } else { self.after.map(|at| at > last) };
        match (before, after) {
            (Some(true), Some(true)) => {
                let detail = format!("bounded by what was issued before {first} and after {last}");
                report.pass("period", input, detail);
            }
            (Some(false), _) | (_, Some(false)) => {
                report.fail("period", input, "a statement of the period stands outside of the range");
            }
            _ => report.add("period", Outcome::NotProven, input, "a statement at its border is withheld"),
        }
    }
}
