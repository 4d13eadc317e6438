//! The composed rule as one tree of thresholds, and what it says about sets.
//!
//! Leaves are pieces of evidence (for sufficiency) or requirements (for what is missing). A node holds when the weights
//! of its children that hold reach its threshold; *all* and *any* are thresholds too. The minimal sets are exact, and
//! exactly counted, up to a declared bound of work; where it is reached, the result says so and lists what it can.

use std::collections::BTreeMap;

use super::count::SetCount;
use super::diagram::{Diagrams, Exhausted, FALSE, NodeId, TRUE};
use super::product::Product;
use crate::limits::{EXPLANATION_SETS_MAX, EXPLANATION_STEPS_MAX};

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

/// Minimal sets of leaves, smallest first, then in the order in which the tree first names the leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sets {
    /// The first of them, [`EXPLANATION_SETS_MAX`] where nothing else was asked for, each in ascending order of its leaves.
    ///
    /// Without a count they are some of the minimal sets, and not always the smallest.
    pub sets: Vec<Vec<usize>>,
    /// How many there are, those not listed included; none where the bound of work was reached before all were known.
    pub count: Option<SetCount>,
}

impl Sets {
    /// Whether there are, or may be, more sets than are listed.
    pub fn is_truncated(&self) -> bool {
        let listed = u64::try_from(self.sets.len()).unwrap_or(u64::MAX);
        self.count.as_ref().is_none_or(|count| count.to_u64() != Some(listed))
    }
}

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
        self.first_minimal_sets(EXPLANATION_SETS_MAX)
    }

    /// Leaves with which it holds and `other` does not; none where `other` holds whenever it does.
    ///
    /// # Errors
    /// [`Exhausted`] beyond the bound of work.
    pub(super) fn beyond(&self, other: &Self) -> Result<Option<Vec<usize>>, Exhausted> {
        let mut builder = Builder { diagrams: Diagrams::new(), numbers: BTreeMap::new(), leaves: Vec::new() };
        builder.number(self)?;
        builder.number(other)?;
        let (one, two) = (builder.function(self)?, builder.function(other)?);
        let gap = builder.diagrams.choose(two, FALSE, one)?;
        let leaf = |variable: u32| builder.leaves.get(variable as usize).copied();
        Ok(builder.diagrams.one(gap).map(|set| set.into_iter().filter_map(leaf).collect()))
    }

    /// The same, with another bound on how many are listed.
    pub fn first_minimal_sets(&self, max: usize) -> Sets {
        if let Some(product) = Product::of(self) {
            return Sets { sets: product.first(max), count: Some(product.count()) };
        }
        self.exact(max).unwrap_or_else(|Exhausted| Sets { sets: self.some_minimal_sets(), count: None })
    }

    /// By way of diagrams, for any tree.
    fn exact(&self, max: usize) -> Result<Sets, Exhausted> {
        let mut builder = Builder { diagrams: Diagrams::new(), numbers: BTreeMap::new(), leaves: Vec::new() };
        builder.number(self)?;
        let function = builder.function(self)?;
        let family = builder.diagrams.minimal_sets(function)?;
        let measured = builder.diagrams.measure(family, builder.leaves.len());
        let leaf = |variable: u32| builder.leaves.get(variable as usize).copied();
        let sets = measured.smallest(max).into_iter().map(|set| {
            let mut set: Vec<usize> = set.into_iter().filter_map(leaf).collect();
            set.sort_unstable();
            set
        });
        Ok(Sets { sets: sets.collect(), count: Some(measured.count()) })
    }

    /// Some minimal sets, found by leaving out one leaf after the other, beginning elsewhere each time.
    ///
    /// As many as a bounded number of visits to the tree's nodes finds, which may be none.
    fn some_minimal_sets(&self) -> Vec<Vec<usize>> {
        let mut leaves = Vec::new();
        self.visit(&mut |node| {
            if let Self::Leaf(leaf) = node {
                leaves.push(*leaf);
            }
        });
        leaves.sort_unstable();
        leaves.dedup();
        let mut nodes = 0usize;
        self.visit(&mut |_| nodes += 1);
        let per_set = nodes.saturating_mul(leaves.len()).max(1);
        let affordable = (8 * EXPLANATION_STEPS_MAX / per_set).min(EXPLANATION_SETS_MAX).min(leaves.len());
        let mut sets = Vec::new();
        if !self.evaluate(&|_| true) {
            return sets;
        }
        for start in 0..affordable {
            let mut kept: Vec<usize> = leaves.clone();
            let (before, after) = leaves.split_at(start);
            for leaf in after.iter().chain(before) {
                let fewer: Vec<usize> = kept.iter().copied().filter(|other| other != leaf).collect();
                if self.evaluate(&|other| fewer.binary_search(&other).is_ok()) {
                    kept = fewer;
                }
            }
            sets.push(kept);
        }
        sets.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        sets.dedup();
        sets
    }

    fn visit(&self, see: &mut impl FnMut(&Self)) {
        see(self);
        if let Self::Threshold { children, .. } = self {
            children.iter().for_each(|(_, child)| child.visit(see));
        }
    }
}

/// Builds the diagram of a tree. Leaves become variables in the order in which the tree first names them, which keeps
/// together what belongs together and so the diagram small.
struct Builder {
    diagrams: Diagrams,
    numbers: BTreeMap<usize, u32>,
    leaves: Vec<usize>,
}

impl Builder {
    fn number(&mut self, tree: &Tree) -> Result<(), Exhausted> {
        self.diagrams.step()?;
        match tree {
            Tree::Leaf(leaf) => {
                let leaves = &mut self.leaves;
                self.numbers.entry(*leaf).or_insert_with(|| {
                    leaves.push(*leaf);
                    // The bound on steps lies far below the range of the number.
                    u32::try_from(leaves.len() - 1).unwrap_or(u32::MAX - 1)
                });
                Ok(())
            }
            Tree::True | Tree::False => Ok(()),
            Tree::Threshold { children, .. } => children.iter().try_for_each(|(_, child)| self.number(child)),
        }
    }

    fn function(&mut self, tree: &Tree) -> Result<NodeId, Exhausted> {
        match tree {
            Tree::Leaf(leaf) => {
                let variable = self.numbers.get(leaf).copied().unwrap_or_default();
                Ok(self.diagrams.variable(variable))
            }
            Tree::True => Ok(TRUE),
            Tree::False => Ok(FALSE),
            Tree::Threshold { need, children } => {
                let mut parts = Vec::with_capacity(children.len());
                for (weight, child) in children {
                    parts.push((*weight, self.function(child)?));
                }
                self.threshold(*need, &parts)
            }
        }
    }

    /// Whether the weights of those parts that hold reach `need`: from the last part to the first, for each sum that
    /// can still be needed there.
    fn threshold(&mut self, need: u64, parts: &[(u64, NodeId)]) -> Result<NodeId, Exhausted> {
        // For each part, what can still be needed when it comes to it.
        let mut needs: Vec<Vec<u64>> = vec![vec![need]];
        for (weight, _) in parts {
            let mut next = Vec::new();
            for need in needs.last().into_iter().flatten().filter(|need| **need > 0) {
                self.diagrams.step()?;
                next.extend([*need, need.saturating_sub(*weight)]);
            }
            next.sort_unstable();
            next.dedup();
            needs.push(next);
        }
        // What the parts from here on reach, by what is needed of them. Behind the last there is nothing to reach.
        let mut rest: BTreeMap<u64, NodeId> = BTreeMap::new();
        let after = |rest: &BTreeMap<u64, NodeId>, need: u64| {
            if need == 0 { TRUE } else { rest.get(&need).copied().unwrap_or(FALSE) }
        };
        for ((weight, part), needs) in parts.iter().zip(&needs).rev() {
            let mut here = BTreeMap::new();
            for need in needs.iter().filter(|need| **need > 0) {
                let (with, without) = (after(&rest, need.saturating_sub(*weight)), after(&rest, *need));
                here.insert(*need, self.diagrams.choose(*part, with, without)?);
            }
            rest = here;
        }
        Ok(after(&rest, need))
    }
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
            (proptest::collection::vec((0u64..4, inner), 1..4), 0u64..7)
                .prop_map(|(children, need)| Tree::Threshold { need, children })
        })
    }

    /// A tree that names each of its leaves once, and mostly asks for one weight.
    fn product() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![30 => Just(Tree::Leaf(0)), 1 => Just(Tree::True), 1 => Just(Tree::False)];
        let tree = leaf.prop_recursive(4, 80, 9, |inner| {
            let weight = prop_oneof![40 => Just(1u64), 1 => Just(2), 1 => Just(0)];
            (proptest::collection::vec((weight, inner), 1..10), 0u64..9)
                .prop_map(|(children, need)| Tree::Threshold { need, children })
        });
        tree.prop_map(|mut tree| {
            renumber(&mut tree, &mut 0);
            tree
        })
    }

    fn renumber(tree: &mut Tree, next: &mut usize) {
        match tree {
            Tree::Leaf(leaf) => {
                // Not in order: what is named first need not have the smallest number.
                *leaf = *next ^ 5;
                *next += 1;
            }
            Tree::Threshold { children, .. } => {
                children.iter_mut().for_each(|(_, child)| renumber(child, next));
            }
            Tree::True | Tree::False => {}
        }
    }

    fn is_minimal(tree: &Tree, set: &[usize]) -> bool {
        tree.evaluate(&|leaf| set.contains(&leaf))
            && set.iter().all(|out| !tree.evaluate(&|leaf| leaf != *out && set.contains(&leaf)))
    }

    /// Every set of leaves that holds and of which no proper subset does: brute force over all subsets.
    fn reference(tree: &Tree) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = Vec::new();
        tree.visit(&mut |node| {
            if let Tree::Leaf(leaf) = node
                && !order.contains(leaf)
            {
                order.push(*leaf);
            }
        });
        let place = |leaf: &usize| order.iter().position(|other| other == leaf);
        let mut sets: Vec<Vec<usize>> = (0u32..1 << LEAVES)
            .map(|mask| (0..LEAVES).filter(|leaf| mask >> leaf & 1 == 1).collect())
            .filter(|set: &Vec<usize>| is_minimal(tree, set))
            .collect();
        sets.sort_by_key(|set| {
            let mut places: Vec<_> = set.iter().map(place).collect();
            places.sort();
            (set.len(), places)
        });
        sets
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn minimal_sets_are_those_of_brute_force(tree in tree()) {
            let found = tree.minimal_sets();
            let expected = reference(&tree);
            prop_assert_eq!(&found.count, &Some(SetCount::from(expected.len() as u64)));
            prop_assert_eq!(found.is_truncated(), expected.len() > EXPLANATION_SETS_MAX);
            let listed = expected.len().min(EXPLANATION_SETS_MAX);
            prop_assert_eq!(&found.sets, &expected[..listed]);
        }

        #[test]
        fn what_is_listed_without_a_count_is_minimal_all_the_same(tree in tree()) {
            let sets = tree.some_minimal_sets();
            prop_assert!(sets.iter().all(|set| is_minimal(&tree, set)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn what_is_listed_without_a_diagram_is_what_the_diagram_lists(tree in product()) {
            let direct = Product::of(&tree);
            let exact = tree.exact(EXPLANATION_SETS_MAX);
            if let Some(direct) = direct {
                let exact = exact.expect("a diagram of so few leaves, none of them twice, is small");
                prop_assert_eq!(exact.count, Some(direct.count()));
                prop_assert_eq!(exact.sets, direct.first(EXPLANATION_SETS_MAX));
            }
        }
    }

    #[test]
    fn the_largest_rules_that_are_listed_directly_have_a_diagram() {
        let leaves = |from: usize, count: usize| (from..from + count).map(Tree::Leaf);
        let groups = |need, each: usize, asked| {
            Tree::at_least(need, (0..64 / each).map(|g| Tree::at_least(asked, leaves(g * each, each))))
        };
        let mut trees: Vec<Tree> = (1..64).map(|need| Tree::at_least(need, leaves(0, 64))).collect();
        for each in [2usize, 4, 8, 16, 32] {
            for asked in 1..=each as u64 {
                trees.extend((1..=64 / each as u64).map(|need| groups(need, each, asked)));
            }
        }
        for tree in trees {
            let direct = Product::of(&tree).expect("no leaf is named twice");
            let exact = tree.exact(EXPLANATION_SETS_MAX).expect("within the bound of work");
            assert_eq!(exact.count, Some(direct.count()));
            assert_eq!(exact.sets, direct.first(EXPLANATION_SETS_MAX));
        }
    }

    #[test]
    fn what_exceeds_the_list_is_counted() {
        let sets = Tree::at_least(5, (0..20).map(Tree::Leaf)).minimal_sets();
        assert_eq!(sets.count, Some(SetCount::from(15_504)));
        assert!(sets.is_truncated());
        assert_eq!(sets.sets.len(), EXPLANATION_SETS_MAX);
        assert_eq!(sets.sets[..2], [vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 5]]);
    }

    #[test]
    fn a_count_beyond_64_bits_is_exact() {
        // Ten sources for each of 40 requirements: ten to the power of 40.
        let tree = Tree::all((0..40).map(|r| Tree::at_least(1, (0..10).map(|e| Tree::Leaf(10 * r + e)))));
        let sets = tree.minimal_sets();
        assert_eq!(sets.count.unwrap().as_str(), format!("1{}", "0".repeat(40)));
        assert_eq!(sets.sets.len(), EXPLANATION_SETS_MAX);
    }

    #[test]
    fn where_the_bound_is_reached_there_is_no_count_and_what_is_listed_is_minimal() {
        // Different powers of two: each sum of weights is another one, and none can be told apart early.
        let part =
            |n: u64| ((1 << n) + 1, Tree::at_least(1, [Tree::Leaf(n as usize), Tree::Leaf(31 - n as usize)]));
        let tree = Tree::Threshold { need: 1 << 31, children: (0..32).map(part).collect() };
        let sets = tree.minimal_sets();
        assert_eq!(sets.count, None);
        assert!(sets.is_truncated() && !sets.sets.is_empty());
        assert!(sets.sets.iter().all(|set| is_minimal(&tree, set)));
    }
}
