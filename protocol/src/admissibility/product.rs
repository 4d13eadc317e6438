//! Minimal sets of rules in which no leaf is asked for twice: listed one by one, without a diagram.
//!
//! Where the parts of a threshold share no leaf, its minimal sets are a choice of as many parts as it needs and of one
//! minimal set of each of them. Where they also have one size, writing them down in the order of the leaves is writing
//! them down in the order that is promised. What does not fit this is left to the diagrams, which give the same answer.

use super::count::SetCount;
use super::structure::Tree;

/// Most leaves. A diagram over so many, none of them twice, stays far below its bound of work, so that whether there is
/// an exact answer does not depend on who gives it.
const LEAVES_MAX: usize = 64;

/// The minimal sets of a rule in which no leaf occurs twice.
pub(super) enum Product {
    Always,
    Never,
    Choice(Choice),
}

/// So many of these; each minimal set has `size` leaves, and there are `count` of them.
pub(super) struct Choice {
    part: Part,
    size: usize,
    count: u128,
}

enum Part {
    Leaf(usize),
    Some { need: usize, of: Vec<Choice> },
}

/// What is still to be chosen when a part has been.
#[derive(Clone, Copy)]
enum Next<'a> {
    Nothing,
    Then { need: usize, of: &'a [Choice], next: &'a Next<'a> },
}

impl Product {
    /// None where a leaf occurs twice, sizes differ, weights differ, or there are too many leaves or sets.
    pub(super) fn of(tree: &Tree) -> Option<Self> {
        let mut leaves = Vec::with_capacity(LEAVES_MAX);
        collect(tree, &mut leaves)?;
        leaves.sort_unstable();
        if leaves.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return None;
        }
        Self::new(tree)
    }

    fn new(tree: &Tree) -> Option<Self> {
        let (need, children) = match tree {
            Tree::True => return Some(Self::Always),
            Tree::False => return Some(Self::Never),
            Tree::Leaf(leaf) => {
                return Some(Self::Choice(Choice { part: Part::Leaf(*leaf), size: 1, count: 1 }));
            }
            Tree::Threshold { need, children } => (*need, children),
        };
        let mut need = need;
        let mut of = Vec::with_capacity(children.len());
        let mut common = None;
        for (weight, child) in children.iter().filter(|(weight, _)| *weight > 0) {
            match Self::new(child)? {
                Self::Always => need = need.saturating_sub(*weight),
                Self::Never => {}
                Self::Choice(choice) => {
                    if *common.get_or_insert(*weight) != *weight {
                        return None;
                    }
                    of.push(choice);
                }
            }
        }
        let need = usize::try_from(need.div_ceil(common.unwrap_or(1))).unwrap_or(usize::MAX);
        if need == 0 {
            return Some(Self::Always);
        }
        if need > of.len() {
            return Some(Self::Never);
        }
        let size = of.iter().take(need).map(|choice| choice.size).sum();
        let one_size = of.windows(2).all(|pair| matches!(pair, [a, b] if a.size == b.size));
        if need < of.len() && !one_size {
            return None;
        }
        let count = ways(need, &of)?;
        if let (1, [_]) = (need, of.as_slice()) {
            return of.pop().map(Self::Choice);
        }
        Some(Self::Choice(Choice { part: Part::Some { need, of }, size, count }))
    }

    pub(super) fn count(&self) -> SetCount {
        let count = match self {
            Self::Never => 0,
            Self::Always => 1,
            Self::Choice(choice) => choice.count,
        };
        SetCount::from_words(&[count, count >> 64].map(|word| word as u64))
    }

    /// The first `max` sets.
    pub(super) fn first(&self, max: usize) -> Vec<Vec<usize>> {
        let mut sets = Listed { sets: Vec::new(), max, set: Vec::new() };
        match self {
            Self::Never => {}
            Self::Always => drop(sets.end()),
            Self::Choice(choice) => {
                sets.sets.reserve_exact(max.min(usize::try_from(choice.count).unwrap_or(max)));
                sets.choose(choice, &Next::Nothing);
            }
        }
        sets.sets
    }
}

/// The leaves of a tree, with repetition; none when there are too many.
fn collect(tree: &Tree, leaves: &mut Vec<usize>) -> Option<()> {
    match tree {
        Tree::True | Tree::False => Some(()),
        Tree::Leaf(leaf) => {
            leaves.push(*leaf);
            (leaves.len() <= LEAVES_MAX).then_some(())
        }
        Tree::Threshold { children, .. } => children.iter().try_for_each(|(_, child)| collect(child, leaves)),
    }
}

/// In how many ways `need` of these can be chosen, with one set of each.
fn ways(need: usize, of: &[Choice]) -> Option<u128> {
    // ways[n]: of those seen so far, n chosen.
    let mut ways = vec![0u128; need + 1];
    *ways.first_mut()? = 1;
    for choice in of {
        for n in (1..=need).rev() {
            let more = ways.get(n - 1)?.checked_mul(choice.count)?;
            let slot = ways.get_mut(n)?;
            *slot = slot.checked_add(more)?;
        }
    }
    ways.last().copied()
}

struct Listed {
    sets: Vec<Vec<usize>>,
    max: usize,
    /// What has been chosen for the next set.
    set: Vec<usize>,
}

/// Whether the list is full.
type Full = bool;

impl Listed {
    fn choose(&mut self, choice: &Choice, next: &Next<'_>) -> Full {
        match &choice.part {
            Part::Leaf(leaf) => {
                self.set.push(*leaf);
                let full = self.go_on(next);
                self.set.pop();
                full
            }
            Part::Some { need, of } => self.some(*need, of, next),
        }
    }

    fn some(&mut self, need: usize, of: &[Choice], next: &Next<'_>) -> Full {
        if need == 0 {
            return self.go_on(next);
        }
        let mut rest = of;
        while rest.len() >= need {
            let Some((first, behind)) = rest.split_first() else { break };
            if self.choose(first, &Next::Then { need: need - 1, of: behind, next }) {
                return true;
            }
            rest = behind;
        }
        false
    }

    fn go_on(&mut self, next: &Next<'_>) -> Full {
        match next {
            Next::Nothing => self.end(),
            Next::Then { need, of, next } => self.some(*need, of, next),
        }
    }

    fn end(&mut self) -> Full {
        if self.sets.len() < self.max {
            let mut set = self.set.clone();
            set.sort_unstable();
            self.sets.push(set);
        }
        self.sets.len() >= self.max
    }
}
