//! Edges: how one thing rests on another. They follow from the fields of statements and from nothing else.

use serde::{Deserialize, Serialize};

use crate::ids::StatementId;
use crate::observation::{Subject, SubjectKey as Node};
use crate::statement::Payload;

/// How the earlier end of an edge (`from`) rests on the later one (`to`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeKind {
    /// A statement is about a subject.
    About,
    /// Made from.
    DerivedFrom,
    /// Made by an activity.
    GeneratedBy,
    /// An activity used it.
    Used,
    /// A decision weighed this evidence, or a corrective action shows it.
    EvidenceFor,
    /// A permit was given by this decision.
    DecidedBy,
    /// An effect came about under this permit.
    ActuatedBy,
    /// A nonconformity shows in this, or a corrective action is about it.
    EffectOf,
    /// It takes the place of an earlier statement.
    Supersedes,
    /// A link refers to a foreign statement.
    LinksTo,
    /// A counterfoil or acknowledgement answers it.
    Acknowledges,
    /// A statement or artifact was withdrawn by this recall.
    RecalledBy,
}

impl EdgeKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::About,
        Self::DerivedFrom,
        Self::GeneratedBy,
        Self::Used,
        Self::EvidenceFor,
        Self::DecidedBy,
        Self::ActuatedBy,
        Self::EffectOf,
        Self::Supersedes,
        Self::LinksTo,
        Self::Acknowledges,
        Self::RecalledBy,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::About => "about",
            Self::DerivedFrom => "derived-from",
            Self::GeneratedBy => "generated-by",
            Self::Used => "used",
            Self::EvidenceFor => "evidence-for",
            Self::DecidedBy => "decided-by",
            Self::ActuatedBy => "actuated-by",
            Self::EffectOf => "effect-of",
            Self::Supersedes => "supersedes",
            Self::LinksTo => "links-to",
            Self::Acknowledges => "acknowledges",
            Self::RecalledBy => "recalled-by",
        }
    }
}

/// One edge, and the statement that asserts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// What rests on something.
    pub from: Node,
    /// How.
    pub kind: EdgeKind,
    /// What it rests on.
    pub to: Node,
    /// The statement whose fields say so.
    pub asserted_by: StatementId,
}

/// What was done, and with what: that something was made by the activity that a statement records, and what a statement
/// used. They say more about what other edges say already, so no evidence is looked for over them; lineages show them.
pub fn activity_edges(statement: StatementId, payload: &Payload) -> Vec<Edge> {
    let own = Node::Statement(statement);
    let used = |to: Node| Edge { from: own.clone(), kind: EdgeKind::Used, to, asserted_by: statement };
    let mut edges: Vec<Edge> = match payload {
        Payload::Observation(observation) if observation.claim.starts_with("provenance/") => {
            let made = observation.subjects.iter().map(|subject| Edge {
                from: subject.key(),
                kind: EdgeKind::GeneratedBy,
                to: own.clone(),
                asserted_by: statement,
            });
            made.chain(observation.materials.iter().map(|material| used(material.key()))).collect()
        }
        Payload::Decision(decision) => vec![used(Node::Statement(decision.activation))],
        Payload::Activation(activation) => {
            activation.profiles.iter().map(|profile| used(Node::Statement(*profile))).collect()
        }
        _ => Vec::new(),
    };
    edges.sort();
    edges.dedup();
    edges
}

/// The edges that a statement asserts, in a fixed order without repetition; see also [`activity_edges`].
pub fn edges(statement: StatementId, payload: &Payload) -> Vec<Edge> {
    let own = Node::Statement(statement);
    let mut edges = Vec::new();
    let mut add = |from: &Node, kind, to: Node| {
        edges.push(Edge { from: from.clone(), kind, to, asserted_by: statement });
    };
    match payload {
        Payload::Observation(observation) => {
            let subjects: Vec<Node> = observation.subjects.iter().map(Subject::key).collect();
            for subject in &subjects {
                add(&own, EdgeKind::About, subject.clone());
                for material in &observation.materials {
                    add(subject, EdgeKind::DerivedFrom, material.key());
                }
            }
            for source in &observation.derived_from {
                add(&own, EdgeKind::DerivedFrom, Node::Statement(*source));
            }
        }
        Payload::Link(link) => {
            add(&own, EdgeKind::LinksTo, Node::Statement(link.target.statement));
            if let Some(from) = link.from {
                let kind = link.relation.edge();
                add(&Node::Statement(from), kind, Node::Statement(link.target.statement));
            }
        }
        Payload::Counterfoil(counterfoil) => {
            add(&own, EdgeKind::Acknowledges, Node::Statement(counterfoil.link));
        }
        Payload::Decision(decision) => {
            for subject in &decision.request.subjects {
                add(&own, EdgeKind::About, subject.key());
            }
            for evidence in &decision.evidence {
                add(&own, EdgeKind::EvidenceFor, Node::Statement(evidence.statement));
            }
        }
        Payload::Permit(permit) => {
            add(&own, EdgeKind::DecidedBy, Node::Statement(permit.decision));
        }
        Payload::Effect(effect) => {
            add(&own, EdgeKind::ActuatedBy, Node::Statement(effect.permit));
        }
        Payload::Nonconformity(nonconformity) => {
            add(&own, EdgeKind::EffectOf, Node::Statement(nonconformity.cause));
        }
        Payload::CorrectiveAction(action) => {
            for about in std::iter::once(&action.nonconformity).chain(&action.causes) {
                add(&own, EdgeKind::EffectOf, Node::Statement(*about));
            }
            for evidence in &action.evidence {
                add(&own, EdgeKind::EvidenceFor, Node::Statement(*evidence));
            }
        }
        Payload::Override(overriding) => {
            for subject in &overriding.subjects {
                add(&own, EdgeKind::About, subject.key());
            }
        }
        Payload::Recall(recall) => {
            add(&Node::Statement(recall.statement), EdgeKind::RecalledBy, own.clone());
            for subject in &recall.subjects {
                add(&subject.key(), EdgeKind::RecalledBy, own.clone());
            }
        }
        Payload::Acknowledgement(acknowledgement) => {
            add(&own, EdgeKind::Acknowledges, Node::Statement(acknowledgement.recall));
        }
        _ => {}
    }
    edges.sort();
    edges.dedup();
    edges
}
