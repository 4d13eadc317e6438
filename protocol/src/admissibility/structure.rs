//! The composed rule as one tree of thresholds, and what it says about sets.
//!
//! Leaves are pieces of evidence (for sufficiency) or requirements (for what is missing). A node holds when the weights
//! of its children that hold reach its threshold; *all* and *any* are thresholds too. Enumeration is exact up to a
//! declared bound; beyond it the result says that it is truncated.

use std::collections::BTreeSet;

use crate::limits::EXPLANATION_SETS_MAX;

/// A monotone boolean function over numbered leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// Holds when the leaf does.
    Leaf(usize),
    /// Always holds.
    True,
    /// Never holds.
    False,
    /// Holds when the weights of the children that hold reach `need`.
    Threshold {
        /// What has to be reached.
        need: u64,
        /// Children with their weights.
        children: Vec<(u64, Tree)>,
    },
}

/// Minimal sets, smallest first, then in the order of their elements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sets {
    /// The sets found.
    pub sets: Vec<BTreeSet<usize>>,
    /// Whether there may be more.
    pub truncated: bool,
}

/// Sets kept while enumerating, before those that contain others are dropped.
const WORKING_SETS_MAX: usize = 64 * EXPLANATION_SETS_MAX;

impl Tree {
    /// All children have to hold.
    pub fn all(children: impl IntoIterator<Item = Self>) -> Self {
        let children: Vec<_> = children.into_iter().map(|child| (1, child)).collect();
        Self::Threshold { need: children.len() as u64, children }
    }

    /// At least `need` children have to hold.
    pub fn at_least(need: u64, children: impl IntoIterator<Item = Self>) -> Self {
        Self::Threshold { need, children: children.into_iter().map(|child| (1, child)).collect() }
    }

    /// Whether it holds when exactly the leaves for which `holds` says so do.
    pub fn evaluate(&self, holds: &impl Fn(usize) -> bool) -> bool {
        match self {
            Self::Leaf(leaf) => holds(*leaf),
            Self::True => true,
            Self::False => false,
            Self::Threshold { need, children } => {
                let reached = children
                    .iter()
                    .filter(|(_, child)| child.evaluate(holds))
                    .fold(0u64, |sum, (weight, _)| sum.saturating_add(*weight));
                reached >= *need
            }
        }
    }

    /// The minimal sets of leaves that make it hold.
    pub fn minimal_sets(&self) -> Sets {
        let mut sets = self.enumerate();
        sets.sets.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        if sets.sets.len() > EXPLANATION_SETS_MAX {
            sets.sets.truncate(EXPLANATION_SETS_MAX);
            sets.truncated = true;
        }
        sets
    }

    fn enumerate(&self) -> Sets {
        match self {
            Self::Leaf(leaf) => Sets { sets: vec![BTreeSet::from([*leaf])], truncated: false },
            Self::True => Sets { sets: vec![BTreeSet::new()], truncated: false },
            Self::False => Sets::default(),
            Self::Threshold { need, children } => {
                // Partial sums: what each combination of children so far weighs, and the sets that it needs.
                let mut partial: Vec<(u64, BTreeSet<usize>)> = vec![(0, BTreeSet::new())];
                let mut truncated = false;
                let mut rest: u64 = children.iter().fold(0, |sum, (weight, _)| sum.saturating_add(*weight));
                for (weight, child) in children {
                    rest = rest.saturating_sub(*weight);
                    let options = child.enumerate();
                    truncated |= options.truncated;
                    let mut next = Vec::new();
                    for (sum, set) in &partial {
                        if sum.saturating_add(rest) >= *need {
                            next.push((*sum, set.clone()));
                        }
                        let with = sum.saturating_add(*weight);
                        if *sum < *need && with.saturating_add(rest) >= *need {
                            next.extend(
                                options
                                    .sets
                                    .iter()
                                    .map(|option| (with, set.union(option).copied().collect())),
                            );
                        }
                    }
                    if next.len() > WORKING_SETS_MAX {
                        next.sort_by_key(|(_, set): &(u64, BTreeSet<usize>)| set.len());
                        next.truncate(WORKING_SETS_MAX);
                        truncated = true;
                    }
                    partial = next;
                }
                let reached = partial.into_iter().filter(|(sum, _)| sum >= need).map(|(_, set)| set);
                Sets { sets: absorb(reached.collect()), truncated }
            }
        }
    }
}

/// Drops every set that contains another.
fn absorb(mut sets: Vec<BTreeSet<usize>>) -> Vec<BTreeSet<usize>> {
    sets.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    sets.dedup();
    let mut kept: Vec<BTreeSet<usize>> = Vec::with_capacity(sets.len().min(256));
    for set in sets {
        if !kept.iter().any(|smaller| smaller.is_subset(&set)) {
            kept.push(set);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAVES: usize = 7;

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf =
            prop_oneof![9 => (0..LEAVES).prop_map(Tree::Leaf), 1 => Just(Tree::True), 1 => Just(Tree::False)];
        leaf.prop_recursive(3, 20, 4, |inner| {
            (proptest::collection::vec((1u64..4, inner), 1..4), 1u64..7)
                .prop_map(|(children, need)| Tree::Threshold { need, children })
        })
    }

    /// Every set of leaves that holds and of which no proper subset does: brute force over all subsets.
    fn reference(tree: &Tree) -> Vec<BTreeSet<usize>> {
        let sets = (0u32..1 << LEAVES)
            .filter(|mask| tree.evaluate(&|leaf| mask >> leaf & 1 == 1))
            .map(|mask| (0..LEAVES).filter(|leaf| mask >> leaf & 1 == 1).collect());
        absorb(sets.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn minimal_sets_are_those_of_brute_force(tree in tree()) {
            let found = tree.minimal_sets();
            let expected = reference(&tree);
            prop_assert!(!found.truncated || expected.len() > EXPLANATION_SETS_MAX);
            if !found.truncated {
                prop_assert_eq!(found.sets, expected);
            }
        }
    }

    #[test]
    fn what_exceeds_the_bound_is_said_to_be_truncated() {
        let sets = Tree::at_least(5, (0..20).map(Tree::Leaf)).minimal_sets();
        assert!(sets.truncated);
        assert_eq!(sets.sets.len(), EXPLANATION_SETS_MAX);
        assert!(sets.sets.iter().all(|set| set.len() == 5));
    }
}
