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

mod disk;
mod driver;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use counterfoil_federation::effect::{AppendError, Appended, ChannelId, ExchangeId, GossipId, Judgement};
use counterfoil_federation::engine::{Engine, Identity, StartError};
use counterfoil_federation::message::{Request, Response, Topic};
use counterfoil_federation::peer::Peer;
use counterfoil_federation::replica::Replica;
use counterfoil_federation::whereabouts::Located;
use counterfoil_federation::{Config, Event, Input, Millis};
use counterfoil_protocol::admissibility::Inquiry;
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::{OrganisationId, StatementId, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::mesh::{Agreements, Membership};
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::statement::{Refusal, Statement};

use self::driver::Driver;
use crate::asked::Asked;
use crate::data::DataError;
use crate::intake::{Batch, Intake};
use crate::store::{HeadLock, Memory, Store, StoreError};

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
    /// Exchange gossip with a connected peer from now on, or no more.
    GossipWith {
        /// The peer.
        peer: PublicKey,
        /// Whether it begins, or ends.
        begins: bool,
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
    /// Own witnesses of whom nothing was heard for longer than the charter's limit of freshness.
    pub witnesses_away: BTreeSet<OrganisationId>,
    /// Why the node does not sign, if it does not.
    pub frozen: Option<String>,
}

/// A running node: engine, disk and the threads between them. Dropping it stops it.
pub struct Runtime {
    inputs: SyncSender<Message>,
    store: Arc<Store>,
    /// What is in force in the own chain, for whoever checks signatures.
    signers: Arc<RwLock<OrganisationState>>,
    intake: Intake,
    organisation: OrganisationId,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Runtime {
    /// Starts a node on the data in `directory`, whose database may take so much memory.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn start(
        directory: &Path,
        identity: Identity,
        config: Config,
        memory: Memory,
    ) -> Result<Self, RuntimeError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| RuntimeError::Directory { path: directory.to_owned(), error })?;
        let lock = HeadLock::open(&directory.join("head.lock"))?;
        // What members answered before says nothing now.
        Asked::forget(directory).map_err(|error| RuntimeError::Data(Box::new(error)))?;
        let store = Store::open(&directory.join("db"), memory)?;
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
            std::thread::Builder::new()
                .name("disk".into())
                .spawn(move || disk::write(&store, lock, &work, &inputs))
        };
        let (pages, wanted) = channel();
        let serve = {
            let (store, config) = (store.clone(), config.clone());
            let inputs = inputs.clone();
            std::thread::Builder::new()
                .name("serve".into())
                .spawn(move || serve::serve(&store, &config, &wanted, &inputs))
        };
        let driver = Driver::new(engine, store.clone(), signers.clone(), tasks, pages, directory.to_owned());
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

    /// What is in force in the own chain.
    pub fn state(&self) -> OrganisationState {
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
