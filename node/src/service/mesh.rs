//! Taking part in a mesh: founding it, inviting, joining, voting.

use counterfoil_federation::Input;
use counterfoil_protocol::codec;
use counterfoil_protocol::ids::{ByteString, MeshId, OrganisationId, StatementId, base32, from_base32};
use counterfoil_protocol::limits::STATEMENT_BYTES_MAX;
use counterfoil_protocol::mesh::{Admission, Ballot, Charter, Join, Recognition};
use counterfoil_protocol::statement::{Kind, Payload, Statement};
use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};

use super::say::{Said, Say};
use super::{Node, ServiceError};

/// What whoever is to join a mesh is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    charter: ByteString,
    addresses: Vec<String>,
}

const INVITATION_PREFIX: &str = "counterfoil-invitation-1:";
const INVITATION_BYTES_MAX: usize = 2 * STATEMENT_BYTES_MAX;

/// A mesh that was founded or entered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeshEntered {
    /// The mesh.
    pub mesh: MeshId,
    /// Its name.
    pub name: String,
    /// The own statement that says so: the charter, or the wish to join.
    pub statement: StatementId,
    /// Whether the own organisation is a member already.
    pub member: bool,
}

/// One member, or one that asks to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemberView {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name, where its chain is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is a member.
    pub member: bool,
    /// Members that voted for it, where it was not a founder.
    pub votes: Vec<OrganisationId>,
    /// How many votes an admission needs.
    pub needed: usize,
    /// Whether a peer of it is connected.
    pub connected: bool,
    /// Whether it is known to have signed contradicting heads.
    pub misbehaved: bool,
}

impl Node {
    /// Founds a mesh by a charter in the own chain.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn found_mesh(&self, mut charter: Charter) -> Result<MeshEntered, ServiceError> {
        self.ensure_outside()?;
        if !charter.members.contains(&self.organisation()) {
            charter.members.insert(0, self.organisation());
        }
        charter.check().map_err(|error| ServiceError::caller("charter", error.to_string()))?;
        let said = self.say(Say::new(Kind::Charter, &charter)?)?;
        let statement = self.placed(&said.statement)?.statement;
        let mesh = self.enter(&statement, &charter, Vec::new())?;
        Ok(MeshEntered { mesh, name: charter.name, statement: said.statement, member: true })
    }

    fn ensure_outside(&self) -> Result<(), ServiceError> {
        match self.store().mesh()? {
            None => Ok(()),
            Some((mesh, charter, _)) => {
                let text = format!("this node takes part in {:?} ({mesh}) already", charter.name);
                Err(ServiceError::refused("mesh", text))
            }
        }
    }

    fn enter(
        &self,
        statement: &Statement,
        charter: &Charter,
        dial: Vec<Multiaddr>,
    ) -> Result<MeshId, ServiceError> {
        let mesh = MeshId::from(statement.id());
        self.store().enter_mesh(statement)?;
        self.runtime.input(Input::EnterMesh { mesh, charter: charter.clone() })?;
        self.listen(dial)?;
        Ok(mesh)
    }

    /// An invitation to the mesh: its charter, and where this node is reached. It is no secret and admits nobody.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn invite(&self) -> Result<String, ServiceError> {
        let Some((_, _, statement)) = self.store().mesh()? else {
            let text = "this node takes part in no mesh yet; found one with `mesh create`";
            return Err(ServiceError::refused("mesh", text));
        };
        let addresses: Vec<String> = self.addresses().iter().map(ToString::to_string).collect();
        let invitation = Invitation { charter: ByteString(statement.bytes().to_vec()), addresses };
        Ok(format!("{INVITATION_PREFIX}{}", base32(&codec::encode(&invitation)?)))
    }

    /// Enters the mesh of an invitation, and says so in the own chain.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn join(&self, invitation: &str) -> Result<MeshEntered, ServiceError> {
        self.ensure_outside()?;
        let wrong = |text: String| ServiceError::caller("invitation", text);
        let bytes =
            invitation.trim().strip_prefix(INVITATION_PREFIX).and_then(from_base32).ok_or_else(|| {
                wrong(format!("an invitation begins with {INVITATION_PREFIX}; see `mesh invite`"))
            })?;
        let invitation: Invitation =
            codec::decode(&bytes, INVITATION_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
        let statement = Statement::parse(invitation.charter.0).map_err(|error| wrong(error.to_string()))?;
        let Ok(Payload::Charter(charter)) = Payload::decode(statement.header().kind, statement.payload())
        else {
            return Err(wrong("it carries no charter".into()));
        };
        let dial = invitation
            .addresses
            .iter()
            .map(|text| text.parse().map_err(|error| wrong(format!("address {text}: {error}"))))
            .collect::<Result<Vec<Multiaddr>, _>>()?;
        let said = self.say(Say::new(Kind::Join, &Join { mesh: MeshId::from(statement.id()) })?)?;
        let mesh = self.enter(&statement, &charter, dial)?;
        let member = charter.members.contains(&self.organisation());
        Ok(MeshEntered { mesh, name: charter.name, statement: said.statement, member })
    }

    /// Votes about an organisation.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn vote(&self, organisation: OrganisationId, ballot: Ballot) -> Result<Said, ServiceError> {
        let Some((mesh, ..)) = self.store().mesh()? else {
            return Err(ServiceError::refused("mesh", "this node takes part in no mesh yet"));
        };
        self.say(Say::new(Kind::Admission, &Admission { mesh, organisation, ballot })?)
    }

    /// Accepts authorities of another organisation for some claims, reads their terms as own ones, or takes that back.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn recognise(&self, recognition: &Recognition) -> Result<Said, ServiceError> {
        self.say(Say::new(Kind::Recognition, recognition)?)
    }

    /// Members, and those that ask to be.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn members(&self) -> Result<Vec<MemberView>, ServiceError> {
        let view = self.view()?;
        let Some(membership) = &view.membership else { return Ok(Vec::new()) };
        let names = Self::names(&view);
        let mut all: Vec<OrganisationId> = membership.members().to_vec();
        all.extend(membership.candidates());
        all.extend(view.candidates.iter().copied());
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|organisation| seen.insert(*organisation));
        let member = |organisation: OrganisationId| MemberView {
            organisation,
            name: names.get(&organisation).cloned(),
            member: membership.contains(&organisation),
            votes: membership.tally(&organisation).0,
            needed: membership.threshold(),
            connected: view.peers.iter().any(|peer| peer.organisation == Some(organisation)),
            misbehaved: view.misbehaved.contains(&organisation),
        };
        Ok(all.into_iter().map(member).collect())
    }
}
