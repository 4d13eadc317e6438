//! A disk in memory. Writes are queued and become durable in order; a crash loses what was not durable yet, and worse
//! things happen to what was.
//!
//! What a store with checksums notices is noticed here: an entry that rotted is not served, a batch of which a part is in
//! the [`log`](crate::log) is dropped whole, and what is found damaged at a start is cut off where the chain was last whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use counterfoil_federation::effect::Write;
use counterfoil_federation::evidence::EvidenceSource;
use counterfoil_federation::message::Entry;
use counterfoil_federation::outbox::Ticket;
use counterfoil_federation::store::{ChainSnapshot, EntrySource, Snapshot};
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::proof::Subtrees;
use counterfoil_protocol::chain::proof::{MissingSubtree, root};
use counterfoil_protocol::chain::tree::{LeafDigest, node_hash};
use counterfoil_protocol::chain::{CompactRange, Hash, SignedHead};
use counterfoil_protocol::ids::{ByteString, HeadHash, OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::lineage::graph::{EdgeSet, EdgeSource};
use counterfoil_protocol::lineage::{Edge, edges};
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::{Kind, Payload, Statement, Visibility};

use crate::log::Batch;

/// What is kept of one entry. Hosts share entries that are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The statement's digest.
    pub digest: LeafDigest,
    leaf: Hash,
    /// The statement, where it is not withheld.
    pub statement: Option<(StatementId, Kind, Visibility, Arc<[u8]>)>,
}

impl Stored {
    /// An entry.
    pub fn new(digest: LeafDigest, statement: Option<(StatementId, Kind, Visibility, Arc<[u8]>)>) -> Self {
        Self { digest, leaf: digest.leaf_hash(), statement }
    }

    /// Whether the statement is the one whose digest stands beside it, and the digest the one in the tree: what checksums
    /// tell.
    pub fn is_whole(&self) -> bool {
        self.digest.leaf_hash() == self.leaf
            && self.statement.as_ref().is_none_or(|(_, _, _, bytes)| LeafDigest::of(bytes) == self.digest)
    }

    /// With another bit: of the statement, or of the digest where there is no more.
    fn rotten(&self, bit: usize) -> Self {
        let flip = |bytes: &mut [u8]| {
            let length = bytes.len().max(1);
            bytes.get_mut(bit / 8 % length).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
        };
        let mut rotten = self.clone();
        match &mut rotten.statement {
            Some((.., bytes)) => {
                let mut changed = bytes.to_vec();
                flip(&mut changed);
                *bytes = changed.into();
            }
            None => flip(&mut rotten.digest.0),
        }
        rotten
    }
}

/// One chain on disk.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Entries in order.
    pub entries: Vec<Arc<Stored>>,
    /// The tree.
    pub range: CompactRange,
    /// The latest head.
    pub head: Option<SignedHead>,
    /// Signature lines on it.
    pub cosignatures: Vec<Arc<str>>,
    /// Earlier heads under which everything was here: where the chain can be cut off.
    earlier: Vec<SignedHead>,
    /// Parts beside the entries whose checksums do not fit any more.
    rotten: BTreeSet<Part>,
}

/// A part of a disk in which a bit can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A statement of a chain, or its digest where that is all there is.
    Entry,
    /// A chain's latest head.
    Head,
    /// A chain's tree.
    Tree,
    /// The signatures of witnesses on the head.
    Cosignatures,
    /// A proof of misbehaviour.
    Proof,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 5] = [Self::Entry, Self::Head, Self::Tree, Self::Cosignatures, Self::Proof];
}

/// Earlier heads that are kept of each chain.
const EARLIER_MAX: usize = 24;

impl Chain {
    /// Goes back to the latest of the earlier heads that covers at most `size` entries. Returns whether there is one.
    pub fn cut_off(&mut self, size: usize) -> bool {
        while let Some(head) = self.earlier.pop() {
            let length = usize::try_from(head.size().0).unwrap_or(usize::MAX);
            if length <= size && length <= self.entries.len() {
                self.entries.truncate(length);
                self.range = CompactRange::default();
                self.entries.iter().for_each(|stored| self.range.append(stored.leaf));
                self.head = Some(head);
                self.cosignatures.clear();
                return true;
            }
        }
        false
    }

    /// Whether no bit of it has changed.
    pub fn is_whole(&self) -> bool {
        self.rotten.is_empty() && self.entries.iter().all(|stored| stored.is_whole())
    }

    fn set_tree(&mut self, range: CompactRange) {
        self.range = range;
        self.rotten.remove(&Part::Tree);
    }

    fn set_cosignatures(&mut self, lines: Vec<Arc<str>>) {
        self.cosignatures = lines;
        self.rotten.remove(&Part::Cosignatures);
    }

    /// What a start does about what is damaged: a tree is made of its entries again, signatures of witnesses are left out, and
    /// what is behind a damaged entry or under a damaged head is cut off where the chain was last whole. Returns whether
    /// anything of the chain is left.
    fn repair(&mut self) -> bool {
        let rotten = std::mem::take(&mut self.rotten);
        if rotten.contains(&Part::Cosignatures) {
            self.cosignatures.clear();
        }
        if rotten.contains(&Part::Tree) {
            self.range = CompactRange::default();
            self.entries.iter().for_each(|stored| self.range.append(stored.leaf));
        }
        let damaged = self.entries.iter().position(|stored| !stored.is_whole());
        let under_head = rotten.contains(&Part::Head).then_some(self.entries.len());
        damaged.or(under_head).is_none_or(|size| self.cut_off(size))
    }

    fn set_head(&mut self, head: SignedHead) {
        self.rotten.remove(&Part::Head);
        if let Some(before) = self.head.replace(head) {
            self.earlier.push(before);
            if self.earlier.len() > EARLIER_MAX {
                self.earlier.remove(0);
            }
        }
        self.set_cosignatures(Vec::new());
    }

    /// The root over the first `size` entries.
    ///
    /// # Errors
    /// [`MissingSubtree`] when there are fewer.
    pub fn root(&self, size: TreeSize) -> Result<Hash, MissingSubtree> {
        root(self, size)
    }

    /// The latest head's sequence number and hash.
    pub fn tip(&self) -> Option<HeadHash> {
        self.head.as_ref().map(SignedHead::hash)
    }
}

/// One operation on its way to the disk.
#[derive(Debug)]
pub enum Operation {
    /// Writes, all or nothing.
    Persist(Vec<Write>),
    /// A change of the head lock.
    Lock {
        /// What it must hold.
        previous: Option<HeadHash>,
        /// What it is to hold.
        head: SignedHead,
    },
}

/// A planted fault of a disk, which a checker has to catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It says that all is durable, and writes nothing of the own chain.
    Lies,
    /// It takes a torn batch in as if it were whole.
    Tears,
    /// It loses proofs of misbehaviour.
    LosesProofs,
    /// It serves private statements.
    Tells,
    /// It does not know what it holds, so that what is appended again gets a second place.
    Forgets,
}

/// How the next write under way ends, with its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All that is under way is lost.
    Lost,
    /// Of the next batch of several records one half is on the disk, and all that comes after it is lost.
    Torn,
}

/// What a start found at the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A batch that was taken in.
    Whole,
    /// So many records of a batch whose digest is another's: they were dropped.
    Torn(usize),
}

/// A disk.
#[derive(Debug, Default)]
pub struct Disk {
    chains: BTreeMap<OrganisationId, Chain>,
    misbehaved: BTreeMap<OrganisationId, Arc<[u8]>>,
    lock: Option<SignedHead>,
    queue: VecDeque<(Ticket, Operation)>,
    log: Option<Batch>,
    torn: u64,
    backup: Option<BTreeMap<OrganisationId, Chain>>,
    paused: BTreeSet<OrganisationId>,
    /// How the next write ends, where its host is to stop with it.
    pub ending: Option<Ending>,
    /// Whether there is no room: every write fails.
    pub full: bool,
    /// A planted fault.
    pub broken: Option<Broken>,
}

/// How an operation ended.
#[derive(Debug)]
pub enum Finished {
    /// It is durable.
    Durable(Ticket),
    /// The lock took it, or held something else.
    Locked(Ticket, Result<(), Option<HeadHash>>),
    /// There was no room for it.
    Failed(Ticket),
}

impl Disk {
    /// Queues an operation.
    pub fn submit(&mut self, ticket: Ticket, operation: Operation) {
        self.queue.push_back((ticket, operation));
    }

    /// Makes the oldest operation durable.
    pub fn finish_one(&mut self) -> Option<Finished> {
        let (ticket, operation) = self.queue.pop_front()?;
        if self.full {
            return Some(Finished::Failed(ticket));
        }
        Some(match operation {
            Operation::Persist(writes) => {
                if self.broken != Some(Broken::Lies) {
                    writes.into_iter().for_each(|write| self.apply(write));
                }
                Finished::Durable(ticket)
            }
            Operation::Lock { previous, head } => {
                let held = self.lock.as_ref().map(SignedHead::hash);
                if held == previous {
                    self.lock = Some(head);
                    Finished::Locked(ticket, Ok(()))
                } else {
                    Finished::Locked(ticket, Err(held))
                }
            }
        })
    }

    /// Whether the next operation is one with which the host is to stop.
    pub fn ends_now(&self) -> bool {
        match (self.ending, self.queue.front()) {
            (None, _) | (_, None) => false,
            (Some(Ending::Lost), Some(_)) => true,
            (Some(Ending::Torn), Some((_, operation))) => {
                matches!(operation, Operation::Persist(writes) if writes.len() > 1)
            }
        }
    }

    /// A crash: the first `survive` queued operations made it to the disk without anybody being told, a half of the next one
    /// when it is `torn`; the rest is lost.
    pub fn crash(&mut self, survive: usize, torn: bool) {
        self.ending = None;
        for _ in 0..survive.min(self.queue.len()) {
            self.finish_one();
        }
        if torn && let Some((_, Operation::Persist(writes))) = self.queue.pop_front() {
            self.torn += 1;
            self.log = Some(Batch::of(writes).torn(self.torn % 2 == 1));
        }
        self.queue.clear();
    }

    /// The batch at the end of the log, while the host is down.
    pub const fn log(&self) -> Option<&Batch> {
        self.log.as_ref()
    }

    /// What a start does about the end of the log: a batch that is whole is taken in, any other is dropped.
    // INVARIANT(2): a batch is there as a whole or not at all, so what it says of a chain fits what it says of its tree.
    pub fn replay(&mut self) -> Found {
        let Some(batch) = self.log.take() else { return Found::Nothing };
        if !batch.is_whole() && self.broken != Some(Broken::Tears) {
            return Found::Torn(batch.records().len());
        }
        batch.into_records().into_iter().for_each(|write| self.apply(write));
        Found::Whole
    }

    /// Keeps a copy of the data, in place of an earlier one.
    pub fn back_up(&mut self) {
        self.backup = Some(self.chains.clone());
    }

    /// The copy of the data, if one was made.
    pub const fn backup(&self) -> Option<&BTreeMap<OrganisationId, Chain>> {
        self.backup.as_ref()
    }

    /// An old copy of the data comes back. The head lock is no part of it.
    pub fn restore_data(&mut self, backup: BTreeMap<OrganisationId, Chain>) {
        self.queue.clear();
        self.log = None;
        self.chains = backup;
    }

    /// The head lock is lost with its disk.
    pub fn lose_lock(&mut self) {
        self.lock = None;
    }

    /// Writes what a recovery brings, and puts its head into the head lock, whatever that held.
    pub fn recover(&mut self, writes: Vec<Write>, head: SignedHead) {
        writes.into_iter().for_each(|write| self.apply(write));
        self.lock = Some(head);
    }

    /// What was synced is lost: a chain ends at an earlier head. Returns whether it does.
    pub fn lose_synced(&mut self, organisation: &OrganisationId, entries: usize) -> bool {
        let Some(chain) = self.chains.get_mut(organisation) else { return false };
        chain.cut_off(chain.entries.len().saturating_sub(entries))
    }

    /// One bit of an entry changes. Returns whether there is one to change.
    pub fn rot(&mut self, organisation: &OrganisationId, index: usize, bit: usize) -> bool {
        let entry = self.chains.get_mut(organisation).and_then(|chain| chain.entries.get_mut(index));
        let Some(entry) = entry else { return false };
        *entry = Arc::new(entry.rotten(bit));
        true
    }

    /// One bit of a chain's head, tree or cosignatures changes, or of the proof against its organisation. Returns whether there
    /// is such a thing.
    pub fn rot_part(&mut self, organisation: &OrganisationId, part: Part, bit: usize) -> bool {
        if part == Part::Proof {
            let Some(proof) = self.misbehaved.get_mut(organisation) else { return false };
            let mut rotten = proof.to_vec();
            let length = rotten.len().max(1);
            rotten.get_mut(bit / 8 % length).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
            *proof = rotten.into();
            return true;
        }
        let Some(chain) = self.chains.get_mut(organisation) else { return false };
        let is_there = match part {
            Part::Head => chain.head.is_some(),
            Part::Cosignatures => !chain.cosignatures.is_empty(),
            Part::Tree => !chain.entries.is_empty(),
            Part::Entry | Part::Proof => false,
        };
        is_there && chain.rotten.insert(part)
    }

    /// Whether no bit of it has changed.
    pub fn is_whole(&self) -> bool {
        let mut proofs = self.misbehaved.values();
        self.chains.values().all(Chain::is_whole) && proofs.all(|proof| is_proof(proof))
    }

    /// Reads everything. Chains of which something is damaged are repaired as far as they can be, and proofs left out. Gives
    /// how many of all of these there were.
    pub fn scrub(&mut self) -> usize {
        let proofs = self.misbehaved.len();
        self.misbehaved.retain(|_, proof| is_proof(proof));
        let mut damaged = proofs - self.misbehaved.len();
        self.chains.retain(|_, chain| {
            let is_whole = chain.is_whole();
            damaged += usize::from(!is_whole);
            is_whole || chain.repair()
        });
        damaged
    }

    /// A copy of everything that is durable, head lock and all: what two machines with one organisation's keys begin with.
    pub fn copy(&self) -> Self {
        let (chains, misbehaved) = (self.chains.clone(), self.misbehaved.clone());
        Self { chains, misbehaved, lock: self.lock.clone(), ..Self::default() }
    }

    /// Proofs of misbehaviour, by whom they are said to convict.
    pub const fn proofs(&self) -> &BTreeMap<OrganisationId, Arc<[u8]>> {
        &self.misbehaved
    }

    /// The proofs, to plant a fault.
    pub const fn proofs_mut(&mut self) -> &mut BTreeMap<OrganisationId, Arc<[u8]>> {
        &mut self.misbehaved
    }

    /// Takes note that exchange with an organisation is paused or not. Returns whether that is new.
    pub fn pause(&mut self, organisation: OrganisationId, paused: bool) -> bool {
        if paused { self.paused.insert(organisation) } else { self.paused.remove(&organisation) }
    }

    /// The data, as a backup takes it.
    pub const fn chains(&self) -> &BTreeMap<OrganisationId, Chain> {
        &self.chains
    }

    /// The data, to plant a fault.
    pub const fn chains_mut(&mut self) -> &mut BTreeMap<OrganisationId, Chain> {
        &mut self.chains
    }

    /// The head lock.
    pub const fn lock(&self) -> Option<&SignedHead> {
        self.lock.as_ref()
    }

    /// Operations under way.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Applies one write, as a replay of it does.
    pub fn apply(&mut self, write: Write) {
        match write {
            Write::Statement(verified) => {
                let header = verified.statement().header();
                let statement = (verified.id(), header.kind, header.visibility, verified.bytes().clone());
                let stored = share(Stored::new(verified.leaf_digest(), Some(statement)));
                self.place(verified.organisation(), verified.position(), stored);
            }
            Write::Revealed(verified) => {
                let header = verified.statement().header();
                let statement = (verified.id(), header.kind, header.visibility, verified.bytes().clone());
                let place = usize::try_from(verified.position().0).unwrap_or(usize::MAX);
                if let Some(stored) = self.chain(verified.organisation()).entries.get_mut(place) {
                    *stored = share(Stored::new(verified.leaf_digest(), Some(statement)));
                }
            }
            Write::Withheld { organisation, position, digest } => {
                self.place(organisation, position, share(Stored::new(digest, None)));
            }
            Write::Tree { organisation, range } => self.chain(organisation).set_tree(range),
            Write::Head(head) => {
                let chain = self.chain(head.organisation());
                // A head that is written a second time keeps its cosignatures.
                if chain.tip() != Some(head.hash()) {
                    chain.set_head(head);
                }
            }
            Write::Cosignatures { organisation, size, lines } => {
                let chain = self.chain(organisation);
                if chain.head.as_ref().is_some_and(|head| head.size() == size) {
                    chain.set_cosignatures(lines);
                }
            }
            Write::Misbehaviour { organisation, proof } => {
                if self.broken != Some(Broken::LosesProofs) {
                    self.misbehaved.insert(organisation, proof.into());
                }
            }
        }
    }

    fn chain(&mut self, organisation: OrganisationId) -> &mut Chain {
        self.chains.entry(organisation).or_default()
    }

    fn place(&mut self, organisation: OrganisationId, position: Position, stored: Arc<Stored>) {
        let chain = self.chain(organisation);
        // Writing a place a second time is what a replay after a crash does; it changes nothing.
        if chain.entries.len() as u64 == position.0 {
            chain.entries.push(stored);
        }
    }

    /// A chain, to serve entries from.
    pub fn serve(&self, organisation: &OrganisationId) -> Option<&Chain> {
        self.chains.get(organisation)
    }

    /// Whether a statement stands in a chain.
    pub fn holds(&self, organisation: &OrganisationId, id: &StatementId) -> bool {
        let entries = self.chains.get(organisation).map(|chain| chain.entries.as_slice()).unwrap_or_default();
        let is_it = |stored: &Arc<Stored>| stored.statement.as_ref().is_some_and(|(stored, ..)| stored == id);
        self.broken != Some(Broken::Forgets) && entries.iter().any(is_it)
    }

    /// What an engine starts from.
    pub fn snapshot(&self) -> Snapshot {
        let chains = self
            .chains
            .iter()
            .filter(|(_, chain)| !chain.entries.is_empty())
            .map(|(organisation, chain)| ChainSnapshot {
                organisation: *organisation,
                range: chain.range.clone(),
                standing: chain
                    .entries
                    .iter()
                    .zip(0u64..)
                    .filter_map(|(stored, position)| match &stored.statement {
                        Some((_, kind, _, bytes)) if kind.is_standing() => {
                            Some((Position(position), bytes.clone()))
                        }
                        _ => None,
                    })
                    .collect(),
                head: chain.head.as_ref().map(|head| head.bytes().clone()),
                cosignatures: chain.cosignatures.clone(),
            })
            .collect();
        Snapshot {
            chains,
            locked: self.lock.as_ref().map(|head| head.bytes().clone()),
            mesh: None,
            paused: self.paused.iter().copied().collect(),
            misbehaved: self.misbehaved.iter().map(|(id, proof)| (*id, proof.clone())).collect(),
        }
    }
}

/// Whether these bytes prove something against somebody: what a checksum tells.
fn is_proof(bytes: &[u8]) -> bool {
    Misbehaviour::parse(bytes).is_ok_and(|proof| proof.check().is_ok())
}

/// Entries that hosts of this thread have in common, by digest: a thousand copies take the room of one.
fn share(stored: Stored) -> Arc<Stored> {
    use std::cell::RefCell;
    use std::collections::HashMap;
    thread_local! {
        static SHARED: RefCell<HashMap<[u8; 32], Arc<Stored>>> = RefCell::default();
    }
    const SHARED_MAX: usize = 1 << 18;
    SHARED.with_borrow_mut(|shared| {
        if shared.len() >= SHARED_MAX {
            shared.retain(|_, stored| Arc::strong_count(stored) > 1);
        }
        match shared.get(&stored.digest.0) {
            Some(same) if **same == stored => same.clone(),
            _ => {
                let stored = Arc::new(stored);
                shared.insert(stored.digest.0, stored.clone());
                stored
            }
        }
    })
}

impl Subtrees for Chain {
    fn subtree(&self, level: u32, index: u64) -> Option<Hash> {
        if level == 0 {
            return self.entries.get(usize::try_from(index).ok()?).map(|stored| stored.leaf);
        }
        let left = self.subtree(level - 1, index.checked_mul(2)?)?;
        let right = self.subtree(level - 1, index.checked_mul(2)?.checked_add(1)?)?;
        Some(node_hash(&left, &right))
    }
}

impl EntrySource for Chain {
    fn entry(&self, position: Position) -> Option<Entry> {
        let stored = self.entries.get(usize::try_from(position.0).ok()?)?;
        let entry = match &stored.statement {
            Some((.., bytes)) => Entry::Statement(ByteString(bytes.to_vec())),
            None => Entry::Withheld(stored.digest),
        };
        stored.is_whole().then_some(entry)
    }
}

/// Everything that is on a disk, to look up what bears on a subject.
#[derive(Debug, Default)]
pub struct Library {
    statements: BTreeMap<StatementId, (OrganisationId, Position, Statement)>,
    edges: EdgeSet,
}

impl EdgeSource for Library {
    type Error = Infallible;

    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.upstream(node)
    }

    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.downstream(node)
    }
}

impl EvidenceSource for Library {
    fn find(&self, id: &StatementId) -> Option<(OrganisationId, Position, Statement)> {
        self.statements.get(id).cloned()
    }
}

impl Disk {
    /// Everything that is on this disk.
    pub fn library(&self) -> Library {
        let mut statements = BTreeMap::new();
        let mut all = Vec::new();
        for (organisation, chain) in &self.chains {
            for (stored, position) in chain.entries.iter().zip(0u64..) {
                let Some((id, _, _, bytes)) = &stored.statement else { continue };
                let Ok(statement) = Statement::parse(bytes.clone()) else { continue };
                if let Ok(payload) = Payload::decode(statement.header().kind, statement.payload()) {
                    all.extend(edges(*id, &payload));
                }
                statements.insert(*id, (*organisation, Position(position), statement));
            }
        }
        Library { statements, edges: all.into_iter().collect() }
    }
}

impl Chain {
    /// Entries from a position on that are digests alone.
    pub fn lacking(&self, from: Position, max: usize) -> Vec<(Position, LeafDigest)> {
        let entries = self.entries.iter().zip(0u64..).skip(usize::try_from(from.0).unwrap_or(usize::MAX));
        let withheld = entries.filter(|(stored, _)| stored.statement.is_none() && stored.is_whole());
        withheld.map(|(stored, position)| (Position(position), stored.digest)).take(max).collect()
    }
}
