//! A disk in memory. Writes are queued and become durable in order; a crash loses what was not durable yet, and worse
//! things happen to what was.
//!
//! What a store with checksums notices is noticed here: an entry that rotted is not served, a batch that was torn is
//! dropped whole, and what is found damaged at a start is cut off where the chain was last whole.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use counterfoil_federation::effect::Write;
use counterfoil_federation::evidence::EvidenceSource;
use counterfoil_federation::message::Entry;
use counterfoil_federation::outbox::Ticket;
use counterfoil_federation::store::{ChainSnapshot, EntrySource, Snapshot};
use counterfoil_protocol::chain::proof::Subtrees;
use counterfoil_protocol::chain::proof::{MissingSubtree, root};
use counterfoil_protocol::chain::tree::{LeafDigest, node_hash};
use counterfoil_protocol::chain::{CompactRange, Hash, SignedHead};
use counterfoil_protocol::ids::{ByteString, HeadHash, OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::lineage::graph::{EdgeSet, EdgeSource};
use counterfoil_protocol::lineage::{Edge, edges};
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::{Kind, Payload, Statement, Visibility};

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

    /// Whether the statement is the one whose digest stands beside it: what a checksum tells.
    pub fn is_whole(&self) -> bool {
        self.statement.as_ref().is_none_or(|(_, _, _, bytes)| LeafDigest::of(bytes) == self.digest)
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

    fn set_head(&mut self, head: SignedHead) {
        if let Some(before) = self.head.replace(head) {
            self.earlier.push(before);
            if self.earlier.len() > EARLIER_MAX {
                self.earlier.remove(0);
            }
        }
        self.cosignatures.clear();
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
    /// It writes a part of a torn batch.
    Tears,
    /// It loses proofs of misbehaviour.
    LosesProofs,
    /// It serves private statements.
    Tells,
    /// It does not know what it holds, so that what is appended again gets a second place.
    Forgets,
}

/// A disk.
#[derive(Debug, Default)]
pub struct Disk {
    chains: BTreeMap<OrganisationId, Chain>,
    misbehaved: BTreeMap<OrganisationId, Arc<[u8]>>,
    lock: Option<SignedHead>,
    queue: VecDeque<(Ticket, Operation)>,
    backup: Option<BTreeMap<OrganisationId, Chain>>,
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

    /// A crash: the first `survive` queued operations made it to the disk without anybody being told, the next one in part
    /// when it is `torn`; the rest is lost. A start drops a torn batch whole, by its checksum.
    pub fn crash(&mut self, survive: usize, torn: bool) {
        for _ in 0..survive.min(self.queue.len()) {
            self.finish_one();
        }
        if torn
            && self.broken == Some(Broken::Tears)
            && let Some((_, Operation::Persist(writes))) = self.queue.pop_front()
        {
            let half = writes.len().div_ceil(2);
            writes.into_iter().rev().take(half).for_each(|write| self.apply(write));
        }
        self.queue.clear();
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

    /// One bit of a stored statement changes. Returns whether there is a statement to change.
    pub fn rot(&mut self, organisation: &OrganisationId, index: usize, bit: usize) -> bool {
        let entry = self.chains.get_mut(organisation).and_then(|chain| chain.entries.get_mut(index));
        let Some(entry) = entry else { return false };
        let Some((id, kind, visibility, bytes)) = &entry.statement else { return false };
        let mut rotten = bytes.to_vec();
        let length = rotten.len().max(1);
        let Some(byte) = rotten.get_mut(bit / 8 % length) else { return false };
        *byte ^= 1 << (bit % 8);
        let statement = Some((*id, *kind, *visibility, rotten.into()));
        *entry = Arc::new(Stored { statement, ..**entry });
        true
    }

    /// Reads everything and cuts chains off where an entry is damaged. Gives those that were.
    pub fn scrub(&mut self) -> Vec<OrganisationId> {
        let damaged = |chain: &Chain| chain.entries.iter().position(|stored| !stored.is_whole());
        let found: Vec<(OrganisationId, usize)> =
            self.chains.iter().filter_map(|(id, chain)| Some((*id, damaged(chain)?))).collect();
        for (organisation, index) in &found {
            if let Some(chain) = self.chains.get_mut(organisation)
                && !chain.cut_off(*index)
            {
                self.chains.remove(organisation);
            }
        }
        found.into_iter().map(|(organisation, _)| organisation).collect()
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
            Write::Tree { organisation, range } => self.chain(organisation).range = range,
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
                    chain.cosignatures = lines;
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
            paused: Vec::new(),
            misbehaved: self.misbehaved.iter().map(|(id, proof)| (*id, proof.clone())).collect(),
        }
    }
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
        match &stored.statement {
            Some((.., bytes)) => stored.is_whole().then(|| Entry::Statement(ByteString(bytes.to_vec()))),
            None => Some(Entry::Withheld(stored.digest)),
        }
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
        let withheld = entries.filter(|(stored, _)| stored.statement.is_none());
        withheld.map(|(stored, position)| (Position(position), stored.digest)).take(max).collect()
    }
}
