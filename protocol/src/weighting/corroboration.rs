//! Corroboration: how many *independent* authorities say the same. An echo adds nothing.
//!
//! Two pieces of evidence are not independent when they share the organisation or its parent, or repeat the same source
//! document. Sharing is followed through: what is linked by a chain of such ties counts once.

use std::collections::BTreeMap;

use super::vector::Ppm;
use crate::admissibility::Evidence;
use crate::ids::{BlobId, OrganisationId};

/// Groups `evidence` so that what is not independent of each other shares a group. Gives each item's group number;
/// groups are numbered in the order in which they first occur.
pub fn independent_groups(evidence: &[&Evidence]) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..evidence.len()).collect();
    fn find(parent: &[usize], mut at: usize) -> usize {
        while let Some(up) = parent.get(at).copied().filter(|up| *up != at) {
            at = up;
        }
        at
    }
    let mut first: BTreeMap<Tie<'_>, usize> = BTreeMap::new();
    for (index, item) in evidence.iter().enumerate() {
        for tie in ties(item) {
            let other = *first.entry(tie).or_insert(index);
            let (a, b) = (find(&parent, index), find(&parent, other));
            if let Some(slot) = parent.get_mut(a.max(b)) {
                *slot = a.min(b);
            }
        }
    }
    // The number of each root: unknown until it first occurs.
    let mut numbers = vec![usize::MAX; evidence.len()];
    let mut next = 0;
    (0..evidence.len())
        .map(|index| {
            let Some(number) = numbers.get_mut(find(&parent, index)) else { return next };
            if *number == usize::MAX {
                *number = next;
                next += 1;
            }
            *number
        })
        .collect()
}

/// What makes two pieces of evidence depend on each other when they have it in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Tie<'a> {
    Organisation(OrganisationId),
    /// A parent that is not known by its id.
    Parent(&'a str),
    Document(BlobId),
}

fn ties(evidence: &Evidence) -> impl Iterator<Item = Tie<'_>> {
    let parent = evidence.parent.as_deref().map(|parent| {
        let known = parent.parse::<OrganisationId>().ok();
        known.filter(|id| id.to_string() == parent).map_or(Tie::Parent(parent), Tie::Organisation)
    });
    let document = evidence.observation.source.as_ref().map(|source| Tie::Document(source.document));
    std::iter::once(Tie::Organisation(evidence.organisation)).chain(parent).chain(document)
}

/// The weight of `groups` independent sources: one proves nothing more, each further one halves the remaining doubt.
pub const fn weight(groups: usize) -> Ppm {
    match groups {
        0 => Ppm::ZERO,
        1 => Ppm::new(500_000),
        2 => Ppm::new(750_000),
        3 => Ppm::new(875_000),
        4 => Ppm::new(937_500),
        _ => Ppm::new(968_750),
    }
}

/// The fewest independent sources whose weight reaches `floor`; none where no number of them does.
pub fn sources_for(floor: Ppm) -> Option<usize> {
    (0..=SOURCES_COUNTED).find(|groups| weight(*groups) >= floor)
}

/// Further independent sources than so many add nothing.
const SOURCES_COUNTED: usize = 5;
