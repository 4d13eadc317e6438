//! The lineage graph in memory: what a chain's statements say about each other, small enough to hold millions of edges
//! and quick enough to follow them.
//!
//! ```text
//! node number -> first edge from it, first edge to it
//! edge number -> its ends, its kind, who asserts it, the next edge from the same node, the next to the same node
//! ```
//!
//! A statement's edges lie side by side, and each walk keeps one bit for a node, so that a step costs a few reads of
//! memory. Adding a statement touches nothing but its own edges and the two list heads of each. An index follows from
//! the statements that were added, in whatever order; it is a cache, and they are the truth.

use std::collections::BTreeMap;

use super::edge::{Edge, EdgeKind};
use crate::digest::blake3;
use crate::ids::{OrganisationId, Position, StatementId, Timestamp, TreeSize};
use crate::limits::{LINEAGE_DEPTH_MAX, LINEAGE_EDGES_MAX};
use crate::observation::SubjectKey;

/// Which way to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To what a node rests on.
    Backward,
    /// To what rests on a node.
    Forward,
}

/// No node or edge.
const NONE: u32 = u32::MAX;

/// A node of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeNumber(u32);

/// An edge of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeNumber(u32);

/// Where a statement stands, and when its author says that it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose chain.
    pub organisation: OrganisationId,
    /// Where in it.
    pub position: Position,
    /// The author's time: a label.
    pub issued_at: Timestamp,
}

/// More edges than one index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lineage has more than {LINEAGE_EDGES_MAX} edges, which is all that an index holds")]
pub struct Full;

/// The earlier state that a walk is to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AsOf {
    /// How much of each chain had been seen; nothing of a chain that is not named. None where it does not matter.
    pub sizes: Option<BTreeMap<OrganisationId, TreeSize>>,
    /// Nothing that was issued later than this.
    pub until: Option<Timestamp>,
}

impl AsOf {
    /// Whether a statement in this place was there already.
    pub fn holds(&self, place: &Place) -> bool {
        let seen = self.sizes.as_ref().is_none_or(|sizes| {
            sizes.get(&place.organisation).is_some_and(|size| size.contains(place.position))
        });
        seen && self.until.is_none_or(|until| place.issued_at <= until)
    }
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    /// The first edge that begins here.
    from: u32,
    /// The first edge that ends here.
    to: u32,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    from: u32,
    to: u32,
    asserted_by: u32,
    next_from: u32,
    next_to: u32,
    kind: EdgeKind,
}

/// Where a statement stands, with its organisation by number.
#[derive(Debug, Clone, Copy)]
struct Placed {
    organisation: u32,
    position: Position,
    issued_at: Timestamp,
}

/// The graph. See the module's text.
#[derive(Debug, Default)]
pub struct Index {
    numbers: BTreeMap<[u8; 32], u32>,
    /// The id of a statement, or the digest of another node's text.
    keys: Vec<[u8; 32]>,
    ends: Vec<Ends>,
    placed: Vec<Placed>,
    /// Nodes that are no statements.
    subjects: BTreeMap<u32, SubjectKey>,
    edges: Vec<Record>,
    organisations: Vec<OrganisationId>,
}

/// What a node is found by.
fn key(node: &SubjectKey) -> [u8; 32] {
    match node {
        SubjectKey::Statement(id) => *id.as_bytes(),
        other => blake3(other.to_string().as_bytes()),
    }
}

impl Index {
    /// Adds a statement with the edges that it asserts. One that is there already changes nothing.
    ///
    /// # Errors
    /// [`Full`], and nothing has changed.
    pub fn insert(&mut self, statement: StatementId, place: &Place, edges: &[Edge]) -> Result<(), Full> {
        // Each edge brings two nodes at most, and both numbers have to stay below `NONE`.
        if self.edges.len() + edges.len() > LINEAGE_EDGES_MAX
            || self.keys.len() + edges.len() > LINEAGE_EDGES_MAX * 2
        {
            return Err(Full);
        }
        let own = self.number(&SubjectKey::Statement(statement));
        if self.is_here(NodeNumber(own)) {
            return Ok(());
        }
        let organisation = self.organisation(place.organisation);
        if let Some(placed) = self.placed.get_mut(own as usize) {
            *placed = Placed { organisation, position: place.position, issued_at: place.issued_at };
        }
        for edge in edges {
            let (from, to) = (self.number(&edge.from), self.number(&edge.to));
            let number = length(&self.edges);
            let before = |ends: Option<&Ends>| ends.copied().unwrap_or(Ends { from: NONE, to: NONE });
            let record = Record {
                from,
                to,
                asserted_by: own,
                next_from: before(self.ends.get(from as usize)).from,
                next_to: before(self.ends.get(to as usize)).to,
                kind: edge.kind,
            };
            self.edges.push(record);
            if let Some(ends) = self.ends.get_mut(from as usize) {
                ends.from = number;
            }
            if let Some(ends) = self.ends.get_mut(to as usize) {
                ends.to = number;
            }
        }
        Ok(())
    }

    fn number(&mut self, node: &SubjectKey) -> u32 {
        let key = key(node);
        if let Some(known) = self.numbers.get(&key) {
            return *known;
        }
        let number = length(&self.keys);
        self.numbers.insert(key, number);
        self.keys.push(key);
        self.ends.push(Ends { from: NONE, to: NONE });
        self.placed.push(Placed { organisation: NONE, position: Position(0), issued_at: Timestamp(0) });
        if !matches!(node, SubjectKey::Statement(_)) {
            self.subjects.insert(number, node.clone());
        }
        number
    }

    fn organisation(&mut self, id: OrganisationId) -> u32 {
        let known = self.organisations.iter().position(|known| *known == id);
        let number = known.unwrap_or_else(|| {
            self.organisations.push(id);
            self.organisations.len() - 1
        });
        u32::try_from(number).unwrap_or(NONE)
    }

    /// How many nodes there are.
    pub const fn nodes(&self) -> usize {
        self.keys.len()
    }

    /// How many edges there are.
    pub const fn edges(&self) -> usize {
        self.edges.len()
    }

    /// The number of a node, if any statement names it.
    pub fn find(&self, node: &SubjectKey) -> Option<NodeNumber> {
        self.numbers.get(&key(node)).copied().map(NodeNumber)
    }

    /// What a number stands for.
    pub fn node(&self, number: NodeNumber) -> SubjectKey {
        self.subjects.get(&number.0).cloned().unwrap_or_else(|| {
            let key = self.keys.get(number.0 as usize).copied().unwrap_or_default();
            SubjectKey::Statement(StatementId::from_bytes(key))
        })
    }

    /// Where a statement stands; none of what is no statement, or is not here.
    pub fn place(&self, number: NodeNumber) -> Option<Place> {
        let placed = self.placed.get(number.0 as usize)?;
        let organisation = *self.organisations.get(placed.organisation as usize)?;
        Some(Place { organisation, position: placed.position, issued_at: placed.issued_at })
    }

    /// Whether a node is a statement that was added, and not one that others only name.
    pub fn is_here(&self, number: NodeNumber) -> bool {
        self.placed.get(number.0 as usize).is_some_and(|placed| placed.organisation != NONE)
    }

    /// An edge in full.
    pub fn edge(&self, number: EdgeNumber) -> Option<Edge> {
        let record = self.edges.get(number.0 as usize)?;
        let asserted_by = self.keys.get(record.asserted_by as usize)?;
        Some(Edge {
            from: self.node(NodeNumber(record.from)),
            kind: record.kind,
            to: self.node(NodeNumber(record.to)),
            asserted_by: StatementId::from_bytes(*asserted_by),
        })
    }

    /// The kind of an edge.
    pub fn kind(&self, number: EdgeNumber) -> Option<EdgeKind> {
        self.edges.get(number.0 as usize).map(|record| record.kind)
    }

    /// The edges at a node that a walk in this direction would follow, the latest first, each with its other end.
    pub fn edges_at(
        &self,
        node: NodeNumber,
        direction: Direction,
    ) -> impl Iterator<Item = (EdgeNumber, NodeNumber)> {
        let first = self.ends.get(node.0 as usize).map_or(NONE, |ends| match direction {
            Direction::Backward => ends.from,
            Direction::Forward => ends.to,
        });
        let mut next = first;
        std::iter::from_fn(move || {
            let (number, record) = (next, self.edges.get(next as usize)?);
            let other = match direction {
                Direction::Backward => {
                    next = record.next_from;
                    record.to
                }
                Direction::Forward => {
                    next = record.next_to;
                    record.from
                }
            };
            Some((EdgeNumber(number), NodeNumber(other)))
        })
    }

    /// Whether the statement that asserts an edge was there already.
    pub fn stood(&self, edge: EdgeNumber, as_of: &AsOf) -> bool {
        let record = self.edges.get(edge.0 as usize);
        record.and_then(|record| self.place(NodeNumber(record.asserted_by))).is_some_and(|p| as_of.holds(&p))
    }

    /// Walks from `start`, breadth first, over at most `nodes_max` nodes. Where `as_of` is given, over what stood then.
    pub fn walk<'a>(
        &'a self,
        start: impl IntoIterator<Item = NodeNumber>,
        direction: Direction,
        nodes_max: usize,
        as_of: Option<&'a AsOf>,
    ) -> Walk<'a> {
        let mut walk = Walk {
            index: self,
            direction,
            nodes_max,
            as_of,
            is_seen: vec![0; self.keys.len() / 64 + 1],
            reached: Vec::new(),
            handed_out: 0,
            followed: 0,
            truncated: false,
        };
        for node in start {
            walk.reach(node, 0, NONE, NONE);
        }
        walk
    }

    /// A shortest way from one node to another along the edges, the first first; none where there is none.
    pub fn path(&self, from: NodeNumber, to: NodeNumber, as_of: Option<&AsOf>) -> Option<Vec<EdgeNumber>> {
        let mut walk = self.walk([from], Direction::Backward, usize::MAX, as_of);
        let found = loop {
            let reached = walk.next()?;
            if reached.node == to {
                break reached;
            }
        };
        let mut way = Vec::new();
        let mut here = Some(found);
        while let Some(Reached { via: Some(via), parent, .. }) = here {
            way.push(via);
            here = walk.reached.get(parent as usize).copied();
        }
        way.reverse();
        Some(way)
    }
}

/// The number of what is added next. [`LINEAGE_EDGES_MAX`] lies far below the range.
fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(NONE)
}

/// One node that a walk reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The node.
    pub node: NodeNumber,
    /// Steps from the start.
    pub depth: u32,
    /// The edge that led here; none at the start.
    pub via: Option<EdgeNumber>,
    /// Which of the nodes reached before it came from.
    parent: u32,
}

/// A walk under way: each node is handed out as it is found.
#[derive(Debug)]
pub struct Walk<'a> {
    index: &'a Index,
    direction: Direction,
    nodes_max: usize,
    as_of: Option<&'a AsOf>,
    /// A bit for each node.
    is_seen: Vec<u64>,
    reached: Vec<Reached>,
    handed_out: usize,
    followed: usize,
    truncated: bool,
}

impl Walk<'_> {
    /// Whether a bound ended the walk before the graph did.
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Takes note of a node, unless it was reached before.
    fn reach(&mut self, node: NodeNumber, depth: u32, via: u32, parent: u32) {
        let bit = 1u64 << (node.0 % 64);
        let Some(word) = self.is_seen.get_mut(node.0 as usize / 64) else { return };
        if *word & bit != 0 {
            return;
        }
        if self.reached.len() >= self.nodes_max || depth as usize > LINEAGE_DEPTH_MAX {
            self.truncated = true;
            return;
        }
        *word |= bit;
        let via = (via != NONE).then_some(EdgeNumber(via));
        self.reached.push(Reached { node, depth, via, parent });
    }

    /// Follows the edges of the next node that was reached.
    fn follow(&mut self, here: Reached) {
        let index = self.index;
        for (edge, other) in index.edges_at(here.node, self.direction) {
            if self.as_of.is_none_or(|as_of| index.stood(edge, as_of)) {
                self.reach(other, here.depth + 1, edge.0, length_of(self.followed));
            }
        }
    }
}

fn length_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

impl Iterator for Walk<'_> {
    type Item = Reached;

    fn next(&mut self) -> Option<Reached> {
        loop {
            if let Some(reached) = self.reached.get(self.handed_out) {
                self.handed_out += 1;
                return Some(*reached);
            }
            let here = *self.reached.get(self.followed)?;
            self.follow(here);
            self.followed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statement(n: u8) -> StatementId {
        StatementId::from_bytes([n; 32])
    }

    fn node(n: u8) -> SubjectKey {
        match n % 3 {
            0 => SubjectKey::Name(format!("subject {n}")),
            _ => SubjectKey::Statement(statement(n)),
        }
    }

    fn place(n: u8) -> Place {
        Place {
            organisation: OrganisationId::from_bytes([n % 3; 32]),
            position: Position(u64::from(n / 3)),
            issued_at: Timestamp(u64::from(n)),
        }
    }

    fn edge(from: u8, to: u8, asserted_by: u8) -> Edge {
        Edge {
            from: node(from),
            kind: EdgeKind::DerivedFrom,
            to: node(to),
            asserted_by: statement(asserted_by),
        }
    }

    fn index(edges: &[Edge], order: &[u8]) -> Index {
        let mut index = Index::default();
        for n in order {
            let own: Vec<Edge> = edges.iter().filter(|e| e.asserted_by == statement(*n)).cloned().collect();
            index.insert(statement(*n), &place(*n), &own).unwrap();
        }
        index
    }

    /// Steps from the start to each node, by going over all edges until nothing changes.
    fn reference(edges: &[Edge], start: &SubjectKey, direction: Direction) -> BTreeMap<String, u32> {
        let mut depths = BTreeMap::from([(start.to_string(), 0)]);
        for depth in 0..100 {
            for edge in edges {
                let (here, other) = match direction {
                    Direction::Backward => (&edge.from, &edge.to),
                    Direction::Forward => (&edge.to, &edge.from),
                };
                if depths.get(&here.to_string()) == Some(&depth) {
                    depths.entry(other.to_string()).or_insert(depth + 1);
                }
            }
        }
        depths
    }

    fn depths(walk: Walk<'_>) -> BTreeMap<String, u32> {
        let index = walk.index;
        walk.map(|reached| (index.node(reached.node).to_string(), reached.depth)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn a_walk_reaches_what_going_over_all_edges_reaches_whatever_came_first(
            edges in proptest::collection::vec((0u8..24, 0u8..24, 0u8..12), 0..60),
            order in Just((0u8..12).collect::<Vec<_>>()).prop_shuffle(),
            (start, end, cut) in (0u8..24, 0u8..24, 0u8..14),
        ) {
            let edges: Vec<Edge> = edges.into_iter().map(|(f, t, by)| edge(f, t, by)).collect();
            let index = index(&edges, &order);
            let as_of = AsOf { sizes: None, until: Some(Timestamp(u64::from(cut))) };
            let early: Vec<Edge> =
                edges.iter().filter(|edge| edge.asserted_by <= statement(cut)).cloned().collect();
            if let Some(number) = index.find(&node(start)) {
                for direction in [Direction::Backward, Direction::Forward] {
                    let all = depths(index.walk([number], direction, usize::MAX, None));
                    prop_assert_eq!(all, reference(&edges, &node(start), direction));
                    let then = depths(index.walk([number], direction, usize::MAX, Some(&as_of)));
                    prop_assert_eq!(then, reference(&early, &node(start), direction));
                }
                if let Some(end) = index.find(&node(end)) {
                    let steps = reference(&edges, &node(start), Direction::Backward);
                    let path = index.path(number, end, None);
                    let length = path.as_ref().map(|path| path.len() as u32);
                    prop_assert_eq!(length, steps.get(&index.node(end).to_string()).copied());
                    let mut here = node(start);
                    for edge in path.unwrap_or_default() {
                        let edge = index.edge(edge).unwrap();
                        prop_assert_eq!(&edge.from, &here);
                        here = edge.to;
                    }
                }
            } else {
                prop_assert!(edges.iter().all(|edge| edge.from != node(start) && edge.to != node(start)));
            }
        }
    }

    #[test]
    fn a_statement_counts_once_and_one_that_is_only_named_has_no_place() {
        let mut index = index(&[edge(1, 2, 1)], &[1]);
        index.insert(statement(1), &place(1), &[edge(1, 2, 1)]).unwrap();
        assert_eq!((index.nodes(), index.edges()), (2, 1));
        let find = |n| index.find(&node(n)).unwrap();
        assert_eq!(index.place(find(1)), Some(place(1)));
        assert_eq!(index.place(find(2)), None);
        assert_eq!(index.find(&SubjectKey::Name(node(1).to_string())), None);
    }

    #[test]
    fn a_cycle_ends_and_a_bound_is_admitted() {
        let index = index(&[edge(1, 2, 1), edge(2, 1, 2)], &[1, 2]);
        let start = index.find(&node(1)).unwrap();
        let mut walk = index.walk([start], Direction::Backward, 100, None);
        assert_eq!((walk.by_ref().count(), walk.is_truncated()), (2, false));
        let mut walk = index.walk([start], Direction::Backward, 1, None);
        assert_eq!((walk.by_ref().count(), walk.is_truncated()), (1, true));
    }

    #[test]
    fn only_so_much_of_each_chain_as_had_been_seen() {
        let as_of = |n: u8, size| AsOf {
            sizes: Some(BTreeMap::from([(place(n).organisation, TreeSize(size))])),
            until: None,
        };
        assert!(as_of(7, 3).holds(&place(7)));
        assert!(!as_of(7, 2).holds(&place(7)));
        assert!(!as_of(8, 3).holds(&place(7)));
    }
}
