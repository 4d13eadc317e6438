//! Lineage: what something rests on, what rests on it, and the way between two things; now or as of an earlier moment.
//! What is named on the way and is not here is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, Timestamp, TreeSize};
use counterfoil_protocol::lineage::index::{AsOf, Direction, Index, NodeNumber, Reached};
use counterfoil_protocol::lineage::{Edge, EdgeKind};
use counterfoil_protocol::observation::{Subject, SubjectKey};
use counterfoil_protocol::statement::{Kind, Payload};
use serde::{Deserialize, Serialize};

use super::missing::{AskedOf, Sought};
use super::proven::{ProofState, Proofs};
use super::read::{NODES_MAX, statement_view};
use super::{Blame, Node, ServiceError};
use crate::store::StoredEntry;

/// A walk through the lineage, or a path in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineageView {
    /// Where it began.
    pub start: String,
    /// `backward`, `forward` or `path`.
    pub direction: String,
    /// What was reached, nearest first.
    pub nodes: Vec<LineageNode>,
    /// The edges between them.
    pub edges: Vec<LineageEdge>,
    /// Whether a bound ended the walk before the graph did.
    pub truncated: bool,
}

/// One node of a lineage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineageNode {
    /// Its text form.
    pub node: String,
    /// Steps from the start.
    pub depth: usize,
    /// Kinds of the edges on the way.
    pub path: Vec<EdgeKind>,
    /// `verified`, `unverified`, `withheld` or `missing` for statements; `subject` for what they are about.
    pub state: String,
    /// Why it is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The statement's organisation, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The statement's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What the other members said of it, where it was not here and was asked for; those who say most first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<AskedOf>,
    /// How many more were asked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asked_more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One edge, with what is known about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineageEdge {
    /// What rests on something, in its text form.
    pub from: String,
    /// How.
    pub kind: EdgeKind,
    /// What it rests on, in its text form.
    pub to: String,
    /// The statement whose fields say so.
    pub asserted_by: StatementId,
    /// What is known about it.
    pub state: ProofState,
    /// Why it is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// As of when a lineage is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// What the own chain held, and had anchored of others, when it had this many statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_position: Option<u64>,
    /// What was issued at or before this second, as its authors say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_time: Option<u64>,
}

/// Nodes that a walk reached, by their numbers.
#[derive(Debug)]
pub struct Pages(Vec<Reached>);

/// Nodes of one page.
const PAGE_NODES: usize = 4096;

impl Node {
    /// What a statement or subject rests on, over all organisations. The other members are asked for what is not here, for as
    /// long as `wait` at most.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn trace(&self, text: &str, moment: Moment, wait: Duration) -> Result<LineageView, ServiceError> {
        self.walked(text, Direction::Backward, moment, wait)
    }

    /// What rests on a statement or subject, over all organisations. The other members are asked as for [`Self::trace`].
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn impact(&self, text: &str, moment: Moment, wait: Duration) -> Result<LineageView, ServiceError> {
        self.walked(text, Direction::Forward, moment, wait)
    }

    /// Everything that rests on a statement or subject, without bound, to be read a page at a time.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn impact_pages(&self, text: &str, moment: Moment) -> Result<Pages, ServiceError> {
        let start = self.starts(text, Direction::Forward)?;
        let as_of = self.as_of(moment)?;
        Ok(Pages(self.store().lineage(|index| {
            let from: Vec<NodeNumber> = start.iter().filter_map(|node| index.find(node)).collect();
            index.walk(from, Direction::Forward, usize::MAX, as_of.as_ref()).collect()
        })?))
    }

    /// A page of them, one line of JSON for each; none behind the last. The lineage is held for one page at a time, so that
    /// a slow reader holds up nobody else.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn page(&self, pages: &Pages, number: usize) -> Result<Option<Vec<u8>>, ServiceError> {
        let Some(page) = pages.0.chunks(PAGE_NODES).nth(number) else { return Ok(None) };
        let mut lines = Vec::with_capacity(page.len() * 128);
        let written = self.store().lineage(|index| index.write_lines(page.iter().copied(), &mut lines))?;
        written.map_err(|error| ServiceError::new(Blame::Node, "lines", error.to_string()))?;
        Ok(Some(lines))
    }

    /// A shortest way from one statement or subject to another: the edges by which the one rests on the other. The other
    /// members are asked as for [`Self::trace`], where no way is known without.
    ///
    /// # Errors
    /// [`ServiceError`] when neither rests on the other.
    pub fn path(
        &self,
        from: &str,
        to: &str,
        moment: Moment,
        wait: Duration,
    ) -> Result<LineageView, ServiceError> {
        let (a, b) = (self.lineage_node(from)?, self.lineage_node(to)?);
        let as_of = self.as_of(moment)?;
        let mut sought = Sought::within(wait);
        let way = loop {
            let (way, mut reached) = self.store().lineage(|index| way(index, &a, &b, as_of.as_ref()))?;
            reached.extend([a.clone(), b.clone()]);
            if !self.look_for(&reached, &mut sought)? {
                break way;
            }
        };
        let Some(edges) = way else {
            let text = format!(
                "neither of {a} and {b} rests on the other, as far as is known here; see `trace` of each"
            );
            return Err(ServiceError::absent(text));
        };
        let first = edges.first().map_or_else(|| a.clone(), |edge| edge.from.clone());
        let mut nodes = vec![(first.clone(), Vec::new())];
        let mut path = Vec::new();
        for edge in &edges {
            path.push(edge.kind);
            nodes.push((edge.to.clone(), path.clone()));
        }
        self.described(first.to_string(), "path", (nodes, edges, false), &sought)
    }

    fn walked(
        &self,
        text: &str,
        direction: Direction,
        moment: Moment,
        wait: Duration,
    ) -> Result<LineageView, ServiceError> {
        let as_of = self.as_of(moment)?;
        let mut sought = Sought::within(wait);
        let (start, walked) = loop {
            // What comes may be what it begins with.
            let start = self.starts(text, direction)?;
            let walked = self.store().lineage(|index| found(index, &start, direction, as_of.as_ref()))?;
            if !self.look_for(walked.0.iter().map(|(node, _)| node), &mut sought)? {
                break (start, walked);
            }
        };
        let direction = match direction {
            Direction::Backward => "backward",
            Direction::Forward => "forward",
        };
        let start = start.first().map(ToString::to_string).unwrap_or_default();
        self.described(start, direction, walked, &sought)
    }

    /// The node that a text names: a statement by its id or the beginning of it, anything else by its digest or name.
    fn lineage_node(&self, text: &str) -> Result<SubjectKey, ServiceError> {
        match self.resolve(text) {
            Ok(id) => Ok(SubjectKey::Statement(id)),
            Err(error) => match text.parse::<Subject>() {
                Ok(subject) if text.contains(':') => Ok(subject.key()),
                _ => Err(error),
            },
        }
    }

    fn starts(&self, text: &str, direction: Direction) -> Result<Vec<SubjectKey>, ServiceError> {
        let node = self.lineage_node(text)?;
        let mut start = vec![node.clone()];
        if let (SubjectKey::Statement(id), Direction::Forward) = (node, direction) {
            start.extend(self.withdrawn(&id)?);
        }
        Ok(start)
    }

    /// What else falls with a statement: what a recall withdraws, and what an observation is about.
    fn withdrawn(&self, id: &StatementId) -> Result<Vec<SubjectKey>, ServiceError> {
        Ok(match self.payload_of(id)? {
            Some(Payload::Recall(recall)) => std::iter::once(SubjectKey::Statement(recall.statement))
                .chain(recall.subjects.iter().map(Subject::key))
                .collect(),
            Some(Payload::Observation(observation)) => {
                observation.subjects.iter().map(Subject::key).collect()
            }
            _ => Vec::new(),
        })
    }

    /// What a statement says, if it is here.
    pub(super) fn payload_of(&self, id: &StatementId) -> Result<Option<Payload>, ServiceError> {
        let placed = self.store().statement(id)?;
        Ok(placed.and_then(|p| Payload::decode(p.statement.header().kind, p.statement.payload()).ok()))
    }

    fn as_of(&self, moment: Moment) -> Result<Option<AsOf>, ServiceError> {
        let until = moment.as_of_time.map(Timestamp);
        let sizes = match moment.as_of_position {
            Some(size) => Some(self.anchored(TreeSize(size))?),
            None => None,
        };
        Ok((sizes.is_some() || until.is_some()).then_some(AsOf { sizes, until }))
    }

    /// The own chain's first statements, and how much of the others' chains they had anchored.
    fn anchored(&self, size: TreeSize) -> Result<BTreeMap<OrganisationId, TreeSize>, ServiceError> {
        let (view, own) = (self.view()?, self.organisation());
        let known = super::covered(&view, &own);
        if size > known {
            let text = format!("the own chain has {known} statements; there is nothing as of {size} yet");
            return Err(ServiceError::caller("as-of", text));
        }
        let mut sizes: BTreeMap<OrganisationId, TreeSize> = BTreeMap::from([(own, size)]);
        for position in 0..size.0 {
            let Some(StoredEntry::Statement(bytes)) = self.store().entry(&own, Position(position))? else {
                continue;
            };
            let Ok(statement) = counterfoil_protocol::statement::Statement::parse(bytes) else { continue };
            if statement.header().kind != Kind::Anchor {
                continue;
            }
            if let Ok(Payload::Anchor(anchor)) = Payload::decode(Kind::Anchor, statement.payload()) {
                for head in anchor.heads {
                    let seen = sizes.entry(head.organisation).or_default();
                    *seen = head.size.max(*seen);
                }
            }
        }
        Ok(sizes)
    }

    /// Says what is known about each node and edge.
    fn described(
        &self,
        start: String,
        direction: &str,
        (nodes, edges, truncated): Found,
        sought: &Sought,
    ) -> Result<LineageView, ServiceError> {
        let view = self.view()?;
        let names = Self::names(&view);
        let mut proofs = Proofs::new(self, &view, sought, &names);
        let mut described = Vec::with_capacity(edges.len());
        for edge in edges {
            let (state, why) = proofs.of_edge(&edge)?;
            let (from, to) = (edge.from.to_string(), edge.to.to_string());
            described.push(LineageEdge {
                from,
                kind: edge.kind,
                to,
                asserted_by: edge.asserted_by,
                state,
                why,
            });
        }
        let mut shown = Vec::with_capacity(nodes.len());
        for (key, path) in nodes {
            let mut node = LineageNode {
                node: key.to_string(),
                depth: path.len(),
                path,
                state: "subject".into(),
                why: None,
                organisation: None,
                kind: None,
                summary: None,
                asked: Vec::new(),
                asked_more: 0,
            };
            if let SubjectKey::Statement(id) = &key {
                (node.asked, node.asked_more) = self.asked_of(id, sought, &names)?;
                let (state, why) = proofs.of_statement(id)?;
                (node.state, node.why) = (state.name().to_owned(), why);
                if let Some(placed) = self.store().statement(id)? {
                    let one = statement_view(&view, placed.organisation, placed.position, &placed.statement);
                    node.kind = Some(one.kind);
                    node.summary = Some(one.summary);
                    node.organisation = names.get(&placed.organisation).cloned();
                }
            }
            shown.push(node);
        }
        Ok(LineageView { start, direction: direction.into(), nodes: shown, edges: described, truncated })
    }
}

/// A shortest way between two nodes, whichever rests on the other; else none, with all that either rests on.
fn way(
    index: &Index,
    a: &SubjectKey,
    b: &SubjectKey,
    as_of: Option<&AsOf>,
) -> (Option<Vec<Edge>>, Vec<SubjectKey>) {
    let ends: Vec<NodeNumber> = [a, b].into_iter().filter_map(|node| index.find(node)).collect();
    let way = match ends.as_slice() {
        [start, end] => index.path(*start, *end, as_of).or_else(|| index.path(*end, *start, as_of)),
        _ => None,
    };
    match way {
        Some(way) => {
            let edges: Vec<Edge> = way.into_iter().filter_map(|edge| index.edge(edge)).collect();
            let nodes = edges.iter().flat_map(|edge| [edge.from.clone(), edge.to.clone()]).collect();
            (Some(edges), nodes)
        }
        None => {
            let walk = index.walk(ends, Direction::Backward, NODES_MAX, as_of);
            (None, walk.map(|reached| index.node(reached.node)).collect())
        }
    }
}

/// Nodes with the kinds of edges that lead to each, the edges between them, and whether there is more.
type Found = (Vec<(SubjectKey, Vec<EdgeKind>)>, Vec<Edge>, bool);

/// The nodes of a walk with the kinds of edges that lead to each, nearest first, and all edges between them. The same
/// for the same statements, in whatever order they came.
fn found(index: &Index, start: &[SubjectKey], direction: Direction, as_of: Option<&AsOf>) -> Found {
    let from: Vec<NodeNumber> = start.iter().filter_map(|node| index.find(node)).collect();
    let mut walk = index.walk(from, direction, NODES_MAX, as_of);
    let reached: Vec<Reached> = walk.by_ref().collect();
    let depths: BTreeMap<NodeNumber, u32> = reached.iter().map(|r| (r.node, r.depth)).collect();
    let mut paths: BTreeMap<NodeNumber, Vec<EdgeKind>> = BTreeMap::new();
    let mut edges = BTreeSet::new();
    // Nearest first, so that the paths to a node's depth are there when it is its turn.
    for here in &reached {
        let so_far = paths.entry(here.node).or_default().clone();
        for (number, other) in index.edges_at(here.node, direction) {
            if as_of.is_some_and(|as_of| !index.stood(number, as_of)) {
                continue;
            }
            let Some(edge) = index.edge(number) else { continue };
            if depths.get(&other) == Some(&(here.depth + 1)) {
                let mut path = so_far.clone();
                path.push(edge.kind);
                let known = paths.entry(other).or_insert_with(|| path.clone());
                if path < *known {
                    *known = path;
                }
            }
            if depths.contains_key(&other) {
                edges.insert(edge);
            }
        }
    }
    let mut nodes: Vec<(SubjectKey, Vec<EdgeKind>)> =
        reached.iter().map(|r| (index.node(r.node), paths.remove(&r.node).unwrap_or_default())).collect();
    // What is asked about by digest or name may be unknown, but it is what was asked about.
    if nodes.is_empty() {
        nodes.extend(start.first().map(|node| (node.clone(), Vec::new())));
    }
    nodes.sort_by_cached_key(|(node, path)| (path.len(), node.to_string()));
    (nodes, edges.into_iter().collect(), walk.is_truncated())
}
