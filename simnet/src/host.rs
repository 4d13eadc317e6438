//! One organisation in the world.

use std::sync::Arc;

use counterfoil_federation::Checked;
use counterfoil_federation::config::Config;
use counterfoil_federation::engine::{Engine, Identity, StartError};
use counterfoil_federation::recover::{ground, recover};
use counterfoil_federation::replica::Replica;
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::proof::consistency_proof;
use counterfoil_protocol::identity::Recovery;
use counterfoil_protocol::ids::{MeshId, OrganisationId, Timestamp};
use counterfoil_protocol::keys::Signer as _;
use counterfoil_protocol::mesh::Charter;
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;
use counterfoil_protocol::test_support::recovery::recovery;

use crate::disk::Disk;

/// A host: an organisation's keys, its disk, and its engine while it runs.
pub struct Host {
    /// Keys.
    pub organisation: Arc<TestOrganisation>,
    /// Disk.
    pub disk: Disk,
    /// The engine; none while the host is down.
    pub engine: Option<Engine>,
    /// How often it was started.
    pub starts: u64,
    /// How many observations it was asked to append.
    pub appended: u64,
    /// The epoch whose chain key the host has.
    pub epoch: u64,
}

impl Host {
    /// A host that was never started.
    pub fn new(organisation: Arc<TestOrganisation>) -> Self {
        Self { organisation, disk: Disk::default(), engine: None, starts: 0, appended: 0, epoch: 0 }
    }

    /// The organisation's id.
    pub fn id(&self) -> OrganisationId {
        self.organisation.id()
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

    /// Starts the engine from what is on disk.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        &mut self,
        config: &Config,
        mesh: &Option<(MeshId, Charter)>,
        seed: u64,
    ) -> Result<(), StartError> {
        let mut snapshot = self.disk.snapshot();
        snapshot.mesh = mesh.clone();
        let identity = Identity {
            inception: self.organisation.inception.statement().bytes().clone(),
            chain_key: Arc::new(self.organisation.epoch_key(self.epoch)),
            witness_key: self.organisation.witness_key.clone(),
        };
        self.starts += 1;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.starts.to_be_bytes());
        self.engine = Some(Engine::new(config.clone(), identity, &snapshot, bytes)?);
        Ok(())
    }
}
