//! What a node does for its organisation: the operations behind the HTTP API and the command line.
//!
//! | module | holds |
//! | --- | --- |
//! | `retention` | how long documents are kept |
//! | [`say`] | signing and appending statements |
//! | [`mesh`] | charters, invitations, votes, members |
//! | [`agreements`] | what crosses between organisations: proposed, accepted, withdrawn |
//! | [`links`] | cross-references: both halves, asked for or by policy |
//! | [`decide`], [`overriding`] | decisions, and those that an override stands for |
//! | [`what_if`] | recorded decisions under other circumstances, or another profile |
//! | [`actuation`], [`nonconformity`] | permits, effects, and what is done where they differ |
//! | [`declared`] | declarations about actions and harm |
//! | [`reconcile`] | pausing the exchange with an organisation, and what came after |
//! | [`recall`] | recalls, and what they touch |
//! | [`read`] | status, statements, the log |
//! | [`lineage`] | what rests on what |
//! | [`proof`] | receipts and bundles |
//! | [`witness`] | cosigning others' checkpoints over HTTP |
//! | [`binding`] | the peer's key, bound and replaced |
//! | [`agent`], `witnesses` | what the node does by itself |

pub mod actuation;
pub mod agent;
pub mod agreements;
pub mod ask_witness;
pub mod binding;
mod deadlines;
pub mod decide;
pub mod declared;
mod error;
mod known;
pub mod lineage;
pub mod links;
pub mod mesh;
pub mod missing;
pub mod nonconformity;
pub mod overriding;
pub mod proof;
pub mod proven;
pub mod read;
pub mod recall;
pub mod reconcile;
mod retention;
pub mod say;
pub mod spent;
mod times;
pub mod what_if;
pub mod witness;
mod witnesses;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use counterfoil_federation::Config;
use counterfoil_protocol::admissibility::Evaluator;
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, Timestamp, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::statement::{Kind, Verified, verify};
use libp2p::Multiaddr;
use zeroize::Zeroizing;

pub use error::{Blame, ServiceError};
use spent::Spent;

use crate::backup::{self, Manifest};
use crate::clock;
use crate::data::{DataDir, NodeConfig};
use crate::keystore::Keystore;
use crate::p2p::{Network, Reach, Setup};
use crate::runtime::{Runtime, View};
use crate::store::{Placed, Store};

/// A running node.
pub struct Node {
    runtime: Arc<Runtime>,
    keys: RwLock<Keystore>,
    passphrase: Zeroizing<Vec<u8>>,
    data: DataDir,
    config: NodeConfig,
    network: Mutex<Option<Network>>,
    /// What the node does by itself.
    agents: Mutex<Vec<JoinHandle<()>>>,
    /// One decision, permit or effect at a time: what one records, the next takes into account.
    acting: Mutex<()>,
    /// What is kept from one decision to the next.
    evaluator: Mutex<Evaluator>,
    /// Evidence that they came across, verified.
    evidence: Mutex<decide::Kept>,
    /// What decisions cost.
    spent: Spent,
    /// Kinds of statements that decisions came across, which never change.
    kinds: Mutex<BTreeMap<StatementId, Kind>>,
    /// One binding of the peer's key at a time.
    binding: Mutex<()>,
    /// One checkpoint is witnessed at a time.
    witnessing: Mutex<()>,
    stopping: AtomicBool,
}

impl Node {
    /// Starts the node in `data`, with its network if it takes part in a mesh.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn start(
        data: DataDir,
        config: NodeConfig,
        passphrase: Zeroizing<Vec<u8>>,
    ) -> Result<Arc<Self>, ServiceError> {
        let path = data.node_keys_path();
        let mut keys = Keystore::load(&path, &passphrase).map_err(crate::data::DataError::from)?;
        let identity = data.identity(&keys)?;
        let runtime = Runtime::start(data.path(), identity, Config::default(), config.database_mib)?;
        let runtime = Arc::new(runtime);
        retention::check(&config, &runtime.state())?;
        if binding::promote(&mut keys, &runtime.state()) {
            keys.save(&path, &passphrase).map_err(crate::data::DataError::from)?;
        }
        let node = Arc::new(Self {
            runtime,
            keys: RwLock::new(keys),
            passphrase,
            data,
            config,
            network: Mutex::new(None),
            agents: Mutex::new(Vec::new()),
            acting: Mutex::new(()),
            evaluator: Mutex::default(),
            evidence: Mutex::default(),
            spent: Spent::default(),
            kinds: Mutex::default(),
            binding: Mutex::new(()),
            witnessing: Mutex::new(()),
            stopping: AtomicBool::new(false),
        });
        if node.store().mesh()?.is_some() {
            node.listen(Vec::new())?;
        }
        let agents = [Some(agent::start(node.clone())?), witnesses::start(node.clone())?];
        *node.agents.lock().unwrap_or_else(PoisonError::into_inner) = agents.into_iter().flatten().collect();
        Ok(node)
    }

    /// Finishes what is under way and stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for agent in std::mem::take(&mut *self.agents.lock().unwrap_or_else(PoisonError::into_inner)) {
            if agent.join().is_err() {
                tracing::error!("an agent ended by a panic");
            }
        }
        if let Some(network) = self.network.lock().unwrap_or_else(PoisonError::into_inner).take() {
            network.stop();
        }
        self.runtime.stop();
    }

    /// Writes a backup into a new directory on this machine.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn backup(&self, to: &std::path::Path) -> Result<Manifest, ServiceError> {
        if !to.is_absolute() {
            return Err(ServiceError::caller("path", "the directory for the backup is no absolute path"));
        }
        Ok(backup::write(&self.data, self.store(), to)?)
    }

    /// What decisions have cost since the start.
    pub const fn spent(&self) -> &Spent {
        &self.spent
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The organisation that the node works for.
    pub fn organisation(&self) -> OrganisationId {
        self.runtime.organisation()
    }

    /// The node's configuration.
    pub const fn config(&self) -> &NodeConfig {
        &self.config
    }

    pub(crate) fn store(&self) -> &Store {
        self.runtime.store()
    }

    pub(crate) fn view(&self) -> Result<View, ServiceError> {
        Ok(self.runtime.view()?)
    }

    pub(crate) fn now(&self) -> Timestamp {
        clock::now().timestamp()
    }

    /// Starts the network of the mesh that the node takes part in, or tells the one that runs whom else to dial.
    pub(crate) fn listen(&self, dial: Vec<Multiaddr>) -> Result<(), ServiceError> {
        let Some((mesh, ..)) = self.store().mesh()? else { return Ok(()) };
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = network.as_ref() {
            network.know(dial);
            return Ok(());
        }
        let parse = |texts: &[String]| {
            texts
                .iter()
                .map(|text| {
                    text.parse::<Multiaddr>().map_err(|error| {
                        ServiceError::caller("address", format!("{text} is no multiaddress: {error}"))
                    })
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let key = {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            self.data.key(&keys, binding::PEER)?
        };
        let mut dial = dial;
        dial.extend(parse(&self.config.peers)?);
        dial.extend(parse(&self.store().inviter_at()?)?);
        let (listen, via) = (parse(&self.config.listen)?, parse(&self.config.via)?);
        let setup = Setup { mesh, key, listen, dial, via, relay: self.config.relay };
        *network = Some(Network::start(setup, self.runtime.clone())?);
        Ok(())
    }

    /// Ends the network, and begins it anew with the key that is the peer's now.
    pub(crate) fn listen_anew(&self) -> Result<(), ServiceError> {
        let running = self.network.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(network) = running {
            network.stop();
        }
        self.listen(Vec::new())?;
        self.tell_members(&self.view()?)
    }

    /// Addresses at which peers reach this node.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        network.as_ref().map(Network::listening).unwrap_or_default()
    }

    /// How the connection with a peer comes about, if there is one.
    pub(crate) fn reach(&self, key: &PublicKey) -> Option<Reach> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.reach(key)
    }

    /// The statement whose id, or unambiguous prefix of eight characters or more, this is.
    ///
    /// # Errors
    /// [`ServiceError`] when there is none, or more than one.
    pub fn resolve(&self, text: &str) -> Result<StatementId, ServiceError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let prefix = text.strip_prefix("stmt:").unwrap_or(text);
        if prefix.len() < 8 {
            let text = format!("{text:?} is too short; give eight characters of the id or more");
            return Err(ServiceError::caller("id", text));
        }
        match self.store().ids_with_prefix(prefix, 2)?.as_slice() {
            [id] => Ok(*id),
            [] => Err(ServiceError::absent(format!("no statement here begins with {text:?}; see `log`"))),
            _ => Err(ServiceError::caller("id", format!("{text:?} is ambiguous; give more of it"))),
        }
    }

    /// The statement with this id.
    pub(crate) fn placed(&self, id: &StatementId) -> Result<Placed, ServiceError> {
        self.store()
            .statement(id)?
            .ok_or_else(|| ServiceError::absent(format!("{id} is not here, or is withheld from this node")))
    }

    /// Verifies stored statements of one chain again, each in its position, in chain order.
    ///
    /// What is on disk was verified when it came, but a value of type [`Verified`] has no other way into being.
    pub(crate) fn verified(
        &self,
        view: &View,
        organisation: &OrganisationId,
        mut placed: Vec<Placed>,
    ) -> Result<Vec<Verified>, ServiceError> {
        placed.sort_by_key(|placed| placed.position);
        let Some(replica) = view.chains.get(organisation) else {
            return Err(ServiceError::absent(format!("the chain of {organisation} is not here")));
        };
        let mut found = Vec::with_capacity(placed.len());
        let mut standing = replica.standing().iter().peekable();
        let Some(inception) = standing.peek().map(|first| first.statement().clone()) else {
            return Err(ServiceError::absent(format!("the chain of {organisation} is empty here")));
        };
        let refused = |error: counterfoil_protocol::statement::Refusal| {
            ServiceError::new(Blame::Node, error.check(), error.to_string())
        };
        let mut state = OrganisationState::from_inception(&inception).map_err(refused)?;
        for one in placed {
            while let Some(next) = standing.next_if(|next| next.position() < one.position) {
                state.skip_to(next.position());
                state.apply(next).map_err(refused)?;
            }
            if let Some(known) = standing.peek().filter(|next| next.position() == one.position) {
                found.push((***known).clone());
                continue;
            }
            state.skip_to(one.position);
            let authentic = state.authenticate(one.statement).map_err(refused)?;
            found.push(verify(&state, authentic).map_err(refused)?);
        }
        Ok(found)
    }

    /// One stored statement, verified again.
    pub(crate) fn verified_one(&self, view: &View, id: &StatementId) -> Result<Verified, ServiceError> {
        let placed = self.placed(id)?;
        let organisation = placed.organisation;
        let mut found = self.verified(view, &organisation, vec![placed])?;
        found.pop().ok_or_else(|| ServiceError::absent(format!("{id} is not here")))
    }

    /// Names of organisations, as they call themselves.
    pub(crate) fn names(view: &View) -> BTreeMap<OrganisationId, String> {
        let name =
            |replica: &counterfoil_federation::replica::Replica| replica.state().description().name.clone();
        view.chains.iter().map(|(id, replica)| (*id, name(replica))).collect()
    }

    /// The organisation with this id, unambiguous prefix, or name.
    ///
    /// # Errors
    /// [`ServiceError`] when there is none, or more than one.
    pub fn find_organisation(&self, text: &str) -> Result<OrganisationId, ServiceError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let view = self.view()?;
        let names = Self::names(&view);
        let prefix = text.strip_prefix("org:").unwrap_or(text);
        let is_meant = |id: &OrganisationId, name: &str| {
            name.eq_ignore_ascii_case(text)
                || prefix.len() >= 8
                    && id.to_string().strip_prefix("org:").is_some_and(|id| id.starts_with(prefix))
        };
        let known = names.iter().map(|(id, name)| (*id, name.as_str()));
        let asking = view.candidates.iter().map(|id| (*id, ""));
        let mut found: Vec<OrganisationId> =
            known.chain(asking).filter(|(id, name)| is_meant(id, name)).map(|(id, _)| id).collect();
        found.sort();
        found.dedup();
        match found.as_slice() {
            [id] => Ok(*id),
            [] => Err(ServiceError::absent(format!("no organisation known here is called {text:?}"))),
            _ => Err(ServiceError::caller("id", format!("{text:?} is ambiguous; give its id"))),
        }
    }
}

/// The size of a chain under its head, as far as it is here.
pub(crate) fn covered(view: &View, organisation: &OrganisationId) -> TreeSize {
    view.chains.get(organisation).and_then(|replica| replica.head()).map_or(TreeSize(0), |head| head.size())
}

/// Whether a place is under its chain's head.
pub(crate) fn is_covered(view: &View, organisation: &OrganisationId, position: Position) -> bool {
    covered(view, organisation).contains(position)
}
