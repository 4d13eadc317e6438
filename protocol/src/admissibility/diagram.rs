//! Decision diagrams: from a tree of thresholds to all of its minimal sets, without listing them one by one.
//!
//! ```text
//! Tree --diagram of the function (reduced, ordered)--> minimal sets (zero-suppressed) --> count, smallest sets
//! ```
//!
//! A monotone function is first built as a reduced ordered binary decision diagram. A walk over it then gives the
//! family of its minimal sets as a zero-suppressed diagram: the sets with a variable are those of the upper branch that
//! do not already satisfy the lower one. Both kinds share one table of nodes and differ in the rule by which a node is
//! left out. Families of astronomical size have small diagrams, so the count is exact where a list would be endless.
//!
//! Why no published crate: those that are maintained hash with per-process seeds or bring threads and `unsafe`, and
//! none has the minimal sets of a monotone function. What is needed is small; here it is deterministic and bounded in
//! steps, so that every machine stops at the same place.

use std::collections::BTreeMap;

use super::count::SetCount;
use crate::limits::EXPLANATION_STEPS_MAX;

/// A node by its number; the first two are the terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

/// Never, and no set.
pub(super) const FALSE: NodeId = NodeId(0);
/// Always, and the family of just the empty set.
pub(super) const TRUE: NodeId = NodeId(1);
/// The variable of a terminal: behind all others.
const TERMINAL: u32 = u32::MAX;

/// The bound on steps was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    variable: u32,
    high: NodeId,
    low: NodeId,
}

/// What has been built so far. Variables are numbers, the smallest at the top.
#[derive(Debug)]
pub(super) struct Diagrams {
    nodes: Vec<Node>,
    unique: BTreeMap<Node, NodeId>,
    choices: BTreeMap<(NodeId, NodeId, NodeId), NodeId>,
    minimal: BTreeMap<NodeId, NodeId>,
    unsatisfying: BTreeMap<(NodeId, NodeId), NodeId>,
    steps: usize,
}

impl Diagrams {
    pub(super) fn new() -> Self {
        let terminal = Node { variable: TERMINAL, high: FALSE, low: FALSE };
        Self {
            nodes: vec![terminal, terminal],
            unique: BTreeMap::new(),
            choices: BTreeMap::new(),
            minimal: BTreeMap::new(),
            unsatisfying: BTreeMap::new(),
            steps: 0,
        }
    }

    /// Counts one step of work.
    ///
    /// # Errors
    /// [`Exhausted`] beyond the bound.
    pub(super) fn step(&mut self) -> Result<(), Exhausted> {
        self.steps += 1;
        if self.steps > EXPLANATION_STEPS_MAX { Err(Exhausted) } else { Ok(()) }
    }

    fn node(&self, id: NodeId) -> Node {
        let none = Node { variable: TERMINAL, high: FALSE, low: FALSE };
        self.nodes.get(id.0 as usize).copied().unwrap_or(none)
    }

    fn unique(&mut self, variable: u32, high: NodeId, low: NodeId) -> NodeId {
        let node = Node { variable, high, low };
        let nodes = &mut self.nodes;
        *self.unique.entry(node).or_insert_with(|| {
            nodes.push(node);
            // The bound on steps lies far below the range of the number.
            NodeId(u32::try_from(nodes.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// The function that is one variable.
    pub(super) fn variable(&mut self, variable: u32) -> NodeId {
        self.unique(variable, TRUE, FALSE)
    }

    /// The function that is `then` where `condition` holds, and `otherwise` where it does not.
    pub(super) fn choose(
        &mut self,
        condition: NodeId,
        then: NodeId,
        otherwise: NodeId,
    ) -> Result<NodeId, Exhausted> {
        if condition == TRUE || then == otherwise {
            return Ok(then);
        }
        if condition == FALSE {
            return Ok(otherwise);
        }
        let key = (condition, then, otherwise);
        if let Some(known) = self.choices.get(&key) {
            return Ok(*known);
        }
        self.step()?;
        let (c, t, o) = (self.node(condition), self.node(then), self.node(otherwise));
        let top = c.variable.min(t.variable).min(o.variable);
        let branch =
            |id: NodeId, node: Node| if node.variable == top { (node.high, node.low) } else { (id, id) };
        let ((c1, c0), (t1, t0), (o1, o0)) = (branch(condition, c), branch(then, t), branch(otherwise, o));
        let high = self.choose(c1, t1, o1)?;
        let low = self.choose(c0, t0, o0)?;
        let chosen = if high == low { high } else { self.unique(top, high, low) };
        self.choices.insert(key, chosen);
        Ok(chosen)
    }

    /// The variables of one way in which a function holds, few of them; none where it never does.
    pub(super) fn one(&self, function: NodeId) -> Option<Vec<u32>> {
        let (mut at, mut found) = (function, Vec::new());
        while at != TRUE && at != FALSE {
            let node = self.node(at);
            // No node of a reduced diagram leads to FALSE on both sides.
            if node.low == FALSE {
                found.push(node.variable);
                at = node.high;
            } else {
                at = node.low;
            }
        }
        (at == TRUE).then_some(found)
    }

    /// The family of the minimal sets that satisfy a monotone function.
    pub(super) fn minimal_sets(&mut self, function: NodeId) -> Result<NodeId, Exhausted> {
        if function == TRUE || function == FALSE {
            return Ok(function);
        }
        if let Some(known) = self.minimal.get(&function) {
            return Ok(*known);
        }
        self.step()?;
        let Node { variable, high, low } = self.node(function);
        let without = self.minimal_sets(low)?;
        let with = self.minimal_sets(high)?;
        let with = self.unsatisfying(with, low)?;
        let family = self.family(variable, with, without);
        self.minimal.insert(function, family);
        Ok(family)
    }

    /// The sets of a family that do not satisfy a monotone function.
    fn unsatisfying(&mut self, family: NodeId, function: NodeId) -> Result<NodeId, Exhausted> {
        if family == FALSE || function == FALSE {
            return Ok(family);
        }
        if function == TRUE {
            return Ok(FALSE);
        }
        // The empty set satisfies no monotone function but the one that always holds.
        if family == TRUE {
            return Ok(TRUE);
        }
        let key = (family, function);
        if let Some(known) = self.unsatisfying.get(&key) {
            return Ok(*known);
        }
        self.step()?;
        let (sets, f) = (self.node(family), self.node(function));
        let rest = if sets.variable > f.variable {
            self.unsatisfying(family, f.low)?
        } else {
            let (f1, f0) = if sets.variable == f.variable { (f.high, f.low) } else { (function, function) };
            let with = self.unsatisfying(sets.high, f1)?;
            let without = self.unsatisfying(sets.low, f0)?;
            self.family(sets.variable, with, without)
        };
        self.unsatisfying.insert(key, rest);
        Ok(rest)
    }

    /// A node of a family: the sets with this variable and those without it.
    fn family(&mut self, variable: u32, with: NodeId, without: NodeId) -> NodeId {
        if with == FALSE { without } else { self.unique(variable, with, without) }
    }

    /// A family over variables below `variables`, ready to be counted and listed.
    pub(super) fn measure(&self, family: NodeId, variables: usize) -> Measured<'_> {
        Measured::new(self, family, variables)
    }
}

/// A family with, for each of its nodes, how many sets there are below and of which sizes.
///
/// Both are numbers of `width` words: there are fewer sets than subsets, and no set is larger than the number of
/// variables.
pub(super) struct Measured<'a> {
    diagrams: &'a Diagrams,
    family: NodeId,
    width: usize,
    variables: usize,
    /// The nodes of the family, in ascending order: what a node refers to stands before it.
    below: Vec<NodeId>,
    counts: Vec<u64>,
    sizes: Vec<u64>,
}

impl<'a> Measured<'a> {
    fn new(diagrams: &'a Diagrams, family: NodeId, variables: usize) -> Self {
        let width = variables / 64 + 1;
        let below = reachable(diagrams, family);
        let mut measured = Self {
            diagrams,
            family,
            width,
            variables,
            counts: Vec::with_capacity(below.len() * width),
            sizes: Vec::with_capacity(below.len() * width),
            below,
        };
        for index in 0..measured.below.len() {
            let Some(id) = measured.below.get(index).copied() else { continue };
            if id == FALSE || id == TRUE {
                let one = u64::from(id == TRUE);
                for numbers in [&mut measured.counts, &mut measured.sizes] {
                    numbers.extend((0..width).map(|word| if word == 0 { one } else { 0 }));
                }
                continue;
            }
            let node = diagrams.node(id);
            let (high, low) = (measured.place(node.high), measured.place(node.low));
            let (mut carry, mut shifted_out) = (0u64, 0u64);
            for word in 0..width {
                let at =
                    |numbers: &[u64], place: usize| numbers.get(place + word).copied().unwrap_or_default();
                let (sum, over) = at(&measured.counts, high).overflowing_add(at(&measured.counts, low));
                let (sum, over_again) = sum.overflowing_add(carry);
                carry = u64::from(over | over_again);
                let one_more = at(&measured.sizes, high);
                let sizes = one_more << 1 | shifted_out | at(&measured.sizes, low);
                shifted_out = one_more >> 63;
                measured.counts.push(sum);
                measured.sizes.push(sizes);
            }
        }
        measured
    }

    /// Where the numbers of a node begin.
    fn place(&self, id: NodeId) -> usize {
        self.below.binary_search(&id).map_or(usize::MAX / 2, |index| index * self.width)
    }

    /// How many sets the family has.
    pub(super) fn count(&self) -> SetCount {
        let place = self.place(self.family);
        SetCount::from_words(self.counts.get(place..place + self.width).unwrap_or_default())
    }

    fn has_size(&self, id: NodeId, size: usize) -> bool {
        let word = self.sizes.get(self.place(id) + size / 64).copied().unwrap_or_default();
        size <= self.variables && word >> (size % 64) & 1 == 1
    }

    /// The first `max` sets: smallest first, then in the order of their variables.
    pub(super) fn smallest(&self, max: usize) -> Vec<Vec<u32>> {
        let mut found = Vec::new();
        for size in (0..=self.variables).filter(|size| self.has_size(self.family, *size)) {
            // Each entry leads to at least one set: a branch is entered only when it has a set of the size left.
            let mut open = vec![(self.family, Vec::new())];
            while let Some((id, set)) = open.pop() {
                if found.len() == max {
                    return found;
                }
                if id == TRUE {
                    found.push(set);
                    continue;
                }
                let node = self.diagrams.node(id);
                let left = size - set.len();
                if self.has_size(node.low, left) {
                    open.push((node.low, set.clone()));
                }
                if left > 0 && self.has_size(node.high, left - 1) {
                    let mut with = set;
                    with.push(node.variable);
                    open.push((node.high, with));
                }
            }
        }
        found
    }
}

/// The nodes of a family, terminals included, in ascending order.
fn reachable(diagrams: &Diagrams, family: NodeId) -> Vec<NodeId> {
    let mut is_seen = vec![false; family.0 as usize + 1];
    let mut open = vec![family];
    let mut found = Vec::new();
    while let Some(id) = open.pop() {
        let Some(seen) = is_seen.get_mut(id.0 as usize) else { continue };
        if std::mem::replace(seen, true) {
            continue;
        }
        found.push(id);
        if id != FALSE && id != TRUE {
            let node = diagrams.node(id);
            open.extend([node.high, node.low]);
        }
    }
    found.sort();
    found
}
