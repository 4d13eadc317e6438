//! A chain as far as it is known here, the own or another's.
//!
//! What follows from the chain alone is its [`Content`], which engines of one process share; beside it stands what differs
//! from one organisation to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use counterfoil_protocol::chain::head::{Head, HeadError};
use counterfoil_protocol::chain::misbehaviour::Accused;
use counterfoil_protocol::chain::proof::{ProofError, verify_consistency};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::chain::{CompactRange, SignedHead};
use counterfoil_protocol::identity::{Epoch, OrganisationState, RecoveryError};
use counterfoil_protocol::ids::{
    ByteString, HeadSeq, KeyId, MeshId, OrganisationId, Position, StatementId, TreeSize,
};
use counterfoil_protocol::statement::{EnvelopeError, Kind, Refusal, Statement, Verified, verify};

use crate::checked::Checked;
use crate::effect::Write;
use crate::message::{Entry, Introduction, NAMED_BYTES, Page, Placed};
use crate::store::ChainSnapshot;
use crate::time::Millis;

/// A chain up to some statement: what is the same wherever it is known.
#[derive(Debug, Clone)]
pub struct Content {
    inception: Arc<[u8]>,
    state: OrganisationState,
    range: CompactRange,
    standing: Vec<Arc<Verified>>,
    head: Option<SignedHead>,
    /// The head under which the last page was accepted, whether or not it was the last one.
    under: Option<SignedHead>,
}

/// What is known of one chain.
#[derive(Debug, Clone)]
pub struct Replica {
    content: Arc<Content>,
    cosignatures: BTreeMap<OrganisationId, Arc<str>>,
    /// When the head was last confirmed to be the latest.
    pub seen: Millis,
    /// The latest head of which its own organisation told, and when.
    pub(crate) told: Option<(HeadSeq, Millis)>,
    /// At which of the engine's revisions its head or cosignatures changed last.
    pub(crate) changed: u64,
    /// Whether a quorum of the chain's witnesses has signed the head.
    pub(crate) witnessed: bool,
}

/// Why a chain on disk, a head or a page is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// A statement cannot be read.
    #[error("position {position}: {error}")]
    Statement {
        /// Where.
        position: Position,
        /// What is wrong.
        error: EnvelopeError,
    },
    /// A statement fails a check.
    #[error("position {position}: {error}")]
    Refused {
        /// Where.
        position: Position,
        /// The failing check.
        error: Refusal,
    },
    /// The bytes have not the digest that the tree holds.
    #[error("position {0}: that is not the statement whose digest stands there")]
    Digest(Position),
    /// A head fails a check.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The page begins elsewhere, is empty, or goes beyond the head.
    #[error("the page covers positions {from} to {to}, which is not what was asked for")]
    Span {
        /// First position.
        from: Position,
        /// Position behind the last.
        to: u64,
    },
    /// The page does not belong under the head.
    #[error("the page does not belong under the head: {0}")]
    Proof(#[from] ProofError),
    /// A standing statement was left out.
    #[error("a standing statement was left out: the head's digest over them does not come out")]
    Standing,
    /// The inception is missing.
    #[error("the inception is missing")]
    NoInception,
    /// The chain does not go on from the head that its recovery names.
    #[error("position {position}: {error}")]
    Recovery {
        /// Where.
        position: Position,
        /// What is wrong.
        error: RecoveryError,
    },
    /// The head is signed by a key that the chain under it does not bring.
    #[error("the chain under the head does not bring the chain key that signed it")]
    Epoch,
}

/// What a page added.
#[derive(Debug)]
pub struct Extended {
    /// What to write.
    pub writes: Vec<Write>,
    /// Statements that are new.
    pub verified: Vec<Arc<Verified>>,
    /// Whether the replica has everything under the head now.
    pub complete: bool,
}

impl Content {
    fn new(inception: Arc<[u8]>) -> Result<Self, ReplicaError> {
        let position = Position(0);
        let statement = Statement::parse(inception.clone())
            .map_err(|error| ReplicaError::Statement { position, error })?;
        let state = OrganisationState::from_inception(&statement)
            .map_err(|error| ReplicaError::Refused { position, error })?;
        let (range, standing) = (CompactRange::default(), Vec::new());
        Ok(Self { inception, state, range, standing, head: None, under: None })
    }

    /// The latest head under which everything is here.
    pub(crate) const fn head(&self) -> Option<&SignedHead> {
        self.head.as_ref()
    }

    fn admit(&mut self, bytes: Arc<[u8]>) -> Result<Arc<Verified>, ReplicaError> {
        let position = self.state.next_position();
        let refuse = |error| ReplicaError::Refused { position, error };
        let statement =
            Statement::parse(bytes).map_err(|error| ReplicaError::Statement { position, error })?;
        let authentic = self.state.authenticate(statement).map_err(refuse)?;
        let verified = Arc::new(verify(&self.state, authentic).map_err(refuse)?);
        self.fold(&verified).map_err(refuse)?;
        Ok(verified)
    }

    fn fold(&mut self, verified: &Arc<Verified>) -> Result<(), Refusal> {
        self.state.apply(verified)?;
        if verified.kind().is_standing() {
            self.standing.push(verified.clone());
        }
        Ok(())
    }

    /// The state just before `position`, which is to lie behind all that stands so far, and under `head`.
    fn stand(&mut self, head: &Head, position: Position) -> Result<&mut OrganisationState, ReplicaError> {
        let from = self.state.next_position();
        if !head.claimed_size().contains(position) || position < from {
            return Err(ReplicaError::Span { from, to: position.0 });
        }
        self.state.skip_to(position);
        Ok(&mut self.state)
    }

    fn set_head(&mut self, head: SignedHead) {
        self.under = Some(head.clone());
        self.head = Some(head);
    }
}

impl Replica {
    fn of(content: impl Into<Arc<Content>>) -> Self {
        let cosignatures = BTreeMap::new();
        Self {
            content: content.into(),
            cosignatures,
            seen: Millis(0),
            told: None,
            changed: 0,
            witnessed: false,
        }
    }

    /// A chain of which the inception alone is known.
    ///
    /// # Errors
    /// [`ReplicaError`] when the bytes are no inception.
    pub fn new(inception: Arc<[u8]>) -> Result<Self, ReplicaError> {
        Ok(Self::of(Content::new(inception)?))
    }

    /// The chain as it lies on disk. Its standing statements are verified again, and must give the head's digest.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub fn restore(snapshot: &ChainSnapshot, checked: &Checked) -> Result<Self, ReplicaError> {
        let (_, inception) = snapshot.standing.first().ok_or(ReplicaError::NoInception)?;
        let mut content = Content::new(inception.clone())?;
        let mut digest_at_head = None;
        let head = snapshot.head.as_ref().map(|bytes| Head::parse(bytes.clone())).transpose()?;
        let known = head.as_ref().and_then(|head| checked.chain(&head.hash()));
        let as_stored = |content: &Content| {
            let places = content.standing.iter().map(|verified| (verified.position(), verified.bytes()));
            content.range == snapshot.range
                && places.eq(snapshot.standing.iter().map(|(at, bytes)| (*at, bytes)))
        };
        if let Some(known) = known.filter(|known| as_stored(&known.content)) {
            return Ok(Self::of(known.content));
        }
        for (position, bytes) in &snapshot.standing {
            content.state.skip_to(*position);
            let is_behind = |head: &Head| !head.claimed_size().contains(*position);
            if head.as_ref().is_some_and(is_behind) && digest_at_head.is_none() {
                digest_at_head = Some(content.state.standing_digest());
            }
            content.admit(bytes.clone())?;
        }
        content.state.skip_to(snapshot.range.size().next_position());
        let head = head.map(|head| content.state.epochs().open_head(head)).transpose()?;
        let digest = digest_at_head.unwrap_or_else(|| content.state.standing_digest());
        if head.as_ref().is_some_and(|head| head.standing() != digest) {
            return Err(ReplicaError::Standing);
        }
        content.range = snapshot.range.clone();
        content.under = head.clone();
        content.head = head;
        let content = Arc::new(content);
        checked.keep(None, &content, &[]);
        Ok(Self::of(content))
    }

    /// Takes the word of its own organisation, if the chain has come so far.
    pub(crate) fn settle(&mut self) {
        let here = self.head().map(SignedHead::seq);
        if let Some((_, at)) = self.told.filter(|(seq, _)| here.is_some_and(|here| here >= *seq)) {
            self.seen = self.seen.max(at);
        }
    }

    /// What somebody is shown who is to learn who signs for this chain, and which peer speaks for it: none before a head under
    /// which that is said.
    pub fn introduction(&self, mesh: MeshId) -> Option<Introduction> {
        let head = self.head()?;
        let (mut standing, mut named) = (Vec::new(), Vec::new());
        let under_head = |verified: &&Arc<Verified>| head.size().contains(verified.position());
        if !self.standing().iter().filter(under_head).any(|verified| verified.kind() == Kind::Node) {
            return None;
        }
        for verified in self.standing().iter().filter(under_head) {
            if verified.kind().tells_who_signs() {
                let statement = ByteString(verified.bytes().to_vec());
                standing.push(Placed { position: verified.position(), statement });
            } else {
                named.extend(verified.position().0.to_be_bytes());
                named.extend(verified.id().as_bytes());
            }
        }
        Some(Introduction {
            mesh,
            head: ByteString(head.bytes().to_vec()),
            standing,
            named: ByteString(named),
        })
    }

    /// A chain of which only standing statements under a head are known, some of them by their ids alone; all of them, as the
    /// head's digest proves. Gives the head too, which the key that they lead to has signed.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub fn introduced(introduction: &Introduction) -> Result<(Self, SignedHead), ReplicaError> {
        let head = Head::parse(introduction.head.0.as_slice())?;
        let inception = introduction.standing.first().ok_or(ReplicaError::NoInception)?;
        let mut content = Content::new(inception.statement.0.as_slice().into())?;
        let (named, rest) = introduction.named.0.as_chunks::<NAMED_BYTES>();
        let mut named = named.iter().map(place).peekable();
        for placed in &introduction.standing {
            while let Some((position, id)) = named.next_if(|(position, _)| *position < placed.position) {
                content.stand(&head, position)?.pass_over(position, id);
            }
            content.stand(&head, placed.position)?;
            content.admit(placed.statement.0.as_slice().into())?;
        }
        for (position, id) in named {
            content.stand(&head, position)?.pass_over(position, id);
        }
        let head = content.state.epochs().open_head(head)?;
        if !rest.is_empty() || content.state.standing_digest() != head.standing() {
            return Err(ReplicaError::Standing);
        }
        Ok((Self::of(content), head))
    }

    /// Takes in a statement that was verified against this replica's state, at the end of the chain.
    ///
    /// # Errors
    /// [`Refusal`] when it was verified for another place.
    pub fn append(&mut self, verified: &Arc<Verified>) -> Result<(), Refusal> {
        let content = Arc::make_mut(&mut self.content);
        content.fold(verified)?;
        content.range.append(verified.leaf_digest().leaf_hash());
        Ok(())
    }

    /// The organisation.
    pub fn organisation(&self) -> OrganisationId {
        self.content.state.organisation()
    }

    /// The inception's bytes.
    pub fn inception(&self) -> &Arc<[u8]> {
        &self.content.inception
    }

    /// What is in force.
    pub fn state(&self) -> &OrganisationState {
        &self.content.state
    }

    /// The tree.
    pub fn range(&self) -> &CompactRange {
        &self.content.range
    }

    /// Standing statements in chain order.
    pub fn standing(&self) -> &[Arc<Verified>] {
        &self.content.standing
    }

    /// The latest head under which everything is here.
    pub fn head(&self) -> Option<&SignedHead> {
        self.content.head.as_ref()
    }

    /// The head under which the last page was accepted: what is here is the beginning of its chain.
    pub fn under(&self) -> Option<&SignedHead> {
        self.content.under.as_ref()
    }

    /// Signature lines on the head, by witness.
    pub const fn cosignatures(&self) -> &BTreeMap<OrganisationId, Arc<str>> {
        &self.cosignatures
    }

    /// The signature lines on the head.
    pub fn lines(&self) -> Vec<Arc<str>> {
        self.cosignatures.values().cloned().collect()
    }

    /// What writes the signature lines on the head as they are here, in place of those known before.
    pub(crate) fn write_lines(&self) -> Vec<Write> {
        let head = self.head().into_iter();
        let write = |head: &SignedHead| {
            let (organisation, size) = (head.organisation(), head.size());
            Write::Cosignatures { organisation, size, lines: self.lines() }
        };
        head.map(write).collect()
    }

    /// Adds a checked cosignature on the head. Returns whether it is new.
    pub fn cosign(&mut self, witness: OrganisationId, line: Arc<str>) -> bool {
        if self.cosignatures.contains_key(&witness) {
            return false;
        }
        self.cosignatures.insert(witness, line);
        true
    }

    /// Lets go of a witness's signature.
    pub(crate) fn uncosign(&mut self, witness: &OrganisationId) {
        self.cosignatures.remove(witness);
    }

    /// A new head has no signatures of witnesses yet.
    fn unwitness(&mut self) {
        self.cosignatures.clear();
        self.witnessed = false;
    }

    /// Takes the head that was signed for the whole of this chain.
    pub fn set_head(&mut self, head: SignedHead) {
        self.unwitness();
        Arc::make_mut(&mut self.content).set_head(head);
    }

    /// The versions of the organisation that lead to its latest chain key; none where that is its first.
    pub fn succession(&self) -> Vec<ByteString> {
        self.versions(self.state().epochs().latest())
    }

    fn versions(&self, epoch: &Epoch) -> Vec<ByteString> {
        let leads_there = |verified: &&Arc<Verified>| {
            verified.kind() == Kind::Organisation && (1..=epoch.since.0).contains(&verified.position().0)
        };
        self.standing()
            .iter()
            .filter(leads_there)
            .map(|verified| ByteString(verified.bytes().to_vec()))
            .collect()
    }

    /// What leads to this chain key, if it is or was one of this organisation's.
    pub fn accused(&self, key: &KeyId) -> Option<Accused> {
        let epoch = self.state().epochs().of_key(key)?;
        Some(Accused { inception: ByteString(self.inception().to_vec()), succession: self.versions(epoch) })
    }

    /// Takes in a page of entries under `head`, all or nothing.
    ///
    /// The page is proven by recomputing the tree from what is here and what the page brings, and by the consistency
    /// proof from there to the head. Each statement passes every check that its own organisation had to make.
    ///
    /// # Errors
    /// [`ReplicaError`]; nothing is changed then.
    // INVARIANT(3): every accepted head extends the previous one by a checked consistency proof.
    pub fn extend(
        &mut self,
        head: &SignedHead,
        page: &Page,
        checked: &Checked,
    ) -> Result<Extended, ReplicaError> {
        let to = page.from.0.saturating_add(page.entries.len() as u64);
        if page.from != self.size().next_position() || page.entries.is_empty() || to > head.size().0 {
            return Err(ReplicaError::Span { from: page.from, to });
        }
        if let Some(extended) = self.adopt(head, page, checked) {
            return Ok(extended);
        }
        let mut next = (*self.content).clone();
        let organisation = self.organisation();
        let mut writes = Vec::with_capacity(page.entries.len() + 2);
        let mut verified = Vec::new();
        for entry in &page.entries {
            let position = next.state.next_position();
            match entry {
                Entry::Statement(bytes) => {
                    let statement = next.admit(bytes.0.as_slice().into())?;
                    if let Some(recovery) = statement.payload().recovery() {
                        recovery
                            .check_tree(position, &next.range.root())
                            .map_err(|error| ReplicaError::Recovery { position, error })?;
                    }
                    next.range.append(statement.leaf_digest().leaf_hash());
                    writes.push(Write::Statement(statement.clone()));
                    verified.push(statement);
                }
                Entry::Withheld(digest) => {
                    next.state.skip_to(position.size_with().next_position());
                    next.range.append(LeafDigest::leaf_hash(digest));
                    writes.push(Write::Withheld { organisation, position, digest: *digest });
                }
            }
        }
        let (size, root) = (next.range.size(), next.range.root());
        verify_consistency(size, &root, head.size(), &head.root(), &page.proof)?;
        let complete = size == head.size();
        if complete && next.state.epochs().at(size).key.id() != head.key() {
            return Err(ReplicaError::Epoch);
        }
        next.under = Some(head.clone());
        if complete {
            if next.state.standing_digest() != head.standing() {
                return Err(ReplicaError::Standing);
            }
            next.set_head(head.clone());
            writes.push(Write::Head(head.clone()));
        }
        writes.push(Write::Tree { organisation, range: next.range.clone() });
        let before = self.head().map(SignedHead::hash);
        self.content = Arc::new(next);
        if complete {
            self.unwitness();
            checked.keep(before.as_ref(), &self.content, &verified);
        }
        Ok(Extended { writes, verified, complete })
    }

    /// Verifies statements of this chain that were withheld, in the order of their positions: each against the digest that
    /// the tree holds there, and as its own organisation had to. Nothing of the state follows from them.
    ///
    /// # Errors
    /// [`ReplicaError`] when one is not what stands there.
    pub fn reveal(&self, found: &[(Position, LeafDigest, &[u8])]) -> Result<Vec<Verified>, ReplicaError> {
        let mut standing = self.standing().iter().peekable();
        let mut state = Content::new(self.inception().clone())?.state;
        let mut verified = Vec::with_capacity(found.len());
        for (position, digest, bytes) in found {
            if LeafDigest::of(bytes) != *digest {
                return Err(ReplicaError::Digest(*position));
            }
            let refuse = |error| ReplicaError::Refused { position: *position, error };
            while let Some(next) = standing.next_if(|next| next.position() < *position) {
                state.skip_to(next.position());
                state.apply(next).map_err(refuse)?;
            }
            state.skip_to(*position);
            let statement = Statement::parse(*bytes)
                .map_err(|error| ReplicaError::Statement { position: *position, error })?;
            let authentic = state.authenticate(statement).map_err(refuse)?;
            verified.push(verify(&state, authentic).map_err(refuse)?);
        }
        Ok(verified)
    }

    /// What [`Self::extend`] comes to when somebody has been through it: the page leads to the very tree under the head, so
    /// its statements are those that were verified there.
    fn adopt(&mut self, head: &SignedHead, page: &Page, checked: &Checked) -> Option<Extended> {
        let known = checked.chain(&head.hash())?;
        let mut range = self.range().clone();
        let (mut writes, mut verified) = (Vec::with_capacity(page.entries.len() + 2), Vec::new());
        for (entry, n) in page.entries.iter().zip(page.from.0..) {
            match entry {
                Entry::Statement(bytes) => {
                    let place = known.recent.partition_point(|recent| recent.position().0 < n);
                    let statement = known.recent.get(place).filter(|recent| {
                        recent.position().0 == n && recent.bytes().as_ref() == bytes.0.as_slice()
                    })?;
                    range.append(statement.leaf_digest().leaf_hash());
                    writes.push(Write::Statement(statement.clone()));
                    verified.push(statement.clone());
                }
                Entry::Withheld(digest) => {
                    range.append(digest.leaf_hash());
                    let organisation = self.organisation();
                    writes.push(Write::Withheld { organisation, position: Position(n), digest: *digest });
                }
            }
        }
        let is_whole = page.proof.is_empty()
            && range == known.content.range
            && (range.size(), range.root()) == (head.size(), head.root());
        if !is_whole {
            return None;
        }
        writes.push(Write::Head(head.clone()));
        writes.push(Write::Tree { organisation: self.organisation(), range });
        self.content = known.content;
        self.unwitness();
        Some(Extended { writes, verified, complete: true })
    }

    /// The size of the chain as far as it is here.
    pub fn size(&self) -> TreeSize {
        self.content.range.size()
    }
}

/// Place and id of a statement that is named alone.
fn place(record: &[u8; NAMED_BYTES]) -> (Position, StatementId) {
    let (mut position, mut id) = ([0; 8], [0; 32]);
    position.iter_mut().zip(record).for_each(|(to, from)| *to = *from);
    id.iter_mut().zip(record.iter().skip(8)).for_each(|(to, from)| *to = *from);
    (Position(u64::from_be_bytes(position)), StatementId::from_bytes(id))
}
