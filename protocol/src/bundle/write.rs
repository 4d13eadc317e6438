//! Selecting what a lineage needs, and writing it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use super::format::{BundleError, Earlier, Entry, MAGIC, Manifest, Range, Section, VERSION};
use super::readers::{Readers, Shown};
use super::references;
use crate::chain::checkpoint::Checkpoint;
use crate::chain::cosignature::witness_name;
use crate::chain::head::Head;
use crate::chain::note::Note;
use crate::chain::proof::{MissingSubtree, Subtrees, consistency_proof};
use crate::chain::{LeafDigest, SignedHead};
use crate::codec;
use crate::digest::blake3;
use crate::ids::{ByteString, OrganisationId, Position, StatementId, Timestamp, TreeSize};
use crate::limits::BUNDLE_ITEM_BYTES_MAX;
use crate::lineage::graph::EdgeSource;
use crate::lineage::{EdgeKind, edge::Edge};
use crate::observation::{Disclosure, SubjectKey, sealed};
use crate::statement::{Kind, Payload, Statement};

/// How far back an anchor is looked for.
const ANCHOR_SEARCH_MAX: usize = 10_000;

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

    /// The digest of a statement that is withheld.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn withheld(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<LeafDigest>, Self::Error>;

    /// A chain; none where no head of it is known.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn chain(&self, organisation: &OrganisationId) -> Result<Option<ChainSource>, Self::Error>;

    /// The hashes of a chain's tree.
    fn tree(&self, organisation: &OrganisationId) -> impl Subtrees;

    /// Disclosures of a statement's sealed claims, where they are known here.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn disclosures(&self, statement: &StatementId) -> Result<Vec<Vec<u8>>, Self::Error>;

    /// The proof that an organisation misbehaved, where there is one.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn misbehaviour(&self, organisation: &OrganisationId) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// What a bundle is asked to prove.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The lineage of these statements.
    pub about: Vec<StatementId>,
    /// Everything that these organisations said from the first to the last second.
    pub period: Option<(Timestamp, Timestamp, Vec<OrganisationId>)>,
    /// Names of sealed claims that are to be disclosed.
    pub disclose: BTreeMap<StatementId, BTreeSet<String>>,
    /// For whom.
    pub readers: Readers,
}

impl Wanted {
    /// The lineage of statements.
    pub fn lineage(about: &[StatementId]) -> Self {
        Self { about: about.to_vec(), ..Self::default() }
    }
}

/// What is to go into the bundle.
#[derive(Default)]
struct Selection {
    statements: BTreeMap<OrganisationId, BTreeSet<Position>>,
    withheld: BTreeMap<OrganisationId, BTreeMap<Position, LeafDigest>>,
    ranges: Vec<Range>,
    /// Sizes of each chain that statements speak of.
    sizes: BTreeMap<OrganisationId, BTreeSet<TreeSize>>,
    absent: BTreeSet<StatementId>,
    limited: BTreeSet<StatementId>,
    forked: BTreeSet<OrganisationId>,
    disclosures: BTreeMap<StatementId, Vec<Vec<u8>>>,
}

/// Writes the bundle that proves what is wanted: the same wish and chains give the same bytes.
///
/// # Errors
/// [`BundleError`].
pub fn write<S: Source>(source: &S, wanted: &Wanted) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    write_to(source, wanted, &mut bytes)?;
    Ok(bytes)
}

/// As [`write()`], to a file. Statements are read one by one, so the file may be larger than the memory.
///
/// # Errors
/// [`BundleError`]; what was written is of no use then.
pub fn write_to<S: Source>(source: &S, wanted: &Wanted, out: &mut impl Write) -> Result<(), BundleError> {
    let source = &Shown { whole: source, readers: &wanted.readers };
    let mut selection = Selection::default();
    let mut seen: BTreeSet<StatementId> = wanted.about.iter().copied().collect();
    seen.extend(wanted.disclose.keys());
    let about: Vec<StatementId> = seen.iter().copied().collect();
    if let Some((first, last, organisations)) = &wanted.period {
        for organisation in organisations {
            seen.extend(selection.range(source, *organisation, *first, *last)?);
        }
    }
    let mut queue: Vec<StatementId> = seen.iter().copied().collect();
    let mut swept = BTreeSet::new();
    loop {
        while let Some(id) = queue.pop() {
            let found = selection.select(source, id)?;
            if found.is_none() && about.contains(&id) {
                let is_limited = selection.limited.contains(&id);
                return Err(if is_limited { BundleError::Limited(id) } else { BundleError::Unknown(id) });
            }
            queue.extend(found.into_iter().flatten().filter(|next| seen.insert(*next)));
        }
        // A chain comes with its standing statements, and they with what they rest on: a recall with what it withdraws.
        let Some(organisation) = selection.organisations().into_iter().find(|id| !swept.contains(id)) else {
            break;
        };
        swept.insert(organisation);
        let needed = standing_references(source, &organisation)?;
        queue.extend(needed.into_iter().filter(|next| seen.insert(*next)));
    }
    drop(seen);
    selection.anchors(source)?;
    selection.disclosures = disclosures(source, wanted)?;
    let organisations = selection.organisations();
    let mut misbehaviour = Vec::new();
    for organisation in &selection.forked {
        let proof = source.misbehaviour(organisation).map_err(|e| BundleError::Source(e.to_string()))?;
        misbehaviour.extend(proof.map(ByteString));
    }
    let manifest = Manifest {
        about,
        absent: selection.absent.iter().copied().collect(),
        limited: selection.limited.iter().copied().collect(),
        misbehaviour,
        ranges: std::mem::take(&mut selection.ranges),
        period: wanted.period.as_ref().map(|(first, last, _)| (*first, *last)),
        sections: organisations.len() as u64,
    };
    let mut file = Sealing { out, hasher: ::blake3::Hasher::new(), item: 0 };
    file.put(MAGIC)?;
    file.put(&[VERSION])?;
    file.item(&manifest)?;
    for organisation in &organisations {
        section(source, organisation, &selection, &organisations, &mut file)?;
    }
    let digest = *file.hasher.finalize().as_bytes();
    file.item(&ByteString(digest.to_vec()))
}

/// A file in the making, and its digest.
struct Sealing<'a, W> {
    out: &'a mut W,
    hasher: ::blake3::Hasher,
    item: u64,
}

impl<W: Write> Sealing<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.hasher.update(bytes);
        Ok(self.out.write_all(bytes)?)
    }

    fn item<T: serde::Serialize>(&mut self, item: &T) -> Result<(), BundleError> {
        let bytes = codec::encode(item).map_err(|error| BundleError::Item { item: self.item, error })?;
        self.long_enough(&bytes)?;
        self.put(&bytes)
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), BundleError> {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        self.long_enough(&bytes)?;
        self.put(&bytes)
    }

    fn long_enough(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        if bytes.len() > BUNDLE_ITEM_BYTES_MAX {
            return Err(BundleError::TooLong(self.item));
        }
        self.item += 1;
        Ok(())
    }
}

/// The disclosures that are asked for, in the order of their digests.
fn disclosures<S: Source>(
    source: &S,
    wanted: &Wanted,
) -> Result<BTreeMap<StatementId, Vec<Vec<u8>>>, BundleError> {
    let mut found = BTreeMap::new();
    for (statement, names) in &wanted.disclose {
        let known = source.disclosures(statement).map_err(|e| BundleError::Source(e.to_string()))?;
        let mut chosen = Vec::new();
        for name in names {
            let mut named =
                known.iter().filter(|bytes| Disclosure::parse(bytes).is_ok_and(|d| d.name == *name));
            let Some(disclosure) = named.next() else {
                return Err(BundleError::Undisclosed { statement: *statement, name: name.clone() });
            };
            chosen.push(disclosure.clone());
        }
        chosen.sort_by_key(|disclosure| sealed::seal(disclosure).0);
        found.insert(*statement, chosen);
    }
    Ok(found)
}

/// A piece of a section's tree.
enum Piece {
    Statement(Position),
    Withheld(LeafDigest),
    Absent { level: u32, index: u64 },
}

/// The pieces that cover a tree: what was selected, and the largest complete subtrees between.
fn pieces(selected: BTreeMap<Position, Option<LeafDigest>>, size: TreeSize) -> Vec<Piece> {
    let mut found = Vec::with_capacity(selected.len());
    let mut at = 0u64;
    let fill = |at: &mut u64, to: u64, found: &mut Vec<Piece>| {
        while *at < to {
            let level = at.trailing_zeros().min(63 - (to - *at).leading_zeros());
            found.push(Piece::Absent { level, index: *at >> level });
            *at += 1 << level;
        }
    };
    for (position, withheld) in selected {
        fill(&mut at, position.0, &mut found);
        found.push(withheld.map_or(Piece::Statement(position), Piece::Withheld));
        at = position.size_with().0;
    }
    fill(&mut at, size.0, &mut found);
    found
}

/// A chain's section: every standing statement, those others that were selected, and what lies between.
fn section<S: Source>(
    source: &S,
    organisation: &OrganisationId,
    selection: &Selection,
    organisations: &BTreeSet<OrganisationId>,
    file: &mut Sealing<'_, impl Write>,
) -> Result<(), BundleError> {
    let failed = |error: S::Error| BundleError::Source(error.to_string());
    let chain = source.chain(organisation).map_err(failed)?.ok_or(BundleError::NoHead(*organisation))?;
    let size = chain.head.size();
    let mut selected: BTreeMap<Position, Option<LeafDigest>> = BTreeMap::new();
    for (position, digest) in selection.withheld.get(organisation).into_iter().flatten() {
        selected.insert(*position, Some(*digest));
    }
    let statements = selection.statements.get(organisation).into_iter().flatten();
    selected.extend(statements.chain(&chain.standing).map(|position| (*position, None)));
    // What is durable but under no head yet is for the next bundle.
    selected.retain(|position, _| size.contains(*position));
    let pieces = pieces(selected, size);
    let tree = source.tree(organisation);
    let mut earlier = Vec::new();
    for past in selection.sizes.get(organisation).into_iter().flatten().filter(|past| **past < size) {
        earlier.push(Earlier { size: *past, proof: consistency_proof(&tree, *past, size)? });
    }
    file.item(&Section {
        organisation: *organisation,
        head: ByteString(chain.head.bytes().to_vec()),
        cosignatures: chain.cosignatures.into_iter().filter(|line| is_of(line, organisations)).collect(),
        earlier,
        entries: pieces.len() as u64,
    })?;
    for piece in pieces {
        let entry = match piece {
            Piece::Statement(position) => {
                let bytes = source.statement(organisation, position).map_err(failed)?;
                let gone = || BundleError::Source(format!("position {position} of {organisation} is gone"));
                let bytes = bytes.ok_or_else(gone)?;
                let disclosures = if selection.disclosures.is_empty() {
                    Vec::new()
                } else {
                    let id = StatementId::from_bytes(blake3(&bytes));
                    selection.disclosures.get(&id).cloned().unwrap_or_default()
                };
                Entry::Statement { bytes, disclosures }
            }
            Piece::Withheld(digest) => Entry::from(digest),
            Piece::Absent { level, index } => {
                let root = tree.subtree(level, index).ok_or(MissingSubtree { level, index })?;
                Entry::Absent { level, root }
            }
        };
        file.entry(&entry)?;
    }
    Ok(())
}

/// What the standing statements of a chain rest on.
fn standing_references<S: Source>(
    source: &S,
    organisation: &OrganisationId,
) -> Result<BTreeSet<StatementId>, BundleError> {
    let failed = |error: S::Error| BundleError::Source(error.to_string());
    let chain = source.chain(organisation).map_err(failed)?.ok_or(BundleError::NoHead(*organisation))?;
    let mut found = BTreeSet::new();
    for position in chain.standing {
        let Some(bytes) = source.statement(organisation, position).map_err(failed)? else { continue };
        found.extend(parsed(bytes)?.1);
    }
    Ok(found)
}

/// A statement's payload, and what it rests on.
fn parsed(bytes: Arc<[u8]>) -> Result<(Payload, BTreeSet<StatementId>), BundleError> {
    let wrong = |error: String| BundleError::Source(error);
    let statement = Statement::parse(bytes).map_err(|error| wrong(error.to_string()))?;
    let payload = Payload::decode(statement.header().kind, statement.payload());
    let payload = payload.map_err(|error| wrong(error.to_string()))?;
    let found = references(&statement, &payload);
    Ok((payload, found))
}

/// Whether a signature line is of a witness whose chain, and so whose key, is in the bundle.
fn is_of(line: &str, organisations: &BTreeSet<OrganisationId>) -> bool {
    organisations.iter().any(|witness| line.split(' ').nth(1) == Some(&witness_name(witness)))
}

impl Selection {
    /// Whose chains go into the bundle.
    fn organisations(&self) -> BTreeSet<OrganisationId> {
        let named = self.statements.keys().chain(self.sizes.keys()).chain(self.withheld.keys());
        named.copied().collect()
    }

    /// Selects a statement. Gives what belongs with it, or nothing when it is not here, or not for the readers.
    fn select<S: Source>(
        &mut self,
        source: &Shown<'_, S>,
        id: StatementId,
    ) -> Result<Option<BTreeSet<StatementId>>, BundleError> {
        let failed = |error: S::Error| BundleError::Source(error.to_string());
        let place = source.place(&id).map_err(failed)?;
        if let Some((organisation, position)) = place
            && let Some(digest) = source.hidden(&organisation, position).map_err(failed)?
        {
            self.withheld.entry(organisation).or_default().insert(position, digest);
            self.limited.insert(id);
            return Ok(None);
        }
        let bytes = match place {
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
        let (payload, mut next) = parsed(bytes)?;
        self.statements.entry(organisation).or_default().insert(position);
        self.note_sizes(&payload);
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

    /// Selects everything between the last statement issued before a period and the first issued after it, those two
    /// included. Gives the statements.
    fn range<S: Source>(
        &mut self,
        source: &Shown<'_, S>,
        organisation: OrganisationId,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<Vec<StatementId>, BundleError> {
        let failed = |error: S::Error| BundleError::Source(error.to_string());
        let chain = source.chain(&organisation).map_err(failed)?.ok_or(BundleError::NoHead(organisation))?;
        let size = chain.head.size().0;
        let issued = |position: u64| -> Result<Option<(StatementId, Timestamp)>, BundleError> {
            // Also what is limited to others has its place in the period.
            let bytes = source.whole.statement(&organisation, Position(position)).map_err(failed)?;
            let statement = bytes.and_then(|bytes| Statement::parse(bytes).ok());
            Ok(statement.map(|statement| (statement.id(), statement.header().issued_at)))
        };
        let (mut from, mut to) = (None, 0);
        for position in 0..size {
            let at = issued(position)?.map(|(_, at)| at);
            if at.is_some_and(|at| (first..=last).contains(&at)) {
                from = from.or(Some(position));
                to = position + 1;
            }
        }
        let (from, to) = match from {
            Some(from) => (from, to),
            // Nothing was said: the place where it would stand.
            None => {
                let mut place = 0;
                while place < size && issued(place)?.is_none_or(|(_, at)| at < first) {
                    place += 1;
                }
                (place, place)
            }
        };
        let mut found = Vec::new();
        for position in from.saturating_sub(1)..to.saturating_add(1).min(size) {
            if let Some(digest) = source.withheld(&organisation, Position(position)).map_err(failed)? {
                self.withheld.entry(organisation).or_default().insert(Position(position), digest);
            } else if let Some((id, _)) = issued(position)? {
                found.push(id);
            }
        }
        self.ranges.push(Range { organisation, from: Position(from), to: Position(to) });
        self.ranges.sort_by_key(|range| range.organisation);
        Ok(found)
    }

    /// Selects for each selected statement the latest anchor before it: what it embeds existed before the statement.
    fn anchors<S: Source>(&mut self, source: &S) -> Result<(), BundleError> {
        let failed = |error: S::Error| BundleError::Source(error.to_string());
        for (organisation, statements) in &mut self.statements {
            let mut found = BTreeSet::new();
            let mut searched = None;
            for position in statements.iter() {
                // Nothing is looked at twice: the search ends where the one before it began.
                let from = searched.map_or(0, |searched: u64| searched + 1);
                searched = Some(position.0);
                for at in (from..position.0).rev().take(ANCHOR_SEARCH_MAX) {
                    let bytes = source.statement(organisation, Position(at)).map_err(failed)?;
                    let is_anchor = |bytes: &Arc<[u8]>| {
                        Statement::parse(bytes.clone()).is_ok_and(|s| s.header().kind == Kind::Anchor)
                    };
                    if bytes.is_some_and(|bytes| is_anchor(&bytes)) {
                        found.insert(Position(at));
                        break;
                    }
                }
            }
            statements.extend(found);
        }
        Ok(())
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
