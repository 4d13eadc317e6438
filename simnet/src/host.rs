//! One organisation in the world.

use std::sync::Arc;

use counterfoil_federation::config::Config;
use counterfoil_federation::engine::{Engine, Identity, StartError};
use counterfoil_protocol::ids::{MeshId, OrganisationId};
use counterfoil_protocol::mesh::Charter;
use counterfoil_protocol::test_support::TestOrganisation;

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
}

impl Host {
    /// A host that was never started.
    pub fn new(organisation: Arc<TestOrganisation>) -> Self {
        Self { organisation, disk: Disk::default(), engine: None, starts: 0, appended: 0 }
    }

    /// The organisation's id.
    pub fn id(&self) -> OrganisationId {
        self.organisation.id()
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
            chain_key: self.organisation.chain_key.clone(),
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
