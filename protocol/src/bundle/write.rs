//! Selecting what a lineage needs, and writing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::format::{BundleError, Earlier, Included, Manifest, Section, assemble};
use super::references;
use crate::chain::SignedHead;
use crate::chain::checkpoint::Checkpoint;
use crate::chain::cosignature::witness_name;
use crate::chain::head::Head;
use crate::chain::note::Note;
use crate::chain::proof::{Subtrees, consistency_proof, inclusion_proof};
use crate::ids::{ByteString, OrganisationId, Position, StatementId, TreeSize};
use crate::lineage::graph::EdgeSource;
use crate::lineage::{EdgeKind, edge::Edge};
use crate::observation::SubjectKey;
use crate::statement::{Payload, Statement};

/// One chain as the writer needs it.
pub struct ChainSource {
    /// The latest head.
    pub head: SignedHead,
    /// Signature lines on its checkpoint.
    pub cosignatures: Vec<String>,
    /// Positions of the standing statements under the head, in order.
    pub standing: Vec<Position>,
}

/// Where a bundle's content comes from. The edges are those of every statement that is known.
pub trait Source: EdgeSource<Error: std::fmt::Display> {
    /// Where a statement stands.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn place(&self, statement: &StatementId) -> Result<Option<(OrganisationId, Position)>, Self::Error>;

    /// A statement's bytes; none where it is withheld.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn statement(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<Arc<[u8]>>, Self::Error>;

    /// A chain; none where no head of it is known.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn chain(&self, organisation: &OrganisationId) -> Result<Option<ChainSource>, Self::Error>;

    /// The hashes of a chain's tree.
    fn tree(&self, organisation: &OrganisationId) -> impl Subtrees;

    /// The proof that an organisation misbehaved, where there is one.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn misbehaviour(&self, organisation: &OrganisationId) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// What is to go into the bundle.
#[derive(Default)]
struct Selection {
    statements: BTreeMap<OrganisationId, BTreeMap<Position, Arc<[u8]>>>,
    /// Sizes of each chain that statements speak of.
    sizes: BTreeMap<OrganisationId, BTreeSet<TreeSize>>,
    absent: BTreeSet<StatementId>,
    forked: BTreeSet<OrganisationId>,
}

/// Writes the bundle about these statements: the same statements and chains give the same bytes.
///
/// # Errors
/// [`BundleError`].
pub fn write<S: Source>(source: &S, about: &[StatementId]) -> Result<Vec<u8>, BundleError> {
    let mut selection = Selection::default();
    let mut seen: BTreeSet<StatementId> = about.iter().copied().collect();
    let mut queue: Vec<StatementId> = seen.iter().copied().collect();
    while let Some(id) = queue.pop() {
        let found = selection.select(source, id)?;
        if found.is_none() && about.contains(&id) {
            return Err(BundleError::Unknown(id));
        }
        for next in found.into_iter().flatten() {
            if seen.insert(next) {
                queue.push(next);
            }
        }
    }
    let mut about: Vec<StatementId> = about.to_vec();
    about.sort();
    about.dedup();
    let organisations: BTreeSet<OrganisationId> =
        selection.statements.keys().chain(selection.sizes.keys()).copied().collect();
    let mut sections = Vec::with_capacity(organisations.len());
    for organisation in &organisations {
        sections.push(section(source, organisation, &selection, &organisations)?);
    }
    let mut misbehaviour = Vec::new();
    for organisation in &selection.forked {
        let proof = source.misbehaviour(organisation).map_err(|e| BundleError::Source(e.to_string()))?;
        misbehaviour.extend(proof.map(ByteString));
    }
    let absent = selection.absent.into_iter().collect();
    let manifest = Manifest { about, absent, misbehaviour, sections: sections.len() as u64 };
    assemble(&manifest, &sections)
}

/// A chain's section: every standing statement, and those others that were selected.
fn section<S: Source>(
    source: &S,
    organisation: &OrganisationId,
    selection: &Selection,
    organisations: &BTreeSet<OrganisationId>,
) -> Result<(Section, Vec<Included>), BundleError> {
    let failed = |error: S::Error| BundleError::Source(error.to_string());
    let chain = source.chain(organisation).map_err(failed)?.ok_or(BundleError::NoHead(*organisation))?;
    let size = chain.head.size();
    let mut statements = selection.statements.get(organisation).cloned().unwrap_or_default();
    for position in &chain.standing {
        if let Some(bytes) = source.statement(organisation, *position).map_err(failed)? {
            statements.insert(*position, bytes);
        }
    }
    let tree = source.tree(organisation);
    let mut included = Vec::with_capacity(statements.len());
    for (position, bytes) in statements {
        if !size.contains(position) {
            // Durable, but under no head yet: the next bundle has it.
            continue;
        }
        let path = inclusion_proof(&tree, position, size)?;
        included.push(Included { position, statement: ByteString(bytes.to_vec()), path });
    }
    let mut earlier = Vec::new();
    for past in selection.sizes.get(organisation).into_iter().flatten().filter(|past| **past <= size) {
        earlier.push(Earlier { size: *past, proof: consistency_proof(&tree, *past, size)? });
    }
    let section = Section {
        organisation: *organisation,
        head: ByteString(chain.head.bytes().to_vec()),
        cosignatures: chain.cosignatures.into_iter().filter(|line| is_of(line, organisations)).collect(),
        earlier,
        statements: included.len() as u64,
    };
    Ok((section, included))
}

/// Whether a signature line is of a witness whose chain, and so whose key, is in the bundle.
fn is_of(line: &str, organisations: &BTreeSet<OrganisationId>) -> bool {
    organisations.iter().any(|witness| line.split(' ').nth(1) == Some(&witness_name(witness)))
}

impl Selection {
    /// Selects a statement. Gives what belongs with it, or nothing when it is not here.
    fn select<S: Source>(
        &mut self,
        source: &S,
        id: StatementId,
    ) -> Result<Option<BTreeSet<StatementId>>, BundleError> {
        let failed = |error: S::Error| BundleError::Source(error.to_string());
        let bytes = match source.place(&id).map_err(failed)? {
            Some((organisation, position)) => source
                .statement(&organisation, position)
                .map_err(failed)?
                .map(|bytes| (organisation, position, bytes)),
            None => None,
        };
        let Some((organisation, position, bytes)) = bytes else {
            self.absent.insert(id);
            return Ok(None);
        };
        let statement =
            Statement::parse(bytes.clone()).map_err(|error| BundleError::Source(error.to_string()))?;
        let payload = Payload::decode(statement.header().kind, statement.payload())
            .map_err(|error| BundleError::Source(error.to_string()))?;
        self.statements.entry(organisation).or_default().insert(position, bytes);
        self.note_sizes(&payload);
        let mut next = references(&statement, &payload);
        // What answers or follows from it belongs with it as well.
        let node = SubjectKey::Statement(id);
        let follows = |edge: &Edge| {
            matches!(
                edge.kind,
                EdgeKind::Acknowledges | EdgeKind::DecidedBy | EdgeKind::ActuatedBy | EdgeKind::EffectOf
            )
        };
        for edge in source.downstream(&node).map_err(failed)?.iter().filter(|edge| follows(edge)) {
            let Some((organisation, position)) = source.place(&edge.asserted_by).map_err(failed)? else {
                continue;
            };
            if source.statement(&organisation, position).map_err(failed)?.is_some() {
                next.insert(edge.asserted_by);
            }
        }
        Ok(Some(next))
    }

    /// Takes note of the chain sizes that a statement speaks of.
    fn note_sizes(&mut self, payload: &Payload) {
        let mut note = |organisation: OrganisationId, size: Option<TreeSize>| {
            self.sizes.entry(organisation).or_default().extend(size);
        };
        match payload {
            Payload::Decision(decision) => {
                for basis in &decision.basis {
                    let size = Head::parse(basis.head.0.as_slice()).ok().map(|head| head.claimed_size());
                    note(basis.organisation, size);
                }
                self.forked.extend(decision.forked.iter().copied());
            }
            Payload::Link(link) => note(link.target.organisation, size_of(&link.target.checkpoint)),
            Payload::Counterfoil(counterfoil) => {
                note(counterfoil.organisation, size_of(&counterfoil.checkpoint));
            }
            _ => {}
        }
    }
}

fn size_of(checkpoint: &ByteString) -> Option<TreeSize> {
    let note = Note::parse(&checkpoint.0).ok()?;
    Checkpoint::parse(note.text()).ok().map(|checkpoint| checkpoint.size)
}
