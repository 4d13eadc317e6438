//! Walking the lineage graph: backward (why), forward (impact), and between two points (path).
//!
//! The walk is breadth first and in the nodes' order, so that the same edges give the same answer, and it stops at
//! declared bounds and says so.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::edge::{Edge, EdgeKind};
use crate::limits::LINEAGE_DEPTH_MAX;
use crate::observation::SubjectKey as Node;

/// Where edges come from: a store's index, or the statements of a bundle.
pub trait EdgeSource {
    /// Why edges cannot be read.
    type Error;

    /// Edges whose `from` is `node`.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn upstream(&self, node: &Node) -> Result<Vec<Edge>, Self::Error>;

    /// Edges whose `to` is `node`.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn downstream(&self, node: &Node) -> Result<Vec<Edge>, Self::Error>;
}

/// Which way to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To what a node rests on.
    Backward,
    /// To what rests on a node.
    Forward,
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// Each node reached, with the edge that first reached it (none for the start) and the number of steps.
    pub nodes: BTreeMap<String, Reached>,
    /// Edges in the order in which they were followed.
    pub edges: Vec<Edge>,
    /// Whether a bound ended the walk before the graph did.
    pub truncated: bool,
}

/// One node that a walk reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// The node.
    pub node: Node,
    /// Steps from the start.
    pub depth: usize,
    /// Kinds of the edges on the way, first step first.
    pub path: Vec<EdgeKind>,
}

/// Walks from `start`, following the edges that `follow` lets through, over at most `nodes_max` nodes.
///
/// # Errors
/// What the source reports.
pub fn walk<S: EdgeSource>(
    source: &S,
    start: &[Node],
    direction: Direction,
    nodes_max: usize,
    follow: impl Fn(&Edge) -> bool,
) -> Result<Walk, S::Error> {
    let mut walk = Walk { nodes: BTreeMap::new(), edges: Vec::new(), truncated: false };
    let mut queue = VecDeque::new();
    for node in start {
        let reached = Reached { node: node.clone(), depth: 0, path: Vec::new() };
        if walk.nodes.insert(node.to_string(), reached.clone()).is_none() {
            queue.push_back(reached);
        }
    }
    while let Some(here) = queue.pop_front() {
        let edges = match direction {
            Direction::Backward => source.upstream(&here.node)?,
            Direction::Forward => source.downstream(&here.node)?,
        };
        for edge in edges {
            if !follow(&edge) {
                continue;
            }
            let next = match direction {
                Direction::Backward => edge.to.clone(),
                Direction::Forward => edge.from.clone(),
            };
            let key = next.to_string();
            let kind = edge.kind;
            walk.edges.push(edge);
            if walk.nodes.contains_key(&key) {
                continue;
            }
            if walk.nodes.len() >= nodes_max || here.depth >= LINEAGE_DEPTH_MAX {
                walk.truncated = true;
                continue;
            }
            let mut path = here.path.clone();
            path.push(kind);
            let reached = Reached { node: next, depth: here.depth + 1, path };
            walk.nodes.insert(key, reached.clone());
            queue.push_back(reached);
        }
    }
    Ok(walk)
}

/// Edges held in memory.
#[derive(Debug, Clone, Default)]
pub struct EdgeSet {
    upstream: BTreeMap<Node, Vec<Edge>>,
    downstream: BTreeMap<Node, Vec<Edge>>,
}

impl EdgeSet {
    /// Adds an edge.
    pub fn insert(&mut self, edge: Edge) {
        self.upstream.entry(edge.from.clone()).or_default().push(edge.clone());
        self.downstream.entry(edge.to.clone()).or_default().push(edge);
    }
}

impl FromIterator<Edge> for EdgeSet {
    fn from_iter<I: IntoIterator<Item = Edge>>(edges: I) -> Self {
        let mut edges: Vec<Edge> = edges.into_iter().collect();
        edges.sort();
        edges.dedup();
        let mut set = Self::default();
        for edge in edges {
            set.insert(edge);
        }
        set
    }
}

impl EdgeSource for EdgeSet {
    type Error = std::convert::Infallible;

    fn upstream(&self, node: &Node) -> Result<Vec<Edge>, Self::Error> {
        Ok(self.upstream.get(node).cloned().unwrap_or_default())
    }

    fn downstream(&self, node: &Node) -> Result<Vec<Edge>, Self::Error> {
        Ok(self.downstream.get(node).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StatementId;

    fn edge(from: &str, kind: EdgeKind, to: &str) -> Edge {
        let name = |n: &str| Node::Name(n.into());
        let asserted_by = StatementId::from_bytes([0; 32]);
        Edge { from: name(from), kind, to: name(to), asserted_by }
    }

    fn names(walk: &Walk) -> Vec<String> {
        walk.nodes.values().map(|r| format!("{}@{}", r.node, r.depth)).collect()
    }

    #[test]
    fn backward_and_forward_walks_reach_the_same_chain_from_both_ends() {
        let set: EdgeSet = [
            edge("model", EdgeKind::DerivedFrom, "dataset"),
            edge("decision", EdgeKind::EvidenceFor, "model"),
            edge("dataset", EdgeKind::RecalledBy, "recall"),
        ]
        .into_iter()
        .collect();
        let start = |n: &str| [Node::Name(n.into())];
        let back = walk(&set, &start("decision"), Direction::Backward, 100, |_| true).unwrap();
        assert_eq!(names(&back), ["name:dataset@2", "name:decision@0", "name:model@1", "name:recall@3"]);
        let forward = walk(&set, &start("dataset"), Direction::Forward, 100, |_| true).unwrap();
        assert_eq!(names(&forward), ["name:dataset@0", "name:decision@2", "name:model@1"]);
        assert!(!forward.truncated);
    }

    #[test]
    fn a_cycle_ends_and_a_bound_is_admitted() {
        let set: EdgeSet = [edge("a", EdgeKind::DerivedFrom, "b"), edge("b", EdgeKind::DerivedFrom, "a")]
            .into_iter()
            .collect();
        let start = [Node::Name("a".into())];
        let found = walk(&set, &start, Direction::Backward, 100, |_| true).unwrap();
        assert_eq!((found.nodes.len(), found.edges.len(), found.truncated), (2, 2, false));
        let found = walk(&set, &start, Direction::Backward, 1, |_| true).unwrap();
        assert!(found.truncated);
    }
}
