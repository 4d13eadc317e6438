//! Going along one chain: every statement in its position, every piece of the tree in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::{Examined, Finding, Keys};
use super::format::Section;
use super::ranges::Watch;
use super::references;
use super::report::DisclosedClaim;
use crate::chain::cosignature::Cosignature;
use crate::chain::proof::verify_consistency;
use crate::chain::{CompactRange, Hash, Head, SignedHead};
use crate::identity::{OrganisationState, StandingDigest};
use crate::ids::{OrganisationId, StatementId, TreeSize};
use crate::keys::PreparedKey;
use crate::limits::BUNDLE_KEPT_BYTES_MAX;
use crate::observation::{Disclosure, sealed};
use crate::statement::{Kind, Payload, Signed, Verified, verify_decoded};

/// Most keys of one chain whose tables are kept.
const PREPARED_MAX: usize = 256;
/// Most statements that others rest on which are looked for in a second reading.
const SOUGHT_MAX: usize = 4 << 20;
/// Most sealed claims that one bundle discloses.
const DISCLOSED_MAX: usize = 4096;
/// Largest sum of statements that others are checked against, in bytes.
const ESSENTIAL_BYTES_MAX: usize = 16 * BUNDLE_KEPT_BYTES_MAX;

/// Which check failed, and how.
pub(super) type Failure = (&'static str, String);

/// One chain of the bundle, verified.
pub(super) struct Chain {
    pub(super) head: SignedHead,
    pub(super) state: OrganisationState,
    /// In chain order: all, or those that were kept.
    pub(super) statements: Vec<Verified>,
    places: BTreeMap<StatementId, usize>,
    /// How many statements of it the file has.
    pub(super) included: u64,
    /// Witnesses' cosignatures on the head that verify.
    pub(super) cosignatures: BTreeMap<OrganisationId, Cosignature>,
    earlier: BTreeMap<TreeSize, Vec<Hash>>,
}

/// All chains of the bundle.
pub(super) type Chains = BTreeMap<OrganisationId, Chain>;

/// What is kept of the statements that were read. Bounded, however long the file is.
pub(super) struct Keep {
    enough: usize,
    kept: usize,
    /// Whether some statements were let go.
    pub(super) has_dropped: bool,
    /// What those that were let go rest on, with one that does.
    pub(super) sought: BTreeMap<StatementId, StatementId>,
    pub(super) disclosed: Vec<DisclosedClaim>,
}

impl Keep {
    /// Nothing yet, and at most so many bytes of what others are not checked against.
    pub(super) const fn new(enough: usize) -> Self {
        Self { enough, kept: 0, has_dropped: false, sought: BTreeMap::new(), disclosed: Vec::new() }
    }

    /// Keeps what is disclosed of a statement.
    fn disclose(&mut self, statement: StatementId, opened: Vec<Disclosure>) -> Result<(), Failure> {
        if self.disclosed.len() > DISCLOSED_MAX {
            return Err(("size", format!("it discloses more than {DISCLOSED_MAX} sealed claims")));
        }
        let shown = |Disclosure { name, value, .. }| DisclosedClaim { statement, name, value };
        self.disclosed.extend(opened.into_iter().map(shown));
        Ok(())
    }

    /// Whether to keep a statement; what it rests on is noted if not.
    fn keeps(&mut self, verified: &Verified) -> Result<bool, Failure> {
        let size = verified.bytes().len();
        let enough = if is_essential(verified.kind()) { ESSENTIAL_BYTES_MAX } else { self.enough };
        if self.kept + size <= enough {
            self.kept += size;
            return Ok(true);
        }
        let too_much = |what: &str| {
            ("size", format!("it has more {what} than are checked at once; ask for a shorter period"))
        };
        if is_essential(verified.kind()) {
            return Err(too_much("statements that others are checked against"));
        }
        self.has_dropped = true;
        let by = verified.id();
        self.sought
            .extend(references(verified.statement(), verified.payload()).into_iter().map(|id| (id, by)));
        if self.sought.len() > SOUGHT_MAX {
            Err(too_much("statements that rest on others"))
        } else {
            Ok(false)
        }
    }
}

/// Kinds that other checks look at.
const fn is_essential(kind: Kind) -> bool {
    kind.is_standing()
        || matches!(
            kind,
            Kind::Link
                | Kind::Counterfoil
                | Kind::Anchor
                | Kind::Decision
                | Kind::Permit
                | Kind::Effect
                | Kind::Nonconformity
                | Kind::CorrectiveAction
        )
}

/// A chain that is being read.
pub(super) struct Walk {
    organisation: OrganisationId,
    head: Option<Head>,
    earlier: BTreeMap<TreeSize, Vec<Hash>>,
    state: Option<OrganisationState>,
    tree: CompactRange,
    pub(super) keys: Keys,
    statements: Vec<Verified>,
    included: u64,
    watch: Option<Watch>,
}

impl Walk {
    /// The beginning of a section.
    pub(super) fn new(section: &Section, watch: Option<Watch>) -> Result<Self, Failure> {
        let head = Head::parse(section.head.0.as_slice()).map_err(|error| ("head", error.to_string()))?;
        if !section.earlier.is_sorted_by(|one, next| one.size < next.size) {
            return Err(("file-form", "the earlier sizes do not ascend".into()));
        }
        let earlier = section.earlier.iter().map(|earlier| (earlier.size, earlier.proof.clone())).collect();
        Ok(Self {
            organisation: section.organisation,
            head: Some(head),
            earlier,
            state: None,
            tree: CompactRange::default(),
            keys: Keys::default(),
            statements: Vec::new(),
            included: 0,
            watch,
        })
    }

    /// How far the walk has come.
    pub(super) const fn size(&self) -> TreeSize {
        self.tree.size()
    }

    /// Takes the next entry.
    pub(super) fn step(&mut self, finding: Finding, keep: &mut Keep) -> Result<(), Failure> {
        match finding {
            Finding::Absent { level, root } => {
                let from = self.size();
                self.tree.append_subtree(level, root).map_err(|error| ("inclusion", error.to_string()))?;
                let Some(state) = &mut self.state else {
                    return Err(("inception", "the chain's inception is missing".into()));
                };
                state.skip_to(self.tree.size().next_position());
                if let Some(watch) = &mut self.watch {
                    watch.absent(from, self.tree.size(), level == 0);
                }
                Ok(())
            }
            Finding::Malformed(error) => Err(("statement-form", error)),
            Finding::Statement(examined) => self.statement(*examined, keep),
        }
    }

    fn statement(&mut self, examined: Examined, keep: &mut Keep) -> Result<(), Failure> {
        let Examined { statement, payload, leaf, disclosures } = examined;
        if self.state.is_none() {
            self.begin(&statement)?;
        }
        let Some(state) = &mut self.state else { return Err(("inception", "it is missing".into())) };
        let authentic = match statement {
            Signed::Checked(authentic) => authentic,
            Signed::Wrong(id) => return Err(("signature", format!("{id}: the signature does not verify"))),
            Signed::Unchecked(statement) => {
                let id = statement.id();
                let key = statement.header().key;
                let authentic =
                    state.authenticate(statement).map_err(|error| ("signature", format!("{id}: {error}")))?;
                if let Some(key) = state.public_key(&key).filter(|_| self.keys.len() < PREPARED_MAX)
                    && let Ok(prepared) = PreparedKey::new(*key)
                {
                    Arc::make_mut(&mut self.keys).insert(key.id(), Arc::new(prepared));
                }
                authentic
            }
        };
        let id = authentic.statement().id();
        let verified = verify_decoded(state, authentic, payload)
            .map_err(|error| (error.check(), format!("{id}: {error}")))?;
        if let Some(recovery) = verified.payload().recovery() {
            recovery
                .check_tree(verified.position(), &self.tree.root())
                .map_err(|error| ("recovery", format!("{id}: {error}")))?;
        }
        state.apply(&verified).map_err(|error| (error.check(), format!("{id}: {error}")))?;
        if !disclosures.is_empty() {
            let Payload::Observation(observation) = verified.payload() else {
                return Err(("disclosure", format!("{id} is no observation")));
            };
            let opened = sealed::open(&observation.sealed, &disclosures)
                .map_err(|error| ("disclosure", format!("{id}: {error}")))?;
            keep.disclose(id, opened)?;
        }
        self.tree.append(leaf);
        self.included += 1;
        if let Some(watch) = &mut self.watch {
            watch.statement(verified.position(), verified.statement().header().issued_at);
        }
        if keep.keeps(&verified)? {
            self.statements.push(verified);
        }
        Ok(())
    }

    /// The first entry is the inception of the organisation.
    fn begin(&mut self, first: &Signed) -> Result<(), Failure> {
        let Signed::Unchecked(inception) = first else {
            return Err(("inception", "the chain's inception is missing".into()));
        };
        let state = OrganisationState::from_inception(inception).map_err(|e| ("inception", e.to_string()))?;
        let found = state.organisation();
        if found != self.organisation {
            return Err(("inception", format!("it is the inception of {found}")));
        }
        self.state = Some(state);
        Ok(())
    }

    /// The end of the section: the head, signed by the chain's key, has exactly the tree that was walked.
    pub(super) fn finish(mut self) -> Result<(Chain, Option<Watch>), Failure> {
        let Some((mut state, head)) = self.state.take().zip(self.head.take()) else {
            return Err(("inception", "the chain's inception is missing".into()));
        };
        let head = state.epochs().open_head(head).map_err(|error| ("head", error.to_string()))?;
        let (size, tree) = (head.size(), self.tree.size());
        if tree != size {
            return Err((
                "inclusion",
                format!("the entries make a tree of {tree}, the head has one of {size}"),
            ));
        }
        if self.tree.root() != head.root() {
            let what = "a statement or a hash does not belong here, or one is missing";
            return Err(("inclusion", format!("the entries lead to another root than the head's: {what}")));
        }
        state.skip_to(size.next_position());
        if state.standing_digest() != head.standing() {
            let gap = "a credential, revocation, vote, profile, recall or the like was left out or added";
            return Err(("completeness", gap.into()));
        }
        // The head's own size needs no proof: what stood beside it, nobody would check.
        if let Some((beyond, _)) = self.earlier.range(size..).next() {
            return Err(("file-form", format!("an earlier size is {beyond}, and the head's is {size}")));
        }
        let places = self.statements.iter().enumerate().map(|(n, verified)| (verified.id(), n)).collect();
        let chain = Chain {
            head,
            state,
            statements: self.statements,
            places,
            included: self.included,
            cosignatures: BTreeMap::new(),
            earlier: self.earlier,
        };
        Ok((chain, self.watch))
    }
}

impl Chain {
    /// The statement with this id.
    pub(super) fn find(&self, id: &StatementId) -> Option<&Verified> {
        self.places.get(id).and_then(|place| self.statements.get(*place))
    }

    /// Takes in statements that were let go before.
    pub(super) fn add(&mut self, found: Vec<Verified>) {
        if found.is_empty() {
            return;
        }
        self.statements.extend(found);
        self.statements.sort_by_key(Verified::position);
        self.places = self.statements.iter().enumerate().map(|(n, verified)| (verified.id(), n)).collect();
    }

    /// Standing statements among the first `size`.
    pub(super) fn standing(&self, size: TreeSize) -> impl Iterator<Item = &Verified> {
        self.statements
            .iter()
            .filter(move |verified| verified.kind().is_standing() && size.contains(verified.position()))
    }

    /// The chain's state when it had `size` statements, if that gives the `digest` that a head of that size carries.
    pub(super) fn state_at(
        &self,
        size: TreeSize,
        digest: StandingDigest,
    ) -> Result<OrganisationState, String> {
        let state = OrganisationState::under(self.standing(size), size).map_err(|e| e.to_string())?;
        if state.standing_digest() != digest {
            return Err("the standing statements do not give that head's digest".into());
        }
        Ok(state)
    }

    /// Whether a tree of this size and root is the beginning of this chain.
    pub(super) fn begins_with(&self, size: TreeSize, root: &Hash) -> Result<(), String> {
        let none = Vec::new();
        let proof = match self.earlier.get(&size) {
            Some(proof) => proof,
            None if size == self.head.size() => &none,
            None => return Err(format!("there is no proof that leads from size {size} to the head")),
        };
        verify_consistency(size, root, self.head.size(), &self.head.root(), proof).map_err(|e| e.to_string())
    }
}

/// Ids that a second reading looks for.
pub(super) struct Sought {
    /// Statements that are wanted whole.
    pub(super) whole: BTreeSet<StatementId>,
    /// Statements of which it matters that they are here.
    pub(super) present: BTreeSet<StatementId>,
}
