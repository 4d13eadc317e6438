//! The loop around the engine: one thread feeds it inputs and sorts its effects, one thread writes to disk in order.
//!
//! ```text
//! callers --> intake (signatures, on all cores) --> inputs --> engine thread --> writes --> disk thread
//!    ^                                                ^          |  |  |                       |
//!    |                              network ----------+<---------+  |  +--> pages: serve thread
//!    +--------------------- replies, events <-----------------------+<--- durable, locked -----+
//! ```
//!
//! Statements are parsed and hashed by the callers' threads and their signatures are checked by the
//! `intake`'s, so that verification uses all cores and the engine's thread only folds and signs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use counterfoil_federation::effect::{
    AppendError, AppendId, Appended, Asker, ChannelId, ExchangeId, GatherId, GossipId, Judgement,
};
use counterfoil_federation::engine::{Engine, Identity, StartError};
use counterfoil_federation::evidence::bearing;
use counterfoil_federation::message::{Announcement, Bearing, Request, Response, Topic};
use counterfoil_federation::outbox::Ticket;
use counterfoil_federation::peer::Peer;
use counterfoil_federation::replica::Replica;
use counterfoil_federation::store::{consistency, page, revealed};
use counterfoil_federation::whereabouts::{Located, whereabouts};
use counterfoil_federation::{Config, Effect, Event, Input, Millis};
use counterfoil_protocol::admissibility::Inquiry;
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::mesh::{Agreements, Audience, Membership};
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::statement::{Authentic, Refusal, Statement};

use crate::asked::Asked;
use crate::clock;
use crate::data::DataError;
use crate::intake::{Batch, Intake};
use crate::store::{EvidenceEdges, HeadLock, Store, StoreError};

/// Most inputs that wait for the engine; callers then wait in turn.
const INPUTS_MAX: usize = 1024;

/// Why a node does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// See the inner error.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// See the inner error.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The data directory cannot be made.
    #[error("{path}: {error}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A statement cannot be read, or fails a check.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// See the inner error.
    #[error("{0}")]
    Data(Box<DataError>),
    /// It passes its checks and was not appended all the same.
    #[error("{0}")]
    Append(AppendError),
    /// The node is shutting down.
    #[error("the node is shutting down; nothing was changed")]
    Stopped,
}

impl From<AppendError> for RuntimeError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(refusal) => Self::Refused(refusal),
            other => Self::Append(other),
        }
    }
}

type Reply = Result<Box<Appended>, AppendError>;

/// Whom to answer about a statement, once.
pub(crate) struct Answer(Sender<Reply>);

impl Answer {
    fn give(self, reply: Reply) {
        // Whoever has gone does not wait for the answer.
        let _ = self.0.send(reply);
    }

    pub(crate) fn refuse(self, refusal: Refusal) {
        self.give(Err(refusal.into()));
    }
}

enum Message {
    Input(Box<Input>),
    Appends(Batch),
    View(Sender<View>),
    Gather(Vec<Subject>, u64, Sender<Vec<Inquiry>>),
    Locate(BTreeSet<StatementId>, u64, Sender<Vec<Located>>),
    Listen(Sender<Event>),
    Connect(Outward),
    Stop,
}

/// What the engine wants done on the network.
#[derive(Debug)]
pub enum NetworkCommand {
    /// Send a request.
    Send {
        /// To whom.
        peer: PublicKey,
        /// What the response carries.
        exchange: ExchangeId,
        /// The request.
        request: Request,
    },
    /// Answer a request.
    Respond {
        /// Which.
        channel: ChannelId,
        /// The answer.
        response: Response,
    },
    /// Publish on a topic.
    Gossip {
        /// The topic.
        topic: Topic,
        /// The message.
        bytes: Arc<[u8]>,
    },
    /// Say what is to become of a gossip message.
    Judge {
        /// Which.
        gossip: GossipId,
        /// The judgement.
        judgement: Judgement,
    },
    /// Connect with a peer, and say if that does not come about.
    Reach(PublicKey),
    /// Close the connection to a peer.
    Disconnect(PublicKey),
}

/// Takes commands for the network; must not block.
pub type Outward = Arc<dyn Fn(NetworkCommand) + Send + Sync>;

/// What the engine knows, at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// When.
    pub now: Millis,
    /// What is known of each chain, the own among them.
    pub chains: BTreeMap<OrganisationId, Replica>,
    /// The mesh's membership.
    pub membership: Option<Membership>,
    /// Connected peers.
    pub peers: Vec<Peer>,
    /// Organisations that ask to be admitted.
    pub candidates: BTreeSet<OrganisationId>,
    /// Organisations with a proof of misbehaviour.
    pub misbehaved: BTreeSet<OrganisationId>,
    /// Agreements, in force or not.
    pub agreements: Agreements,
    /// Organisations whose new epoch is not followed, and why.
    pub not_followed: BTreeMap<OrganisationId, String>,
    /// Invitations that candidates have shown.
    pub invited: BTreeMap<OrganisationId, StatementId>,
    /// Sizes of heads that were heard of, where not everything under them is here.
    pub heard: BTreeMap<OrganisationId, TreeSize>,
    /// Messages about organisations that were dropped because they were too many.
    pub limited: BTreeMap<OrganisationId, u64>,
    /// Organisations to whose peers this node is to be connected.
    pub neighbours: BTreeSet<OrganisationId>,
    /// Why the node does not sign, if it does not.
    pub frozen: Option<String>,
}

enum Task {
    Persist(Ticket, Vec<counterfoil_federation::effect::Write>),
    Lock(Ticket, Option<counterfoil_protocol::ids::HeadHash>, counterfoil_protocol::chain::SignedHead),
    /// Hand a view over once everything that it shows is on disk.
    Show(Box<View>, Sender<View>),
}

/// A running node: engine, disk and the threads between them. Dropping it stops it.
pub struct Runtime {
    inputs: SyncSender<Message>,
    store: Arc<Store>,
    /// The own organisation's signing keys, for whoever checks signatures. Follows the chain.
    signers: Arc<RwLock<counterfoil_protocol::identity::OrganisationState>>,
    intake: Intake,
    organisation: OrganisationId,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Runtime {
    /// Starts a node on the data in `directory`.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn start(directory: &Path, identity: Identity, config: Config) -> Result<Self, RuntimeError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| RuntimeError::Directory { path: directory.to_owned(), error })?;
        let lock = HeadLock::open(&directory.join("head.lock"))?;
        // What members answered before says nothing now.
        Asked::forget(directory).map_err(|error| RuntimeError::Data(Box::new(error)))?;
        let store = Store::open(&directory.join("db"))?;
        let mut snapshot = store.snapshot()?;
        snapshot.locked = lock.held().cloned();
        let engine = Engine::new(config.clone(), identity, &snapshot, rand::random())?;
        let organisation = engine.organisation();
        let state = engine.replicas().get(&organisation).map(|own| own.state().clone());
        let Some(state) = state else { return Err(RuntimeError::Stopped) };
        let signers = Arc::new(RwLock::new(state));
        let store = Arc::new(store);
        let (inputs, incoming) = sync_channel(INPUTS_MAX);
        let (tasks, work) = channel();
        let disk = {
            let (store, inputs) = (store.clone(), inputs.clone());
            std::thread::Builder::new().name("disk".into()).spawn(move || write(&store, lock, &work, &inputs))
        };
        let (pages, wanted) = channel();
        let serve = {
            let (store, config) = (store.clone(), config.clone());
            let inputs = inputs.clone();
            std::thread::Builder::new()
                .name("serve".into())
                .spawn(move || serve(&store, &config, &wanted, &inputs))
        };
        let driver = Driver {
            engine,
            store: store.clone(),
            signers: signers.clone(),
            tasks,
            pages,
            directory: directory.to_owned(),
            outward: None,
            listeners: Vec::new(),
            waiting: BTreeMap::new(),
            gathering: BTreeMap::new(),
            locating: BTreeMap::new(),
            next: 0,
            early: BTreeMap::new(),
            next_batch: 0,
        };
        let loop_thread =
            std::thread::Builder::new().name("engine".into()).spawn(move || driver.run(&incoming));
        let failed = |error| RuntimeError::Directory { path: directory.to_owned(), error };
        let threads = [loop_thread, disk, serve].into_iter().collect::<Result<_, _>>().map_err(failed)?;
        let threads = Mutex::new(threads);
        let deliver = {
            let inputs = inputs.clone();
            move |batch| inputs.send(Message::Appends(batch)).is_ok()
        };
        let intake = Intake::start(&signers, deliver).map_err(failed)?;
        Ok(Self { inputs, store, signers, intake, organisation, threads })
    }

    /// The organisation that the node works for.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Appends a statement and waits until it is durable and under a published head.
    ///
    /// # Errors
    /// [`RuntimeError`]; nothing was changed then.
    pub fn append(&self, bytes: &[u8]) -> Result<Box<Appended>, RuntimeError> {
        let reply = self.submit(bytes)?;
        Ok(reply.recv().map_err(|_| RuntimeError::Stopped)??)
    }

    /// Parses a statement on this thread and hands it over. The reply comes when it is durable, or refused. What one
    /// caller hands over is appended in that order.
    ///
    /// # Errors
    /// [`RuntimeError`]; nothing was changed then.
    pub fn submit(&self, bytes: &[u8]) -> Result<Receiver<Reply>, RuntimeError> {
        let statement = Statement::parse(bytes).map_err(Refusal::Form)?;
        let found = statement.organisation();
        if found != self.organisation {
            return Err(Refusal::OtherOrganisation { expected: self.organisation, found }.into());
        }
        let (reply, answer) = channel();
        if self.intake.submit(statement, Answer(reply)) { Ok(answer) } else { Err(RuntimeError::Stopped) }
    }

    /// Gives the engine an input.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn input(&self, input: Input) -> Result<(), RuntimeError> {
        self.inputs.send(Message::Input(Box::new(input))).map_err(|_| RuntimeError::Stopped)
    }

    /// What the engine knows at this moment. All of it is on disk by the time that this returns.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn view(&self) -> Result<View, RuntimeError> {
        let (reply, view) = channel();
        self.inputs.send(Message::View(reply)).map_err(|_| RuntimeError::Stopped)?;
        view.recv().map_err(|_| RuntimeError::Stopped)
    }

    /// Asks the other members what they know about these subjects, and waits until what they name is here, but no longer
    /// than `wait_ms`.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn gather(&self, about: Vec<Subject>, wait_ms: u64) -> Result<Vec<Inquiry>, RuntimeError> {
        let (reply, inquiries) = channel();
        self.inputs.send(Message::Gather(about, wait_ms, reply)).map_err(|_| RuntimeError::Stopped)?;
        inquiries.recv().map_err(|_| RuntimeError::Stopped)
    }

    /// Asks the other members which of these statements they have, and waits until what may be read is here, but no longer
    /// than `wait_ms`.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn locate(
        &self,
        statements: BTreeSet<StatementId>,
        wait_ms: u64,
    ) -> Result<Vec<Located>, RuntimeError> {
        let (reply, answers) = channel();
        self.inputs.send(Message::Locate(statements, wait_ms, reply)).map_err(|_| RuntimeError::Stopped)?;
        answers.recv().map_err(|_| RuntimeError::Stopped)
    }

    /// Everything that the engine notifies of from now on.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn events(&self) -> Result<Receiver<Event>, RuntimeError> {
        let (listener, events) = channel();
        self.inputs.send(Message::Listen(listener)).map_err(|_| RuntimeError::Stopped)?;
        Ok(events)
    }

    /// Gives the engine a network. Until then what it wants to say is dropped, as if nobody were connected.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn connect(&self, outward: Outward) -> Result<(), RuntimeError> {
        self.inputs.send(Message::Connect(outward)).map_err(|_| RuntimeError::Stopped)
    }

    /// The store.
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The public key with this id, if it is or was one of the own organisation's signing keys.
    pub fn state(&self) -> counterfoil_protocol::identity::OrganisationState {
        self.signers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops accepting, finishes what is under way, and waits for all threads.
    pub fn stop(&self) {
        // A failed send means that the loop has ended already.
        let _ = self.inputs.send(Message::Stop);
        self.intake.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the node ended by a panic");
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Driver {
    engine: Engine,
    store: Arc<Store>,
    signers: Arc<RwLock<counterfoil_protocol::identity::OrganisationState>>,
    tasks: Sender<Task>,
    pages: Sender<Wanted>,
    /// The data directory.
    directory: PathBuf,
    outward: Option<Outward>,
    listeners: Vec<Sender<Event>>,
    waiting: BTreeMap<AppendId, Answer>,
    gathering: BTreeMap<GatherId, Sender<Vec<Inquiry>>>,
    locating: BTreeMap<GatherId, Sender<Vec<Located>>>,
    next: u64,
    /// Batches of statements that overtook others.
    early: BTreeMap<u64, Batch>,
    next_batch: u64,
}

impl Driver {
    fn run(mut self, inputs: &Receiver<Message>) {
        self.engine.handle(clock::now(), Input::Wake);
        let mut stopping = false;
        loop {
            self.effects();
            if stopping && self.waiting.is_empty() {
                return;
            }
            let wait = self.engine.next_deadline().map_or(1000, |at| at.since(clock::now())).clamp(1, 1000);
            match inputs.recv_timeout(Duration::from_millis(wait)) {
                Ok(message) => stopping |= self.take(clock::now(), message, stopping),
                Err(RecvTimeoutError::Timeout) => self.engine.handle(clock::now(), Input::Wake),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes one message. Returns whether it was the wish to stop.
    fn take(&mut self, now: Millis, message: Message, stopping: bool) -> bool {
        match message {
            Message::Stop => return true,
            Message::Appends(batch) => {
                self.early.insert(batch.number, batch);
                while let Some(batch) = self.early.remove(&self.next_batch) {
                    self.next_batch = self.next_batch.wrapping_add(1);
                    for (statement, answer) in batch.statements {
                        self.append(now, statement, answer, stopping);
                    }
                }
            }
            Message::Input(input) => self.engine.handle(now, *input),
            Message::View(reply) => {
                let show = Task::Show(Box::new(self.view(now)), reply);
                if let Err(SendError(Task::Show(view, reply))) = self.tasks.send(show) {
                    // The disk has failed, which the view says. Whoever has gone does not wait for the answer.
                    let _ = reply.send(*view);
                }
            }
            Message::Gather(about, wait_ms, reply) => {
                let gather = GatherId(self.next);
                self.next = self.next.wrapping_add(1);
                self.gathering.insert(gather, reply);
                self.engine.handle(now, Input::Gather { gather, about, wait_ms });
            }
            Message::Locate(statements, wait_ms, reply) => {
                let gather = GatherId(self.next);
                self.next = self.next.wrapping_add(1);
                self.locating.insert(gather, reply);
                self.engine.handle(now, Input::Locate { gather, statements, wait_ms });
            }
            Message::Listen(listener) => self.listeners.push(listener),
            Message::Connect(outward) => self.outward = Some(outward),
        }
        false
    }

    fn append(&mut self, now: Millis, statement: Authentic, answer: Answer, stopping: bool) {
        if stopping {
            return answer.give(Err(AppendError::Frozen("it is shutting down".into())));
        }
        let known_refs = self.known(&statement.statement().header().refs);
        let append = AppendId(self.next);
        self.next = self.next.wrapping_add(1);
        self.waiting.insert(append, answer);
        let is_standing = statement.statement().header().kind.is_standing();
        self.engine.handle(now, Input::Append { append, statement: Box::new(statement), known_refs });
        if is_standing {
            self.follow();
        }
    }

    fn known(&self, refs: &[StatementId]) -> BTreeSet<StatementId> {
        if refs.is_empty() {
            return Default::default();
        }
        refs.iter().filter(|id| matches!(self.store.place(id), Ok(Some(_)))).copied().collect()
    }

    fn view(&mut self, now: Millis) -> View {
        let engine = &self.engine;
        let heard = engine.replicas().keys().filter_map(|id| Some((*id, engine.heard_of(id)?)));
        let heard = heard.collect();
        View {
            now,
            chains: self.engine.replicas().clone(),
            membership: self.engine.membership().cloned(),
            peers: self.engine.peers().cloned().collect(),
            candidates: self.engine.candidates().clone(),
            misbehaved: self.engine.misbehaved(),
            agreements: self.engine.agreements().clone(),
            not_followed: self.engine.not_followed().clone(),
            invited: self.engine.invited().clone(),
            heard,
            limited: self.engine.limited().clone(),
            neighbours: self.engine.neighbours(),
            frozen: self.engine.frozen().map(str::to_owned),
        }
    }

    fn wanted(&self, organisation: OrganisationId, read: Read) {
        // A serve thread that has ended leaves the request to its timeout.
        let _ = self.pages.send(Wanted { outward: self.outward.clone(), organisation, read });
    }

    fn say(&self, command: NetworkCommand) {
        if let Some(outward) = &self.outward {
            outward(command);
        }
    }

    /// Lets callers see the keys that a standing statement may have brought.
    fn follow(&self) {
        if let Some(own) = self.engine.replicas().get(&self.engine.organisation()) {
            *self.signers.write().unwrap_or_else(PoisonError::into_inner) = own.state().clone();
        }
    }

    /// Writes down who was asked, for `root recover`. What is not written down counts as not asked.
    fn note_asked(&self, event: &Event) {
        let Event::Asked { asked, holding, others } = event else { return };
        let asked = Asked { asked: asked.clone(), holding: holding.clone(), others: others.clone() };
        if let Err(error) = asked.write(&self.directory) {
            tracing::error!("{error}");
        }
    }

    fn effects(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            let sent = match effect {
                Effect::Persist { ticket, writes } => self.tasks.send(Task::Persist(ticket, writes)),
                Effect::LockHead { ticket, previous, head } => {
                    self.tasks.send(Task::Lock(ticket, previous, head))
                }
                Effect::Reply { append, outcome } => {
                    if let Some(answer) = self.waiting.remove(&append) {
                        answer.give(outcome);
                    }
                    Ok(())
                }
                Effect::Notify(event) => {
                    log(&event);
                    self.note_asked(&event);
                    self.listeners.retain(|listener| listener.send(event.clone()).is_ok());
                    Ok(())
                }
                Effect::Serve { channel, organisation, from, size, audience, head } => {
                    let read = Read::Page { channel, from, size, audience, head };
                    self.wanted(organisation, read);
                    Ok(())
                }
                Effect::Reveal { channel, organisation, positions, audience } => {
                    self.wanted(organisation, Read::Withheld { channel, positions, audience });
                    Ok(())
                }
                Effect::Find { channel, about, audience, head } => {
                    let organisation = self.engine.organisation();
                    self.wanted(organisation, Read::Bearing { channel, about, audience, head });
                    Ok(())
                }
                Effect::Locate { channel, statements, audience } => {
                    let organisation = self.engine.organisation();
                    self.wanted(organisation, Read::Whereabouts { channel, statements, audience });
                    Ok(())
                }
                Effect::Located { gather, answers } => {
                    if let Some(reply) = self.locating.remove(&gather) {
                        // Whoever has gone does not wait for the answer.
                        let _ = reply.send(answers);
                    }
                    Ok(())
                }
                Effect::Gathered { gather, inquiries } => {
                    if let Some(reply) = self.gathering.remove(&gather) {
                        // Whoever has gone does not wait for the answer.
                        let _ = reply.send(inquiries);
                    }
                    Ok(())
                }
                Effect::Lacking { organisation, from, max } => {
                    self.wanted(organisation, Read::Lacking { from, max });
                    Ok(())
                }
                Effect::Prove { asker, organisation, from, to } => {
                    self.wanted(organisation, Read::Consistency { asker, from, to });
                    Ok(())
                }
                Effect::Send { peer, exchange, request } => {
                    self.say(NetworkCommand::Send { peer, exchange, request });
                    Ok(())
                }
                Effect::Respond { channel, response } => {
                    self.say(NetworkCommand::Respond { channel, response });
                    Ok(())
                }
                Effect::Gossip { topic, bytes } => {
                    self.say(NetworkCommand::Gossip { topic, bytes });
                    Ok(())
                }
                Effect::Judge { gossip, judgement } => {
                    self.say(NetworkCommand::Judge { gossip, judgement });
                    Ok(())
                }
                Effect::Reach(peer) => {
                    self.say(NetworkCommand::Reach(peer));
                    Ok(())
                }
                Effect::Disconnect(peer) => {
                    self.say(NetworkCommand::Disconnect(peer));
                    Ok(())
                }
            };
            if sent.is_err() {
                tracing::error!("the disk thread has ended; nothing more is accepted");
                self.waiting.clear();
                return;
            }
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::Alarm(text) => tracing::error!("alarm: {text}"),
        Event::Misbehaved(organisation) => tracing::warn!(%organisation, "signed contradicting heads"),
        Event::Penalised { peer, reason } => tracing::warn!(%peer, "{reason}"),
        Event::Accepted(verified) => tracing::debug!(statement = %verified.id(), "accepted"),
        Event::Introduced { organisation, admitted } => tracing::info!(%organisation, admitted, "introduced"),
        Event::WitnessesSilent { size, silent } => {
            let silent: Vec<String> = silent.iter().map(OrganisationId::short).collect();
            tracing::warn!(%size, "no quorum has seen the head; silent witnesses: {}", silent.join(", "));
        }
        Event::Limited(organisation) => {
            tracing::warn!(%organisation, "is told of more often than its budget allows");
        }
        Event::Witnessed(size) => tracing::info!(%size, "witnessed by a quorum"),
        Event::NotFollowed { organisation, reason } => tracing::warn!(%organisation, "{reason}"),
        Event::Asked { asked, others, .. } => {
            let (asked, others) = (asked.len(), others.len());
            tracing::info!(asked, others, "members hold no later head of this chain");
        }
        Event::CaughtUp(size) => tracing::info!(%size, "caught up with the head lock"),
    }
}

/// Writes in order. Ends when nobody can ask any more, or when it is unknown what is on disk.
fn write(store: &Store, mut lock: HeadLock, work: &Receiver<Task>, inputs: &SyncSender<Message>) {
    while let Ok(task) = work.recv() {
        let (ticket, done) = match task {
            Task::Persist(ticket, writes) => {
                (ticket, store.persist(&writes).map(|()| Input::Durable(ticket)))
            }
            Task::Lock(ticket, previous, head) => {
                let outcome = lock.swap(previous, &head);
                (ticket, outcome.map(|outcome| Input::HeadLocked { ticket, outcome }))
            }
            Task::Show(view, reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(*view);
                continue;
            }
        };
        let failed = done.is_err();
        let input = done.unwrap_or_else(|error| Input::WriteFailed { ticket, reason: error.to_string() });
        if inputs.send(Message::Input(Box::new(input))).is_err() || failed {
            return;
        }
    }
}

/// A question that the store is to answer.
struct Wanted {
    outward: Option<Outward>,
    organisation: OrganisationId,
    read: Read,
}

enum Read {
    Page {
        channel: ChannelId,
        from: Position,
        size: TreeSize,
        audience: Box<Audience>,
        head: Option<Box<Announcement>>,
    },
    Withheld {
        channel: ChannelId,
        positions: Vec<Position>,
        audience: Box<Audience>,
    },
    Lacking {
        from: Position,
        max: usize,
    },
    Bearing {
        channel: ChannelId,
        about: Vec<Subject>,
        audience: Box<Audience>,
        head: Box<Announcement>,
    },
    Whereabouts {
        channel: ChannelId,
        statements: Vec<StatementId>,
        audience: Box<Audience>,
    },
    Consistency {
        asker: Asker,
        from: TreeSize,
        to: TreeSize,
    },
}

/// Reads pages and proofs, one at a time. Ends when nobody can ask any more.
fn serve(store: &Store, config: &Config, wanted: &Receiver<Wanted>, inputs: &SyncSender<Message>) {
    while let Ok(Wanted { outward, organisation, read }) = wanted.recv() {
        let chain = store.chain(organisation);
        let (channel, response) = match read {
            Read::Page { channel, from, size, audience, head } => {
                let page = page(&chain, &audience, from, size, config);
                (channel, page.map(|page| Response::with_page(page, head)))
            }
            Read::Withheld { channel, positions, audience } => {
                (channel, Ok(Response::Revealed(revealed(&chain, &audience, &positions, config))))
            }
            Read::Bearing { channel, about, audience, head } => {
                let places = bearing(&EvidenceEdges(store), &organisation, &about, &audience);
                (channel, Ok(Response::Evidence(Bearing { head, places })))
            }
            Read::Whereabouts { channel, statements, audience } => {
                (channel, Ok(Response::Whereabouts(whereabouts(store, &statements, &audience))))
            }
            Read::Lacking { from, max } => {
                let entries = store.lacking(&organisation, from, max).unwrap_or_else(|error| {
                    tracing::error!(%error, "what is withheld cannot be read");
                    Vec::new()
                });
                let input = Input::Lacking { organisation, entries };
                if inputs.send(Message::Input(Box::new(input))).is_err() {
                    return;
                }
                continue;
            }
            Read::Consistency { asker: Asker::Peer(channel), from, to } => {
                (channel, consistency(&chain, from, to).map(Response::Consistency))
            }
            Read::Consistency { asker: Asker::Engine, from, to } => {
                let consistency = consistency(&chain, from, to).ok();
                let input = Input::Proven { organisation, consistency };
                if inputs.send(Message::Input(Box::new(input))).is_err() {
                    return;
                }
                continue;
            }
        };
        let response = response.unwrap_or_else(|error| Response::Refused(error.to_string()));
        if let Some(outward) = outward {
            outward(NetworkCommand::Respond { channel, response });
        }
    }
}
