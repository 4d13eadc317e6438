//! The engine: one input at a time, state changes in memory, effects into the outbox.
//!
//! This module routes. The own chain is the [`sequencer`](crate::sequencer)'s affair, other chains are in
//! `sync`, contradictions in `exposure`, peers in `introduce`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::chain::head::HeadError;
use counterfoil_protocol::chain::{Head, SignedHead};
use counterfoil_protocol::ids::{ByteString, Bytes, HeadHash, MeshId, OrganisationId, StatementId, TreeSize};
use counterfoil_protocol::keys::{PublicKey, Signer};
use counterfoil_protocol::mesh::{Agreements, Charter, Membership};
use counterfoil_protocol::statement::{Authentic, Kind, Verified};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::agreement::Crossing;
use crate::budget::Bucket;
use crate::checked::Checked;
use crate::config::{Config, ConfigError};
use crate::effect::{AppendError, AppendId, Effect, Event, GatherId};
use crate::evidence::Gathering;
use crate::fetch::Targets;
use crate::input::Input;
use crate::message::{Announcement, Topic};
use crate::notice::{OnceWitnessed, Parked};
use crate::outbox::{Outbox, Ticket};
use crate::peer::{Departed, Exchanges, Peer, Suspicion};
use crate::reach::Reaching;
use crate::replica::{Replica, ReplicaError};
use crate::seek::{Search, lock_is_missing, lock_is_of_later_epoch};
use crate::sequencer::{Committed, Sequencer};
use crate::store::Snapshot;
use crate::sync::Origin;
use crate::time::Millis;
use crate::watch::Watch;

/// Who the engine works for.
pub struct Identity {
    /// The organisation's inception.
    pub inception: Arc<[u8]>,
    /// Signs checkpoints, heads and receipts.
    pub chain_key: Arc<dyn Signer>,
    /// Cosigns others' checkpoints.
    pub witness_key: Arc<dyn Signer>,
}

/// Why an engine cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// See the inner error.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A chain on disk does not pass its checks.
    #[error("chain of {organisation} on disk: {error}; run `fsck`")]
    Chain {
        /// Whose.
        organisation: OrganisationId,
        /// What is wrong.
        error: Box<ReplicaError>,
    },
    /// The inception that the engine is to work for is none.
    #[error("the organisation's inception: {0}")]
    Inception(Box<ReplicaError>),
    /// The head lock holds no head of this organisation.
    #[error("the head lock does not hold a head of this organisation")]
    Lock,
}

/// The state machine.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) me: OrganisationId,
    identity: Identity,
    pub(crate) outbox: Outbox,
    pub(crate) replicas: BTreeMap<OrganisationId, Replica>,
    pub(crate) membership: Option<Membership>,
    pub(crate) sequencer: Sequencer,
    pub(crate) peers: BTreeMap<[u8; 32], Peer>,
    pub(crate) exchanges: Exchanges,
    pub(crate) targets: Targets,
    /// Proofs of misbehaviour, by whom they convict.
    pub(crate) proofs: BTreeMap<OrganisationId, Arc<[u8]>>,
    /// Pairs of heads that the store is to compare.
    pub(crate) suspicions: BTreeMap<OrganisationId, Suspicion>,
    /// What is looked for among the peers, where the own latest head is not known.
    pub(crate) search: Option<Search>,
    /// Organisations whose new epoch leaves out what is here, and how.
    pub(crate) not_followed: BTreeMap<OrganisationId, String>,
    pub(crate) candidates: BTreeSet<OrganisationId>,
    /// Agreements, and what is being fetched under them.
    pub(crate) crossing: Crossing,
    /// Organisations with which exchange is paused.
    pub(crate) paused: BTreeSet<OrganisationId>,
    /// Decisions that wait for evidence, and lineages that wait for statements.
    pub(crate) gatherings: BTreeMap<GatherId, Gathering>,
    /// Peers that are being connected for them.
    pub(crate) reaching: Reaching,
    pub(crate) next_exchange: u64,
    /// Whether this organisation is a member, by what is known here.
    takes_part: bool,
    pub(crate) next_round: Millis,
    /// When somebody else is asked for heads too, unless whoever was asked has answered by then.
    pub(crate) hedge_at: Option<Millis>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) checked: Arc<Checked>,
    /// The witnesses of chains, as far as they were asked for since the membership changed.
    pub(crate) witnesses: BTreeMap<OrganisationId, Arc<[OrganisationId]>>,
    /// Invitations that candidates have shown.
    pub(crate) invited: BTreeMap<OrganisationId, StatementId>,
    /// Names this run in tokens.
    pub(crate) start: u64,
    /// How often anything that vectors speak of has changed.
    pub(crate) revision: u64,
    /// Organisations by the revision at which they changed last.
    pub(crate) changes: BTreeMap<u64, OrganisationId>,
    /// Digest over all heads, until one changes.
    pub(crate) digest: Option<Bytes<32>>,
    /// What is left of what organisations may have passed on.
    pub(crate) budgets: BTreeMap<(OrganisationId, Topic), Bucket>,
    /// Messages that were beyond it.
    pub(crate) limited: BTreeMap<OrganisationId, u64>,
    /// How the own witnesses are.
    pub(crate) watch: Watch,
    /// What is left of what peers may cost that were connected a moment ago.
    pub(crate) departed: BTreeMap<[u8; 32], Departed>,
    /// Questions that wait for what is on its way here.
    pub(crate) parked: Parked,
    /// Heads that came by comparison, with when neighbours are told of them unless gossip comes first.
    pub(crate) untold: BTreeMap<OrganisationId, (Millis, HeadHash)>,
    /// Until when the own head is kept back for its witnesses.
    pub(crate) kept_back: Option<Millis>,
    /// What is said once a quorum has signed it.
    pub(crate) once_witnessed: OnceWitnessed,
    /// Whether somebody may have entered the circle, or left it.
    pub(crate) circle_is_due: bool,
}

impl Engine {
    /// An engine that goes on from what is on disk.
    ///
    /// # Errors
    /// [`StartError`]. When the head lock is ahead of the chain the engine starts, but does not sign until its peers have
    /// given back what is missing.
    pub fn new(
        config: Config,
        identity: Identity,
        snapshot: &Snapshot,
        seed: [u8; 32],
    ) -> Result<Self, StartError> {
        Self::sharing(config, identity, snapshot, seed, Arc::default())
    }

    /// As [`Self::new`], sharing with other engines of this process what was checked already.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn sharing(
        config: Config,
        identity: Identity,
        snapshot: &Snapshot,
        seed: [u8; 32],
        checked: Arc<Checked>,
    ) -> Result<Self, StartError> {
        config.check()?;
        let mut replicas = BTreeMap::new();
        for chain in &snapshot.chains {
            let organisation = chain.organisation;
            let replica = Replica::restore(chain, &checked)
                .map_err(|error| StartError::Chain { organisation, error: Box::new(error) })?;
            replicas.insert(organisation, replica);
        }
        let own = Replica::new(identity.inception.clone())
            .map_err(|error| StartError::Inception(Box::new(error)))?;
        let me = own.organisation();
        let own = replicas.entry(me).or_insert(own);
        let mut outbox = Outbox::default();
        let mut sequencer = Sequencer::new(false);
        let mut targets = Targets::default();
        // INVARIANT(1): data alone does not tell whether a later head was let out.
        let mut search = None;
        match &snapshot.locked {
            None if own.head().is_some() => {
                search = Some(Search::default());
                sequencer.freeze(&lock_is_missing(own.head(), None), &mut outbox);
            }
            None => {}
            Some(bytes) => {
                let locked = Head::parse(bytes.clone()).map_err(|_| StartError::Lock)?;
                match own.state().epochs().open_head(locked.clone()) {
                    Ok(locked) if own.size() < locked.size() => {
                        let text = "its data lags behind its head lock; it catches up from its peers first; if they do not \
                                    have that either, `root recover` gives it up";
                        sequencer.hold(text, &mut outbox);
                        search = Some(Search::of(locked.clone()));
                        targets.want(locked, Origin::default(), Millis(0), false);
                    }
                    Ok(locked) => {
                        if own.head().map(SignedHead::hash) != Some(locked.hash()) {
                            own.set_head(locked.clone());
                            let ticket = outbox.ticket();
                            let writes = vec![crate::effect::Write::Head(locked)];
                            outbox.push(Effect::Persist { ticket, writes });
                        }
                    }
                    Err(HeadError::Epoch { .. }) => {
                        search = Some(Search::default());
                        sequencer.freeze(&lock_is_of_later_epoch(&locked), &mut outbox);
                    }
                    Err(_) => return Err(StartError::Lock),
                }
            }
        }
        let covered = own.head().map_or(0, |head| head.size().0);
        if sequencer.frozen().is_none() && own.size().0 > covered {
            sequencer = Sequencer::new(true);
        }
        let standing = replicas.values().flat_map(Replica::standing).map(Arc::as_ref);
        let crossing = Crossing::of(standing);
        let mut engine = Self {
            config,
            me,
            identity,
            outbox,
            replicas,
            membership: None,
            sequencer,
            peers: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            targets,
            proofs: snapshot.misbehaved.iter().cloned().collect(),
            suspicions: BTreeMap::new(),
            search,
            not_followed: BTreeMap::new(),
            candidates: BTreeSet::new(),
            crossing,
            paused: snapshot.paused.iter().copied().collect(),
            gatherings: BTreeMap::new(),
            reaching: Reaching::default(),
            next_exchange: 0,
            takes_part: false,
            next_round: Millis(0),
            hedge_at: None,
            rng: ChaCha8Rng::from_seed(seed),
            checked,
            witnesses: BTreeMap::new(),
            invited: BTreeMap::new(),
            start: 0,
            revision: 0,
            changes: BTreeMap::new(),
            digest: None,
            budgets: BTreeMap::new(),
            limited: BTreeMap::new(),
            watch: Watch::default(),
            departed: BTreeMap::new(),
            parked: Parked::default(),
            untold: BTreeMap::new(),
            kept_back: None,
            once_witnessed: OnceWitnessed::Head,
            circle_is_due: false,
        };
        if let Some(text) = engine.key_is_another().filter(|_| engine.frozen().is_none()) {
            engine.search = Some(Search::default());
            engine.refuse_to_sign(&text);
        }
        engine.start = engine.rng.next_u64();
        let known: Vec<OrganisationId> = engine.replicas.keys().copied().collect();
        known.iter().for_each(|organisation| engine.touch(organisation));
        if let Some((mesh, charter)) = &snapshot.mesh {
            engine.enter_mesh(*mesh, charter.clone());
        }
        for chain in &snapshot.chains {
            engine.take_cosignatures(chain.organisation, chain.cosignatures.iter().map(AsRef::as_ref));
            // INVARIANT(12): what this start does not take in, none does later, whatever the membership is by then.
            let is_less = |replica: &&Replica| replica.cosignatures().len() < chain.cosignatures.len();
            let known = engine.replicas.get(&chain.organisation).filter(is_less);
            if let Some(replica) = known.filter(|_| engine.membership.is_some()) {
                let writes = replica.write_lines();
                let ticket = engine.outbox.ticket();
                engine.outbox.push(Effect::Persist { ticket, writes });
            }
        }
        Ok(engine)
    }

    /// Takes one input. Effects are then in [`Self::poll_effect`].
    pub fn handle(&mut self, now: Millis, input: Input) {
        match input {
            Input::Append { append, statement, known } => self.append(now, append, *statement, &known),
            Input::Durable(ticket) => self.durable(now, ticket),
            Input::HeadLocked { ticket, outcome } => self.head_locked(now, ticket, outcome),
            // What is of an older head, or known already, changes nothing.
            Input::Cosigned { size, line } => drop(self.take_own_cosignature(now, size, &line)),
            Input::WriteFailed { reason, .. } => self.alarm(&format!("a write failed: {reason}")),
            Input::EnterMesh { mesh, charter } => {
                self.enter_mesh(mesh, charter);
                self.peers.values_mut().for_each(|peer| peer.introduce_at = Some(now));
            }
            Input::Connected(peer) => {
                self.reaching.connected(&peer);
                self.connected(now, peer);
            }
            Input::Unreached(peer) => self.reaching.failed(now, &peer),
            Input::Disconnected(peer) => self.disconnected(now, &peer),
            Input::Asked { peer, channel, request } => self.asked(now, peer, channel, request),
            Input::Answered { exchange, response } => self.answered(now, exchange, response),
            Input::Failed(exchange) => self.exchange_failed(now, exchange),
            Input::Proven { organisation, consistency } => self.proven(&organisation, consistency.as_ref()),
            Input::Pause { organisation, paused } => self.pause(now, organisation, paused),
            Input::Gather { gather, about, wait_ms } => self.gather(now, gather, about, wait_ms),
            Input::Locate { gather, statements, wait_ms } => self.locate(now, gather, statements, wait_ms),
            Input::Lacking { organisation, entries } => self.lacking(&organisation, entries),
            Input::Heard { peer, gossip, topic, bytes } => self.heard(now, peer, gossip, topic, &bytes),
            Input::Wake => {}
        }
        self.tick(now);
    }

    /// The next effect to run, if any is ready.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.outbox.pop()
    }

    /// When the engine wants to be woken.
    pub fn next_deadline(&self) -> Option<Millis> {
        let introductions = self.peers.values().filter_map(|peer| peer.introduce_at);
        let gatherings = self.gatherings.values().map(|gathering| gathering.until);
        let others =
            gatherings.chain([self.next_round]).chain(self.next_agreement()).chain(self.parked.deadline());
        let others = others.chain(self.hedge_at);
        let others = others.chain(self.reaching.deadline());
        let others = others.chain(self.untold.values().map(|(at, _)| *at));
        introductions
            .chain(self.next_request_deadline())
            .chain(others)
            .chain(self.targets.next_deadline())
            .min()
    }

    /// The organisation that it works for.
    pub const fn organisation(&self) -> OrganisationId {
        self.me
    }

    /// What is known of each chain.
    pub const fn replicas(&self) -> &BTreeMap<OrganisationId, Replica> {
        &self.replicas
    }

    /// The least size of the latest head of a chain that was heard of, while not everything under it is here.
    pub fn heard_of(&self, organisation: &OrganisationId) -> Option<TreeSize> {
        let here = self.replicas.get(organisation).and_then(Replica::head);
        let noticed =
            self.targets.notice(organisation).filter(|(seq, _)| here.is_none_or(|here| here.seq() < *seq));
        // A head of which there was but a notice has at least one statement more.
        let more = noticed.map(|_| TreeSize(here.map_or(0, |head| head.size().0) + 1));
        self.targets.head(organisation).map(SignedHead::size).max(more)
    }

    /// How many chains are not here as far as was heard.
    pub fn behind(&self) -> usize {
        let here =
            |organisation| self.replicas.get(organisation).and_then(Replica::head).map(SignedHead::seq);
        self.targets.seqs().filter(|(organisation, told)| *told > here(organisation)).count()
    }

    /// The mesh's membership.
    pub const fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// Organisations that have asked to be admitted.
    pub const fn candidates(&self) -> &BTreeSet<OrganisationId> {
        &self.candidates
    }

    /// Agreements, in force or not.
    pub const fn agreements(&self) -> &Agreements {
        &self.crossing.agreements
    }

    /// Invitations that those have shown, where a member's chain has them and they hold.
    pub const fn invited(&self) -> &BTreeMap<OrganisationId, StatementId> {
        &self.invited
    }

    /// Connected peers.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Why the node does not sign, if it does not.
    pub fn frozen(&self) -> Option<&str> {
        self.sequencer.frozen()
    }

    /// Organisations whose new epoch leaves out what is here, and how.
    pub const fn not_followed(&self) -> &BTreeMap<OrganisationId, String> {
        &self.not_followed
    }

    pub(crate) fn chain_key(&self) -> PublicKey {
        self.identity.chain_key.public_key()
    }

    pub(crate) fn chain_signer(&self) -> Arc<dyn Signer> {
        self.identity.chain_key.clone()
    }

    pub(crate) fn witness_key(&self) -> Arc<dyn Signer> {
        self.identity.witness_key.clone()
    }

    fn append(&mut self, now: Millis, append: AppendId, statement: Authentic, known: &BTreeSet<StatementId>) {
        // INVARIANT(12): a statement that is given again does not get a second place.
        let id = statement.statement().id();
        if known.contains(&id) {
            let outcome = Err(AppendError::Duplicate(id));
            return self.outbox.push(Effect::Reply { append, outcome });
        }
        let unknown = statement.statement().header().refs.iter().find(|id| !known.contains(id));
        if let Some(unknown) = unknown {
            let outcome = Err(AppendError::UnknownRef(*unknown));
            return self.outbox.push(Effect::Reply { append, outcome });
        }
        if let Err(outside) = self.check_crossing(now, statement.statement()) {
            let outcome = Err(AppendError::Outside(outside));
            return self.outbox.push(Effect::Reply { append, outcome });
        }
        if let Some(own) = self.replicas.get_mut(&self.me) {
            self.sequencer.append(own, append, statement, &self.config, &mut self.outbox);
        }
    }

    fn durable(&mut self, now: Millis, ticket: Ticket) {
        self.outbox.durable(ticket);
        if let Some(own) = self.replicas.get(&self.me) {
            self.sequencer.durable(ticket, own, now, &mut self.outbox, self.identity.chain_key.as_ref());
        }
    }

    fn head_locked(&mut self, now: Millis, ticket: Ticket, outcome: Result<(), Option<HeadHash>>) {
        self.outbox.durable(ticket);
        if let Err(held) = outcome {
            let held = held.map_or_else(|| "nothing".to_owned(), |hash| hash.to_string());
            return self.alarm(&format!(
                "the head lock holds {held} instead of this chain's head: another process signs"
            ));
        }
        let Some(own) = self.replicas.get_mut(&self.me) else { return };
        if let Some(committed) = self.sequencer.locked(ticket, own, &mut self.outbox) {
            self.committed(now, &committed);
        }
    }

    /// Writes the new head down, lets the membership follow, and tells everybody.
    fn committed(&mut self, now: Millis, committed: &Committed) {
        self.sequencer.keep_head(committed.head.clone(), &mut self.outbox);
        let me = self.me;
        self.touch(&me);
        let mut topic = Topic::Heads;
        for verified in &committed.statements {
            self.take_standing(verified);
            self.crossing.take(verified);
            topic = topic.max(match verified.kind() {
                Kind::Link | Kind::Counterfoil => Topic::Links,
                Kind::Recall | Kind::Revocation => Topic::Recalls,
                _ => Topic::Heads,
            });
        }
        self.weigh(&me);
        self.tell(now, topic, committed);
    }

    fn enter_mesh(&mut self, mesh: MeshId, charter: Charter) {
        let mut membership = Membership::new(mesh, charter);
        for verified in self.replicas.values().flat_map(Replica::standing) {
            membership.take(verified);
        }
        for organisation in self.proofs.keys() {
            membership.expose(*organisation);
        }
        self.membership = Some(membership);
        self.membership_changed();
    }

    /// Lets the membership follow a verified statement.
    pub(crate) fn take_standing(&mut self, verified: &Verified) {
        if self.membership.as_mut().is_some_and(|membership| membership.take(verified)) {
            self.membership_changed();
        }
    }

    pub(crate) fn membership_changed(&mut self) {
        let me = self.me;
        let is_member = self.is_member(&me);
        let was_member = std::mem::replace(&mut self.takes_part, is_member);
        if is_member && !was_member {
            // Whoever let this organisation in before may have let it go since, and not know what it said meanwhile.
            self.peers.values_mut().for_each(|peer| peer.introduce_at = Some(Millis(0)));
        }
        self.witnesses.clear();
        self.circle_is_due = true;
        let known: Vec<OrganisationId> = self.replicas.keys().copied().collect();
        known.iter().for_each(|organisation| self.recount(organisation));
        self.compare_anew();
    }

    /// Whether an organisation is a member of the mesh that this node takes part in.
    pub(crate) fn is_member(&self, organisation: &OrganisationId) -> bool {
        self.membership.as_ref().is_some_and(|membership| membership.contains(organisation))
    }

    pub(crate) fn refuse_to_sign(&mut self, text: &str) {
        self.sequencer.freeze(text, &mut self.outbox);
    }

    pub(crate) fn alarm(&mut self, text: &str) {
        self.refuse_to_sign(text);
        self.outbox.push(Effect::Notify(Event::Alarm(text.to_owned())));
    }

    /// Signs again, if nothing but the missing end of the chain kept it from that.
    pub(crate) fn thaw(&mut self) -> bool {
        self.sequencer.thaw()
    }

    fn tick(&mut self, now: Millis) {
        self.end_requests(now);
        self.draw_circle();
        self.introduce(now);
        self.reveal(now);
        self.round(now);
        self.release_due(now);
        self.tell_untold(now);
        self.gather_on(now);
        self.fetch(now);
        if let Some(own) = self.replicas.get(&self.me) {
            let key = self.identity.chain_key.as_ref();
            self.sequencer.start(own, now, &self.config, &mut self.outbox, key);
        }
    }
}

/// What is to be said about a replica's head.
pub(crate) fn announcement(replica: &Replica, with_inception: bool) -> Option<Announcement> {
    let head = replica.head()?;
    Some(Announcement {
        head: ByteString(head.bytes().to_vec()),
        cosignatures: replica.cosignatures().values().map(|line| line.as_ref().to_owned()).collect(),
        inception: with_inception.then(|| ByteString(replica.inception().to_vec())),
        succession: Vec::new(),
        page: None,
    })
}
