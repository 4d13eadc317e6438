//! Where edges come from, node by node: what a decision's evidence and a bundle's contents are gathered from.
//!
//! Whole lineages are walked in an [`super::Index`].

use std::collections::BTreeMap;

use super::edge::Edge;
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
