//! One organisation in the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_federation::config::Config;
use counterfoil_federation::engine::{Engine, Identity, StartError};
use counterfoil_federation::recover::{ground, recover};
use counterfoil_federation::replica::Replica;
use counterfoil_federation::{Checked, Millis};
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::proof::consistency_proof;
use counterfoil_protocol::identity::Recovery;
use counterfoil_protocol::ids::{AuthorityId, MeshId, OrganisationId, StatementId, Timestamp, TreeSize};
use counterfoil_protocol::keys::{PublicKey, Signer as _};
use counterfoil_protocol::mesh::Charter;
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;
use counterfoil_protocol::test_support::recovery::recovery;

use crate::adversary::Adversary;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::inputs::Inputs;

/// An authority that a host has issued besides its first one.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Its number, from which its key follows.
    pub number: u64,
    /// Its id.
    pub authority: AuthorityId,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// A host: an organisation's keys, its disk, and its engine while it runs.
pub struct Host {
    /// Keys.
    pub organisation: Arc<TestOrganisation>,
    id: OrganisationId,
    peer_key: PublicKey,
    /// Disk.
    pub disk: Disk,
    /// The engine; none while the host is down.
    pub engine: Option<Engine>,
    /// What the engine was given last.
    pub inputs: Inputs,
    /// Its clock.
    pub clock: Clock,
    /// What is wrong with it, if it is no honest one.
    pub adversary: Option<Adversary>,
    /// How often it was started.
    pub starts: u64,
    /// How many observations it was asked to append.
    pub appended: u64,
    /// Number of the key of its peer; the first is 0.
    pub peer: u64,
    /// The statement by which it left the mesh last.
    pub left: Option<StatementId>,
    /// The epoch whose chain key the host has.
    pub epoch: u64,
    /// Further authorities.
    pub issued: Vec<Issued>,
    /// Observations that it may recall, with the number of their artifact.
    pub observed: Vec<(u64, StatementId)>,
    /// When the engine is to be woken.
    pub wake_at: Option<Millis>,
    /// When its gossip's next heartbeat is.
    pub heartbeat_at: Option<Millis>,
    /// Keys of the peers with which its engine lets it exchange gossip.
    pub circle: BTreeSet<[u8; 32]>,
    /// By host: the latest moment of that host of which word can have come here, in the world's time.
    pub word: Vec<Millis>,
    /// Organisations that are no members by the votes on this disk, with the sizes of the chains that they may have.
    pub outsiders: BTreeMap<OrganisationId, BTreeMap<OrganisationId, TreeSize>>,
    /// Whether somebody mends it before it runs again.
    pub broken: bool,
}

impl Host {
    /// A host that was never started.
    pub fn new(organisation: Arc<TestOrganisation>) -> Self {
        let (id, peer_key) = (organisation.id(), organisation.peer_key.public_key());
        Self {
            organisation,
            id,
            peer_key,
            disk: Disk::default(),
            engine: None,
            inputs: Inputs::default(),
            clock: Clock::default(),
            adversary: None,
            starts: 0,
            appended: 0,
            peer: 0,
            left: None,
            epoch: 0,
            issued: Vec::new(),
            observed: Vec::new(),
            wake_at: None,
            heartbeat_at: None,
            circle: BTreeSet::new(),
            word: Vec::new(),
            outsiders: BTreeMap::new(),
            broken: false,
        }
    }

    /// The organisation's id.
    pub const fn id(&self) -> OrganisationId {
        self.id
    }

    /// The key of its peer.
    pub const fn peer_key(&self) -> PublicKey {
        self.peer_key
    }

    /// It goes on under another key.
    pub(crate) const fn set_peer_key(&mut self, key: PublicKey) {
        self.peer_key = key;
    }

    /// Whether it runs.
    pub const fn runs(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether it sends gossip to this peer. Whoever does wrong does so whatever its engine says.
    pub fn gossips_with(&self, peer: &PublicKey) -> bool {
        !self.is_honest() || self.circle.contains(peer.as_bytes())
    }

    /// Whether it does what its protocol says.
    pub const fn is_honest(&self) -> bool {
        self.adversary.is_none()
    }

    /// Goes on in a new epoch from what is on disk, as `root recover` does.
    ///
    /// # Errors
    /// Why there is nothing to recover.
    pub fn recover(&mut self, now: Timestamp) -> Result<SignedHead, String> {
        let snapshot = self.disk.snapshot();
        let chain = snapshot.chains.iter().find(|chain| chain.organisation == self.id());
        let own = Replica::restore(chain.ok_or("there is no chain")?, &Checked::default())
            .map_err(|error| error.to_string())?;
        let key = self.organisation.epoch_key(self.epoch).public_key();
        let ground = ground(&own, snapshot.locked.as_ref(), &key).map_err(|error| error.to_string())?;
        let tree = self.disk.chains().get(&self.id()).ok_or("there is no chain")?;
        let proof =
            consistency_proof(tree, ground.base.size(), ground.size).map_err(|error| error.to_string())?;
        let recovery = Recovery { proof, lost: ground.lost, alone: true, ..recovery(&ground.base) };
        let epoch = own.state().epochs().latest().number + 1;
        let version = self.organisation.recovered(own.state().description(), recovery, epoch);
        let statement = self.organisation.root_statement(Kind::Organisation, &version);
        let key = self.organisation.epoch_key(epoch);
        let (writes, head) =
            recover(&own, &ground, statement, &key, now).map_err(|error| error.to_string())?;
        self.disk.recover(writes, head.clone());
        self.epoch = epoch;
        Ok(head)
    }

    /// An engine that goes on from what is on the disk now.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn engine_from_disk(
        &self,
        config: &Config,
        mesh: &Option<(MeshId, Charter)>,
        seed: u64,
        checked: &Arc<Checked>,
    ) -> Result<Engine, StartError> {
        let mut snapshot = self.disk.snapshot();
        snapshot.mesh = mesh.clone();
        let identity = Identity {
            inception: self.organisation.inception.statement().bytes().clone(),
            chain_key: Arc::new(self.organisation.epoch_key(self.epoch)),
            witness_key: self.organisation.witness_key.clone(),
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.starts.to_be_bytes());
        bytes[16..].copy_from_slice(&self.id.as_bytes()[..16]);
        Engine::sharing(config.clone(), identity, &snapshot, bytes, checked.clone())
    }

    /// Starts the engine from what is on disk.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        &mut self,
        config: &Config,
        mesh: &Option<(MeshId, Charter)>,
        seed: u64,
        checked: &Arc<Checked>,
    ) -> Result<(), StartError> {
        self.starts += 1;
        self.engine = Some(self.engine_from_disk(config, mesh, seed, checked)?);
        // Tickets and numbers of exchanges begin anew.
        self.inputs = Inputs::default();
        (self.wake_at, self.heartbeat_at) = (None, None);
        Ok(())
    }
}
